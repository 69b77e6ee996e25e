"""From the times a note states to the minutes that count: only what the record says, never the larger of two (TIME-0xx).

Order of trust (domain 0.3, invariant 5): clock times in the signed note, else stated totals, else Encounter.period where
the policy allows it. Where they disagree nothing is chosen. Clock times are local to the facility; durations are taken
on instants, so that daylight-saving nights come out right (TM-04).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from guardrails.codebook import Code, UnitRule
from guardrails.policies import EncounterMinutes, Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, Rule, rule
from guardrails.time_statements import MINUTES_A_DAY, ClockRange, Duration, HalfDay, Role, TimeStatement
from guardrails.verdict import Finding, Minutes, Quote, found
from guardrails.visit import NoteRole, Visit

NO_TIME = rule(
    "TIME-010",
    Effect.HOLD,
    "The note does not state the time of the service.",
    authority="domain 4.2 C03; Novitas 00026768 (psychotherapy)",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
NO_STOP = rule(
    "TIME-011",
    Effect.HOLD,
    "The note states a start time without a stop time.",
    authority="domain 4.2 C03, 4.5 S06",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
NO_CLOCK = rule(
    "TIME-012",
    Effect.HOLD,
    "The note states a length but no start and stop time, which a code counted in quarter hours needs.",
    authority="domain 4.2 C03 (start AND stop for 15-minute codes), 4.5 S06",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
DISAGREE = rule(
    "TIME-020",
    Effect.HOLD,
    "The times that the note states do not agree with each other.",
    authority="domain 0.3 (5), X-T01",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
OUTSIDE_PERIOD = rule(
    "TIME-021",
    Effect.HOLD,
    "The note's times lie outside the visit's period in the EHR by more than {tolerance} minutes.",
    authority="domain 0.3 (5)",
    cured_by=CuredBy.NOTE,
)
PERIOD_OPEN = rule(
    "TIME-022",
    Effect.WARN,
    "The visit's period in the EHR is open or longer than 8 hours; the note's times were used.",
    authority="domain X-T27",
    cured_by=CuredBy.NOTE,
)
BACKWARDS = rule(
    "TIME-030",
    Effect.HOLD,
    "A stop time stands before its start time.",
    authority="domain TM-05, X-T03",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
AMBIGUOUS = rule(
    "TIME-031",
    Effect.HOLD,
    "A time is written without morning or afternoon, and nothing else settles which.",
    authority="domain X-T26",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
NO_ZONE = rule(
    "TIME-032",
    Effect.HOLD,
    "The facility's time zone is not known, so clock times cannot be placed.",
    authority="domain TM-04; design: Minutes",
    cured_by=CuredBy.CODER,
)
WHICH_TIME = rule(
    "TIME-033",
    Effect.HOLD,
    "The note states several separate times and it is not clear which belong to this service.",
    authority="domain 0.3 (6), OV-02, OV-08",
    cured_by=CuredBy.NOTE,
)

UNCLEAR_PART = rule(
    "TIME-034",
    Effect.HOLD,
    "The note states time that does not count, or an interruption, and not how much of the session it took.",
    authority="domain TM-02, TM-06, X-T40",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)

NOT_APART = rule(
    "TIME-013",
    Effect.HOLD,
    "The note does not state the time of the psychotherapy apart from that of the evaluation.",
    authority="domain 4.6 TH01; Novitas 00026768",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
BREAK_NOT_PLACED = rule(
    "TIME-035",
    Effect.HOLD,
    "The note states a break and not when it was, and each stretch between breaks counts on its own.",
    authority="the payer's policy; domain OV-07, TM-06",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
TWO_DATES = rule(
    "TIME-036",
    Effect.HOLD,
    "The service runs past midnight, and this payer's units are counted on each date; this draft holds one date.",
    authority="domain MN-02, X-T24",
    cured_by=CuredBy.CODER,
)
OVER_DATES = rule(
    "TIME-037",
    Effect.HOLD,
    "The note dates the evaluation on several days; it is billed on the day on which it concluded.",
    authority="domain MN-03, X-E50",
    cured_by=CuredBy.CODER,
)

CROWDED = rule(
    "TIME-038",
    Effect.HOLD,
    "The note states hundreds of times, and it is not clear which are those of this service.",
    authority="design: Limits; domain 0.3 (6)",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)

_LONG_PERIOD = timedelta(hours=8)
_IMPLAUSIBLE_MINUTES = 8 * 60  # two clock times without am/pm that lie further apart are not read across noon

# Codes for which the record must hold both clock times, not a length alone.
_CLOCK_RULES = frozenset({UnitRule.PAYER15, UnitRule.FLOOR, UnitRule.CEIL, UnitRule.MIDPOINT15})
_PROGRAMMES = frozenset({"day_program", "substance_use_program"})
_OVER_A_DAY = frozenset({"crisis_psychotherapy"})  # its minutes of a date are added up, continuous or not (domain 3.3)
_LONGEST_BREAK = timedelta(minutes=15)  # our own bound: what goes on after more is a second session (OV-08)
_CONCLUDED = frozenset({"assessment", "diagnostic_evaluation", "diagnostic_evaluation_medical"})
# Codes that do not count minutes: disagreement about time is only worth a word.
UNTIMED_RULES = frozenset(
    {UnitRule.EVENT, UnitRule.INSTRUMENT, UnitRule.PER_DIEM, UnitRule.PER_MONTH, UnitRule.UNDECIDED}
)

_GAPS = frozenset({Role.INTERRUPTION, Role.NOT_COUNTABLE})  # clock times inside a session that are taken off it

Interval = tuple[datetime, datetime]


class DocumentedTime(NamedTuple):
    """The minutes that count, or None, and what is wrong with the times."""

    minutes: Minutes | None
    findings: tuple[Finding, ...]


class _Placed(NamedTuple):
    quote: Quote
    interval: Interval


class _Lain(NamedTuple):
    """How placed times lie to each other: whether some overlap and differ, and whether some are apart."""

    overlap: bool
    apart: bool

    @classmethod
    def of(cls, placed: Sequence[_Placed]) -> _Lain:
        """As they lie on the day."""
        distinct = {p.interval for p in placed}
        stretches = len(union(distinct))
        return cls(overlap=len(distinct) > stretches, apart=stretches > 1)


class _Clocked(NamedTuple):
    """What clock times come to: the minutes, or why there are none, and how they lie to midnight and to the visit's period."""

    minutes: Minutes | None
    disagreement: tuple[Finding, ...] = ()
    over_midnight: bool = False
    against_period: tuple[Finding, ...] = ()


