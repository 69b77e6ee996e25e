"""Minutes to units: one function per rule of the field (domain 3.2), and the rules that compare a proposal with them.

All functions take whole minutes and return whole units. None ever rounds toward the proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.policies import Policy, QuarterHourRule
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Fix, Minutes, Quote, found

NOT_A_COUNT = rule(
    "UNIT-010",
    Effect.BLOCK,
    "Units must be a whole number of at least 1.",
    authority="domain X-T38, X-T39",
    cured_by=CuredBy.NOBODY,
)
BELOW_LOWEST = rule(
    "UNIT-020",
    Effect.BLOCK,
    "The documented minutes do not reach the first unit of this service.",
    authority="domain 3.2, 3.3, X-T02, X-T12",
    cured_by=CuredBy.NOBODY,
)
ATTENDED = rule(
    "UNIT-022",
    Effect.HOLD,
    "{code} usually stands for at least {minutes} minutes of a day or month, and the record states fewer.",
    authority="domain PD-06, PD-07, 2.5, 3.6; CMS HCPCS text",
    cured_by=CuredBy.CODER,
)
BELOW_LOWEST_PAYER = rule(
    "UNIT-021",
    Effect.HOLD,
    "The documented minutes reach a unit under some payers' rules and not under the lowest; the payer's rule is not known.",
    authority="domain 3.5",
    cured_by=CuredBy.CODER,
)
TOO_MANY = rule(
    "UNIT-030",
    Effect.FIX,
    "Proposed {proposed} units; the record supports {documented} ({arithmetic}).",
    authority="domain 3.2-3.5, 0.3 (5)",
    cured_by=CuredBy.CODER,
)
TOO_HIGH = rule(
    "UNIT-031",
    Effect.FIX,
    "The documented minutes are those of {lower}, not of the proposed {code}.",
    authority="domain 3.3; Novitas 00026768",
    cured_by=CuredBy.CODER,
)
ONE_ONLY = rule(
    "UNIT-032",
    Effect.FIX,
    "{code} is billed once per session; proposed {proposed} units.",
    authority="domain 3.3, X-T14, X-T22, X-E43; NCCI Medicaid manual ch. XI",
    cured_by=CuredBy.CODER,
)
AT_THE_EDGE = rule(
    "UNIT-033",
    Effect.WARN,
    "Sources disagree whether a further block of crisis psychotherapy begins at {minutes} minutes or one later.",
    authority="domain 3.3, X-T19 (Q2)",
    cured_by=CuredBy.CODER,
)
NOTHING_COUNTED = rule(
    "UNIT-034",
    Effect.HOLD,
    "The note names no instrument together with its score, so there is none for {code} to count.",
    authority="domain 4.7 96127, G0396",
    cured_by=CuredBy.NOTE,
    lacks="N02",
)
PHYSICAL = rule(
    "UNIT-040",
    Effect.BLOCK,
    "More units than a day has room for ({cap}).",
    authority="domain 0.3 (8), X-T07",
    cured_by=CuredBy.NOBODY,
)
UNIT_LIMIT = rule(
    "UNIT-042",
    Effect.BLOCK,
    "More units than the payer takes on one line of this code ({cap}); the whole line would be denied.",
    authority="NCCI medically unlikely edits, of the loaded table; domain 6.4",
    cured_by=CuredBy.NOBODY,
)
LOWER_THAN_RECORD = rule(
    "UNIT-050",
    Effect.WARN,
    "The proposal asks for less than the record states; the line keeps the proposal.",
    authority="domain X-T16; design: never upward",
    cured_by=CuredBy.CODER,
)
LOWEST_RULE = rule(
    "UNIT-060",
    Effect.WARN,
    "The payer's unit rule is not known: proposed {proposed}, {units} under the lowest rule.",
    authority="domain 3.5",
    cured_by=CuredBy.CODER,
)
UNDECIDED = rule(
    "UNIT-070",
    Effect.HOLD,
    "How {code} is counted is not in the loaded tables; a person must decide.",
    authority="domain 2.1, 3.5",
    cured_by=CuredBy.CODER,
)

MINUTES_A_DAY = 24 * 60
_CAPS = {UnitRule.PAYER15: 96, UnitRule.CEIL: 96, UnitRule.MIDPOINT15: 96, UnitRule.FLOOR: 24, UnitRule.EACH: 48}


def whole(minutes: int, size: int = 15) -> int:
    """Whole blocks only (`FLOOR15`, `FLOOR_N`; Texas, Michigan)."""
    return minutes // size


def midpoint15(minutes: int) -> int:
    """A quarter hour counts from its eighth minute (`MID15`; Florida, Mississippi, CPT 97151-97158)."""
    return (minutes + 7) // 15


def ceiling(minutes: int, size: int = 15) -> int:
    """Every block begun counts (`CEIL15`): only for codes whose text says "up to 15 minutes"."""
    return -(-minutes // size)


def each_from(minutes: int, first: int, step: int) -> int:
    """Units of an add-on: the first from `first` total minutes, one more per `step` (domain 3.3, 3.6)."""
    return 0 if minutes < first else (minutes - first) // step + 1


def tenths_of_hour(minutes: int) -> int:
    """Tenths of an hour, nearest with 4 minutes reaching the first (`TENTHS_HOUR`; Texas SHARS, dated)."""
    return (minutes + 2) // 6


def pooled(minutes: Mapping[str, int]) -> dict[str, int]:
    """Units per code under the CMS 8-minute rule: pool the day's minutes, whole units first, remainders by size.

    Source: Medicare Claims Processing Manual ch. 5 §20.2 (domain 3.4). Ties go to the lowest code.
    """
    units = {code: own // 15 for code, own in minutes.items()}
    left = midpoint15(sum(minutes.values())) - sum(units.values())
    by_remainder = sorted(minutes, key=lambda code: (-(minutes[code] % 15), code))
    for code in by_remainder[: max(0, left)]:
        units[code] += 1
    return units


def quarter_hours(minutes: int, by: QuarterHourRule) -> int:
    """Units of a "per 15 minutes" code as one payer counts them (domain 3.5)."""
    return _QUARTER_HOURS[by](minutes)


_QUARTER_HOURS: Mapping[QuarterHourRule, Callable[[int], int]] = {
    QuarterHourRule.FLOOR15: whole,
    QuarterHourRule.MID15: midpoint15,
    QuarterHourRule.CEIL15: ceiling,
    QuarterHourRule.POOLED15: midpoint15,  # of one code alone; `pooled` where several share a day
}


class Counted(NamedTuple):
    """What the documented minutes support: units of which code, and the arithmetic as a person would write it."""

    code: Code
    units: int
    arithmetic: str
    highest: int  # under the most generous rule; differs from `units` only where the payer's rule is not known


def count(code: Code, minutes: Minutes | None, policy: Policy, codebook: Codebook, on: date) -> Counted | None:
    """What the record supports for a code or, on a ladder, for the rung that the minutes reach.

    None where nothing can be said: the minutes are not known, or how the code is counted is not in the tables.
    """
    rule_of_code = code.unit_rule
    if rule_of_code in UNCOUNTED:
        return _single(code, minutes)
    if minutes is None or rule_of_code in _NOT_BY_MINUTES:
        return None
    if rule_of_code is UnitRule.PAYER15:
        return _payer15(code, minutes, policy)
    if rule_of_code is UnitRule.SESSION:
        return _session(code, minutes.minutes, codebook, on)
    units, shown = _IN_BLOCKS[rule_of_code](code, minutes.minutes)
    return Counted(code, units, f"{_stated(minutes.minutes)}, {shown}", units)


_NOT_BY_MINUTES = frozenset({UnitRule.UNDECIDED, UnitRule.INSTRUMENT})


def _stated(minutes: int) -> str:
    return f"{minutes} documented minutes"


def _session(code: Code, minutes: int, codebook: Codebook, on: date) -> Counted:
    rung = _rung(code, minutes, codebook, on)
    if rung is None:
        return Counted(code, 0, f"{_stated(minutes)}, below the first unit", 0)
    return Counted(rung, 1, f"{_stated(minutes)}, one session", 1)


def _each(code: Code, minutes: int) -> tuple[int, str]:
    units = each_from(minutes, code.from_minute or 0, code.step_minutes or 1)
    return units, f"{units} further block(s)"


def _begun(code: Code, minutes: int) -> tuple[int, str]:
    return ceiling(minutes, code.step_minutes or 15), f"each {code.step_minutes} begun"


def _whole(code: Code, minutes: int) -> tuple[int, str]:
    units = whole(minutes, code.step_minutes or 60)
    return units, f"{units} x {code.step_minutes}"


def _from_the_middle(_: Code, minutes: int) -> tuple[int, str]:
    units = midpoint15(minutes)
    return units, f"{units} x 15"


_IN_BLOCKS: Mapping[UnitRule, Callable[[Code, int], tuple[int, str]]] = {
    UnitRule.EACH: _each,
    UnitRule.CEIL: _begun,
    UnitRule.FLOOR: _whole,
    UnitRule.MIDPOINT15: _from_the_middle,
}
"""The units of a number of minutes, and how a person would write it."""


def _single(code: Code, minutes: Minutes | None) -> Counted | None:
    """One a day or a month, from the first minute on or, where the code or the payer asks for more, from that many."""
    per = "one per month" if code.unit_rule is UnitRule.PER_MONTH else "one per date of service"
    if code.from_minute is None:
        return Counted(code, 1, per, 1)
    if minutes is None:
        return None
    units = 1 if minutes.minutes >= code.from_minute else 0
    return Counted(code, units, f"{minutes.minutes} documented minutes, {per} from {code.from_minute}", units)


def _payer15(code: Code, minutes: Minutes, policy: Policy) -> Counted:
    by, m = policy.rule_for(code.code), minutes.minutes
    stated = _stated(m)
    if code.from_minute and m < code.from_minute:
        return Counted(code, 0, f"{stated}, below the first unit", 0)
    if by is not None and policy.contacts_apart(code.code) and len(minutes.contacts) > 1:
        each = [quarter_hours(contact, by) for contact in minutes.contacts]
        shown = " + ".join(str(contact) for contact in minutes.contacts)
        return Counted(code, sum(each), f"{shown} documented minutes, each apart, {sum(each)} x 15", sum(each))
    if by is None:
        units = {each: quarter_hours(m, each) for each in QuarterHourRule}
        lowest = min(units.values())
        return Counted(code, lowest, f"{stated}, {lowest} x 15 under the lowest rule", max(units.values()))
    units_now = quarter_hours(m, by)
    return Counted(code, units_now, f"{stated}, {units_now} x 15", units_now)


def shares(of_code: Mapping[str, tuple[Code, Minutes]]) -> dict[str, Counted]:
    """Each code's part of the day's pool of quarter hours (`pooled`), where several codes of one clinician share it."""
    if len(of_code) < 2:
        return {}
    units = pooled({code: minutes.minutes for code, (_, minutes) in of_code.items()})
    total = sum(minutes.minutes for _, minutes in of_code.values())
    return {
        name: Counted(
            code,
            units[name],
            f"{minutes.minutes} of {total} documented minutes, {units[name]} of {sum(units.values())} x 15 pooled",
            units[name],
        )
        for name, (code, minutes) in of_code.items()
    }


def instruments(code: Code, scored: Collection[str]) -> Counted:
    """One unit for each instrument that the note names with a score (domain 2.6, 4.7)."""
    return Counted(code, len(scored), f"{len(scored)} scored instrument(s)", len(scored))


def _rung(code: Code, minutes: int, codebook: Codebook, on: date) -> Code | None:
    """The highest rung of the code's ladder whose range holds the minutes."""
    fitting = [
        rung
        for rung in codebook.ladder(code, on)
        if minutes >= (rung.from_minute or 0)
        and (code.ladder is None or rung.to_minute is None or minutes <= rung.to_minute)
    ]
    return fitting[-1] if fitting else None


