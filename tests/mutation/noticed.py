"""A pytest plugin: the tests are collected once, then each changed function is tried in a child process of its own.

The first pass runs every test unchanged and keeps which functions it enters. A child then runs the tests that enter its
changed function, those first that noticed such a change before, and stops at the first that fails. That no test fails in
a child without a change, whatever ran before it, is tried first.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal, cast

import hypothesis
import pytest
from _pytest.runner import runtestprotocol
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

NOTICED, UNNOTICED = 1, 0
NO_TEST = "no test"


def pytest_configure(config: pytest.Config) -> None:
    """Generated cases are the same each time and a failing one is not made smaller."""
    generate = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", database=None, derandomize=True, phases=generate)
    hypothesis.settings.load_profile("mutation")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport:
    """Whether a test failed, and no more: to show where would parse the changed module each time."""
    assert call.when != "collect"
    skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    outcome: Literal["passed", "failed", "skipped"] = (
        "passed" if call.excinfo is None else "skipped" if skipped else "failed"
    )
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, None, call.when)


def pytest_runtestloop(session: pytest.Session) -> bool:
    """All tests once, unchanged; then a child for each change, whose outcome is written as a line."""
    asked = json.loads(Path(os.environ["MUTATION_ASKED"]).read_text(encoding="utf-8"))
    seconds, entered_by = _unchanged(session)
    gc.freeze()  # the children share what is here
    if _tried("no change", session.items[::-1], seconds, session)[0] != "unnoticed":
        pytest.exit("a test fails in a child where nothing was changed", returncode=1)
    kills: dict[str, Counter[pytest.Item]] = {}
    all_kills: Counter[pytest.Item] = Counter()
    outcomes = Path(os.environ["MUTATION_OUTCOMES"])
    for mutant in asked:
        function = mutant.partition("__mutmut_")[0]
        mine = kills.setdefault(function, Counter())
        tests = sorted(
            entered_by.get(function, ()),
            key=lambda t: (-(5 * mine[t] + all_kills[t]) / (seconds[t] + 0.05), seconds[t], t.nodeid),
        )
        started = time.monotonic()
        outcome, by = _tried(mutant, tests, seconds, session) if tests else (NO_TEST, None)
        if by is not None:
            mine[by] += 1
            all_kills[by] += 1
        with outcomes.open("a", encoding="utf-8") as lines:
            lines.write(f"{mutant}\t{outcome}\t{by.nodeid if by else ''}\t{time.monotonic() - started:.2f}\n")
    return True


def _unchanged(session: pytest.Session) -> tuple[dict[pytest.Item, float], dict[str, list[pytest.Item]]]:
    seconds: dict[pytest.Item, float] = {}
    entered_by: dict[str, list[pytest.Item]] = {}
    set_mutant_under_test("stats")
    for item in session.items:
        state()._stats.clear()
        started = time.process_time()
        if not _passes(item, session):
            pytest.exit(f"{item.nodeid} fails on unchanged rules", returncode=1)
        seconds[item] = time.process_time() - started
        for function in state()._stats:
            entered_by.setdefault(function, []).append(item)
    return seconds, entered_by


def _passes(item: pytest.Item, session: pytest.Session) -> bool:
    """Run one test; what the session set up stays for the next."""
    after = cast(Any, session)  # what may follow is any item of the session
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


def _tried(
    mutant: str, tests: list[pytest.Item], seconds: dict[pytest.Item, float], session: pytest.Session
) -> tuple[str, pytest.Item | None]:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_child(mutant, tests, seconds, session, writes))
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == NOTICED and said:
        return "noticed", tests[int(said)]
    return {UNNOTICED: "unnoticed"}.get(code, "stopped"), None


def _child(
    mutant: str, tests: list[pytest.Item], seconds: dict[pytest.Item, float], session: pytest.Session, writes: int
) -> int:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.__stdout__.fileno())  # type: ignore[union-attr]
    os.dup2(nowhere, sys.__stderr__.fileno())  # type: ignore[union-attr]
    set_mutant_under_test(mutant)
    for number, item in enumerate(tests):
        signal.setitimer(signal.ITIMER_PROF, 2 + 10 * seconds[item])  # processor time; the signal ends the child
        if not _passes(item, session):
            os.write(writes, str(number).encode())
            return NOTICED
    return UNNOTICED
