"""What lines do to each other: duplicates, the same minutes twice, two rungs of one ladder, add-ons without a primary.

One pass in a fixed order over all lines, whatever order they came in. Where it cannot say which line is right, none
stands: taking the dearer one would be choosing upward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import chain, combinations

from guardrails import caps, clinician_day, pair_edits
from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.examined import Examined
from guardrails.policies import Policy
from guardrails.rules import CuredBy, Effect, Rule, rule
from guardrails.verdict import Finding, Outcome, found, outcome_of
from guardrails.visit import Context, Known, Visit

SAME_MINUTES = rule(
    "EDIT-010",
    Effect.HOLD,
    "The same minutes would support {other} as well; a minute supports one service.",
    authority="domain 0.3 (6), OV-02, OV-06; NCCI Medicaid manual ch. I",
    cured_by=CuredBy.NOTE,
)
MINUTES_NOT_APART = rule(
    "EDIT-011",
    Effect.HOLD,
    "The note does not show that this service and {other} took place at different times.",
    authority="domain 0.3 (6), OV-02",
    cured_by=CuredBy.NOTE,
)
DUPLICATE = rule(
    "EDIT-020",
    Effect.BLOCK,
    "The same service is proposed twice for this visit.",
    authority="domain SD-10",
    cured_by=CuredBy.NOBODY,
)
REPEATED = rule(
    "EDIT-021",
    Effect.HOLD,
    "The same service is proposed on two lines; a modifier alone does not make it two services.",
    authority="domain OV-07, OV-08, GR-06, 6.4 (units are not split over lines)",
    cured_by=CuredBy.CODER,
)
SAME_LADDER = rule(
    "EDIT-030",
    Effect.HOLD,
    "Another code of the same ladder is proposed for the same session; one code covers it.",
    authority="domain OV-08, 6.1; NCCI Medicaid manual ch. XI",
    cured_by=CuredBy.CODER,
)
NO_PRIMARY = rule(
    "EDIT-040",
    Effect.BLOCK,
    "{code} is an add-on and none of its primary codes is billed with it.",
    authority="domain 0.3 (7), 6.3",
    cured_by=CuredBy.NOBODY,
)
PRIMARY_NOT_SEEN = rule(
    "EDIT-041",
    Effect.HOLD,
    "{code} is an add-on; its primary is not on this visit, and other claims were not looked up.",
    authority="domain 0.3 (7), 6.3",
    cured_by=CuredBy.CODER,
)
PRIMARY_ELSEWHERE = rule(
    "EDIT-043",
    Effect.HOLD,
    "{code} is an add-on whose primary may stand on another date of the same month or testing episode, and none was found.",
    authority="domain 0.3 (7), 6.3, X-R03; American Psychological Association (testing)",
    cured_by=CuredBy.CODER,
)
PRIMARY_FAILS = rule(
    "EDIT-042",
    Effect.HOLD,
    "{code} is an add-on and its primary does not stand.",
    authority="domain 6.3",
    cured_by=CuredBy.NOTE,
)
ALREADY_CLAIMED = rule(
    "EDIT-050",
    Effect.BLOCK,
    "The same service of this date is already on another claim of this client.",
    authority="domain X-E37",
    cured_by=CuredBy.NOBODY,
)

PERHAPS_CLAIMED = rule(
    "EDIT-051",
    Effect.HOLD,
    "The same service of this date is on another claim of this client that does not say which clinician gave it.",
    authority="domain X-E37; design: law 4",
    cured_by=CuredBy.CODER,
)

_SAID_TWICE = frozenset({"76", "77", "59", "XE", "XP", "XS", "XU"})  # modifiers that tell a second service from a slip
# Lines without minutes of their own do not take part in overlaps (OV-02).
_NO_MINUTES = frozenset({UnitRule.INSTRUMENT, UnitRule.PER_DIEM, UnitRule.PER_MONTH, UnitRule.UNDECIDED})


def across_lines(
    candidates: Sequence[Examined], visit: Visit, context: Context, codebook: Codebook, policy: Policy
) -> dict[int, tuple[Finding, ...]]:
    """Findings by the position of the proposal they fall on. Does not depend on the order of the proposals."""
    on = visit.date_of_service
    assert on is not None  # visit_status stops visits without a date
    found_on: dict[int, list[Finding]] = {}

    def add(candidate: Examined, finding: Finding) -> None:
        if finding not in found_on.setdefault(candidate.position, []):
            found_on[candidate.position].append(finding)

    alive = sorted([c for c in candidates if c.alive], key=_order)
    refused = {second.position for first, second in combinations(alive, 2) if _identical(first, second)}
    for candidate in alive:
        if candidate.position in refused:
            add(candidate, found(DUPLICATE))
    standing = [c for c in alive if c.position not in refused]  # a refused duplicate leaves nothing open
    for first, second in combinations(standing, 2):
        for candidate, finding in _between(first, second, codebook, policy, on):
            add(candidate, finding)
    for candidate, finding in chain(
        caps.of_lines(standing, visit, context, codebook, policy),
        clinician_day.of_lines(standing, visit, context, policy),
        pair_edits.of_payer(standing, visit, context, policy),
    ):
        add(candidate, finding)
    for candidate, finding in list(pair_edits.of_pairs(standing, found_on, codebook.edits, policy, on)):
        add(candidate, finding)
    for candidate in standing:
        claimed = _already_claimed(candidate, visit, context)
        if claimed is not None:
            add(candidate, found(claimed))
        for finding in pair_edits.of_other_claims(candidate, visit, context, codebook.edits, policy):
            add(candidate, finding)
    for candidate in standing:  # last: an add-on asks whether its primary stands after all else
        for finding in _add_on(candidate, standing, found_on, visit, context, codebook):
            add(candidate, finding)
    return {position: tuple(findings) for position, findings in found_on.items()}


def _between(
    first: Examined, second: Examined, codebook: Codebook, policy: Policy, on: date
) -> Iterator[tuple[Examined, Finding]]:
    """What two lines do to each other, whoever else is there: twice the same, one ladder, the same minutes, same-day rules."""
    if first.code.code == second.code.code:
        if pair_edits.one_clinician(first, second):  # else two clinicians' services of one kind
            yield first, found(REPEATED)
            yield second, found(REPEATED)
        return
    if pair_edits.one_ladder(first, second) and pair_edits.one_clinician(first, second):
        yield first, found(SAME_LADDER)
        yield second, found(SAME_LADDER)
        return
    clash = _clash(first, second)
    if clash is not None:
        yield first, found(clash, other=second.code.code)
        yield second, found(clash, other=first.code.code)
    yield from pair_edits.of_one_service(first, second, codebook.edits, policy, on)


def _order(candidate: Examined) -> tuple[object, ...]:
    """A fixed order that does not know in which order proposals came: what the line is, then how it was evidenced."""
    line = candidate.line
    return (
        candidate.code.code,
        line.modifiers if line else (),
        line.units if line else 0,
        line.diagnoses if line else (),
        line.quotes if line else (),
        len(candidate.findings),
        tuple([f.rule_id for f in candidate.findings]),
        candidate.asked,
        candidate.position,
    )


def _identical(a: Examined, b: Examined) -> bool:
    if a.code.code != b.code.code or not pair_edits.one_clinician(a, b):
        return False
    if a.line is None or b.line is None:
        return True
    return _SAID_TWICE.isdisjoint(a.line.modifiers) and _SAID_TWICE.isdisjoint(b.line.modifiers)


def _clash(a: Examined, b: Examined) -> Rule | None:
    """The rule that two lines break by resting on the same minutes, or on minutes not shown to be apart."""
    if _related(a.code, b.code) or _without_minutes(a.code) or _without_minutes(b.code):
        return None
    if a.line is None or b.line is None or a.line.rendering_id != b.line.rendering_id:
        return None
    mine, theirs = a.line.minutes, b.line.minutes
    if mine is None or theirs is None:
        return MINUTES_NOT_APART
    if mine.intervals and theirs.intervals and "period" not in (mine.source, theirs.source):
        return SAME_MINUTES if _overlapping(mine.intervals, theirs.intervals) else None
    return MINUTES_NOT_APART


def _without_minutes(code: Code) -> bool:
    """Lines without minutes of their own: by the month or day, by the instrument, or a mere addition to another line."""
    addition = code.unit_rule is UnitRule.EVENT and bool(code.add_on_to)
    return code.unit_rule in _NO_MINUTES or addition or code.service == "collaborative_care"


def _related(a: Code, b: Code) -> bool:
    """An add-on shares its primary's visit (OV-02)."""
    return (
        b.code in a.add_on_to
        or a.code in b.add_on_to
        or ("E/M" in a.add_on_to and b.service == "evaluation_and_management")
        or ("E/M" in b.add_on_to and a.service == "evaluation_and_management")
    )


