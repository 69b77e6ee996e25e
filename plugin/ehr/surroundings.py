"""What is looked up around a visit: the client's other visits, claims, plan, authorizations, consents, earlier notes.

Each look-up runs where the settings ask for it, our scopes cover it and the server lists the search; else it says why not
(design: Context). A server that refuses all the same is a reason too; one that does not answer makes the visit wait.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from fhir_mappings import views
from fhir_mappings.bundles import earlier_documents
from fhir_mappings.clinicians import primary
from fhir_mappings.records import ContextRecord, Found, NoteRecord
from fhir_mappings.views import Json, objects, reference_of
from guardrails.visit import NotLookedUp
from plugin.ehr import errors
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient, Parameters
from plugin.settings import ConsentSource, EhrSettings, Limits, LookUp, PlanSource

NOTE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category|clinical-note"
LOINC = "http://loinc.org"


class Surroundings:
    """Looks around one visit of a patient. What was garbled is noted in `garbled`."""

    def __init__(
        self,
        client: FhirClient,
        capabilities: Capabilities,
        settings: EhrSettings,
        limits: Limits,
        garbled: list[str],
    ) -> None:
        self._client, self._capabilities = client, capabilities
        self._settings, self._limits, self._garbled = settings, limits, garbled

    def of(
        self, encounter: Json, patient: str, notes: list[Json], read_note: Callable[[Json], NoteRecord]
    ) -> ContextRecord:
        """The context of an Encounter. `notes` are its own documents, `read_note` turns another document into text."""
        if not patient:
            return _nothing(NotLookedUp("the Encounter names no patient"))
        return ContextRecord(
            encounters=self._same_day(encounter, patient),
            clinician_encounters=self._clinician_day(encounter),
            claims=self._asked(LookUp.CLAIMS) or self._search("Claim", {"patient": patient}),
            plans=self._plans(patient),
            authorizations=self._asked(LookUp.AUTHORIZATIONS) or self._search("ClaimResponse", {"patient": patient}),
            consents=self._consents(patient),
            earlier_notes=self._earlier_notes(encounter, patient, notes, read_note),
        )

    def _asked(self, scope: LookUp) -> NotLookedUp | None:
        wanted = scope in self._settings.look_up
        return None if wanted else NotLookedUp("the settings do not ask for it (ehr.look_up)")

    def _search(self, kind: str, parameters: Parameters) -> Found:
        """A search, or the reason why there is none."""
        if not scopes_allow(self._settings.scopes, kind):
            return NotLookedUp(f"our scopes do not cover {kind}")
        if not self._capabilities.offers(kind, "search-type"):
            return NotLookedUp(f"the EHR offers no search of {kind}")
        missing = [p for p in parameters if not self._capabilities.searches_by(kind, p)]
        if missing:
            return NotLookedUp(f"the EHR cannot search {kind} by {' and '.join(missing)}")
        try:
            return tuple(self._client.search(kind, parameters, fresh=True))
        except errors.GARBLED as problem:
            self._garbled.append(str(problem))
            return NotLookedUp(f"the EHR gave no usable answer ({type(problem).__name__})")
        except (*errors.CLOSED, errors.TooMuch) as problem:
            return NotLookedUp(f"the EHR did not let us ({type(problem).__name__})")

    def _same_day(self, encounter: Json, patient: str) -> Found:
        """The patient's visits from the day before to the day after: which of them share the date, the mapping says."""
        return self._asked(LookUp.SAME_DAY) or self._encounters_of("patient", patient, encounter)

    def _clinician_day(self, encounter: Json) -> Found:
        """The clinician's visits with anybody around the date; only their times are kept."""
        switched_off = self._asked(LookUp.CLINICIAN_DAY)
        if switched_off:
            return switched_off
        try:
            performer = primary(views.read(views.Encounter, encounter).participant)
        except views.UnusableResource as problem:
            return NotLookedUp(str(problem))
        if performer is None:
            return NotLookedUp("the Encounter names no primary clinician")
        clinician = reference_of(performer.model_dump())
        found = self._encounters_of("participant", clinician, encounter)
        return found if isinstance(found, NotLookedUp) else tuple(e for e in found if clinician in _people_of(e))

    def _encounters_of(self, whose: str, reference: str, encounter: Json) -> Found:
        period = encounter.get("period")
        start = _instant(period.get("start")) if isinstance(period, dict) else None
        if start is None:
            return NotLookedUp("the Encounter has no start")
        day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        around = [  # a closed range with times and offsets: some servers take no other (fhir 8.3)
            f"ge{(day - timedelta(days=1)).isoformat()}",
            f"le{(day + timedelta(days=2)).isoformat()}",
        ]
        return self._search("Encounter", {whose: reference, "date": around})

    def _plans(self, patient: str) -> Found:
        if self._settings.plan_source is PlanSource.CARE_PLAN:
            return self._search("CarePlan", {"patient": patient})
        if self._settings.plan_source is PlanSource.NOTE:
            types = ",".join(f"{LOINC}|{t}" if "|" not in t else t for t in sorted(self._settings.plan_note_types))
            return self._search("DocumentReference", {"patient": patient, "type": types})
        return NotLookedUp("no plan source is configured (ehr.plan_source)")

    def _consents(self, patient: str) -> Found:
        if self._settings.consent_source is ConsentSource.NONE:
            return NotLookedUp("no consent source is configured (ehr.consent_source)")
        return self._search("Consent", {"patient": patient})

    def _earlier_notes(
        self, encounter: Json, patient: str, notes: list[Json], read_note: Callable[[Json], NoteRecord]
    ) -> tuple[NoteRecord, ...] | NotLookedUp:
        """The client's latest notes of other visits that could hold the same bytes, as far as size and hash tell."""
        switched_off = self._asked(LookUp.EARLIER_NOTES)
        if switched_off:
            return switched_off
        found = self._search("DocumentReference", {"patient": patient, "category": NOTE_CATEGORY})
        if isinstance(found, NotLookedUp):
            return found
        latest = earlier_documents(found, encounter)[: self._limits.earlier_notes]
        return tuple(read_note(d) for d in latest if any(_may_be_equal(d, own) for own in notes))