class Stated:
    """The times that some notes of a visit state, placed on its day once for all lines that rest on them."""

    def __init__(self, visit: Visit, readings: Sequence[Reading], policy: Policy) -> None:
        self._visit, self._policy, self.readings = visit, policy, readings
        self.statements = [(r, s) for r in readings for s in r.times]
        of_session = [(r, s) for r, s in self.statements if s.role is Role.SESSION]
        self.sessions = [(r, s) for r, s in of_session if isinstance(s, ClockRange) and _this_day(s, visit)]
        self.complete = [(r, s) for r, s in self.sessions if s.end is not None]
        self.totals = [(r, s) for r, s in of_session if isinstance(s, Duration)]
        self.unclear = [r.at(s.span) for r, s in self.statements if s.role is Role.UNCLEAR]
        self.unclear += [r.at(r.interruption) for r in readings if r.interruption]
        self.placed: list[_Placed] = []
        self.problems: list[Finding] = []
        self.added = _by_addendum(visit, readings, self.sessions, self.complete)
        stated = [(r.at(s.span), s) for r, s in self.complete]
        for where, clock in [*stated, self.added] if self.added is not None else stated:
            interval, problem = _place(clock, visit, policy)
            if interval is not None:
                self.placed.append(_Placed(where, interval))
            elif problem is not None:
                self.problems.append(found(problem, where=[where]))
        self.lain = _Lain.of(self.placed)
        self.corrected = _corrected_elsewhere(visit, readings, self.sessions, self.complete)
        self._clocked: dict[tuple[int, ...], _Clocked] = {}

    def from_clock(self, placed: Sequence[_Placed], totals: list[tuple[Reading, Duration]]) -> _Clocked:
        """The minutes of some of the placed times, as `_from_clock`."""
        which = (*map(id, placed), -1, *[id(s) for _, s in totals])
        known = self._clocked.get(which)
        if known is None:
            known = self._clocked[which] = _from_clock(self._visit, placed, self.readings, totals, self._policy)
        return known


