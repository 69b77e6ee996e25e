"""What stops a visit before any line is looked at: privacy labels, the visit's and the notes' status, impossible dates.

Everything else is evaluated in full; these are not, because a note that may not be used must not be read for findings.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.time_statements import Role
from guardrails.verdict import Finding, found
from guardrails.visit import (
    NAMED_LABELS,
    ORDINARY_LABELS,
    PART_2_LABELS,
    PSYCHOTHERAPY_NOTE_LABELS,
    SENSITIVE_LABELS,
    Context,
    Known,
    Label,
    NoteStatus,
    Visit,
    VisitStatus,
)

PSYCHOTHERAPY_NOTE = rule(
    "PRIV-010",
    Effect.BLOCK,
    "The visit's only note is labelled a psychotherapy note; it is not read, sent or billed from.",
    authority="45 CFR 164.501, 164.508(a)(2); domain PV-01",
    cured_by=CuredBy.NOBODY,
)
PSYCHOTHERAPY_VISIT = rule(
    "PRIV-011",
    Effect.BLOCK,
    "The visit itself is labelled psychotherapy notes; nothing of it is read.",
    authority="45 CFR 164.501; domain PV-01",
    cured_by=CuredBy.NOBODY,
)
PART_2 = rule(
    "PRIV-020",
    Effect.HOLD,
    "The record is labelled as protected ({label}) and no basis for its use is recorded.",
    authority="42 CFR Part 2 (89 FR 12472); domain PV-02, 9.4",
    cured_by=CuredBy.CODER,
)
MODEL_NOT_COVERED = rule(
    "PRIV-021",
    Effect.HOLD,
    "The record is labelled as protected ({label}) and no agreement with the model's host covers it; nothing was sent.",
    authority="42 CFR Part 2 (89 FR 12472); domain PV-02, PV-05",
    cured_by=CuredBy.CODER,
)
SELF_PAY = rule(
    "PRIV-030",
    Effect.BLOCK,
    "The client paid and asked that the plan not be told; no claim is drafted.",
    authority="45 CFR 164.522(a)(1)(vi); domain PV-08",
    cured_by=CuredBy.NOBODY,
)
UNKNOWN_LABEL = rule(
    "PRIV-040",
    Effect.HOLD,
    "The record carries a security label that needs a person's decision ({label}); look at its labels in the EHR.",
    authority="domain 9.4; fhir 9 rule 5",
    cured_by=CuredBy.CODER,
)
CANCELLED = rule(
    "VISIT-010",
    Effect.BLOCK,
    "The EHR says that this visit was cancelled or entered in error.",
    authority="domain 0.3 (11), 4.8",
    cured_by=CuredBy.NOBODY,
)
UNFINISHED = rule(
    "VISIT-020",
    Effect.HOLD,
    "The EHR does not say that this visit is finished.",
    authority="domain 4.8; design: Finished",
    cured_by=CuredBy.NOTE,
)
NO_DATE = rule(
    "VISIT-030",
    Effect.HOLD,
    "The date of service is not known: the visit has no start (Encounter.period.start), or the facility's time zone is not known (its Location, or the setting ehr.zone).",
    authority="domain 4.2 C02; design: Minutes",
    cured_by=CuredBy.CODER,
)
FUTURE = rule(
    "VISIT-031",
    Effect.BLOCK,
    "The date of service lies in the future.",
    authority="domain 4.2 C02, X-D24",
    cured_by=CuredBy.NOBODY,
)
BEFORE_BIRTH = rule(
    "VISIT-032",
    Effect.BLOCK,
    "The date of service lies before the client's birth date.",
    authority="domain X-D26",
    cured_by=CuredBy.NOBODY,
)
AFTER_DEATH = rule(
    "VISIT-033",
    Effect.BLOCK,
    "The date of service lies after the client's date of death.",
    authority="domain X-D25",
    cured_by=CuredBy.NOBODY,
)
DIED_UNDATED = rule(
    "VISIT-034",
    Effect.HOLD,
    "The EHR says that the client has died and not when (Patient.deceasedDateTime); the visit may lie after it.",
    authority="domain X-D25",
    cured_by=CuredBy.CODER,
)
NO_NOTE = rule(
    "NOTE-010",
    Effect.HOLD,
    "No note of this visit is visible to Claimwright.",
    authority="domain 4.2; fhir 8.4",
    cured_by=CuredBy.NOTE,
)
UNSIGNED = rule(
    "NOTE-020",
    Effect.HOLD,
    "The note is not signed by its author.",
    authority="domain 4.2 C08, 4.8; Noridian signature requirements",
    cured_by=CuredBy.NOTE,
    lacks="C08",
)
FURTHER_UNSIGNED = rule(
    "NOTE-021",
    Effect.WARN,
    "A further note or addendum of this visit is not signed; it was not used.",
    authority="domain 4.8; design: Snapshot",
    cured_by=CuredBy.NOTE,
)
WITHDRAWN = rule(
    "NOTE-030",
    Effect.BLOCK,
    "The visit's note was entered in error or replaced.",
    authority="domain 4.8",
    cured_by=CuredBy.NOBODY,
)
OTHER_CLIENT = rule(
    "NOTE-090",
    Effect.HOLD,
    "The note's header names a client, and the name is not one of this client's.",
    authority="domain 4.2 C25, X-D07",
    cured_by=CuredBy.NOTE,
    lacks="C01",
)
UNREADABLE = rule(
    "NOTE-040",
    Effect.HOLD,
    "A note of this visit ({note}) cannot be read: {because}.",
    authority="design: Limits",
    cured_by=CuredBy.NOTE,
)
TOO_LONG = rule(
    "NOTE-041",
    Effect.HOLD,
    "A note of this visit ({note}) is many times as long as what is written of one visit; it was not read.",
    authority="design: Limits",
    cured_by=CuredBy.NOTE,
)
OTHER_DATE = rule(
    "NOTE-050",
    Effect.HOLD,
    "The note names another date of service than the visit.",
    authority="domain X-D23, 4.2 C02",
    cured_by=CuredBy.NOTE,
    lacks="C02",
)
NO_SERVICE = rule(
    "NOTE-060",
    Effect.BLOCK,
    "The note says that the client did not attend.",
    authority="domain 0.3 (11), X-D08",
    cured_by=CuredBy.NOBODY,
)
CONTRADICTS = rule(
    "NOTE-061",
    Effect.HOLD,
    "The note says that the client did not attend, and also describes a session.",
    authority="domain X-D27",
    cured_by=CuredBy.NOTE,
)
CLONED = rule(
    "NOTE-080",
    Effect.HOLD,
    "The note is word for word the note of another visit of this client; it does not show what was done this time.",
    authority="domain 4.2 C20, X-D06; CMS and OIG on cloned notes",
    cured_by=CuredBy.NOTE,
    lacks="C20",
)
NO_PARTY = rule(
    "VISIT-040",
    Effect.HOLD,
    "The visit does not say {who}; no Claim can be drafted without it.",
    authority="R4 Claim.patient, Claim.provider",
    cured_by=CuredBy.CODER,
)
PAYER_ORDER = rule(
    "PAYER-010",
    Effect.HOLD,
    "The client has several coverages in force, and the record does not say which pays first.",
    authority="domain 6.8; fhir 3.2 (insurance sequence is the payer order)",
    cured_by=CuredBy.CODER,
)
INSTRUCTION = rule(
    "NOTE-070",
    Effect.WARN,
    "The note holds text written like an instruction to software; it had no effect.",
    authority="domain X-I01 to X-I03",
    cured_by=CuredBy.NOTE,
)


_NEVER_HAPPENED = frozenset({VisitStatus.CANCELLED, VisitStatus.ENTERED_IN_ERROR})
_PROTECTED = PART_2_LABELS | SENSITIVE_LABELS
_KNOWN_LABELS = ORDINARY_LABELS | PART_2_LABELS | SENSITIVE_LABELS | PSYCHOTHERAPY_NOTE_LABELS | {Label.SELF_PAY.value}
LONGEST_READ = 250_000
"""Characters of the longest note that is read: some seventy pages. However hostile, it is read within a second."""


def protected_labels(visit: Visit) -> list[str]:
    """The labels of a visit that need a recorded basis before its record is used or leaves."""
    return sorted(visit.all_labels & _PROTECTED)


def privacy(visit: Visit, context: Context) -> tuple[Finding, ...]:
    """What forbids use of the visit's records. Any finding stops the check and the model call alike."""
    if not PSYCHOTHERAPY_NOTE_LABELS.isdisjoint(visit.labels):
        return (found(PSYCHOTHERAPY_VISIT),)
    findings: list[Finding] = []
    notes = visit.notes.notes
    if notes and all(note.is_psychotherapy_note for note in notes):
        findings.append(found(PSYCHOTHERAPY_NOTE))
    labels = visit.all_labels
    if not labels:
        return tuple(findings)
    if Label.SELF_PAY.value in labels:
        findings.append(found(SELF_PAY))
    protected = sorted(labels & _PROTECTED)
    if protected and not context.disclosure_basis:
        findings.append(found(PART_2, label=", ".join(protected)))
    unknown = sorted(labels - _KNOWN_LABELS)
    if unknown:
        shown = dict.fromkeys(label if label in NAMED_LABELS else "one of the site's own" for label in unknown)
        findings.append(found(UNKNOWN_LABEL, label=", ".join(shown)))
    return tuple(findings)


