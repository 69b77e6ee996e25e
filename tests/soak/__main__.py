"""`make soak`: visits through a storm of faults, and workers killed at any moment; prints the counts, and leaves a dated report."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sandbox import server
from tests.faults import WRITES, Fault, Kind
from tests.soak import faults, kill

ROOT = Path(__file__).parents[2]
_READS = frozenset(Kind) - WRITES


def main() -> int:
    """Run, print, and leave a report where one is asked for; not zero if anything was lost, doubled or untyped."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("what", choices=["faults", "kill"])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--visits", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    text, problems = _kill(asked) if asked.what == "kill" else _faults(asked)
    print(text)
    if asked.report:
        asked.report.write_text(text, encoding="utf-8")
    return 1 if problems else 0


def _kill(asked: argparse.Namespace) -> tuple[str, list[str]]:
    outcome = kill.rounds(asked.rounds, asked.seed)
    return kill.report(outcome), outcome.problems


def _faults(asked: argparse.Namespace) -> tuple[str, list[str]]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "server") as base:
        outcome = faults.storm(
            base, Path(folder), faults.STORM, seed=asked.seed, calls=asked.calls, visits=asked.visits
        )
    return _report(outcome, asked.seed, time.monotonic() - started), outcome.problems


def _report(outcome: faults.Outcome, seed: int, seconds: float) -> str:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    tally, found = outcome.tally, outcome.audit

    def injected(fault: Fault, kinds: frozenset[Kind]) -> int:
        return sum(n for (which, kind), n in outcome.injected.items() if which is fault and kind in kinds)

    def requests(kinds: frozenset[Kind]) -> int:
        return sum(outcome.requests[kind] for kind in kinds)

    lines = [
        "# Visits coded through a storm of faults",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, Python {platform.python_version()}, from seed {seed}: {outcome.calls} FHIR calls for",
        f"{outcome.visits} visits in {seconds:.0f} s (`make soak`), through a proxy in front of a real FHIR server. While it lasted, a note's time was amended,",
        f"or a note taken back or put there again, {tally.amended} times, whether the last version had gone out or not; {tally.tries} times a visit was tried,",
        'by the engine that runs in a clinic. Of a person it had one who saw nothing but the queue, and pressed "try again" on what says there that it waits.',
        "",
        "In the end the server was read without the proxy: each draft has one Claim that says what the store has; no version of a Claim repeats",
        "the one before; each version has one Provenance; the store says delivered. Once the storm was over, each visit's lines were compared",
        "with those of a second site that had met none.",
        "",
        "| in the end | count |",
        "|---|---|",
        f"| drafts with a Claim | {found.drafts} |",
        f"| versions of their Claims | {found.versions} |",
        f"| Claims lost: missing, or not the version that the store has | {len(found.lost)} |",
        f"| doubled: Claims, versions, Provenances | {len(found.doubled)} |",
        f"| versions without a Provenance | {len(found.unexplained)} |",
        f"| jobs not delivered | {len(found.undelivered)} |",
        f"| jobs that wait for a person, though nobody else touched the Claim | {len(tally.stuck)} |",
        f"| visits with other lines than without a storm | {len(outcome.wrong)} |",
        f"| failures that are none of our own errors | {len(tally.untyped)} |",
        f"| failures that the queue did not show, or showed when they were over | {len(tally.hidden)} |",
        "",
        "| fault | reads that met it | writes that met it |",
        "|---|---|---|",
        *(f"| {fault.value} | {injected(fault, _READS)} | {injected(fault, WRITES)} |" for fault in Fault),
        f"| all requests | {requests(_READS)} | {requests(WRITES)} |",
        "",
        "| what the queue said of a try that did not get through | count |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(tally.failures.items())),
        "",
        *(f"- {problem}" for problem in outcome.problems),
    ]
    if not outcome.problems:
        lines.append("Nothing was lost, and nothing doubled.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
