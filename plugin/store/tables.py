"""The tables of the store. Keys lead with `ehr_id`: one organisation, many EHRs, patients never merged across them.

Patient text stands in `sealed` alone, encrypted under the visit's own key; every other column holds FHIR logical ids,
rule ids, hashes, offsets, codes and states.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An instant in UTC. SQLite keeps no zone, and PostgreSQL answers in that of the session, so it is put right on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """To UTC. A naive datetime is a defect of ours."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a naive datetime")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Back to an aware UTC datetime."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Declarative base; `Base.metadata` is what migrations are compared with."""


class SnapshotRow(Base):
    """What a draft is a function of: ids, versions and hashes of everything that went in."""

    __tablename__ = "snapshot"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    ehr_id: Mapped[str] = mapped_column(String(32), index=True)
    encounter_id: Mapped[str] = mapped_column(String(64), index=True)
    as_of: Mapped[date]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Instant)


class VisitKeyRow(Base):
    """The visit's own key, wrapped by the site's. Purging it makes the visit's sealed rows unreadable for good."""

    __tablename__ = "visit_key"

    ehr_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    encounter_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    wrapped: Mapped[bytes | None] = mapped_column(LargeBinary)
    purged_at: Mapped[datetime | None] = mapped_column(Instant)


class SealedRow(Base):
    """Encrypted patient text: the extracted notes and the proposer's reply, under a snapshot."""

    __tablename__ = "sealed"

    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)


class DisclosureRow(Base):
    """What left for a model: ids, hashes and counts, host and basis. Written before it left."""

    __tablename__ = "disclosure"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    encounter_id: Mapped[str] = mapped_column(String(64), index=True)
    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"))
    at: Mapped[datetime] = mapped_column(Instant)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)


class DraftRow(Base):
    """One draft per (EHR, Encounter, billing provider, payer). `claim` is rendered once per version and re-sent as it is."""

    __tablename__ = "draft"
    __table_args__ = (UniqueConstraint("ehr_id", "encounter_id", "billing_provider", "payer"),)

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    encounter_id: Mapped[str] = mapped_column(String(64), index=True)
    billing_provider: Mapped[str] = mapped_column(String(128))
    payer: Mapped[str] = mapped_column(String(128))
    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    incomplete: Mapped[bool]
    decided: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int] = mapped_column(default=1)
    changed_since: Mapped[bool] = mapped_column(default=False)
    patient_id: Mapped[str | None] = mapped_column(String(64))
    clinician_id: Mapped[str | None] = mapped_column(String(64), index=True)
    date_of_service: Mapped[date | None]
    claim: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    verdicts: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime] = mapped_column(Instant)


class DeliveryRow(Base):
    """The outbox: one job per draft version and destination, committed together with the draft.

    `claim` is that version as rendered: sent as it is however often, and by it a write of ours is recognised later.
    `person` is who decided that version, None where nobody did; until `taken_until` somebody is sending it. A job that
    waits is due at `next_try_at`.
    """

    __tablename__ = "delivery"
    __table_args__ = (UniqueConstraint("draft_id", "version", "destination"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), index=True)
    version: Mapped[int]
    claim: Mapped[dict[str, Any]] = mapped_column(JSON)
    destination: Mapped[str] = mapped_column(String(16))
    person: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(20), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None] = mapped_column(String(300))
    taken_until: Mapped[datetime | None] = mapped_column(Instant)
    next_try_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    updated_at: Mapped[datetime] = mapped_column(Instant)


class RemoteClaimRow(Base):
    """Where a draft stands at a destination: its id there and the ETag after our own last write."""

    __tablename__ = "remote_claim"

    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    destination: Mapped[str] = mapped_column(String(16), primary_key=True)
    claim_id: Mapped[str] = mapped_column(String(128))
    etag: Mapped[str | None] = mapped_column(String(200))
    version: Mapped[int]


class DecisionRow(Base):
    """What a person decided, in the order it was decided; never changed. Their words about it are sealed with the visit's text.

    `proposal` is what they asked for (codes and offsets), `lines` the keys of the lines it is about.
    """

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), index=True)
    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"))
    revision: Mapped[int]
    account_id: Mapped[str] = mapped_column(String(200))
    person: Mapped[str | None] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(24))
    lines: Mapped[list[str]] = mapped_column(JSON)
    proposal: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str | None] = mapped_column(String(40))
    comment: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(Instant, index=True)


