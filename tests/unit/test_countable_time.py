"""From the times a note states to the minutes that count, statement by statement: which stand, which are taken off, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.documented_time import documented_time, union
from guardrails.policies import Aggregate, CodePolicy, EncounterMinutes, Policy
from guardrails.reading import Reading
from guardrails.time_statements import ClockRange, Duration, HalfDay, LoneStop, Role
from guardrails.verdict import Finding, Minutes, Quote
from guardrails.visit import NoteRole, Visit
from tests.conftest import DAY, ZONE, a_note, a_reading, a_visit, said_of


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def clock(text: str, at: int = 0, role: Role = Role.SESSION, half: HalfDay = HalfDay.STATED, **more: Any) -> ClockRange:
    """`14:00-14:45`, or `14:00` where no stop is stated; it stands at one character."""
    start, _, end = text.partition("-")
    return ClockRange((at, at + 1), _minute(start), _minute(end) if end else None, half, role, **more)


def length(minutes: int, at: int = 0, role: Role = Role.SESSION, of_psychotherapy: bool = False) -> Duration:
    return Duration((at, at + 1), minutes, role, of_psychotherapy)


def stop(text: str, at: int = 0, half: HalfDay = HalfDay.STATED) -> LoneStop:
    return LoneStop((at, at + 1), _minute(text), half)


def shown(minutes: Minutes | None) -> str | None:
    """`45 clock -0 [45] 14:00-14:45 @0`: minutes, source, what was taken off, contacts, intervals, places."""
    if minutes is None:
        return None
    intervals = " ".join(f"{s:%d,%H:%M}-{e:%d,%H:%M}".replace("02,", "") for s, e in minutes.intervals)
    where = ",".join(str(q.start) for q in minutes.where)
    contacts = "+".join(map(str, minutes.contacts))
    return f"{minutes.minutes} {minutes.source} -{minutes.subtracted} [{contacts}] {intervals} @{where}".replace(
        "  ", " "
    )


def a_code(book: Codebook, **more: Any) -> Code:
    code = book.find("H2014", DAY)
    assert code
    return replace(code, **more)


def timed(
    readings: Sequence[Reading],
    book: Codebook,
    policy: Policy,
    visit: Visit | None = None,
    cited: Any = (),
    **code: Any,
) -> tuple[str | None, list[Finding]]:
    visit = visit or a_visit(a_note("x"))
    found = documented_time(visit, readings, cited, a_code(book, **code), policy)
    return shown(found.minutes), list(found.findings)


def at(text: str, day: date = DAY) -> datetime:
    return datetime.combine(day, datetime.min.time(), ZONE) + timedelta(minutes=_minute(text))


OPEN, BARE = HalfDay.OPEN, HalfDay.BARE
DISAGREE, BACKWARDS, AMBIGUOUS = "TIME-020", "TIME-030", "TIME-031"
NO_TIME = said_of("TIME-010")
INTERRUPTED, UNCOUNTED, UNCLEAR = Role.INTERRUPTION, Role.NOT_COUNTABLE, Role.UNCLEAR


@pytest.mark.parametrize(
    ("times", "expected", "said"),
    [
        ([], None, [NO_TIME]),
        ([clock("14:00-14:45", 3)], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3, Role.OTHER)], None, [NO_TIME]),
        ([clock("14:00", 3)], None, [said_of("TIME-011", 3)]),
        ([clock("14:00", 3), clock("15:00", 5)], None, [said_of("TIME-011", 3, 5)]),
        ([clock("14:00", 3), length(45, 5)], "45 stated -0 [] @5", [said_of("TIME-012", 5)]),
        ([length(45, 5)], "45 stated -0 [] @5", [said_of("TIME-012", 5)]),
        ([length(45, 5), length(45, 7)], "45 stated -0 [] @5,7", [said_of("TIME-012", 5, 7)]),
        ([length(45, 5), length(50, 7)], None, [said_of(DISAGREE, 5, 7)]),
        ([length(45, 5), length(10, 7, INTERRUPTED)], "35 stated -10 [] @5", [said_of("TIME-012", 5)]),
        ([length(5, 5), length(10, 7, INTERRUPTED)], "0 stated -5 [] @5", [said_of("TIME-012", 5)]),
        ([length(45, 5, Role.OTHER)], None, [NO_TIME]),
        ([clock("14:00-14:45", 3), length(45, 5)], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3), length(60, 5)], None, [said_of(DISAGREE, 3, 5)]),
        ([clock("14:00-14:45", 3), length(45, 4), length(60, 5)], None, [said_of(DISAGREE, 3, 5)]),
        ([clock("14:00-14:45", 3), length(10, 5, INTERRUPTED)], "35 clock -10 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3), length(10, 5, INTERRUPTED), length(35, 6)], "35 clock -10 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3), length(10, 5, INTERRUPTED), length(45, 6)], "35 clock -10 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3), length(90, 5, INTERRUPTED)], "0 clock -45 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3), clock("14:00-14:45", 5)], "45 clock -0 [45] 14:00-14:45 @3,5", []),
        ([clock("14:00-14:45", 3), clock("14:15-15:00", 5)], None, [said_of(DISAGREE, 3, 5)]),
        ([clock("14:00-14:45", 3), clock("14:45-15:00", 5)], None, [said_of("TIME-033", 3, 5)]),
        ([clock("14:00-14:45", 3), clock("15:00", 5)], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([clock("14:45-14:00", 3)], None, [said_of(BACKWARDS, 3)]),
        ([clock("14:00-14:00", 3)], None, [said_of(BACKWARDS, 3)]),
        ([clock("14:45-14:00", 3), length(45, 5)], None, [said_of(BACKWARDS, 3)]),
        (
            [clock("14:45-14:00", 3), clock("15:00-15:30", 5)],
            "30 clock -0 [30] 15:00-15:30 @5",
            [said_of(BACKWARDS, 3)],
        ),
        ([clock("14:00-14:45", 3), length(5, 7, UNCLEAR)], "45 clock -0 [45] 14:00-14:45 @3", [said_of("TIME-034", 7)]),
        (
            [clock("14:00-14:45", 3), clock("15:00-15:10", 7, UNCLEAR), length(5, 9, UNCLEAR)],
            "45 clock -0 [45] 14:00-14:45 @3",
            [said_of("TIME-034", 7, 9)],
        ),
        ([length(5, 7, UNCLEAR)], None, [NO_TIME]),
        ([clock("05:00-05:45", 3)], "45 clock -0 [45] 05:00-05:45 @3", [said_of("TIME-021", 3, tolerance=5)]),
        ([clock("08:55-09:40", 3)], "45 clock -0 [45] 08:55-09:40 @3", []),
        ([clock("08:54-09:40", 3)], "46 clock -0 [46] 08:54-09:40 @3", [said_of("TIME-021", 3, tolerance=5)]),
        ([clock("16:00-16:35", 3)], "35 clock -0 [35] 16:00-16:35 @3", []),
        ([clock("16:00-16:36", 3)], "36 clock -0 [36] 16:00-16:36 @3", [said_of("TIME-021", 3, tolerance=5)]),
        ([length(455, 3)], "455 stated -0 [] @3", [said_of("TIME-012", 3)]),
        ([length(456, 3)], "456 stated -0 [] @3", [said_of("TIME-021", 3, tolerance=5), said_of("TIME-012", 3)]),
        ([clock("14:00-14:45", 3, dated=(2026, 3, 2))], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3, dated=(None, 3, 2))], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([clock("14:00-14:45", 3, dated=(2025, 3, 2))], None, [NO_TIME]),
        ([clock("14:00-14:45", 3, dated=(None, 3, 3))], None, [NO_TIME]),
        ([clock("14:00-14:45", 3, dated=(None, 2, 2))], None, [NO_TIME]),
    ],
)
def test_which_minutes_count(
    times: list[Any], expected: str | None, said: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Clock times before lengths; what disagrees, is another day's or lies elsewhere is said with its places."""
    found, findings = timed([a_reading(), a_reading(times=tuple(times))], book, whole_unit)
    assert found == expected
    assert sorted(findings, key=str) == sorted(said, key=str)


