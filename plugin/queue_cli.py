"""Commands around the work that nobody waits for: let visits be coded, run a worker; and the history of what happened."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from fhir_mappings.views import is_kept_id
from plugin import health, logs
from plugin import settings as settings_module
from plugin.answering import answering
from plugin.backend import at_work
from plugin.settings import EngineSettings, Settings, SettingsError
from plugin.store.audit import Entry
from plugin.store.store import Store

if TYPE_CHECKING:
    from plugin.flow import Flow

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})", re.ASCII)
_LINE_MOST = 300


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--ehr", "ehr_id", help="Which EHR they are of (else the first).")
@answering
def enqueue(file: Any, ehr_id: str | None) -> None:
    """Let the visits of FILE be coded (- is standard input): logical ids of Encounters, one a line.

    A line that is none is named by its number, the others go on. Exit code 2 where there was one.
    """
    settings = settings_module.load()
    ehr = settings.of_ehr(ehr_id or settings.ehr.id).ehr
    store = Store.open(settings)
    taken, bad = 0, 0
    try:
        for number, line in enumerate(_lines(file), 1):
            text = line.removeprefix("Encounter/")
            if not text or text.startswith("#"):
                continue
            if not is_kept_id(text):
                click.echo(f"claimwright: line {number}: not the logical id of an Encounter", err=True)
                bad += 1
                continue
            store.arrivals.found(ehr.id, text, "list")
            taken += 1
    finally:
        store.close()
    click.echo(f"{taken} visits wait to be coded")
    if taken and not ehr.unattended:
        click.echo(
            "claimwright: this EHR lets us work without a person only with ehr.backend; until then they wait", err=True
        )
    sys.exit(2 if bad else 0)


def _lines(file: Any) -> Iterator[str]:
    """The lines without what is around them. One that is too long to be an id is cut, and so is none."""
    first = True
    while start := file.readline(_LINE_MOST):
        more = start
        while more and not more.endswith(b"\n"):
            more = file.readline(_LINE_MOST)
        text = start.decode("utf-8", "replace").strip()
        yield text.removeprefix("\ufeff") if first else text
        first = False


@click.command()
@click.option("--name", default="w0", show_default=True, help="Its name; the same when it is started again.")
@click.option(
    "--metrics-port", type=click.IntRange(1, 65535), help="Also answer /metrics, /healthz, /readyz there, on loopback."
)
@answering
def worker(name: str, metrics_port: int | None) -> None:
    """Do the work that needs no person: find finished visits, code them, bring decisions to the EHR, until it is stopped.

    Several workers share the work, each under a name of its own. What one leaves undone it takes up when it is started
    again. SIGTERM and SIGINT let what runs end.
    """
    settings = _named(settings_module.load(), name)
    try:
        from plugin.flow import Flow
    except ImportError:
        raise SettingsError("worker: install claimwright[worker,smart]") from None
    logs.set_up(settings.log)
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    with at_work(settings) as (store, ehrs):
        if not ehrs.unattended:
            raise SettingsError("worker: no EHR lets us work without a person; set ehr.backend")
        flow = Flow(settings, store, ehrs)
        flow.start()
        try:
            with _watched(metrics_port, store, flow):
                click.echo(f"worker {name} is at work for {', '.join(ehrs.unattended)}; stop it with SIGTERM or Ctrl-C")
                stop.wait()
        finally:
            flow.stop()
    click.echo(f"worker {name} has stopped")


def _watched(port: int | None, store: Store, flow: Flow) -> AbstractContextManager[object]:
    if port is None:
        return nullcontext()
    try:
        from plugin.metrics import Metrics, served
    except ImportError:
        raise SettingsError("--metrics-port: install claimwright[web]") from None
    return served(port, Metrics(store), lambda: health.checks(store, flow, engine_wanted=True))


def _named(settings: Settings, name: str) -> Settings:
    try:
        engine = EngineSettings.model_validate(settings.engine.model_dump() | {"name": name})
    except ValidationError:
        raise SettingsError("--name: small letters, figures and hyphens, at most 32") from None
    return settings.model_copy(update={"engine": engine})


@click.group()
def audit() -> None:
    """The history of what happened, which nobody rewrites: verify it, export it."""


@audit.command()
@click.option("--from", "earlier", metavar="COUNT:HASH", help="A head that was noted down before.")
@answering
def verify(earlier: str | None) -> None:
    """Walk the whole history and check each entry against the one before it. Exit code 1 where it is broken.

    Prints the head as COUNT:HASH. Note it down elsewhere: with --from it shows that nothing was cut off since.
    """
    head = _HEAD.fullmatch(earlier) if earlier is not None else None
    if earlier is not None and head is None:
        raise click.UsageError("--from takes COUNT:HASH as `claimwright audit verify` prints it")
    store = Store.open(settings_module.load())
    try:
        found = store.audit.verify((int(head[1]), head[2]) if head else None)
    finally:
        store.close()
    if found.broken is not None:
        click.echo(f"broken: {found.broken}; {found.count} entries before hold")
        sys.exit(1)
    click.echo(f"{found.count} entries hold")
    click.echo(f"{found.count}:{found.head}")


@audit.command()
@click.option("--balp", "as_fhir", is_flag=True, help="As FHIR AuditEvents in the patterns of IHE BALP.")
@answering
def export(as_fhir: bool) -> None:
    """Print the whole history as NDJSON, oldest first: ids, versions and hashes, nobody's data."""
    from plugin import balp  # the FHIR models take a moment to load

    settings = settings_module.load()
    store = Store.open(settings)
    try:
        writer = balp.Writer(settings, store)
        for entry in every(store):
            for each in writer.events(entry) if as_fhir else [_plain(entry)]:
                click.echo(json.dumps(each, separators=(",", ":")))
    finally:
        store.close()


def every(store: Store) -> Iterator[Entry]:
    """The whole history, a page at a time."""
    after = 0
    while page := store.audit.entries(after=after):
        yield from page
        after = page[-1].id


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "actor": entry.actor,
        "ehr": entry.ehr_id,
        "subject": entry.subject,
        "detail": entry.detail,
        "hash": entry.hash,
    }


COMMANDS = (enqueue, worker, audit)
