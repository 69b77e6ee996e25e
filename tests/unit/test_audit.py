"""The history: whoever changes it without the site's key is found out."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import delete, select, text, update

from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store.audit import Audit, Event
from plugin.store.store import Store
from plugin.store.tables import AuditHeadRow, AuditRow
from plugin.store.vault import Vault, VaultError
from tests.conftest import DAY
from tests.databases import EVERY_DATABASE

pytestmark = EVERY_DATABASE

ENTRIES = 6


@pytest.fixture
def written(store: Store) -> Store:
    """A store with a short history."""
    for number in range(ENTRIES):
        store.audit.note(Event.DECIDED, "test|dana", "test", f"test.v{number}.1", action="accept", lines=["p0", number])
    return store


def rewrite(store: Store, entry: int, **values: Any) -> None:
    """Change an entry behind the store's back."""
    with store._engine.begin() as db:
        db.execute(update(AuditRow).where(AuditRow.id == entry).values(**values))


def test_an_untouched_history_verifies(written: Store) -> None:
    """Its entries are counted, its head is the one it has; an empty one verifies too, and so does a noted earlier head."""
    verified = written.audit.verify()
    assert (verified.count, verified.broken) == (ENTRIES, None)
    assert (verified.count, verified.head) == written.audit.head()
    written.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    assert written.audit.verify((verified.count, verified.head)).broken is None


def test_an_empty_history_verifies(store: Store) -> None:
    """There is nothing in it, and it says so."""
    verified = store.audit.verify()
    assert (verified.count, verified.head, verified.broken) == (0, "0" * 64, None)


def test_entries_are_read_as_they_were_written(written: Store) -> None:
    """In their order, of one subject or of all, a page at a time; nobody's are the program's own."""
    written.audit.note(Event.PURGED, None, "test", "test.v0.1")
    assert [e.id for e in written.audit.entries()] == [1, 2, 3, 4, 5, 6, 7]
    assert [e.id for e in written.audit.entries(after=2, most=2)] == [3, 4]
    first, purged = written.audit.entries("test.v0.1")
    assert (first.actor, first.kind, first.detail) == ("test|dana", "decided", {"action": "accept", "lines": ["p0", 0]})
    assert purged.actor == "claimwright"


@pytest.mark.parametrize(
    "changed",
    [
        {"detail": {"action": "accept", "lines": ["p0", 99]}},
        {"actor": "test|somebody-else"},
        {"kind": "claimed"},
        {"subject": "test.v9.1"},
        {"ehr_id": None},
        {"hash": "f" * 64},
    ],
    ids=lambda changed: str(*changed),
)
def test_a_changed_entry_is_noticed(changed: dict[str, Any], written: Store) -> None:
    """Whatever of it was changed, the entry is named."""
    rewrite(written, 3, **changed)
    verified = written.audit.verify()
    assert (verified.count, verified.broken) == (2, "entry 3 is not what was written")


def test_a_changed_time_is_noticed(written: Store) -> None:
    """A second is enough."""
    rewrite(written, 3, at=written.audit.entries()[2].at + timedelta(seconds=1))
    assert written.audit.verify().broken == "entry 3 is not what was written"


def test_a_removed_entry_is_noticed(written: Store) -> None:
    """In the middle, or at the beginning."""
    with written._engine.begin() as db:
        db.execute(delete(AuditRow).where(AuditRow.id == 4))
    assert written.audit.verify().broken == "entry 4 is missing"
    with written._engine.begin() as db:
        db.execute(delete(AuditRow).where(AuditRow.id == 1))
    assert written.audit.verify().broken == "entry 1 is missing"


def test_entries_that_changed_places_are_noticed(written: Store) -> None:
    """Each was written after the one before it."""
    for before, after in ((3, 100), (4, 3), (100, 4)):
        rewrite(written, before, id=after)
    assert written.audit.verify().broken == "entry 3 is not what was written"


def test_a_cut_off_end_is_noticed_by_the_head(written: Store) -> None:
    """The head still says how long it was."""
    with written._engine.begin() as db:
        db.execute(delete(AuditRow).where(AuditRow.id > 4))
    assert written.audit.verify().broken == "the chain ends at entry 4, its head says 6"


def test_a_cut_off_end_with_its_head_is_noticed_by_an_earlier_head(written: Store) -> None:
    """The head set back with it leaves a shorter chain that holds; only what somebody noted before shows it."""
    noted = written.audit.head()
    kept = written.audit.entries()[3].hash
    with written._engine.begin() as db:
        db.execute(delete(AuditRow).where(AuditRow.id > 4))
        db.execute(update(AuditHeadRow).values(count=4, hash=kept))
    assert written.audit.verify().broken is None
    assert written.audit.verify(noted).broken == "the chain ends at entry 4, the head noted earlier at 6"
    for _ in range(2):
        written.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    assert written.audit.verify(noted).broken == "entry 6 is not the one of the head noted earlier"


