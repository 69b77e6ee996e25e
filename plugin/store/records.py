"""What the store keeps, as the rest of the program sees it; and how a row becomes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from fhir_mappings.views import Json
from plugin.review.states import State
from plugin.store.tables import DecisionRow, DeliveryRow, DraftRow


class DeliveryState(StrEnum):
    """Where an outbox job stands. `CHANGED_ELSEWHERE` waits for a person; nothing is overwritten."""

    PENDING = "pending"
    DONE = "done"
    SUPERSEDED = "superseded"
    CHANGED_ELSEWHERE = "changed elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft as stored.

    `version` counts what would be billed, `revision` everything that happened to it; `changed_since` says that the
    record changed after a person decided.
    """

    id: str
    ehr_id: str
    encounter_id: str
    billing_provider: str
    payer: str
    snapshot_key: str
    version: int
    state: State
    incomplete: bool
    decided: bool
    claim: Json | None
    verdicts: Json
    created_at: datetime
    revision: int
    changed_since: bool
    patient_id: str | None
    clinician_id: str | None
    date_of_service: date | None

    @property
    def has_held(self) -> bool:
        """Whether a line waits for the record or a person."""
        return any(v["outcome"] == "held" for v in self.verdicts.get("verdicts", ()))

    @property
    def is_withdrawable(self) -> bool:
        """Whether it bills something, nobody decided about it, and it was not withdrawn yet."""
        return self.claim is not None and not self.decided and self.state is not State.WITHDRAWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outbox job with the draft version it delivers."""

    id: int
    draft: Draft
    destination: str
    person: str | None
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
    state: State
    incomplete: bool
    claim: Json | None
    verdicts: Json
    patient_id: str | None = None
    clinician_id: str | None = None
    date_of_service: date | None = None
    deadline: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person decided of a draft. `lines` are the keys of the lines it is about, `proposal` what they asked for."""

    id: int = 0
    draft_id: str
    snapshot_key: str
    revision: int
    account_id: str
    person: str | None
    action: str
    lines: tuple[str, ...] = ()
    proposal: Json | None = None
    reason: str | None = None
    comment: str | None = field(default=None, repr=False)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """What asking a model about a visit took."""

    ehr_id: str
    encounter_id: str
    snapshot_key: str
    model: str
    prompt: str
    at: datetime
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float
    cents: float
    failed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a draft becomes by a decision."""

    state: State
    incomplete: bool
    claim: Json | None
    verdicts: Json


class StaleDraft(Exception):
    """The draft moved on while a newer or older state of its visit was worked on."""


class Overtaken(Exception):
    """Somebody did something to the draft after the page that was decided on."""


def draft_of(row: DraftRow) -> Draft:
    return Draft(
        id=row.id,
        ehr_id=row.ehr_id,
        encounter_id=row.encounter_id,
        billing_provider=row.billing_provider,
        payer=row.payer,
        snapshot_key=row.snapshot_key,
        version=row.version,
        state=State(row.state),
        incomplete=row.incomplete,
        decided=row.decided,
        claim=row.claim,
        verdicts=row.verdicts,
        created_at=row.created_at,
        revision=row.revision,
        changed_since=row.changed_since,
        patient_id=row.patient_id,
        clinician_id=row.clinician_id,
        date_of_service=row.date_of_service,
    )


def decision_of(row: DecisionRow, words: str | None = None) -> Decision:
    return Decision(
        id=row.id,
        draft_id=row.draft_id,
        snapshot_key=row.snapshot_key,
        revision=row.revision,
        account_id=row.account_id,
        person=row.person,
        action=row.action,
        lines=tuple(row.lines),
        proposal=row.proposal,
        reason=row.reason,
        comment=words,
        at=row.at,
    )


def delivery_of(job: DeliveryRow, draft: DraftRow) -> Delivery:
    return Delivery(
        id=job.id,
        draft=draft_of(draft),
        destination=job.destination,
        person=job.person,
        state=DeliveryState(job.state),
        attempts=job.attempts,
        problem=job.problem,
    )
