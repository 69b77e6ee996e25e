"""The store: snapshots, sealed text, drafts and the outbox. Every method is one transaction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, create_engine, delete, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from fhir_mappings.views import Json
from plugin.disclosures import Disclosure
from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store import migrate
from plugin.store.tables import (
    DeliveryRow,
    DisclosureRow,
    DraftRow,
    RemoteClaimRow,
    SealedRow,
    SnapshotRow,
    VisitKeyRow,
)
from plugin.store.vault import Vault


class DraftState(StrEnum):
    """Where a draft stands. `READY` has lines; `HELD` and `NOTHING` have none; `WITHDRAWN` had some."""

    READY = "ready"
    HELD = "held"
    NOTHING = "nothing"
    WITHDRAWN = "withdrawn"


class DeliveryState(StrEnum):
    """Where an outbox job stands. `CHANGED_ELSEWHERE` waits for a person; nothing is overwritten."""

    PENDING = "pending"
    DONE = "done"
    SUPERSEDED = "superseded"
    CHANGED_ELSEWHERE = "changed elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft as stored."""

    id: str
    ehr_id: str
    encounter_id: str
    billing_provider: str
    payer: str
    snapshot_key: str
    version: int
    state: DraftState
    incomplete: bool
    decided: bool
    claim: Json | None
    verdicts: Json
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outbox job with the draft version it delivers."""

    id: int
    draft: Draft
    destination: str
    state: DeliveryState
    attempts: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class RemoteClaim:
    """Where a draft stands at a destination, as of our last write."""

    claim_id: str
    etag: str | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDraft:
    """What the pipeline made of a snapshot, to be kept under the draft's identity."""

    id: str
    ehr_id: str
    encounter_id: str
    billing_provider: str
    payer: str
    state: DraftState
    incomplete: bool
    claim: Json | None
    verdicts: Json


class StaleDraft(Exception):
    """The draft moved on while a newer or older state of its visit was worked on."""


