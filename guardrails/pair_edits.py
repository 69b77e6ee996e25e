"""Lines that one clinician does not bill beside each other: NCCI pairs and the same-day rules of H and T codes.

The column-1 line of a pair stands if it is complete, and the other is refused; where it is not, both wait. Nothing is said
of which would be worth more, and no modifier is suggested: naming one would be asking for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from guardrails.edit_tables import EditTables, Pair, PairTable
from guardrails.examined import Examined
from guardrails.policies import Policy
from guardrails.rules import CuredBy, Effect, Rule, rule
from guardrails.verdict import Finding, Outcome, found, outcome_of
from guardrails.visit import Context, Known, OtherLine, Visit

COLUMN_2 = rule(
    "EDIT-060",
    Effect.BLOCK,
    "{code} is not billed beside {other} for one client, clinician and date, under any modifier; {other} stands.",
    authority="NCCI pairs of the loaded table, indicator 0; NCCI Medicaid manual ch. XI; domain 6.1",
    cured_by=CuredBy.NOBODY,
)
PAIR_OPEN = rule(
    "EDIT-061",
    Effect.HOLD,
    "{code} and {other} are not billed together for one client, clinician and date; which of them stands is open.",
    authority="NCCI pairs of the loaded table, indicator 0; domain 6.1",
    cured_by=CuredBy.CODER,
)
PAIR_APART = rule(
    "EDIT-062",
    Effect.HOLD,
    "{code} stands beside {other} only as a separate service, and nothing on the lines says that it was one.",
    authority="NCCI pairs of the loaded table, indicator 1; domain 6.1",
    cured_by=CuredBy.CODER,
)
PAIR_CLAIMED = rule(
    "EDIT-064",
    Effect.HOLD,
    "Another claim of this client and date, by this clinician or one that it does not name, carries {other}, which is not billed beside {code}.",
    authority="NCCI pairs of the loaded table; domain 6.1",
    cured_by=CuredBy.CODER,
)
PAIR_OF_ANOTHER = rule(
    "EDIT-065",
    Effect.WARN,
    "Another clinician's claim of this date carries {other}; in one group or specialty it is not billed beside {code}.",
    authority="NCCI pairs of the loaded table, indicator 0; domain 6.1, X-E16",
    cured_by=CuredBy.CODER,
)
ONE_SERVICE = rule(
    "EDIT-070",
    Effect.HOLD,
    "{code} and {other} are not billed for the same {within}: {because}.",
    authority="domain 6.2 (SD-01, SD-06, SD-12, SD-13)",
    cured_by=CuredBy.CODER,
)
UNUSUAL_TOGETHER = rule(
    "EDIT-071",
    Effect.WARN,
    "{code} and {other} for the same {within}: {because}.",
    authority="domain 6.2 (SD-02, SD-04, SD-05)",
    cured_by=CuredBy.CODER,
)

PAYER_APART = rule(
    "EDIT-072",
    Effect.HOLD,
    "The payer does not take {code} and {other} for one client on one date.",
    authority="the payer's policy; domain SD-11",
    cured_by=CuredBy.CODER,
)

_SEPARATE = frozenset({"25", "59", "XE", "XP", "XS", "XU"})
_BOUND = frozenset({"medicare", "medicaid"})  # for others NCCI is a custom, and a person decides


def of_pairs(
    alive: Sequence[Examined], earlier: Mapping[int, Sequence[Finding]], tables: EditTables, policy: Policy, on: date
) -> Iterator[tuple[Examined, Finding]]:
    """Findings of the pairs among a visit's lines. `earlier` are those that other edits left, by position."""
    if len(alive) < 2:
        return
    table = tables.pairs_for(policy.kind)

    def so_far(candidate: Examined) -> Outcome:
        return outcome_of([*candidate.findings, *earlier.get(candidate.position, ())])

    def complete(candidate: Examined) -> bool:
        return so_far(candidate) is Outcome.READY

    above: dict[int, list[tuple[Examined, Pair]]] = {}
    for low in alive:
        for high in (each for each in alive if so_far(each) is not Outcome.REJECTED):
            pair = table.get(high.code.code, low.code.code, on)
            if pair is not None and one_clinician(high, low) and not one_ladder(high, low):
                above.setdefault(low.position, []).append((high, pair))

    def stands(candidate: Examined, asked: frozenset[int] = frozenset()) -> bool:
        asked |= {candidate.position}
        rivals = [high for high, pair in above.get(candidate.position, ()) if pair.never and high.position not in asked]
        return complete(candidate) and not any(stands(rival, asked) for rival in rivals)

    for low in alive:
        for high, pair in above.get(low.position, ()):
            code, other = low.code.code, high.code.code
            if not pair.never:
                if not _said_to_be_separate(high, low):
                    yield low, _of(table, PAIR_APART, pair, code=code, other=other)
            elif not complete(high):
                yield low, _of(table, PAIR_OPEN, pair, code=code, other=other)
                yield high, _of(table, PAIR_OPEN, pair, code=other, other=code)
            elif stands(high):
                yield low, _of(table, COLUMN_2 if policy.kind in _BOUND else PAIR_OPEN, pair, code=code, other=other)


