"""`make mutation`: change the rules' code a little, thousands of times, and see whether a test notices.

What no test notices must stand in `justified.toml` with its reason, or the run fails. A survivor is known by its function
and the lines before and after, so that the list outlives renumbering.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents

ROOT = Path(__file__).parents[2]
COPY = ROOT / "mutants"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed."""

    function: str
    was: str
    now: str


def modules() -> list[str]:
    """The rule modules that the configuration names."""
    return [Path(path).stem for path in SETTINGS["only_mutate"]]


def justified() -> dict[Survivor, str]:
    """The survivors that were looked at, with the reason why each may stay.

    `[[survivor]]` names one: function, was, now, why. `[[group]]` gives one `why` to the `survivors` for which it holds.
    """
    listed = tomllib.loads(Path(__file__).with_name("justified.toml").read_text(encoding="utf-8"))
    alone = [(each, each["why"]) for each in listed.get("survivor", [])]
    together = [(each, group["why"]) for group in listed.get("group", []) for each in group["survivors"]]
    return {Survivor(each["function"], each["was"], each["now"]): why for each, why in (*alone, *together)}


def changed(module: str) -> MutatedFile:
    """A copy of the project in which one module holds all its changes, each asleep until it is named."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in [*SETTINGS["source_paths"], *SETTINGS["also_copy"]]:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, COPY / name)
    path = Path("guardrails") / f"{module}.py"
    file = mutate_file_contents(str(path), (ROOT / path).read_text(encoding="utf-8"))
    (COPY / path).write_text(file.code, encoding="utf-8")
    return file


def outcomes(mutants: list[str]) -> dict[str, str]:
    """What became of each change: noticed, unnoticed, stopped, or no test enters it; nothing where tests fail unchanged."""
    asked, said = COPY / "asked.json", COPY / "outcomes.tsv"
    asked.write_text(json.dumps(mutants), encoding="utf-8")
    said.touch()
    tests = SETTINGS["pytest_add_cli_args_test_selection"]
    plain = ["-p", "tests.mutation.noticed", "-s", "--assert=plain", "--rootdir=."]
    subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *tests],
        cwd=COPY,
        env={**os.environ, "MUTATION_ASKED": str(asked), "MUTATION_OUTCOMES": str(said)},
        check=False,
    )
    told = (line.split("\t") for line in said.read_text(encoding="utf-8").splitlines())
    return {mutant: outcome for mutant, outcome, *_ in told}  # by which test, and in how many seconds


def survivor(module: str, name: str, file: MutatedFile) -> Survivor:
    """The lines that a change took away and those that it put there."""
    lines, function = file.code.splitlines(), name.partition("__mutmut_")[0]

    def body(of: str) -> list[str]:
        span = file.line_span_by_function_name[of]
        return [line.strip().replace(of, function) for line in lines[span.start - 1 : span.end]]

    diff = list(difflib.ndiff(body(f"{function}__mutmut_orig"), body(name)))
    was = "\n".join(line[2:] for line in diff if line.startswith("- "))
    now = "\n".join(line[2:] for line in diff if line.startswith("+ "))
    return Survivor(f"guardrails.{module}.{re.sub(r'^x_|^xǁ', '', function).replace('ǁ', '.')}", was, now)


@dataclass
class Tried:
    """What became of one module's changes."""

    module: str
    tally: Counter[str]
    lived: list[Survivor]
    open: list[Survivor]
    seconds: float

    @property
    def row(self) -> str:
        """Its row of the report."""
        noticed, stopped, missing = (self.tally[each] for each in ("noticed", "stopped", "not run"))
        return (
            f"| {self.module} | {self.tally.total()} | {noticed} | {stopped} | {len(self.lived) - len(self.open)} "
            f"| {len(self.open)} | {missing} | {self.seconds:.0f} |"
        )


def tried(module: str, reasons: Collection[Survivor]) -> Tried:
    """All changes of one module, each tried."""
    started = time.monotonic()
    file = changed(module)
    names = {f"guardrails.{module}.{name}": name for name in file.mutant_names}
    found = outcomes(list(names))
    outcome = {mutant: found.get(mutant, "not run") for mutant in names}
    lived = [survivor(module, names[m], file) for m, each in outcome.items() if each in ("unnoticed", "no test")]
    unlisted = [each for each in lived if each not in reasons]
    return Tried(module, Counter(outcome.values()), lived, unlisted, time.monotonic() - started)


def main() -> int:
    """Run, count, compare with the list, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=modules())
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    reasons = justified()
    all_tried = []
    for module in asked.modules:
        done = tried(module, reasons)
        all_tried.append(done)
        print(done.row, flush=True)
        for each in done.open:
            print(f"  {each.function}\n    was {each.was!r}\n    now {each.now!r}", flush=True)
    lived = {each for done in all_tried for each in done.lived}
    mine = {s: why for s, why in reasons.items() if s.function.split(".")[1] in asked.modules}
    stale = [each for each in mine if each not in lived]
    for each in stale:
        print(f"justified but noticed: {each}")
    text = _report(all_tried, mine)
    print(text)
    if asked.report:
        asked.report.write_text(text, encoding="utf-8")
    return 1 if stale or any(done.open or done.tally["not run"] for done in all_tried) else 0


def _report(all_tried: list[Tried], reasons: dict[Survivor, str]) -> str:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    total = sum((done.tally for done in all_tried), Counter[str]())
    unlisted = [each for done in all_tried for each in done.open]
    lines = [
        "# Changed rules that the tests notice",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, changes by mutmut {version('mutmut')}. Each rule module's functions",
        "are changed a little, one change at a time, and the tests of the rules that enter the function are run. A change that",
        "no test notices is looked at: a test is added, or it is listed below with the reason why it changes no verdict.",
        "",
        "| module | changes | noticed | stopped by time or a crash | justified | open | not run | seconds |",
        "|---|---|---|---|---|---|---|---|",
        *(done.row for done in all_tried),
        "",
        f"{total.total()} changes, {total['noticed'] + total['stopped']} noticed, {sum(len(d.lived) for d in all_tried) - len(unlisted)} "
        f"justified, {len(unlisted)} open, {total['not run']} not run.",
    ]
    if unlisted:
        lines += ["", "## Open", "", *(_shown(each) for each in unlisted)]
    if reasons:
        lines += ["", "## Justified"]
        for why in dict.fromkeys(reasons.values()):
            lines += ["", why, "", *(_shown(each) for each, own in reasons.items() if own == why)]
    return "\n".join(lines) + "\n"


def _shown(each: Survivor) -> str:
    was, now = (" / ".join(text.splitlines()) for text in (each.was, each.now))
    return f"- {each.function}: `{was}` became `{now}`"


if __name__ == "__main__":
    sys.exit(main())
