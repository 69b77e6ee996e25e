"""The history that nobody rewrites: each entry's hash covers the one before it, under a key that only the site has.

Whoever can write to the database but has not the site's vault key cannot make a chain that verifies. What was cut off at
the end shows against an earlier head, which `claimwright audit verify` prints and takes (`--from`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from plugin.store.tables import AuditHeadRow, AuditRow
from plugin.store.vault import Vault

_START = "0" * 64
_PAGE = 1000


class Event(StrEnum):
    """What is written down."""

    PROPOSED = "proposed"
    PROVED = "proved"
    DECIDED = "decided"
    MOVED = "moved on"
    CHANGED_SINCE = "record changed since"
    REPORTED = "reported of a card"
    CLAIMED = "claimed"
    NOTE_READ = "note read"
    DISCLOSED = "disclosed"
    WRITTEN = "written to the EHR"
    QUERIED = "query sent"
    ANSWERED = "query answered"
    PICKED = "picked for another look"
    LOOKED_AGAIN = "looked at again"
    RELEASED = "released"
    ISSUED_AGAIN = "issued again"
    SIGNED_IN = "signed in"
    SIGNED_OUT = "signed out"
    ROLES = "roles changed"
    PURGED = "purged"


SYSTEM = "claimwright"
"""The actor where no person acted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the history."""

    id: int
    at: datetime
    kind: str
    actor: str
    ehr_id: str | None
    subject: str | None
    detail: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying found: how many entries hold, the head, and what is broken, if something is."""

    count: int
    head: str
    broken: str | None = None


class Audit:
    """Appends in the transaction of what it speaks of, so that neither is there without the other."""

    def __init__(self, sessions: sessionmaker[Session], vault: Vault) -> None:
        self._db, self._vault = sessions, vault
        self._key: bytes | None = None

    def record(
        self,
        session: Session,
        kind: Event,
        actor: str | None,
        ehr_id: str | None,
        subject: str | None,
        **detail: Any,
    ) -> None:
        """Append an entry. It takes the chain's head, so let it come last in a transaction."""
        session.flush()
        taken = session.execute(
            update(AuditHeadRow)
            .where(AuditHeadRow.id == 1)
            .values(count=AuditHeadRow.count + 1)
            .returning(AuditHeadRow.count, AuditHeadRow.hash, AuditHeadRow.key),
            execution_options={"synchronize_session": False},
        ).one()
        key = self._chain_key(taken.key)
        entry = AuditRow(
            id=taken.count,
            at=datetime.now(UTC).replace(microsecond=0),
            kind=kind.value,
            actor=(actor or SYSTEM)[:200],
            ehr_id=ehr_id,
            subject=subject,
            detail=json.loads(json.dumps(detail, default=str)),
        )
        entry.hash = _hash(key or self._new_key(session), taken.hash, entry)
        session.add(entry)
        session.execute(
            update(AuditHeadRow).where(AuditHeadRow.id == 1).values(hash=entry.hash),
            execution_options={"synchronize_session": False},
        )

    def note(self, kind: Event, actor: str | None, ehr_id: str | None, subject: str | None, **detail: Any) -> None:
        """Append an entry in a transaction of its own."""
        with self._db.begin() as session:
            self.record(session, kind, actor, ehr_id, subject, **detail)

    def entries(self, subject: str | None = None, after: int = 0, most: int = _PAGE) -> list[Entry]:
        """Entries in their order; of one subject, or all."""
        query = select(AuditRow).where(AuditRow.id > after).order_by(AuditRow.id).limit(most)
        if subject is not None:
            query = query.where(AuditRow.subject == subject)
        with self._db() as session:
            return [
                Entry(r.id, r.at, r.kind, r.actor, r.ehr_id, r.subject, r.detail, r.hash)
                for r in session.scalars(query)
            ]

    def head(self) -> tuple[int, str]:
        """How long the chain is, and the hash at its end."""
        with self._db() as session:
            head = session.get_one(AuditHeadRow, 1)
            return head.count, head.hash

    def verify(self, earlier: tuple[int, str] | None = None) -> Verified:
        """Walk the whole chain. `earlier` is a head noted before: count and hash.

        Raises:
            VaultError: the site's vault key is not the one the chain was made with.
        """
        with self._db() as session:
            head = session.get_one(AuditHeadRow, 1)
            count, last, sealed = head.count, head.hash, head.key
        key = self._chain_key(sealed)
        before, at = _START, 0
        for row in self._rows():
            if row.id != at + 1:
                return Verified(at, before, f"entry {at + 1} is missing")
            if key is None or not hmac.compare_digest(row.hash, _hash(key, before, row)):
                return Verified(at, before, f"entry {row.id} is not what was written")
            before, at = row.hash, row.id
            if earlier is not None and at == earlier[0] and before != earlier[1]:
                return Verified(at, before, f"entry {at} is not the one of the head noted earlier")
        if (at, before) != (count, last):
            return Verified(at, before, f"the chain ends at entry {at}, its head says {count}")
        if earlier is not None and at < earlier[0]:
            return Verified(at, before, f"the chain ends at entry {at}, the head noted earlier at {earlier[0]}")
        return Verified(at, before)

    def _rows(self) -> Iterator[AuditRow]:
        after = 0
        while True:
            with self._db() as session:
                page = list(
                    session.scalars(select(AuditRow).where(AuditRow.id > after).order_by(AuditRow.id).limit(_PAGE))
                )
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].id

    def _chain_key(self, sealed: bytes | None) -> bytes | None:
        if self._key is None and sealed is not None:
            self._key = bytes.fromhex(self._vault.open_site(sealed))
        return self._key if sealed is not None else None

    def _new_key(self, session: Session) -> bytes:
        key = secrets.token_bytes(32)
        session.execute(
            update(AuditHeadRow).where(AuditHeadRow.id == 1).values(key=self._vault.seal_site(key.hex())),
            execution_options={"synchronize_session": False},
        )
        return key


def _hash(key: bytes, before: str, entry: AuditRow) -> str:
    said = [
        before,
        entry.id,
        entry.at.isoformat(),
        entry.kind,
        entry.actor,
        entry.ehr_id,
        entry.subject,
        entry.detail,
    ]
    return hmac.new(key, json.dumps(said, sort_keys=True).encode(), hashlib.sha256).hexdigest()