def _of(table: PairTable, kind: Rule, pair: Pair, *, code: str, other: str) -> Finding:
    """A finding that names the table, its date and the pair's indicator."""
    return found(
        kind, authority=f"{table.name}, indicator {0 if pair.never else 1}; domain 6.1", code=code, other=other
    )


def of_payer(
    alive: Sequence[Examined], visit: Visit, context: Context, policy: Policy
) -> Iterator[tuple[Examined, Finding]]:
    """Codes that the payer's policy does not take beside each other on one date, on this visit or on other claims."""
    for asked in policy.not_same_day:
        for candidate in alive:
            line, on = candidate.line, visit.date_of_service
            if candidate.code.code not in asked.codes or line is None:
                continue
            if asked.modifiers and not asked.modifiers & set(line.modifiers):
                continue
            here = [other for other in alive if other is not candidate and other.code.code in asked.beside]
            for other in here:
                yield (
                    candidate,
                    found(
                        PAYER_APART,
                        effect=asked.effect,
                        authority=asked.source,
                        code=candidate.code.code,
                        other=other.code.code,
                    ),
                )
            scope = context.client_lines.values if isinstance(context.client_lines, Known) else ()
            claimed = {
                o.code for o in scope if o.date_of_service == on and o.code in asked.beside and o.visit_id != visit.id
            }
            for other_code in sorted(claimed):
                yield (
                    candidate,
                    found(
                        PAYER_APART,
                        effect=asked.effect,
                        authority=asked.source,
                        code=candidate.code.code,
                        other=other_code,
                    ),
                )


def of_one_service(
    first: Examined, second: Examined, tables: EditTables, policy: Policy, on: date
) -> Iterator[tuple[Examined, Finding]]:
    """What the same-day rules say of two lines of which no pair speaks."""
    rule_of_two = tables.same(first.code.code, second.code.code)
    if (
        tables.pairs_for(policy.kind).either(first.code.code, second.code.code, on) is None
        and rule_of_two is not None
        and (rule_of_two.any_clinician or one_clinician(first, second))
    ):
        kind = ONE_SERVICE if rule_of_two.effect is Effect.HOLD else UNUSUAL_TOGETHER
        for one, other in ((first, second), (second, first)):
            yield (
                one,
                found(
                    kind,
                    code=one.code.code,
                    other=other.code.code,
                    within=rule_of_two.within,
                    because=rule_of_two.because,
                ),
            )


def of_other_claims(
    candidate: Examined, visit: Visit, context: Context, tables: EditTables, policy: Policy
) -> Iterator[Finding]:
    """Pairs and same-day rules between a line and what other claims of the client carry, where they were looked up."""
    scope, line, on = context.client_lines, candidate.line, visit.date_of_service
    if not isinstance(scope, Known) or line is None or on is None:
        return
    code, table = candidate.code.code, tables.pairs_for(policy.kind)
    for other in sorted({o for o in scope.values if o.visit_id != visit.id}, key=_by_code):
        mine = other.clinician_id in (line.rendering_id, None)  # a claim may not say whose its lines are
        if not mine:
            between = table.either(code, other.code, on)
            if between is not None and between.never and other.date_of_service == on:
                yield _of(table, PAIR_OF_ANOTHER, between, code=code, other=other.code)
        same_date = other.date_of_service == on
        pair = table.either(code, other.code, on) if mine else None
        if same_date and pair is not None:
            if pair.never or not _SEPARATE & {*line.modifiers, *other.modifiers}:
                yield _of(table, PAIR_CLAIMED, pair, code=code, other=other.code)
            continue
        rule_of_two = tables.same(code, other.code)
        if rule_of_two is not None and not (mine or rule_of_two.any_clinician):
            continue
        same_month = (other.date_of_service.year, other.date_of_service.month) == (on.year, on.month)
        if rule_of_two is not None and (same_date or (same_month and rule_of_two.within == "month")):
            kind = ONE_SERVICE if rule_of_two.effect is Effect.HOLD else UNUSUAL_TOGETHER
            yield found(kind, code=code, other=other.code, within=rule_of_two.within, because=rule_of_two.because)


def _by_code(line: OtherLine) -> tuple[object, ...]:
    return line.code, line.date_of_service, line.modifiers, line.units or 0, line.visit_id or ""


def one_clinician(a: Examined, b: Examined) -> bool:
    """The same rendering clinician, or one that is not known."""
    return a.line is None or b.line is None or a.line.rendering_id == b.line.rendering_id


def one_ladder(a: Examined, b: Examined) -> bool:
    """Two rungs of one service, or the same."""
    return a.code.ladder is not None and a.code.ladder == b.code.ladder


def _said_to_be_separate(a: Examined, b: Examined) -> bool:
    modifiers = {m for each in (a, b) if each.line for m in each.line.modifiers}
    return bool(modifiers & _SEPARATE)
