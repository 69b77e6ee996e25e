"""Visits found by polling, by hook or by a list, worked on by the durable engine, and tried again when something fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, update

from plugin import outbox, pipeline
from plugin.backend import Ehrs
from plugin.destinations.ehr import EhrDestination
from plugin.ehr.oauth import OAuth
from plugin.flow import Flow
from plugin.keys import SigningKeys
from plugin.review.states import State
from plugin.settings import EngineSettings, Settings
from plugin.site import Works
from plugin.snapshot import Snapshot
from plugin.store.arrivals import Work
from plugin.store.queue import Filter
from plugin.store.records import Delivery, Draft, NewDraft
from plugin.store.store import Store
from plugin.store.tables import ArrivalRow
from sandbox import fixtures
from tests.databases import EVERY_DATABASE, postgresql
from tests.faults import Dose, Fault, faulty

VISIT = "h2014-45-minutes"
TODAY = date(2026, 3, 9)
QUICK = EngineSettings(poll_seconds=None, pump_seconds=0.1, visits_a_minute=10_000, first_days=10_000)


def site_settings(base: str, tmp_path: Path, database: str | None, **engine: Any) -> Settings:
    """The bare FHIR server as an EHR; a billing provider of its own, for the server is shared."""
    made = fixtures.ehr("flow", base_url=base, billing_provider=f"Organization/{tmp_path.name[:40]}")
    return Settings(
        ehr=made,
        data_dir=tmp_path,
        payers_file=fixtures.PAYERS,
        database_url=database,
        engine=QUICK.model_copy(update=engine),
    )


@contextmanager
def flowing(settings: Settings, *, pump: bool = True) -> Iterator[Flow]:
    """The engine of a site, until the end."""
    store = Store.open(settings)
    oauth = OAuth(SigningKeys.of(settings), settings.limits)
    flow = Flow(settings, store, Ehrs(settings, Works.of(settings, store=store), oauth))
    flow.start(pump=pump)
    try:
        yield flow
    finally:
        flow.stop()
        oauth.close()
        store.close()


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.05)


def work_of(flow: Flow, visit: str) -> Work:
    return next(a.state for a in flow.store.arrivals.all() if a.encounter_id == visit)


def touch(base: str, kind: str, logical_id: str, **changes: Any) -> None:
    """Write a resource anew, changed."""
    url = f"{base}/{kind}/{logical_id}"
    resource = httpx.get(url).json() | changes
    httpx.put(url, json=resource).raise_for_status()


@EVERY_DATABASE
def test_a_visit_that_is_found_becomes_a_draft(database: str | None, sandbox_base: str, tmp_path: Path) -> None:
    """Told of once, it is coded and in the queue; its Claim stands at the EHR."""
    with flowing(site_settings(sandbox_base, tmp_path, database)) as flow:
        assert flow.store.arrivals.found("flow", VISIT, "list")
        until(lambda: work_of(flow, VISIT) is Work.DONE)
        (draft,) = flow.store.drafts(encounter_id=VISIT)
        assert draft.state is State.READY
        assert [i.id for i in flow.store.queue.page(Filter(states=(State.READY,)))] == [draft.id]
        assert flow.store.queue.counts() == {State.READY: 1}
        assert flow.store.remote(draft.id, "ehr") is not None


def test_polling_finds_what_finished_and_sees_it_once(sandbox_base: str, tmp_path: Path) -> None:
    """The first look finds the finished visits, the second nothing; a changed note is news for its visit alone."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        running = {"resourceType": "Encounter", "id": "under-way", "status": "in-progress", "class": {"code": "AMB"}}
        httpx.put(f"{sandbox_base}/Encounter/under-way", json=running).raise_for_status()
        assert flow.find("flow") > 0
        found = {a.encounter_id for a in flow.store.arrivals.all()}
        assert VISIT in found
        assert "under-way" not in found
        httpx.delete(f"{sandbox_base}/Encounter/under-way").raise_for_status()  # the server is shared
        assert flow.find("flow") == 0
        visit = next(f for f in fixtures.load("development") if f.name == VISIT)
        note = next(r for r in visit.resources if r["resourceType"] == "DocumentReference")
        touch(sandbox_base, "DocumentReference", note["id"], description="Corrected")
        assert flow.find("flow") == 1
        assert flow.store.arrivals.polls()["flow"].problem is None


