"""Proofs per second on one core: `check()` with three proposals on a visit already read, and from a note's text on with
one and with three.

Beside it in the same run: validating one six-line Claim with fhir.resources, so that figures from different machines can
be compared as ratios.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

from fhir.resources.R4B.claim import Claim

from fhir_mappings import claims
from fhir_mappings.records import SiteOptions
from fhir_mappings.visits import to_visit
from guardrails import check, codebook, policies, read_notes
from guardrails.visit import Context, NoteSet, Visit
from plugin.settings import Settings
from plugin.site import bundle_records
from sandbox import fixtures

SECONDS = 3.0


def timed(work: Callable[[], object]) -> list[float]:
    """Seconds per call, over a few seconds of calls."""
    durations, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        started = time.perf_counter()
        work()
        durations.append(time.perf_counter() - started)
    return durations


def report(what: str, durations: list[float], per_call: int = 1) -> float:
    """Print a line; returns the rate."""
    ordered = sorted(durations)
    rate = per_call * len(durations) / sum(durations)
    p99 = ordered[int(len(ordered) * 0.99)]
    print(f"{what:<52} {rate:>10.0f}/s   median {statistics.median(ordered) * 1e6:>8.0f} us   p99 {p99 * 1e6:>8.0f} us")
    return rate


def _told_longer(visit: Visit, characters: int) -> Visit:
    """The visit with a longer narrative: one heading and one time, as notes have them, and the paragraphs without a number again."""
    (note,) = visit.notes.evidence
    telling = [part for part in note.text.split("\n\n") if not any(c.isdigit() for c in part)]
    text = note.text
    while len(text) < characters:
        text = "\n\n".join([text, *telling])
    return _with(visit, text[:characters])


def _pasted(visit: Visit, characters: int) -> Visit:
    """The visit with its whole note pasted again and again, times and headings too."""
    (note,) = visit.notes.evidence
    text = (note.text + "\n\n") * (characters // len(note.text) + 1)
    return _with(visit, text[:characters])


def _with(visit: Visit, text: str) -> Visit:
    (note,) = visit.notes.evidence
    return replace(visit, notes=NoteSet((replace(note, text=text),)))


def main() -> None:
    """Measure and print."""
    started = time.perf_counter()
    book = codebook.load()
    load_ms = (time.perf_counter() - started) * 1e3
    fixture = fixtures.load_one(fixtures.ROOT / "development" / "h2014-45-minutes")
    (record,) = bundle_records(Settings(ehr=fixtures.ehr("bench")), fixture.bundle())
    visit = to_visit(record, SiteOptions(), book).visit
    policy, context = policies.load("medicaid-whole-unit"), Context(today=date(2026, 3, 9))
    proposals = [case.proposals[0] for case in fixture.cases][:3]
    readings = read_notes(visit, book)
    started = time.perf_counter()
    check(visit, context, proposals, (), book, policy)
    print(f"the first visit, for which the patterns are compiled: {(time.perf_counter() - started) * 1e3:.0f} ms")
    size = sum(len(n.text) for n in visit.notes)
    print(
        f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}, one core, {datetime.now(UTC):%Y-%m-%d}"
    )
    print(f"codebook loaded in {load_ms:.0f} ms; note of {size} characters; {len(proposals)} proposals a visit")
    proofs = report(
        "check(), visit already read, proposals",
        timed(lambda: check(visit, context, proposals, (), book, policy, readings=readings)),
        len(proposals),
    )
    report("from that text to verdicts, visits", timed(lambda: check(visit, context, proposals, (), book, policy)))
    longer, pasted = _told_longer(visit, 5000), _pasted(visit, 5000)
    for what, long, asked in (("1 line", longer, 1), ("3 lines", longer, 3), ("pasted, 3 lines", pasted, 3)):
        rate = timed(lambda v=long, n=asked: check(v, context, proposals[:n], (), book, policy))  # type: ignore[misc]
        report(f"from 5,000 characters to verdicts, {what}, visits", rate)
    line = check(visit, context, proposals[:1], (), book, policy, readings=readings).lines[0]
    claim = claims.draft_claim(visit, [line] * 6, created=datetime.now(UTC), incomplete=False)
    beside = report("beside: fhir.resources validates a six-line Claim", timed(lambda: Claim.model_validate(claim)))
    print(f"proofs per validated Claim: {proofs / beside:.1f}")


if __name__ == "__main__":
    main()
