"""The engine against the naive implementation of the edits: random sets of lines, the same outcome for each line.

`naive_edits` was written from the rule collection alone, by a writer who had not seen the engine, and imports nothing of it. What the
collection leaves open was settled when the two were first compared, and each such place says "settled" there; what the
engine had wrong was mended in the engine.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from guardrails import codebook, policies, time_units
from guardrails.claim_edits import across_lines
from guardrails.codebook import UnitRule
from guardrails.examined import Examined
from guardrails.policies import Policy
from guardrails.verdict import Finding, Minutes, ServiceLine, found, outcome_of
from guardrails.visit import Context, Known, OtherLine
from guardrails.visit_status import UNSIGNED
from tests.conftest import DAY, ZONE, skills
from tests.oracle.naive_edits import Claimed, Line, outcome

BOOK = codebook.load()
PAYERS = {
    "medicare": policies.load("medicare"),
    "medicaid": policies.load("medicaid-generic"),
    "unknown": policies.load("unknown"),
}
# What the naive implementation was not asked about: monthly add-ons but 99494, those of opioid treatment programs, which 6.3
# does not list, and rates that cover other services (SD-08, SD-14).
_NOT_ASKED = frozenset(
    "G0022 G0024 G0146 G0554 G2088 G0568 G0569 G0570 G0532 G0534 G0535 G0536 G2078 G2079 G2080 G2213 G2215 G2216 "
    "T1015 T1040 T1041 H0039 H0040".split()
)
CODES = tuple(
    sorted(
        code
        for code, meanings in BOOK.codes.items()
        if meanings[-1].in_force(DAY)
        and (code[0] in "HTG9" or code.endswith("T"))
        and code not in _NOT_ASKED
        and meanings[-1].unit_rule is not UnitRule.UNDECIDED
    )
)
BUSY = tuple(
    "90785 90791 90792 90832 90833 90834 90836 90837 90838 90839 90840 90846 90847 90849 90853 90863 96127".split()
) + tuple(
    "96130 96131 96136 96137 96158 96159 97153 97155 99213 99214 99484 99492 99494 H0031 H0032 H2014 H2017 H2018 T1017 T2023 G0396 G0397".split()
)
VISIT = skills()
INCOMPLETE = found(UNSIGNED)


@dataclass
class Tally:
    """How many sets and lines were compared, how they came out, and where the two differ."""

    sets: int = 0
    left_out: int = 0
    lines: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)


def counted(name: str) -> bool:
    """Whether a line of the code may carry several units at all; the others come here with one."""
    code = BOOK.find(name, DAY)
    assert code is not None
    return code.unit_rule not in time_units.SINGLE | {UnitRule.UNDECIDED}


def a_set(rng: random.Random) -> tuple[list[Line], list[Claimed], str]:
    """Lines of one visit and lines on other claims, biased toward codes that have much to do with each other."""
    pool = BUSY if rng.random() < 0.7 else CODES
    lines = []
    for _ in range(rng.choice((1, 2, 2, 3, 4))):
        start = rng.choice((540, 570, 600, 660, 720))
        code = rng.choice(pool)
        lines.append(
            Line(
                code=code,
                modifiers=tuple(rng.sample(("59", "XE", "25", "76", "HO"), rng.choice((0, 0, 0, 1, 2)))),
                units=rng.choice((1, 1, 2, 3, 5, 12, 40)) if counted(code) else 1,
                clinician=rng.choice(("a", "a", "a", "b")),
                start=start,
                end=start + rng.choice((15, 30, 45, 60)),
                complete=rng.random() < 0.8,
            )
        )
    claimed = []
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        same_date = rng.random() < 0.6
        claimed.append(
            Claimed(
                code=rng.choice(pool),
                modifiers=tuple(rng.sample(("59", "25"), rng.choice((0, 0, 1)))),
                clinician=rng.choice(("a", "a", "b")),
                same_date=same_date,
                same_month=same_date or rng.random() < 0.6,
            )
        )
    return lines, claimed, rng.choice(tuple(PAYERS))


def engine(lines: list[Line], claimed: list[Claimed], payer: str) -> list[str] | None:
    """What the engine makes of a set; None where caps over a day or month speak, which the naive one was not asked about."""
    policy = PAYERS[payer]
    candidates = [_examined(n, line, policy) for n, line in enumerate(lines)]
    others = tuple(
        OtherLine(
            code=c.code,
            date_of_service=DAY if c.same_date else DAY - timedelta(days=1 if c.same_month else 40),
            units=1,
            modifiers=c.modifiers,
            clinician_id=c.clinician,
            visit_id="other",
        )
        for c in claimed
    )
    across = across_lines(candidates, VISIT, Context(today=DAY, client_lines=Known(others)), BOOK, policy)
    if any(f.rule_id == "EDIT-080" for findings in across.values() for f in findings):
        return None
    return [outcome_of([*c.findings, *across.get(c.position, ())]).value for c in candidates]


def _examined(position: int, line: Line, policy: Policy) -> Examined:
    code = BOOK.find(line.code, DAY)
    assert code is not None
    begins = datetime(2026, 3, 2, tzinfo=ZONE) + timedelta(minutes=line.start)
    ends = begins + timedelta(minutes=line.end - line.start)
    minutes = Minutes(minutes=line.end - line.start, source="clock", intervals=((begins, ends),))
    findings: list[Finding] = [] if line.complete else [INCOMPLETE]
    findings += [
        f for f in time_units.allow(code, line.units, minutes, policy, BOOK, DAY).findings if f.rule_id == "UNIT-042"
    ]
    made = ServiceLine(
        id="",
        code=line.code,
        system=code.system,
        units=line.units,
        modifiers=line.modifiers,
        diagnoses=(),
        date_of_service=DAY,
        place_of_service="53",
        rendering_id=line.clinician,
        minutes=minutes,
        arithmetic="",
        quotes=(),
    )
    return Examined(
        position, code, made, tuple(findings), (str(line.start), str(line.end), line.clinician, str(not line.complete))
    )


def run(sets: int, seed: int) -> Tally:
    """Compare that many sets; the same seed gives the same."""
    tally = Tally()
    for number in range(seed, seed + sets):
        lines, claimed, payer = a_set(random.Random(number))
        mine, theirs = engine(lines, claimed, payer), outcome(lines, claimed, payer)
        tally.sets += 1
        if mine is None:
            tally.left_out += 1
            continue
        tally.lines += len(lines)
        tally.outcomes.update(mine)
        if mine != theirs:
            tally.differ.append(f"seed {number}, {payer}: {lines} {claimed}: engine {mine}, naive {theirs}")
    return tally
