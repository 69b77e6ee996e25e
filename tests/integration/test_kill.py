"""Workers killed with SIGKILL at each step of a visit: nothing is lost, nothing is doubled, no kept reply is paid twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plugin.store.arrivals import Work
from plugin.store.store import Store
from sandbox import server
from tests.databases import EVERY_DATABASE, postgresql
from tests.kill.practice import EHR, practice
from tests.kill.worker import POINTS


@pytest.fixture
def bare_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real FHIR server, empty: polling finds the visits of one test alone."""
    with server.running(tmp_path_factory.mktemp("kill-ehr")) as base:
        yield base


@EVERY_DATABASE
def test_a_worker_that_is_killed_at_any_step_loses_and_doubles_nothing(
    database: str | None, bare_base: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At each point a worker is killed once and started again; of two on PostgreSQL one stays dead, and the other finishes."""
    folder = tmp_path_factory.mktemp("postgresql" if database else "sqlite")
    names = ("w0", "w1") if database else ("w0",)
    with practice(bare_base, folder, database, patience=6) as here:
        here.clinic()
        here.kill_at_each(names, POINTS)
        assert sum(here.kills.values()) == len(POINTS)
        here.start(names[-1])
        store = Store.open(here.settings)
        store.arrivals.found(EHR, "nobody", "list")
        settled = here.settled(store, within=120)
        counts = here.counts(store)
        assert not counts.problems
        assert settled
        assert counts.visits == counts.claims > len(POINTS) / 2
        (nobody,) = [a for a in store.arrivals.all() if a.encounter_id == "nobody"]
        assert (nobody.state, bool(nobody.reason)) == (Work.FAILED, True)
        store.close()


def test_a_delivery_that_died_with_a_worker_that_never_comes_back_is_brought_by_the_other(
    bare_base: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The engine holds its try for the dead worker for good; another try begins under a new name."""
    names = ("w0", "w1")
    with practice(bare_base, tmp_path_factory.mktemp("dead"), postgresql(), patience=4) as here:
        here.clinic()
        here.kill_at_each(names, ("taken", "taken", "delivering", "delivering"))
        here.start("w1")
        store = Store.open(here.settings)
        assert here.settled(store, within=120)
        assert not here.counts(store).problems
        store.close()
