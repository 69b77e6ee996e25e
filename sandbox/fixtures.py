"""The benchmark's visits as the sandbox and the tests read them: those of this repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plugin.evaluation import benchmark
from plugin.evaluation.benchmark import HALVES, Case, Fixture, Json, ehr, load_one

ROOT = Path(__file__).resolve().parent.parent / "fixtures"
PAYERS = benchmark.payers(ROOT)


def clinic() -> tuple[Json, ...]:
    """The clinic, its payers, places and clinicians."""
    return benchmark.clinic(ROOT)


def load(half: str) -> Iterator[Fixture]:
    """The visits of one half in the order of their names."""
    return benchmark.load(ROOT, half)


__all__ = ["HALVES", "PAYERS", "ROOT", "Case", "Fixture", "Json", "clinic", "ehr", "load", "load_one"]