def _overlapping(a: Sequence[tuple[datetime, datetime]], b: Sequence[tuple[datetime, datetime]]) -> bool:
    return any(s1.timestamp() < e2.timestamp() and s2.timestamp() < e1.timestamp() for s1, e1 in a for s2, e2 in b)


def _add_on(
    candidate: Examined,
    alive: Sequence[Examined],
    found_on: dict[int, list[Finding]],
    visit: Visit,
    context: Context,
    codebook: Codebook,
) -> list[Finding]:
    if not candidate.code.add_on_to:
        return []
    primaries = [
        other
        for other in alive
        if other is not candidate
        and _is_primary(other.code, candidate.code)
        and pair_edits.one_clinician(other, candidate)
    ]
    if any(outcome_of([*p.findings, *found_on.get(p.position, ())]) is Outcome.READY for p in primaries):
        return []
    if primaries:
        return [found(PRIMARY_FAILS, code=candidate.code.code)]
    scope, on, longer = context.client_lines, visit.date_of_service, _reach(candidate.code)
    if not isinstance(scope, Known) or on is None:
        return [found(PRIMARY_NOT_SEEN, code=candidate.code.code)]
    me = candidate.line.rendering_id if candidate.line else None
    primary = (
        line.date_of_service
        for line in scope.values
        if _claimed_primary(line.code, candidate.code, codebook, line.date_of_service)
        and (me is None or line.clinician_id in (me, None))
    )
    if any((longer or _same_day)(when, on) for when in primary):
        return []
    return [found(PRIMARY_ELSEWHERE if longer else NO_PRIMARY, code=candidate.code.code)]


