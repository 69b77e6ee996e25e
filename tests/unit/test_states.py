"""Where a visit stands: the table of moves, and that the store asks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugin.review.states import DECIDED, MEANING, MOVES, NotAllowed, State, step
from plugin.settings import Settings
from plugin.store.records import Decision, Outlook
from plugin.store.store import Store
from tests.unit.test_store import draft, save

FINAL = {State.RELEASED}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def reached(start: set[State]) -> set[State]:
    """Everything that can be reached from there."""
    seen, waiting = set(start), list(start)
    while waiting:
        for after in MOVES[waiting.pop()] - seen:
            seen.add(after)
            waiting.append(after)
    return seen


def test_every_state_has_its_meaning_and_its_moves() -> None:
    """No state is left out of either table."""
    assert set(MEANING) == set(MOVES) == set(State)


def test_every_state_can_be_reached_and_none_but_released_is_a_dead_end() -> None:
    """From a visit just found one can come to every state, and on from every one but what went out."""
    assert reached({State.NEW}) == set(State)
    assert {s for s in State if not MOVES[s]} == FINAL


def test_nothing_goes_out_without_a_coder_s_word() -> None:
    """Released comes after approved alone, and approved after in review alone."""
    assert {s for s in State if State.RELEASED in MOVES[s]} == {State.APPROVED}
    assert {s for s in State if State.APPROVED in MOVES[s]} == {State.IN_REVIEW}


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_step_is_in_the_table_or_refused(before: State, after: State) -> None:
    """Staying is always allowed; every other step says so when the table has none."""
    if after is before or after in MOVES[before]:
        assert step(before, after) is after
    else:
        with pytest.raises(NotAllowed):
            step(before, after)


def test_what_is_decided_stays_decided_when_the_record_changes() -> None:
    """No state of a person's word is one that the unattended work may make anew."""
    assert not DECIDED & {State.NEW, State.READY, State.HELD, State.NOTHING, State.FAILED, State.RETURNED}


def test_the_store_refuses_a_step_that_the_table_has_not(store: Store) -> None:
    """A draft that waits for its clinician cannot become approved, whoever asks; it stays as it is."""
    save(store, draft())
    before = store.draft("test.e.1")
    assert before is not None
    outlook = Outlook(state=State.APPROVED, incomplete=False, claim=before.claim, verdicts=before.verdicts)
    asked = Decision(
        draft_id=before.id,
        snapshot_key=before.snapshot_key,
        revision=before.revision,
        account_id="somebody",
        person=None,
        action="approve",
        at=datetime.now(UTC),
    )
    with pytest.raises(NotAllowed):
        store.decide(before, asked, outlook, ())
    assert store.draft("test.e.1") == before
    assert store.decisions("test.e.1") == []
