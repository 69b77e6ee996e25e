"""Who is signed in, from where, and in which chart. Every method is one transaction.

A cookie holds a random value of 256 bits, the table its hash. Tokens and names are sealed with the site's key.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Db
from sqlalchemy.orm import sessionmaker

from plugin.settings import WebSettings
from plugin.store.audit import Audit, Event
from plugin.store.tables import AccountRow, LaunchRow, SeenTokenRow, SessionRow, SigningInRow
from plugin.store.vault import Vault

_SIGN_IN_MINUTES = 10


class Role(StrEnum):
    """What somebody may do. A person may have several."""

    CLINICIAN = "clinician"
    CODER = "coder"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who signed in. `person` is their FHIR reference in the EHR, such as `Practitioner/p1`, where there is one."""

    id: str
    person: str | None
    name: str = field(repr=False)
    roles: frozenset[Role]
    seen_at: datetime

    def may(self, *roles: Role) -> bool:
        """Whether they have one of those roles."""
        return bool(self.roles & set(roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A live session."""

    id: str
    account: Account
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None
    ended_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One launch in a session: a chart and, where known, the visit. `banner`: the EHR shows no patient banner of its own."""

    id: str
    session_id: str
    ehr_id: str
    patient_id: str | None
    encounter_id: str | None
    banner: bool
    tokens_of: str | None


@dataclass(frozen=True, slots=True)
class SigningIn:
    """A sign-in that came back: which EHR (None: the sign-in provider), and what we kept of it."""

    ehr_id: str | None
    kept: dict[str, Any] = field(repr=False)
    same_browser: bool


class People:
    """Accounts, sessions, launches and sign-ins."""

    def __init__(self, sessions: sessionmaker[Db], vault: Vault, audit: Audit) -> None:
        self._db, self._vault, self._audit = sessions, vault, audit

    # --- signing in ---

    def begin(self, state: str, browser: str, ehr_id: str | None, kept: dict[str, Any]) -> None:
        """Keep a sign-in until its state comes back."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            db.execute(delete(SigningInRow).where(SigningInRow.created_at < now - timedelta(hours=1)))
            db.add(
                SigningInRow(
                    state=digest(state),
                    browser=digest(browser),
                    ehr_id=ehr_id,
                    sealed=self._vault.seal_site(json.dumps(kept)),
                    created_at=now,
                )
            )

    def come_back(self, state: str, browser: str | None) -> SigningIn | None:
        """The sign-in of a state, once, within ten minutes; None where there is none, or it was used."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            used = db.execute(
                update(SigningInRow)
                .where(
                    SigningInRow.state == digest(state),
                    SigningInRow.used_at.is_(None),
                    SigningInRow.created_at > now - timedelta(minutes=_SIGN_IN_MINUTES),
                )
                .values(used_at=now)
                .returning(SigningInRow)
            ).scalar_one_or_none()
            if used is None:
                return None
            same = browser is not None and secrets.compare_digest(used.browser, digest(browser))
            return SigningIn(used.ehr_id, json.loads(self._vault.open_site(used.sealed)), same)

    def know(self, account_id: str, person: str | None, name: str, roles: Iterable[Role] = ()) -> Account:
        """The account of somebody who just proved who they are; the roles are added to those they have."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(AccountRow, account_id, with_for_update=True)
            if row is None:
                row = AccountRow(id=account_id, person=person, name=b"", roles=[], created_at=now, seen_at=now)
                db.add(row)
            row.person, row.name, row.seen_at = person, self._vault.seal_site(name), now
            before, row.roles = row.roles, sorted({*row.roles, *(r.value for r in roles)})
            if row.roles != before:
                self._audit.record(db, Event.ROLES, None, None, account_id, roles=row.roles)
            return self._account(row)

    def start(self, account: Account) -> str:
        """Start a session; returns the cookie's value, which is kept nowhere."""
        value, now = secrets.token_urlsafe(32), datetime.now(UTC)
        with self._db.begin() as db:
            db.add(SessionRow(id=digest(value), account_id=account.id, started_at=now, seen_at=now))
            self._audit.record(db, Event.SIGNED_IN, account.id, None, None)
        return value

    def session(self, cookie: str | None, web: WebSettings) -> SignedIn | None:
        """The live session of a cookie. One that was idle too long, or lasted too long, ends here."""
        if not cookie:
            return None
        now = datetime.now(UTC)
        with self._db() as db:
            row = db.get(SessionRow, digest(cookie))
            if row is None or row.ended_at is not None:
                return None
            found = self._signed_in(db, row)
        if now - found.seen_at > timedelta(minutes=web.idle_minutes):
            self.end(found.id, "idle")
            return None
        if now - found.started_at > timedelta(hours=web.session_hours):
            self.end(found.id, "too long")
            return None
        if now - found.seen_at > timedelta(seconds=5):  # not a write for every picture of a page
            with self._db.begin() as db:
                db.execute(update(SessionRow).where(SessionRow.id == found.id).values(seen_at=now))
        return found

    def end(self, session_id: str, because: str) -> bool:
        """End a session; its tokens are forgotten. Whether it was live."""
        with self._db.begin() as db:
            row = db.get(SessionRow, session_id)
            if row is None or row.ended_at is not None:
                return False
            row.ended_at, row.ended_because = datetime.now(UTC), because
            db.execute(update(LaunchRow).where(LaunchRow.session_id == session_id).values(tokens=None))
            self._audit.record(db, Event.SIGNED_OUT, row.account_id, None, None, because=because)
            return True

    def live(self) -> list[SignedIn]:
        """The sessions that have not ended, latest use first."""
        query = select(SessionRow).where(SessionRow.ended_at.is_(None)).order_by(SessionRow.seen_at.desc())
        with self._db() as db:
            return [self._signed_in(db, row) for row in db.scalars(query)]

    def _signed_in(self, db: Db, row: SessionRow) -> SignedIn:
        return SignedIn(
            id=row.id,
            account=self._account(db.get_one(AccountRow, row.account_id)),
            started_at=row.started_at,
            seen_at=row.seen_at,
            ended_at=row.ended_at,
            ended_because=row.ended_because,
        )

    # --- accounts ---

    def accounts(self) -> list[Account]:
        """Everybody who ever signed in, latest first."""
        with self._db() as db:
            return [self._account(row) for row in db.scalars(select(AccountRow).order_by(AccountRow.seen_at.desc()))]

    def account(self, account_id: str) -> Account | None:
        """One account."""
        with self._db() as db:
            row = db.get(AccountRow, account_id)
            return self._account(row) if row else None

    def set_roles(self, account_id: str, roles: Iterable[Role], by: str | None = None) -> Account | None:
        """Give an account exactly these roles; None where it never signed in."""
        with self._db.begin() as db:
            row = db.get(AccountRow, account_id, with_for_update=True)
            if row is None:
                return None
            row.roles = sorted(r.value for r in roles)
            self._audit.record(db, Event.ROLES, by, None, account_id, roles=row.roles)
            return self._account(row)

    def has_admin(self) -> bool:
        """Whether anybody administers yet."""
        return any(Role.ADMIN in each.roles for each in self.accounts())

    def _account(self, row: AccountRow) -> Account:
        return Account(
            id=row.id,
            person=row.person,
            name=self._vault.open_site(row.name) if row.name else "",
            roles=frozenset(Role(r) for r in row.roles),
            seen_at=row.seen_at,
        )

    # --- launches ---

    def launched(
        self,
        session_id: str,
        ehr_id: str,
        *,
        patient_id: str | None,
        encounter_id: str | None,
        banner: bool = True,
        tokens: dict[str, Any] | None = None,
        tokens_of: str | None = None,
    ) -> Launch:
        """A new launch under an opaque id."""
        row = LaunchRow(
            id=secrets.token_urlsafe(24),
            session_id=session_id,
            ehr_id=ehr_id,
            patient_id=patient_id,
            encounter_id=encounter_id,
            banner=banner,
            tokens=self._vault.seal_site(json.dumps(tokens)) if tokens is not None else None,
            tokens_of=tokens_of,
            created_at=datetime.now(UTC),
        )
        with self._db.begin() as db:
            db.add(row)
        return _launch(row)

    def launch(self, launch_id: str, session_id: str) -> Launch | None:
        """A launch of that session; another session's is none."""
        with self._db() as db:
            row = db.get(LaunchRow, launch_id)
            return _launch(row) if row is not None and row.session_id == session_id else None

    def launches(self, session_id: str) -> list[Launch]:
        """A session's launches, newest first."""
        query = select(LaunchRow).where(LaunchRow.session_id == session_id).order_by(LaunchRow.created_at.desc())
        with self._db() as db:
            return [_launch(row) for row in db.scalars(query)]

    def tokens(self, launch: Launch) -> dict[str, Any] | None:
        """The tokens of a launch; None where its session ended."""
        with self._db() as db:
            row = db.get(LaunchRow, launch.tokens_of or launch.id)
            return json.loads(self._vault.open_site(row.tokens)) if row is not None and row.tokens else None

    def keep_tokens(self, launch: Launch, tokens: dict[str, Any]) -> None:
        """Replace a launch's tokens by refreshed ones; an ended session keeps none."""
        with self._db.begin() as db:
            row = db.get(LaunchRow, launch.tokens_of or launch.id)
            if row is not None and row.tokens is not None:
                row.tokens = self._vault.seal_site(json.dumps(tokens))

    # --- callers' tokens ---

    def first_use(self, issuer: str, jti: str, ends_at: datetime) -> bool:
        """Whether a caller's token is used for the first time."""
        now = datetime.now(UTC)
        try:
            with self._db.begin() as db:
                db.add(SeenTokenRow(issuer=issuer[:255], jti=digest(jti), ends_at=ends_at))
        except IntegrityError:
            return False
        if secrets.randbelow(200) == 0:  # the old ones go now and then
            with self._db.begin() as db:
                db.execute(delete(SeenTokenRow).where(SeenTokenRow.ends_at < now))
        return True


def digest(value: str) -> str:
    """What is kept in place of a secret."""
    return hashlib.sha256(value.encode()).hexdigest()


def _launch(row: LaunchRow) -> Launch:
    return Launch(
        id=row.id,
        session_id=row.session_id,
        ehr_id=row.ehr_id,
        patient_id=row.patient_id,
        encounter_id=row.encounter_id,
        banner=row.banner,
        tokens_of=row.tokens_of,
    )