def documented_time(
    visit: Visit,
    readings: Sequence[Reading],
    cited: Iterable[Quote],
    code: Code,
    policy: Policy,
    *,
    stated: Stated | None = None,
) -> DocumentedTime:
    """The countable minutes for a line of `code`, from the notes that hold its evidence.

    `cited` are the line's proven quotes: where a note states several separate times, they say which are meant. `stated`
    are the readings' times, where the caller has them already.
    """
    if stated is None:
        if any(reading.crowded for reading in readings):
            return DocumentedTime(None, (found(CROWDED),))
        stated = Stated(visit, readings, policy)
    statements, sessions, complete = stated.statements, stated.sessions, stated.complete
    totals = stated.totals
    if code.service == "psychotherapy_add_on":
        return _apart(statements, complete, visit, policy)
    if code.service == "evaluation_and_management":
        totals = [(r, s) for r, s in totals if not s.of_psychotherapy]
    if code.unit_rule is UnitRule.INSTRUMENT:
        return DocumentedTime(None, ())
    if code.unit_rule is UnitRule.PER_MONTH or code.service == "collaborative_care":
        return _of_the_month([(r, s) for r, s in statements if isinstance(s, Duration)], code)

    placed, problems = list(stated.placed), list(stated.problems)
    if stated.added is None and not complete and not totals and sessions:
        problems.append(found(NO_STOP, where=[r.at(s.span) for r, s in sessions]))

    if stated.corrected:
        problems.append(found(DISAGREE, where=stated.corrected))
        placed, complete = [], []
    if code.service in _PROGRAMMES:  # the day's parts stand within arrival and departure
        placed = [p for p in placed if not any(_inside(p.interval, other.interval) for other in placed)]
    lain = stated.lain if len(placed) == len(stated.placed) else _Lain.of(placed)
    if lain.overlap:  # two stated times overlap and differ: the wider is not chosen
        problems.append(found(DISAGREE, where=[p.quote for p in placed]))
        placed, complete = [], []
    placed, ambiguous = _choose(placed, tuple(cited)) if placed and lain.apart else (placed, [])
    if code.unit_rule is UnitRule.SESSION and code.service not in _OVER_A_DAY and _several_sessions(placed):
        placed, ambiguous = [], placed
    if ambiguous:
        problems.append(found(WHICH_TIME, where=[p.quote for p in ambiguous]))

    minutes: Minutes | None = None
    against_period: Sequence[Finding] = ()
    if placed:
        minutes, disagreement, over_midnight, against_period = stated.from_clock(placed, totals)
        problems.extend(disagreement)
        if minutes is not None and sum(minutes.contacts) != minutes.minutes and policy.contacts_apart(code.code):
            problems.append(found(BREAK_NOT_PLACED, where=minutes.where))
        if minutes is not None and over_midnight and policy.past_midnight == "split" and code.unit_rule in _CLOCK_RULES:
            problems.append(found(TWO_DATES, where=minutes.where))
    elif totals and not problems:
        minutes, disagreement = _from_totals(readings, totals)
        problems.extend(disagreement)
        if minutes is not None:
            against_period = _against_period(visit, minutes, policy)
            if code.unit_rule in _CLOCK_RULES:
                problems.append(found(NO_CLOCK, where=minutes.where))
    elif not problems and not sessions:
        minutes = _from_period(visit, code, policy)
        if minutes is None:
            problems.append(found(NO_TIME))
    if minutes is not None and minutes.source != "period":
        problems.extend(against_period)
        if stated.unclear:
            problems.append(found(UNCLEAR_PART, where=stated.unclear))

    if code.unit_rule in UNTIMED_RULES and code.from_minute is None:
        problems = [p for p in problems if p.rule_id != NO_TIME.id and p.rule_id != NO_STOP.id]
        problems = [_softened(p) for p in problems]
    if code.service in _CONCLUDED:
        on = visit.date_of_service
        over_dates = [r.at(span) for r in readings for when, span in r.service_dates if on and when > on]
        if over_dates:
            problems.append(found(OVER_DATES, where=over_dates))
    return DocumentedTime(minutes, tuple(problems))


