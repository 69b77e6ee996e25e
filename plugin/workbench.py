"""What the pipeline's steps work with, and what they hand on to each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from fhir_mappings.identifiers import SurfaceForm
from fhir_mappings.records import VisitRecord
from fhir_mappings.views import Json
from guardrails import Context, Verdicts, Visit
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.reading import Reading
from plugin.destinations.ehr import EhrDestination
from plugin.disclosures import Disclosure
from plugin.proposers.protocol import Proposer
from plugin.settings import Payers, Settings
from plugin.store.records import Draft
from plugin.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything the steps work with. `destination` is None where the EHR takes no Claim: our store then keeps the draft.

    `watch` is told each step as it begins.
    """

    settings: Settings
    codebook: Codebook
    payers: Payers
    proposer: Proposer
    read: Callable[[str], VisitRecord]
    store: Store | None = None
    destination: EhrDestination | None = None
    policy: Policy | None = None
    today: Callable[[], date] | None = None
    watch: Callable[[str], None] | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the seconds of a step to `timings`, for `benchmarks/`, and tell who watches."""
        if self.watch:
            self.watch(step)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[step] = self.timings.get(step, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Understood:
    """A visit as the rules see it, and what its record lacked; `garbled` is what another look at the EHR may read."""

    visit: Visit
    context: Context
    policy: Policy
    readings: dict[str, Reading] = field(repr=False)
    forms: tuple[SurfaceForm, ...] = field(repr=False)
    problems: tuple[str, ...]
    garbled: tuple[str, ...]
    knows_patient: bool
    payer_looked_up: bool
    disclosure: Disclosure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a visit. `wrote` says whether anything was written to the EHR this time."""

    understood: Understood
    verdicts: Verdicts
    draft: Draft | None
    claim: Json | None
    wrote: bool
    problem: str | None = None