class Store:
    """Open it with `Store.open(settings)`; close it when done."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def open(cls, settings: Settings) -> Store:
        """Connect, bring the tables up to date, and open the vault."""
        url = make_url(settings.database)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, hide_parameters=True)
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _sqlite_pragmas)
        migrate.to_head(engine)
        return cls(engine, Vault.of(settings))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # --- snapshots and sealed text ---

    def keep_snapshot(self, snapshot: Snapshot, ehr_id: str, encounter_id: str) -> Snapshot:
        """Keep a snapshot; where its key is known already, the one kept first, with its as-of date."""
        row = SnapshotRow(
            key=snapshot.key,
            ehr_id=ehr_id,
            encounter_id=encounter_id,
            as_of=snapshot.as_of,
            manifest=snapshot.manifest,
            created_at=datetime.now(UTC),
        )
        self._insert_once(row, snapshot.key)
        with self._sessions() as session:
            kept = session.get_one(SnapshotRow, snapshot.key)
            return Snapshot(kept.key, kept.as_of, kept.manifest)

    def seal(self, snapshot_key: str, kind: str, text: str) -> str:
        """Keep patient text under a snapshot, encrypted. Returns what is kept, which is the first that came."""
        wrapped = self._visit_key(snapshot_key)
        self._insert_once(
            SealedRow(snapshot_key=snapshot_key, kind=kind, ciphertext=self._vault.seal(wrapped, text)),
            (snapshot_key, kind),
        )
        kept = self.unseal(snapshot_key, kind)
        assert kept is not None
        return kept

    def _insert_once(self, row: SnapshotRow | SealedRow | VisitKeyRow, key: object) -> None:
        """Insert a row unless its key is there; another process may be first at any moment."""
        try:
            with self._sessions.begin() as session:
                if session.get(type(row), key) is None:
                    session.add(row)
        except IntegrityError:
            return

    def unseal(self, snapshot_key: str, kind: str) -> str | None:
        """Sealed text, or None where none was kept.

        Raises:
            VaultError: the visit's key was purged, or the site's key is another one.
        """
        with self._sessions() as session:
            row = session.get(SealedRow, (snapshot_key, kind))
            if row is None:
                return None
            snapshot = session.get_one(SnapshotRow, snapshot_key)
            key = session.get(VisitKeyRow, (snapshot.ehr_id, snapshot.encounter_id))
            return self._vault.open(key.wrapped if key else None, row.ciphertext)

    def purge(self, ehr_id: str, encounter_id: str) -> bool:
        """Destroy a visit's key: its note text and replies can never be read again. Whether there was one."""
        with self._sessions.begin() as session:
            key = session.get(VisitKeyRow, (ehr_id, encounter_id))
            if key is None or key.wrapped is None:
                return False
            key.wrapped, key.purged_at = None, datetime.now(UTC)
            return True

    def _visit_key(self, snapshot_key: str) -> bytes:
        with self._sessions() as session:
            snapshot = session.get_one(SnapshotRow, snapshot_key)
        key = (snapshot.ehr_id, snapshot.encounter_id)
        new = VisitKeyRow(
            ehr_id=snapshot.ehr_id, encounter_id=snapshot.encounter_id, wrapped=self._vault.new_visit_key()
        )
        self._insert_once(new, key)
        with self._sessions.begin() as session:
            row = session.get_one(VisitKeyRow, key)
            if row.wrapped is None:  # purged, and now read anew: what was sealed before stays lost
                row.wrapped, row.purged_at = self._vault.new_visit_key(), None
                session.execute(delete(SealedRow).where(SealedRow.snapshot_key == snapshot_key))
            return row.wrapped

    # --- what left ---

    def disclosed(self, ehr_id: str, encounter_id: str, snapshot_key: str, disclosure: Disclosure) -> None:
        """Write down what is about to leave for a model."""
        with self._sessions.begin() as session:
            session.add(
                DisclosureRow(
                    ehr_id=ehr_id,
                    encounter_id=encounter_id,
                    snapshot_key=snapshot_key,
                    at=datetime.now(UTC),
                    report=disclosure.as_json(),
                )
            )

    def disclosures(self, encounter_id: str) -> list[tuple[datetime, Json]]:
        """What left of a visit, oldest first: when, and the report of each."""
        query = select(DisclosureRow).where(DisclosureRow.encounter_id == encounter_id).order_by(DisclosureRow.id)
        with self._sessions() as session:
            return [(row.at, row.report) for row in session.scalars(query)]

    # --- drafts ---

    def draft(self, draft_id: str) -> Draft | None:
        """A draft by its id."""
        with self._sessions() as session:
            row = session.get(DraftRow, draft_id)
            return _draft(row) if row else None

    def drafts(self, *, encounter_id: str | None = None) -> list[Draft]:
        """Drafts in the order of their ids."""
        query = select(DraftRow).order_by(DraftRow.id)
        if encounter_id is not None:
            query = query.where(DraftRow.encounter_id == encounter_id)
        with self._sessions() as session:
            return [_draft(row) for row in session.scalars(query)]

    def save(
        self, new: NewDraft, snapshot: Snapshot, destinations: tuple[str, ...], *, expected: Draft | None = None
    ) -> Draft:
        """Keep a draft and its outbox jobs in one transaction. `expected` is the draft as it was when work on it began.

        The same snapshot changes nothing. A new snapshot makes a new version if what would be billed changed; jobs of
        older versions that have not gone out are superseded. A decided draft is kept as it is (design: Identity).

        Raises:
            StaleDraft: the draft moved on since work on it began; begin again.
        """
        for _ in range(2):
            try:
                with self._sessions.begin() as session:
                    return _draft(self._merge(session, new, snapshot, destinations, expected))
            except IntegrityError:  # another process inserted the same draft first; merge with it
                continue
        raise RuntimeError("a draft could not be inserted nor found")

    def _merge(
        self, session: Session, new: NewDraft, snapshot: Snapshot, destinations: tuple[str, ...], expected: Draft | None
    ) -> DraftRow:
        now = datetime.now(UTC)
        row = session.get(DraftRow, new.id, with_for_update=True)
        if row is None:
            row = DraftRow(
                id=new.id,
                ehr_id=new.ehr_id,
                encounter_id=new.encounter_id,
                billing_provider=new.billing_provider,
                payer=new.payer,
                snapshot_key=snapshot.key,
                version=1,
                state=new.state.value,
                incomplete=new.incomplete,
                decided=False,
                claim=new.claim,
                verdicts=new.verdicts,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            if new.claim is not None:
                self._queue(session, row, destinations, now)
            return row
        if row.snapshot_key == snapshot.key or row.decided:
            return row
        if expected is None or (row.snapshot_key, row.version) != (expected.snapshot_key, expected.version):
            raise StaleDraft(f"draft {row.id} changed meanwhile")
        changed = row.claim != new.claim
        row.snapshot_key, row.verdicts, row.updated_at = snapshot.key, new.verdicts, now
        row.state, row.incomplete = new.state.value, new.incomplete
        if changed:
            row.version += 1
            row.claim = new.claim
            self._queue(session, row, destinations, now)
        return row

    def _queue(self, session: Session, row: DraftRow, destinations: tuple[str, ...], now: datetime) -> None:
        waiting = select(DeliveryRow).where(DeliveryRow.draft_id == row.id, DeliveryRow.state == DeliveryState.PENDING)
        for job in session.scalars(waiting):
            job.state, job.updated_at = DeliveryState.SUPERSEDED, now
        for destination in destinations:
            session.add(
                DeliveryRow(
                    draft_id=row.id,
                    version=row.version,
                    claim=row.claim,
                    destination=destination,
                    state=DeliveryState.PENDING,
                    attempts=0,
                    updated_at=now,
                )
            )

    # --- the outbox ---

    def pending(self, draft_id: str | None = None) -> Iterator[Delivery]:
        """Jobs that wait, oldest first; of one draft or of all."""
        query = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.PENDING).order_by(DeliveryRow.id)
        if draft_id is not None:
            query = query.where(DeliveryRow.draft_id == draft_id)
        with self._sessions() as session:
            found = [_delivery(job, session.get_one(DraftRow, job.draft_id)) for job in session.scalars(query)]
        yield from found

    def last_delivery(self, draft_id: str) -> Delivery | None:
        """The newest job of a draft."""
        query = select(DeliveryRow).where(DeliveryRow.draft_id == draft_id).order_by(DeliveryRow.id.desc()).limit(1)
        with self._sessions() as session:
            job = session.scalars(query).first()
            return _delivery(job, session.get_one(DraftRow, job.draft_id)) if job else None

    def remote(self, draft_id: str, destination: str) -> RemoteClaim | None:
        """Where a draft stands at a destination."""
        with self._sessions() as session:
            row = session.get(RemoteClaimRow, (draft_id, destination))
            return RemoteClaim(row.claim_id, row.etag, row.version) if row else None

    def sent(self, draft_id: str, destination: str) -> list[Json]:
        """Every version of a draft that was ever queued for a destination, newest first: what may be ours there."""
        query = select(DeliveryRow.claim).where(
            DeliveryRow.draft_id == draft_id, DeliveryRow.destination == destination
        )
        with self._sessions() as session:
            return list(session.scalars(query.order_by(DeliveryRow.id.desc())))

    def written(self, job: Delivery, claim_id: str, etag: str | None) -> None:
        """The Claim is written: keep where it stands and its ETag after our write, before anything else is tried."""
        with self._sessions.begin() as session:
            row = session.get(RemoteClaimRow, (job.draft.id, job.destination))
            if row is None:
                session.add(
                    RemoteClaimRow(
                        draft_id=job.draft.id,
                        destination=job.destination,
                        claim_id=claim_id,
                        etag=etag,
                        version=job.draft.version,
                    )
                )
            else:
                row.claim_id, row.etag, row.version = claim_id, etag, job.draft.version

    def delivered(self, job: Delivery, problem: str | None = None) -> None:
        """A job is done; `problem` is what could not be done beside the Claim itself."""
        with self._sessions.begin() as session:
            self._note(session, job, DeliveryState.DONE, problem)

    def not_delivered(self, job: Delivery, problem: str, *, changed_elsewhere: bool = False) -> None:
        """A job did not succeed: it waits for the next try, or for a person where somebody else changed the Claim."""
        state = DeliveryState.CHANGED_ELSEWHERE if changed_elsewhere else DeliveryState.PENDING
        with self._sessions.begin() as session:
            self._note(session, job, state, problem)

    def _note(self, session: Session, job: Delivery, state: DeliveryState, problem: str | None) -> None:
        row = session.get_one(DeliveryRow, job.id)
        if row.state != DeliveryState.PENDING:  # superseded meanwhile: the newer job speaks for the draft
            return
        row.state, row.attempts = state, row.attempts + 1
        row.problem, row.updated_at = problem[:300] if problem else None, datetime.now(UTC)


def _sqlite_pragmas(connection: Any, _: object) -> None:
    """WAL, so that readers and the writer do not wait for each other; foreign keys, which SQLite leaves off."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _draft(row: DraftRow) -> Draft:
    return Draft(
        id=row.id,
        ehr_id=row.ehr_id,
        encounter_id=row.encounter_id,
        billing_provider=row.billing_provider,
        payer=row.payer,
        snapshot_key=row.snapshot_key,
        version=row.version,
        state=DraftState(row.state),
        incomplete=row.incomplete,
        decided=row.decided,
        claim=row.claim,
        verdicts=row.verdicts,
        created_at=row.created_at,
    )


def _delivery(job: DeliveryRow, draft: DraftRow) -> Delivery:
    return Delivery(
        id=job.id,
        draft=_draft(draft),
        destination=job.destination,
        state=DeliveryState(job.state),
        attempts=job.attempts,
        problem=job.problem,
    )


def payer_key(text: str | None) -> str:
    """A payer identifier as a key: bounded, without white space."""
    return re.sub(r"\s+", "", text or "unknown")[:128]