UNCOUNTED = frozenset({UnitRule.EVENT, UnitRule.PER_DIEM, UnitRule.PER_MONTH})
"""One a day or a month, however long."""
SINGLE = UNCOUNTED | {UnitRule.SESSION}
"""One a session, a day or a month."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The units that a line may carry, with what was found and the lower value that fits, if one does."""

    units: int
    arithmetic: str
    findings: tuple[Finding, ...]
    fix: Fix | None


def allow(
    code: Code,
    proposed: object,
    minutes: Minutes | None,
    policy: Policy,
    codebook: Codebook,
    on: date,
    share: Counted | None = None,
) -> Allowed:
    """Compare proposed units with what the record supports. The result never exceeds either.

    `share` is the code's part of a pool, where the payer pools the day's quarter hours.
    """
    if not isinstance(proposed, int) or isinstance(proposed, bool) or proposed < 1:
        return Allowed(0, "", (found(NOT_A_COUNT),), None)
    cap = _CAPS.get(code.unit_rule, MINUTES_A_DAY)
    if proposed > cap:
        return Allowed(0, "", (found(PHYSICAL, cap=cap),), None)
    limit, table = codebook.edits.limit(code.code, policy.kind, on) or (None, "")
    if limit is not None and proposed > limit and (limit == 0 or code.unit_rule not in SINGLE):
        return Allowed(0, "", (found(UNIT_LIMIT, authority=f"{table}; domain 6.4", cap=limit),), None)
    if code.unit_rule is UnitRule.UNDECIDED:
        return Allowed(0, "", (found(UNDECIDED, code=code.code),), None)
    counted = share or count(code, minutes, policy, codebook, on)
    if counted is None or (
        counted.units == 0 and code.unit_rule is UnitRule.INSTRUMENT
    ):  # what is missing has its own finding
        return Allowed(0, "", (), None)
    where = minutes.where if minutes else ()
    if counted.units == 0 and code.unit_rule in UNCOUNTED and policy.of(code.code).from_minutes is None:
        return Allowed(
            0, counted.arithmetic, (found(ATTENDED, where=where, code=code.code, minutes=code.from_minute),), None
        )
    if counted.units == 0:
        generous = quarter_hours(minutes.minutes, QuarterHourRule.MID15) if minutes else 0
        held = code.unit_rule is UnitRule.PAYER15 and counted.highest > 0 and generous > 0
        return Allowed(0, counted.arithmetic, (found(BELOW_LOWEST_PAYER if held else BELOW_LOWEST, where=where),), None)
    allowed = _compare(code, proposed, counted, minutes, where)
    crisis_block = code.unit_rule is UnitRule.EACH and code.service == "crisis_psychotherapy"
    if crisis_block and minutes and minutes.minutes == code.from_minute:
        allowed = replace(allowed, findings=(*allowed.findings, found(AT_THE_EDGE, minutes=minutes.minutes)))
    return allowed


