"""`make mutation`: change the rules' code a little, thousands of times, and see whether a test notices.

What no test notices must stand in `justified.toml` with its reason, or the run fails. A survivor is known by its function
and the lines before and after, so that the list outlives renumbering.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
MUTMUT = [str(Path(sys.executable).with_name("mutmut"))]
# mutmut's exit codes of a mutant's run; one that has none of these was not run to its end
KILLED, LIVED, STOPPED = {1, 3}, {0, 5, 33}, {36, 24, -24, 152, 255, -11, -9}  # the last: by time or a crash


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed."""

    function: str
    was: str
    now: str


def modules() -> list[str]:
    """The rule modules that the configuration names."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [Path(path).stem for path in settings["tool"]["mutmut"]["only_mutate"]]


def justified() -> dict[Survivor, str]:
    """The survivors that were looked at, with the reason why each may stay."""
    listed = tomllib.loads(Path(__file__).with_name("justified.toml").read_text(encoding="utf-8"))
    return {Survivor(each["function"], each["was"], each["now"]): each["why"] for each in listed.get("survivor", [])}


def results(module: str) -> dict[str, int | None]:
    """Each mutant of a module with the exit code of its tests."""
    meta = json.loads((ROOT / "mutants" / "guardrails" / f"{module}.py.meta").read_text(encoding="utf-8"))
    codes: dict[str, int | None] = meta["exit_code_by_key"]
    return codes


def survivors(codes: dict[str, int | None]) -> Iterator[Survivor]:
    """What survived, with its lines as mutmut shows them."""
    for mutant, code in codes.items():
        if code in LIVED:
            shown = subprocess.run([*MUTMUT, "show", mutant], cwd=ROOT, capture_output=True, text=True, check=True)
            was = "\n".join(re.findall(r"^-(?!--)\s*(.*)$", shown.stdout, re.MULTILINE))
            now = "\n".join(re.findall(r"^\+(?!\+\+)\s*(.*)$", shown.stdout, re.MULTILINE))
            yield Survivor(re.sub(r"\.x_|\.xǁ|ǁ", ".", mutant.partition("__mutmut_")[0]), was, now)


def main() -> int:
    """Run, count, compare with the list, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=modules())
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    reasons, counts, open_, rows = justified(), Counter[str](), [], []
    for module in asked.modules:
        subprocess.run([*MUTMUT, "run", "--max-children", "1", f"guardrails.{module}.*"], cwd=ROOT, check=False)
        codes = results(module)
        lived = list(survivors(codes))
        unlisted = [each for each in lived if each not in reasons]
        killed = sum(code in KILLED for code in codes.values())
        stopped = sum(code in STOPPED for code in codes.values())
        missing = len(codes) - killed - stopped - len(lived)
        rows.append(
            f"| {module} | {len(codes)} | {killed} | {stopped} | {len(lived) - len(unlisted)} | {len(unlisted)} | {missing} |"
        )
        counts.update(mutants=len(codes), killed=killed, stopped=stopped, open=len(unlisted), missing=missing)
        open_ += unlisted
    text = _report(
        rows, counts, open_, {s: why for s, why in reasons.items() if s.function.split(".")[1] in asked.modules}
    )
    print(text)
    if asked.report:
        asked.report.write_text(text, encoding="utf-8")
    return 1 if open_ or counts["missing"] else 0


def _report(rows: list[str], counts: Counter[str], unlisted: list[Survivor], reasons: dict[Survivor, str]) -> str:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [
        "# Changed rules that the tests notice",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, mutmut {version('mutmut')}. Each rule module's functions",
        "are changed a little, one change at a time, and the tests of the rules are run. A change that no test notices is",
        "looked at: a test is added, or it is listed below with the reason why it changes no verdict.",
        "",
        "| module | changes | noticed | stopped by time or a crash | justified | open | not run |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"{counts['mutants']} changes, {counts['killed'] + counts['stopped']} noticed, {counts['open']} open, {counts['missing']} not run.",
    ]
    for title, each in (("Open", dict.fromkeys(unlisted, "")), ("Justified", reasons)):
        if each:
            lines += ["", f"## {title}", ""]
            lines += [
                f"- `{s.function}`: `{s.was}` became `{s.now}`{': ' + why if why else ''}" for s, why in each.items()
            ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
