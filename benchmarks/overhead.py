"""The pipeline's own time per visit by stage, with a model that answers at once, against the sandbox server."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from plugin import pipeline, site
from plugin.proposers.baseline import Baseline
from plugin.proposers.protocol import Answer
from prompts import ProposalRequest
from sandbox import fixtures, server


class Instant:
    """Gives the baseline's answers, prepared beforehand: a model without latency."""

    name = "instant"
    host = None

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._answers: dict[tuple[str, ...], Answer] = {}

    def propose(self, request: ProposalRequest) -> Answer:
        """The prepared answer; prepared on first sight."""
        key = tuple(n.text for n in request.notes)
        if key not in self._answers:
            self._answers[key] = self._baseline.propose(request)
        return self._answers[key]


def main() -> None:
    """Warm up with one store, measure with another: every step is done, also the writes."""
    names = [f.name for f in fixtures.load("development")]
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "ehr") as base:
        server.load_fixtures(base)
        proposer = None
        for run in ("warm", "measured"):
            settings = server.settings_at(base, Path(folder) / run)
            settings = settings.model_copy(
                update={"ehr": settings.ehr.model_copy(update={"billing_provider": f"Organization/{run}"})}
            )
            with site.ehr_site(settings, proposer=proposer) as (live, _):
                proposer = proposer or Instant(Baseline(live.codebook))
                started = time.perf_counter()
                for name in names:
                    pipeline.code_visit(live, name)
                total = time.perf_counter() - started
                timings = dict(live.timings)
    own = sum(seconds for step, seconds in timings.items() if step not in {"read", "deliver", "render"})
    print(f"{len(names)} visits, ms per visit (keep includes render; read and deliver wait for the EHR):")
    for step, seconds in timings.items():
        print(f"  {step:<10} {seconds / len(names) * 1e3:>7.2f}")
    print(
        f"  all        {total / len(names) * 1e3:>7.2f}   of which our own work, EHR calls left out: {own / len(names) * 1e3:.2f}"
    )


if __name__ == "__main__":
    main()
