"""What will work with an EHR, what won't, and what to ask its administrator for: read off its own statements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_mappings.views import Json
from plugin.ehr import errors
from plugin.ehr.capabilities import Capabilities, read_capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.surroundings import scopes_allow
from plugin.settings import EhrSettings


class Works(StrEnum):
    """How far something works."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Answer:
    """One capability: `how` it will be done, or `ask` what would make it work."""

    what: str
    works: Works
    how: str = ""
    ask: str = ""
    essential: bool = False


@dataclass(frozen=True, slots=True)
class _Need:
    """A read or search that a step depends on, and what happens without it."""

    what: str
    kind: str
    interaction: str
    parameters: tuple[str, ...] = ()
    otherwise: str = ""
    essential: bool = False


_READS = tuple(
    _Need(f"read {kind}", kind, "read", essential=kind in {"Encounter", "Patient"}, otherwise=otherwise)
    for kind, otherwise in (
        ("Encounter", ""),
        ("Patient", "a model cannot be asked: nobody can say what identifies the client"),
        ("Practitioner", "the credential is not known; a coder supplies it"),
        ("PractitionerRole", "clinicians named by their role are not known"),
        ("Location", "place of service and zone come from the settings"),
        ("Condition", "no diagnosis to point to: lines hold"),
        ("Organization", "the payer is not known: the lowest unit rule"),
        ("Account", "the order of several payers must stand in Coverage.order"),
        ("Binary", "only notes with inline data can be read"),
    )
)
_SEARCHES = (
    _Need("payer", "Coverage", "search-type", ("patient",), "the payer is not known: the lowest unit rule"),
    _Need("names of relatives", "RelatedPerson", "search-type", ("patient",), "they are not replaced in what leaves"),
    _Need("other visits of the day", "Encounter", "search-type", ("patient", "date"), "same-day rules are not checked"),
    _Need(
        "the clinician's day",
        "Encounter",
        "search-type",
        ("participant", "date"),
        "the same minute for two clients is not seen",
    ),
    _Need("other claims", "Claim", "search-type", ("patient",), "duplicates and caps are not checked"),
    _Need(
        "plan in force", "CarePlan", "search-type", ("patient",), "keep plans as notes, or plan rules are not checked"
    ),
    _Need("authorizations", "ClaimResponse", "search-type", ("patient",), "authorizations are not checked"),
    _Need("consents", "Consent", "search-type", ("patient",), "state the basis in ehr.disclosure_basis"),
    _Need(
        "earlier notes",
        "DocumentReference",
        "search-type",
        ("patient", "category"),
        "cloned notes are not noticed",
    ),
)


def examine(client: FhirClient, settings: EhrSettings) -> tuple[str, list[Answer]]:
    """The server's name for itself, and an answer for each thing that Claimwright does with an EHR.

    Raises:
        EhrError: the CapabilityStatement cannot be read.
    """
    statement = client.capabilities()
    try:
        smart: dict[str, Any] = client.smart_configuration()
    except errors.EhrError:
        smart = {}
    return _name(statement), answers(statement, smart, settings, listing=_lists_changes(client))


def _lists_changes(client: FhirClient) -> bool:
    """Whether Encounters can be searched by `_lastUpdated` alone: some list the parameter and demand a patient with it."""
    try:
        return not list(client.search("Encounter", {"_lastUpdated": "gt2999-01-01T00:00:00Z"}))
    except errors.EhrError:
        return False


def answers(statement: Json, smart: dict[str, Any], settings: EhrSettings, *, listing: bool) -> list[Answer]:
    """What a CapabilityStatement and a SMART configuration promise. Scopes and local policy may still refuse.

    `listing` says whether changed Encounters can be listed without naming a patient.
    """
    can = read_capabilities(statement)
    told: list[Answer] = []
    version = str(statement.get("fhirVersion", ""))
    told.append(
        Answer("FHIR R4", Works.YES, version, essential=True)
        if version.startswith(("4.0", "4.3"))
        else Answer("FHIR R4", Works.NO, version or "no version stated", "the R4 base URL", essential=True)
    )
    told += [_needed(need, can, settings) for need in _READS]
    told += [_notes(can), _finished(listing)]
    told += [_needed(need, can, settings) for need in _SEARCHES]
    told += [_writing(can, settings), _sign_in(smart), _background(smart)]
    return told


