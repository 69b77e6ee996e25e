"""The store: migrations, sealed text, one draft per identity, the outbox."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text, update

from plugin.review.states import State
from plugin.settings import Settings, SettingsError
from plugin.snapshot import Snapshot
from plugin.store import migrate
from plugin.store.audit import Event
from plugin.store.people import Role
from plugin.store.records import Decision, DeliveryState, NewDraft, Outlook, StaleDraft
from plugin.store.store import Store
from plugin.store.tables import Base, DeliveryRow
from plugin.store.vault import KEY_FILE, Vault, VaultError
from tests.databases import EVERY_DATABASE, postgresql


def snapshot(key: str = "a") -> Snapshot:
    return Snapshot(key * 64, date(2026, 3, 9), {"encounter": {"id": "e"}})


def draft(claim: dict[str, object] | None = None, **changes: object) -> NewDraft:
    values = {
        "id": "test.e.1",
        "ehr_id": "test",
        "encounter_id": "e",
        "billing_provider": "Organization/1",
        "payer": "p",
        "state": State.READY,
        "incomplete": False,
        "claim": claim or {"resourceType": "Claim"},
        "verdicts": {"verdicts": []},
    }
    return NewDraft(**(values | changes))  # type: ignore[arg-type]


def save(store: Store, new: NewDraft, key: str = "a") -> int:
    return store.save(
        new, store.keep_snapshot(snapshot(key), "test", "e"), ("ehr",), expected=store.draft(new.id)
    ).version


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    """No table or column differs between the migrations and the models; a second run does nothing."""
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}")
    migrate.to_head(engine)
    migrate.to_head(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@EVERY_DATABASE
def test_the_same_snapshot_changes_nothing(store: Store) -> None:
    """Law 8: written once, however often it is tried."""
    assert [save(store, draft()) for _ in range(3)] == [1, 1, 1]
    assert len(list(store.pending())) == 1


@EVERY_DATABASE
def test_a_new_snapshot_makes_a_version_only_if_the_claim_changed(store: Store) -> None:
    """A note amended without effect on the lines writes nothing; with effect, the older job is superseded."""
    save(store, draft())
    assert save(store, draft(), "b") == 1
    assert save(store, draft({"resourceType": "Claim", "item": 1}), "c") == 2
    (job,) = store.pending()
    assert (job.draft.version, job.state) == (2, DeliveryState.PENDING)


@EVERY_DATABASE
def test_a_decided_draft_is_left_alone(store: Store) -> None:
    """Design, Identity: our store holds a decision, so nothing is overwritten."""
    save(store, draft())
    with store._engine.begin() as connection:
        connection.execute(text("update draft set decided = true"))
    assert save(store, draft({"resourceType": "Claim", "item": 1}), "b") == 1


@EVERY_DATABASE
def test_an_outbox_job_waits_until_it_is_done(store: Store) -> None:
    """A failure is counted and kept with its reason; success keeps where the Claim stands."""
    save(store, draft())
    (job,) = store.pending()
    store.not_delivered(job, "the EHR answered 503")
    (again,) = store.pending()
    assert (again.attempts, again.problem) == (1, "the EHR answered 503")
    store.written(again, "claim-9", 'W/"1"')
    store.delivered(again)
    assert list(store.pending()) == []
    remote = store.remote("test.e.1", "ehr")
    assert remote is not None
    assert (remote.claim_id, remote.etag, remote.version) == ("claim-9", 'W/"1"', 1)


def test_a_delivery_that_cannot_be_begun_counts_as_a_try_and_leaves_alone_what_is_being_sent(store: Store) -> None:
    """After a try that died with its process it counts too, or the next would have the name of one that is over."""
    save(store, draft())
    (job,) = store.pending()
    assert store.take(job)
    store.delivery_failed(job.draft.id, "the EHR answered 503")
    assert not store.take(job)
    (sending,) = store.pending()
    assert (sending.attempts, sending.problem) == (1, None)
    with store._sessions.begin() as session:
        session.execute(update(DeliveryRow).values(taken_until=datetime.now(UTC) - timedelta(seconds=1)))
    store.delivery_failed(job.draft.id, "the EHR answered 503")
    (waiting,) = store.pending()
    assert (waiting.attempts, waiting.problem) == (2, "the EHR answered 503")
    assert store.take(waiting)


def test_sealed_text_is_unreadable_in_the_file(store: Store, tmp_path: Path) -> None:
    """At rest: neither the database nor its log holds a word of it; the store reads it back."""
    key = store.keep_snapshot(snapshot(), "test", "e").key
    store.seal(key, "notes", "Wendell Ostrava sorted receipts")
    assert store.unseal(key, "notes") == "Wendell Ostrava sorted receipts"
    content = b"".join(p.read_bytes() for p in tmp_path.glob("claimwright.db*"))
    assert b"Ostrava" not in content


@EVERY_DATABASE
def test_purging_a_visits_key_makes_its_text_unreadable_for_good(store: Store) -> None:
    """The snapshot and the draft stay, the words are gone."""
    key = store.keep_snapshot(snapshot(), "test", "e").key
    store.seal(key, "notes", "words")
    assert store.purge("test", "e")
    assert not store.purge("test", "e")
    with pytest.raises(VaultError, match="purged"):
        store.unseal(key, "notes")


@EVERY_DATABASE
def test_another_sites_key_opens_nothing(store: Store, tmp_path: Path) -> None:
    """The visit key is wrapped by the site's key."""
    key = store.keep_snapshot(snapshot(), "test", "e").key
    store.seal(key, "notes", "words")
    other = Store(store._engine, Vault(Fernet.generate_key()))
    with pytest.raises(VaultError):
        other.unseal(key, "notes")


