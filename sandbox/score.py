"""`make score`: the offline baseline on both halves of the fixtures, before and after the rules.

Exact: the ready lines are the gold lines, codes, units and modifiers. Over: a line stands that is not gold, or with more
units. Missed: a gold line does not stand. What the baseline proposed counts as if billed without any rules. "Right
proposals": what a fixture's writer states as rightly billed; those that do not stand are the rules' own false alarms.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from rich.console import Console
from rich.table import Table

from guardrails import Proposal, Verdicts, codebook
from plugin import pipeline
from plugin.proposers.baseline import Baseline
from plugin.settings import Payers, Settings
from plugin.site import bundle_records
from plugin.workbench import Site
from sandbox import fixtures

AS_OF = date(2026, 11, 23)
Line = tuple[str, object, tuple[str, ...]]


@dataclass
class Score:
    """Counts over one half."""

    visits: int = 0
    exact: int = 0
    over: int = 0
    missed: int = 0
    held: int = 0
    proposed_exact: int = 0
    proposed_over: int = 0
    right: int = 0
    right_stands: int = 0
    right_rejected: int = 0
    wrong: list[str] = field(default_factory=list)


def score(half: str) -> Score:
    """Run the baseline over one half."""
    total = Score()
    book = codebook.load()
    for fixture in fixtures.load(half):
        verdicts = _verdicts(fixture, book)
        gold: list[Line] = [(g["code"], g["units"], tuple(g.get("modifiers", ()))) for g in fixture.gold]
        stand: list[Line] = [(line.code, line.units, line.modifiers) for line in verdicts.lines]
        proposed: list[Line] = [(v.proposal.code, v.proposal.units, v.proposal.modifiers) for v in verdicts.verdicts]
        total.visits += 1
        total.exact += Counter(stand) == Counter(gold)
        total.over += _over(stand, gold)
        total.missed += any(code not in {s[0] for s in stand} for code, _, _ in gold)
        total.held += any(v.outcome.value == "held" for v in verdicts.verdicts) or any(
            f.effect == "hold" for f in verdicts.findings
        )
        total.proposed_exact += Counter(proposed) == Counter(gold)
        total.proposed_over += _over(proposed, gold)
        for case in (c for c in fixture.cases if c.name == "as documented" and c.outcomes[0]["outcome"] == "ready"):
            outcome = _prove(fixture, book, case.proposals).verdicts[0].outcome.value
            total.right += 1
            total.right_stands += outcome == "ready"
            total.right_rejected += outcome == "rejected"
        if Counter(stand) != Counter(gold):
            total.wrong.append(fixture.name)
    return total


def _site(fixture: fixtures.Fixture, book: codebook.Codebook) -> Site:
    settings = Settings(ehr=fixtures.ehr("score"))
    record = next(r for r in bundle_records(settings, fixture.bundle()) if r.encounter["id"] == fixture.name)
    return Site(
        settings=settings,
        codebook=book,
        payers=Payers.read(fixtures.ROOT.parent / "sandbox" / "payers.toml"),
        proposer=Baseline(book),
        read=lambda _: record,
        today=lambda: AS_OF,
    )


def _verdicts(fixture: fixtures.Fixture, book: codebook.Codebook) -> Verdicts:
    return pipeline.code_visit(_site(fixture, book), fixture.name).verdicts


def _prove(fixture: fixtures.Fixture, book: codebook.Codebook, proposals: tuple[Proposal, ...]) -> Verdicts:
    site = _site(fixture, book)
    return pipeline.prove(site, pipeline.understand(site, site.read(fixture.name)), proposals)


def _over(lines: list[Line], gold: list[Line]) -> bool:
    allowed = {code: units for code, units, _ in gold}
    return any(units > allowed.get(code, 0) for code, units, _ in lines)  # type: ignore[operator]


def markdown() -> str:
    """The scores as the README shows them."""
    rows = [
        "| fixtures | visits | exact | over-coded | gold line missed | held | without rules: exact | without rules: over-coded "
        "| right proposals that stand | right proposals rejected |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for half in fixtures.HALVES:
        s = score(half)
        rows.append(
            f"| {half} | {s.visits} | {s.exact} | {s.over} | {s.missed} | {s.held} | {s.proposed_exact} | {s.proposed_over} "
            f"| {s.right_stands} of {s.right} | {s.right_rejected} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Print both halves."""
    grid = Table(
        "fixtures",
        "visits",
        "exact",
        "over-coded",
        "missed",
        "held",
        "proposals: exact",
        "proposals: over-coded",
        "right ones stand",
        "not exact",
    )
    for half in fixtures.HALVES:
        s = score(half)
        numbers = (
            s.visits,
            s.exact,
            s.over,
            s.missed,
            s.held,
            s.proposed_exact,
            s.proposed_over,
            f"{s.right_stands}/{s.right}",
        )
        grid.add_row(half, *map(str, numbers), ", ".join(s.wrong) or "-")
    (Console() if sys.stdout.isatty() else Console(width=150)).print(grid)


if __name__ == "__main__":
    main()