def status(visit: Visit, context: Context) -> tuple[Finding, ...]:
    """What makes the visit or its notes unusable: statuses, impossible dates, no signed note."""
    findings: list[Finding] = []
    if visit.status in _NEVER_HAPPENED:
        findings.append(found(CANCELLED))
    elif visit.status is VisitStatus.UNFINISHED:
        findings.append(found(UNFINISHED))
    findings.extend(_dates(visit, context))
    notes = [note for note in visit.notes if not note.is_psychotherapy_note]
    if not visit.notes.notes:
        findings.append(found(NO_NOTE))
    findings.extend(
        found(UNREADABLE, note=f"DocumentReference/{note.id}", because=note.unreadable_because or "unknown reason")
        for note in notes
        if note.status is NoteStatus.UNREADABLE
    )
    usable = [note for note in notes if note.is_evidence]
    findings.extend(
        found(TOO_LONG, note=f"DocumentReference/{note.id}") for note in usable if len(note.text) > LONGEST_READ
    )
    if notes and not usable and not any(note.status is NoteStatus.UNREADABLE for note in notes):
        unsigned = any(note.status is NoteStatus.UNSIGNED for note in notes)
        findings.append(found(UNSIGNED if unsigned else WITHDRAWN))
    return tuple(findings)


def _dates(visit: Visit, context: Context) -> list[Finding]:
    day = visit.date_of_service
    if day is None:
        return [found(NO_DATE)]
    findings = []
    if day > context.today:
        findings.append(found(FUTURE))
    if visit.client_birth_date and day < visit.client_birth_date:
        findings.append(found(BEFORE_BIRTH))
    if visit.client_deceased and day > visit.client_deceased:
        findings.append(found(AFTER_DEATH))
    if visit.client_died_undated:
        findings.append(found(DIED_UNDATED))
    return findings


