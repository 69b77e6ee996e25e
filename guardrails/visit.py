"""What happened: one visit with everything needed to code it. Frozen values; reprs hide patient data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")


class VisitStatus(StrEnum):
    """Where the EHR says the visit stands; `FINISHED` is decided per EHR (`finished_when`)."""

    FINISHED = "finished"
    UNFINISHED = "unfinished"
    CANCELLED = "cancelled"
    ENTERED_IN_ERROR = "entered-in-error"


class NoteStatus(StrEnum):
    """Where a note stands. Only `SIGNED` notes are evidence (domain 4.8)."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    SUPERSEDED = "superseded"
    ENTERED_IN_ERROR = "entered-in-error"
    UNREADABLE = "unreadable"
    RENDITION = "rendition"  # the same note again, in another format or under another id: read once


class NoteRole(StrEnum):
    """What a note is to the others of its visit."""

    BASE = "base"
    ADDENDUM = "addendum"
    REPLACEMENT = "replacement"


class Label(StrEnum):
    """Security labels that change what may be done (domain 9.4), as the codes of HL7 v3-ActCode."""

    PSYCHOTHERAPY_NOTE = "PSYTHPN"
    HIPAA_PSYCHOTHERAPY_NOTES = "HIPAAPsyNotes"
    PART_2 = "42CFRPart2"
    SELF_PAY = "HIPAASelfPay"
    VERY_RESTRICTED = "V"


PSYCHOTHERAPY_NOTE_LABELS = frozenset({Label.PSYCHOTHERAPY_NOTE.value, Label.HIPAA_PSYCHOTHERAPY_NOTES.value})
"""Labels of notes that are never sent, shown, cited or billed from (45 CFR 164.501, 164.508; domain PV-01)."""

PART_2_NOTE_TYPES = frozenset({"34857-3"})
"""LOINC document types that are about substance use whether or not anybody labelled them (fhir 2.4, 9 rule 1)."""

PART_2_LABELS = frozenset({Label.PART_2.value, "Title38Section7332", "SUD", "ETH", "ETHUD", "OPIOIDUD", "NORDSCLCD"})
"""Labels that need a recorded basis before anything is disclosed (42 CFR Part 2; domain PV-02)."""

SENSITIVE_LABELS = frozenset({"R", "HIV", "STD", "SDV", "SEX", "VIO", "TBOO", "GDIS", "MST"})
"""Labels handled as restricted: a basis is needed before the note leaves for a model (domain 9.4)."""

NAMED_LABELS = frozenset(
    """B DELAU ENCRYPT MASK REDACT ANONY PSEUD HIDE NOAUTH NOCOLLECT NODSCLCD NODSCLCDS NOINTEGRATE NOLIST NOMOU
    NOORGPOL NOPAT NOPERSISTP NORDSCLCDS NORDSLCD NOREUSE NOVIP ORCON CPLYPOL CPLYCD""".split()
)
"""HL7's further obligations and refrains: what they ask for is a person's to decide, but their names can be shown."""

ORDINARY_LABELS = frozenset(
    {
        "U",
        "L",
        "M",
        "N",
        "PSY",
        "MH",
        "BH",
        "EMOTDIS",
        "COGN",
        "DVD",
        "HPAYMT",
        "HOPERAT",
        "TREAT",
        "CLMATTCH",
        "AIAST",
        "PERSISTLABEL",
    }
)
"""Labels that are copied to the Claim and stop nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinician:
    """A person who renders, signs or supervises.

    `level` is the provider level of domain 2.1 (MD, QHP, LP, AL, SUD, RN, LPN, BA, PP, PEER, ...) or None where the
    record does not say. `education_modifier` is the modifier that the credential supports (HO, HN, ...), if any.
    """

    id: str
    name: str = field(default="", repr=False)
    level: str | None = None
    physician: bool = False
    education_modifier: str | None = None
    claim_reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """One clinical note: its text as extracted, who wrote and signed it, and where it stands.

    `continues` is the id of the note that an addendum belongs to.
    """

    id: str
    version: str
    text: str = field(repr=False)
    status: NoteStatus = NoteStatus.SIGNED
    role: NoteRole = NoteRole.BASE
    author: Clinician | None = None
    signed_at: datetime | None = None
    type_code: str | None = None
    continues: str | None = None
    labels: frozenset[str] = frozenset()
    unreadable_because: str | None = None

    def __post_init__(self) -> None:
        if self.signed_at is not None and self.signed_at.tzinfo is None:
            raise ValueError("Note.signed_at: a time without an offset")

    @cached_property
    def text_hash(self) -> str:
        """SHA-256 of the text's UTF-8 bytes, hexadecimal: what quotes and snapshots pin."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def _folded(self) -> str:
        return " ".join(self.text.split())

    def folded(self) -> str:
        """The text with one blank for each run of white space."""
        return self._folded

    @property
    def is_psychotherapy_note(self) -> bool:
        """Labelled as a psychotherapy note kept apart from the record (45 CFR 164.501)."""
        return not PSYCHOTHERAPY_NOTE_LABELS.isdisjoint(self.labels)

    @property
    def is_evidence(self) -> bool:
        """Signed, readable and not a psychotherapy note: its words may support a line."""
        return self.status is NoteStatus.SIGNED and not self.is_psychotherapy_note