class AccountRow(Base):
    """Somebody who signed in: who they are to the place they signed in at, and what they may do here."""

    __tablename__ = "account"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    person: Mapped[str | None] = mapped_column(String(128))
    name: Mapped[bytes] = mapped_column(LargeBinary)
    roles: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Instant)
    seen_at: Mapped[datetime] = mapped_column(Instant)


class SessionRow(Base):
    """A signed-in browser. The cookie's value is nowhere here, only its hash."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("account.id"), index=True)
    started_at: Mapped[datetime] = mapped_column(Instant)
    seen_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_because: Mapped[str | None] = mapped_column(String(40))


class LaunchRow(Base):
    """One launch in a session: a chart, perhaps a visit, and the tokens granted for it, sealed with the site's key.

    A visit opened from a list uses the tokens of the launch that `tokens_of` names.
    """

    __tablename__ = "launch"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("session.id"), index=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    patient_id: Mapped[str | None] = mapped_column(String(64))
    encounter_id: Mapped[str | None] = mapped_column(String(64))
    banner: Mapped[bool]
    tokens: Mapped[bytes | None] = mapped_column(LargeBinary)
    tokens_of: Mapped[str | None] = mapped_column(ForeignKey("launch.id"))
    created_at: Mapped[datetime] = mapped_column(Instant)


class SigningInRow(Base):
    """A sign-in under way. The state that comes back finds it once; the browser that began it must be the one that ends it."""

    __tablename__ = "signing_in"

    state: Mapped[str] = mapped_column(String(64), primary_key=True)
    browser: Mapped[str] = mapped_column(String(64))
    ehr_id: Mapped[str | None] = mapped_column(String(32))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Instant)
    used_at: Mapped[datetime | None] = mapped_column(Instant)


class SeenTokenRow(Base):
    """A caller's token that was used, until it could not be used again anyway."""

    __tablename__ = "seen_token"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    jti: Mapped[str] = mapped_column(String(255), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(Instant)


class CardRow(Base):
    """A card that was shown in an EHR, and about what."""

    __tablename__ = "card"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"))
    person: Mapped[str | None] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(Instant)


class ArrivalRow(Base):
    """A visit found to be coded by work that needs no person, and how that work stands.

    `generation` counts how often it was begun: with it the work's name is new. `dirty_at` says that the visit changed
    while it was worked on. Until `running_until` somebody works on it. `attempts` failed, and `deaths` one after another
    took their process with them.
    """

    __tablename__ = "arrival"

    ehr_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    encounter_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    generation: Mapped[int] = mapped_column(default=1)
    attempts: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0, server_default="0")
    found_by: Mapped[str] = mapped_column(String(16))
    found_at: Mapped[datetime] = mapped_column(Instant)
    dirty_at: Mapped[datetime | None] = mapped_column(Instant)
    running_until: Mapped[datetime | None] = mapped_column(Instant)
    next_try_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    reason: Mapped[str | None] = mapped_column(String(300))
    updated_at: Mapped[datetime] = mapped_column(Instant)


class SeenRow(Base):
    """A version of a resource that was seen, so that seen twice is done once."""

    __tablename__ = "seen"

    ehr_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)


class PollRow(Base):
    """How far an EHR was asked for changes: `through` is the newest `meta.lastUpdated` seen there, on its own clock."""

    __tablename__ = "poll"

    ehr_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    through: Mapped[datetime | None] = mapped_column(Instant)
    taken_until: Mapped[datetime | None] = mapped_column(Instant)
    polled_at: Mapped[datetime | None] = mapped_column(Instant)
    problem: Mapped[str | None] = mapped_column(String(300))


class QueueRow(Base):
    """What the work queue lists: one narrow row a draft, or a visit that has none yet. Written with what it shows.

    Until `owner_until` the item is `owner`'s, and nobody else decides on it.
    """

    __tablename__ = "queue_item"
    __table_args__ = (
        Index("ix_queue_state_deadline", "state", "deadline", "id"),
        Index("ix_queue_state_service", "state", "date_of_service", "id"),
        Index("ix_queue_state_since", "state", "since", "id"),
        Index("ix_queue_state_payer", "state", "payer", "id"),
        Index("ix_queue_state_clinician", "state", "clinician_id", "id"),
        Index("ix_queue_state_codes", "state", "codes", "id"),
        Index("ix_queue_encounter", "encounter_id"),
        Index("ix_queue_patient", "patient_id"),
        Index("ix_queue_payer", "payer"),
        Index("ix_queue_clinician", "clinician_id"),
        Index("ix_queue_found_at", "found_at"),
    )

    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    encounter_id: Mapped[str] = mapped_column(String(64))
    draft_id: Mapped[str | None] = mapped_column(ForeignKey("draft.id"))
    patient_id: Mapped[str | None] = mapped_column(String(64))
    clinician_id: Mapped[str | None] = mapped_column(String(64))
    payer: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(20))
    codes: Mapped[str] = mapped_column(String(200), default="")
    date_of_service: Mapped[date | None]
    deadline: Mapped[date | None]
    clean: Mapped[bool] = mapped_column(default=False)
    changed_since: Mapped[bool] = mapped_column(default=False)
    since: Mapped[datetime] = mapped_column(Instant)
    found_at: Mapped[datetime] = mapped_column(Instant)
    accepted_at: Mapped[datetime | None] = mapped_column(Instant)
    approved_at: Mapped[datetime | None] = mapped_column(Instant)
    owner: Mapped[str | None] = mapped_column(String(200))
    owner_until: Mapped[datetime | None] = mapped_column(Instant)
    reason: Mapped[str | None] = mapped_column(String(300))
    next_try_at: Mapped[datetime | None] = mapped_column(Instant)


