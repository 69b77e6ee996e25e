"""What was looked up around a visit to the `Context` that rules read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from fhir_mappings import systems, views
from fhir_mappings.records import ContextRecord, Found
from fhir_mappings.views import Json
from fhir_mappings.visits import MappedVisit
from guardrails.codebook import CPT_SYSTEM, HCPCS_SYSTEM
from guardrails.visit import (
    BusyTime,
    Context,
    DatedRecord,
    EarlierNote,
    Known,
    NotLookedUp,
    OtherLine,
    OtherVisit,
)

T = TypeVar("T")
_PROCEDURES = frozenset({HCPCS_SYSTEM, CPT_SYSTEM})
_PLAUSIBLE_CONTACT = timedelta(hours=8)  # a longer period is a chart left open
_LOOK_BACK = timedelta(days=366)  # what a yearly cap can ask for


def to_context(record: ContextRecord, mapped: MappedVisit, *, today: date, disclosure_basis: str | None) -> Context:
    """The context of a visit. A basis for disclosure that the site states as a whole is handed in; a Consent in force is found here."""
    scope = _Scope(mapped)
    notes = record.earlier_notes
    return Context(
        today=today,
        client_lines=scope.known(record.claims, scope.lines),
        same_day_visits=scope.known(record.encounters, scope.other_visits),
        clinician_day=scope.known(record.clinician_encounters, scope.busy),
        plans=scope.known(record.plans, scope.plan),
        authorizations=scope.known(record.authorizations, scope.authorization),
        earlier_notes=notes
        if isinstance(notes, NotLookedUp)
        else Known(tuple(EarlierNote(id=str(n.document.get("id")), text_hash=_hash(n.text)) for n in notes if n.text)),
        disclosure_basis=disclosure_basis or scope.consent(record.consents),
    )


class _Scope:
    """Entry by entry; what is about another client, or unusable, is left out with a complaint."""

    def __init__(self, mapped: MappedVisit) -> None:
        self._visit, self._complaints, self._clinicians = mapped.visit, mapped.complaints, mapped.clinicians
        self._day = mapped.visit.date_of_service

    def _person(self, reference: views.Reference | None) -> str | None:
        """The Practitioner's id, by whatever reference; None where a role in the record leads to nobody."""
        clinician = self._clinicians.of(reference) if reference is not None else None
        return clinician.id if clinician is not None else None

    def known(self, found: Found, read: Callable[[Json], Iterator[T]]) -> Known[T] | NotLookedUp:
        if isinstance(found, NotLookedUp):
            return found
        return Known(tuple(each for raw in found for each in read(raw)))

    def _own(self, reference: views.Reference) -> bool:
        return reference.id_of("Patient") == self._visit.client_id

    def lines(self, raw: Json) -> Iterator[OtherLine]:
        """The lines of another claim, drafts included, of the year up to the date of service."""
        claim = self._complaints.read(views.Claim, raw)
        if claim is None or not self._own(claim.patient) or claim.status not in {"active", "draft"}:
            return
        if claim.use not in {"claim", None}:
            return
        team = {member.sequence: member.provider for member in claim.care_team}
        for item in claim.item:
            code = next((c.code for c in item.product_or_service.coding if c.code), None)
            when = item.serviced_date or item.serviced_period.start or claim.billable_period.start
            day = self._complaints.field(claim, "item.serviced", when, views.day)
            if code is None or day is None or self._day is None or not self._day - _LOOK_BACK <= day <= self._day:
                continue
            visits = [each.id_of("Encounter") for each in item.encounter]
            if self._visit.id in visits:
                continue
            units = item.quantity.value
            rendering = team.get(item.care_team_sequence[0]) if item.care_team_sequence else None
            yield OtherLine(
                code=code.upper(),
                date_of_service=day,
                units=_whole(units),
                modifiers=tuple(c.code for m in item.modifier for c in m.coding if c.code),
                clinician_id=self._person(rendering),
                visit_id=next((v for v in visits if v), None),
            )

    def other_visits(self, raw: Json) -> Iterator[OtherVisit]:
        """Another visit of the client that touches the date of service and took place."""
        other = self._complaints.read(views.Encounter, raw)
        if other is None or other.id == self._visit.id or not self._own(other.subject):
            return
        if other.status in {"cancelled", "entered-in-error", "planned"}:
            return
        starts = self._complaints.field(other, "period.start", other.period.start, views.instant)
        ends = self._complaints.field(other, "period.end", other.period.end, views.instant)
        zone = self._visit.facility_zone or ZoneInfo("UTC")
        day = (
            starts.astimezone(zone).date()
            if starts
            else self._complaints.field(other, "period.start", other.period.start, views.day)
        )
        if day != self._day:
            return
        staff = [p.individual for p in other.participant if p.individual.id_of("Practitioner", "PractitionerRole")]
        people = [self._person(each) for each in staff]
        known = () if None in people else tuple(p for p in people if p)  # of one not known, nobody says it was another
        yield OtherVisit(id=other.id, starts=starts, ends=ends, clinician_ids=known)

    def busy(self, raw: Json) -> Iterator[BusyTime]:
        """A contact of the clinician with another client that day, by its instants alone. One left open for hours says nothing."""
        other = self._complaints.read(views.Encounter, raw)
        if other is None or other.id == self._visit.id or not other.subject.reference or self._own(other.subject):
            return
        if other.status in {"cancelled", "entered-in-error", "planned"}:
            return
        starts = self._complaints.field(other, "period.start", other.period.start, views.instant)
        ends = self._complaints.field(other, "period.end", other.period.end, views.instant)
        zone = self._visit.facility_zone or ZoneInfo("UTC")
        if starts is None or ends is None or not timedelta(0) < ends - starts <= _PLAUSIBLE_CONTACT:
            return
        if starts.astimezone(zone).date() == self._day and self._visit.rendering:  # asked for as this clinician's
            yield BusyTime(clinician_id=self._visit.rendering.id, starts=starts, ends=ends)

    def plan(self, raw: Json) -> Iterator[DatedRecord]:
        """A CarePlan, or a plan kept as a signed document, and the days on which it is in force."""
        if raw.get("resourceType") == "DocumentReference":
            document = self._complaints.read(views.DocumentReference, raw)
            signed = document is not None and document.doc_status in {"final", "amended"}
            if document is not None and signed and document.status == "current" and self._own(document.subject):
                start = document.context.period.start or document.date
                yield from self._dated(document, "context.period", start, document.context.period.end)
            return
        plan = self._complaints.read(views.CarePlan, raw)
        if plan is not None and plan.status in {"active", "completed"} and self._own(plan.subject):
            codes = {c.code for a in plan.activity for c in a.detail.code.coding if c.code and c.system in _PROCEDURES}
            for dated in self._dated(plan, "period", plan.period.start, plan.period.end):
                yield replace(dated, codes=frozenset(c.strip().upper() for c in codes))

    def authorization(self, raw: Json) -> Iterator[DatedRecord]:
        """An approved prior authorization."""
        answer = self._complaints.read(views.ClaimResponse, raw)
        if answer is None or not self._own(answer.patient) or answer.use != "preauthorization":
            return
        if answer.status == "active" and answer.outcome == "complete":
            yield from self._dated(answer, "preAuthPeriod", answer.pre_auth_period.start, answer.pre_auth_period.end)

    def _dated(self, resource: views.Resource, name: str, start: str | None, end: str | None) -> Iterator[DatedRecord]:
        """The days on which it is in force; nothing where a bound cannot be read, which the complaint says."""
        begins = self._complaints.field(resource, f"{name}.start", start, views.first_day)
        ends = self._complaints.field(resource, f"{name}.end", end, views.last_day)
        if (begins or not start) and (ends or not end):
            yield DatedRecord(id=f"{resource.resource_type}/{resource.id}", in_force_from=begins, in_force_through=ends)

    def consent(self, found: Found) -> str | None:
        """The client's consent to use for payment, in force on the date of service, by its id (42 CFR 2.31, 2.33)."""
        if isinstance(found, NotLookedUp) or self._day is None:
            return None
        permitted: list[str] = []
        for raw in found:
            consent = self._complaints.read(views.Consent, raw)
            if consent is None or consent.status != "active" or not self._own(consent.patient):
                continue
            provision = consent.provision
            purposes = {c.code for c in provision.purpose}
            if purposes and not purposes & systems.PAYMENT:
                continue
            period = list(self._dated(consent, "provision.period", provision.period.start, provision.period.end))
            if provision.type == "deny" and not period:  # from when to when, nobody knows
                return None
            if not any(dated.in_force(self._day) for dated in period):
                continue
            if provision.type == "deny":
                return None
            if provision.type == "permit" and any(c.code == "patient-privacy" for c in consent.scope.coding):
                permitted.append(f"Consent/{consent.id}")
        return min(permitted, default=None)


def _whole(units: Decimal | None) -> int | None:
    """A count of units; none where it is no whole number, or one that nobody bills."""
    plausible = units is not None and units.is_finite() and 0 <= units < 10_000
    return int(units) if plausible and units is not None and units == units.to_integral_value() else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
