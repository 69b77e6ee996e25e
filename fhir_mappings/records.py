"""What an EHR or a Bundle handed over for one visit, as raw R4 JSON, before it is understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_mappings.views import Json
from guardrails.visit import NotLookedUp


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """A DocumentReference with the plain text extracted from its attachment, or why there is none.

    `labels` are those of the Binary that held it; `remarks` say what was guessed about its bytes.
    """

    document: Json = field(repr=False)
    text: str = field(default="", repr=False)
    unreadable_because: str | None = None
    labels: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


Found = tuple[Json, ...] | NotLookedUp
"""The resources of one scope of the context, or why nobody looked."""


_NOBODY_LOOKED = NotLookedUp("no source configured")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRecord:
    """What was looked up around a visit, as raw resources of the same client; `clinician_encounters` are of others too."""

    encounters: Found = _NOBODY_LOOKED
    clinician_encounters: Found = _NOBODY_LOOKED
    claims: Found = _NOBODY_LOOKED
    plans: Found = _NOBODY_LOOKED
    authorizations: Found = _NOBODY_LOOKED
    consents: Found = _NOBODY_LOOKED
    earlier_notes: tuple[NoteRecord, ...] | NotLookedUp = _NOBODY_LOOKED


@dataclass(frozen=True, kw_only=True)
class VisitRecord:
    """The raw resources of one visit as an EHR or a Bundle gave them.

    `problems` are complaints about what could not be read; `not_looked_up` names types that could not be asked for;
    `garbled` are answers that made no sense, which another look may read.
    """

    ehr_id: str
    encounter: Json = field(repr=False)
    patient: Json | None = field(default=None, repr=False)
    notes: tuple[NoteRecord, ...] = ()
    others: tuple[Json, ...] = field(default=(), repr=False)
    context: ContextRecord = field(default=ContextRecord(), repr=False)
    problems: tuple[str, ...] = ()
    garbled: tuple[str, ...] = ()
    not_looked_up: frozenset[str] = frozenset()

    def of(self, kind: str) -> list[Json]:
        """The accompanying resources of one type."""
        return [r for r in self.others if r.get("resourceType") == kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    """What a site knows that FHIR does not say.

    `finished_when` are the Encounter.status values that count as finished here; `places_of_service` maps Location ids
    to CMS codes; `zone` is the IANA zone where a Location names none; `billing_provider` a reference such as
    `Organization/1`, where it is not the Encounter's serviceProvider; `part2_programs` the Locations, Organizations and
    Practitioners (as references) whose records are protected by 42 CFR Part 2, for labels are mostly absent.
    """

    finished_when: frozenset[str] = frozenset({"finished"})
    zone: str | None = None
    billing_provider: str | None = None
    places_of_service: Mapping[str, str] = field(default_factory=dict)
    part2_programs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingOptions:
    """What a site knows of professional claims that its EHR may not say.

    `tax_id` (nine digits), `taxonomy` and `zip_code` (nine digits) are the billing provider's. Payers are keyed by their
    identifier's value, or `system|value`: `payer_ids` are those of the clearinghouse, `filing_indicators` X12's codes for
    the kind of insurance (MC Medicaid, MB Medicare, CI commercial ...), `filing_indicator` that of all others.
    `taxonomies` are those of clinicians, by reference. `assignment` A accepts the payer's fee; `benefits_assigned` Y lets
    the payer pay the provider; `release_of_information` Y is signed by the patient, I informed consent.
    """

    tax_id: str | None = field(default=None, repr=False)
    taxonomy: str | None = None
    zip_code: str | None = None
    filing_indicator: str | None = None
    filing_indicators: Mapping[str, str] = field(default_factory=dict)
    payer_ids: Mapping[str, str] = field(default_factory=dict)
    taxonomies: Mapping[str, str] = field(default_factory=dict)
    assignment: str = "A"
    benefits_assigned: str = "Y"
    release_of_information: str = "Y"