class QueueMarkRow(Base):
    """What an item can be found by besides its own columns: its codes, and the rules that say something of it."""

    __tablename__ = "queue_mark"

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    value: Mapped[str] = mapped_column(String(16), primary_key=True)
    item_id: Mapped[str] = mapped_column(ForeignKey("queue_item.id", ondelete="CASCADE"), primary_key=True, index=True)


class QueryRow(Base):
    """A coder's question to a clinician about a draft. The words are sealed with the visit's text.

    `rules` are the findings it was built from; `choice` which of the offered answers was given.
    """

    __tablename__ = "coder_query"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), index=True)
    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"))
    rules: Mapped[list[str]] = mapped_column(JSON)
    asked_by: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[datetime] = mapped_column(Instant)
    question: Mapped[bytes] = mapped_column(LargeBinary)
    choice: Mapped[str | None] = mapped_column(String(24))
    answered_by: Mapped[str | None] = mapped_column(String(200))
    answered_at: Mapped[datetime | None] = mapped_column(Instant)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)


class ReviewAgainRow(Base):
    """A draft picked for a second coder's look, and whether they agreed."""

    __tablename__ = "review_again"

    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[str] = mapped_column(String(200))
    picked_at: Mapped[datetime] = mapped_column(Instant)
    second: Mapped[str | None] = mapped_column(String(200))
    agreed: Mapped[bool | None]
    looked_at: Mapped[datetime | None] = mapped_column(Instant)


class BatchRow(Base):
    """A release: approved drafts that went out together in one file, sealed as it was, to be issued again as it was."""

    __tablename__ = "release_batch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(Instant)
    by: Mapped[str] = mapped_column(String(200))
    form: Mapped[str] = mapped_column(String(8))
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    digest: Mapped[str] = mapped_column(String(64))
    file: Mapped[bytes | None] = mapped_column(LargeBinary)


class ReleasedRow(Base):
    """A draft goes out once: the key sees to it."""

    __tablename__ = "released"

    draft_id: Mapped[str] = mapped_column(ForeignKey("draft.id"), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("release_batch.id"), index=True)
    version: Mapped[int]


class AuditRow(Base):
    """What happened, in its order; never changed. Each row's hash covers the one before it.

    Ids, versions, hashes and offsets only, so that it may outlive the text it speaks of.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Instant)
    kind: Mapped[str] = mapped_column(String(24), index=True)
    actor: Mapped[str] = mapped_column(String(200))
    ehr_id: Mapped[str | None] = mapped_column(String(32))
    subject: Mapped[str | None] = mapped_column(String(160), index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Base):
    """The one row that says how long the chain is and where it ends; the chain's key is sealed with the site's."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))
    key: Mapped[bytes | None] = mapped_column(LargeBinary)


class ModelRequestRow(Base):
    """What asking a model about a visit took; `failed` names the kind of failure, if it was one. Cents may be fractions."""

    __tablename__ = "model_request"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    ehr_id: Mapped[str] = mapped_column(String(32))
    encounter_id: Mapped[str] = mapped_column(String(64), index=True)
    snapshot_key: Mapped[str] = mapped_column(ForeignKey("snapshot.key"))
    model: Mapped[str] = mapped_column(String(128))
    prompt: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(Instant, index=True)
    requests: Mapped[int]
    input_tokens: Mapped[int]
    cached_tokens: Mapped[int]
    output_tokens: Mapped[int]
    seconds: Mapped[float]
    cents: Mapped[float]
    failed: Mapped[str | None] = mapped_column(String(40))
