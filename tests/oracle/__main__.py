"""`make oracle`: the engine against the naive implementations, with the counts, and a dated report that an auditor can read."""

from __future__ import annotations

import argparse
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from guardrails import codebook, policies, time_units
from guardrails.codebook import Code, UnitRule
from guardrails.policies import Policy
from guardrails.verdict import Minutes
from tests.conftest import DAY
from tests.oracle import compare
from tests.oracle import naive_units as naive

BOOK = codebook.load()
WAYS: dict[str, tuple[Policy, Callable[[int], int]]] = {
    "whole": (policies.load("medicaid-whole-unit"), naive.floor15),
    "midpoint": (policies.load("medicaid-midpoint"), naive.mid15),
}
FAMILIES = {  # first code, further code, minutes of each: domain 3.3
    ("96130", "96131"): (60, 60),
    ("96132", "96133"): (60, 60),
    ("96116", "96121"): (60, 60),
    ("96136", "96137"): (30, 30),
    ("96138", "96139"): (30, 30),
    ("96112", "96113"): (60, 30),
    ("96158", "96159"): (30, 15),
    ("96164", "96165"): (30, 15),
    ("96167", "96168"): (30, 15),
    ("96170", "96171"): (30, 15),
    ("96202", "96203"): (60, 15),
}


def units(pools: int, seed: int) -> tuple[int, list[str]]:
    """Every minute of a day for every code counted in time, under each way of counting, and random pools of quarter hours."""
    cases, differ = 0, []

    def same(what: str, mine: object, theirs: object) -> None:
        nonlocal cases
        cases += 1
        if mine != theirs:
            differ.append(f"{what}: engine {mine}, naive {theirs}")

    for m in range(24 * 60 + 1):
        for code in (c for meanings in BOOK.codes.values() for c in meanings if c.in_force(DAY)):
            for way, (policy, quarters) in WAYS.items():
                wanted = _naive(code, m, quarters)
                if wanted is not None:
                    counted = time_units.count(code, Minutes(minutes=m, source="clock"), policy, BOOK, DAY)
                    reached = None if counted is None else (counted.code.code if counted.units else "", counted.units)
                    same(f"{code.code}, {m} minutes, {way}", reached, wanted)
        for (base, further), minutes in FAMILIES.items():
            same(
                f"{base} + {further}, {m} minutes",
                (_count(base, m), _count(further, m)),
                naive.midpoint_family(m, *minutes),
            )
    rng = random.Random(seed)
    for _ in range(pools):
        pool = {
            code: rng.randrange(0, 200)
            for code in rng.sample(("H2014", "H2015", "H2017", "H0004", "H0038"), rng.randrange(1, 6))
        }
        same(f"pool {pool}", time_units.pooled(pool), naive.cms8_pooled(pool))
    return cases, differ


def _count(name: str, minutes: int) -> int:
    code = BOOK.find(name, DAY)
    assert code is not None
    counted = time_units.count(code, Minutes(minutes=minutes, source="clock"), WAYS["whole"][0], BOOK, DAY)
    return counted.units if counted else 0


def _naive(code: Code, m: int, quarters: Callable[[int], int]) -> tuple[str, int] | None:
    """Code and units as the naive rules count them; None for what they do not count."""
    match code.unit_rule:
        case UnitRule.PAYER15:
            units = quarters(m)
        case UnitRule.MIDPOINT15:
            units = naive.mid15(m)
        case UnitRule.CEIL:
            units = naive.ceil15(m)
        case UnitRule.FLOOR:
            units = naive.floor_n(m, code.step_minutes or 60)
        case UnitRule.SESSION if code.ladder == "psychotherapy":
            rung = naive.psychotherapy(m)
            return (rung or "", 1 if rung else 0)
        case UnitRule.SESSION if code.ladder == "psychotherapy with E/M":
            rung = naive.psychotherapy_with_em(m)
            return (rung or "", 1 if rung else 0)
        case _ if code.code in {"90846", "90847"}:
            units = naive.family_psychotherapy(m)
        case _ if code.code in {"90839", "90840"}:
            units = naive.crisis(m)[0 if code.code == "90839" else 1]
        case _ if code.code in {"G0129", "G0176", "G0177"}:
            units = naive.hard_minimum(m, 45)
        case _:
            return None
    return (code.code if units else "", units)


def main() -> int:
    """Run, print the counts, and leave a report where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--sets", type=int, default=1_000_000)
    parser.add_argument("--pools", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    started = time.perf_counter()
    cases, unlike = units(asked.pools, asked.seed)
    print(f"time units: {cases} cases, {len(unlike)} differ", flush=True)
    tally = compare.run(asked.sets, asked.seed)
    print(f"edits: {tally.sets - tally.left_out} sets of {tally.lines} lines compared, {len(tally.differ)} differ")
    differ = [*unlike, *tally.differ]
    print(*differ[:20], sep="\n")
    if asked.report:
        _leave(asked, time.perf_counter() - started, cases, tally, differ)
    return 1 if differ else 0


def _leave(asked: argparse.Namespace, seconds: float, cases: int, tally: compare.Tally, differ: list[str]) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    agree = "\n".join(f"- {d}" for d in differ) or "They agree on every case."
    rows = [
        "| compared | cases |",
        "|---|---|",
        f"| minutes to units (every minute of a day, every code counted in time, {asked.pools} random pools) | {cases} |",
        f"| sets of lines under the edits | {tally.sets - tally.left_out} |",
        f"| lines in them | {tally.lines} |",
        *(f"| of which {name} | {count} |" for name, count in sorted(tally.outcomes.items())),
        f"| sets left out: caps over a day or month spoke, which the naive one was not asked about | {tally.left_out} |",
    ]
    table = "\n".join(rows)
    asked.report.write_text(
        f"# The engine against a second implementation\n\n{datetime.now(UTC):%Y-%m-%d}, commit {commit}, Python "
        f"{platform.python_version()}, from seed {asked.seed}, {seconds:.0f} s (`make oracle`).\n\n"
        f"`tests/oracle/naive_units.py` and `naive_edits.py` were written from the rule collection alone, by writers who had not seen\n"
        f"the engine, and import nothing of it. What the collection leaves open was settled when the two were first compared; each\n"
        f"such place says so. The comparison found six defects of the engine, all mended: an evaluation on another claim was not\n"
        f"seen as an add-on's primary, primaries of another clinician counted, lines of two clinicians were taken for duplicates, a\n"
        f"refused duplicate still clashed, an add-on could stand although another claim refused its primary, and monthly add-ons\n"
        f"were taken to fill minutes of the day.\n\n{table}\n\n{agree}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