def _compare(code: Code, proposed: int, counted: Counted, minutes: Minutes | None, where: tuple[Quote, ...]) -> Allowed:
    findings: list[Finding] = []
    fix: Fix | None = None
    units = min(proposed, counted.units)
    if counted.code.code != code.code:
        if (counted.code.rung or 0) < (code.rung or 0):
            fix = Fix(code=counted.code.code, units=1)
            findings.append(found(TOO_HIGH, where=where, code=code.code, lower=counted.code.code))
        else:  # a higher rung fits the record: kept as proposed, never raised, and the higher code is not named
            findings.append(found(LOWER_THAN_RECORD))
            counted = Counted(code, 1, f"{minutes.minutes if minutes else 0} documented minutes", 1)
        units = 1
    single = code.unit_rule in SINGLE
    if single and proposed > 1:
        fix = fix or Fix(code=code.code, units=1)
        findings.append(found(ONE_ONLY, code=code.code, proposed=proposed))
    elif proposed > counted.units and not single:
        if counted.highest > counted.units and proposed <= counted.highest:
            findings.append(found(LOWEST_RULE, where=where, proposed=proposed, units=counted.units))
        else:
            fix = Fix(code=code.code, units=counted.units)
            findings.append(
                found(TOO_MANY, where=where, proposed=proposed, documented=counted.units, arithmetic=counted.arithmetic)
            )
    elif proposed < counted.units:
        findings.append(found(LOWER_THAN_RECORD))
    return Allowed(units, counted.arithmetic, tuple(findings), fix)
