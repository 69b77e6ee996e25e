"""The history as FHIR AuditEvents (R4B), in the patterns of IHE's Basic Audit Log Patterns where one fits (fhir 7.3).

A profile is named only on what has everything that it asks for. Ids alone: who acted is an account's id, whom it is about a
Patient's logical id in its EHR. What we kept of an entry stands beside, with its hash in our chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from fhir.resources.R4B.auditevent import AuditEvent

from fhir_mappings.systems import ACT_REASON, OURS
from fhir_mappings.views import Json
from plugin.settings import Settings
from plugin.store.audit import SYSTEM, Entry, Event
from plugin.store.records import Draft
from plugin.store.store import Store

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_REST = {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"}
_RESTFUL = "http://hl7.org/fhir/restful-interaction"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit"
_US = {"identifier": {"system": f"{OURS}/sid/software", "value": "claimwright"}, "display": "Claimwright"}
_DETAIL_MOST = 2000

_LIFE: dict[str, tuple[str, str]] = {
    Event.PROPOSED: ("originate", "C"),
    Event.PROVED: ("verify", "E"),
    Event.DECIDED: ("attest", "U"),
    Event.MOVED: ("amend", "U"),
    Event.CHANGED_SINCE: ("verify", "E"),
    Event.REPORTED: ("receive", "C"),
    Event.CLAIMED: ("access", "R"),
    Event.QUERIED: ("transmit", "E"),
    Event.ANSWERED: ("amend", "U"),
    Event.PICKED: ("verify", "E"),
    Event.LOOKED_AGAIN: ("verify", "E"),
    Event.PURGED: ("destroy", "D"),
}
_SECURITY: dict[str, tuple[str, str]] = {
    Event.SIGNED_IN: ("110114", "110122"),
    Event.SIGNED_OUT: ("110114", "110123"),
    Event.ROLES: ("110113", "110136"),
}


class Writer:
    """Turns entries into AuditEvents, in their order: the first writing of a Claim is told from the later ones."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._ours = urlsplit(settings.web.public_url).hostname or "localhost"
        self._bases = {ehr.id: ehr.base_url.rstrip("/") for ehr in settings.ehrs}
        self._written: set[tuple[str | None, str]] = set()
        self._draft = lru_cache(maxsize=4096)(store.draft)

    def events(self, entry: Entry) -> Iterator[Json]:
        """The AuditEvents of an entry: one, or one for each note read and each draft that went out."""
        match entry.kind:
            case Event.NOTE_READ:
                for note in entry.detail.get("notes") or [{}]:
                    yield self._read(entry, note.get("note"))
            case Event.WRITTEN:
                yield self._wrote(entry)
            case Event.DISCLOSED:
                notes = [f"DocumentReference/{n['note']}" for n in entry.detail.get("notes", ()) if "note" in n]
                encounter = entry.subject or ""
                yield self._disclosed(
                    entry, str(entry.detail.get("host")), self._patient(entry), [encounter, *notes], entry.ehr_id
                )
            case Event.RELEASED | Event.ISSUED_AGAIN:
                yield from self._went_out(entry)
            case _:
                yield self._other(entry)

    def _read(self, entry: Entry, note: str | None) -> Json:
        """Somebody read a note, which we had read for them at the EHR."""
        patient = self._patient(entry)
        what = f"DocumentReference/{note}" if note else ""
        entities = [self._about(entry, what, entry.ehr_id), *self._person(patient, entry.ehr_id)]
        server = self._server(entry.ehr_id)
        agents = [
            _agent(_DICOM, "110152", _US, network=self._ours),
            _agent(_DICOM, "110153", {"display": server}, network=server),
            self._user(entry, "IRCP"),
        ]
        profile = f"{_PROFILE}.{'Patient' if patient else ''}Read"
        return self._event(entry, _REST, [(_RESTFUL, "read")], "R", agents, entities, profile if note else None)

    def _wrote(self, entry: Entry) -> Json:
        """We wrote a Claim."""
        claim = str(entry.detail.get("claim", ""))
        first = (entry.ehr_id, claim) not in self._written
        self._written.add((entry.ehr_id, claim))
        patient = self._patient(entry)
        entities = [self._about(entry, claim, entry.ehr_id), *self._person(patient, entry.ehr_id)]
        server = self._server(entry.ehr_id)
        agents = [
            _agent(_DICOM, "110153", _US, network=self._ours),
            _agent(_DICOM, "110152", {"display": server}, network=server),
        ]
        if entry.actor != SYSTEM:
            agents.append(self._user(entry, "AUT"))
        how, action = ("create", "C") if first else ("update", "U")
        profile = f"{_PROFILE}.{'Patient' if patient else ''}{how.capitalize()}"
        return self._event(entry, _REST, [(_RESTFUL, how)], action, agents, entities, profile)

    def _went_out(self, entry: Entry) -> Iterator[Json]:
        """A file went out: one disclosure for each draft in it, for each is about one patient."""
        number = int((entry.subject or "batch/0").rpartition("/")[2])
        ids = entry.detail.get("drafts") or self._store.releases.drafts_of(number)
        release = self._settings.release
        to = release.receiver_name if release else "who released it"
        for draft_id in ids:
            draft = self._draft(draft_id)
            patient = draft.patient_id if draft else None
            yield self._disclosed(entry, to, patient, [draft_id], draft.ehr_id if draft else None)

    def _disclosed(self, entry: Entry, to: str, patient: str | None, what: list[str], ehr_id: str | None) -> Json:
        agents = [
            _agent(_DICOM, "110153", _US, network=self._ours),
            _agent(_DICOM, "110152", {"display": to}, network=to),
        ]
        if entry.actor != SYSTEM:
            agents.append(self._user(entry, "AUT"))
        data = [self._about(entry, each, ehr_id, kept=n == 0) for n, each in enumerate(what)]
        entities = [*data, *self._person(patient, ehr_id)]
        return self._event(
            entry,
            {"system": _DICOM, "code": "110106"},
            [(_LIFECYCLE, "disclose")],
            "R",
            agents,
            entities,
            f"{_PROFILE}.PrivacyDisclosure.Source" if patient else None,
        )

    def _other(self, entry: Entry) -> Json:
        """What no pattern of BALP is for."""
        kind: Json
        if entry.kind in _SECURITY:
            code, sub = _SECURITY[entry.kind]
            kind, subtypes, action = {"system": _DICOM, "code": code}, [(_DICOM, sub)], "E"
        else:
            life, action = _LIFE.get(entry.kind, ("amend", "E"))
            kind, subtypes = {"system": _LIFECYCLE, "code": life}, []
        who = _agent(_PARTICIPATION, "AUT", _US) if entry.actor == SYSTEM else self._user(entry, "AUT")
        entities = [self._about(entry, entry.subject or "", entry.ehr_id)]
        return self._event(
            entry, kind, subtypes, action, [who], [*entities, *self._person(self._patient(entry), entry.ehr_id)]
        )

    # --- parts ---

    def _event(
        self,
        entry: Entry,
        kind: Json,
        subtypes: list[tuple[str, str]],
        action: str,
        agents: list[Json],
        entities: list[Json],
        profile: str | None = None,
    ) -> Json:
        own = {"system": f"{OURS}/CodeSystem/history", "code": entry.kind.replace(" ", "-")}
        event = {
            "resourceType": "AuditEvent",
            **({"meta": {"profile": [profile]}} if profile else {}),
            "type": kind,
            "subtype": [*({"system": s, "code": c} for s, c in subtypes), own],
            "action": action,
            "recorded": entry.at.isoformat(),
            "outcome": "0",
            "purposeOfEvent": [{"coding": [{"system": ACT_REASON, "code": "HPAYMT"}]}],
            "agent": agents,
            "source": {"site": self._ours, "observer": _US, "type": [{"system": _SOURCE_TYPE, "code": "4"}]},
            "entity": entities,
        }
        AuditEvent.model_validate(event)
        return event

    def _about(self, entry: Entry, what: str, ehr_id: str | None, *, kept: bool = True) -> Json:
        """What it is about; with what we kept of it."""
        said = json.dumps(entry.detail, sort_keys=True, separators=(",", ":"))
        details = [
            {"type": "entry", "valueString": str(entry.id)},
            {"type": "hash", "valueString": entry.hash},
            *([{"type": "detail", "valueString": said}] if len(said) <= _DETAIL_MOST else []),
        ]
        reference: Json
        kind, _, logical_id = what.partition("/")
        base = self._bases.get(ehr_id or "")
        if base and logical_id and kind in ("Encounter", "DocumentReference", "Claim"):
            reference = {"reference": f"{base}/{what}", "type": kind}
        else:
            reference = {"identifier": {"system": f"{OURS}/sid/history-subject", "value": what or "claimwright"}}
        return {
            "what": reference,
            "type": {"system": _ENTITY_TYPE, "code": "2"},
            "role": {"system": _ENTITY_ROLE, "code": "4"},
            **({"detail": details} if kept else {}),
        }

    def _person(self, patient: str | None, ehr_id: str | None) -> list[Json]:
        if not patient:
            return []
        base = self._bases.get(ehr_id or "")
        reference = f"{base}/Patient/{patient}" if base else f"Patient/{patient}"
        return [
            {
                "what": {"reference": reference, "type": "Patient"},
                "type": {"system": _ENTITY_TYPE, "code": "1"},
                "role": {"system": _ENTITY_ROLE, "code": "1"},
            }
        ]

    def _patient(self, entry: Entry) -> str | None:
        """Whom an entry is about, as its draft says."""
        found = self._of_subject(entry)
        return found.patient_id if found else None

    def _of_subject(self, entry: Entry) -> Draft | None:
        subject = entry.subject or ""
        if subject.startswith(("Encounter/", "visit:")):
            encounter_id = subject.rpartition("/")[2]
            drafts = self._store.drafts(encounter_id=encounter_id)
            return next((d for d in drafts if d.ehr_id == entry.ehr_id), None)
        return self._draft(subject) if subject and entry.ehr_id else None

    def _server(self, ehr_id: str | None) -> str:
        return urlsplit(self._bases.get(ehr_id or "", "")).hostname or ehr_id or "EHR"

    def _user(self, entry: Entry, role: str) -> Json:
        who = {"identifier": {"system": f"{OURS}/sid/account", "value": entry.actor}}
        return _agent(_PARTICIPATION, role, who, requestor=True)


def _agent(system: str, code: str, who: Json, *, network: str | None = None, requestor: bool = False) -> Json:
    agent: dict[str, Any] = {
        "type": {"coding": [{"system": system, "code": code}]},
        "who": who,
        "requestor": requestor,
    }
    return agent | ({"network": {"address": network, "type": "1"}} if network else {})
