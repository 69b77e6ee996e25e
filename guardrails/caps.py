"""How many units a client's claims may carry over a day, a month or a year: the payer's caps, and the nation's few (domain 3.10).

A line that alone exceeds a day's cap is the payer's to refuse. Where only the sum exceeds it, nobody can say which line is one
too many, so each waits. Other claims count where they were looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.examined import Examined
from guardrails.policies import Cap, Period, Policy
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, found
from guardrails.visit import Context, Known, OtherLine, Visit

PAYER_CAP = rule(
    "UNIT-041",
    Effect.BLOCK,
    "More units than the payer takes in a {per} ({cap}).",
    authority="domain 3.10, X-T08",
    cured_by=CuredBy.NOBODY,
)
TOO_OFTEN = rule(
    "EDIT-080",
    Effect.WARN,
    "With this line the client's claims carry more than {units} of {codes} in {per}.",
    authority="domain 3.10, PD-01, PD-06",
    cured_by=CuredBy.CODER,
)

_DAYS = {Period.TWELVE_MONTHS: 365, Period.SIX_MONTHS: 182}
_ONE_PER = {UnitRule.PER_MONTH: Period.MONTH, UnitRule.PER_DIEM: Period.DAY}


def of_proposal(
    code: Code, units: object, modifiers: Sequence[str], visit: Visit, codebook: Codebook, policy: Policy
) -> Iterator[Finding]:
    """A proposal that alone asks for more than a day's cap, whatever the record says."""
    on = visit.date_of_service
    if not isinstance(units, int) or on is None:
        return
    for cap in (*policy.caps, *codebook.edits.frequencies.get(code.code, ())):
        if code.code not in cap.codes or cap.per is not Period.DAY or units <= cap.units:
            continue
        named = _named_by_others(cap, policy) if cap.unmodified else frozenset()
        if _counts(cap, named, modifiers) and _of_age(cap, visit, on):
            yield found(PAYER_CAP, effect=cap.effect, authority=cap.source, cap=cap.units, per=cap.per.value)


def of_lines(
    alive: Sequence[Examined], visit: Visit, context: Context, codebook: Codebook, policy: Policy
) -> Iterator[tuple[Examined, Finding]]:
    """Findings of every cap on the lines that count toward it."""
    on = visit.date_of_service
    assert on is not None  # visit_status stops visits without a date
    elsewhere = context.client_lines.values if isinstance(context.client_lines, Known) else ()
    elsewhere = tuple([line for line in elsewhere if line.visit_id != visit.id])
    codes = {c.code.code: c.code for c in alive}
    known = [cap for code in codes for cap in codebook.edits.frequencies.get(code, ())]
    for cap in (*policy.caps, *known, *_of_their_nature(codes.values())):
        if codes.keys().isdisjoint(cap.codes) or not _of_age(cap, visit, on):
            continue
        named = _named_by_others(cap, policy) if cap.unmodified else frozenset()
        mine = [c for c in alive if c.line and c.code.code in cap.codes and _counts(cap, named, c.line.modifiers)]
        for candidate in mine:
            yield from _over(candidate, mine, cap, named, elsewhere, on, policy)


def _over(
    candidate: Examined,
    mine: Sequence[Examined],
    cap: Cap,
    named: frozenset[str],
    elsewhere: Sequence[OtherLine],
    on: date,
    policy: Policy,
) -> Iterator[tuple[Examined, Finding]]:
    line = candidate.line
    assert line is not None
    if line.units > cap.units and cap.per is Period.DAY:
        return  # said of the proposal already
    here = sum(
        [c.line.units for c in mine if c.line and (not cap.by_clinician or c.line.rendering_id == line.rendering_id)]
    )
    there = sum(
        [
            other.units or 1
            for other in elsewhere
            if other.code in cap.codes
            and _counts(cap, named, other.modifiers)
            and _within(other.date_of_service, on, cap.per, policy.year_begins)
            and (not cap.by_clinician or other.clinician_id in (line.rendering_id, None))
        ]
    )
    if here + there > cap.units:
        effect = Effect.HOLD if cap.effect is Effect.BLOCK else cap.effect
        codes = " and ".join(cap.codes)
        yield (
            candidate,
            found(TOO_OFTEN, effect=effect, authority=cap.source, units=cap.units, codes=codes, per=cap.per.words),
        )


def _of_their_nature(codes: Iterable[Code]) -> Iterator[Cap]:
    """One unit a day of a per-diem code and one a month of a monthly one, whoever bills it (PD-01, PD-06)."""
    for code in codes:
        per = _ONE_PER.get(code.unit_rule)
        if per is not None:
            yield Cap(codes=(code.code,), units=1, per=per, effect=Effect.HOLD, source="domain PD-01, PD-06")


def _named_by_others(cap: Cap, policy: Policy) -> frozenset[str]:
    """The modifiers by which the payer's caps of the same codes tell their kinds apart."""
    return frozenset().union(*[each.modifiers for each in policy.caps if not set(cap.codes).isdisjoint(each.codes)])


def _counts(cap: Cap, named: frozenset[str], modifiers: Sequence[str]) -> bool:
    if cap.unmodified:
        return not named & set(modifiers)
    return not cap.modifiers or bool(cap.modifiers & set(modifiers))


def _of_age(cap: Cap, visit: Visit, on: date) -> bool:
    if cap.age_below is None:
        return True
    age = visit.client_age(on)
    return age is not None and age < cap.age_below


def _within(when: date, on: date, per: Period, year_begins: int) -> bool:
    """Whether an earlier or same-day line falls into the period that the date of service lies in."""
    if per is Period.DAY:
        return when == on
    if per is Period.MONTH:
        return (when.year, when.month) == (on.year, on.month)
    if per is Period.YEAR:
        return _year(when, year_begins) == _year(on, year_begins)
    return on - timedelta(days=_DAYS[per]) < when <= on


def _year(day: date, begins: int) -> int:
    return day.year if day.month >= begins else day.year - 1