def _apart(
    statements: Sequence[tuple[Reading, TimeStatement]],
    complete: Sequence[tuple[Reading, ClockRange]],
    visit: Visit,
    policy: Policy,
) -> DocumentedTime:
    """Psychotherapy beside an evaluation: its minutes are those that the note states for it alone (TH01), within the visit's."""
    spoken = [
        (r, s) for r, s in statements if isinstance(s, Duration) and s.of_psychotherapy and s.role is not Role.ANOTHER
    ]
    own = sorted(spoken, key=lambda each: each[1].role is Role.OTHER)
    where = tuple(r.at(s.span) for r, s in own)
    if not own:
        return DocumentedTime(None, (found(NOT_APART, where=[r.at(s.span) for r, s in complete]),))
    if len({s.minutes for _, s in own}) > 1:
        return DocumentedTime(None, (found(DISAGREE, where=where),))
    minutes = Minutes(minutes=own[0][1].minutes, source="stated", where=where[:1])
    placed = [interval for _, clock in complete if (interval := _place(clock, visit, policy)[0]) is not None]
    whole = sum(_length(i) for i in union(placed))
    if placed and minutes.minutes > whole:  # OV-05: more psychotherapy than there was visit
        return DocumentedTime(None, (found(DISAGREE, where=[*where, *(r.at(c.span) for r, c in complete)]),))
    return DocumentedTime(minutes, ())


def _of_the_month(stated: Sequence[tuple[Reading, Duration]], code: Code) -> DocumentedTime:
    """A month's minutes, from a log: its only entry, or the total that its entries add up to (PD-06)."""
    values = sorted(s.minutes for _, s in stated)
    where = tuple(r.at(s.span) for r, s in stated)
    if not values:
        return DocumentedTime(None, () if code.from_minute is None else (found(NO_TIME),))
    if len(set(values)) == 1 or values[-1] == sum(values[:-1]):
        return DocumentedTime(Minutes(minutes=values[-1], source="stated", where=where), ())
    if len(values) > 1 and code.from_minute is not None:
        return DocumentedTime(None, (found(DISAGREE, where=where),))
    return DocumentedTime(None, ())


def _by_addendum(
    visit: Visit,
    readings: Sequence[Reading],
    sessions: list[tuple[Reading, ClockRange]],
    complete: list[tuple[Reading, ClockRange]],
) -> tuple[Quote, ClockRange] | None:
    """The one start of a note joined with the one stop that its own signed addendum adds (X-D05)."""
    stops = [(r, s) for r in readings for s in r.lone_stops]
    if complete or len(sessions) != 1 or len(stops) != 1:
        return None
    (base, start), (addendum, stop) = sessions[0], stops[0]
    note = visit.notes.get(addendum.note_id)
    if note is None or note.continues != base.note_id:
        return None
    sure = start.half_day is HalfDay.STATED and stop.half_day is HalfDay.STATED
    joined = replace(start, end=stop.end, half_day=HalfDay.STATED if sure else HalfDay.OPEN)
    return addendum.at(stop.span), joined


