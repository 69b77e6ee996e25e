"""The benchmark's visits as the sandbox and the tests read them: those of this repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plugin.evaluation import benchmark
from plugin.evaluation.benchmark import HALVES, Case, Fixture, Json, ehr, load_one
from plugin.settings import ReleaseSettings, Usage

ROOT = Path(__file__).resolve().parent.parent / "fixtures"
PAYERS = benchmark.payers(ROOT)
RELEASE = ReleaseSettings(
    submitter_id="RIVERBEND01",
    submitter_name="Riverbend Community Behavioral Health",
    contact_name="Billing office",
    contact_phone="9375550100",
    receiver_id="CLEARING01",
    receiver_name="Example Clearinghouse",
    billing_tax_id="12-3456789",
    billing_zip="45501-1234",
    filing_indicator="CI",
    filing_indicators={"EXAMPLE-MEDICAID": "MC", "MEDICARE-B": "MB"},
    usage=Usage.PRODUCTION,
)
"""Who sends the clinic's claims to whom; none of them exists."""


def clinic() -> tuple[Json, ...]:
    """The clinic, its payers, places and clinicians."""
    return benchmark.clinic(ROOT)


def load(half: str) -> Iterator[Fixture]:
    """The visits of one half in the order of their names."""
    return benchmark.load(ROOT, half)


__all__ = ["HALVES", "PAYERS", "RELEASE", "ROOT", "Case", "Fixture", "Json", "clinic", "ehr", "load", "load_one"]