@dataclass(frozen=True, slots=True)
class NoteSet:
    """The notes of one visit."""

    notes: tuple[Note, ...] = ()

    def __iter__(self) -> Iterator[Note]:
        return iter(self.notes)

    def __len__(self) -> int:
        return len(self.notes)

    @property
    def evidence(self) -> tuple[Note, ...]:
        """The notes whose words may support a line, in the order the EHR gave them."""
        return tuple([note for note in self.notes if note.is_evidence])

    def get(self, note_id: str) -> Note | None:
        """The note of that id, or None."""
        return next((note for note in self.notes if note.id == note_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A diagnosis of the visit: ICD-10-CM code, and the Condition that states it."""

    code: str
    condition_id: str
    rank: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Who pays. `payer` is the payer's identifier as `payers.toml` names it, `plan` the plan's; None where not recorded."""

    id: str | None = None
    payer: str | None = None
    plan: str | None = None
    payer_reference: str | None = None
    self_pay: bool = False


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One Encounter with everything needed to code it. Times are instants; `zone` is the facility's.

    `starts` and `ends` are the Encounter's period (chart or room time, not face-to-face minutes); `billing_provider` is
    who bills, as the EHR refers to it; `version` is the Encounter's version in the EHR. `coverage` pays first, then
    `further_coverages` in their order; `payer_order_known` is False where the record does not say which pays first.
    """

    ehr_id: str
    id: str
    status: VisitStatus
    date_of_service: date | None
    zone: str | None
    starts: datetime | None = None
    ends: datetime | None = None
    client_id: str
    client_names: tuple[str, ...] = field(default=(), repr=False)
    client_birth_date: date | None = field(default=None, repr=False)
    client_deceased: date | None = field(default=None, repr=False)
    client_died_undated: bool = False
    rendering: Clinician | None = None
    place_of_service: str | None = None
    billing_provider: str | None = None
    version: str = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    coverage: Coverage = Coverage()
    further_coverages: tuple[Coverage, ...] = ()
    payer_order_known: bool = True
    notes: NoteSet = NoteSet()
    labels: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, value in (("starts", self.starts), ("ends", self.ends)):
            if value is not None and value.tzinfo is None:
                raise ValueError(f"Visit.{name}: a time without an offset")

    @property
    def facility_zone(self) -> ZoneInfo | None:
        """The facility's time zone, or None where the record and settings name none."""
        try:
            return ZoneInfo(self.zone) if self.zone else None
        except (KeyError, ValueError, OSError):  # no such zone: as unknown as none
            return None

    def client_age(self, on: date) -> int | None:
        """The client's age in whole years on a date; None where the birth date is not recorded."""
        born = self.client_birth_date
        return None if born is None else on.year - born.year - ((on.month, on.day) < (born.month, born.day))

    @property
    def all_labels(self) -> frozenset[str]:
        """The union of the labels of the visit and of the notes that may be used."""
        return self.labels.union(*[note.labels for note in self.notes if not note.is_psychotherapy_note])


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A scope of the context that was looked up: what was found."""

    values: tuple[T, ...] = ()


@dataclass(frozen=True, slots=True)
class NotLookedUp:
    """A scope that was not looked up, and why; rules say "not checked", never "passed"."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherLine:
    """A line of another claim of the same client: enough to see duplicates, pairs and caps. `units` is None if not stated."""

    code: str
    date_of_service: date
    units: int | None = None
    modifiers: tuple[str, ...] = ()
    clinician_id: str | None = None
    visit_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVisit:
    """Another visit of the same client on the same day: its instants where the record states them, and who took part."""

    id: str
    starts: datetime | None = None
    ends: datetime | None = None
    clinician_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyTime:
    """A contact of a clinician with another client: the instants alone, never who it was."""

    clinician_id: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedRecord:
    """A plan or an authorization, by its logical id, and the days on which it is in force (None: no limit stated).

    `codes` are the procedure codes that it names; none where it names services in words only.
    """

    id: str
    codes: frozenset[str] = frozenset()
    in_force_from: date | None = None
    in_force_through: date | None = None

    def in_force(self, on: date) -> bool:
        """Whether it covers a date of service."""
        return (self.in_force_from is None or self.in_force_from <= on) and (
            self.in_force_through is None or on <= self.in_force_through
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierNote:
    """A note of another visit of the same client: what identifies its text, never the text."""

    id: str
    text_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What rules need beyond the visit. Each scope is known or not looked up, and why.

    `today` is the as-of date of the check, the facility's; `disclosure_basis` names the recorded basis under which
    labelled (Part 2, sensitive) records may be used for payment, None where there is none.
    """

    today: date
    client_lines: Known[OtherLine] | NotLookedUp = NotLookedUp("no source configured")
    same_day_visits: Known[OtherVisit] | NotLookedUp = NotLookedUp("no source configured")
    clinician_day: Known[BusyTime] | NotLookedUp = NotLookedUp("no source configured")
    plans: Known[DatedRecord] | NotLookedUp = NotLookedUp("no plan source configured")
    authorizations: Known[DatedRecord] | NotLookedUp = NotLookedUp("no source configured")
    earlier_notes: Known[EarlierNote] | NotLookedUp = NotLookedUp("no source configured")
    disclosure_basis: str | None = None

    def not_looked_up(self) -> dict[str, str]:
        """The scopes that nobody could look at, and why: what depends on them was not checked."""
        scopes = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: scope.why for name, scope in scopes if isinstance(scope, NotLookedUp)}
