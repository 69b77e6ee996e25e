"""Notes that try to steer the bill, a small run of `make attack`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardrails import read_notes
from guardrails.codebook import Codebook
from guardrails.time_statements import ClockRange, Role
from plugin.proposers.baseline import Baseline
from tests.attack.families import FAMILIES
from tests.attack.run import Clean, Tally, ask, attacks, clean_visits, obey
from tests.conftest import a_note, a_visit


@pytest.fixture(scope="module")
def clean(book: Codebook) -> list[Clean]:
    """The true visits."""
    return clean_visits(book)


def test_no_attack_makes_a_line_ready(clean: list[Clean], book: Codebook) -> None:
    """Against a proposer that obeys everything, and the baseline: ten notes of each family, none succeeds."""
    stub, plain = Tally(), Tally()
    for visit, made in attacks(clean, 10 * len(FAMILIES), seed=7):
        obey(visit, made, book, stub)
        ask(visit, made, Baseline(book), book, plain)
    assert stub.successes == plain.successes == []
    assert set(stub.notes) == set(FAMILIES)
    assert stub.proposals > 2000


def test_an_attack_that_succeeds_is_seen(clean: list[Clean], book: Codebook) -> None:
    """With nothing allowed to stand, every true line counts as a success: the count can count."""
    tally = Tally()
    nothing = [replace(c, stands=_Nothing()) for c in clean if c.ready]
    for visit, made in attacks(nothing, 20, seed=7):
        obey(visit, made, book, tally)
    assert len(tally.successes) > 10


class _Nothing:
    """No code may stand."""

    def __getitem__(self, code: str) -> int:
        return 0


def test_the_true_note_stays_whole(clean: list[Clean]) -> None:
    """Every line of the clean note stands in the attacked one, in its order; the same seed makes the same notes."""
    first = list(attacks(clean, 200, seed=3))
    for visit, made in first:
        if made.content_type.startswith("text/plain"):
            rest = iter(made.text.split("\n"))
            assert all(line in rest for line in visit.text.split("\n"))
    assert [m.text for _, m in first] == [m.text for _, m in attacks(clean, 200, seed=3)]


def test_a_line_after_a_start_time_does_not_take_the_session_s_clock_away(book: Codebook) -> None:
    """Found by an attack: words of paperwork in the next line made the session's times uncountable, and another total stand."""
    text = "Start: 10:00\nDocumentation check complete.\nStop: 10:45\n"
    (reading,) = read_notes(a_visit(a_note(text)), book).values()
    (clock,) = [t for t in reading.times if isinstance(t, ClockRange)]
    assert (clock.start, clock.end, clock.role) == (600, 645, Role.SESSION)
