"""Whether a clinician, or a client, can have been where the lines say: overlapping contacts and days that are too long (domain 3.7).

A finding about another client shows the interval and never who it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from guardrails.documented_time import UNTIMED_RULES, union
from guardrails.examined import Examined
from guardrails.policies import Policy
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, found
from guardrails.visit import BusyTime, Context, Known, Visit

WITH_ANOTHER_CLIENT = rule(
    "EDIT-012",
    Effect.HOLD,
    "From {start} to {end} the clinician is recorded with another client as well.",
    authority="domain 0.3 (6), OV-01, X-T30",
    cured_by=CuredBy.NOTE,
)
TWO_CLINICIANS_AT_ONCE = rule(
    "EDIT-013",
    Effect.WARN,
    "Another clinician served this client in the same minutes; some payers take that for teams only.",
    authority="domain OV-03",
    cured_by=CuredBy.CODER,
)
LONG_DAY = rule(
    "EDIT-090",
    Effect.WARN,
    "The clinician's day holds {minutes} minutes with clients; the payer looks at more than {limit}.",
    authority="domain OV-09; La. R.S. 46:460.77.1; TMHP manual 2016",
    cured_by=CuredBy.CODER,
)
IMPOSSIBLE_DAY = rule(
    "EDIT-091",
    Effect.BLOCK,
    "The clinician's day would hold more than 24 hours.",
    authority="domain OV-10",
    cured_by=CuredBy.NOBODY,
)

_GROUP_SERVICES = frozenset(
    {"group_psychotherapy", "multiple_family_group", "substance_use_group", "health_behavior_group"}
)
_GROUP_MARKS = frozenset({"HQ", "TT", "UN", "UP", "UQ", "UR", "US"})
_DAY_MINUTES = 24 * 60
Interval = tuple[datetime, datetime]


def of_lines(
    alive: Sequence[Examined], visit: Visit, context: Context, policy: Policy
) -> Iterator[tuple[Examined, Finding]]:
    """Findings on the lines whose clock times meet another client's, another clinician's, or fill the clinician's day."""
    busy = context.clinician_day.values if isinstance(context.clinician_day, Known) else ()
    timed = [c for c in alive if c.line and c.line.minutes and c.code.unit_rule not in UNTIMED_RULES]
    for candidate in timed:
        clash = _elsewhere(candidate, busy, policy)
        if clash is not None:
            zone = visit.facility_zone
            start, end = (t.astimezone(zone).strftime("%H:%M") for t in (clash.starts, clash.ends))
            yield candidate, found(WITH_ANOTHER_CLIENT, start=start, end=end)
        if _beside_another(candidate, timed, visit, context):
            yield candidate, found(TWO_CLINICIANS_AT_ONCE)
        yield from _day(candidate, timed, busy, policy)


def _intervals(candidate: Examined) -> tuple[Interval, ...]:
    minutes = candidate.line.minutes if candidate.line else None
    return minutes.intervals if minutes and minutes.source == "clock" else ()


def _group(candidate: Examined) -> bool:
    line = candidate.line
    return candidate.code.service in _GROUP_SERVICES or bool(line and _GROUP_MARKS & set(line.modifiers))


def _overlap(a: Interval, b: Interval) -> timedelta:
    start, end = max(a[0].timestamp(), b[0].timestamp()), min(a[1].timestamp(), b[1].timestamp())
    return timedelta(seconds=max(0.0, end - start))


def _elsewhere(candidate: Examined, busy: Sequence[BusyTime], policy: Policy) -> BusyTime | None:
    """The first contact with another client in the line's minutes, beyond what check-in and check-out explain."""
    if not busy or _group(candidate) or candidate.line is None:
        return None
    slack = timedelta(minutes=policy.period_tolerance_minutes)
    return next(
        (
            each
            for each in sorted(busy, key=lambda b: (b.starts.timestamp(), b.ends.timestamp()))
            if each.clinician_id == candidate.line.rendering_id
            and any(_overlap(mine, (each.starts, each.ends)) > slack for mine in _intervals(candidate))
        ),
        None,
    )


def _beside_another(candidate: Examined, timed: Sequence[Examined], visit: Visit, context: Context) -> bool:
    mine, me = _intervals(candidate), candidate.line.rendering_id if candidate.line else ""
    others: list[Interval] = [
        interval for c in timed if c.line and c.line.rendering_id != me for interval in _intervals(c)
    ]
    if isinstance(context.same_day_visits, Known):
        others += [
            (v.starts, v.ends)
            for v in context.same_day_visits.values
            if v.id != visit.id and v.starts and v.ends and v.clinician_ids and me not in v.clinician_ids
        ]
    return bool(others) and any(_overlap(a, b) for a in mine for b in others)


def _day(
    candidate: Examined, timed: Sequence[Examined], busy: Sequence[BusyTime], policy: Policy
) -> Iterator[tuple[Examined, Finding]]:
    line = candidate.line
    assert line is not None
    own = [c for c in timed if c.line and c.line.rendering_id == line.rendering_id]
    clocked = union(
        [i for c in own for i in _intervals(c)]
        + [(b.starts, b.ends) for b in busy if b.clinician_id == line.rendering_id]
    )
    stated = [c.line.minutes.minutes for c in own if c.line and c.line.minutes and not _intervals(c)]
    total = sum([round((end.timestamp() - start.timestamp()) // 60) for start, end in clocked]) + sum(stated)
    limit = policy.clinician_day_minutes
    if total > _DAY_MINUTES:
        yield candidate, found(IMPOSSIBLE_DAY)
    elif total > limit.limit:
        yield candidate, found(LONG_DAY, effect=limit.effect, minutes=total, limit=limit.limit)
