"""`make demo`: start the sandbox EHR and Claimwright in it, code every visit, write the draft Claims, show one table.

With no terminal attached it ends by itself; with one, the EHR's pages open and stay until Enter is pressed.
"""

from __future__ import annotations

import os
import shutil
import sys
import webbrowser
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
from plugin.cli import why
from plugin.ehr.errors import EhrError
from plugin.proposers.protocol import ProposerError
from plugin.review.states import State
from plugin.settings import EngineSettings, SettingsError
from plugin.web.app import build
from plugin.web.house import House
from plugin.workbench import Result
from sandbox import ehr as sandbox_ehr
from sandbox import fixtures, server, staging
from sandbox.ehr import Ehr

HERE = Path(__file__).resolve().parent
STATE = HERE.parent / ".sandbox"
APP_PORT = 8085
_SHOWN = "h2014-45-minutes"
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
@click.option("--port", default=server.PORT, help="Loopback port of the EHR's pages.")
@click.option("--app-port", default=APP_PORT, help="Loopback port of Claimwright.")
def demo(reset: bool, halves: str, port: int, app_port: int) -> None:
    """Code every sandbox visit, write the draft Claims, and show the EHR with Claimwright in it."""
    if reset:
        shutil.rmtree(STATE, ignore_errors=True)
        click.echo("The sandbox is empty again.")
        return
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console() if interactive else Console(width=150)
    console.print("Starting the sandbox EHR and Claimwright on loopback ...")
    chosen = tuple(halves.split(","))
    here = server.free_port(app_port)
    try:
        with sandbox_ehr.running(STATE, f"http://localhost:{here}", port=port, halves=chosen) as ehr:
            # what changes from now on is found by polling; what is there already is coded below
            engine = EngineSettings(first_days=0, poll_seconds=5, poll_overlap_minutes=0)
            settings = ehr.settings(STATE / "claimwright", engine=engine)
            house = House.open(settings)
            with sandbox_ehr.serving(build(house), here):
                failed = _code_all(console, house, ehr, chosen, interactive)
                console.print(f"\nThe EHR: {ehr.url}/ (open a chart, then Claimwright in it)", markup=False)
                console.print(f"The coders' queue: {ehr.app_url}/queue (sign in as Ines, Bo or Ada)", markup=False)
                if interactive:
                    if _has_desktop():
                        webbrowser.open(f"{ehr.url}/chart/{_SHOWN}?open=1")
                        webbrowser.open(f"{ehr.app_url}/queue")
                    console.input("It stays up for you to look around. Press Enter to stop it. ")
                else:
                    console.print("It stops with the demo; run it in a terminal to keep it up and look around.")
    except SettingsError as problem:
        raise click.ClickException(str(problem)) from None
    sys.exit(1 if failed else 0)


def _has_desktop() -> bool:
    """Whether a browser window can open; a text browser would take this terminal away."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _code_all(console: Console, house: House, ehr: Ehr, halves: tuple[str, ...], interactive: bool) -> bool:
    rows: list[Row] = []
    written: list[str] = []
    failures: list[str] = []
    wanted = {f.name for half in halves for f in fixtures.load(half)}
    with (
        site.ehr_site(house.settings) as (live, reader),
        Progress(console=console, disable=not interactive) as progress,
    ):
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
                theirs = result.draft is not None and result.draft.state is State.CHANGED_ELSEWHERE
                if result.problem and not theirs:  # what somebody else changed waits for a person, and is in the queue
                    failures.append(f"{visit}: {result.problem}")
            except (EhrError, ProposerError, UnusableResource, UnwritableClaim) as problem:
                failures.append(f"{visit}: {problem}")
            progress.advance(task)
        assert live.store is not None
        if "development" in halves:
            staging.stage(live, live.store, ehr.upstream, house.ehrs.unattended_site)
        states = live.store.queue.counts()
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
    listed = ", ".join(f"{count} {state.value}" for state, count in sorted(states.items()))
    console.print(f"In the queue: {listed}.", markup=False)
    shown = next((c for c in claims.values() if c), None)
    if shown:
        console.print("\nRead a draft back from the FHIR server behind the EHR's door:", markup=False)
        console.print(f"  curl -s {ehr.upstream}/Claim/{shown.claim_id}", markup=False)
        console.print(f"  curl -s '{ehr.upstream}/Claim?status=draft'", markup=False)
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