def test_the_key_file_is_its_owners_alone(store: Store, tmp_path: Path) -> None:
    """Made on first use with mode 0600; a wrong key in the settings is named."""
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    with pytest.raises(SettingsError, match="vault_key"):
        Vault(b"not a key")


@EVERY_DATABASE
def test_a_draft_that_moved_on_is_not_overwritten(store: Store) -> None:
    """A slow run that began before another draft was kept must begin again, not write an older state over it."""
    save(store, draft())
    began = store.draft("test.e.1")
    save(store, draft({"resourceType": "Claim", "item": 1}), "b")
    taken = store.keep_snapshot(snapshot("c"), "test", "e")
    with pytest.raises(StaleDraft):
        store.save(draft({"resourceType": "Claim", "item": 9}), taken, ("ehr",), expected=began)


def test_a_reply_is_kept_with_its_entry_in_the_history_or_not_at_all(store: Store) -> None:
    """Where the entry cannot be written the reply is not kept either; kept twice, the first stays and is told of once."""
    key = store.keep_snapshot(snapshot(), "test", "e").key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.audit, "record", _dies)
        with pytest.raises(RuntimeError):
            store.seal_reply(key, "first", "m", "p")
    assert store.unseal(key, "reply") is None
    assert [store.seal_reply(key, said, "m", "p") for said in ("second", "third")] == ["second", "second"]
    assert [e.kind for e in store.audit.entries("Encounter/e")] == [Event.PROPOSED.value]


def _dies(*_: object, **__: object) -> None:
    raise RuntimeError


