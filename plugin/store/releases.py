"""What went out: batches of approved drafts, each draft once, each file kept sealed to be issued again as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer, sessionmaker

from fhir_mappings.views import Json
from plugin.review.states import State, step
from plugin.store.audit import Audit, Event
from plugin.store.queue import Queue
from plugin.store.records import Draft, Overtaken, draft_of
from plugin.store.tables import BatchRow, DraftRow, QueueRow, ReleasedRow
from plugin.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Batch:
    """One release. `report` lists what is in the file and what stayed, by id; `draft_ids` are what it released, none where
    it was a test; `kept`: its file can still be issued again.
    """

    id: int
    at: datetime
    by: str
    form: str
    report: Json
    digest: str
    draft_ids: tuple[str, ...]
    kept: bool = True


class Releases:
    """Batches and their files."""

    def __init__(self, sessions: sessionmaker[Session], vault: Vault, queue: Queue, audit: Audit) -> None:
        self._db, self._vault, self._queue, self._audit = sessions, vault, queue, audit

    def due(self, rest: timedelta, ehr_id: str | None = None, most: int = 5000) -> list[Draft]:
        """Approved drafts whose approval can no longer be taken back, the earliest deadline first."""
        until = datetime.now(UTC) - rest
        query = (
            select(DraftRow)
            .join(QueueRow, QueueRow.id == DraftRow.id)
            .where(DraftRow.state == State.APPROVED, QueueRow.approved_at <= until, ~DraftRow.changed_since)
            .order_by(QueueRow.deadline.is_(None), QueueRow.deadline, DraftRow.id)
            .limit(most)
        )
        if ehr_id is not None:
            query = query.where(DraftRow.ehr_id == ehr_id)
        with self._db() as db:
            return [draft_of(row) for row in db.scalars(query)]

    def next_number(self) -> int:
        """The control number that the next batch gets, if nobody is faster."""
        with self._db() as db:
            return (db.scalar(select(func.max(BatchRow.id))) or 0) + 1

    def release(
        self,
        number: int,
        drafts: Sequence[Draft],
        form: str,
        by: str,
        report: Json,
        file: bytes,
        *,
        test: bool = False,
    ) -> Batch:
        """Keep a batch with its file, and let its drafts be released, in one transaction; of a `test` they stay as they are.

        Raises:
            Overtaken: one of them is not approved any more as it was, or somebody else just released; nothing went out.
        """
        try:
            return self._release(number, drafts, form, by, report, file, test=test)
        except IntegrityError:  # somebody else's batch has that number, or one of the drafts, since a moment
            raise Overtaken("release") from None

    def _release(
        self, number: int, drafts: Sequence[Draft], form: str, by: str, report: Json, file: bytes, *, test: bool
    ) -> Batch:
        now = datetime.now(UTC)
        digest = hashlib.sha256(file).hexdigest()
        with self._db.begin() as db:
            if ((db.scalar(select(func.max(BatchRow.id))) or 0) + 1) != number:
                raise Overtaken("release")
            db.add(
                BatchRow(
                    id=number, at=now, by=by, form=form, report=report, digest=digest, file=self._vault.seal_bytes(file)
                )
            )
            db.flush()
            for draft in () if test else drafts:
                moved = db.execute(
                    update(DraftRow)
                    .where(
                        DraftRow.id == draft.id,
                        DraftRow.state == State.APPROVED,
                        DraftRow.revision == draft.revision,
                    )
                    .values(
                        state=step(State.APPROVED, State.RELEASED).value,
                        revision=DraftRow.revision + 1,
                        updated_at=now,
                    )
                    .returning(DraftRow.id)
                ).first()
                if moved is None:
                    raise Overtaken(draft.id)
                db.add(ReleasedRow(draft_id=draft.id, batch_id=number, version=draft.version))
                self._queue.show(db, db.get_one(DraftRow, draft.id, populate_existing=True), now)
            ids = [d.id for d in drafts]
            self._audit.record(
                db, Event.RELEASED, by, None, f"batch/{number}", form=form, drafts=ids, digest=digest, test=test
            )
        return Batch(number, now, by, form, report, digest, () if test else tuple(ids))

    def batches(self, most: int | None = None) -> list[Batch]:
        """The batches without their files, the newest first."""
        query = select(BatchRow).options(defer(BatchRow.file)).order_by(BatchRow.id.desc()).limit(most)
        with self._db() as db:
            rows = list(db.scalars(query))
            kept = set(db.scalars(select(BatchRow.id).where(BatchRow.file.is_not(None))))
            return [replace(self._batch(db, row), kept=row.id in kept) for row in rows]

    def file(self, number: int) -> tuple[Batch, bytes] | None:
        """A batch and its file, for who just released it; anybody else asks for it `again`."""
        with self._db() as db:
            row = db.get(BatchRow, number)
            return (self._batch(db, row), self._vault.open_bytes(row.file)) if row and row.file else None

    def again(self, number: int, by: str) -> tuple[Batch, bytes] | None:
        """A batch and its file as it went out, to be issued again.

        Raises:
            VaultError: the site's key is another one.
        """
        with self._db.begin() as db:
            row = db.get(BatchRow, number)
            if row is None or row.file is None:
                return None
            file = self._vault.open_bytes(row.file)
            self._audit.record(
                db, Event.ISSUED_AGAIN, by, None, f"batch/{number}", drafts=row.report["released"], digest=row.digest
            )
            return self._batch(db, row), file

    def destroy_files(self, than: datetime) -> int:
        """Destroy the files of batches that went out before then; how many. What went out, and its digest, stay known."""
        with self._db.begin() as db:
            gone = list(
                db.scalars(
                    update(BatchRow)
                    .where(BatchRow.at < than, BatchRow.file.is_not(None))
                    .values(file=None)
                    .returning(BatchRow.id)
                )
            )
            for number in gone:
                self._audit.record(db, Event.PURGED, None, None, f"batch/{number}")
        return len(gone)

    def drafts_of(self, number: int) -> list[str]:
        """The drafts that went out with a batch."""
        with self._db() as db:
            query = select(ReleasedRow.draft_id).where(ReleasedRow.batch_id == number).order_by(ReleasedRow.draft_id)
            return list(db.scalars(query))

    def batch_of(self, draft_id: str) -> int | None:
        """The batch that a draft went out with."""
        with self._db() as db:
            row = db.get(ReleasedRow, draft_id)
            return row.batch_id if row else None

    def _batch(self, db: Session, row: BatchRow) -> Batch:
        ids = db.scalars(
            select(ReleasedRow.draft_id).where(ReleasedRow.batch_id == row.id).order_by(ReleasedRow.draft_id)
        )
        return Batch(row.id, row.at, row.by, row.form, row.report, row.digest, tuple(ids))
