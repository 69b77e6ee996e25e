"""The commands for the rulebook: payer policies and official tables."""

from __future__ import annotations

import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.table import Table

from guardrails import codebook, policies, policy_words
from plugin import official_files, policy_diff, site, tables
from plugin import settings as settings_module
from plugin.answering import answering


@click.group("policy")
def policy_group() -> None:
    """Payer policies: read one in sentences, check one that you wrote, or begin a new one."""


@policy_group.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@answering
def policy_check(file: Path) -> None:
    """Say by line what is wrong in a policy, and which codes or elements it names that the tables do not know."""
    book = codebook.load()
    read = policies.read(file)
    strange = policies.unknown_names(read, book.codes.keys(), book.elements.keys())
    for each in strange:
        click.echo(f"{file.name}: {each}")
    through = f" to {read.effective_through}" if read.effective_through else ""
    click.echo(
        f"{read.id}: {read.payer}, {read.kind}, in force from {read.effective_from}{through}; {len(read.codes)} codes"
    )
    sys.exit(1 if strange else 0)


@policy_group.command("show")
@click.argument("name")
@click.argument("codes", nargs=-1)
@answering
def policy_show(name: str, codes: tuple[str, ...]) -> None:
    """Say in sentences what a policy says: of CODES, else of those that it speaks of, and of every line.

    NAME is a packaged policy or a TOML file.
    """
    policy, book = policy_diff.policy_named(name), codebook.load()
    through = f" through {policy.effective_through}" if policy.effective_through else ""
    click.echo(f"{policy.payer}, in force from {policy.effective_from}{through}\n{policy.source}")
    for code in map(codebook.normalize, codes or policy_words.spoken_of(policy)):
        entry = next(reversed(book.codes.get(code, ())), None)
        if entry is None and codes:
            raise policies.PolicyError(f"{code}: not in the loaded code tables")
        if entry is not None:
            _clauses(f"{code}, {entry.label}", policy_words.of_code(policy, entry, book.elements))
    _clauses("Every line", policy_words.of_every_line(policy))


def _clauses(title: str, said: tuple[policy_words.Clause, ...]) -> None:
    click.echo(f"\n{title}")
    for clause in said or (policy_words.NOTHING_SPECIAL,):
        click.echo(f"  {clause.text}" + (f" [{clause.source}]" if clause.source else ""))


@policy_group.command("new")
@click.argument("name")
@click.option(
    "--from", "based_on", default="medicaid-generic", show_default=True, help="A packaged policy to begin from."
)
@answering
def policy_new(name: str, based_on: str) -> None:
    """Write a commented policy to NAME.toml; it does not overwrite."""
    file = Path(f"{name}.toml")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or file.exists():
        raise policies.PolicyError(f"{file}: it exists, or is no name of letters, digits, dots and dashes")
    file.write_text(policies.scaffold(name, policies.load(based_on)), encoding="utf-8")
    click.echo(f"{file}: fill in payer and source, then run: claimwright policy check {file}")


@policy_group.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--fhir-base", help="The EHR's FHIR R4 base URL (else the setting ehr.base_url).")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Use the visits of a FHIR Bundle file instead of those on file."
)
@answering
def policy_diff_command(first: str, second: str, fhir_base: str | None, bundle: Path | None) -> None:
    """What changes for the visits on file if SECOND counts in place of FIRST; each a packaged policy or a TOML file.

    The visits are read again and the proposals kept for them, in a Bundle those of the offline baseline, are proved under
    both; nothing is asked of a model and nothing is written. What cannot be read is named and left out.
    """
    settings = settings_module.load()
    if fhir_base:
        settings = settings.model_copy(update={"ehr": settings.ehr.model_copy(update={"base_url": fhir_base})})
    one, other = policy_diff.policy_named(first), policy_diff.policy_named(second)
    if bundle is not None:
        built, ids = site.bundle_site(settings.model_copy(update={"model": settings_module.ModelSettings()}), bundle)
        compared = policy_diff.of_visits(built, ids, one, other)
    else:
        with site.ehr_site(settings) as (live, _):
            compared = policy_diff.of_drafts(live, one, other)
    grid = Table("visit", "proposed", one.id, other.id, "because")
    for change in compared.changes:
        grid.add_row(change.encounter_id, change.proposed, change.before, change.after, "\n".join(change.because))
    if compared.changes:
        _console().print(grid)
    for said in compared.problems:
        click.echo(f"note: {said}")
    click.echo(
        f"{compared.visits} visits, {compared.lines} lines proposed: {len(compared.changes)} change. "
        f"Units that stand: {compared.units_before} under {one.id}, {compared.units_after} under {other.id}."
    )


@click.group("codebook")
def codebook_group() -> None:
    """Official tables: import the files that CMS and the AMA publish, and see which are loaded."""


@codebook_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--effective",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first day for which the file counts, where its name does not say.",
)
@click.option(
    "--payer", type=click.Choice(["medicare", "medicaid"]), help="Whose NCCI file it is, where its name does not say."
)
@answering
def codebook_import(file: Path, effective: datetime | None, payer: Literal["medicare", "medicaid"] | None) -> None:
    """Read an official file over the packaged tables: HCPCS quarterly, NCCI pairs, MUE, add-on codes, ICD-10-CM, licensed CPT.

    A wrong or truncated file is refused whole, with its line.
    """
    settings = settings_module.load()
    read = official_files.read(file, codebook.load(), effective=effective.date() if effective else None, payer=payer)
    kept = tables.keep(settings, read)
    tables.book_of(settings)  # a table that cannot be laid over the others is not left behind unsaid
    parts = {
        "codes": len(read.codes),
        "modifiers": len(read.modifiers),
        "pairs of codes that we know": len(read.pairs),
        "limits of codes that we know": len(read.limits),
        "add-on codes that we know": len(read.primaries),
        "billable diagnoses": len(read.billable.split()),
    }
    shown = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
    click.echo(f"{kept.stem}: {read.read} records read; {shown or 'nothing in it is of codes that we know'}")
    click.echo(f"it counts from {read.effective_from} through {read.effective_through}")


@codebook_group.command("tables")
@answering
def codebook_tables() -> None:
    """The tables in use, packaged and imported, with the days they cover."""
    settings = settings_module.load()
    packaged = codebook.load()
    grid = Table("table", "from", "through", "source")
    for each in packaged.tables.values():
        grid.add_row(each.name, str(each.covers_from), str(each.covers_through), f"packaged: {each.source}")
    for pairs in packaged.edits.pair_tables:
        grid.add_row("pairs", "2024-07-01", "", f"packaged: {pairs.name}")
    for start, through, _ in packaged.icd_sources:
        grid.add_row("icd10cm", str(start), str(through), "packaged: CDC/NCHS code numbers")
    for table in tables.imported(settings):
        grid.add_row(table.name, str(table.effective_from), str(table.effective_through), f"imported: {table.source}")
    _console().print(grid)


def _console() -> Console:
    """Tables need room: without a terminal they are as wide as they like, so that nothing is cut in a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=160)