def test_two_processes_may_start_and_seal_at_once(tmp_path: Path) -> None:
    """Migrations, the key file, snapshots and sealed text: whoever is second uses what the first made."""
    program = (
        "import sys; from datetime import date; from pathlib import Path; from plugin.settings import Settings;"
        "from plugin.snapshot import Snapshot; from plugin.store.store import Store;"
        "s = Store.open(Settings(data_dir=Path(sys.argv[1]))); k = s.keep_snapshot(Snapshot('a' * 64, date(2026, 3, 9), {}), 't', 'e').key;"
        "print(s.seal(k, 'reply', sys.argv[2]))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    said = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(set(said)) == 1


def test_who_decided_a_version_is_known_by_its_claim(store: Store) -> None:
    """Also after it was superseded; of a version that nobody decided, and of a Claim that is none of ours, nobody."""
    decided, later = {"resourceType": "Claim", "item": 1}, {"resourceType": "Claim", "item": 2}
    save(store, draft())
    found = store.draft("test.e.1")
    assert found is not None
    for claim, person in ((decided, "Practitioner/1"), (later, None)):
        decision = Decision(
            draft_id=found.id,
            snapshot_key=found.snapshot_key,
            revision=found.revision,
            account_id="a",
            person=person,
            action="accept",
            at=datetime.now(UTC),
        )
        outlook = Outlook(state=State.ACCEPTED, incomplete=False, claim=claim, verdicts=found.verdicts)
        found = store.decide(found, decision, outlook, ("ehr",))
    assert [store.decided_by(found.id, "ehr", c) for c in (decided, later, {}, None)] == [
        "Practitioner/1",
        *(None, None, None),
    ]


@EVERY_DATABASE
def test_after_a_purge_no_text_of_an_older_snapshot_is_left_to_be_read_in_vain(store: Store) -> None:
    """Read anew under another snapshot the visit has a new key; back at the older one, its words count as never kept."""
    older = store.keep_snapshot(snapshot(), "test", "e").key
    store.seal(older, "reply", "words")
    assert store.purge("test", "e")
    newer = store.keep_snapshot(snapshot("b"), "test", "e").key
    store.seal(newer, "notes", "further words")
    assert store.unseal(older, "reply") is None
    store.seal(older, "reply", "words again")
    assert (store.unseal(older, "reply"), store.unseal(newer, "notes")) == ("words again", "further words")


@pytest.mark.postgresql
def test_two_who_read_a_purged_visit_anew_have_one_key(tmp_path: Path) -> None:
    """The second waits for the first and takes its key; else what the first sealed could never be read."""
    store = Store.open(Settings(data_dir=tmp_path, database_url=postgresql()))
    keys = [store.keep_snapshot(snapshot(each), "test", "e").key for each in "ab"]
    store.seal(keys[0], "notes", "words")
    store.purge("test", "e")
    together = threading.Barrier(2)
    make = store._vault.new_visit_key

    def slowly() -> bytes:
        with suppress(threading.BrokenBarrierError):
            together.wait(1)
        return make()

    store._vault.new_visit_key = slowly  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda key: store.seal(key, "reply", "words"), keys))
    assert [store.unseal(key, "reply") for key in keys] == ["words", "words"]
    store.close()


@EVERY_DATABASE
def test_the_keys_of_idle_visits_are_destroyed_once(store: Store) -> None:
    """A visit that was read since, or whose draft waits for somebody, keeps its words; what was purged is not purged again."""
    for visit in ("idle", "waiting", "read"):
        key = store.keep_snapshot(snapshot(visit[0]), "test", visit).key
        store.seal(key, "notes", visit)
    store.save(
        draft(id="test.waiting.1", encounter_id="waiting"),
        store.keep_snapshot(snapshot("w"), "test", "waiting"),
        (),
    )
    later = datetime.now(UTC)
    store.keep_snapshot(snapshot("x"), "test", "read")
    assert store.purge_older(later) == 1
    assert store.purge_older(later) == 0
    assert store.unseal("w" * 64, "notes") == "waiting"
    assert store.unseal("r" * 64, "notes") == "read"
    with pytest.raises(VaultError, match="purged"):
        store.unseal("i" * 64, "notes")


@EVERY_DATABASE
def test_a_visit_has_one_live_draft(store: Store) -> None:
    """Two that code one visit while its payer changes: the second begins again, and withdraws what the first made."""
    save(store, draft())
    with pytest.raises(StaleDraft):
        save(store, draft(id="test.e.2", payer="q"), "b")
    save(store, draft({"status": "entered-in-error"}, state=State.WITHDRAWN), "b")
    assert save(store, draft(id="test.e.2", payer="q"), "b") == 1


