"""From stated times to countable minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import pytest

from guardrails.codebook import Codebook
from guardrails.documented_time import documented_time
from guardrails.policies import Policy
from guardrails.reading import read
from guardrails.time_statements import read_times
from guardrails.visit import Visit
from tests.conftest import ZONE, a_note, a_visit


@pytest.fixture
def minutes(book: Codebook, whole_unit: Policy):  # type: ignore[no-untyped-def]
    """Minutes (or None) and rule ids for a note's text."""

    def run(text: str, code: str = "H2014", **changes: object) -> tuple[int | None, set[str]]:
        visit: Visit = a_visit(a_note(text), **changes)
        meaning = book.find(code, visit.date_of_service or date(2026, 3, 2))
        assert meaning is not None
        time = documented_time(visit, [read(n, book) for n in visit.notes], (), meaning, whole_unit)
        return (time.minutes.minutes if time.minutes else None), {f.rule_id for f in time.findings}

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start time: 10:00 AM\nStop time: 10:45 AM", (45, set())),
        ("Time: 10:00-10:45, total time: 45 minutes", (45, set())),
        ("Time: 10:00 AM - 11:00 AM. 10:20-10:30 client left the room.", (50, set())),
        ("Time: 10:00 AM - 11:00 AM. There was a 10 minute break. 50 minutes of skills training.", (50, set())),
        ("Time: 10:00 AM - 10:53 AM, plus 7 minutes for documentation.", (53, set())),
        ("Time: 10:00 AM - 10:45 AM. Total time: 60 minutes", (None, {"TIME-020"})),
        ("Session lasted 45 minutes.", (45, {"TIME-012"})),
        ("Total time: 45 minutes. Duration: 50 minutes", (None, {"TIME-020"})),
        ("Start time: 10:00 AM", (None, {"TIME-011"})),
        ("Time: 14:00 - 13:30", (None, {"TIME-030"})),
        ("Good session.", (None, {"TIME-010"})),
        ("Time: 5:00 AM - 5:45 AM", (45, {"TIME-021"})),
        ("Date of service: 02/23/2026 Time: 10:00 AM - 10:45 AM", (None, {"TIME-010"})),
    ],
)
def test_what_counts(minutes, text: str, expected: tuple[int | None, set[str]]) -> None:  # type: ignore[no-untyped-def]
    """Clock times before totals, gaps subtracted, what never counts left out, disagreement and absence held."""
    assert minutes(text) == expected


def test_a_time_without_am_or_pm_is_settled_by_the_visits_period(minutes) -> None:  # type: ignore[no-untyped-def]
    """X-T26: 10-11 stands if the period holds it, and is held if nothing settles it."""
    assert minutes("Time: 10-11") == (60, set())
    assert minutes("Time: 10-11", starts=None, ends=None) == (None, {"TIME-031"})


def test_two_contacts_on_one_day_are_added_if_the_quotes_say_so(book: Codebook, whole_unit: Policy) -> None:
    """Separate times belong to a line only as its quotes cover them; without quotes nobody guesses."""
    text = "Contact 1: 9:30 AM - 9:44 AM\nContact 2: 3:00 PM - 3:14 PM"
    visit = a_visit(a_note(text))
    reading = read(visit.notes.notes[0], book)
    code = book.find("H2014", date(2026, 3, 2))
    assert code is not None
    unsaid = documented_time(visit, [reading], (), code, whole_unit)
    assert {f.rule_id for f in unsaid.findings} == {"TIME-033"}
    both = documented_time(visit, [reading], (reading.at((0, len(text))),), code, whole_unit)
    assert both.minutes is not None
    assert both.minutes.minutes == 28
    first = documented_time(visit, [reading], (reading.at((0, 20)),), code, whole_unit)
    assert first.minutes is not None
    assert first.minutes.minutes == 14


def test_daylight_saving_nights_count_real_minutes(minutes) -> None:  # type: ignore[no-untyped-def]
    """TM-04: 1:30 to 3:15 on the night the clocks jump ahead is 45 minutes, not 105."""
    night = {
        "date_of_service": date(2026, 3, 8),
        "starts": datetime(2026, 3, 8, 1, 20, tzinfo=ZONE),
        "ends": datetime(2026, 3, 8, 3, 30, tzinfo=ZONE),
    }
    assert minutes("Time: 1:30 AM - 3:15 AM", **night) == (45, set())


def test_the_repeated_hour_is_read_forward(minutes) -> None:  # type: ignore[no-untyped-def]
    """X-T29: 1:30 daylight time to 1:15 standard time is 45 real minutes."""
    night = {
        "date_of_service": date(2026, 11, 1),
        "starts": datetime(2026, 11, 1, 1, 20, tzinfo=ZONE),
        "ends": datetime(2026, 11, 1, 1, 30, tzinfo=ZONE).replace(fold=1),
    }
    assert minutes("Time: 01:30 AM - 01:15 AM", **night) == (45, set())


