"""Put a site together from its settings: tables, payers, proposer, EHR, store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_mappings import views
from fhir_mappings.bundles import UnusableBundle, visits_in
from fhir_mappings.records import NoteRecord, VisitRecord
from fhir_mappings.views import Json, reference_of
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from plugin import tables
from plugin.destinations.ehr import EhrDestination
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import NotFound
from plugin.ehr.formats import UnreadableNote
from plugin.ehr.notes import Body, NoteReader, binary_of
from plugin.ehr.tokens import TokenSource
from plugin.ehr.visits import VisitReader
from plugin.proposers.baseline import Baseline
from plugin.proposers.protocol import Proposer
from plugin.settings import Payers, Settings, SettingsError
from plugin.store.store import Store
from plugin.workbench import Site


def proposer_of(settings: Settings, book: Codebook) -> Proposer:
    """The configured model, else the offline baseline: the choice is made here, once, and never while running."""
    if settings.model.configured:
        from plugin.proposers.model import Model

        return Model(settings.model, settings.limits)
    return Baseline(book)


@dataclass(frozen=True, kw_only=True)
class Works:
    """What is the same for every visit: settings, tables, payers, the proposer, and the store unless nothing is kept."""

    settings: Settings
    codebook: Codebook
    payers: Payers
    proposer: Proposer
    store: Store | None

    @classmethod
    def of(cls, settings: Settings, *, proposer: Proposer | None = None, store: Store | None = None) -> Works:
        """Load what the settings name."""
        book = tables.book_of(settings)
        payers = Payers.read(settings.payers_file)
        return cls(
            settings=settings,
            codebook=book,
            payers=payers,
            proposer=proposer or proposer_of(settings, book),
            store=store,
        )

    def at(
        self,
        client: FhirClient,
        ehr_id: str,
        *,
        capabilities: Capabilities | None = None,
        policy: Policy | None = None,
        watch: Callable[[str], None] | None = None,
    ) -> tuple[Site, VisitReader]:
        """A site that works with one EHR through that client; it writes there only where Claims are taken."""
        settings = self.settings.of_ehr(ehr_id)
        reader = VisitReader(client, settings.ehr, settings.limits, capabilities)
        destination = None
        if self.store is not None and all(reader.capabilities.offers("Claim", how) for how in ("create", "update")):
            destination = EhrDestination(client)
        site = Site(
            settings=settings,
            codebook=self.codebook,
            payers=self.payers,
            proposer=self.proposer,
            read=reader.read,
            store=self.store,
            destination=destination,
            policy=policy,
            watch=watch,
        )
        return site, reader


@contextmanager
def ehr_site(
    settings: Settings, *, proposer: Proposer | None = None, policy: Policy | None = None, dry_run: bool = False
) -> Iterator[tuple[Site, VisitReader]]:
    """A site that reads from an EHR and, unless it is a dry run or the EHR takes no Claims, writes to it.

    Raises:
        SettingsError: no base URL is set.
    """
    if not settings.ehr.base_url:
        raise SettingsError("ehr.base_url: set the EHR's FHIR base (CLAIMWRIGHT_EHR__BASE_URL or --fhir-base)")
    with ExitStack() as stack:
        tokens = stack.enter_context(backend_tokens(settings)) if settings.ehr.backend else None
        client = stack.enter_context(FhirClient(settings.ehr, settings.limits, tokens=tokens))
        store = None
        if not dry_run:
            store = Store.open(settings)
            stack.callback(store.close)
        works = Works.of(settings, proposer=proposer, store=store)
        yield works.at(client, settings.ehr.id, policy=policy)


@contextmanager
def backend_tokens(settings: Settings) -> Iterator[TokenSource]:
    """Tokens for work without a person, by SMART Backend Services.

    Raises:
        SettingsError: the extra `smart` is not installed.
    """
    try:
        from plugin.ehr.oauth import OAuth
        from plugin.keys import SigningKeys
    except ImportError:
        raise SettingsError("ehr.backend: install claimwright[smart]") from None
    oauth = OAuth(SigningKeys.of(settings), settings.limits)
    try:
        yield oauth.backend_source(settings.ehr)
    finally:
        oauth.close()


def bundle_site(settings: Settings, path: Path, *, policy: Policy | None = None) -> tuple[Site, list[str]]:
    """A site that reads visits from a Bundle file and keeps nothing; with the encounter ids in the file.

    Raises:
        UnusableBundle: the file is not a FHIR Bundle, or holds no Encounter.
    """
    records = {str(r.encounter["id"]): r for r in read_bundle(settings, path)}

    def read(encounter_id: str) -> VisitRecord:
        if encounter_id not in records:
            raise NotFound(f"Encounter/{encounter_id}: not in {path.name}; there are: {', '.join(sorted(records))}")
        return records[encounter_id]

    book = tables.book_of(settings)
    site = Site(
        settings=settings,
        codebook=book,
        payers=Payers.read(settings.payers_file),
        proposer=proposer_of(settings, book),
        read=read,
        policy=policy,
    )
    return site, sorted(records)


def read_bundle(settings: Settings, path: Path) -> list[VisitRecord]:
    """The visits of a Bundle file.

    Raises:
        UnusableBundle: the file cannot be read or is no Bundle.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as problem:
        raise UnusableBundle(f"{path.name}: cannot be read ({problem.strerror})") from None
    except RecursionError:
        raise UnusableBundle(f"{path.name}: it is nested too deeply") from None
    except ValueError:
        raise UnusableBundle(f"{path.name}: not valid JSON") from None
    try:
        return bundle_records(settings, content)
    except UnusableBundle as problem:
        raise UnusableBundle(f"{path.name}: {problem}") from None


def bundle_records(settings: Settings, bundle: object) -> list[VisitRecord]:
    """The visits of a Bundle, its notes read from their own data or from the Binaries beside them.

    Raises:
        UnusableBundle: it is no Bundle.
    """
    reader = NoteReader(settings.limits, settings.ehr.psychotherapy_note_types)

    def read_note(document: Json, binaries: Mapping[str, Json]) -> NoteRecord:
        def held(attachment: views.Attachment) -> Body:
            binary = binaries.get(reference_of({"reference": attachment.url}))
            if binary is None:
                raise UnreadableNote("its text is not in the Bundle")
            return binary_of(attachment, binary, settings.limits)

        return reader.record(document, held)

    try:
        return list(visits_in(bundle, read_note, ehr_id=settings.ehr.id, earlier_notes=settings.limits.earlier_notes))
    finally:
        reader.close()
