"""The URIs that FHIR data name their code systems by: what we write, and what we also understand when reading."""

from __future__ import annotations

from guardrails.codebook import CPT_SYSTEM, HCPCS_SYSTEM

HCPCS = HCPCS_SYSTEM
CPT = CPT_SYSTEM
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
PLACE_OF_SERVICE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
NPI = "http://hl7.org/fhir/sid/us-npi"
NUCC_TAXONOMY = "http://nucc.org/provider-taxonomy"
CLAIM_TYPE = "http://terminology.hl7.org/CodeSystem/claim-type"
PROCESS_PRIORITY = "http://terminology.hl7.org/CodeSystem/processpriority"
CARE_TEAM_ROLE = "http://terminology.hl7.org/CodeSystem/claimcareteamrole"
CLAIM_INFORMATION = "http://terminology.hl7.org/CodeSystem/claiminformationcategory"
DIAGNOSIS_TYPE = "http://terminology.hl7.org/CodeSystem/ex-diagnosistype"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
PROVENANCE_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
AI_DEVICE_TYPE = "http://hl7.org/fhir/uv/aitransparency/CodeSystem/AIdeviceTypeCS"
TIMEZONE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/timezone"
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

OURS = "https://claimwright.example/fhir"
DRAFT_CLAIM_ID = f"{OURS}/sid/draft-claim"
AI_SYSTEM_ID = f"{OURS}/sid/ai-system"
EXPLAINS_TAG = f"{OURS}/sid/explains"  # a Provenance has no identifier: its tag says what it explains
REVIEW_TAG = f"{OURS}/CodeSystem/review"

CONFIDENTIALITY_ORDER = ("U", "L", "M", "N", "R", "V")

PAYMENT = frozenset({"HPAYMT", "CLMATTCH", "COVAUTH"})
"""Purposes of use (v3-ActReason) that a consent must permit for a claim to be made."""

_ALIASES = {
    "urn:oid:2.16.840.1.113883.6.285": HCPCS,
    "http://terminology.hl7.org/CodeSystem/HCPCS": HCPCS,
    "urn:oid:2.16.840.1.113883.6.12": CPT,
    "urn:oid:2.16.840.1.113883.6.90": ICD10CM,
    "http://terminology.hl7.org/CodeSystem/icd10CM": ICD10CM,
    "urn:oid:2.16.840.1.113883.15.5": PLACE_OF_SERVICE,
    "http://terminology.hl7.org/CodeSystem/ex-serviceplace": PLACE_OF_SERVICE,
    "urn:oid:2.16.840.1.113883.4.6": NPI,
    "http://terminology.hl7.org/CodeSystem/v3-ActUSPrivacyLaw": ACT_CODE,
}


def _key(uri: str) -> str:
    return uri.strip().rstrip("/").removeprefix("https://").removeprefix("http://").removesuffix(".html").casefold()


_KNOWN = {
    _key(uri): uri for uri in (HCPCS, CPT, ICD10CM, PLACE_OF_SERVICE, NPI, NUCC_TAXONOMY, ACT_CODE, CONFIDENTIALITY)
}
_KNOWN |= {_key(alias): uri for alias, uri in _ALIASES.items()}


def canonical(uri: str | None) -> str:
    """The URI we use for a code system, whatever spelling, OID or superseded name the data use; else as it came."""
    return _KNOWN.get(_key(uri or ""), (uri or "").strip())
