"""`make fuzz`: feed random and mutated input, print the counts, and leave a dated report that an auditor can read."""

from __future__ import annotations

import argparse
import logging
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz import readers, rules

ABOUT = {
    "readers": (
        "Fuzzing the readers",
        "Tried: notes in each format (bytes flipped, cut, repeated, with words of the format put in), Bundles,\n"
        "CapabilityStatements, answers over HTTP, dates, URLs, policies and proposals (nodes replaced by nulls, other types,\n"
        "huge numbers, lone surrogates, parts of themselves). The formats were read in process, where a too complex one is\n"
        "counted; in use the child process dies of it and the note is unreadable.",
        "every input was read, or refused with one of our own errors.",
    ),
    "rules": (
        "Fuzzing the rules",
        "Tried: the notes of the development fixtures and of the spec tables, whole and mutated (cut, repeated, mixed, with\n"
        "instructions, other times, control, bidi and zero-width characters put in), under every packaged policy, with visits,\n"
        "contexts and proposals plausible or not (every code of the tables and what is none, units from none to 10^30, quotes that\n"
        "stand in the note, nearly, or nowhere). Asked of each verdict: no exception; no line that stands without a code in force,\n"
        "without verbatim evidence, above the proposal or above what any counting makes of its documented minutes (by a second,\n"
        "naive implementation); no fix above its proposal; the same verdicts in any order.",
        "every proposal was answered, and no line stood that must not.",
    ),
}


def main() -> int:
    """Run, print, and leave a report where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=ABOUT)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    logging.disable()  # pypdf complains with the file's own words
    started = time.perf_counter()

    def say(what: str) -> None:
        print(what, flush=True)

    if asked.what == "readers":
        read = readers.run(asked.inputs, asked.seed, progress=say)
        table, defects = readers.table(read), read.defects
    else:
        proved = rules.run(asked.inputs, asked.seed, progress=say)
        table, defects = rules.table(proved), proved.defects
    print(table, *defects, sep="\n")
    if asked.report:
        _leave(asked, time.perf_counter() - started, table, defects)
    return 1 if defects else 0


def _leave(asked: argparse.Namespace, seconds: float, table: str, defects: list[str]) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    title, tried, good = ABOUT[asked.what]
    failed = "\n".join(f"- {d}" for d in defects) or f"Nothing failed: {good}"
    asked.report.write_text(
        f"# {title}\n\n{datetime.now(UTC):%Y-%m-%d}, commit {commit}, Python {platform.python_version()}, from seed "
        f"{asked.seed}: {asked.inputs} random and mutated inputs in {seconds:.0f} s (`make fuzz`).\n\n{tried}\n\n{table}\n\n{failed}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
