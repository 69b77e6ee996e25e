"""Commands around what goes out: release approved drafts, list releases, hand a file out again, check a fee schedule."""

from __future__ import annotations

import getpass
import json
import sys
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plugin import settings as settings_module
from plugin import tables
from plugin.answering import answering
from plugin.backend import at_work
from plugin.release import batches, fees
from plugin.release.batches import Form
from plugin.settings import SettingsError
from plugin.store.records import Overtaken
from plugin.store.store import Store

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True, writable=True)


@click.command()
@click.option("--form", type=click.Choice([f.value for f in Form]), required=True, help="An 837P file, or a table.")
@click.option("--dry-run", is_flag=True, help="Say what would go out and what would stay, and why; release nothing.")
@click.option("--out", type=_FOLDER, default=Path(), help="The folder for the file (else this one).")
@answering
def release(form: str, dry_run: bool, out: Path) -> None:
    """Let approved drafts go out in one file, each once. Visits are read anew; what changed or lacks something stays.

    The file holds patient data: it is readable by its owner only and never written over another. Exit code 1 where the
    file would not be valid: then nothing goes out.
    """
    settings = settings_module.load()
    with at_work(settings) as (store, ehrs):
        try:
            if dry_run:
                seen, batch = batches.preview(settings, store, ehrs.unattended_site, Form(form)), None
            else:
                done = batches.release(settings, store, ehrs.unattended_site, Form(form), whoever())
                seen, batch = done.seen, done.batch
        except Overtaken:
            click.echo(
                "claimwright: somebody else releases at this moment; nothing went out by this, try again", err=True
            )
            sys.exit(3)
        for line in batches.in_words(batch.report if batch else seen.as_json()):
            click.echo(line)
        for complaint in seen.complaints:
            click.echo(f"claimwright: {complaint}", err=True)
        if batch is not None:
            click.echo(f"batch {batch.id}: {_written(store, batch.id, out)}")
        elif seen.complaints:
            click.echo("claimwright: nothing goes out", err=True)
            sys.exit(1)
        else:
            click.echo("a dry run: nothing was released" if dry_run else "nothing was released")


def _written(store: Store, number: int, out: Path) -> Path:
    """The file of a batch that was just kept. Should it not be written, it is not lost."""
    kept = store.releases.file(number)
    assert kept is not None
    batch, file = kept
    try:
        return batches.hand_out(batch.report["file"], file, out)
    except SettingsError as problem:
        again = f"claimwright release-again {number} --out FOLDER"
        raise SettingsError(f"batch {number} is released and kept, but {problem}; get it with `{again}`") from None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
@answering
def releases(as_json: bool) -> None:
    """The releases, the newest first: when, by whom, what went out, and the file."""
    store = Store.open(settings_module.load())
    try:
        made = store.releases.batches()
    finally:
        store.close()
    if as_json:
        listed = [{"batch": b.id, "at": b.at.isoformat(), "by": b.by, **b.report} for b in made]
        click.echo(json.dumps(listed, indent=2))
        return
    grid = Table("batch", "when (UTC)", "by", "drafts", "lines", "stayed", "file", "SHA-256")
    for each in made:
        report = each.report
        counts = (str(len(report["released"])), str(report["lines"]), str(len(report["stayed"])))
        when = each.at.strftime("%Y-%m-%d %H:%M")
        grid.add_row(str(each.id), when, escape(each.by), *counts, report["file"], each.digest[:16])
    (Console() if sys.stdout.isatty() else Console(width=160)).print(grid)


@click.command("release-again")
@click.argument("number", type=int)
@click.option("--out", type=_FOLDER, default=Path(), help="The folder for the file (else this one).")
@answering
def release_again(number: int, out: Path) -> None:
    """Hand out the file of release NUMBER again, byte for byte as it was. That is kept in the history."""
    store = Store.open(settings_module.load())
    try:
        batches.free(out, next((b.report["file"] for b in store.releases.batches() if b.id == number), ""))
        kept = store.releases.again(number, whoever())
        if kept is None:
            raise SettingsError(f"there is no release {number} with a file; `claimwright releases` lists them")
        click.echo(str(batches.hand_out(kept[0].report["file"], kept[1], out)))
    finally:
        store.close()


@click.command("fees")
@click.argument("file", type=click.Path(path_type=Path))
@answering
def check_fees(file: Path) -> None:
    """Check a fee schedule (a CSV) and say what it holds. The setting release.fees_file names the one that counts."""
    held = fees.read(file).rows
    book = tables.book_of(settings_module.load())
    codes = sorted({fee.code for fee in held})
    payers = {fee.payer for fee in held} - {""}
    starts, ends = min(f.starts for f in held), max(f.ends for f in held)
    click.echo(f"{len(held)} prices for {len(codes)} codes: {', '.join(codes)}")
    click.echo(f"from {'always' if starts == date.min else starts} through {'open' if ends == date.max else ends}")
    click.echo(f"with modifiers: {sum(bool(f.modifiers) for f in held)}; of one payer alone: {len(payers)} payers")
    unknown = [code for code in codes if not book.meanings(code)]
    if unknown:
        click.echo(f"not in the loaded code tables: {', '.join(unknown)}")


def whoever() -> str:
    """Who is at the terminal, for the history."""
    try:
        return f"command line|{getpass.getuser()}"
    except (OSError, KeyError):
        return "command line"


COMMANDS = (release, releases, release_again, check_fees)
