"""Collect what belongs to one visit from an EHR: the Encounter, its notes, and who and where.

Includes and `DocumentReference?encounter=` are not portable (fhir 0.4, 0.5): where the server does not list the
parameter, the patient's clinical notes are searched and filtered here. What comes back is checked to be this patient's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fhir_mappings import views
from fhir_mappings.bundles import about, another_clients, of_client, of_visit
from fhir_mappings.records import NoteRecord, VisitRecord
from fhir_mappings.views import Json, objects, reference_of
from plugin.ehr import errors
from plugin.ehr.capabilities import Capabilities, read_capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.formats import UnreadableNote
from plugin.ehr.notes import Body, NoteReader, binary_body
from plugin.ehr.surroundings import NOTE_CATEGORY, Surroundings
from plugin.settings import EhrSettings, Limits


class VisitReader:
    """Reads visits from one EHR. The CapabilityStatement is read once, unless it is known already."""

    def __init__(
        self, client: FhirClient, settings: EhrSettings, limits: Limits, capabilities: Capabilities | None = None
    ) -> None:
        self.client, self.settings, self._limits = client, settings, limits
        self._notes = NoteReader(limits, settings.psychotherapy_note_types)
        self._capabilities = capabilities
        self._garbled: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers."""
        if self._capabilities is None:
            self._capabilities = read_capabilities(self.client.capabilities())
        return self._capabilities

    def finished(self) -> list[str]:
        """The ids of the encounters that count as finished here, where the server can search them by status."""
        found: list[str] = []
        for status in sorted(self.settings.finished_when):
            found += [str(e.get("id")) for e in self.client.search("Encounter", {"status": status}, fresh=True)]
        return sorted(set(found))

    def recent_visits(self, patient_id: str, most: int = 20) -> list[tuple[str, str]]:
        """A patient's visits, latest first: logical id and the start as recorded, to choose from."""
        found = self.client.search("Encounter", {"patient": f"Patient/{patient_id}"}, fresh=True)
        own = [e for e in found if reference_of(e.get("subject")) == f"Patient/{patient_id}"]
        starts = [(str((e.get("period") or {}).get("start") or ""), str(e.get("id"))) for e in own]
        return [(encounter_id, start) for start, encounter_id in sorted(starts, reverse=True)[:most]]

    def read(self, encounter_id: str) -> VisitRecord:
        """Everything needed to code one visit.

        Raises:
            EhrError: the Encounter or its notes cannot be read. What is missing otherwise is listed in `problems`, and
                what the next look may read in `garbled`.
        """
        problems: list[str] = []
        self._garbled = []
        encounter = self.client.read("Encounter", encounter_id)
        patient_reference = reference_of(encounter.get("subject"))
        patient = self._optional(patient_reference, problems)
        found = self._documents(encounter_id, patient_reference, problems)
        documents = [d for d in found if of_client(d, patient_reference)]
        problems += [another_clients(d) for d in found if d not in documents]
        others = tuple(self._around(encounter, patient_reference, documents, problems))
        surroundings = Surroundings(self.client, self.capabilities, self.settings, self._limits, self._garbled)
        return VisitRecord(
            ehr_id=self.settings.id,
            encounter=encounter,
            patient=patient,
            notes=tuple(self._note(document) for document in documents),
            others=others,
            context=surroundings.of(encounter, patient_reference, documents, self._note),
            problems=tuple(problems),
            garbled=tuple(dict.fromkeys(self._garbled)),
            not_looked_up=frozenset(p.partition(":")[0] for p in problems if p.startswith(("Coverage:", "Condition:"))),
        )

    def _documents(self, encounter_id: str, patient: str, problems: list[str]) -> list[Json]:
        """The visit's documents, and what corrects or continues them without naming it, where the server can be asked."""
        searches_by = partial(self.capabilities.searches_by, "DocumentReference")
        if searches_by("encounter"):
            parameters = {"encounter": f"Encounter/{encounter_id}"} | ({"patient": patient} if patient else {})
        else:
            parameters = {"patient": patient, "category": NOTE_CATEGORY}
        found = {str(d.get("id")): d for d in self.client.search("DocumentReference", parameters, fresh=True)}
        asked: set[str] = set()
        while searches_by("encounter") and searches_by("relatesto") and (related := found.keys() - asked):
            asked |= related
            targets = ",".join(f"DocumentReference/{each}" for each in sorted(related) if views.is_id(each))
            for each in self.client.search("DocumentReference", {"relatesto": targets}, fresh=True):
                found.setdefault(str(each.get("id")), each)
        mine, moved = of_visit(list(found.values()), f"Encounter/{encounter_id}")
        problems += moved
        return mine

    def _note(self, document: Json) -> NoteRecord:
        return self._notes.record(document, self._fetched)

    def _fetched(self, attachment: views.Attachment) -> Body:
        """An attachment elsewhere on the server. A closed door makes the note unreadable; silence makes the visit wait."""
        if not attachment.url:
            raise UnreadableNote("its attachment has neither data nor a URL")
        try:
            kind, data = self.client.fetch(attachment.url)
        except (*errors.CLOSED, *errors.GARBLED, errors.TooMuch) as problem:
            if isinstance(problem, errors.GARBLED):
                self._garbled.append(str(problem))
            raise UnreadableNote(f"its attachment cannot be fetched ({type(problem).__name__})") from None
        return binary_body(attachment, kind, data, self._limits)

    def _around(self, encounter: Json, patient: str, documents: list[Json], problems: list[str]) -> Iterator[Json]:
        """Clinicians, roles, places, diagnoses and coverage that the visit names, each read once."""
        wanted: dict[str, None] = {}
        for participant in objects(encounter.get("participant")):
            wanted[reference_of(participant.get("individual"))] = None
        for each in objects(encounter.get("location")):
            wanted[reference_of(each.get("location"))] = None
        for each in objects(encounter.get("diagnosis")):
            wanted[reference_of(each.get("condition"))] = None
        wanted[reference_of(encounter.get("serviceProvider"))] = None
        for each in objects(encounter.get("account")):
            wanted[reference_of(each)] = None
        for document in documents:
            for author in (*objects(document.get("author")), document.get("authenticator")):
                wanted[reference_of(author)] = None
        kinds = {"Practitioner", "PractitionerRole", "Location", "Condition", "Organization", "Account"}
        followed = {"PractitionerRole": "practitioner"}
        queue = [w for w in wanted if w.partition("/")[0] in kinds]
        seen = set(queue)
        for reference in queue:
            read = self._deciding if reference.startswith("Account/") else self._optional
            resource = read(reference, problems)
            if resource is None:
                continue
            if about(resource) not in (None, patient):
                problems.append(f"{reference}: is about another client; it was not used, correct it in the EHR")
                continue
            yield resource
            further = reference_of(resource.get(followed.get(str(resource.get("resourceType")), "")))
            if further and further not in seen:
                seen.add(further)
                queue.append(further)
        if patient:
            yield from self._coverage(patient, seen, problems)
            yield from self._relatives(patient)
            if not objects(encounter.get("diagnosis")):
                yield from self._conditions(encounter, patient, problems)

    def _coverage(self, patient: str, seen: set[str], problems: list[str]) -> Iterator[Json]:
        try:
            coverages = list(self.client.search("Coverage", {"patient": patient}))
        except errors.CLOSED as problem:
            problems.append(f"Coverage: {problem}")
            return
        for coverage in coverages:
            if reference_of(coverage.get("beneficiary")) != patient:
                continue
            yield coverage
            for payor in map(reference_of, objects(coverage.get("payor"))):
                if payor.startswith("Organization/") and payor not in seen:
                    seen.add(payor)
                    organization = self._deciding(payor, problems)
                    if organization is not None:
                        yield organization

    def _relatives(self, patient: str) -> Iterator[Json]:
        """The people around the client whom the EHR names: their names must not leave in a note's text either."""
        if self.capabilities.searches_by("RelatedPerson", "patient"):
            try:
                found = self.client.search("RelatedPerson", {"patient": patient})
                yield from (r for r in found if reference_of(r.get("patient")) == patient)
            except errors.CLOSED:
                return

    def _conditions(self, encounter: Json, patient: str, problems: list[str]) -> Iterator[Json]:
        try:
            found = self.client.search("Condition", {"patient": patient})
            yield from (c for c in found if reference_of(c.get("encounter")) == f"Encounter/{encounter['id']}")
        except errors.CLOSED as problem:
            problems.append(f"Condition: {problem}")

    def _optional(self, reference: str, problems: list[str]) -> Json | None:
        kind, _, logical_id = reference.partition("/")
        if not logical_id:
            return None
        try:
            return self.client.read(kind, logical_id)
        except errors.NotFhir as problem:
            self._garbled.append(str(problem))
            problems.append(str(problem))
        except errors.CLOSED as problem:
            problems.append(str(problem))
        return None

    def _deciding(self, reference: str, problems: list[str]) -> Json | None:
        """What decides the payer, and by it which draft is the visit's: a login page in its place makes the visit wait."""
        try:
            return self.client.read(*reference.split("/", 1))
        except errors.CLOSED as problem:
            problems.append(f"Coverage: {problem}")
            return None
