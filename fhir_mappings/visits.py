"""From the resources of one visit to a `Visit`: entry by entry, with an exact complaint about what was unusable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_mappings import systems, views
from fhir_mappings.views import Json, UnusableResource
from guardrails.codebook import Codebook
from guardrails.documentation import has_signature, signed_at
from guardrails.visit import (
    Clinician,
    Coverage,
    Diagnosis,
    Note,
    NoteRole,
    NoteSet,
    NoteStatus,
    Visit,
    VisitStatus,
)

T = TypeVar("T")
V = TypeVar("V", bound=views.Resource)


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A DocumentReference with the plain text extracted from its attachment, or why there is none."""

    document: Json = field(repr=False)
    text: str = field(default="", repr=False)
    unreadable_because: str | None = None


@dataclass(frozen=True, kw_only=True)
class VisitRecord:
    """The raw resources of one visit as an EHR or a Bundle gave them; `not_looked_up` names types that could not be asked for."""

    ehr_id: str
    encounter: Json = field(repr=False)
    patient: Json | None = field(default=None, repr=False)
    notes: tuple[NoteRecord, ...] = ()
    others: tuple[Json, ...] = field(default=(), repr=False)
    problems: tuple[str, ...] = ()
    not_looked_up: frozenset[str] = frozenset()

    def of(self, kind: str) -> list[Json]:
        """The accompanying resources of one type."""
        return [r for r in self.others if r.get("resourceType") == kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """What a site knows that FHIR does not say.

    `finished_when` are the Encounter.status values that count as finished here; `places_of_service` maps Location ids
    to CMS codes; `zone` is the IANA zone where a Location names none; `billing_provider` a reference such as
    `Organization/1`, where it is not the Encounter's serviceProvider.
    """

    finished_when: frozenset[str] = frozenset({"finished"})
    zone: str | None = None
    billing_provider: str | None = None
    places_of_service: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MappedVisit:
    """A visit and what of its record could not be used."""

    visit: Visit
    problems: tuple[str, ...]


def to_visit(record: VisitRecord, options: SiteOptions, codebook: Codebook) -> MappedVisit:
    """Build the visit.

    Raises:
        UnusableResource: the Encounter itself cannot be used; anything else is listed in `problems`.
    """
    return _Mapper(record, options, codebook).visit()


class _Mapper:
    def __init__(self, record: VisitRecord, options: SiteOptions, codebook: Codebook) -> None:
        self.record, self.options, self.codebook = record, options, codebook
        self.problems = list(record.problems)
        self.encounter = views.read(views.Encounter, record.encounter)
        self.practitioners = self._by_id(views.Practitioner)
        self.roles = self._by_id(views.PractitionerRole)
        self.organizations = self._by_id(views.Organization)
        self.locations = self._by_id(views.Location)

    def visit(self) -> MappedVisit:
        encounter = self.encounter
        patient = self._attempt(lambda: views.read(views.Patient, self.record.patient)) if self.record.patient else None
        location = self._location()
        zone = self._zone(location)
        starts = self._field(encounter, "period.start", encounter.period.start, views.instant)
        ends = self._field(encounter, "period.end", encounter.period.end, views.instant)
        day = self._date_of_service(starts, zone)
        visit = Visit(
            ehr_id=self.record.ehr_id,
            id=encounter.id,
            status=self._status(encounter.status),
            date_of_service=day,
            zone=zone,
            starts=starts,
            ends=ends,
            client_id=encounter.subject.id_of("Patient") or "",
            client_names=_names(patient.name) if patient else (),
            client_birth_date=self._field(patient, "birthDate", patient.birth_date, views.day) if patient else None,
            client_deceased=self._field(patient, "deceasedDateTime", patient.deceased, views.day) if patient else None,
            rendering=self._performer(),
            place_of_service=self._place(location),
            billing_provider=self.options.billing_provider
            or views.reference_of(encounter.service_provider.model_dump())
            or None,
            version=encounter.meta.version_id or "",
            diagnoses=self._diagnoses(),
            coverage=self._coverage(day),
            notes=self._notes(ZoneInfo(zone) if zone else None),
            labels=_labels(encounter.meta.security),
        )
        return MappedVisit(visit, tuple(self.problems))

    # --- reading, one complaint per unusable thing ---

    def _attempt(self, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except UnusableResource as problem:
            self.problems.append(str(problem))
            return None

    def _by_id(self, view: type[V]) -> dict[str, V]:
        seen = (self._read(view, raw) for raw in self.record.of(view.__name__))
        return {each.id: each for each in seen if each is not None}

    def _read(self, view: type[V], raw: Json) -> V | None:
        return self._attempt(lambda: views.read(view, raw))

    def _field(
        self, resource: views.Resource, name: str, text: str | None, parse: Callable[[str | None], T]
    ) -> T | None:
        try:
            return parse(text)
        except ValueError as problem:
            what = "a time without an offset" if "offset" in str(problem) else "not a FHIR date or dateTime"
            self.problems.append(f"{resource.resource_type}/{resource.id}: {name}: {what}; correct it in the EHR")
            return None

    # --- the visit ---

    def _status(self, status: str) -> VisitStatus:
        if status == "entered-in-error":
            return VisitStatus.ENTERED_IN_ERROR
        if status == "cancelled":
            return VisitStatus.CANCELLED
        return VisitStatus.FINISHED if status in self.options.finished_when else VisitStatus.UNFINISHED

    def _date_of_service(self, starts: datetime | None, zone: str | None) -> date | None:
        if starts is not None:
            return starts.astimezone(ZoneInfo(zone)).date() if zone else None
        text = self.encounter.period.start
        # a time that could not be read is not cut to its date: in the facility's zone that may be another day
        return self._field(self.encounter, "period.start", text, views.day) if text and len(text) <= 10 else None

    def _location(self) -> views.Location | None:
        ids = [each.location.id_of("Location") for each in self.encounter.location]
        return next((self.locations[i] for i in ids if i in self.locations), None)

    def _zone(self, location: views.Location | None) -> str | None:
        named = (
            [e.get("valueCode") for e in location.extension if e.get("url") == systems.TIMEZONE_EXTENSION]
            if location
            else []
        )
        for zone in (*named, self.options.zone):
            if not zone:
                continue
            try:
                return ZoneInfo(str(zone)).key
            except (ZoneInfoNotFoundError, ValueError, OSError):
                where = (
                    f"Location/{location.id}: extension(timezone)" if location and zone in named else "settings: zone"
                )
                self.problems.append(f"{where}: not an IANA time zone; correct it")
        return None

    def _place(self, location: views.Location | None) -> str | None:
        ids = [each.location.id_of("Location") or "" for each in self.encounter.location]
        configured = next((self.options.places_of_service[i] for i in ids if i in self.options.places_of_service), None)
        if configured or location is None:
            return configured
        codes = (c for concept in location.type for c in concept.coding)
        return next((c.code for c in codes if systems.canonical(c.system) == systems.PLACE_OF_SERVICE and c.code), None)

    def _performer(self) -> Clinician | None:
        """The primary performer (PPRF), else the only individual."""
        people = [p for p in self.encounter.participant if p.individual.id_of("Practitioner", "PractitionerRole")]
        primary = [p for p in people if any(c.code == "PPRF" for t in p.type for c in t.coding)]
        chosen = primary or (people if len(people) == 1 else [])
        return self._clinician(chosen[0].individual) if chosen else None

    def _clinician(self, reference: views.Reference) -> Clinician | None:
        role = self.roles.get(reference.id_of("PractitionerRole") or "")
        practitioner_id = reference.id_of("Practitioner") or (role.practitioner.id_of("Practitioner") if role else None)
        if practitioner_id is None:
            return None
        person = self.practitioners.get(practitioner_id)
        if person is None:
            return Clinician(id=practitioner_id, claim_reference=f"Practitioner/{practitioner_id}")
        texts = [q.code.text or "" for q in person.qualification]
        texts += [c.code or "" for q in person.qualification for c in q.code.coding]
        texts += [suffix for name in person.name for suffix in name.suffix]
        credentials = [c for c in map(self.codebook.credential, texts) if c is not None]
        best = self.codebook.credential("; ".join(c.name for c in credentials)) if credentials else None
        return Clinician(
            id=practitioner_id,
            name=_full_name(person.name),
            level=best.level if best else None,
            physician=best.physician if best else False,
            education_modifier=best.education_modifier if best else None,
            claim_reference=f"Practitioner/{practitioner_id}",
        )

    def _diagnoses(self) -> tuple[Diagnosis, ...]:
        conditions = self._by_id(views.Condition)
        ranked = [(d.condition.id_of("Condition"), d.rank) for d in self.encounter.diagnosis]
        if not ranked:
            ranked = [(c.id, None) for c in conditions.values() if c.encounter.id_of("Encounter") == self.encounter.id]
        found = []
        for condition_id, rank in ranked:
            condition = conditions.get(condition_id or "")
            if condition is None or _refuted(condition):
                continue
            code = next(
                (c.code for c in condition.code.coding if systems.canonical(c.system) == systems.ICD10CM and c.code),
                None,
            )
            if code:
                found.append(Diagnosis(code=code.upper(), condition_id=condition.id, rank=rank))
            else:
                self.problems.append(f"Condition/{condition.id}: code: no ICD-10-CM coding; add one to bill from it")
        return tuple(found)

    def _coverage(self, on: date | None) -> Coverage:
        coverages = [c for c in self._by_id(views.Coverage).values() if c.status == "active" and self._in_force(c, on)]
        if not coverages:
            return Coverage()
        first = min(coverages, key=lambda c: (c.order is None, c.order or 0, c.id))
        payor = next((p for p in first.payor if p.reference), None)
        organization = self.organizations.get(payor.id_of("Organization") or "") if payor else None
        identifier = next((i for i in organization.identifier if i.value), None) if organization else None
        return Coverage(
            id=first.id,
            payer=f"{identifier.system or ''}|{identifier.value}" if identifier else None,
            payer_reference=payor.reference if payor else None,
            self_pay=any(c.code in {"pay", "SELFPAY"} for c in first.type.coding),
        )

    def _in_force(self, coverage: views.Coverage, on: date | None) -> bool:
        start = self._field(coverage, "period.start", coverage.period.start, views.day)
        end = self._field(coverage, "period.end", coverage.period.end, views.day)
        return on is None or ((start is None or start <= on) and (end is None or on <= end))

    # --- notes ---

    def _notes(self, zone: ZoneInfo | None) -> NoteSet:
        read = [(self._read(views.DocumentReference, r.document), r) for r in self.record.notes]
        documents = [(d, r) for d, r in read if d is not None]
        unusable = [_unusable(r) for d, r in read if d is None]
        replaced = {
            relation.target.id_of("DocumentReference")
            for document, _ in documents
            for relation in document.relates_to
            if relation.code == "replaces" and document.status != "entered-in-error"
        }
        ordered = sorted(documents, key=lambda each: (each[0].date or "", each[0].id))
        return NoteSet((*(self._note(d, r, d.id in replaced, zone) for d, r in ordered), *unusable))

    def _note(
        self, document: views.DocumentReference, record: NoteRecord, replaced: bool, zone: ZoneInfo | None
    ) -> Note:
        author = next((c for c in map(self._clinician, document.author) if c is not None), None)
        relations = {relation.code for relation in document.relates_to}
        role = (
            NoteRole.REPLACEMENT
            if "replaces" in relations
            else NoteRole.ADDENDUM
            if "appends" in relations
            else NoteRole.BASE
        )
        labels = _labels(document.meta.security) | _labels(
            c for concept in document.security_label for c in concept.coding
        )
        hidden = bool(labels & {"PSYTHPN", "HIPAAPsyNotes"})
        return Note(
            id=document.id,
            version=document.meta.version_id or "",
            text="" if hidden else record.text,
            status=_note_status(document, record, replaced),
            role=role,
            author=author,
            signed_at=None if hidden else signed_at(record.text, zone),
            type_code=next((c.code for c in document.type.coding if c.code), None),
            labels=labels,
            unreadable_because=record.unreadable_because,
        )


def _unusable(record: NoteRecord) -> Note:
    """A document that cannot be understood is kept as unreadable: it may replace or correct the others."""
    logical_id = record.document.get("id")
    return Note(
        id=logical_id if isinstance(logical_id, str) else "without-id",
        version="",
        text="",
        status=NoteStatus.UNREADABLE,
        unreadable_because="its DocumentReference cannot be used",
    )


def _note_status(document: views.DocumentReference, record: NoteRecord, replaced: bool) -> NoteStatus:
    """Domain 4.8. A final note without authenticator counts as signed only if its text carries the signature."""
    if "entered-in-error" in (document.status, document.doc_status):
        return NoteStatus.ENTERED_IN_ERROR
    if document.status == "superseded" or replaced:
        return NoteStatus.SUPERSEDED
    if document.doc_status not in {"final", "amended", None}:
        return NoteStatus.UNSIGNED
    if record.unreadable_because:
        return NoteStatus.UNREADABLE
    if document.authenticator is not None and document.authenticator.reference:
        return NoteStatus.SIGNED
    return NoteStatus.SIGNED if document.doc_status and has_signature(record.text) else NoteStatus.UNSIGNED


def _refuted(condition: views.Condition) -> bool:
    statuses = {c.code for c in (*condition.verification_status.coding, *condition.clinical_status.coding)}
    return bool(statuses & {"refuted", "entered-in-error", "unconfirmed", "provisional", "differential"})


def _labels(codings: Iterable[views.Coding]) -> frozenset[str]:
    """Every label's code, whatever spelling of the system it comes under: an unknown one must reach a person."""
    return frozenset(c.code for c in codings if c.code)


def _names(names: list[views.HumanName]) -> tuple[str, ...]:
    """Full, given and family names: the ways a note calls its client."""
    words = [w for name in names for w in (*name.given, name.family or "", name.text or "") if w]
    full = [f"{given} {name.family}" for name in names for given in name.given if name.family]
    return tuple(dict.fromkeys([*full, *words]))


def _full_name(names: list[views.HumanName]) -> str:
    if not names:
        return ""
    return names[0].text or " ".join([*names[0].given, names[0].family or ""]).strip()