@pytest.mark.parametrize(
    ("text", "half", "expected", "said"),
    [
        ("02:00-02:45", OPEN, "45 clock -0 [45] 14:00-14:45 @3", []),
        ("10:00-10:45", OPEN, "45 clock -0 [45] 10:00-10:45 @3", []),
        ("05:00-05:45", OPEN, "45 clock -0 [45] 05:00-05:45 @3", [said_of("TIME-021", 3, tolerance=5)]),
        ("11:30-12:15", OPEN, "45 clock -0 [45] 11:30-12:15 @3", []),
        ("12:30-01:15", OPEN, "45 clock -0 [45] 12:30-13:15 @3", []),
        ("11:30-01:15", OPEN, "105 clock -0 [105] 11:30-13:15 @3", []),
        ("02:00-01:00", OPEN, None, [said_of(BACKWARDS, 3)]),
        ("08:00-04:00", OPEN, "480 clock -0 [480] 08:00-16:00 @3", [said_of("TIME-021", 3, tolerance=5)]),
        ("08:00-04:01", OPEN, None, [said_of(BACKWARDS, 3)]),
        ("02:00-02:00", OPEN, None, [said_of(BACKWARDS, 3)]),
        ("10:00-10:01", OPEN, "1 clock -0 [1] 10:00-10:01 @3", []),
        ("10:00-11:00", BARE, "60 clock -0 [60] 10:00-11:00 @3", []),
        ("02:00-03:00", BARE, "60 clock -0 [60] 14:00-15:00 @3", []),
        ("05:00-06:00", BARE, None, [said_of(AMBIGUOUS, 3)]),
    ],
)
def test_times_without_morning_or_afternoon(
    text: str, half: HalfDay, expected: str | None, said: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """The shortest reading that the visit's period holds; a bare one is not read without it."""
    assert timed([a_reading(times=(clock(text, 3, half=half),))], book, whole_unit) == (expected, said)


def test_a_facility_without_a_zone_places_no_time(book: Codebook, whole_unit: Policy) -> None:
    """Neither without a date."""
    note = [a_reading(times=(clock("14:00-14:45", 3),))]
    for changes in ({"zone": None}, {"date_of_service": None}):
        assert timed(note, book, whole_unit, a_visit(a_note("x"), **changes)) == (None, [said_of("TIME-032", 3)])


@pytest.mark.parametrize(
    ("starts", "ends", "times", "expected", "said"),
    [
        (None, None, clock("14:00-14:45", 3), "45 clock -0 [45] 14:00-14:45 @3", []),
        ("09:00", None, clock("14:00-14:45", 3), "45 clock -0 [45] 14:00-14:45 @3", [said_of("TIME-022", 3)]),
        ("09:00", "17:00", clock("14:00-14:45", 3), "45 clock -0 [45] 14:00-14:45 @3", []),
        ("09:00", "17:01", clock("14:00-14:45", 3), "45 clock -0 [45] 14:00-14:45 @3", [said_of("TIME-022", 3)]),
        ("23:20", "24:40", clock("23:30-00:30", 3), "60 clock -0 [60] 23:30-03,00:30 @3", [said_of("TIME-036", 3)]),
        ("23:20", "24:20", clock("23:30-00:30", 3), None, [said_of(BACKWARDS, 3)]),
        ("23:20", "24:40", clock("23:30-23:59", 3), "29 clock -0 [29] 23:30-23:59 @3", []),
        ("23:20", None, clock("23:30-00:30", 3), None, [said_of(BACKWARDS, 3)]),
        (None, "24:40", clock("23:30-00:30", 3), None, [said_of(BACKWARDS, 3)]),
    ],
)
def test_the_visits_period(
    starts: str | None,
    ends: str | None,
    times: ClockRange,
    expected: str | None,
    said: list[Finding],
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """It dates what runs past midnight, and is said where it is open or long."""
    visit = a_visit(a_note("x"), starts=at(starts) if starts else None, ends=at(ends) if ends else None)
    assert timed([a_reading(times=(times,))], book, whole_unit, visit) == (expected, said)


def test_the_hours_around_midnight(book: Codebook, whole_unit: Policy) -> None:
    """Midnight is the end of one day and the start of the next; noon's half of the day is the period's to say."""
    late = replace(with_addendum(), starts=at("22:50"), ends=at("24:10"))
    notes = [a_reading(times=(clock("23:00-00:00", 3),)), a_reading("note-2", lone_stops=(stop("12:00", 5),))]
    assert timed(notes, book, whole_unit, late)[0] == "60 clock -0 [60] 23:00-03,00:00 @3"
    early = a_visit(a_note("x"), starts=at("00:00"), ends=at("02:00"))
    gap = [
        a_reading(times=(clock("00:00-01:00", 3), clock("00:00-00:00", 50, INTERRUPTED), length(1, 60, INTERRUPTED)))
    ]
    assert timed(gap, book, whole_unit, early)[0] == "59 clock -1 [60] 00:00-01:00 @3"
    noon = [a_reading(times=(clock("12:10-01:00", 3, half=OPEN),))]
    assert timed(noon, book, whole_unit, early)[0] == "50 clock -0 [50] 00:10-01:00 @3"


def test_a_whole_day(book: Codebook, whole_unit: Policy) -> None:
    """Only where the times say which half and the period dates both."""
    visit = a_visit(a_note("x"), starts=at("01:50"), ends=at("38:10"))
    assert timed([a_reading(times=(clock("14:00-14:00", 3),))], book, whole_unit, visit)[0] == (
        "1440 clock -0 [1440] 14:00-03,14:00 @3"
    )
    unsure = [a_reading(times=(clock("02:00-02:00", 3, half=OPEN),))]
    assert timed(unsure, book, whole_unit, visit) == (None, [said_of(BACKWARDS, 3)])


AUTUMN = date(2026, 11, 1)  # the hour from one to two comes twice


@pytest.mark.parametrize(("text", "minutes"), [("00:30-01:15", 45), ("01:15-01:15", 60), ("01:30-01:15", 45)])
def test_the_hour_that_comes_twice(text: str, minutes: int, book: Codebook, whole_unit: Policy) -> None:
    """Its first passing, unless the start lies no earlier."""
    visit = a_visit(a_note("x"), date_of_service=AUTUMN, starts=at("00:00", AUTUMN), ends=at("03:00", AUTUMN))
    found = documented_time(visit, [a_reading(times=(clock(text, 3),))], (), a_code(book), whole_unit)
    assert found.minutes
    assert found.minutes.minutes == minutes


def test_a_union_knows_instants() -> None:
    """In order and merged by when they were, not by what the clock showed."""

    def then(text: str, fold: int = 0) -> datetime:
        return at(text, AUTUMN).replace(fold=fold)

    first, again = (then("01:45"), then("01:50")), (then("01:15", 1), then("01:30", 1))
    assert [(s.timestamp(), e.timestamp()) for s, e in union([again, first])] == [
        (s.timestamp(), e.timestamp()) for s, e in (first, again)
    ]
    long, short = (then("10:00"), then("12:00")), (then("10:30"), then("11:00"))
    assert union([short, long]) == [long]
    (merged,) = union([(then("01:00"), then("01:50")), (then("01:40"), then("01:15", 1))])
    assert merged[1].timestamp() == then("01:15", 1).timestamp()


def test_past_midnight_on_one_date(book: Codebook, whole_unit: Policy) -> None:
    """Where the payer takes the day of the start, and for codes that are not counted by the clock."""
    visit = a_visit(a_note("x"), starts=at("23:20"), ends=at("24:40"))
    note = [a_reading(times=(clock("23:30-00:30", 3),))]
    start = whole_unit.model_copy(update={"past_midnight": "start"})
    assert timed(note, book, start, visit)[1] == []
    assert timed(note, book, whole_unit, visit, unit_rule=UnitRule.SESSION)[1] == []
    for rule in (UnitRule.FLOOR, UnitRule.CEIL, UnitRule.MIDPOINT15):
        assert timed(note, book, whole_unit, visit, unit_rule=rule)[1] == [said_of("TIME-036", 3)]


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([clock("14:10-14:20", 50, INTERRUPTED)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, UNCOUNTED)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, Role.OTHER)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("14:00-14:20", 50, INTERRUPTED)], "40 clock -20 [40] 14:00-15:00 @3"),
        ([clock("14:40-15:00", 50, INTERRUPTED)], "40 clock -20 [40] 14:00-15:00 @3"),
        ([clock("13:50-14:20", 50, INTERRUPTED)], "40 clock -20 [40] 14:00-15:00 @3"),
        ([clock("14:40-15:20", 50, INTERRUPTED)], "40 clock -20 [40] 14:00-15:00 @3"),
        ([clock("13:00-14:00", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("15:00-15:20", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("14:20-14:10", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("14:10", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("14:10-14:10", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("02:10-02:20", 50, INTERRUPTED)], "60 clock -0 [60] 14:00-15:00 @3"),
        ([clock("02:10-02:20", 50, INTERRUPTED, OPEN)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, INTERRUPTED, OPEN)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        (
            [clock("14:10-14:20", 50, INTERRUPTED), clock("14:15-14:30", 60, INTERRUPTED)],
            "40 clock -20 [10+30] 14:00-15:00 @3",
        ),
        (
            [clock("14:40-14:50", 50, INTERRUPTED), clock("14:10-14:20", 60, INTERRUPTED)],
            "40 clock -20 [10+20+10] 14:00-15:00 @3",
        ),
        ([clock("14:10-14:20", 50, INTERRUPTED), length(10, 60, INTERRUPTED)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, INTERRUPTED), length(5, 60, INTERRUPTED)], "45 clock -15 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, INTERRUPTED), length(10, 110, INTERRUPTED)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 50, INTERRUPTED), length(10, 111, INTERRUPTED)], "40 clock -20 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 99, INTERRUPTED), length(10, 39, INTERRUPTED)], "50 clock -10 [10+40] 14:00-15:00 @3"),
        ([clock("14:10-14:20", 99, INTERRUPTED), length(10, 38, INTERRUPTED)], "40 clock -20 [10+40] 14:00-15:00 @3"),
        ([length(10, 50, INTERRUPTED), length(5, 60, INTERRUPTED)], "45 clock -15 [60] 14:00-15:00 @3"),
        ([length(10, 50, UNCOUNTED)], "60 clock -0 [60] 14:00-15:00 @3"),
    ],
)
def test_what_is_taken_off_a_session(gaps: list[Any], expected: str, book: Codebook, whole_unit: Policy) -> None:
    """Clock times inside it, once each, and stated lengths that none of them nearby restates."""
    note = a_reading(times=(clock("14:00-15:00", 3), *gaps))
    assert timed([note], book, whole_unit) == (expected, [])


def test_a_break_beside_a_length_is_no_disagreement(book: Codebook, whole_unit: Policy) -> None:
    """The whole, what is left, and each stated time's own length agree with the clock."""
    times = (clock("14:00-15:00", 3), clock("14:10-14:20", 50, INTERRUPTED))
    for stated in (60, 50):
        assert timed([a_reading(times=(*times, length(stated, 70)))], book, whole_unit)[0]
    assert timed([a_reading(times=(*times, length(55, 70)))], book, whole_unit) == (None, [said_of(DISAGREE, 3, 70)])


def test_a_break_that_is_not_placed(book: Codebook, whole_unit: Policy) -> None:
    """It matters where each stretch must reach its own unit."""
    apart = whole_unit.model_copy(update={"codes": {"H2014": CodePolicy(aggregate=Aggregate.PER_CONTACT)}})
    placed = [a_reading(times=(clock("14:00-15:00", 3), clock("14:10-14:20", 50, INTERRUPTED)))]
    somewhere = [a_reading(times=(clock("14:00-15:00", 3), length(10, 50, INTERRUPTED)))]
    assert timed(placed, book, apart)[1] == []
    assert timed(somewhere, book, apart) == ("50 clock -10 [60] 14:00-15:00 @3", [said_of("TIME-035", 3)])
    assert timed(somewhere, book, whole_unit)[1] == []


def test_an_interruption_without_a_length(book: Codebook, whole_unit: Policy) -> None:
    """In any note; nobody can say how long it was."""
    notes = [a_reading(times=(clock("14:00-14:45", 3),)), a_reading(interruption=9)]
    assert timed(notes, book, whole_unit) == ("45 clock -0 [45] 14:00-14:45 @3", [said_of("TIME-034", 9)])


@pytest.mark.parametrize(
    ("cited", "expected", "said"),
    [
        ([], None, [said_of("TIME-033", 3, 9)]),
        ([(3, 4)], "45 clock -0 [45] 14:00-14:45 @3", []),
        ([(9, 10)], "30 clock -0 [30] 15:00-15:30 @9", []),
        ([(0, 20)], "75 clock -0 [45+30] 14:00-14:45 15:00-15:30 @3,9", []),
        ([(3, 4), (9, 10)], "75 clock -0 [45+30] 14:00-14:45 15:00-15:30 @3,9", []),
        ([(0, 3)], None, [said_of("TIME-033", 3, 9)]),
        ([(4, 9)], None, [said_of("TIME-033", 3, 9)]),
        ([(10, 20)], None, [said_of("TIME-033", 3, 9)]),
    ],
)
def test_which_of_several_times_a_line_means(
    cited: list[tuple[int, int]], expected: str | None, said: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Those that its quotes cover."""
    note = a_reading(times=(clock("14:00-14:45", 3), clock("15:00-15:30", 9)))
    quotes = [Quote("note-1", start, end, "hash") for start, end in cited]
    assert timed([note], book, whole_unit, cited=quotes) == (expected, said)
    elsewhere = [quote._replace(note_id="note-2") for quote in quotes]
    assert timed([note], book, whole_unit, cited=elsewhere) == (None, [said_of("TIME-033", 3, 9)])


def test_a_programmes_day_holds_its_parts(book: Codebook, whole_unit: Policy) -> None:
    """Arrival and departure stand for what lies between them."""
    note = a_reading(times=(clock("09:00-12:00", 3), clock("09:00-10:00", 5), clock("10:30-12:00", 7)))
    for service in ("day_program", "substance_use_program"):
        assert timed([note], book, whole_unit, service=service) == ("180 clock -0 [180] 09:00-12:00 @3", [])
    assert timed([note], book, whole_unit) == (None, [said_of(DISAGREE, 3, 5, 7)])
    across = a_reading(times=(clock("09:00-12:00", 3), clock("11:00-13:00", 5)))
    assert timed([across], book, whole_unit, service="day_program") == (None, [said_of(DISAGREE, 3, 5)])


def with_addendum(role: NoteRole = NoteRole.ADDENDUM, continues: str | None = "note-1") -> Visit:
    return a_visit(a_note("x"), a_note("y", note_id="note-2", role=role, continues=continues))


def added(rule_id: str, *places: tuple[str, int], **slots: Any) -> Finding:
    return replace(said_of(rule_id, **slots), where=tuple(Quote(note, at, at + 1, "hash") for note, at in places))


@pytest.mark.parametrize(
    ("start", "stops", "continues", "expected", "said"),
    [
        (clock("14:00", 3), [stop("14:45", 5)], "note-1", "45 clock -0 [45] 14:00-14:45 @5", []),
        (clock("02:00", 3, half=OPEN), [stop("02:45", 5, OPEN)], "note-1", "45 clock -0 [45] 14:00-14:45 @5", []),
        (clock("02:00", 3, half=OPEN), [stop("14:45", 5)], "note-1", "45 clock -0 [45] 14:00-14:45 @5", []),
        (clock("14:00", 3), [stop("02:45", 5, OPEN)], "note-1", "45 clock -0 [45] 14:00-14:45 @5", []),
        (
            clock("05:00", 3, half=OPEN),
            [stop("05:45", 5, OPEN)],
            "note-1",
            "45 clock -0 [45] 05:00-05:45 @5",
            [added("TIME-021", ("note-2", 5), tolerance=5)],
        ),
        (
            clock("17:00", 3),
            [stop("17:45", 5)],
            "note-1",
            "45 clock -0 [45] 17:00-17:45 @5",
            [added("TIME-021", ("note-2", 5), tolerance=5)],
        ),
        (clock("14:00", 3), [stop("13:45", 5)], "note-1", None, [added(BACKWARDS, ("note-2", 5))]),
        (clock("14:00", 3), [stop("14:45", 5)], None, None, [said_of("TIME-011", 3)]),
        (clock("14:00", 3), [stop("14:45", 5), stop("15:00", 7)], "note-1", None, [said_of("TIME-011", 3)]),
        (clock("14:00", 3), [], "note-1", None, [said_of("TIME-011", 3)]),
    ],
)
def test_a_stop_that_an_addendum_adds(
    start: ClockRange,
    stops: list[LoneStop],
    continues: str | None,
    expected: str | None,
    said: list[Finding],
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """One start, one stop, and the addendum is that note's own."""
    notes = [a_reading(times=(start,)), a_reading("note-2", lone_stops=tuple(stops))]
    assert timed(notes, book, whole_unit, with_addendum(continues=continues)) == (expected, said)


def test_a_stop_is_added_to_one_start_only(book: Codebook, whole_unit: Policy) -> None:
    """Of two nobody knows which is meant; one that has its stop needs none; a note that is not the visit's adds nothing."""
    lone = a_reading("note-2", lone_stops=(stop("14:45", 5),))
    two = a_reading(times=(clock("14:00", 3), clock("13:00", 7)))
    assert timed([two, lone], book, whole_unit, with_addendum()) == (None, [said_of("TIME-011", 3, 7)])
    strange = a_reading("note-3", lone_stops=(stop("14:45", 5),))
    one = a_reading(times=(clock("14:00", 3),))
    assert timed([one, strange], book, whole_unit, with_addendum()) == (None, [said_of("TIME-011", 3)])


@pytest.mark.parametrize(
    ("times", "stops", "places"),
    [
        ((), [stop("14:45", 5)], []),
        ((), [stop("02:45", 5, OPEN)], []),
        ((), [stop("15:00", 5)], [5]),
        ((clock("14:00", 5),), [], []),
        ((clock("02:00", 5),), [], []),
        ((clock("13:00", 5),), [], [5]),
        ((clock("13:00", 5),), [stop("15:00", 7)], [5, 7]),
    ],
)
def test_an_addendum_that_states_another_time(
    times: tuple[ClockRange, ...], stops: list[LoneStop], places: list[int], book: Codebook, whole_unit: Policy
) -> None:
    """Which of the two holds, only a new note can say; another note's lone times contradict nothing."""
    notes = [a_reading(times=(clock("14:00-14:45", 3),)), a_reading("note-2", times=times, lone_stops=tuple(stops))]
    said = [added(DISAGREE, *(("note-2", at) for at in places))] if places else []
    expected = None if places else "45 clock -0 [45] 14:00-14:45 @3"
    assert timed(notes, book, whole_unit, with_addendum()) == (expected, said)
    assert timed(notes, book, whole_unit, with_addendum(NoteRole.BASE))[1] == []


OWN = "psychotherapy_add_on"


@pytest.mark.parametrize(
    ("times", "expected", "said"),
    [
        ([length(30, 3, of_psychotherapy=True)], "30 stated -0 [] @3", []),
        ([length(30, 3)], None, [said_of("TIME-013")]),
        ([clock("14:00-15:00", 5), length(30, 3)], None, [said_of("TIME-013", 5)]),
        ([length(30, 3, of_psychotherapy=True), length(30, 5, of_psychotherapy=True)], "30 stated -0 [] @3", []),
        ([length(30, 3, of_psychotherapy=True), length(40, 5, of_psychotherapy=True)], None, [said_of(DISAGREE, 3, 5)]),
        ([length(30, 3, Role.OTHER, True), length(30, 5, of_psychotherapy=True)], "30 stated -0 [] @5", []),
        ([length(30, 3, Role.OTHER, True)], "30 stated -0 [] @3", []),
        ([clock("14:00-15:00", 5), length(60, 3, of_psychotherapy=True)], "60 stated -0 [] @3", []),
        ([clock("14:00-15:00", 5), length(61, 3, of_psychotherapy=True)], None, [said_of(DISAGREE, 3, 5)]),
        (
            [clock("14:00-15:00", 5), clock("15:00-15:30", 7), length(90, 3, of_psychotherapy=True)],
            "90 stated -0 [] @3",
            [],
        ),
        ([clock("15:00-14:00", 5), length(61, 3, of_psychotherapy=True)], "61 stated -0 [] @3", []),
    ],
)
def test_psychotherapy_beside_an_evaluation(
    times: list[Any], expected: str | None, said: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Its own minutes, stated apart and within the visit's."""
    assert timed([a_reading(times=tuple(times))], book, whole_unit, service=OWN) == (expected, said)


def test_an_evaluation_leaves_psychotherapys_minutes_out(book: Codebook, whole_unit: Policy) -> None:
    """They belong to the add-on."""
    note = [a_reading(times=(length(30, 3, of_psychotherapy=True), length(45, 5)))]
    em: dict[str, Any] = {"service": "evaluation_and_management", "unit_rule": UnitRule.SESSION}
    assert timed(note, book, whole_unit, **em) == ("45 stated -0 [] @5", [])
    assert timed(note, book, whole_unit, unit_rule=UnitRule.SESSION) == (None, [said_of(DISAGREE, 3, 5)])


@pytest.mark.parametrize(
    ("stated", "least", "expected", "said"),
    [
        ([], 20, None, [NO_TIME]),
        ([], None, None, []),
        ([25], 20, "25 stated -0 [] @0", []),
        ([25, 25], 20, "25 stated -0 [] @0,1", []),
        ([10, 15, 25], 20, "25 stated -0 [] @0,1,2", []),
        ([25, 10, 15], 20, "25 stated -0 [] @0,1,2", []),
        ([10, 15], 20, None, [said_of(DISAGREE, 0, 1)]),
        ([10, 15], None, None, []),
        ([10, 15, 26], 20, None, [said_of(DISAGREE, 0, 1, 2)]),
    ],
)
def test_the_minutes_of_a_month(
    stated: list[int], least: int | None, expected: str | None, said: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """The only entry of a log, or the total that its entries add up to."""
    entries = (length(minutes, n, Role.OTHER) for n, minutes in enumerate(stated))
    note = [a_reading(times=(*entries, clock("14:00-14:45", 9)))]
    month: dict[str, Any] = {"unit_rule": UnitRule.PER_MONTH, "from_minute": least}
    assert timed(note, book, whole_unit, **month) == (expected, said)
    care: dict[str, Any] = {"service": "collaborative_care", "from_minute": least}
    assert timed(note, book, whole_unit, **care) == (expected, said)


def test_an_instrument_has_no_time(book: Codebook, whole_unit: Policy) -> None:
    """Nothing is asked of the note's."""
    assert timed([a_reading(times=(clock("15:00-14:00", 3),))], book, whole_unit, unit_rule=UnitRule.INSTRUMENT) == (
        None,
        [],
    )


def test_a_crowded_note_is_for_a_person(book: Codebook, whole_unit: Policy) -> None:
    """One is enough."""
    notes = [a_reading(times=(clock("14:00-14:45", 3),)), a_reading(crowded=True)]
    assert timed(notes, book, whole_unit) == (None, [said_of("TIME-038")])


@pytest.mark.parametrize(
    ("allowed", "rule", "service", "counts"),
    [
        (EncounterMinutes.ALL, UnitRule.EVENT, "assessment", True),
        (EncounterMinutes.EVENT_CODES, UnitRule.EVENT, "assessment", True),
        (EncounterMinutes.NEVER, UnitRule.EVENT, "assessment", False),
        (EncounterMinutes.ALL, UnitRule.SESSION, "assessment", True),
        (EncounterMinutes.EVENT_CODES, UnitRule.SESSION, "assessment", False),
        (EncounterMinutes.ALL, UnitRule.SESSION, "group_psychotherapy", False),
        (EncounterMinutes.ALL, UnitRule.SESSION, None, True),
        *(
            (EncounterMinutes.ALL, rule, "assessment", False)
            for rule in (UnitRule.PAYER15, UnitRule.FLOOR, UnitRule.CEIL, UnitRule.MIDPOINT15)
        ),
    ],
)
def test_the_period_in_place_of_the_notes_times(
    allowed: EncounterMinutes, rule: UnitRule, service: str | None, counts: bool, book: Codebook, whole_unit: Policy
) -> None:
    """Where the policy takes it, never for what is counted by the clock or is psychotherapy."""
    policy = whole_unit.model_copy(update={"encounter_minutes": allowed})
    expected: tuple[str | None, list[Finding]] = ("450 period -0 [] 09:00-16:30 @", [])
    absent: tuple[str | None, list[Finding]] = (None, [] if rule is UnitRule.EVENT else [NO_TIME])
    code: dict[str, Any] = {"unit_rule": rule, "service": service}
    assert timed([a_reading()], book, policy, **code) == (expected if counts else absent)
    for changes in ({"starts": None}, {"ends": None}, {"ends": at("09:00")}, {"ends": at("08:00")}):
        assert timed([a_reading()], book, policy, a_visit(a_note("x"), **changes), **code) == absent


@pytest.mark.parametrize("rule", [UnitRule.EVENT, UnitRule.PER_DIEM, UnitRule.UNDECIDED])
def test_time_on_a_code_that_counts_none(rule: UnitRule, book: Codebook, whole_unit: Policy) -> None:
    """Absence says nothing and disagreement is worth a word; with least minutes it counts as elsewhere."""
    never = whole_unit.model_copy(update={"encounter_minutes": EncounterMinutes.NEVER})
    assert timed([a_reading()], book, never, unit_rule=rule) == (None, [])
    assert timed([a_reading(times=(clock("14:00", 3),))], book, never, unit_rule=rule) == (None, [])
    note = [a_reading(times=(clock("14:00-14:45", 3), length(60, 5)))]
    word = replace(said_of(DISAGREE, 3, 5, effect="warn"), lacks=None)
    assert timed(note, book, never, unit_rule=rule) == (None, [word])
    assert timed(note, book, never, unit_rule=rule, from_minute=20) == (None, [said_of(DISAGREE, 3, 5)])
    assert timed([a_reading()], book, never, unit_rule=rule, from_minute=20) == (None, [NO_TIME])
    long = a_visit(a_note("x"), starts=at("01:00"))
    assert timed([a_reading(times=(clock("14:00-14:45", 3),))], book, never, long, unit_rule=rule)[1] == [
        said_of("TIME-022", 3)
    ]


def test_a_long_period_that_stands_for_the_time_is_not_compared_with_itself(book: Codebook, whole_unit: Policy) -> None:
    """Nor is an interruption taken off it."""
    visit = a_visit(a_note("x"), starts=at("01:00"))
    assert timed([a_reading(interruption=3)], book, whole_unit, visit, unit_rule=UnitRule.EVENT) == (
        "930 period -0 [] 01:00-16:30 @",
        [],
    )


def test_an_evaluation_over_several_days(book: Codebook, whole_unit: Policy) -> None:
    """It is billed on the day on which it concluded; a day before says nothing."""
    later, earlier = DAY + timedelta(days=1), DAY - timedelta(days=1)
    note = [
        a_reading(times=(clock("14:00-14:45", 3),), service_dates=((earlier, (5, 6)), (later, (7, 8)), (DAY, (9, 10))))
    ]
    for service in ("assessment", "diagnostic_evaluation", "diagnostic_evaluation_medical"):
        assert timed(note, book, whole_unit, service=service)[1] == [said_of("TIME-037", 7)]
        assert timed(note, book, whole_unit, service=service, unit_rule=UnitRule.EVENT)[1] == [said_of("TIME-037", 7)]
    assert timed(note, book, whole_unit)[1] == []
