"""`make demo`: start the sandbox EHR, code every visit, write the draft Claims, show one table and how to read it back.

With no terminal attached it ends by itself; with one, the server stays up until Enter is pressed.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.views import UnusableResource
from guardrails import Outcome
from plugin import pipeline, site
from plugin import settings as settings_module
from plugin.cli import why
from plugin.ehr.errors import EhrError
from plugin.proposers.protocol import ProposerError
from plugin.settings import Settings, SettingsError
from plugin.workbench import Result
from sandbox import fixtures, server

HERE = Path(__file__).resolve().parent
STATE = HERE.parent / ".sandbox"
_COLOURS = {"ready": "green", "held": "yellow", "rejected": "red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One proposal of one visit, as the table shows it."""

    visit: str
    proposed: str
    proved: str
    units: str
    outcome: str
    why: str


def sandbox_settings(base: str, data_dir: Path) -> Settings:
    """The sandbox as an EHR. The model, if the environment names one, needs no basis here: the people are made up."""
    return settings_module.load(
        ehr=fixtures.ehr("sandbox", base_url=base), data_dir=data_dir, payers_file=HERE / "payers.toml"
    )


def rows_of(result: Result, visit: str) -> list[Row]:
    """A result as rows: one per proposal, or one that says why there is none."""
    if not result.verdicts.verdicts:
        stops = [f"{f.message} ({f.rule_id})" for f in result.verdicts.findings if f.effect != "warn"]
        outcome = "held" if any(f.effect == "hold" for f in result.verdicts.findings) else "-"
        return [Row(visit, "-", "-", "-", outcome, "; ".join(stops) or "nothing to code")]
    rows = []
    for verdict in result.verdicts.verdicts:
        proposal, line = verdict.proposal, verdict.line
        stands = verdict.outcome is Outcome.READY and line is not None
        rows.append(
            Row(
                visit=visit,
                proposed=" ".join([f"{proposal.code} x {proposal.units}", *proposal.modifiers]),
                proved=" ".join([line.code, *line.modifiers]) if stands and line else "-",
                units=str(line.units) if stands and line else "-",
                outcome=verdict.outcome.value,
                why=line.arithmetic if stands and line and not verdict.findings else "; ".join(why(verdict)),
            )
        )
    return rows


def table(rows: list[Row], *, colour: bool) -> Table:
    """The demo's one table."""
    grid = Table("visit", "proposed", "proved line", "units", "outcome", "why")
    for row in rows:
        outcome = f"[{_COLOURS[row.outcome]}]{row.outcome}" if colour and row.outcome in _COLOURS else row.outcome
        grid.add_row(row.visit, row.proposed, row.proved, row.units, outcome, row.why)
    return grid


@click.command()
@click.option("--reset", is_flag=True, help="Forget the sandbox's server data and our store, then stop.")
@click.option("--halves", default="development", help="Which fixtures: development, held_back or both, with a comma.")
@click.option("--port", default=server.PORT, help="Loopback port of the sandbox server.")
def demo(reset: bool, halves: str, port: int) -> None:
    """Code every sandbox visit and write the draft Claims."""
    if reset:
        shutil.rmtree(STATE, ignore_errors=True)
        click.echo("The sandbox is empty again.")
        return
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console() if interactive else Console(width=150)
    console.print("Starting the sandbox EHR on loopback ...")
    with server.running(STATE, port) as base:
        chosen = tuple(halves.split(","))
        server.load_fixtures(base, chosen)
        try:
            failed = _code_all(console, sandbox_settings(base, STATE / "claimwright"), chosen, interactive)
        except SettingsError as problem:
            raise click.ClickException(str(problem)) from None
        if interactive:
            console.input("\nThe server stays up for you to look around. Press Enter to stop it. ")
        else:
            console.print("\nThe server stops with the demo; run it in a terminal to keep it up and look around.")
    sys.exit(1 if failed else 0)


def _code_all(console: Console, settings: Settings, halves: tuple[str, ...], interactive: bool) -> bool:
    rows: list[Row] = []
    written: list[str] = []
    failures: list[str] = []
    wanted = {f.name for half in halves for f in fixtures.load(half)}
    with site.ehr_site(settings) as (live, reader), Progress(console=console, disable=not interactive) as progress:
        _say_proposer(console, live.proposer.name, live.proposer.host)
        visits = [v for v in reader.finished() if v in wanted]
        task = progress.add_task("coding visits", total=len(visits))
        for visit in visits:
            try:
                result = pipeline.code_visit(live, visit)
                rows += rows_of(result, visit)
                if result.wrote:
                    written.append(visit)
                if result.problem:  # the job waits in the outbox; one more try reconciles a lost answer
                    result = pipeline.code_visit(live, visit)
                if result.problem:
                    failures.append(f"{visit}: {result.problem}")
            except (EhrError, ProposerError, UnusableResource, UnwritableClaim) as problem:
                failures.append(f"{visit}: {problem}")
            progress.advance(task)
        assert live.store is not None
        claims = {d.encounter_id: live.store.remote(d.id, "ehr") for d in live.store.drafts() if d.claim}
    console.print(table(rows, colour=interactive))
    _count(console, rows)
    for failure in failures:
        console.print(f"waits: {failure}", markup=False)
    total = len([c for c in claims.values() if c])
    if written:
        console.print(f"{len(written)} draft Claims written; {total} stand in the EHR.")
    else:
        console.print(
            f"Nothing new: the same visits, the same drafts. Nothing was written; {total} draft Claims stand in the EHR."
        )
    shown = next((c for c in claims.values() if c), None)
    if shown:
        console.print("\nRead a draft back from the server:", markup=False)
        console.print(f"  curl -s {settings.ehr.base_url}/Claim/{shown.claim_id}", markup=False)
        console.print(f"  curl -s '{settings.ehr.base_url}/Claim?status=draft'", markup=False)
    return bool(failures)


def _say_proposer(console: Console, name: str, host: str | None) -> None:
    if host:
        console.print(f"Proposals come from the model {name} at {host}.")
    else:
        console.print(
            f"Proposals come from the offline baseline ({name}); set OPENAI_BASE_URL and OPENAI_API_KEY to use a model."
        )


def _count(console: Console, rows: list[Row]) -> None:
    counts = {o: sum(r.outcome == o for r in rows) for o in ("ready", "held", "rejected")}
    console.print(
        ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
        + f"; {sum(r.outcome == '-' for r in rows)} without anything to bill"
    )


if __name__ == "__main__":
    demo()
