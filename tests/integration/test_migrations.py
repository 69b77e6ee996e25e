"""A database that an older version filled becomes one of today, on both databases; many may begin it at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine, insert, select, text

from plugin.review.states import State
from plugin.settings import Settings
from plugin.store import migrate
from plugin.store.queue import Filter
from plugin.store.store import Store
from plugin.store.tables import Base
from plugin.store.vault import Vault
from tests.databases import EVERY_DATABASE

OLDER = "0004"
"""The last revision before there was a work queue."""

BEGAN = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """A plain connection to the database of some settings."""
    engine = create_engine(settings.database)
    yield engine
    engine.dispose()


def verdict(key: str, code: str, outcome: str = "ready", *findings: tuple[str, str]) -> dict[str, Any]:
    """One verdict as a draft keeps it."""
    line = {"id": f"visit.{code}.1", "code": code, "units": 3, "modifiers": ["HN"], "minutes": 45}
    said = [
        {"rule": rule, "effect": effect, "message": "As the rule says.", "cured_by": "note"}
        for rule, effect in findings
    ]
    return {
        "key": key,
        "proposal": {"code": code, "units": 3, "modifiers": ["HN"], "diagnoses": []},
        "outcome": outcome,
        "line": line if outcome == "ready" else None,
        "fix": None,
        "findings": said,
    }


def verdicts(*each: dict[str, Any], findings: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a draft keeps of the rules' verdicts."""
    return {
        "verdicts": list(each),
        "findings": [{"rule": rule, "effect": "hold", "message": "As the rule says."} for rule in findings],
        "notices": [],
        "incomplete": False,
        "problems": [],
        "policy": "medicaid-whole-unit",
    }


DRAFTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ready": ("ready", verdicts(verdict("p0", "H2014", "ready", ("UNIT-050", "warn")), verdict("p1", "H0004"))),
    "clean": ("accepted", verdicts(verdict("p0", "90834", "ready", ("UNIT-001", "info")))),
    "held": ("held", verdicts(verdict("p0", "H2014", "held", ("TIME-011", "hold"), ("EVID-040", "hold")))),
    "nothing": ("nothing", verdicts(findings=("VISIT-010",))),
    "withdrawn": ("withdrawn", verdicts(verdict("p0", "H2014", "held", ("NOTE-080", "hold")))),
    "refused": ("not billable", verdicts(verdict("p0", "H2017"))),
}
"""By visit: the state, and what the rules said."""


def fill(settings: Settings) -> None:
    """A database at the older revision with what its version kept there."""
    vault = Vault.of(settings)
    with engine_of(settings) as engine, engine.begin() as db:
        command.upgrade(migrate.configuration(db), OLDER)
        had = MetaData()
        had.reflect(db)

        def put(table: str, **values: Any) -> None:
            db.execute(insert(had.tables[table]).values(**values))

        put("account", id="test|dana", name=vault.seal_site("Dana Whitfield"), roles=["clinician"], created_at=BEGAN, seen_at=BEGAN)  # fmt: skip
        put("session", id="s" * 64, account_id="test|dana", started_at=BEGAN, seen_at=BEGAN)
        put("launch", id="l" * 64, session_id="s" * 64, ehr_id="test", banner=False, created_at=BEGAN)
        for number, (visit, (state, said)) in enumerate(DRAFTS.items()):
            key, draft_id, at = f"{number:064}", f"test.{visit}.1", BEGAN + timedelta(hours=number)
            wrapped = vault.new_visit_key()
            put("snapshot", key=key, ehr_id="test", encounter_id=visit, as_of=date(2026, 3, 9), manifest={"encounter": {"id": visit}}, created_at=at)  # fmt: skip
            put("visit_key", ehr_id="test", encounter_id=visit, wrapped=wrapped)
            put("sealed", snapshot_key=key, kind="notes", ciphertext=vault.seal(wrapped, f"The note of {visit}"))
            claim = {"resourceType": "Claim"} if state in ("ready", "accepted") else None
            put(
                "draft",
                id=draft_id,
                ehr_id="test",
                encounter_id=visit,
                billing_provider="Organization/1",
                payer="EXAMPLE-MEDICAID",
                snapshot_key=key,
                version=1,
                state=state,
                incomplete=False,
                decided=state in ("accepted", "not billable"),
                revision=2,
                patient_id=f"{visit}-patient",
                clinician_id="Practitioner/prac-lcsw",
                date_of_service=date(2026, 3, 2),
                claim=claim,
                verdicts=said,
                created_at=at,
                updated_at=at,
            )
            if claim is not None:
                put("delivery", draft_id=draft_id, version=1, claim=claim, destination="ehr", state="done", attempts=1, updated_at=at)  # fmt: skip
                put("remote_claim", draft_id=draft_id, destination="ehr", claim_id=f"claim-{number}", etag='W/"1"', version=1)  # fmt: skip
            put("disclosure", ehr_id="test", encounter_id=visit, snapshot_key=key, at=at, report={"notes": 1})
            put("card", id=f"card-{number}", ehr_id="test", draft_id=draft_id, at=at)
        for revision, action in enumerate(("correct", "accept")):
            put(
                "decision",
                draft_id="test.clean.1",
                snapshot_key=f"{1:064}",
                revision=revision,
                account_id="test|dana",
                action=action,
                lines=["p0"],
                at=BEGAN + timedelta(hours=2, minutes=revision),
            )
        put("wanted", ehr_id="test", encounter_id="told-of", at=BEGAN)


@pytest.fixture
def settings(database: str | None, tmp_path: Path) -> Settings:
    """A site with an empty database."""
    return Settings(data_dir=tmp_path, database_url=database)