def test_what_fails_says_why_and_is_tried_again(sandbox_base: str, tmp_path: Path) -> None:
    """A visit that is not there fails for good until a person asks again; one that time may heal has a next try."""
    with flowing(site_settings(sandbox_base, tmp_path, None)) as flow:
        flow.store.arrivals.found("flow", "nobody", "list")
        until(lambda: work_of(flow, "nobody") is Work.FAILED)
        (item,) = flow.store.queue.page(Filter(states=(State.FAILED,)))
        assert item.reason is not None
        assert "Encounter/nobody" in item.reason
        assert item.next_try_at is None
        before = flow.store.arrivals.all()[0].generation
        flow.store.arrivals.retry("flow", "nobody")
        until(lambda: flow.store.arrivals.all()[0].generation > before and work_of(flow, "nobody") is Work.FAILED)


def test_an_ehr_that_is_down_makes_visits_wait_for_a_next_try(tmp_path: Path) -> None:
    """Nothing answers there: the visit is not lost, and its next try has a time."""
    settings = site_settings("http://127.0.0.1:9/fhir", tmp_path, None)
    impatient = settings.limits.model_copy(update={"read_seconds": 1.0})
    with flowing(settings.model_copy(update={"limits": impatient})) as flow:
        flow.store.arrivals.found("flow", VISIT, "list")
        until(lambda: work_of(flow, VISIT) is Work.FAILED)
        (arrival,) = flow.store.arrivals.all()
        assert arrival.next_try_at is not None
        assert arrival.attempts == 1


def test_what_made_no_sense_is_read_again(sandbox_base: str, tmp_path: Path) -> None:
    """A login page in the clinician's place: the visit is coded without, the queue says so, and the next try is whole."""
    plan = {Fault.LOGIN_PAGE: Dose(reads=1.0, at_most=1, of="Practitioner")}
    with (
        faulty(sandbox_base, plan) as proxy,
        flowing(site_settings(proxy.base, tmp_path, None)) as flow,
    ):
        flow.store.arrivals.found("flow", VISIT, "list")
        until(lambda: work_of(flow, VISIT) is Work.FAILED)
        (held,) = flow.store.drafts(encounter_id=VISIT)
        assert held.state is State.HELD
        (item,) = flow.store.queue.page(Filter(states=(State.FAILED,)))
        assert item.reason is not None
        assert item.reason.startswith("coded without this: Practitioner/")
        assert item.next_try_at is not None
        flow.store.arrivals.retry("flow", VISIT)
        until(lambda: work_of(flow, VISIT) is Work.DONE)
        (whole,) = flow.store.drafts(encounter_id=VISIT)
        assert (whole.id, whole.state) == (held.id, State.READY)
        assert [i.id for i in flow.store.queue.page(Filter())] == [whole.id]


