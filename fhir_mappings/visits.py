"""From the resources of one visit to a `Visit`: entry by entry, with an exact complaint about what was unusable."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_mappings import coverages, systems, views
from fhir_mappings.clinicians import Clinicians, primary
from fhir_mappings.complaints import Complaints
from fhir_mappings.note_sets import labels_of, note_set
from fhir_mappings.records import SiteOptions, VisitRecord
from fhir_mappings.views import reference_of
from guardrails.codebook import Codebook
from guardrails.visit import Clinician, Coverage, Diagnosis, Label, Visit, VisitStatus


@dataclass(frozen=True, slots=True)
class MappedVisit:
    """A visit, what of its record could not be used, and the clinicians that the record names."""

    visit: Visit
    complaints: Complaints
    clinicians: Clinicians


def to_visit(record: VisitRecord, options: SiteOptions, codebook: Codebook) -> MappedVisit:
    """Build the visit.

    Raises:
        UnusableResource: the Encounter itself cannot be used; anything else is listed in `complaints`.
    """
    return _Mapper(record, options, codebook).visit()


class _Mapper:
    def __init__(self, record: VisitRecord, options: SiteOptions, codebook: Codebook) -> None:
        self.record, self.options = record, options
        self.complaints = complaints = Complaints(record.problems)
        self.encounter = views.read(views.Encounter, record.encounter)
        complaints.elsewhere(self.encounter)
        self.organizations = complaints.by_id(views.Organization, record.of("Organization"))
        self.locations = complaints.by_id(views.Location, record.of("Location"))
        self.conditions = complaints.by_id(views.Condition, record.of("Condition"))
        self.clinicians = Clinicians(
            complaints.by_id(views.Practitioner, record.of("Practitioner")),
            complaints.by_id(views.PractitionerRole, record.of("PractitionerRole")),
            codebook,
        )

    def visit(self) -> MappedVisit:
        encounter, complaints = self.encounter, self.complaints
        patient = complaints.read(views.Patient, self.record.patient)
        location = self._location()
        zone = self._zone(location)
        starts = complaints.field(encounter, "period.start", encounter.period.start, views.instant)
        ends = complaints.field(encounter, "period.end", encounter.period.end, views.instant)
        day = self._date_of_service(starts, zone)
        performer = self._performer()
        diagnoses = self._diagnoses()
        payers, order_known = self._coverages(day)
        died, died_undated = self._death(patient, day)
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
            client_birth_date=complaints.field(patient, "birthDate", patient.birth_date, views.day)
            if patient
            else None,
            client_deceased=died,
            client_died_undated=died_undated,
            rendering=performer,
            place_of_service=self._place(location),
            billing_provider=self.options.billing_provider or self._service_provider() or None,
            version=encounter.meta.version_id or "",
            diagnoses=diagnoses,
            coverage=payers[0] if payers else Coverage(),
            further_coverages=payers[1:],
            payer_order_known=order_known,
            notes=note_set(self.record.notes, self.clinicians, performer, ZoneInfo(zone) if zone else None, complaints),
            labels=self._labels(patient, location, performer, diagnoses),
        )
        return MappedVisit(visit, complaints, self.clinicians)

    def _labels(
        self,
        patient: views.Patient | None,
        location: views.Location | None,
        performer: Clinician | None,
        diagnoses: tuple[Diagnosis, ...],
    ) -> frozenset[str]:
        """Labels of the chart, the visit and its diagnoses; and Part 2 where the site says that the programme is one."""
        labels = labels_of(self.encounter.meta.security)
        if patient is not None:
            labels |= labels_of(patient.meta.security)
        for diagnosis in diagnoses:
            labels |= labels_of(self.conditions[diagnosis.condition_id].meta.security)
        involved = {
            f"Location/{location.id}" if location else "",
            f"Practitioner/{performer.id}" if performer else "",
            self._service_provider(),
        }
        return labels | {Label.PART_2.value} if involved & self.options.part2_programs else labels

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
        return (
            self.complaints.field(self.encounter, "period.start", text, views.day) if text and len(text) <= 10 else None
        )

    def _death(self, patient: views.Patient | None, on: date | None) -> tuple[date | None, bool]:
        """When the client died, and whether that may have been before the visit without anybody knowing: of a year or a
        month that the visit lies in, or a date that cannot be read."""
        if patient is None or not (patient.deceased or patient.is_deceased):
            return None, False
        first = self.complaints.field(patient, "deceasedDateTime", patient.deceased, views.first_day)
        last = self.complaints.field(patient, "deceasedDateTime", patient.deceased, views.last_day)
        if first is None or last is None:
            return None, True
        return (None, True) if first != last and (on is None or first <= on <= last) else (last, False)

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
                self.complaints.add(f"{where}: not an IANA time zone; correct it")
        return None

    def _place(self, location: views.Location | None) -> str | None:
        ids = [each.location.id_of("Location") or "" for each in self.encounter.location]
        configured = next((self.options.places_of_service[i] for i in ids if i in self.options.places_of_service), None)
        if configured or location is None:
            return configured
        codes = (c for concept in location.type for c in concept.coding)
        return next((c.code for c in codes if systems.canonical(c.system) == systems.PLACE_OF_SERVICE and c.code), None)

    def _service_provider(self) -> str:
        named = reference_of(self.encounter.service_provider.model_dump())
        return "" if views.is_elsewhere(named) else named

    def _performer(self) -> Clinician | None:
        chosen = primary(self.encounter.participant)
        return self.clinicians.of(chosen) if chosen else None

    def _diagnoses(self) -> tuple[Diagnosis, ...]:
        ranked = [(d.condition.id_of("Condition"), d.rank) for d in self.encounter.diagnosis]
        if not ranked:
            ranked = [
                (c.id, None) for c in self.conditions.values() if c.encounter.id_of("Encounter") == self.encounter.id
            ]
        found = []
        for condition_id, rank in ranked:
            condition = self.conditions.get(condition_id or "")
            if condition is None or _refuted(condition):
                continue
            code = next(
                (c.code for c in condition.code.coding if systems.canonical(c.system) == systems.ICD10CM and c.code),
                None,
            )
            if code:
                found.append(Diagnosis(code=code.upper(), condition_id=condition.id, rank=rank))
            else:
                self.complaints.add(f"Condition/{condition.id}: code: no ICD-10-CM coding; add one to bill from it")
        return tuple(found)

    def _coverages(self, on: date | None) -> tuple[tuple[Coverage, ...], bool]:
        found = self.complaints.by_id(views.Coverage, self.record.of("Coverage"))
        accounts = self.complaints.by_id(views.Account, self.record.of("Account"))
        named = [each.id_of("Account") for each in self.encounter.account]
        of_visit = [accounts[n] for n in named if n in accounts]
        for account in [each for each in of_visit if each.status == "entered-in-error"]:
            of_visit.remove(account)
            self.complaints.add(f"Account/{account.id}: entered in error; its order of payers was not used")
        return coverages.in_order(found, of_visit, self.organizations, on, self.complaints)


def _refuted(condition: views.Condition) -> bool:
    statuses = {c.code for c in (*condition.verification_status.coding, *condition.clinical_status.coding)}
    return bool(statuses & {"refuted", "entered-in-error", "unconfirmed", "provisional", "differential"})


def _names(names: list[views.HumanName]) -> tuple[str, ...]:
    """Full, given and family names: the ways a note calls its client."""
    words = [w for name in names for w in (*name.given, name.family or "", name.text or "") if w]
    full = [f"{given} {name.family}" for name in names for given in name.given if name.family]
    return tuple(dict.fromkeys([*full, *words]))