def _corrected_elsewhere(
    visit: Visit,
    readings: Sequence[Reading],
    sessions: list[tuple[Reading, ClockRange]],
    complete: list[tuple[Reading, ClockRange]],
) -> list[Quote]:
    """Where an addendum states another start or stop than the note it belongs to, or a note a further one amid its session:
    which holds, only a new note can say."""
    stops = [(r, s) for r in readings for s in r.lone_stops]
    opened = [(r, s) for r, s in sessions if s.end is None]
    if not complete or (not stops and not opened):
        return []
    addenda = {n.id for n in visit.notes if n.role is NoteRole.ADDENDUM}
    starts, ends = {s.start % 720 for _, s in complete}, {(s.end or 0) % 720 for _, s in complete}
    other = [r.at(s.span) for r, s in opened if r.note_id in addenda and s.start % 720 not in starts]
    other += [r.at(s.span) for r, s in stops if r.note_id in addenda and s.end % 720 not in ends]
    if len(complete) == 1:
        ((_, session),) = complete
        other += [r.at(s.span) for r, s in opened if _amid(session, s.start, s.half_day)]  # a late arrival (GR-01)
        other += [r.at(s.span) for r, s in stops if _amid(session, s.end, s.half_day)]
    return other


def _amid(session: ClockRange, at: int, half_day: HalfDay) -> bool:
    """Whether a time lies between a session's start and stop; in either half of the day where one of them is not sure of it."""
    assert session.end is not None  # it is one of the complete ones
    day = MINUTES_A_DAY if half_day is session.half_day is HalfDay.STATED else 720
    return 0 < (at - session.start) % day < (session.end - session.start) % day


def _softened(finding: Finding) -> Finding:
    """Time on a code that is not counted in minutes is worth a word, no more (domain 4.2 C03: W for event codes)."""
    if finding.effect is not Effect.HOLD:
        return finding
    return replace(finding, effect=Effect.WARN, lacks=None)


def _this_day(clock: ClockRange, visit: Visit) -> bool:
    day = visit.date_of_service
    if clock.dated is None or day is None:
        return True
    year, month, dom = clock.dated
    return (month, dom) == (day.month, day.day) and year in (None, day.year)


def _place(clock: ClockRange, visit: Visit, policy: Policy) -> tuple[Interval | None, Rule | None]:
    """The instants of a clock range on the date of service, or what keeps it from being placed."""
    zone, day = visit.facility_zone, visit.date_of_service
    if zone is None or day is None:
        return None, NO_ZONE
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - made aware below, wall time first

    def at(start: int, end: int) -> Interval:
        begins = (midnight + timedelta(minutes=start)).replace(tzinfo=zone)
        return begins, _latest(midnight + timedelta(minutes=end), zone, not_before=begins)

    start, end = clock.start, clock.end or 0
    candidates = [(start, end)]
    if clock.half_day is not HalfDay.STATED:
        candidates = [(s, e) for s in {start % 720, start % 720 + 720} for e in {end % 720, end % 720 + 720}]
        candidates = sorted((s, e) for s, e in candidates if 0 < e - s <= _IMPLAUSIBLE_MINUTES)
        if not candidates:
            return None, BACKWARDS
        shortest = min(e - s for s, e in candidates)
        candidates = [(s, e) for s, e in candidates if e - s == shortest]
        inside = [c for c in candidates if _within(visit, at(*c), policy)]
        if inside:
            candidates = inside
        elif clock.half_day is HalfDay.BARE:
            return None, AMBIGUOUS
    start, end = candidates[0]
    if end <= start and _within(visit, at(start, end + MINUTES_A_DAY), policy):  # the visit's period dates both (TM-05)
        end += MINUTES_A_DAY
    interval = at(start, end)
    if interval[1].timestamp() <= interval[0].timestamp():
        return None, BACKWARDS
    return interval, None


