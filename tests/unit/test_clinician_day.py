"""Where a clinician can have been: other clients' contacts, other clinicians beside this client, and the length of a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time

import pytest

from guardrails import clinician_day
from guardrails.codebook import Codebook
from guardrails.examined import Examined
from guardrails.policies import Limit, Policy
from guardrails.rules import Effect
from guardrails.verdict import Minutes
from guardrails.visit import BusyTime, Context, Known, OtherVisit
from tests.conftest import DAY, ZONE, skills
from tests.spec.test_lines_together import examined


def at(clock: str) -> datetime:
    return datetime.combine(DAY, time.fromisoformat(clock), ZONE)


def a_line(text: str, position: int, book: Codebook) -> Examined:
    """`H2014-HQ@b 14:00-14:45`, or `H2014@a 45` for a length without clock times."""
    what, times = text.split()
    one = examined(what, position, book)
    assert one.line
    start, _, end = times.partition("-")
    if end:
        interval = (at(start), at(end))
        minutes = Minutes(minutes=45, source="clock", intervals=(interval,))
    else:
        minutes = Minutes(minutes=int(times), source="stated", intervals=((at("14:00"), at("14:45")),))
    return replace(one, line=replace(one.line, minutes=minutes))


def said(
    lines: str, busy: str, book: Codebook, policy: Policy, same_day: tuple[OtherVisit, ...] = ()
) -> list[tuple[int, Effect, str]]:
    examined_lines = [a_line(each.strip(), n, book) for n, each in enumerate(lines.split(";"))]
    contacts = []
    for each in busy.split():
        who, _, times = each.rpartition("@")
        start, _, end = times.partition("-")
        contacts.append(BusyTime(clinician_id=who or "a", starts=at(start), ends=at(end)))
    context = Context(today=DAY, clinician_day=Known(tuple(contacts)), same_day_visits=Known(same_day))
    found = clinician_day.of_lines(examined_lines, skills(), context, policy)
    return [(c.position, f.effect, f.message) for c, f in found]


def with_another(start: str, end: str) -> tuple[int, Effect, str]:
    return 0, Effect.HOLD, f"From {start} to {end} the clinician is recorded with another client as well."


@pytest.mark.parametrize(
    ("line", "busy", "expected"),
    [
        ("H2014@a 14:00-14:45", "14:00-14:45", [with_another("14:00", "14:45")]),
        ("H2014@a 14:00-14:45", "b@14:00-14:45", []),
        ("H2014@a 14:00-14:45", "14:40-15:30", []),
        ("H2014@a 14:00-14:45", "14:39-15:30", [with_another("14:39", "15:30")]),
        ("H2014@a 14:00-14:45", "14:45-15:30", []),
        ("H2014@a 14:00-14:45", "14:30-15:30 14:10-14:20", [with_another("14:10", "14:20")]),
        ("H2014@a 14:00-14:45", "14:10-14:40 14:10-14:20", [with_another("14:10", "14:20")]),
        ("H2014@a 14:00-14:45", "13:00-14:02 14:10-14:20", [with_another("14:10", "14:20")]),
        ("H2014-HQ@a 14:00-14:45", "14:00-14:45", []),
        ("H0005@a 14:00-14:45", "14:00-14:45", []),
        ("H2014@a 45", "14:00-14:45", []),
        ("H0032@a 14:00-14:45", "14:00-14:45", []),
    ],
)
def test_another_clients_contact_in_the_lines_minutes(
    line: str, busy: str, expected: object, book: Codebook, whole_unit: Policy
) -> None:
    """The first contact that is longer beside the line than check-in explains; groups have several clients, stated lengths
    no place and event codes no minutes."""
    assert said(line, busy, book, whole_unit) == expected


BESIDE = "Another clinician served this client in the same minutes; some payers take that for teams only."


def other(start: str | None, end: str | None, *who: str, name: str = "visit-2") -> OtherVisit:
    return OtherVisit(
        id=name, starts=at(start) if start else None, ends=at(end) if end else None, clinician_ids=tuple(who)
    )


@pytest.mark.parametrize(
    ("lines", "visits", "who"),
    [
        ("H2014@a 14:00-14:45; H2017@b 14:30-15:00", (), [0, 1]),
        ("H2014@a 14:00-14:45; H2017@b 14:45-15:00", (), []),
        ("H2014@a 14:00-14:45; H2017@a 14:30-15:00", (), []),
        ("H2014@a 14:00-14:45", (other("14:30", "15:00", "b"),), [0]),
        ("H2014@a 14:00-14:45", (other("14:45", "15:00", "b"),), []),
        ("H2014@a 14:00-14:45", (other("14:30", "15:00", "b", "a"),), []),
        ("H2014@a 14:00-14:45", (other("14:30", "15:00"),), []),
        ("H2014@a 14:00-14:45", (other("14:30", "15:00", "b", name="visit-1"),), []),
        ("H2014@a 14:00-14:45", (other(None, "15:00", "b"),), []),
        ("H2014@a 14:00-14:45", (other("14:30", None, "b"),), []),
        ("H2014@a 14:00-14:45; H2017@b 14:30-15:00", (other("08:00", "09:00", "b"),), [0, 1]),
    ],
)
def test_another_clinician_beside_this_client(
    lines: str, visits: tuple[OtherVisit, ...], who: list[int], book: Codebook, whole_unit: Policy
) -> None:
    """On this visit or another of the day, by somebody else, in the same minutes."""
    found = said(lines, "", book, whole_unit, visits)
    assert found == [(n, Effect.WARN, BESIDE) for n in who]


def long_day(minutes: int, effect: Effect = Effect.WARN) -> tuple[int, Effect, str]:
    return 0, effect, f"The clinician's day holds {minutes} minutes with clients; the payer looks at more than 720."


FULL = (0, Effect.BLOCK, "The clinician's day would hold more than 24 hours.")


@pytest.mark.parametrize(
    ("lines", "busy", "expected"),
    [
        ("H2014@a 08:00-14:00", "14:00-20:00", []),
        ("H2014@a 08:00-14:00", "14:00-20:01", [long_day(721)]),
        ("H2014@a 08:00-14:00", "b@14:00-20:01", []),
        ("H2014@a 08:00:30-14:00", "14:00-20:01", []),
        ("H2014@a 08:00-14:00; H2017@a 361", "", [long_day(721), (1, *long_day(721)[1:])]),
        ("H2014@a 08:00-14:00; H2017@b 361", "", []),
        ("H2014@a 00:00-14:00; H2017@a 600", "", [long_day(1440), (1, *long_day(1440)[1:])]),
        ("H2014@a 00:00-14:00; H2017@a 601", "", [FULL, (1, *FULL[1:])]),
        ("H2014@a 14:00-14:45", "08:00-14:45 08:00-14:45", [with_another("08:00", "14:45")]),
    ],
)
def test_how_long_a_day_is(lines: str, busy: str, expected: object, book: Codebook, whole_unit: Policy) -> None:
    """Whole minutes with clients, each once; beyond the payer's limit a word, beyond 24 hours refused."""
    assert said(lines, busy, book, whole_unit) == expected


def test_the_payer_says_what_a_long_day_does(book: Codebook, whole_unit: Policy) -> None:
    """Its limit has its own effect."""
    holds = whole_unit.model_copy(update={"clinician_day_minutes": Limit(limit=720, effect=Effect.HOLD)})
    assert said("H2014@a 08:00-20:01", "", book, holds) == [long_day(721, Effect.HOLD)]