@pytest.mark.postgresql
def test_opening_an_item_and_proving_it_anew_do_not_lock_each_other_out(tmp_path: Path) -> None:
    """Both need the draft and its line in the queue, and take them in the same order."""
    store = Store.open(Settings(data_dir=tmp_path, database_url=postgresql()))
    save(store, draft())
    seen = store.draft("test.e.1")
    assert seen is not None
    proved = store.keep_snapshot(snapshot("b"), "test", "e")
    took, showing = threading.Event(), threading.Event()
    take, show = store.queue.take, store.queue.show

    def take_and_wait(*which: Any) -> bool:
        news = take(*which)
        took.set()
        showing.wait(1)
        return news

    def show_slowly(*which: Any) -> None:
        showing.set()
        time.sleep(0.2)
        show(*which)

    store.queue.take, store.queue.show = take_and_wait, show_slowly  # type: ignore[method-assign, assignment]

    def prove() -> None:
        took.wait(5)
        changed = draft({"resourceType": "Claim", "item": 1}, state=State.HELD)
        store.save(changed, proved, ("ehr",), expected=seen)

    with ThreadPoolExecutor(2) as threads:
        opened, proving = threads.submit(store.take_up, seen, "coder", None), threads.submit(prove)
        assert opened.result(20).id == "test.e.1"
        proving.result(20)
    store.close()


@EVERY_DATABASE
def test_what_changes_a_draft_without_a_decision_is_in_the_history(store: Store) -> None:
    """Opened, changed at the EHR, its record changed since, and what an EHR says was done with a card: an entry each."""
    save(store, draft())
    made = store.draft("test.e.1")
    assert made is not None
    store.card("card", made, "Practitioner/p")
    for _ in range(2):  # said twice without a time, it counts once
        assert store.card_feedback("test", "card", "card accepted", None, None)
    (job,) = store.pending()
    store.not_delivered(job, "the Claim is no longer a draft", changed_elsewhere=True)
    moved = store.draft("test.e.1")
    assert moved is not None
    for _ in range(2):
        store.changed_since(moved, store.keep_snapshot(snapshot("b"), "test", "e").key)
    kinds = [entry.kind for entry in store.audit.entries()]
    assert kinds == [Event.PROVED, Event.REPORTED, Event.MOVED, Event.CHANGED_SINCE]
    account = store.people.know("test|dana", "Practitioner/p", "Dana", [Role.CLINICIAN])
    store.people.know("test|dana", "Practitioner/p", "Dana", [Role.CLINICIAN])
    last = store.audit.entries()[-1]
    assert (last.kind, last.subject, last.detail["roles"]) == (Event.ROLES, account.id, ["clinician"])
    assert len(store.audit.entries()) == 5


@EVERY_DATABASE
def test_jobs_of_an_ehr_that_takes_none_do_not_keep_anothers_waiting(store: Store) -> None:
    """However many they are, the other EHR's share of what is tried next is its own."""
    for number in range(6):
        visit = f"v{number}"
        store.save(
            draft(id=f"test.{visit}.1", encounter_id=visit),
            store.keep_snapshot(snapshot("abcdef"[number]), "test", visit),
            ("ehr",),
        )
    store.save(
        draft(id="other.v.1", ehr_id="other", encounter_id="v"),
        store.keep_snapshot(snapshot("9"), "other", "v"),
        ("ehr",),
    )
    with store._sessions.begin() as session:
        session.execute(update(DeliveryRow).values(next_try_at=datetime.now(UTC) - timedelta(seconds=1)))
    due = store.due_deliveries({"test", "other"}, most=4)
    assert [job.draft.ehr_id for job in due] == ["other", "test", "test"]
