"""The command line. Results go to standard output, complaints to standard error; `--json` prints JSON and nothing else.

Exit codes: 0 done (for `check`: every proposal is ready); 1 `check` held or rejected something, `release` would make a file
that is not valid, `audit verify` finds the history broken; 2 the input or a setting is wrong; 3 the EHR or the model is not
to be had now, try again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from guardrails import Outcome, Verdict, Verdicts, codebook, policies
from guardrails.rules import families
from plugin import pipeline, proposals_file, site, tables, usage, verdict_json
from plugin import settings as settings_module
from plugin.answering import answering
from plugin.disclosures import in_words
from plugin.ehr import connect as ehr_connect
from plugin.ehr.client import FhirClient
from plugin.ehr.connect import Works
from plugin.evaluation_cli import evaluate
from plugin.queue_cli import COMMANDS as QUEUE_COMMANDS
from plugin.release_cli import COMMANDS as RELEASE_COMMANDS
from plugin.rulebook_cli import codebook_group, policy_group
from plugin.settings import Settings
from plugin.store.records import Draft
from plugin.store.store import Store
from plugin.web_cli import COMMANDS as WEB_COMMANDS
from plugin.workbench import Result

_WORKS = {Works.YES: "green", Works.PARTLY: "yellow", Works.NO: "red"}
_COLOURS = {Outcome.READY: "green", Outcome.HELD: "yellow", Outcome.REJECTED: "red"}


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="claimwright")
def main() -> None:
    """See the module's text, which is the help."""


