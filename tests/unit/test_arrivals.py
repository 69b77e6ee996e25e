"""Visits found: told of by many at one moment, each is found once; an EHR is asked by one process at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from plugin.review.states import State
from plugin.store.arrivals import Work
from plugin.store.queue import Filter
from plugin.store.store import Store
from tests.databases import EVERY_DATABASE

pytestmark = EVERY_DATABASE

ROUNDS, MANY = 20, 4
Together = Callable[..., list[Any]]


@pytest.fixture
def together() -> Iterator[Together]:
    """Do things in several threads that begin at one moment, one thing in all of them or each its own; what came of it."""
    start = threading.Barrier(MANY)

    def one(what: Callable[[], Any]) -> Any:
        start.wait()
        return what()

    with ThreadPoolExecutor(MANY) as threads:
        yield lambda *what: list(threads.map(one, what if len(what) == MANY else what * MANY))


def test_a_visit_that_many_are_told_of_at_one_moment_is_found_once(store: Store, together: Together) -> None:
    """By hook and by list, in several processes: nobody fails, and there is one visit with one line in the queue."""
    for number in range(ROUNDS):
        visit = f"visit-{number}"
        together(partial(store.arrivals.found, "test", visit, "hook"))
    assert len(store.arrivals.all()) == ROUNDS
    assert {a.state for a in store.arrivals.all()} == {Work.WAITING}
    assert store.queue.counts() == {State.NEW: ROUNDS}


def test_a_version_that_many_see_at_one_moment_is_news_to_one(store: Store, together: Together) -> None:
    """Polled by several processes, the same change is taken up once."""
    for number in range(ROUNDS):
        version = f"Encounter/visit/_history/{number}"
        news = together(partial(store.arrivals.found, "test", "visit", "poll", version))
        assert sorted(news) == [False] * (MANY - 1) + [True]


def test_one_of_many_gets_the_turn_to_ask_an_ehr(store: Store, together: Together) -> None:
    """Also the very first time, when there is no row to lock; the turn is free again when it was over."""
    through = datetime(2026, 3, 2, tzinfo=UTC)
    for number in range(ROUNDS):
        turns = together(partial(store.arrivals.poll, f"ehr-{number}"))
        assert sorted(turns, key=str) == [False] * (MANY - 1) + [None]
        store.arrivals.polled(f"ehr-{number}", through)
        turns = together(partial(store.arrivals.poll, f"ehr-{number}"))
        assert sorted(turns, key=str) == [through] + [False] * (MANY - 1)


def test_how_far_an_ehr_was_asked_never_goes_back(store: Store) -> None:
    """An answer that was late, or failed and says why, leaves it where it was."""
    later = datetime(2026, 3, 2, tzinfo=UTC)
    for through, problem in ((later, None), (later - timedelta(days=1), None), (None, "the EHR answered 503")):
        assert store.arrivals.poll("test") is not False
        store.arrivals.polled("test", through, problem)
    polled = store.arrivals.polls()["test"]
    assert (polled.through, polled.problem) == (later, "the EHR answered 503")


def test_the_queue_keeps_step_with_work_that_many_do_at_one_moment(store: Store, together: Together) -> None:
    """Found again, done, failed and asked for anew at one moment: what is done has no line of its own, what failed has one."""
    for number in range(ROUNDS):
        visit = f"visit-{number}"
        store.arrivals.found("test", visit, "list")
        assert store.arrivals.begin("test", visit, 1, 60)
        together(
            partial(store.arrivals.found, "test", visit, "hook"),
            partial(store.arrivals.done, "test", visit, 1),
            partial(store.arrivals.failed, "test", visit, 1, "the EHR answered 503", again=True),
            partial(store.arrivals.retry, "test", visit),
        )
    states = {a.encounter_id: a.state for a in store.arrivals.all()}
    lines = {i.encounter_id: i.state for i in store.queue.page(Filter())}
    assert not {visit for visit in lines if states[visit] is Work.DONE}
    failed = {visit for visit, state in states.items() if state is Work.FAILED}
    assert failed == {visit for visit, state in lines.items() if state is State.FAILED}


def test_a_change_during_work_that_fails_for_good_is_worked_on_at_once(store: Store) -> None:
    """What failed was the older version; the newer one is no news a second time."""
    arrivals = store.arrivals
    arrivals.found("test", "visit", "poll", "Encounter/visit/_history/1")
    assert arrivals.begin("test", "visit", 1, 600)
    assert arrivals.found("test", "visit", "poll", "Encounter/visit/_history/2")
    arrivals.failed("test", "visit", 1, "the Encounter has no patient", again=False)
    (due,) = arrivals.due({"test"})
    assert due.generation == 2


def test_a_visit_that_failed_often_is_not_said_to_have_died_each_time(store: Store) -> None:
    """An EHR that was down for a day, and then one process that died: that is one death, and it is taken up again."""
    arrivals = store.arrivals
    arrivals.found("test", "visit", "poll")
    for generation in range(1, 12):
        assert arrivals.begin("test", "visit", generation, 600)
        arrivals.failed("test", "visit", generation, "the EHR answered 503", again=True)
    assert arrivals.begin("test", "visit", 12, -1)
    (due,) = arrivals.due({"test"})
    assert due.generation == 13


def test_an_ehr_with_many_visits_does_not_keep_another_waiting(store: Store) -> None:
    """Each has its share of what the engine takes, one of each in turn; what one does not need stays free."""
    for number in range(20):
        store.arrivals.found("busy", f"visit-{number}", "poll")
    store.arrivals.found("quiet", "visit", "poll")
    due = store.arrivals.due({"busy", "quiet"}, most=6)
    assert [a.ehr_id for a in due] == ["busy", "quiet", "busy", "busy"]
    for each in due:
        store.arrivals.handed_over(each)
    assert store.arrivals.due({"busy", "quiet"}, most=6) == []
    assert [a.encounter_id for a in store.arrivals.due({"busy"}, most=6)] == ["visit-3", "visit-4", "visit-5"]


def test_work_that_goes_on_is_not_taken_for_dead(store: Store) -> None:
    """Its lease is longer again; of work that was begun anew, or is over, nothing is said."""
    arrivals = store.arrivals
    arrivals.found("test", "visit", "poll")
    assert arrivals.begin("test", "visit", 1, -1)
    arrivals.at_work("test", "visit", 1, 600)
    assert arrivals.due({"test"}) == []
    assert not arrivals.done("test", "visit", 1)
    arrivals.at_work("test", "visit", 1, 600)
    assert arrivals.all()[0].state is Work.DONE
