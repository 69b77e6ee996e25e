"""The store: snapshots, sealed text, drafts and the outbox. Every method is one transaction."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Select,
    create_engine,
    delete,
    event,
    exists,
    func,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from fhir_mappings.views import Json
from plugin.disclosures import Disclosure
from plugin.review.states import DECIDED, FOR_CLINICIAN, MOVES, State, step
from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store import migrate
from plugin.store.arrivals import Arrivals, in_turn
from plugin.store.audit import Audit, Event
from plugin.store.people import People
from plugin.store.queries import Queries
from plugin.store.queue import Queue
from plugin.store.records import (
    Decision,
    Delivery,
    DeliveryState,
    Draft,
    ModelRequest,
    NewDraft,
    Outlook,
    Overtaken,
    RemoteClaim,
    StaleDraft,
    decision_of,
    delivery_of,
    draft_of,
)
from plugin.store.releases import Releases
from plugin.store.second_looks import SecondLooks
from plugin.store.tables import (
    CardRow,
    DecisionRow,
    DeliveryRow,
    DisclosureRow,
    DraftRow,
    ModelRequestRow,
    RemoteClaimRow,
    SealedRow,
    SnapshotRow,
    VisitKeyRow,
)
from plugin.store.vault import Vault, VaultError

_AGAIN_AFTER = timedelta(seconds=15)
_SENDING = timedelta(minutes=4)  # longer than a write with all its answers may take


class Sessions(sessionmaker[Session]):
    """Sessions of an engine. `begin()` is for writing: of SQLite's writers in this process one waits for the other.

    SQLite itself would let them poll for the lock, in steps of up to a tenth of a second.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._turn: AbstractContextManager[Any] = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction that writes. SQLite takes its lock at once, so that what is read before writing stays true."""
        with self._turn, self() as session, session.begin():
            session.connection(execution_options={"begin": "BEGIN IMMEDIATE"})
            yield session


class Store:
    """Open it with `Store.open(settings)`; close it when done."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault
        self._sessions = Sessions(engine)
        self.audit = Audit(self._sessions, vault)
        self.people = People(self._sessions, vault, self.audit)
        self.queue = Queue(self._sessions, self.audit)
        self.arrivals = Arrivals(self._sessions, self.queue)
        self.queries = Queries(self._sessions, vault, self._visit_key, self.audit)
        self.releases = Releases(self._sessions, vault, self.queue, self.audit)
        self.second_looks = SecondLooks(self._sessions, self.audit)

    @classmethod
    def open(cls, settings: Settings) -> Store:
        """Connect, bring the tables up to date, and open the vault."""
        url = make_url(settings.database)
        if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, hide_parameters=True)
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _sqlite_pragmas)
            event.listen(engine, "begin", _sqlite_begin)
        migrate.to_head(engine)
        return cls(engine, Vault.of(settings))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def at_head(self) -> bool:
        """Whether the tables are the newest ones. It fails where the database does not answer."""
        return migrate.at_head(self._engine)

    def reading(self) -> Session:
        """A session for reading what spans many drafts: select columns, and let them stream."""
        return self._sessions()

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

    def manifest(self, snapshot_key: str) -> Json:
        """What a draft was a function of."""
        with self._sessions() as session:
            return session.get_one(SnapshotRow, snapshot_key).manifest

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

    def seal_reply(self, snapshot_key: str, reply: str, proposer: str, prompt: str) -> str:
        """Keep a proposer's reply and tell the history of it, both or neither. Returns what is kept, the first that came."""
        wrapped = self._visit_key(snapshot_key)
        row = SealedRow(snapshot_key=snapshot_key, kind="reply", ciphertext=self._vault.seal(wrapped, reply))

        def tell(session: Session) -> None:
            of = session.get_one(SnapshotRow, snapshot_key)
            self.audit.record(
                session,
                Event.PROPOSED,
                None,
                of.ehr_id,
                f"Encounter/{of.encounter_id}",
                snapshot=snapshot_key,
                proposer=proposer,
                prompt=prompt,
                reply=hashlib.sha256(reply.encode()).hexdigest(),
            )

        self._insert_once(row, (snapshot_key, "reply"), tell)
        kept = self.unseal(snapshot_key, "reply")
        assert kept is not None
        return kept

    def _insert_once(
        self,
        row: SnapshotRow | SealedRow | VisitKeyRow,
        key: object,
        tell: Callable[[Session], None] = lambda _: None,
    ) -> None:
        """Insert a row unless its key is there; another process may be first at any moment. `tell` goes with the row."""
        try:
            with self._sessions.begin() as session:
                if session.get(type(row), key) is None:
                    session.add(row)
                    tell(session)
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

    def purge(self, ehr_id: str, encounter_id: str, by: str | None = None) -> bool:
        """Destroy a visit's key: its note text and replies can never be read again. Whether there was one."""
        return self._purge(ehr_id, encounter_id, by)

    def _purge(self, ehr_id: str, encounter_id: str, by: str | None = None, idle_since: datetime | None = None) -> bool:
        """`idle_since`: only while nothing happened on the visit since, and nobody waits for it."""
        with self._sessions.begin() as session:
            key = session.get(VisitKeyRow, (ehr_id, encounter_id), with_for_update=True)
            if key is None or key.wrapped is None:
                return False
            if idle_since is not None:
                still = _idle_visits(idle_since).where(
                    VisitKeyRow.ehr_id == ehr_id, VisitKeyRow.encounter_id == encounter_id
                )
                if session.execute(still).first() is None:
                    return False
            key.wrapped, key.purged_at = None, datetime.now(UTC)
            self.audit.record(session, Event.PURGED, by, ehr_id, f"Encounter/{encounter_id}")
            return True

    def purge_older(self, than: datetime) -> int:
        """Destroy the keys of visits on which nothing happened since; how many. What waits for somebody is kept."""
        with self._sessions() as session:
            idle = session.execute(_idle_visits(than)).all()
        return sum(self._purge(ehr_id, encounter_id, idle_since=than) for ehr_id, encounter_id in idle)

    def _visit_key(self, snapshot_key: str) -> bytes:
        with self._sessions() as session:
            snapshot = session.get_one(SnapshotRow, snapshot_key)
        key = (snapshot.ehr_id, snapshot.encounter_id)
        new = VisitKeyRow(
            ehr_id=snapshot.ehr_id, encounter_id=snapshot.encounter_id, wrapped=self._vault.new_visit_key()
        )
        self._insert_once(new, key)
        with self._sessions.begin() as session:
            row = session.get_one(VisitKeyRow, key, with_for_update=True)
            if row.wrapped is None:  # purged, and now read anew: what was sealed before, of any snapshot, stays lost
                row.wrapped, row.purged_at = self._vault.new_visit_key(), None
                of_visit = select(SnapshotRow.key).where(
                    SnapshotRow.ehr_id == snapshot.ehr_id, SnapshotRow.encounter_id == snapshot.encounter_id
                )
                session.execute(delete(SealedRow).where(SealedRow.snapshot_key.in_(of_visit)))
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
            self.audit.record(
                session, Event.DISCLOSED, None, ehr_id, f"Encounter/{encounter_id}", **disclosure.as_json()
            )

    def disclosures(self, encounter_id: str) -> list[tuple[datetime, Json]]:
        """What left of a visit, oldest first: when, and the report of each."""
        query = select(DisclosureRow).where(DisclosureRow.encounter_id == encounter_id).order_by(DisclosureRow.id)
        with self._sessions() as session:
            return [(row.at, row.report) for row in session.scalars(query)]

    # --- what asking a model took ---

    def asked_model(self, request: ModelRequest) -> None:
        """Write down what asking a model took, also where it failed."""
        with self._sessions.begin() as session:
            session.add(ModelRequestRow(**{f.name: getattr(request, f.name) for f in fields(request)}))

    def model_requests(
        self, *, since: datetime | None = None, encounter: tuple[str, str] | None = None
    ) -> list[ModelRequest]:
        """What asking models took, oldest first; since an instant, of one visit (EHR and Encounter), or all."""
        query = select(ModelRequestRow).order_by(ModelRequestRow.id)
        if since is not None:
            query = query.where(ModelRequestRow.at > since)
        if encounter is not None:
            query = query.where(ModelRequestRow.ehr_id == encounter[0], ModelRequestRow.encounter_id == encounter[1])
        with self._sessions() as session:
            return [
                ModelRequest(**{f.name: getattr(row, f.name) for f in fields(ModelRequest)})
                for row in session.scalars(query)
            ]

    def requests_since(self, since: datetime, encounter: tuple[str, str] | None = None) -> tuple[int, datetime | None]:
        """How many requests models got since an instant, all or about one visit; and when the first of them was."""
        query = select(func.sum(ModelRequestRow.requests), func.min(ModelRequestRow.at)).where(
            ModelRequestRow.at > since
        )
        if encounter is not None:
            query = query.where(ModelRequestRow.ehr_id == encounter[0], ModelRequestRow.encounter_id == encounter[1])
        with self._sessions() as session:
            count, first = session.execute(query).one()
            return int(count or 0), first

    # --- drafts ---

    def draft(self, draft_id: str) -> Draft | None:
        """A draft by its id."""
        with self._sessions() as session:
            row = session.get(DraftRow, draft_id)
            return draft_of(row) if row else None

    def drafts(self, *, encounter_id: str | None = None) -> list[Draft]:
        """Drafts in the order of their ids."""
        query = select(DraftRow).order_by(DraftRow.id)
        if encounter_id is not None:
            query = query.where(DraftRow.encounter_id == encounter_id)
        with self._sessions() as session:
            return [draft_of(row) for row in session.scalars(query)]

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
                    return draft_of(self._merge(session, new, snapshot, destinations, expected))
            except IntegrityError:  # another process inserted the same draft first; merge with it
                continue
        raise RuntimeError("a draft could not be inserted nor found")

    def _merge(
        self, session: Session, new: NewDraft, snapshot: Snapshot, destinations: tuple[str, ...], expected: Draft | None
    ) -> DraftRow:
        now = datetime.now(UTC)
        session.get(VisitKeyRow, (new.ehr_id, new.encounter_id), with_for_update=True)  # one draft of a visit at a time
        if new.state is not State.WITHDRAWN and self._another(session, new):
            raise StaleDraft(f"Encounter/{new.encounter_id} got another draft meanwhile")
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
                revision=1,
                changed_since=False,
                claim=new.claim,
                verdicts=new.verdicts,
                patient_id=new.patient_id,
                clinician_id=new.clinician_id,
                date_of_service=new.date_of_service,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            if new.claim is not None:
                self._send(session, row, destinations, now)
            self._shown(session, row, now, new.deadline)
            return row
        self._mark_changed(session, row, snapshot.key, now)
        if row.snapshot_key == snapshot.key or row.decided:
            return row
        if expected is None or (row.snapshot_key, row.version) != (expected.snapshot_key, expected.version):
            raise StaleDraft(f"draft {row.id} changed meanwhile")
        row.snapshot_key, row.changed_since = snapshot.key, False
        row.patient_id, row.clinician_id, row.date_of_service = new.patient_id, new.clinician_id, new.date_of_service
        outlook = Outlook(state=new.state, incomplete=new.incomplete, claim=new.claim, verdicts=new.verdicts)
        self._become(session, row, outlook, destinations, now)
        self._shown(session, row, now, new.deadline)
        return row

    def _another(self, session: Session, new: NewDraft) -> bool:
        """Whether the visit has a live draft under another payer or billing provider, which is to be withdrawn first."""
        query = select(DraftRow).where(
            DraftRow.ehr_id == new.ehr_id, DraftRow.encounter_id == new.encounter_id, DraftRow.id != new.id
        )
        return any(draft_of(row).is_withdrawable for row in session.scalars(query))

    def _shown(self, session: Session, row: DraftRow, now: datetime, deadline: date | None) -> None:
        """What the rules said now is in the queue and in the history."""
        self.queue.show(session, row, now, deadline)
        self.audit.record(
            session,
            Event.PROVED,
            None,
            row.ehr_id,
            row.id,
            snapshot=row.snapshot_key,
            version=row.version,
            state=row.state,
            claim=_digest(row.claim),
            verdicts=_digest(row.verdicts),
        )

    def _become(
        self,
        session: Session,
        row: DraftRow,
        outlook: Outlook,
        destinations: tuple[str, ...],
        now: datetime,
        person: str | None = None,
    ) -> None:
        """One step on: the state, and a new version with its outbox jobs where what would be billed changed."""
        row.state = step(State(row.state), outlook.state).value
        row.incomplete, row.decided = outlook.incomplete, outlook.state in DECIDED
        row.verdicts, row.updated_at, row.revision = outlook.verdicts, now, row.revision + 1
        if row.claim != outlook.claim:
            row.version += 1
            row.claim = outlook.claim
            self._send(session, row, destinations, now, person)

    def decide(
        self,
        draft: Draft,
        decision: Decision,
        outlook: Outlook,
        destinations: tuple[str, ...],
        *,
        owner: bool = False,
    ) -> Draft:
        """A person's decision with what it makes of the draft and its outbox jobs, in one transaction.

        `owner`: it counts only while they have the item in the queue.

        Raises:
            Overtaken: the draft is no longer as the person saw it, or not theirs; nothing was decided.
            NotAllowed: from where it stands there is no way there.
        """
        comment = None
        if decision.comment:
            comment = self._vault.seal(self._visit_key(decision.snapshot_key), decision.comment)
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            row = session.get_one(DraftRow, draft.id, with_for_update=True)
            moved = session.execute(  # the comparison that also SQLite, which locks no rows, makes once
                update(DraftRow)
                .where(DraftRow.id == draft.id, DraftRow.revision == decision.revision)
                .values(updated_at=now)
            )
            if cast("CursorResult[Any]", moved).rowcount != 1 or row.snapshot_key != decision.snapshot_key:
                raise Overtaken(draft.id)
            if owner and not self.queue.has(session, draft.id, decision.account_id, now):
                raise Overtaken(draft.id)
            before = row.state
            session.add(
                DecisionRow(
                    draft_id=draft.id,
                    snapshot_key=decision.snapshot_key,
                    revision=decision.revision,
                    account_id=decision.account_id,
                    person=decision.person,
                    action=decision.action,
                    lines=list(decision.lines),
                    proposal=decision.proposal,
                    reason=decision.reason,
                    comment=comment,
                    at=decision.at,
                )
            )
            self._become(session, row, outlook, destinations, now, decision.person)
            self.queue.show(session, row, now)
            self.audit.record(
                session,
                Event.DECIDED,
                decision.account_id,
                row.ehr_id,
                row.id,
                action=decision.action,
                lines=list(decision.lines),
                proposal=decision.proposal,
                reason=decision.reason,
                snapshot=row.snapshot_key,
                version=row.version,
                revision=row.revision,
                before=before,
                state=row.state,
                claim=_digest(row.claim),
            )
            return draft_of(row)

    def take_up(self, draft: Draft, account_id: str, into: State | None) -> Draft:
        """Let a coder have a draft, and bring it into that state, in one transaction.

        Raises:
            Taken: somebody else has it.
        """
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            row = session.get_one(DraftRow, draft.id, with_for_update=True)  # before its line, as everybody locks them
            news = self.queue.take(session, draft.id, account_id, now)
            before = row.state
            if into is not None and row.state == draft.state and row.state != into:
                row.state = step(State(row.state), into).value
                row.decided, row.revision, row.updated_at = into in DECIDED, row.revision + 1, now
                self.queue.show(session, row, now)
                self._moved(session, row, before, account_id)
            if news:
                self.audit.record(session, Event.CLAIMED, account_id, row.ehr_id, row.id, state=row.state)
            return draft_of(row)

    def changed_since(self, draft: Draft, snapshot_key: str) -> Draft:
        """Write down that the record of a decided draft is no longer the one that was decided on."""
        with self._sessions.begin() as session:
            row = session.get_one(DraftRow, draft.id, with_for_update=True)
            self._mark_changed(session, row, snapshot_key, datetime.now(UTC))
            return draft_of(row)

    def _mark_changed(self, session: Session, row: DraftRow, snapshot_key: str, now: datetime) -> None:
        if row.decided and row.snapshot_key != snapshot_key and not row.changed_since:
            row.changed_since, row.revision, row.updated_at = True, row.revision + 1, now
            self.queue.show(session, row, now)
            self.audit.record(session, Event.CHANGED_SINCE, None, row.ehr_id, row.id, snapshot=snapshot_key)

    def _moved(self, session: Session, row: DraftRow, before: str, account_id: str | None) -> None:
        """A state that moved without a decision."""
        self.audit.record(
            session, Event.MOVED, account_id, row.ehr_id, row.id, before=before, state=row.state, revision=row.revision
        )

    def decisions(self, draft_id: str) -> list[Decision]:
        """What people decided of a draft, oldest first, with their words where they were not purged."""
        query = (
            select(DecisionRow, VisitKeyRow.wrapped)
            .join(SnapshotRow, SnapshotRow.key == DecisionRow.snapshot_key)
            .outerjoin(
                VisitKeyRow,
                (VisitKeyRow.ehr_id == SnapshotRow.ehr_id) & (VisitKeyRow.encounter_id == SnapshotRow.encounter_id),
            )
            .where(DecisionRow.draft_id == draft_id)
            .order_by(DecisionRow.id)
        )
        with self._sessions() as session:
            return [decision_of(row, self._words(wrapped, row.comment)) for row, wrapped in session.execute(query)]

    def _words(self, wrapped: bytes | None, sealed: bytes | None) -> str | None:
        if sealed is None:
            return None
        try:
            return self._vault.open(wrapped, sealed)
        except VaultError:
            return None

    def open_drafts_of(self, ehr_id: str, clinician_id: str) -> list[Draft]:
        """A clinician's visits that wait for a person, the oldest date of service first."""
        waiting = [state.value for state in FOR_CLINICIAN]
        query = (
            select(DraftRow)
            .where(DraftRow.ehr_id == ehr_id, DraftRow.clinician_id == clinician_id)
            .where(DraftRow.state.in_(waiting) | DraftRow.changed_since)
            .order_by(DraftRow.date_of_service, DraftRow.id)
            .limit(200)
        )
        with self._sessions() as session:
            found = [draft_of(row) for row in session.scalars(query)]
        return [d for d in found if d.state is not State.WITHDRAWN or d.has_held]

    # --- cards in an EHR ---

    def drafts_of_patient(self, ehr_id: str, patient_id: str, encounter_id: str | None = None) -> list[Draft]:
        """A patient's drafts, or of one of their visits, the latest date of service first."""
        query = select(DraftRow).where(DraftRow.ehr_id == ehr_id, DraftRow.patient_id == patient_id)
        if encounter_id is not None:
            query = query.where(DraftRow.encounter_id == encounter_id)
        with self._sessions() as session:
            return [draft_of(row) for row in session.scalars(query.order_by(DraftRow.date_of_service.desc()).limit(20))]

    def card(self, card_id: str, draft: Draft, person: str | None) -> None:
        """Write down that a card was shown."""
        row = CardRow(id=card_id, ehr_id=draft.ehr_id, draft_id=draft.id, person=person, at=datetime.now(UTC))
        with self._sessions.begin() as session:
            session.add(row)

    def draft_of_card(self, ehr_id: str, card_id: str) -> Draft | None:
        """The draft that a card was about."""
        with self._sessions() as session:
            card = session.get(CardRow, card_id)
            row = session.get(DraftRow, card.draft_id) if card is not None and card.ehr_id == ehr_id else None
            return draft_of(row) if row else None

    def card_feedback(self, ehr_id: str, card_id: str, action: str, reason: str | None, at: datetime | None) -> bool:
        """What an EHR reports that somebody did with a card, as a decision; once, however often it is reported.

        It changes nothing of the draft: who it was, only the EHR says. Whether the card is ours. `at` is when, if the EHR
        says so; else one such report of a card counts.
        """
        with self._sessions.begin() as session:
            card = session.get(CardRow, card_id)
            if card is None or card.ehr_id != ehr_id:
                return False
            draft = session.get_one(DraftRow, card.draft_id, with_for_update=True)
            at = at or card.at
            account_id = f"{ehr_id}|{card.person or 'not named'}"[:200]
            known = select(DecisionRow.id).where(
                DecisionRow.draft_id == draft.id, DecisionRow.action == action, DecisionRow.at == at
            )
            if session.scalars(known).first() is None:
                session.add(
                    DecisionRow(
                        draft_id=draft.id,
                        snapshot_key=draft.snapshot_key,
                        revision=draft.revision,
                        account_id=account_id,
                        person=card.person,
                        action=action,
                        lines=[],
                        reason=reason,
                        at=at,
                    )
                )
                self.audit.record(
                    session,
                    Event.REPORTED,
                    account_id,
                    ehr_id,
                    draft.id,
                    action=action,
                    reason=reason,
                    snapshot=draft.snapshot_key,
                    revision=draft.revision,
                )
            return True

    def _send(
        self,
        session: Session,
        row: DraftRow,
        destinations: tuple[str, ...],
        now: datetime,
        person: str | None = None,
    ) -> None:
        waiting = select(DeliveryRow).where(DeliveryRow.draft_id == row.id, DeliveryRow.state == DeliveryState.PENDING)
        for job in session.scalars(waiting):
            job.state, job.next_try_at, job.updated_at = DeliveryState.SUPERSEDED, None, now
        self.queue.waits(session, row.id, None, None)
        for destination in destinations:
            session.add(
                DeliveryRow(
                    draft_id=row.id,
                    version=row.version,
                    claim=row.claim,
                    destination=destination,
                    person=person,
                    state=DeliveryState.PENDING,
                    attempts=0,
                    next_try_at=now + _AGAIN_AFTER,  # who made it sends it first
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
            found = [delivery_of(job, session.get_one(DraftRow, job.draft_id)) for job in session.scalars(query)]
        yield from found

    def due_deliveries(self, ehr_ids: Collection[str], most: int = 100) -> list[Delivery]:
        """Jobs of these EHRs whose next try has come, the one that waits longest first; each EHR its share, in turn."""
        now = datetime.now(UTC)
        query = (
            select(DeliveryRow, DraftRow)
            .join(DraftRow, DraftRow.id == DeliveryRow.draft_id)
            .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.next_try_at <= now)
            .where(DeliveryRow.taken_until.is_(None) | (DeliveryRow.taken_until < now))
            .order_by(DeliveryRow.next_try_at)
        )
        with self._sessions() as session:
            due = in_turn(
                ehr_ids,
                most,
                lambda ehr_id, share: session.execute(query.where(DraftRow.ehr_id == ehr_id).limit(share)),
            )
            return [delivery_of(job, draft) for job, draft in due]

    def deliver_again(self, ehr_id: str, encounter_id: str) -> None:
        """A person asks for the next try now: what waits of a visit's drafts is due."""
        now = datetime.now(UTC)
        drafts = select(DraftRow.id).where(DraftRow.ehr_id == ehr_id, DraftRow.encounter_id == encounter_id)
        with self._sessions.begin() as session:
            session.execute(
                update(DeliveryRow)
                .where(DeliveryRow.draft_id.in_(drafts), DeliveryRow.state == DeliveryState.PENDING)
                .values(next_try_at=now)
            )

    def delivery_failed(self, draft_id: str, problem: str) -> None:
        """A draft's jobs could not even be begun: they wait, and say why. What somebody is sending just now is theirs.

        It counts as a try also where one before died with its process, so that the next has a name of its own.
        """
        now = datetime.now(UTC)
        query = select(DeliveryRow).where(DeliveryRow.draft_id == draft_id, DeliveryRow.state == DeliveryState.PENDING)
        free = DeliveryRow.taken_until.is_(None) | (DeliveryRow.taken_until < now)
        with self._sessions.begin() as session:
            for row in session.scalars(query.where(free).with_for_update()):
                row.attempts, row.taken_until = row.attempts + 1, None
                self._waits(session, row, problem, now)

    def take(self, job: Delivery) -> bool:
        """Take a waiting job to send it; nobody else then does, until it is done or a few minutes passed."""
        now = datetime.now(UTC)
        free = DeliveryRow.taken_until.is_(None) | (DeliveryRow.taken_until < now)
        with self._sessions.begin() as session:
            taken = session.execute(
                update(DeliveryRow)
                .where(DeliveryRow.id == job.id, DeliveryRow.state == DeliveryState.PENDING, free)
                .values(taken_until=now + _SENDING, attempts=DeliveryRow.attempts + 1)
            )
            return cast("CursorResult[Any]", taken).rowcount == 1

    def last_delivery(self, draft_id: str) -> Delivery | None:
        """The newest job of a draft."""
        query = select(DeliveryRow).where(DeliveryRow.draft_id == draft_id).order_by(DeliveryRow.id.desc()).limit(1)
        with self._sessions() as session:
            job = session.scalars(query).first()
            return delivery_of(job, session.get_one(DraftRow, job.draft_id)) if job else None

    def remote(self, draft_id: str, destination: str) -> RemoteClaim | None:
        """Where a draft stands at a destination."""
        with self._sessions() as session:
            row = session.get(RemoteClaimRow, (draft_id, destination))
            return RemoteClaim(row.claim_id, row.etag, row.version) if row else None

    def sent(self, job: Delivery) -> list[Json]:
        """Every version of a draft that was queued for a destination up to this job, newest first: what may be ours there.

        A later one is not the job's to replace.
        """
        query = select(DeliveryRow.claim).where(
            DeliveryRow.draft_id == job.draft.id, DeliveryRow.destination == job.destination, DeliveryRow.id <= job.id
        )
        with self._sessions() as session:
            return list(session.scalars(query.order_by(DeliveryRow.id.desc())))

    def decided_by(self, draft_id: str, destination: str, claim: Json | None) -> str | None:
        """Who decided the version that this Claim is, as queued; None where nobody did."""
        query = select(DeliveryRow).where(DeliveryRow.draft_id == draft_id, DeliveryRow.destination == destination)
        with self._sessions() as session:
            jobs = session.scalars(query.order_by(DeliveryRow.id.desc()))
            return next((job.person for job in jobs if job.claim == claim), None)

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
            self.audit.record(
                session,
                Event.WRITTEN,
                job.person,
                job.draft.ehr_id,
                job.draft.id,
                claim=f"Claim/{claim_id}",
                etag=etag,
                version=job.draft.version,
            )

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
        draft = session.get_one(
            DraftRow, job.draft.id, with_for_update=True
        )  # before its jobs, as everybody locks them
        row = session.get_one(DeliveryRow, job.id)
        if row.state != DeliveryState.PENDING:  # superseded meanwhile: the newer job speaks for the draft
            return
        row.attempts += row.taken_until is None  # a try that was begun is counted already
        row.state, row.taken_until = state, None
        if state is DeliveryState.PENDING and problem:
            self._waits(session, row, problem, datetime.now(UTC))
            return
        row.problem, row.next_try_at, row.updated_at = problem[:300] if problem else None, None, datetime.now(UTC)
        self.queue.waits(session, row.draft_id, None, None)
        if state is DeliveryState.CHANGED_ELSEWHERE:
            before = draft.state
            if State.CHANGED_ELSEWHERE in MOVES[State(before)]:
                draft.state, draft.decided = State.CHANGED_ELSEWHERE.value, True
                draft.revision, draft.updated_at = draft.revision + 1, row.updated_at
                self.queue.show(session, draft, row.updated_at)
                self._moved(session, draft, before, None)

    def _waits(self, session: Session, row: DeliveryRow, problem: str, now: datetime) -> None:
        """A try failed: the next comes at a growing distance, and the queue says why and when."""
        row.problem, row.updated_at = problem[:300], now
        row.next_try_at = now + _AGAIN_AFTER * min(4**row.attempts, 240)
        self.queue.waits(session, row.draft_id, row.problem, row.next_try_at)


def _idle_visits(since: datetime) -> Select[str, str]:
    """The visits that have a key, on which nothing happened since and for which nobody waits."""
    waiting = [s.value for s in State if s not in (State.RELEASED, State.NOT_BILLABLE, State.WITHDRAWN)]
    read_since = exists().where(
        SnapshotRow.ehr_id == VisitKeyRow.ehr_id,
        SnapshotRow.encounter_id == VisitKeyRow.encounter_id,
        SnapshotRow.created_at >= since,
    )
    at_work = exists().where(
        DraftRow.ehr_id == VisitKeyRow.ehr_id,
        DraftRow.encounter_id == VisitKeyRow.encounter_id,
        DraftRow.state.in_(waiting) | (DraftRow.updated_at >= since),
    )
    return select(VisitKeyRow.ehr_id, VisitKeyRow.encounter_id).where(
        VisitKeyRow.wrapped.is_not(None), ~read_since, ~at_work
    )


def _sqlite_pragmas(connection: Any, _: object) -> None:
    """WAL, so that readers and the writer do not wait for each other; foreign keys, which SQLite leaves off."""
    connection.isolation_level = None  # the driver begins no transactions of its own; `_sqlite_begin` does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def payer_key(text: str | None) -> str:
    """A payer identifier as a key: bounded, without white space."""
    return re.sub(r"\s+", "", text or "unknown")[:128]


def _digest(value: Json | None) -> str | None:
    """SHA-256 of what was kept, for the history."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest() if value is not None else None