def test_a_period_left_open_is_worth_a_word_only(minutes) -> None:  # type: ignore[no-untyped-def]
    """X-T27: the note's time is used."""
    assert minutes("Time: 10:00 AM - 10:45 AM", ends=None) == (45, {"TIME-022"})


def test_time_on_an_event_code_never_holds(minutes) -> None:  # type: ignore[no-untyped-def]
    """Domain 4.2 C03: for codes not counted in minutes, absence says nothing and disagreement warns."""
    assert minutes("Good session.", code="H0032")[1] == set()
    text = "Time: 10:00 AM - 10:45 AM. Total time: 60 minutes"
    assert minutes(text, code="H0032") == (None, {"TIME-020"})


def test_a_stated_time_must_fit_the_visits_period(minutes) -> None:  # type: ignore[no-untyped-def]
    """Invariant 5: more stated minutes than the visit lasted are held."""
    short = replace(a_visit(), ends=datetime(2026, 3, 2, 9, 30, tzinfo=ZONE))
    assert "TIME-021" in minutes("Session lasted 45 minutes.", ends=short.ends)[1]


@pytest.mark.parametrize(
    "text",
    [
        "Start time: 2:00 PM\nStop time: 3:00 PM (includes 20 minutes of documentation)",
        "Start time: 2:00 PM\nStop time: 3:00 PM\nClient fell asleep for 20 minutes.",
        "Start time: 2:00 PM\nStop time: 3:00 PM\nLast 20 minutes were spent writing the note.",
        "Start time: 2:00 PM\nStop time: 3:00 PM\nTwo 10-minute breaks were taken.",
        "Start time: 2:00 PM\nStop time: 3:00 PM\nClient stepped out at 2:20 and came back at 2:40.",
        "Time: 2:00 PM - 2:30 PM\nSession 2:00 PM - 3:00 PM.",
        "Total time: 60 minutes\nTime in psychotherapy 35 min",
        "Time: 2:00 PM - 3:00 PM\nPsychotherapy 30 minutes, medication review 30 minutes.",
        "Time: 60 minutes. Of these, the first 25 minutes were with the mother alone.",
        "Client was seen for a 60-minute session. Client left early, after 30 minutes.",
        "Panic attack lasted 60 minutes.",
        "Her AA meeting was 60 minutes.",
        "Client talked with her sister for 90 minutes.",
        "Client spent 60 minutes on the bus.",
        "Authorization: 60 minutes of psychotherapy.",
        "Clinic hours 9:30 AM - 12:00 PM",
        "Client takes clonazepam at 2 PM and 3 PM.",
        "Client watched TV from 1:00 PM to 4:00 PM on Sunday.",
        "Contact of 02/23/2026:\n1:00 PM - 4:00 PM shopping.",
        "Feb 23: 1:00 PM - 4:00 PM shopping.",
    ],
)
def test_time_that_is_not_surely_the_sessions_holds(minutes, text: str) -> None:  # type: ignore[no-untyped-def]
    """Parts, pauses, other people's and other days' times: the line waits for the note, it does not take the larger."""
    held = {"TIME-010", "TIME-011", "TIME-012", "TIME-020", "TIME-031", "TIME-033", "TIME-034"}
    assert minutes(text)[1] & held


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Start time: 2:00 PM\nStop time: 3:00 PM\nTravel time: 2:00 PM - 2:20 PM", 40),
        ("Time: 2:00 PM - 3:00 PM. Documentation 2:45 PM - 3:00 PM.", 45),
        ("Time: 2:00 PM - 3:00 PM. Telehealth connection lost 2:10 PM - 2:40 PM.", 30),
        ("Bank is open 1:00 PM to 4:00 PM.\nStart time: 2:00 PM\nStop time: 2:30 PM", 30),
    ],
)
def test_clock_times_inside_the_session_that_do_not_count_are_taken_off(minutes, text: str, expected: int) -> None:  # type: ignore[no-untyped-def]
    """TM-02, TM-06: what has its own clock times is subtracted."""
    assert minutes(text)[0] == expected


def test_a_run_of_blanks_is_read_in_linear_time() -> None:
    """A table's padding after "start" once took minutes; now a thousand times as much is done before a test could notice."""
    assert read_times("Service\nstart" + " " * 40_000 + "x") == ()


def test_a_note_that_states_hundreds_of_times_is_for_a_person(minutes) -> None:  # type: ignore[no-untyped-def]
    """Past the limit none is chosen, whichever kind they are, so that a note made to be slow is neither slow nor billed."""
    session = "Start time: 10:00 AM\nStop time: 10:45 AM\n"
    for many in ("They spoke for 5 minutes. ", "From 9:00 to 9:05 am. ", "Stop time: 11:00 AM. "):
        assert minutes(session + many * 250) == (None, {"TIME-038"})
