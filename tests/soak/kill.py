"""Rounds of a practice whose workers are killed: at points drawn from a seed, at moments drawn from it, while they start."""

from __future__ import annotations

import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from plugin.store.store import Store
from sandbox import server
from tests.databases import postgresql
from tests.kill.practice import Counts, Practice, practice
from tests.kill.worker import POINTS

ROOT = Path(__file__).parents[2]
KINDS = ("SQLite, one worker", "PostgreSQL, two workers")
_PATIENCE = 6.0
_VISITS = (4, 8)
_KILLS = (3, 7)
_SETTLED_WITHIN = 240


@dataclass
class Tally:
    """What the rounds on one kind of database came to."""

    rounds: int = 0
    visits: int = 0
    amended: int = 0
    claims: int = 0
    versions: int = 0
    asked: int = 0
    asked_again: int = 0
    lost: int = 0
    doubled: int = 0
    paid_twice: int = 0
    unexplained: int = 0
    other: int = 0
    left_dead: int = 0

    def add(self, counts: Counts) -> None:
        """One round more."""
        self.rounds += 1
        for name in ("visits", "claims", "versions", "asked", "asked_again"):
            setattr(self, name, getattr(self, name) + getattr(counts, name))
        for name in ("lost", "doubled", "paid_twice", "unexplained"):
            setattr(self, name, getattr(self, name) + len(getattr(counts, name)))
        self.other += len(counts.history) + len(counts.defects)


@dataclass
class Outcome:
    """All rounds."""

    seed: int
    seconds: float = 0.0
    tallies: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    kills: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    problems: list[str] = field(default_factory=list)


def rounds(count: int, seed: int) -> Outcome:
    """So many rounds, on one kind of database after the other. Each has a server, a database and visits of its own."""
    outcome = Outcome(seed)
    started = time.monotonic()
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        with tempfile.TemporaryDirectory() as folder:
            found = _round(kind, random.Random(f"{seed} {n}"), Path(folder), n, outcome)
        outcome.problems += [f"round {n}, {kind}: {problem}" for problem in found]
        outcome.seconds = time.monotonic() - started
        kills = sum(sum(each.values()) for each in outcome.kills.values())
        print(
            f"{n + 1} of {count} rounds, {kills} kills, {len(outcome.problems)} problems", file=sys.stderr, flush=True
        )
    return outcome


def _round(kind: str, rng: random.Random, folder: Path, n: int, outcome: Outcome) -> list[str]:
    on_postgresql = kind == KINDS[1]
    names = ("w0", "w1") if on_postgresql else ("w0",)
    tally = outcome.tallies[kind]
    with (
        server.running(folder / "ehr") as base,
        practice(base, folder / f"round-{n}", postgresql() if on_postgresql else None, patience=_PATIENCE) as here,
    ):
        here.clinic()
        here.admit(rng.randint(*_VISITS))
        for _ in range(rng.randint(*_KILLS)):
            doomed = rng.choice(names)
            for name in names:
                if name != doomed and not here.alive(name):
                    here.start(name)
            _kill_once(here, doomed, rng)
            if rng.random() < 0.5:
                here.amend(rng.choice(list(here.units)))
                tally.amended += 1
        dead = rng.choice(names) if on_postgresql and rng.random() < 0.5 else None
        if dead:
            tally.left_dead += 1
            here.kill(dead)
        for name in names:
            if name != dead and not here.alive(name):
                here.start(name)
        store = Store.open(here.settings)
        try:
            settled = here.settled(store, _SETTLED_WITHIN)
            counts = here.counts(store)
        finally:
            store.close()
        tally.add(counts)
        outcome.kills[kind] += here.kills
    return [*counts.problems, *([] if settled else [f"not everything was done after {_SETTLED_WITHIN} s"])]


def _kill_once(here: Practice, doomed: str, rng: random.Random) -> None:
    """Kill a worker at a point, or whatever it does at a moment; the first moments are those in which it starts."""
    here.kill(doomed)
    if rng.random() < 0.5:
        point, nth = rng.choice(POINTS), rng.choice((1, 1, 1, 2, 3))
        here.start(doomed, point, nth)
        if here.dead(doomed, point, 4.0):
            return
    else:
        here.start(doomed)
        time.sleep(rng.uniform(0.0, 3.0))
    here.kill(doomed)


def report(outcome: Outcome) -> str:
    """What an auditor reads."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    both = [outcome.tallies[kind] for kind in KINDS]
    kills = [outcome.kills[kind] for kind in KINDS]
    points = [p for p in (*POINTS, "any moment") if any(p in each for each in kills)]
    rows = {
        "rounds": "rounds",
        "visits": "visits",
        "amended": "notes amended meanwhile, so that another Claim version was due",
        "left_dead": "rounds that ended with one worker dead, and the other finishing its work",
        "claims": "Claims on the server in the end",
        "versions": "versions of them",
        "asked": "answers the model was paid for",
        "asked_again": "of them paid again because the process died before the reply was in the store",
        "lost": "visits lost: no Claim, or not what the note says, or not delivered",
        "doubled": "Claims, versions or Provenances doubled",
        "paid_twice": "replies paid twice: asked for though they were in the store",
        "unexplained": "Claim versions without a Provenance",
        "other": "broken histories, and defects that workers reported",
    }
    lines = [
        "# Workers killed at any moment",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, Python {platform.python_version()}, from seed {outcome.seed}: {sum(t.rounds for t in both)} rounds in {outcome.seconds:.0f} s (`make soak`).",
        "In each, workers find the visits of a real FHIR server by polling, ask a model's server that counts what it is paid for, and write draft",
        "Claims, while SIGKILL ends them, at a point named below or at any moment, also while they start. The killed are",
        "started again. Leases and waits of minutes are seconds here. In the end the server is read: one Claim a visit, which says what the",
        "note says; no version repeats the one before; one Provenance a version; the history of each store is verified.",
        "",
        f"| in the end | {' | '.join(KINDS)} |",
        "|---|---|---|",
        f"| workers killed | {' | '.join(str(sum(k.values())) for k in kills)} |",
        *(f"| {words} | {' | '.join(str(getattr(t, name)) for t in both)} |" for name, words in rows.items()),
        "",
        f"| killed at | {' | '.join(KINDS)} |",
        "|---|---|---|",
        *(f"| {point} | {' | '.join(str(k[point]) for k in kills)} |" for point in points),
        "",
        *(f"- {problem}" for problem in outcome.problems),
    ]
    if not outcome.problems:
        lines.append("Nothing was lost, nothing doubled, and no reply that was in the store was paid for again.")
    return "\n".join(lines) + "\n"