@main.command()
@click.option("--encounter", help="Logical id of the Encounter. May be left out with a Bundle that holds one.")
@click.option("--fhir-base", help="The EHR's FHIR R4 base URL (else the setting ehr.base_url).")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Read the visit from a FHIR Bundle file instead; nothing is kept or written.",
)
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="A payer policy (TOML) to use whoever pays."
)
@click.option("--dry-run", is_flag=True, help="Read, propose and prove; keep and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts and the draft Claim as JSON.")
@answering
def propose(
    encounter: str | None,
    fhir_base: str | None,
    bundle: Path | None,
    policy_file: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take one visit through the whole line: read, propose, prove, write a draft Claim.

    With OPENAI_BASE_URL or OPENAI_API_KEY set, that model proposes; otherwise the offline baseline does.
    """
    settings = _settings(fhir_base)
    policy = policies.read(policy_file) if policy_file else None
    if bundle is not None:
        built, ids = site.bundle_site(settings, bundle, policy=policy)
        _show_result(pipeline.code_visit(built, _one_of(encounter, ids)), built.proposer.name, as_json)
        return
    if not encounter:
        raise click.UsageError("--encounter is needed, unless --bundle holds exactly one visit")
    with site.ehr_site(settings, policy=policy, dry_run=dry_run) as (live, _):
        _show_result(
            pipeline.code_visit(live, encounter), live.proposer.name, as_json, takes_claims=bool(live.destination)
        )


@main.command()
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="The visit as a FHIR Bundle file.")
@click.option("--encounter", help="Logical id of the Encounter, where the Bundle holds several.")
@click.option(
    "--proposals",
    type=click.Path(path_type=Path),
    required=True,
    help="JSON list of {code, units, modifiers, quotes: [text]}.",
)
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="A payer policy (TOML) to use whoever pays."
)
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The date of the check (else today).")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@answering
def check(
    bundle: Path,
    encounter: str | None,
    proposals: Path,
    policy_file: Path | None,
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Prove proposals against a visit in a Bundle. No server, no model, no store."""
    asked = proposals_file.read(proposals)
    policy = policies.read(policy_file) if policy_file else None
    settings = _settings(None)
    built, ids = site.bundle_site(
        settings.model_copy(update={"model": settings_module.ModelSettings()}), bundle, policy=policy
    )
    if as_of is not None:
        built = replace(built, today=as_of.date)
    understood = pipeline.understand(built, built.read(_one_of(encounter, ids)))
    verdicts = pipeline.prove(built, understood, asked)
    if as_json:
        click.echo(json.dumps(verdict_json.verdicts_json(verdicts) | {"problems": list(understood.problems)}, indent=2))
    else:
        _show_verdicts(verdicts, understood.problems, f"policy {understood.policy.id}")
    sys.exit(0 if all(v.outcome is Outcome.READY for v in verdicts.verdicts) else 1)


@main.command()
@click.argument("code")
@click.option("--on", type=click.DateTime(["%Y-%m-%d"]), help="Date of service (else today).")
@answering
def codes(code: str, on: datetime | None) -> None:
    """What a code means on a date: label, how it is counted, who usually gives it, when it is in force."""
    book = tables.book_of(settings_module.load())
    text = codebook.normalize(code)
    if not codebook.is_well_formed(text):
        click.echo(
            f"claimwright: {verdict_json.shown_code(code)} has neither the form of HCPCS Level II nor of CPT", err=True
        )
        sys.exit(2)
    day = on.date() if on else date.today()  # noqa: DTZ011 - a person at a terminal means their own today
    meanings = book.meanings(text)
    if not meanings:
        table = book.table_for(text)
        window = (
            f"they cover {table.covers_from} to {table.covers_through}" if table else "no table of its system is loaded"
        )
        click.echo(f"claimwright: {text} is not in the loaded tables ({window})", err=True)
        sys.exit(2)
    grid = Table(title=f"{text} on {day}", show_header=False, title_justify="left")
    for entry in meanings:
        state = "in force" if entry.in_force(day) else "not in force"
        until = entry.in_force_through or "no end known"
        grid.add_row("meaning", f"{entry.label} ({state}; {entry.in_force_from or 'start not in table'} to {until})")
        counted = entry.unit_rule.value + (f", from minute {entry.from_minute}" if entry.from_minute else "")
        grid.add_row("counted", counted + (f" to {entry.to_minute}" if entry.to_minute else ""))
        if entry.ladder:
            rungs = " < ".join(rung.code for rung in book.ladder(entry, day))
            grid.add_row("ladder", f"{entry.ladder}: {rungs}")
        if entry.add_on_to:
            grid.add_row("add-on to", " ".join(sorted(entry.add_on_to)))
        grid.add_row("usual clinician", " ".join(sorted(entry.levels)) or "not in table")
        grid.add_row("Medicare", "payable" if entry.medicare else "not payable")
        grid.add_row("source", entry.source)
    _console().print(grid)


@main.command()
@click.argument("rule_id", required=False)
@answering
def rules(rule_id: str | None) -> None:
    """All rules, or one: what it says, what it does, who asks for it, who can cure it."""
    every = codebook.load().rules()
    if rule_id and rule_id.upper() not in every:
        click.echo("claimwright: no such rule; `claimwright rules` lists them", err=True)
        sys.exit(2)
    chosen = {rule_id.upper(): every[rule_id.upper()]} if rule_id else every
    grid = Table("rule", "effect", "says", "authority", "cured by")
    for _, members in families(chosen):
        for each in members:
            grid.add_row(each.id, each.effect.value, escape(each.sentence), escape(each.authority), each.cured_by.value)
        grid.add_section()
    _console().print(grid)


@main.command()
@click.argument("draft")
@click.option("--quotes", is_flag=True, help="Show the note's words behind each line (patient data on your screen).")
@click.option("--json", "as_json", is_flag=True, help="Print the stored draft as JSON.")
@answering
def explain(draft: str, quotes: bool, as_json: bool) -> None:
    """How a draft came about, from quote to arithmetic to Claim. DRAFT is its id, or the Encounter's."""
    store = Store.open(_settings(None))
    try:
        direct = store.draft(draft)
        found = [direct] if direct else store.drafts(encounter_id=draft)
        if not found:
            click.echo("claimwright: no draft of that id; `claimwright drafts` lists them", err=True)
            sys.exit(2)
        for each in found:
            if as_json:
                click.echo(
                    json.dumps(
                        {
                            "id": each.id,
                            "version": each.version,
                            "state": each.state.value,
                            **each.verdicts,
                            "claim": each.claim,
                        },
                        indent=2,
                    )
                )
            else:
                _explain(store, each, quotes)
    finally:
        store.close()


@main.command()
@answering
def drafts() -> None:
    """The drafts in the store: id, version, state, lines, and where they were delivered."""
    store = Store.open(_settings(None))
    try:
        grid = Table("draft", "version", "state", "lines", "delivery")
        for each in store.drafts():
            job = store.last_delivery(each.id)
            lines = ", ".join(
                f"{v['line']['code']} x {v['line']['units']}"
                for v in each.verdicts["verdicts"]
                if v["outcome"] == "ready"
            )
            delivery = f"{job.state.value}{f': {job.problem}' if job.problem else ''}" if job else "-"
            grid.add_row(each.id, str(each.version), each.state.value, lines or "-", escape(delivery))
        _console().print(grid)
    finally:
        store.close()


@main.command()
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print the answers as JSON.")
@answering
def connect(url: str, as_json: bool) -> None:
    """What will work with the EHR at URL, what won't, and what to ask its administrator for. Nothing is written there.

    Exit code 1 where something is missing without which no visit can be read.
    """
    settings = _settings(url)
    with FhirClient(settings.ehr, settings.limits) as client:
        name, answers = ehr_connect.examine(client, settings.ehr)
    if as_json:
        click.echo(json.dumps({"software": name, "answers": [asdict(a) for a in answers]}, indent=2))
    else:
        grid = Table("what", "works", "how, or instead", "ask the administrator for", title=name, title_justify="left")
        for each in answers:
            shown = f"[{_WORKS[each.works]}]{each.works.value}"
            grid.add_row(each.what, shown, escape(each.how), escape(each.ask))
        _console().print(grid)
    sys.exit(1 if any(a.essential and a.works is Works.NO for a in answers) else 0)


@main.command()
@click.argument("encounter")
@answering
def disclosures(encounter: str) -> None:
    """What left of a visit for a model: when, which notes, in which form, to which host, on which basis."""
    store = Store.open(_settings(None))
    try:
        left = store.disclosures(encounter)
        for at, report in left:
            click.echo(f"{at.isoformat(timespec='seconds')}  {in_words(report)}")
            for note in report["notes"]:
                click.echo(
                    f"    DocumentReference/{note['note']} version {note['version']}, SHA-256 {note['sent_hash']}"
                )
        if not left:
            click.echo("nothing of that visit has left for a model")
    finally:
        store.close()


@main.command()
@click.argument("encounter")
@answering
def purge(encounter: str) -> None:
    """Destroy the key of a visit's sealed text: its notes and replies in the store can never be read again."""
    settings = _settings(None)
    store = Store.open(settings)
    try:
        click.echo("purged" if store.purge(settings.ehr.id, encounter) else "nothing sealed for that Encounter")
    finally:
        store.close()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@answering
def stats(as_json: bool) -> None:
    """What asking the model took, and what the rules and people made of its proposals; where it is wrong most."""
    store = Store.open(_settings(None))
    try:
        found = usage.statistics(store)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    if found.asked:
        grid = Table(
            "model", "prompt", "visits", "requests", "failed", "tokens in (cached)", "out", "cents", "median s"
        )
        for (model, prompt), a in sorted(found.asked.items()):
            tokens = f"{a.input_tokens:,} ({a.cached_tokens:,})"
            row = (model, prompt, a.visits, a.requests, a.failed, tokens, f"{a.output_tokens:,}")
            grid.add_row(*map(str, row), f"{a.cents:.2f}", f"{a.median_seconds:.1f}")
        _console().print(grid)
    else:
        click.echo("no model was asked")
    grid = Table(
        "proposer",
        "prompt",
        "code",
        "proposed",
        "ready",
        "held",
        "rejected",
        "accepted",
        "edited",
        "set aside",
        "added",
    )
    for (model, prompt, code), f in sorted(found.fared.items()):
        counts = (
            f.proposed,
            f.ready,
            f.held,
            f.rejected_by_rules,
            f.accepted,
            f.edited,
            f.set_aside,
            f.added_by_people,
        )
        grid.add_row(model, prompt, code, *map(str, counts))
    _console().print(grid)
    for (model, _, code), f in found.worst():
        click.echo(
            f"wrong most: {code} by {model}, {f.wrong:.0%} of {f.decided + f.added_by_people} that people decided"
        )


@main.command("vault-key")
def vault_key() -> None:
    """Print a new key for the setting vault_key (CLAIMWRIGHT_VAULT_KEY)."""
    from cryptography.fernet import Fernet

    click.echo(Fernet.generate_key().decode())


def _settings(fhir_base: str | None) -> Settings:
    loaded = settings_module.load()
    return (
        loaded.model_copy(update={"ehr": loaded.ehr.model_copy(update={"base_url": fhir_base})})
        if fhir_base
        else loaded
    )


def _one_of(encounter: str | None, ids: list[str]) -> str:
    if encounter is None and len(ids) != 1:
        raise click.UsageError(
            f"the Bundle holds {len(ids)} visits; choose one with --encounter: {', '.join(ids[:20])}"
        )
    return encounter or ids[0]


def _console() -> Console:
    """Tables need room: without a terminal they are as wide as they like, so that nothing is cut in a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def _show_result(result: Result, proposer: str, as_json: bool, *, takes_claims: bool = True) -> None:
    if as_json:
        shown: dict[str, Any] = verdict_json.verdicts_json(result.verdicts)
        shown |= {
            "proposer": proposer,
            "policy": result.understood.policy.id,
            "problems": list(result.understood.problems),
            "not_looked_up": result.understood.context.not_looked_up(),
            "disclosure": result.understood.disclosure.as_json() if result.understood.disclosure else None,
        }
        shown |= {
            "draft": result.draft.id if result.draft else None,
            "written": result.wrote,
            "delivery_problem": result.problem,
        }
        click.echo(json.dumps(shown | {"claim": result.claim}, indent=2))
        return
    _show_verdicts(
        result.verdicts, result.understood.problems, f"proposed by {proposer}, policy {result.understood.policy.id}"
    )
    unchecked = result.understood.context.not_looked_up()
    if unchecked:
        _console().print(
            "not checked: " + "; ".join(f"{scope.replace('_', ' ')} ({why})" for scope, why in unchecked.items()),
            markup=False,
        )
    if result.understood.disclosure is not None:
        _console().print(f"left for the model: {escape(in_words(result.understood.disclosure.as_json()))}")
    if result.draft is not None:
        written = "written to the EHR" if result.wrote else "nothing new to write"
        if not takes_claims:
            written = "kept in our store; this EHR takes no Claims"
        click.echo(f"draft {result.draft.id} version {result.draft.version}: {result.problem or written}")


def _show_verdicts(verdicts: Verdicts, problems: tuple[str, ...], how: str) -> None:
    console = _console()
    grid = Table("proposed", "outcome", "line", "why", title=how, title_justify="left")
    for verdict in verdicts.verdicts:
        grid.add_row(
            _proposed(verdict),
            f"[{_COLOURS[verdict.outcome]}]{verdict.outcome.value}",
            _line(verdict),
            "\n".join(why(verdict)),
        )
    console.print(grid)
    for finding in verdicts.findings:
        console.print(f"visit: {escape(finding.message)} [{finding.rule_id}]", markup=True)
    for problem in problems:
        console.print(f"record: {escape(problem)}")
    for notice in verdicts.notices:
        console.print(f"site: {escape(notice)}")
    stand = ", ".join(f"{line.code} x {line.units}" for line in verdicts.lines)
    console.print(f"lines that stand: {stand or 'none'}")


def _proposed(verdict: Verdict) -> str:
    shown = verdict_json.proposal_json(verdict.proposal)
    return f"{shown['code']} x {shown['units']}" + (f" {' '.join(shown['modifiers'])}" if shown["modifiers"] else "")


def _line(verdict: Verdict) -> str:
    if verdict.line is None:
        return "-"
    return f"{verdict.line.code} x {verdict.line.units}\n{verdict.line.arithmetic}"


def why(verdict: Verdict) -> list[str]:
    """The findings as a person reads them, with the lower value that fits; one short word for a clean line."""
    said = [f"{escape(f.message)} ({f.rule_id})" for f in verdict.findings]
    if verdict.fix:
        said.append(f"a person may accept {verdict.fix.code} x {verdict.fix.units}")
    return said or ["documented"]


def _explain(store: Store, draft: Draft, quotes: bool) -> None:
    console = _console()
    sealed = store.unseal(draft.snapshot_key, "notes") if quotes else None
    notes: dict[str, str] = json.loads(sealed) if sealed else {}
    console.print(
        f"[bold]draft {draft.id}[/] version {draft.version}, {draft.state.value}, policy {draft.verdicts.get('policy')}"
    )
    for verdict in draft.verdicts["verdicts"]:
        proposal, line = verdict["proposal"], verdict["line"]
        console.print(
            f"\nproposed {proposal['code']} x {proposal['units']} {' '.join(proposal['modifiers'])} -> {verdict['outcome']}"
        )
        if line:
            for quote in line["evidence"]:
                words = notes.get(quote["note"], "")[quote["start"] : quote["end"]]
                console.print(
                    f"  evidence  {quote['note']} [{quote['start']}:{quote['end']}]"
                    + (f"  {words!r}" if words else ""),
                    markup=False,
                )
            console.print(f"  counted   {line['arithmetic']} -> {line['units']} unit(s)")
            console.print(
                f"  line      {line['code']} {' '.join(line['modifiers'])} on {line['date_of_service']}, place {line['place_of_service']}, diagnoses {', '.join(line['diagnoses'])}"
            )
        for finding in verdict["findings"]:
            console.print(
                f"  {finding['effect']:<9} {escape(finding['message'])} ({finding['rule']}; {escape(finding['authority'])})"
            )
    for finding in draft.verdicts["findings"]:
        console.print(f"visit: {escape(finding['message'])} ({finding['rule']})")
    job = store.last_delivery(draft.id)
    remote = store.remote(draft.id, job.destination) if job else None
    if remote:
        console.print(
            f"\nClaim/{remote.claim_id} at {job.destination if job else ''}, version {remote.version} of the draft, ETag {remote.etag}"
        )
    elif job:
        console.print(f"\ndelivery: {job.state.value} {job.problem or ''}")


main.add_command(policy_group)
main.add_command(codebook_group)
main.add_command(evaluate)
for command in (*QUEUE_COMMANDS, *RELEASE_COMMANDS, *WEB_COMMANDS):
    main.add_command(command)

if __name__ == "__main__":
    main()