def test_what_never_makes_sense_is_let_be_in_the_end(sandbox_base: str, tmp_path: Path) -> None:
    """After a few looks the draft stands as it is, with what it lacks."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        arrivals = flow.store.arrivals
        arrivals.found("flow", VISIT, "list")
        tried = 0
        while arrivals.half_read("flow", VISIT, arrivals.all()[0].generation, "coded without this: Location/x"):
            tried += 1
            assert arrivals.all()[0].attempts == tried
        assert tried == 5


def test_a_claim_that_does_not_get_through_says_so_in_the_queue(sandbox_base: str, tmp_path: Path) -> None:
    """Why, and when it is tried again; asked for at once it is due at once, and what got through says nothing more."""
    plan = {Fault.FORBIDDEN: Dose(writes=1.0, at_most=1)}
    with (
        faulty(sandbox_base, plan) as proxy,
        flowing(site_settings(proxy.base, tmp_path, None), pump=False) as flow,
    ):
        flow.store.arrivals.found("flow", VISIT, "list")
        assert flow.work_on("flow", VISIT, 1) == "done"
        (item,) = flow.store.queue.page(Filter())
        assert item.reason is not None
        assert "403" in item.reason
        assert item.next_try_at is not None
        assert flow.store.due_deliveries({"flow"}) == []
        flow.store.deliver_again("flow", VISIT)
        (job,) = flow.store.due_deliveries({"flow"})
        assert flow.deliver("flow", job.draft.id) == "done"
        (item,) = flow.store.queue.page(Filter())
        assert (item.reason, item.next_try_at) == (None, None)


def test_claims_that_wait_long_do_not_keep_others_waiting(sandbox_base: str, tmp_path: Path) -> None:
    """However many an EHR refuses: those whose time has come are handed out, and only those."""
    plan = {Fault.FORBIDDEN: Dose(writes=1.0)}
    with (
        faulty(sandbox_base, plan) as proxy,
        flowing(site_settings(proxy.base, tmp_path, None), pump=False) as flow,
    ):
        for visit in (VISIT, "h0004-30-minutes"):
            flow.store.arrivals.found("flow", visit, "list")
            flow.work_on("flow", visit, 1)
        assert len(list(flow.store.pending())) == 2
        flow.store.deliver_again("flow", "h0004-30-minutes")
        (job,) = flow.store.due_deliveries({"flow"}, most=1)
        assert job.draft.encounter_id == "h0004-30-minutes"


def test_an_ehr_that_takes_no_claims_any_more_says_so_in_the_queue(sandbox_base: str, tmp_path: Path) -> None:
    """What was made for it while it did waits at a growing distance, and not as if it were due."""
    plan = {Fault.FORBIDDEN: Dose(writes=1.0)}
    with (
        faulty(sandbox_base, plan) as proxy,
        flowing(site_settings(proxy.base, tmp_path, None), pump=False) as flow,
    ):
        flow.store.arrivals.found("flow", VISIT, "list")
        flow.work_on("flow", VISIT, 1)
        flow.store.deliver_again("flow", VISIT)
        (job,) = flow.store.due_deliveries({"flow"})
        with flow.ehrs.unattended_site("flow") as (site, _):
            understood, _ = pipeline.look(site, VISIT)
            wrote, problem = outbox.deliver(replace(site, destination=None), flow.store, understood, job.draft)
        assert not wrote
        assert problem is not None
        (item,) = flow.store.queue.page(Filter())
        assert item.reason == problem
        assert flow.store.due_deliveries({"flow"}) == []


def test_a_defect_while_a_claim_is_written_is_shown_and_keeps_no_other_waiting(
    sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kind stands in the queue with the next try, not what it said."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:

        def fail(*_: Any) -> None:
            raise KeyError("Wendell Ostrava")

        monkeypatch.setattr(EhrDestination, "explain", fail)
        flow.store.arrivals.found("flow", VISIT, "list")
        assert flow.work_on("flow", VISIT, 1) == "done"
        (item,) = flow.store.queue.page(Filter())
        assert item.reason == "a defect of Claimwright (KeyError); tell your administrator"
        assert item.next_try_at is not None


def test_a_version_that_was_overtaken_while_it_was_sent_replaces_nothing(
    sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stalled between taking a job and writing it finds the newer Claim there, and leaves it."""
    visit = "h0004-30-minutes"
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        flow.store.arrivals.found("flow", visit, "list")
        assert flow.work_on("flow", visit, 1) == "done"
        (draft,) = flow.store.drafts(encounter_id=visit)

        def version(number: int) -> Draft:
            """A newer version of the draft, and its job."""
            assert draft.claim is not None
            seen = flow.store.draft(draft.id)
            noted = {**draft.claim, "priority": {"text": f"version {number}"}}
            taken = flow.store.keep_snapshot(Snapshot(f"{number}" * 64, TODAY, {}), "flow", visit)
            new = NewDraft(**{f.name: getattr(draft, f.name) for f in fields(NewDraft) if hasattr(draft, f.name)})
            return flow.store.save(replace(new, claim=noted), taken, ("ehr",), expected=seen)

        with flow.ehrs.unattended_site("flow") as (site, _):
            understood, _ = pipeline.look(site, visit)
            take = flow.store.take

            def take_and_stall(job: Delivery) -> bool:
                taken = take(job)
                monkeypatch.setattr(flow.store, "take", take)
                assert outbox.deliver(site, flow.store, understood, version(3)) == (True, None)
                return taken

            older = version(2)
            monkeypatch.setattr(flow.store, "take", take_and_stall)
            assert outbox.deliver(site, flow.store, understood, older) == (False, None)
        standing = flow.store.remote(draft.id, "ehr")
        assert standing is not None
        there = httpx.get(f"{sandbox_base}/Claim/{standing.claim_id}").json()
        assert there["priority"]["text"] == "version 3"


