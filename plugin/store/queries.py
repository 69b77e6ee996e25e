"""Coders' questions to clinicians and their answers; the words sealed with the visit's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from plugin.store.audit import Audit, Event
from plugin.store.records import Draft
from plugin.store.tables import QueryRow, SnapshotRow, VisitKeyRow
from plugin.store.vault import Vault, VaultError


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question; `choice` is which of the offered answers was given. Purged words are gone, the question stays."""

    id: int
    draft_id: str
    rules: tuple[str, ...]
    asked_by: str
    asked_at: datetime
    question: str = field(repr=False)
    choice: str | None
    answered_by: str | None
    answered_at: datetime | None
    answer: str | None = field(repr=False)


class Queries:
    """Asked, and answered once."""

    def __init__(
        self, sessions: sessionmaker[Session], vault: Vault, visit_key: Callable[[str], bytes], audit: Audit
    ) -> None:
        self._db, self._vault, self._visit_key, self._audit = sessions, vault, visit_key, audit

    def ask(self, draft: Draft, account_id: str, question: str, rules: Sequence[str]) -> None:
        """Keep a question."""
        sealed = self._vault.seal(self._visit_key(draft.snapshot_key), question)
        with self._db.begin() as db:
            db.add(
                QueryRow(
                    draft_id=draft.id,
                    snapshot_key=draft.snapshot_key,
                    rules=list(rules),
                    asked_by=account_id,
                    asked_at=datetime.now(UTC),
                    question=sealed,
                )
            )
            self._audit.record(db, Event.QUERIED, account_id, draft.ehr_id, draft.id, rules=list(rules))

    def answer(self, draft: Draft, query_id: int, account_id: str, choice: str, words: str) -> bool:
        """Keep an answer; False where it was answered already."""
        with self._db() as db:
            asked = db.get(QueryRow, query_id)
        if asked is None or asked.draft_id != draft.id:
            return False
        sealed = self._vault.seal(self._visit_key(asked.snapshot_key), words) if words.strip() else None
        with self._db.begin() as db:
            row = db.get_one(QueryRow, query_id, with_for_update=True)
            if row.answered_at is not None:
                return False
            row.choice, row.answered_by, row.answered_at, row.answer = choice, account_id, datetime.now(UTC), sealed
            self._audit.record(db, Event.ANSWERED, account_id, draft.ehr_id, draft.id, query=query_id, choice=choice)
            return True

    def of(self, draft_id: str) -> list[Query]:
        """A draft's questions, oldest first."""
        with self._db() as db:
            rows = db.execute(
                select(QueryRow, VisitKeyRow.wrapped)
                .join(SnapshotRow, SnapshotRow.key == QueryRow.snapshot_key)
                .outerjoin(
                    VisitKeyRow,
                    (VisitKeyRow.ehr_id == SnapshotRow.ehr_id) & (VisitKeyRow.encounter_id == SnapshotRow.encounter_id),
                )
                .where(QueryRow.draft_id == draft_id)
                .order_by(QueryRow.id)
            )
            return [self._query(row, wrapped) for row, wrapped in rows]

    def _query(self, row: QueryRow, wrapped: bytes | None) -> Query:
        return Query(
            id=row.id,
            draft_id=row.draft_id,
            rules=tuple(row.rules),
            asked_by=row.asked_by,
            asked_at=row.asked_at,
            question=self._words(wrapped, row.question) or "(purged)",
            choice=row.choice,
            answered_by=row.answered_by,
            answered_at=row.answered_at,
            answer=self._words(wrapped, row.answer),
        )

    def _words(self, wrapped: bytes | None, sealed: bytes | None) -> str | None:
        if sealed is None:
            return None
        try:
            return self._vault.open(wrapped, sealed)
        except VaultError:
            return "(purged)"
