"""Verdicts to a draft Claim, and the Device and Provenance that say how it came about. Strict R4, validated once.

The Claim carries codes, dates, units, modifiers and pointers, never a word of a note (domain PV-06). Its identity is the
EHR, the Encounter, the billing provider and the payer, never its lines or the note's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from fhir_mappings import systems
from fhir_mappings.views import Json
from guardrails.codebook import CPT_SYSTEM, HCPCS_SYSTEM
from guardrails.verdict import ServiceLine
from guardrails.visit import ORDINARY_LABELS, Coverage, Visit

MAX_DIAGNOSES = 12  # domain 12
MAX_LINES = 50
_PURPOSES = frozenset({"HPAYMT", "HOPERAT", "TREAT", "CLMATTCH"})


class UnwritableClaim(ValueError):
    """What we were about to write is not a valid draft Claim: a defect of ours or a missing reference, named."""


def identity(visit: Visit) -> str:
    """The value of `Claim.identifier`: one draft per EHR, Encounter, billing provider and payer."""
    parties = f"{visit.billing_provider or ''}|{visit.coverage.payer or ''}"
    return f"{visit.ehr_id}.{visit.id}.{hashlib.sha256(parties.encode()).hexdigest()[:12]}"


def draft_claim(
    visit: Visit, lines: Sequence[ServiceLine], *, created: datetime, incomplete: bool, accepted: bool = False
) -> Json:
    """A draft Claim of the lines that stand; its tags say whether a clinician accepted them. A draft it stays.

    Raises:
        UnwritableClaim: a reference that R4 requires is missing, or the result is not valid R4.
    """
    if not lines or len(lines) > MAX_LINES:
        raise UnwritableClaim(f"Claim.item: {len(lines)} lines; a Claim has 1 to {MAX_LINES}")
    if not visit.billing_provider:
        raise UnwritableClaim("Claim.provider: the Encounter has no serviceProvider; set ehr.billing_provider")
    if not visit.client_id:
        raise UnwritableClaim("Claim.patient: the Encounter has no subject")
    diagnoses = list(dict.fromkeys(code for line in lines for code in line.diagnoses))[:MAX_DIAGNOSES]
    clinicians = list(dict.fromkeys(line.rendering_id for line in lines))
    times = [line for line in lines if line.minutes is not None and line.minutes.source != "period"]
    dates = sorted(line.date_of_service.isoformat() for line in lines)
    claim: Json = {
        "resourceType": "Claim",
        "meta": {"security": _labels(visit), "tag": _tags(incomplete, accepted)},
        "identifier": [{"use": "official", "system": systems.DRAFT_CLAIM_ID, "value": identity(visit)}],
        "status": "draft",
        "type": _concept(systems.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": {"reference": f"Patient/{visit.client_id}"},
        "billablePeriod": {"start": dates[0], "end": dates[-1]},
        "created": created.isoformat(timespec="seconds"),
        "provider": {"reference": visit.billing_provider},
        "priority": _concept(systems.PROCESS_PRIORITY, "normal"),
        "careTeam": [
            {
                "sequence": n,
                "provider": {"reference": f"Practitioner/{who}"},
                "responsible": n == 1,
                "role": _concept(systems.CARE_TEAM_ROLE, "primary"),
            }
            for n, who in enumerate(clinicians, 1)
        ],
        "diagnosis": [_diagnosis(n, code) for n, code in enumerate(diagnoses, 1)],
        "insurance": [
            {"sequence": n, "focal": n == 1, "coverage": _coverage(each)}
            for n, each in enumerate((visit.coverage, *visit.further_coverages), 1)
        ],
        "item": [
            _item(n, line, visit, clinicians, diagnoses, times.index(line) + 1 if line in times else None)
            for n, line in enumerate(lines, 1)
        ],
    }
    if visit.coverage.payer_reference and visit.coverage.payer_reference.startswith("Organization/"):
        claim["insurer"] = {"reference": visit.coverage.payer_reference}
    if times:
        claim["supportingInfo"] = [_time(n, line) for n, line in enumerate(times, 1)]
    validate(claim)
    return claim


def withdrawn(claim: Json) -> Json:
    """The Claim as withdrawn: its lines stay for the record, its status says that it must not be used (fhir 7.1)."""
    gone = {**claim, "status": "entered-in-error"}
    validate(gone)
    return gone


def device(proposer: str, versions: Iterable[str]) -> Json:
    """The software that drafted, pinned to model, prompt, rules and tables (AI Transparency on FHIR)."""
    listed = "/".join(versions)
    resource: Json = {
        "resourceType": "Device",
        "identifier": [{"system": systems.AI_SYSTEM_ID, "value": f"claimwright/{proposer}/{listed}"}],
        "status": "active",
        "deviceName": [{"name": "Claimwright", "type": "user-friendly-name"}],
        "type": _concept(systems.AI_DEVICE_TYPE, "Artificial-Intelligence")
        | {"text": "Proposer with deterministic guardrails"},
        "version": [{"value": f"{proposer}/{listed}"}],
    }
    validate(resource)
    return resource


def provenance(
    claim_reference: str, device_reference: str, visit: Visit, *, recorded: datetime, person: str | None = None
) -> Json:
    """Who and what made this version of the draft, from which versions of note and Encounter.

    `person` is the reference of who decided it, in the EHR; None for a version that nobody has decided.
    """
    sources = [_versioned("DocumentReference", n.id, n.version) for n in visit.notes.evidence]
    sources.append(_versioned("Encounter", visit.id, visit.version))
    resource: Json = {
        "resourceType": "Provenance",
        "meta": {"tag": [{"system": systems.EXPLAINS_TAG, "code": claim_reference}]},
        "target": [{"reference": claim_reference}],
        "recorded": recorded.isoformat(timespec="seconds"),
        "reason": [_concept(systems.OBSERVATION_VALUE, "AIAST"), _concept(systems.ACT_REASON, "HPAYMT")],
        "activity": _concept(systems.DATA_OPERATION, "UPDATE" if person else "CREATE"),
        "agent": [
            {
                "type": _concept(systems.PROVENANCE_PARTICIPANT, "author"),
                "role": [_concept(systems.AI_DEVICE_TYPE, "Artificial-Intelligence")],
                "who": {"reference": device_reference},
            }
        ],
        "entity": [{"role": "source", "what": {"reference": reference}} for reference in sources],
    }
    if person:
        verifier = _concept(systems.PROVENANCE_PARTICIPANT, "verifier")
        resource["agent"].append({"type": verifier, "who": {"reference": person}})
    validate(resource)
    return resource


def validate(resource: Json) -> None:
    """The write gate: R4 structure by fhir.resources, and what it does not check (codes, empty lists, nulls, targets).

    Raises:
        UnwritableClaim: the first thing that is wrong, by its place.
    """
    kind = resource["resourceType"]
    try:
        get_fhir_model_class(kind).model_validate(resource)
    except (ValidationError, KeyError, ValueError, TypeError) as problem:
        where = (
            problem.errors(include_input=False)[0]["loc"]
            if isinstance(problem, ValidationError)
            else type(problem).__name__
        )
        raise UnwritableClaim(f"{kind}: not valid R4 at {where}") from None
    hollow = next(_hollow(resource, kind), None)
    if hollow:
        raise UnwritableClaim(f"{hollow}: empty or null")
    if kind != "Claim":
        return
    if resource["status"] not in {"draft", "entered-in-error"} or resource["use"] != "claim":
        raise UnwritableClaim("Claim.status: only drafts of claims are written")
    if len([i for i in resource["insurance"] if i.get("focal")]) != 1:
        raise UnwritableClaim("Claim.insurance: exactly one is focal")
    targets = {"patient": ("Patient/",), "provider": ("Practitioner/", "PractitionerRole/", "Organization/")}
    for name, kinds in targets.items():
        if not str(resource[name].get("reference", "")).startswith(kinds):
            raise UnwritableClaim(f"Claim.{name}: must refer to {' or '.join(k.rstrip('/') for k in kinds)}")


def _hollow(value: Any, path: str) -> Iterator[str]:
    if value is None or value in ({}, [], ""):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _hollow(item, f"{path}.{key}")
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _hollow(item, f"{path}[{n}]")


def _item(
    number: int, line: ServiceLine, visit: Visit, clinicians: list[str], diagnoses: list[str], info: int | None
) -> Json:
    item: Json = {
        "id": line.id.removeprefix(f"{visit.id}."),
        "sequence": number,
        "careTeamSequence": [clinicians.index(line.rendering_id) + 1],
        "diagnosisSequence": [diagnoses.index(code) + 1 for code in line.diagnoses if code in diagnoses],
        "productOrService": _concept(line.system, line.code),
        "servicedDate": line.date_of_service.isoformat(),
        "quantity": {"value": line.units, "unit": "units"},
        "encounter": [{"reference": f"Encounter/{visit.id}"}],
    }
    if info is not None:
        item["informationSequence"] = [info]
    if line.modifiers:
        item["modifier"] = [_concept(_modifier_system(m), m) for m in line.modifiers]
    if line.place_of_service:
        item["locationCodeableConcept"] = _concept(systems.PLACE_OF_SERVICE, line.place_of_service)
    return item


def _modifier_system(modifier: str) -> str:
    """CPT's modifiers are two digits (25, 59, 93, 95); all others here are HCPCS Level II (fhir 3.3)."""
    return CPT_SYSTEM if modifier.isdigit() else HCPCS_SYSTEM