def test_slow_work_is_not_begun_a_second_time_while_its_process_lives(sandbox_base: str, tmp_path: Path) -> None:
    """An EHR that answers slowly keeps a visit longer than its lease: the lease grows with it."""
    with flowing(site_settings(sandbox_base, tmp_path, None, lease_seconds=0.5)) as flow:
        began = []

        def slowly(step: str) -> None:
            if step == "propose":
                began.append(step)
                time.sleep(2)

        flow.watch = slowly
        flow.store.arrivals.found("flow", VISIT, "list")
        until(lambda: work_of(flow, VISIT) is Work.DONE)
        assert began == ["propose"]
        assert flow.store.arrivals.all()[0].generation == 1


def test_a_defect_while_finding_is_shown_and_the_turn_is_given_back(
    sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look has its turn at once, and people read that something is wrong."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:

        def fail(*_: Any) -> None:
            raise KeyError("x")

        with monkeypatch.context() as broken:
            broken.setattr(flow.store.arrivals, "found", fail)
            assert flow.find("flow") == 0
        polled = flow.store.arrivals.polls()["flow"]
        assert polled.through is None
        assert polled.problem is not None
        assert "KeyError" in polled.problem
        assert flow.find("flow") > 0


def test_a_visit_that_takes_every_process_with_it_is_let_be(sandbox_base: str, tmp_path: Path) -> None:
    """Begun and never ended, again and again: in the end it waits for a person, and the queue says why."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        arrivals, begun = flow.store.arrivals, 0
        arrivals.found("flow", VISIT, "list")
        while due := arrivals.due({"flow"}):
            assert arrivals.begin("flow", VISIT, due[0].generation, -1)  # its lease is over already
            begun += 1
        assert begun == 11
        (item,) = flow.store.queue.page(Filter(states=(State.FAILED,)))
        assert item.reason is not None
        assert "died" in item.reason
        assert item.next_try_at is None


def test_a_change_that_comes_meanwhile_is_read_at_the_end(sandbox_base: str, tmp_path: Path) -> None:
    """Found again while it runs, the visit is worked on once more when the work ends."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        arrivals = flow.store.arrivals
        arrivals.found("flow", VISIT, "list")
        assert arrivals.begin("flow", VISIT, 1, 600)
        assert arrivals.found("flow", VISIT, "poll", "Encounter/x/_history/2")
        assert work_of(flow, VISIT) is Work.RUNNING
        assert arrivals.done("flow", VISIT, 1)
        assert work_of(flow, VISIT) is Work.WAITING
        assert arrivals.all()[0].generation == 2
        assert [i.state for i in flow.store.queue.page(Filter())] == [State.NEW]


def test_work_that_died_with_its_process_is_taken_up_under_a_new_name(sandbox_base: str, tmp_path: Path) -> None:
    """A lease that ran out gives the visit a new generation; the old one's end no longer counts."""
    with flowing(site_settings(sandbox_base, tmp_path, None), pump=False) as flow:
        arrivals = flow.store.arrivals
        arrivals.found("flow", VISIT, "list")
        assert arrivals.begin("flow", VISIT, 1, 600)
        assert not arrivals.due({"flow"})
        engine = create_engine(flow.settings.database)
        with engine.begin() as connection:
            connection.execute(update(ArrivalRow).values(running_until=datetime.now(UTC) - timedelta(seconds=1)))
        engine.dispose()
        (again,) = arrivals.due({"flow"})
        assert again.generation == 2
        assert not arrivals.begin("flow", VISIT, 1, 600)
        assert not arrivals.done("flow", VISIT, 1)
        assert work_of(flow, VISIT) is Work.WAITING


def test_two_processes_may_find_the_same_visits_at_once(tmp_path: Path) -> None:
    """On PostgreSQL both insert: the one that comes second goes on after the first, and each version is news once."""
    settings = site_settings("http://127.0.0.1:9/fhir", tmp_path, postgresql())
    stores = [Store.open(settings) for _ in range(2)]
    visits = [f"visit-{n}" for n in range(50)]
    together = threading.Barrier(2)

    def find(store: Store) -> list[bool]:
        news = []
        for visit in visits:
            together.wait(30)
            store.arrivals.poll(visit)
            together.wait(30)
            news.append(store.arrivals.found("flow", visit, "poll", f"Encounter/{visit}/_history/1"))
        return news

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(find, stores)
    assert [a != b for a, b in zip(first, second, strict=True)] == [True] * len(visits)
    assert len(stores[0].arrivals.all()) == len(visits)
    for store in stores:
        store.close()


def test_the_engine_keeps_ids_and_no_text(sandbox_base: str, tmp_path: Path) -> None:
    """In the engine's own tables stand names of work, ids and outcomes; nothing pickled, nothing of a note."""
    with flowing(site_settings(sandbox_base, tmp_path, None)) as flow:
        flow.store.arrivals.found("flow", VISIT, "list")
        until(lambda: work_of(flow, VISIT) is Work.DONE)
    held = b"".join(f.read_bytes() for f in tmp_path.glob("engine.db*"))
    assert b"claimwright-json" in held
    assert VISIT.encode() in held
    assert b"budget" not in held


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_visit_entered_in_error_withdraws_its_draft(status: str, sandbox_base: str, tmp_path: Path) -> None:
    """Polling sees that the Encounter is no visit any more; its undecided draft is withdrawn at the EHR too."""
    visit = "h2017-rehabilitation"
    with flowing(site_settings(sandbox_base, tmp_path, None, poll_overlap_minutes=0)) as flow:
        flow.store.arrivals.found("flow", visit, "list")
        until(lambda: work_of(flow, visit) is Work.DONE)
        (draft,) = flow.store.drafts(encounter_id=visit)
        assert draft.claim is not None
        flow.store.arrivals.poll("flow")
        flow.store.arrivals.polled("flow", datetime.now(UTC))  # from here on: the server holds many other visits
        touch(sandbox_base, "Encounter", visit, status=status)
        try:
            flow.find("flow")
            until(lambda: flow.store.drafts(encounter_id=visit)[0].state is State.WITHDRAWN)
        finally:
            touch(sandbox_base, "Encounter", visit, status="finished")
        remote = flow.store.remote(draft.id, "ehr")
        assert remote is not None
        until(lambda: httpx.get(f"{sandbox_base}/Claim/{remote.claim_id}").json()["status"] == "entered-in-error")