@EVERY_DATABASE
def test_drafts_of_an_older_version_are_in_the_queue(settings: Settings) -> None:
    """Each with its state, its codes, and what it is found by; what is clean and accepted may be approved with others."""
    fill(settings)
    store = Store.open(settings)
    listed = {i.encounter_id: i for i in store.queue.page(Filter()) if i.draft_id}
    assert {visit: item.state for visit, item in listed.items()} == {
        visit: State(state) for visit, (state, _) in DRAFTS.items()
    }
    assert {d.id for d in store.drafts()} == {i.draft_id for i in listed.values()}
    assert (listed["ready"].codes, listed["held"].codes, listed["nothing"].codes) == ("H0004 H2014", "", "")
    assert {i.encounter_id for i in store.queue.page(Filter(code="H2014"))} == {"ready"}
    assert {i.encounter_id for i in store.queue.page(Filter(rule="TIME-011"))} == {"held"}
    assert {i.encounter_id for i in store.queue.page(Filter(rule="VISIT-010"))} == {"nothing"}
    assert {i.encounter_id for i in store.queue.page(Filter(clean=True))} == {"clean", "refused"}
    clean = listed["clean"]
    assert clean.accepted_at == clean.since == BEGAN + timedelta(hours=1)
    assert (clean.patient_id, clean.payer, clean.date_of_service) == (
        "clean-patient",
        "EXAMPLE-MEDICAID",
        date(2026, 3, 2),
    )
    store.close()


@EVERY_DATABASE
def test_visits_that_an_older_version_was_told_of_are_due(settings: Settings) -> None:
    """They wait to be coded, and the queue shows them as found."""
    fill(settings)
    store = Store.open(settings)
    (due,) = store.arrivals.due({"test"})
    assert (due.encounter_id, due.generation) == ("told-of", 1)
    (item,) = store.queue.page(Filter(states=(State.NEW,)))
    assert item.encounter_id == "told-of"
    assert store.arrivals.begin("test", "told-of", 1, 60)
    assert not store.arrivals.done("test", "told-of", 1)
    assert store.queue.page(Filter(states=(State.NEW,))) == []
    store.close()


@EVERY_DATABASE
def test_what_an_older_version_kept_is_still_there(settings: Settings) -> None:
    """Sealed text opens, decisions are in their order, Claims are known where they stand; the history begins empty."""
    fill(settings)
    store = Store.open(settings)
    assert [store.unseal(f"{n:064}", "notes") for n in range(len(DRAFTS))] == [f"The note of {v}" for v in DRAFTS]
    assert [d.action for d in store.decisions("test.clean.1")] == ["correct", "accept"]
    remote = store.remote("test.ready.1", "ehr")
    assert remote is not None
    assert (remote.claim_id, remote.etag) == ("claim-0", 'W/"1"')
    assert [a.name for a in store.people.accounts()] == ["Dana Whitfield"]
    assert store.audit.verify().count == 0
    store.close()


@EVERY_DATABASE
def test_opening_a_database_of_today_changes_nothing(settings: Settings) -> None:
    """A second start finds every row as the first one left it."""
    fill(settings)
    Store.open(settings).close()
    before = contents(settings)
    assert sum(map(len, before.values())) > 40
    Store.open(settings).close()
    assert contents(settings) == before


def contents(settings: Settings) -> dict[str, list[Any]]:
    """Every row of every table."""
    with engine_of(settings) as engine, engine.connect() as db:
        found = MetaData()
        found.reflect(db)
        return {name: sorted(map(repr, db.execute(select(table)))) for name, table in found.tables.items()}


@EVERY_DATABASE
def test_migrations_and_models_agree(settings: Settings) -> None:
    """No table, column, type or index differs, whether the database is new or grew from an older one."""
    fill(settings)
    Store.open(settings).close()
    with engine_of(settings) as engine, engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), Base.metadata) == []


OPENS = """
import sys
from pathlib import Path
from plugin.settings import Settings
from plugin.store.store import Store

folder, url, visit = sys.argv[1:]
store = Store.open(Settings(data_dir=Path(folder), database_url=url or None))
store.arrivals.found("test", visit, "list")
print(len(store.drafts()))
store.close()
"""


@EVERY_DATABASE
@pytest.mark.parametrize("older", [False, True], ids=["empty", "older"])
def test_processes_may_open_a_database_at_once(older: bool, settings: Settings) -> None:
    """Each waits for the one that migrates; all of them then work, and what was there was brought over once."""
    if older:
        fill(settings)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(settings.data_dir), settings.database_url or "", f"visit-{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    ends = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0] * 2, [error[-2000:] for _, error in ends]
    assert [said.split() for said, _ in ends] == [[str(len(DRAFTS) if older else 0)]] * 2
    store = Store.open(settings)
    told_of = {"told-of"} if older else set()
    assert {a.encounter_id for a in store.arrivals.all()} == {"visit-0", "visit-1"} | told_of
    store.close()


@EVERY_DATABASE
def test_threads_of_one_process_may_open_a_database_at_once(settings: Settings) -> None:
    """Alembic keeps what it works on in globals; one thread waits for the other."""
    start = threading.Barrier(3)

    def open_one(_: int) -> None:
        start.wait()
        Store.open(settings).close()

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(open_one, range(3))) == [None] * 3


def test_sqlite_still_checks_references_after_a_migration(tmp_path: Path) -> None:
    """Tables are made anew there with the check off; the connection that did it checks again, and nothing hangs loose."""
    settings = Settings(data_dir=tmp_path)
    fill(settings)
    store = Store.open(settings)
    with store._engine.connect() as db:
        assert db.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert db.execute(text("PRAGMA foreign_key_check")).all() == []
    store.close()
