"""Approved drafts picked by chance for another coder's look. Every method is one transaction."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import CursorResult, Select, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from plugin.review.states import State
from plugin.store.audit import Audit, Event
from plugin.store.records import Draft
from plugin.store.tables import DraftRow, ReviewAgainRow

_CHANCE = secrets.SystemRandom()
_STANDS = (State.APPROVED.value, State.RELEASED.value)


class SecondLooks:
    """Picked, and looked at once by somebody else than the first coder."""

    def __init__(self, sessions: sessionmaker[Session], audit: Audit) -> None:
        self._db, self._audit = sessions, audit

    def pick(self, draft: Draft, account_id: str, share: float) -> bool:
        """Draw whether an approval gets a second look; whether it does. What was looked at as it is, is not drawn again.

        A pick that nobody looked at stays with the draft: no approval taken back and given again escapes it.
        """
        now = datetime.now(UTC)
        with self._db.begin() as db:
            kept = db.get(ReviewAgainRow, (draft.id, draft.version), with_for_update=True)
            if kept is not None and kept.second is not None:
                return False
            waits = select(ReviewAgainRow).where(ReviewAgainRow.draft_id == draft.id, ReviewAgainRow.second.is_(None))
            before = list(db.scalars(waits))
            if not before and _CHANCE.random() >= share:
                return False
            for row in before:
                db.delete(row)
            db.flush()
            db.add(ReviewAgainRow(draft_id=draft.id, version=draft.version, first=account_id, picked_at=now))
            self._audit.record(db, Event.PICKED, None, draft.ehr_id, draft.id, version=draft.version, first=account_id)
            return True

    def waiting(self, account_id: str, most: int = 500) -> list[str]:
        """Drafts whose approval stands and that this account may look at, the longest waiting first."""
        query = _waiting(select(ReviewAgainRow.draft_id)).where(ReviewAgainRow.first != account_id)
        with self._db() as db:
            return list(db.scalars(query.order_by(ReviewAgainRow.picked_at, ReviewAgainRow.draft_id).limit(most)))

    def waits_for(self, draft: Draft, account_id: str) -> bool:
        """Whether a draft, as it is, waits for this account's look."""
        query = _waiting(select(ReviewAgainRow.draft_id)).where(
            ReviewAgainRow.draft_id == draft.id,
            ReviewAgainRow.version == draft.version,
            ReviewAgainRow.first != account_id,
        )
        with self._db() as db:
            return db.scalars(query).first() is not None

    def count(self) -> int:
        """How many wait, whoever may look."""
        with self._db() as db:
            return db.scalar(_waiting(select(func.count()).select_from(ReviewAgainRow))) or 0

    def looked(self, draft: Draft, version: int, account_id: str, agreed: bool) -> bool:
        """Keep what the second coder says; False where they were the first, or somebody looked already."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            kept = db.execute(
                update(ReviewAgainRow)
                .where(ReviewAgainRow.draft_id == draft.id, ReviewAgainRow.version == version)
                .where(ReviewAgainRow.second.is_(None), ReviewAgainRow.first != account_id)
                .values(second=account_id, agreed=agreed, looked_at=now)
            )
            if cast("CursorResult[Any]", kept).rowcount != 1:
                return False
            self._audit.record(
                db, Event.LOOKED_AGAIN, account_id, draft.ehr_id, draft.id, version=version, agreed=agreed
            )
            return True


def _waiting(query: Select[Any]) -> Select[Any]:
    return query.join(DraftRow, DraftRow.id == ReviewAgainRow.draft_id).where(
        ReviewAgainRow.second.is_(None), ReviewAgainRow.version == DraftRow.version, DraftRow.state.in_(_STANDS)
    )