def _needed(need: _Need, can: Capabilities, settings: EhrSettings) -> Answer:
    if not can.offers(need.kind, need.interaction):
        ask = f"{need.kind}: {'read' if need.interaction == 'read' else 'search'}"
        return Answer(need.what, Works.NO, need.otherwise, ask, need.essential)
    missing = [p for p in need.parameters if not can.searches_by(need.kind, p)]
    if missing:
        return Answer(
            need.what, Works.NO, need.otherwise, f"{need.kind}: search by {', '.join(missing)}", need.essential
        )
    if not scopes_allow(settings.scopes, need.kind):
        return Answer(need.what, Works.NO, need.otherwise, f"scope system/{need.kind}.rs", need.essential)
    how = f"{need.kind} by {', '.join(need.parameters)}" if need.parameters else need.kind
    return Answer(need.what, Works.YES, how, essential=need.essential)


def _notes(can: Capabilities) -> Answer:
    what, kind = "notes of a visit", "DocumentReference"
    if can.offers(kind, "search-type") and can.searches_by(kind, "encounter"):
        return Answer(what, Works.YES, "DocumentReference by encounter and patient", essential=True)
    if can.offers(kind, "search-type") and can.searches_by(kind, "patient"):
        return Answer(what, Works.YES, "DocumentReference by patient, filtered here", essential=True)
    return Answer(what, Works.NO, "nothing can be coded", "DocumentReference: search by patient", essential=True)


def _finished(listing: bool) -> Answer:
    what = "finding finished visits"
    if listing:
        return Answer(what, Works.YES, "Encounter by _lastUpdated")
    return Answer(
        what,
        Works.PARTLY,
        "one by one: a hook, a launch, or a list of encounter ids",
        "Encounter: search by _lastUpdated without a patient, or CDS Hooks",
    )


def _writing(can: Capabilities, settings: EhrSettings) -> Answer:
    what = "draft Claims in the EHR"
    if not (can.offers("Claim", "create") and can.offers("Claim", "update")):
        return Answer(what, Works.NO, "drafts stay in our store; export is the way out", "Claim: create and update")
    if not scopes_allow(settings.scopes, "Claim", write=True):
        return Answer(what, Works.NO, "drafts stay in our store; export is the way out", "scope system/Claim.cus")
    if "Claim" not in can.conditional_create:
        return Answer(what, Works.PARTLY, "searched by identifier before each create", "Claim: conditional create")
    return Answer(what, Works.YES, "conditional create, then update with If-Match")


def _sign_in(smart: dict[str, Any]) -> Answer:
    what = "sign-in of clinicians (SMART launch)"
    offered = set(_texts(smart.get("capabilities")))
    if not smart:
        return Answer(what, Works.NO, "", "a .well-known/smart-configuration")
    if "launch-ehr" not in offered:
        return Answer(what, Works.NO, "", "the capability launch-ehr")
    if "S256" not in _texts(smart.get("code_challenge_methods_supported")):
        return Answer(what, Works.PARTLY, "launch from the EHR", "PKCE with S256")
    return Answer(what, Works.YES, "launch from the EHR, PKCE")


def _background(smart: dict[str, Any]) -> Answer:
    what = "work in the background (Backend Services)"
    methods = _texts(smart.get("token_endpoint_auth_methods_supported"))
    if "private_key_jwt" in methods and "client_credentials" in _texts(smart.get("grant_types_supported")):
        return Answer(what, Works.YES, "client_credentials with private_key_jwt")
    if "private_key_jwt" in methods:
        return Answer(what, Works.PARTLY, "private_key_jwt", "the grant client_credentials for our client")
    return Answer(what, Works.NO, "a token by hand (ehr.bearer_token)", "SMART Backend Services with private_key_jwt")


def _texts(value: object) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _name(statement: Json) -> str:
    software = statement.get("software")
    parts = [software.get("name"), software.get("version")] if isinstance(software, dict) else []
    return " ".join(str(p) for p in parts if p) or "a server that does not say what it is"
