"""Visits an hour through the whole flow, on both databases: found, read, proposed for by the baseline, proved, written.

Beside it in the same run: the bare engine doing as many empty steps through a queue of the same width. Then what starting
takes, and how much memory the process has in the end.
"""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from dbos import DBOS

from plugin.backend import Ehrs
from plugin.ehr.oauth import OAuth
from plugin.flow import VISITS, Flow
from plugin.keys import SigningKeys
from plugin.settings import EngineSettings, Settings
from plugin.site import Works
from plugin.store.arrivals import Work
from plugin.store.store import Store
from sandbox import fixtures, server
from tests.databases import postgresql


@DBOS.step()
def _nothing(number: int) -> int:
    return number


@DBOS.workflow()
def _empty(number: int) -> int:
    return _nothing(number)


def main() -> None:
    """Serve the fixtures, run, print."""
    print(f"{platform.machine()}, CPython {platform.python_version()}, {date.today()}")  # noqa: DTZ011
    for what, program in {
        "does nothing": "pass",
        "imports plugin.pipeline": "import plugin.pipeline",
        "imports plugin.flow": "import plugin.flow",
        "says `claimwright --help`": "from plugin.cli import main; main(['--help'])",
    }.items():
        seconds, memory = min(_process(program) for _ in range(3))
        print(f"a process that {what:<28} {seconds:.2f} s   {memory:>4.0f} MiB, best of three")
    visits = [f.name for f in fixtures.load("development")]
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "ehr") as base:
        server.load_fixtures(base)
        for name, url in (("SQLite", None), ("PostgreSQL", postgresql())):
            _measure(name, base, Path(folder) / name, url, visits)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the most memory that this process had: {memory:.0f} MiB")


_AT_THE_END = "import atexit; atexit.register(lambda: print([v.split()[1] for v in open('/proc/self/status') if 'VmHWM' in v][0]))"


def _process(program: str) -> tuple[float, float]:
    """Seconds, and the most memory in MiB, of a process that runs this."""
    started = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", f"{_AT_THE_END}\n{program}"], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, int(ran.stdout.split()[-1]) / 1024  # the kernel says kB


def _measure(name: str, base: str, folder: Path, url: str | None, visits: list[str]) -> None:
    engine = EngineSettings(poll_seconds=0, pump_seconds=0.05, visits_a_minute=1_000_000)
    ehr = fixtures.ehr("bench", base_url=base, billing_provider=f"Organization/bench-{name.lower()}")
    settings = Settings(ehr=ehr, data_dir=folder, payers_file=fixtures.PAYERS, database_url=url, engine=engine)
    store = Store.open(settings)
    oauth = OAuth(SigningKeys.of(settings), settings.limits)
    flow = Flow(settings, store, Ehrs(settings, Works.of(settings, store=store), oauth))
    started = time.perf_counter()
    flow.start()
    print(f"{name:10} the engine is up after {time.perf_counter() - started:.2f} s")
    try:
        started = time.perf_counter()
        handles = [DBOS.enqueue_workflow(VISITS, _empty, n) for n in range(len(visits))]
        for handle in handles:
            handle.get_result()
        bare = time.perf_counter() - started
        started = time.perf_counter()
        for visit in visits:
            store.arrivals.found("bench", visit, "list")
        flow.nudge()
        while any(a.state not in (Work.DONE, Work.FAILED) for a in store.arrivals.all()):
            time.sleep(0.1)
        whole = time.perf_counter() - started
        failed = sum(a.state is Work.FAILED for a in store.arrivals.all())
    finally:
        flow.stop()
        oauth.close()
        store.close()
    hour = 3600 * len(visits)
    print(
        f"{name:10} {len(visits)} visits, {failed} failed: {hour / whole:8,.0f} visits/hour; "
        f"the bare engine's empty steps {hour / bare:8,.0f}/hour; {bare / whole:.0%} of a visit's time is the engine's"
    )


if __name__ == "__main__":
    main()