def _people_of(encounter: Json) -> set[str]:
    """The references of those who took part."""
    return {reference_of(each.get("individual")) for each in objects(encounter.get("participant"))}


def scopes_allow(scopes: frozenset[str] | None, kind: str, *, write: bool = False) -> bool:
    """Whether granted SMART scopes, v1 or v2, cover searching or writing a type. Unknown scopes are tried out."""
    if scopes is None:
        return True
    for scope in scopes:
        resource, _, rights = scope.partition("/")[2].partition(".")
        rights = rights.partition("?")[0]
        if resource not in (kind, "*"):
            continue
        if rights == "*" or (rights == "write" if write else rights == "read"):
            return True
        if rights and set(rights) <= set("cruds") and (("c" in rights) if write else ("s" in rights)):
            return True
    return False


def _nothing(why: NotLookedUp) -> ContextRecord:
    return ContextRecord(
        encounters=why,
        clinician_encounters=why,
        claims=why,
        plans=why,
        authorizations=why,
        consents=why,
        earlier_notes=why,
    )


def _may_be_equal(document: Json, other: Json) -> bool:
    """False only where the EHR itself states another size or hash for every pair of attachments."""
    return any(
        all(mine.get(key) == theirs.get(key) for key in ("size", "hash") if mine.get(key) and theirs.get(key))
        for mine in _attachments(document)
        for theirs in _attachments(other)
    )


def _attachments(document: Json) -> list[Json]:
    found = (each.get("attachment") for each in objects(document.get("content")))
    return [a for a in found if isinstance(a, dict)]


def _instant(text: object) -> datetime | None:
    """A period's start, of a date alone its midnight."""
    if not isinstance(text, str):
        return None
    try:
        day = views.day(text)
        return views.instant(text) or (datetime.combine(day, time(), UTC) if day else None)
    except ValueError:
        return None