def _time(number: int, line: ServiceLine) -> Json:
    """The documented time behind a line: its minutes, and where the note gives clock times, the instants."""
    minutes = line.minutes
    assert minutes is not None
    info: Json = {
        "sequence": number,
        "category": _concept(systems.CLAIM_INFORMATION, "info"),
        "code": {"text": f"Documented minutes: {minutes.minutes}"},
    }
    if minutes.intervals:
        info["timingPeriod"] = {
            "start": minutes.intervals[0][0].isoformat(timespec="seconds"),
            "end": minutes.intervals[-1][1].isoformat(timespec="seconds"),
        }
    notes = list(dict.fromkeys(q.note_id for q in minutes.where))
    if notes:
        info["valueReference"] = {"reference": f"DocumentReference/{notes[0]}"}
    return info


def _diagnosis(number: int, code: str) -> Json:
    entry: Json = {"sequence": number, "diagnosisCodeableConcept": _concept(systems.ICD10CM, code)}
    if number == 1:
        entry["type"] = [_concept(systems.DIAGNOSIS_TYPE, "principal")]
    return entry


def _coverage(coverage: Coverage) -> Json:
    if coverage.id:
        return {"reference": f"Coverage/{coverage.id}"}
    return {"extension": [{"url": systems.DATA_ABSENT_REASON, "valueCode": "unknown"}], "display": "Unknown coverage"}


def _labels(visit: Visit) -> list[Json]:
    """AI-asserted, the strictest confidentiality of the sources (restricted by default), and their sensitivities."""
    labels = visit.all_labels
    order = systems.CONFIDENTIALITY_ORDER
    level = max([c for c in labels if c in order] + ["R"], key=order.index)
    sensitivities = sorted(labels - set(order) - _PURPOSES - (ORDINARY_LABELS & {"AIAST", "PERSISTLABEL"}))
    return [
        {"system": systems.OBSERVATION_VALUE, "code": "AIAST"},
        {"system": systems.CONFIDENTIALITY, "code": level},
        *({"system": systems.ACT_CODE, "code": code} for code in sensitivities),
    ]


def _tags(incomplete: bool, accepted: bool) -> list[Json]:
    tags = ["accepted" if accepted else "unreviewed", *(["incomplete"] if incomplete else [])]
    return [{"system": systems.REVIEW_TAG, "code": tag} for tag in tags]


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _versioned(kind: str, logical_id: str, version: str) -> str:
    return f"{kind}/{logical_id}/_history/{version}" if version else f"{kind}/{logical_id}"