def _same_day(when: date, on: date) -> bool:
    return when == on


def _same_month(when: date, on: date) -> bool:
    return (when.year, when.month) == (on.year, on.month)


def _same_episode(when: date, on: date) -> bool:
    return timedelta(0) <= on - when <= _EPISODE


_EPISODE = timedelta(days=90)  # of testing: our own bound, for a test of long ago is another episode


def _reach(code: Code) -> Callable[[date, date], bool] | None:
    """How far from its primary an add-on may stand: testing in one episode, monthly codes in one month (invariant 7)."""
    if code.service in {"test_evaluation", "test_administration"}:
        return _same_episode
    if code.unit_rule is UnitRule.PER_MONTH or code.service == "collaborative_care":
        return _same_month
    return None


def _claimed_primary(name: str, add_on: Code, codebook: Codebook, on: date) -> bool:
    code = codebook.find(name, on)
    return name in add_on.add_on_to or (code is not None and _is_primary(code, add_on))


def _is_primary(code: Code, add_on: Code) -> bool:
    return code.code in add_on.add_on_to or ("E/M" in add_on.add_on_to and code.service == "evaluation_and_management")


def _already_claimed(candidate: Examined, visit: Visit, context: Context) -> Rule | None:
    scope = context.client_lines
    if not isinstance(scope, Known) or candidate.line is None:
        return None
    by = {
        line.clinician_id
        for line in scope.values
        if line.code == candidate.code.code
        and line.date_of_service == visit.date_of_service
        and line.visit_id != visit.id
    }
    if candidate.line.rendering_id in by:
        return ALREADY_CLAIMED
    return PERHAPS_CLAIMED if None in by else None
