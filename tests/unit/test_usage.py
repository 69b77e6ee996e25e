"""What asking a model takes is limited before and written down after; what became of its proposals is counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from plugin import usage
from plugin.proposers.protocol import Answer, InvalidReply, ModelUnavailable, OverLimit, Spent, TooLong
from plugin.review.states import State
from plugin.settings import Limits, ModelSettings, Settings
from plugin.snapshot import Snapshot
from plugin.store.records import ModelRequest, NewDraft
from plugin.store.store import Store
from prompts import ProposalRequest, Reply
from tests.conftest import skills

REQUEST = ProposalRequest(notes=(), codes=(), elements=(), level=None, education_modifier=None, payer_kind="medicaid")


class Scripted:
    """Answers, or fails, as told."""

    name, host = "m", "model.example"

    def __init__(self, outcome: Answer | Exception) -> None:
        self._outcome = outcome

    def propose(self, request: ProposalRequest) -> Answer:
        """What was told."""
        assert request is REQUEST
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three requests an hour, two of a visit; a price."""
    limits = Limits(model_requests_per_visit=2, model_requests_per_hour=3, model_requests_per_day=4)
    prices = ModelSettings(cents_per_million_input=100, cents_per_million_cached=10, cents_per_million_output=1000)
    return Settings(data_dir=tmp_path, limits=limits, model=prices)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A fresh store."""
    opened = Store.open(settings)
    yield opened
    opened.close()


def meter(store: Store, settings: Settings, visit_id: str = "visit-1") -> usage.Meter:
    """The meter of a visit whose snapshot is kept."""
    taken = store.keep_snapshot(
        Snapshot(visit_id.ljust(64, "0"), date(2026, 3, 2), {"proposer": "m", "prompt": "p"}), "test", visit_id
    )
    return usage.Meter(store, settings, dataclasses.replace(skills(), id=visit_id), taken)


def earlier(store: Store, visit_id: str, minutes: int) -> None:
    """A request made a while ago."""
    store.asked_model(
        ModelRequest(
            ehr_id="test",
            encounter_id=visit_id,
            snapshot_key=visit_id.ljust(64, "0"),
            model="m",
            prompt="p",
            at=datetime.now(UTC) - timedelta(minutes=minutes),
            requests=1,
            input_tokens=0,
            cached_tokens=0,
            output_tokens=0,
            seconds=0.0,
            cents=0.0,
        )
    )


def test_what_asking_took_is_written_down_with_its_cost(store: Store, settings: Settings) -> None:
    """Tokens, cached ones at their own price, seconds, cents; also where it failed."""
    one = meter(store, settings)
    reply = Reply(lines=[], nothing_because=None)
    answer = Answer(reply=reply, requests=2, input_tokens=10_000, cached_tokens=4_000, output_tokens=500, seconds=1.5)
    one.asked(Scripted(answer), REQUEST)
    with pytest.raises(ModelUnavailable):
        one.asked(Scripted(ModelUnavailable("down")), REQUEST)
    first, second = store.model_requests(encounter=("test", "visit-1"))
    assert (first.requests, first.seconds, first.failed) == (2, 1.5, None)
    assert first.cents == pytest.approx(6_000 * 1e-4 + 4_000 * 1e-5 + 500 * 1e-3)
    assert (second.requests, second.failed) == (1, "ModelUnavailable")


def test_what_a_failure_took_counts_against_the_limits(store: Store, settings: Settings) -> None:
    """Two requests with an answer that nobody could use are two, with their price; what never left is none."""
    one, useless, local = meter(store, settings), InvalidReply("broken twice"), TooLong("not cut")
    useless.spent, local.spent = Spent(requests=2, input_tokens=1800, output_tokens=120), Spent()
    for problem in (local, useless):
        one.allow()
        with pytest.raises(type(problem)):
            one.asked(Scripted(problem), REQUEST)
    assert [(r.requests, r.input_tokens, r.cents > 0) for r in store.model_requests()] == [
        (0, 0, False),
        (2, 1800, True),
    ]
    with pytest.raises(OverLimit):
        one.allow()


@pytest.mark.parametrize(
    ("made", "limit"),
    [
        ([("visit-1", 5), ("visit-1", 600)], "this visit's requests of a day"),
        ([("visit-2", 5), ("visit-3", 6), ("visit-4", 7)], "requests of an hour"),
        ([("visit-2", 5), ("visit-3", 100), ("visit-4", 200), ("visit-5", 300)], "requests of a day"),
    ],
)
def test_a_limit_says_which_it_is_and_until_when(
    store: Store, settings: Settings, made: list[tuple[str, int]], limit: str
) -> None:
    """Nothing is asked; the visit waits, and the message says for what."""
    one = meter(store, settings)
    for visit_id, minutes in made:
        meter(store, settings, visit_id)
        earlier(store, visit_id, minutes)
    with pytest.raises(OverLimit, match=f"{limit}.*waits until 20"):
        one.allow()


def test_below_the_limits_nothing_is_said(store: Store, settings: Settings) -> None:
    """What is past its window does not count."""
    one = meter(store, settings)
    earlier(store, "visit-1", 60 * 25)
    earlier(store, "visit-1", 90)
    one.allow()


def verdict(key: str, code: str, outcome: str, **more: Any) -> dict[str, Any]:
    """One line of a draft as it is kept."""
    return {"key": key, "proposal": {"code": code}, "outcome": outcome} | more


def test_what_people_corrected_is_counted_by_code(store: Store, settings: Settings) -> None:
    """Accepted, edited, set aside and added, per proposer, prompt and code; the worst comes first."""
    meter(store, settings)
    shown = {
        "verdicts": [
            verdict("p0", "H2014", "ready", fate="accepted"),
            verdict("p1", "90834", "held"),
            verdict("d1", "H0031", "ready", by="a", fate="open", replaces="p2"),
            verdict("d2", "H0032", "ready", by="a", fate="open", replaces=None),
        ],
        "set_aside": [
            {"key": "p2", "by": None, "fate": "replaced", "proposal": {"code": "H0031"}},
            {"key": "p3", "by": None, "fate": "rejected", "proposal": {"code": "H2014"}},
        ],
    }
    draft = NewDraft(
        id="d",
        ehr_id="test",
        encounter_id="visit-1",
        billing_provider="o",
        payer="p",
        state=State.READY,
        incomplete=False,
        claim=None,
        verdicts=shown,
    )
    store.save(draft, Snapshot("visit-1".ljust(64, "0"), date(2026, 3, 2), {}), ())
    found = usage.statistics(store)
    skills_ = found.fared["m", "p", "H2014"]
    assert (skills_.proposed, skills_.ready, skills_.accepted, skills_.set_aside) == (2, 1, 1, 1)
    assert found.fared["m", "p", "H0031"].edited == 1
    assert found.fared["m", "p", "H0032"].added_by_people == 1
    assert found.fared["m", "p", "90834"].held == 1
    assert [(k[2], f.wrong) for k, f in found.worst()] == [("H0031", 1.0), ("H0032", 1.0), ("H2014", 0.5)]