def test_a_chain_made_without_the_sites_key_is_noticed(written: Store) -> None:
    """Every hash and the head made anew, consistently, by somebody who can write to the database but has no key."""
    guess, before = b"0" * 32, "0" * 64
    with written._engine.begin() as db:
        for row in db.execute(select(AuditRow.__table__).order_by(AuditRow.id)).all():
            actor = "test|somebody-else" if row.id == 3 else row.actor
            said = [before, row.id, row.at.isoformat(), row.kind, actor, row.ehr_id, row.subject, row.detail]
            before = hmac.new(guess, json.dumps(said, sort_keys=True).encode(), hashlib.sha256).hexdigest()
            db.execute(update(AuditRow).where(AuditRow.id == row.id).values(actor=actor, hash=before))
        db.execute(update(AuditHeadRow).values(hash=before))
    assert written.audit.verify().broken == "entry 1 is not what was written"


def test_a_chain_under_a_key_that_the_site_did_not_seal_is_refused(written: Store, tmp_path: Path) -> None:
    """Put beside the chain, a key of one's own does not open; a process that never had the key says so."""
    own = Vault(Fernet.generate_key()).seal_site("00" * 32)
    with written._engine.begin() as db:
        db.execute(update(AuditHeadRow).values(key=own))
    fresh = Audit(written._sessions, written._vault)
    with pytest.raises(VaultError):
        fresh.verify()


def test_a_chain_whose_key_was_taken_away_does_not_verify(written: Store) -> None:
    """Nor does it go on under a new one unnoticed."""
    with written._engine.begin() as db:
        db.execute(update(AuditHeadRow).values(key=None))
    assert written.audit.verify().broken == "entry 1 is not what was written"
    written.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    assert Audit(written._sessions, written._vault).verify().broken == "entry 1 is not what was written"


def test_a_history_begun_in_one_process_goes_on_in_another(written: Store, tmp_path: Path) -> None:
    """The key is sealed beside it; each process opens it with the site's."""
    other = Store(written._engine, written._vault)
    other.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    written.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    for store in (written, other):
        assert (store.audit.verify().count, store.audit.verify().broken) == (ENTRIES + 2, None)


def test_purging_a_visit_leaves_the_history(written: Store) -> None:
    """It holds ids and hashes alone; the purge is its last entry."""
    key = written.keep_snapshot(Snapshot("a" * 64, DAY, {}), "test", "visit").key
    written.seal(key, "notes", "words")
    assert written.purge("test", "visit", "test|dana")
    verified = written.audit.verify()
    assert (verified.count, verified.broken) == (ENTRIES + 1, None)
    last = written.audit.entries()[-1]
    assert (last.kind, last.actor, last.subject) == ("purged", "test|dana", "Encounter/visit")


def test_what_was_taken_back_leaves_no_entry(written: Store) -> None:
    """An entry stands in the transaction of what it speaks of: neither is there without the other."""

    def fail() -> None:
        with written._sessions.begin() as session:
            written.audit.record(session, Event.DECIDED, "test|dana", "test", "test.v0.1")
            raise RuntimeError("it did not come to it")

    with pytest.raises(RuntimeError):
        fail()
    written.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    verified = written.audit.verify()
    assert (verified.count, verified.broken) == (ENTRIES + 1, None)


def test_many_who_write_at_once_leave_one_chain(store: Store) -> None:
    """From the very first entry on, when the chain has no key yet; also where each is a process of its own."""
    stores = [Store(store._engine, store._vault) for _ in range(4)]
    start = threading.Barrier(4)

    def write(own: Store) -> None:
        start.wait()
        for number in range(25):
            own.audit.note(Event.NOTE_READ, "test|dana", "test", f"test.v{number}.1", notes=[number])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, stores))
    verified = store.audit.verify()
    assert (verified.count, verified.broken) == (100, None)
    assert [e.id for e in store.audit.entries()] == list(range(1, 101))


def test_a_history_verifies_from_wherever_the_clocks_are_set(
    written: Store, database: str | None, tmp_path: Path
) -> None:
    """A database server or an administrator's session in another zone gives the same instants, written otherwise."""
    if database is not None:
        with written._engine.begin() as db:
            db.execute(text(f"ALTER DATABASE {written._engine.url.database} SET timezone TO 'America/New_York'"))
    elsewhere = Store.open(Settings(data_dir=tmp_path, database_url=database))
    assert elsewhere.audit.verify().broken is None
    elsewhere.audit.note(Event.SIGNED_OUT, "test|dana", None, None)
    assert elsewhere.audit.verify().broken is None
    assert written.audit.verify().broken is None
    assert {e.at.utcoffset() for e in elsewhere.audit.entries()} == {timedelta(0)}
    elsewhere.close()