def _latest(wall: datetime, zone: ZoneInfo, *, not_before: datetime) -> datetime:
    """The instant of a wall time; in the repeated hour the later one where the earlier lies before the start (X-T29)."""
    first = wall.replace(tzinfo=zone)
    return first if first.timestamp() > not_before.timestamp() else wall.replace(tzinfo=zone, fold=1)


def _within(visit: Visit, interval: Interval, policy: Policy) -> bool:
    if visit.starts is None or visit.ends is None:
        return False
    slack = timedelta(minutes=policy.period_tolerance_minutes)
    return visit.starts - slack <= interval[0] and interval[1] <= visit.ends + slack


def _choose(placed: list[_Placed], cited: tuple[Quote, ...]) -> tuple[list[_Placed], list[_Placed]]:
    """Of separate times those that the line's quotes cover, or else all of them, and nobody can say which are meant."""
    covered = [p for p in placed if any(_overlap(p.quote, q) for q in cited)]
    if not covered:
        return [], placed
    return covered, []


def _several_sessions(placed: Sequence[_Placed]) -> bool:
    """Whether more than a break lies between some of the times."""
    stretches = union([p.interval for p in placed])
    gaps = [later[0] - earlier[1] for earlier, later in pairwise(stretches)]
    return any(gap > _LONGEST_BREAK or not gap for gap in gaps)  # right after one another are two, each with its name


def _overlap(a: Quote, b: Quote) -> bool:
    return a.note_id == b.note_id and a.start < b.end and b.start < a.end


def _inside(part: Interval, whole: Interval) -> bool:
    return part != whole and whole[0].timestamp() <= part[0].timestamp() and part[1].timestamp() <= whole[1].timestamp()


def union(intervals: Collection[Interval]) -> list[Interval]:
    """Intervals that do not overlap, in order, covering the same instants."""
    if len(intervals) < 2:
        return list(intervals)
    merged: list[Interval] = []
    for start, end in sorted(intervals, key=lambda i: i[0].timestamp()):
        if merged and start.timestamp() < merged[-1][1].timestamp():
            merged[-1] = (merged[-1][0], max(merged[-1][1], end, key=lambda d: d.timestamp()))
        else:
            merged.append((start, end))
    return merged