def attended(visit: Visit, context: Context, readings: Sequence[Reading]) -> tuple[Finding, ...]:
    """What the record itself says against a service on this date (no-show, another date, another visit's note)."""
    findings: list[Finding] = []
    if not visit.client_id:
        findings.append(found(NO_PARTY, who="whose it is (Encounter.subject)"))
    if not visit.billing_provider:
        findings.append(
            found(NO_PARTY, who="who bills it (Encounter.serviceProvider, or the setting ehr.billing_provider)")
        )
    if not visit.payer_order_known:
        findings.append(found(PAYER_ORDER))
    if isinstance(context.earlier_notes, Known):
        known = {earlier.text_hash for earlier in context.earlier_notes.values}
        findings.extend(found(CLONED) for note in visit.notes.evidence if note.text_hash in known)
    if any(note.status is NoteStatus.UNSIGNED and not note.is_psychotherapy_note for note in visit.notes):
        findings.append(found(FURTHER_UNSIGNED))
    for reading in readings:
        if reading.no_service:
            described = "C24" in reading.elements and any(t.role is Role.SESSION for t in reading.times)
            findings.append(found(CONTRADICTS if described else NO_SERVICE, where=[reading.at(reading.no_service)]))
        wrong = [span for when, span in reading.service_dates if when != visit.date_of_service]
        if wrong and not any(when == visit.date_of_service for when, _ in reading.service_dates):
            findings.append(found(OTHER_DATE, where=[reading.at(span) for span in wrong]))
        if reading.subject:
            findings.append(found(OTHER_CLIENT, where=[reading.at(reading.subject)]))
        if reading.instruction:
            findings.append(found(INSTRUCTION, where=[reading.at(reading.instruction)]))
    return tuple(findings)