def _length(interval: Interval) -> int:
    """Whole minutes between two instants, truncated (TM-04)."""
    return int((interval[1].timestamp() - interval[0].timestamp()) // 60)


def _from_clock(
    visit: Visit,
    placed: Sequence[_Placed],
    readings: Sequence[Reading],
    totals: list[tuple[Reading, Duration]],
    policy: Policy,
) -> _Clocked:
    intervals = union([p.interval for p in placed])
    gross = sum([_length(i) for i in intervals])
    gaps, stated = _interruptions(visit, intervals, readings)
    subtracted = min(gross, sum([_length(g) for g in gaps]) + stated)
    where = tuple([p.quote for p in placed])
    if totals:
        agreeing = {gross, gross - subtracted, *[_length(p.interval) for p in placed]}
        off = [r.at(s.span) for r, s in totals if s.minutes not in agreeing]
        if off:
            return _Clocked(None, (found(DISAGREE, where=[*where, *off]),))
    minutes = Minutes(
        minutes=gross - subtracted,
        source="clock",
        where=where,
        intervals=tuple(intervals),
        subtracted=subtracted,
        contacts=tuple([_length(piece) for i in intervals for piece in _without(i, gaps)]),
    )
    return _Clocked(
        minutes,
        over_midnight=any(start.date() != end.date() for start, end in intervals),
        against_period=_against_period(visit, minutes, policy),
    )


def _without(interval: Interval, gaps: Sequence[Interval]) -> Iterator[Interval]:
    """What is left of an interval between its gaps, which do not overlap each other."""
    start = interval[0]
    for gap in gaps:
        if interval[0].timestamp() <= gap[0].timestamp() < interval[1].timestamp():
            if gap[0].timestamp() > start.timestamp():
                yield start, gap[0]
            start = gap[1]
    if interval[1].timestamp() > start.timestamp():
        yield start, interval[1]


def _interruptions(visit: Visit, intervals: list[Interval], readings: Sequence[Reading]) -> tuple[list[Interval], int]:
    """Documented gaps inside the session (TM-06): clock gaps, and the minutes of stated ones that no clock gap restates."""
    zone, day = visit.facility_zone, visit.date_of_service
    gaps: list[Interval] = []
    stated = 0
    for reading in readings:
        clocks = [s for s in reading.times if isinstance(s, ClockRange) and s.role in _GAPS and s.end is not None]
        for clock in clocks:
            assert zone is not None  # intervals were placed, so both are known
            assert day is not None
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
            for shift in (0, 720):
                start = midnight + timedelta(minutes=clock.start + shift)
                end = midnight + timedelta(minutes=(clock.end or 0) + shift)
                gaps.extend(
                    (max(start, i[0]), min(end, i[1])) for i in intervals if start < i[1] and i[0] < end and start < end
                )
                if clock.half_day is HalfDay.STATED:
                    break
        near = [(*c.span, (c.end or 0) - c.start) for c in clocks]
        for each in reading.times:
            if isinstance(each, Duration) and each.role is Role.INTERRUPTION:
                restates = any(
                    (abs(each.span[0] - e) < 60 or abs(s - each.span[1]) < 60) and each.minutes == length
                    for s, e, length in near
                )
                stated += 0 if restates else each.minutes
    return union(gaps), stated


def _from_totals(
    readings: Sequence[Reading], totals: list[tuple[Reading, Duration]]
) -> tuple[Minutes | None, tuple[Finding, ...]]:
    where = tuple(r.at(s.span) for r, s in totals)
    if len({s.minutes for _, s in totals}) > 1:
        return None, (found(DISAGREE, where=where),)
    gaps = sum(s.minutes for r in readings for s in r.times if isinstance(s, Duration) and s.role is Role.INTERRUPTION)
    stated = totals[0][1].minutes
    return Minutes(minutes=max(0, stated - gaps), source="stated", where=where, subtracted=min(gaps, stated)), ()


def _from_period(visit: Visit, code: Code, policy: Policy) -> Minutes | None:
    """Encounter.period in place of the note's times, where the policy allows it; never for counted codes (X-T28)."""
    allowed = policy.encounter_minutes is EncounterMinutes.ALL or (
        policy.encounter_minutes is EncounterMinutes.EVENT_CODES and code.unit_rule is UnitRule.EVENT
    )
    if not allowed or code.unit_rule in _CLOCK_RULES or (code.service or "").endswith("psychotherapy"):
        return None
    if visit.starts is None or visit.ends is None or visit.ends <= visit.starts:
        return None
    interval = (visit.starts, visit.ends)
    return Minutes(minutes=_length(interval), source="period", intervals=(interval,))


def _against_period(visit: Visit, minutes: Minutes, policy: Policy) -> tuple[Finding, ...]:
    if visit.starts is None:
        return ()
    if visit.ends is None or visit.ends - visit.starts > _LONG_PERIOD:
        return (found(PERIOD_OPEN, where=minutes.where),)
    tolerance = policy.period_tolerance_minutes
    if minutes.intervals:
        fits = all(_within(visit, interval, policy) for interval in minutes.intervals)
    else:
        fits = minutes.minutes <= _length((visit.starts, visit.ends)) + tolerance
    return () if fits else (found(OUTSIDE_PERIOD, where=minutes.where, tolerance=tolerance),)
