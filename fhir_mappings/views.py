"""Small views of the FHIR resources we read: only the fields we use, lenient about all others.

Servers send vendor fields, blanks and unknown values; a view takes what it can use. `read` says exactly what could not
be used, naming resource and field, and never any value.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Json = dict[str, Any]
_FHIR_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2}(?:T.*)?)?)?$")


class UnusableResource(ValueError):
    """A resource that cannot be used. The message names type, id, field and what is wrong, without values."""

    def __init__(self, resource: Json | None, problem: str) -> None:
        kind = (resource or {}).get("resourceType") or "resource"
        logical_id = (resource or {}).get("id") or "without id"
        super().__init__(f"{kind}/{logical_id}: {problem}")
        self.problem = problem


def _text(value: object) -> object:
    """Trailing blanks are common and mean nothing."""
    return value.strip() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]


class View(BaseModel):
    """Lenient: unknown fields are ignored, explicit nulls count as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Coding(View):
    system: Text | None = None
    code: Text | None = None
    display: Text | None = None


class Concept(View):
    coding: list[Coding] = []
    text: Text | None = None


class Reference(View):
    reference: Text | None = None
    display: Text | None = None

    def id_of(self, *kinds: str) -> str | None:
        """The logical id, if the reference is to one of these resource types."""
        parts = (self.reference or "").split("/_history/")[0].rsplit("/", 2)
        return parts[-1] if len(parts) >= 2 and parts[-2] in kinds else None


class Identifier(View):
    system: Text | None = None
    value: Text | None = None


class Period(View):
    start: Text | None = None
    end: Text | None = None


class Quantity(View):
    value: Decimal | None = None


class Meta(View):
    version_id: Text | None = Field(None, alias="versionId")
    last_updated: Text | None = Field(None, alias="lastUpdated")
    security: list[Coding] = []


class Resource(View):
    resource_type: str = Field(alias="resourceType")
    id: Text = Field(min_length=1)
    meta: Meta = Field(default_factory=lambda: Meta.model_validate({}))
    modifier_extension: list[Json] = Field([], alias="modifierExtension")


class HumanName(View):
    family: Text | None = None
    given: list[Text] = []
    text: Text | None = None
    prefix: list[Text] = []
    suffix: list[Text] = []


class ContactPoint(View):
    system: Text | None = None
    value: Text | None = None


class Address(View):
    text: Text | None = None
    line: list[Text] = []
    city: Text | None = None
    postal_code: Text | None = Field(None, alias="postalCode")


class RelatedContact(View):
    name: HumanName | None = None
    telecom: list[ContactPoint] = []


class Patient(Resource):
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    telecom: list[ContactPoint] = []
    address: list[Address] = []
    birth_date: Text | None = Field(None, alias="birthDate")
    deceased: Text | None = Field(None, alias="deceasedDateTime")
    contact: list[RelatedContact] = []


class Participant(View):
    type: list[Concept] = []
    individual: Reference = Reference()


class EncounterDiagnosis(View):
    condition: Reference = Reference()
    rank: int | None = None


class EncounterLocation(View):
    location: Reference = Reference()


class Encounter(Resource):
    status: Text = "unknown"
    class_: Coding | None = Field(None, alias="class")
    subject: Reference = Reference()
    participant: list[Participant] = []
    period: Period = Period()
    diagnosis: list[EncounterDiagnosis] = []
    location: list[EncounterLocation] = []
    service_provider: Reference = Field(Reference(), alias="serviceProvider")
    account: list[Reference] = []


class Attachment(View):
    content_type: Text | None = Field(None, alias="contentType")
    data: str | None = Field(None, repr=False)
    url: Text | None = None
    title: Text | None = None
    size: int | None = None
    hash: str | None = None


class Binary(Resource):
    content_type: Text | None = Field(None, alias="contentType")
    data: str | None = Field(None, repr=False)


class Content(View):
    attachment: Attachment = Field(default_factory=lambda: Attachment.model_validate({}))


class DocumentContext(View):
    encounter: list[Reference] = []
    period: Period = Period()


class RelatesTo(View):
    code: Text | None = None
    target: Reference = Reference()


class DocumentReference(Resource):
    status: Text = "current"
    doc_status: Text | None = Field(None, alias="docStatus")
    type: Concept = Concept()
    category: list[Concept] = []
    subject: Reference = Reference()
    date: Text | None = None
    author: list[Reference] = []
    authenticator: Reference | None = None
    relates_to: list[RelatesTo] = Field([], alias="relatesTo")
    security_label: list[Concept] = Field([], alias="securityLabel")
    content: list[Content] = []
    context: DocumentContext = DocumentContext()


class Qualification(View):
    code: Concept = Concept()


class Practitioner(Resource):
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    telecom: list[ContactPoint] = []
    qualification: list[Qualification] = []


class PractitionerRole(Resource):
    practitioner: Reference = Reference()
    organization: Reference = Reference()
    code: list[Concept] = []
    specialty: list[Concept] = []


class Location(Resource):
    type: list[Concept] = []
    extension: list[Json] = []


class Condition(Resource):
    clinical_status: Concept = Field(Concept(), alias="clinicalStatus")
    verification_status: Concept = Field(Concept(), alias="verificationStatus")
    code: Concept = Concept()
    encounter: Reference = Reference()


class CoverageClass(View):
    type: Concept = Concept()
    value: Text | None = None


class Coverage(Resource):
    status: Text | None = None
    type: Concept = Concept()
    beneficiary: Reference = Reference()
    class_: list[CoverageClass] = Field([], alias="class")
    payor: list[Reference] = []
    period: Period = Period()
    order: int | None = None
    subscriber_id: Text | None = Field(None, alias="subscriberId")
    identifier: list[Identifier] = []


class Organization(Resource):
    identifier: list[Identifier] = []
    name: Text | None = None


class AccountCoverage(View):
    coverage: Reference = Reference()
    priority: int | None = None


class Account(Resource):
    status: Text | None = None
    coverage: list[AccountCoverage] = []


class Provision(View):
    type: Text | None = None
    period: Period = Period()
    purpose: list[Coding] = []


class Consent(Resource):
    status: Text | None = None
    patient: Reference = Reference()
    scope: Concept = Concept()
    provision: Provision = Provision()


class CarePlan(Resource):
    status: Text | None = None
    subject: Reference = Reference()
    period: Period = Period()


class ClaimItem(View):
    product_or_service: Concept = Field(Concept(), alias="productOrService")
    modifier: list[Concept] = []
    serviced_date: Text | None = Field(None, alias="servicedDate")
    serviced_period: Period = Field(Period(), alias="servicedPeriod")
    quantity: Quantity = Field(default_factory=lambda: Quantity.model_validate({}))
    encounter: list[Reference] = []
    care_team_sequence: list[int] = Field([], alias="careTeamSequence")


class ClaimCareTeam(View):
    sequence: int | None = None
    provider: Reference = Reference()


class Claim(Resource):
    status: Text | None = None
    use: Text | None = None
    patient: Reference = Reference()
    billable_period: Period = Field(Period(), alias="billablePeriod")
    care_team: list[ClaimCareTeam] = Field([], alias="careTeam")
    item: list[ClaimItem] = []


class ClaimResponse(Resource):
    status: Text | None = None
    use: Text | None = None
    outcome: Text | None = None
    patient: Reference = Reference()
    pre_auth_period: Period = Field(Period(), alias="preAuthPeriod")


class RelatedPerson(Resource):
    patient: Reference = Reference()
    name: list[HumanName] = []
    telecom: list[ContactPoint] = []
    address: list[Address] = []


R = TypeVar("R", bound=Resource)


def without_nulls(value: Any) -> Any:
    """The same JSON without explicit nulls, which FHIR forbids and servers send all the same."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def read(view: type[R], resource: object) -> R:
    """A view of a resource.

    Raises:
        UnusableResource: it is not an object of that type, a field that we need has the wrong shape, or it carries a
            modifierExtension, which FHIR forbids to ignore.
    """
    if not isinstance(resource, dict):
        raise UnusableResource(None, f"expected a JSON object for {view.__name__}, found {type(resource).__name__}")
    if resource.get("resourceType") != view.__name__:
        raise UnusableResource(resource, f"expected a {view.__name__}")
    try:
        seen = view.model_validate(without_nulls(resource))
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors(include_input=False))
        raise UnusableResource(resource, wrong) from None
    if seen.modifier_extension:
        raise UnusableResource(resource, "modifierExtension: changes the meaning in a way Claimwright does not know")
    return seen


def objects(value: object) -> list[Json]:
    """The JSON objects of a list; nothing where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def reference_of(value: object) -> str:
    """`Type/id` of a raw Reference, without base or version; empty where there is none."""
    text = value.get("reference") if isinstance(value, dict) else None
    return "/".join(str(text).split("/_history/")[0].rsplit("/", 2)[-2:]) if text else ""


def instant(text: str | None) -> datetime | None:
    """A FHIR dateTime or instant with a time and an offset; None where it is absent or only a date.

    Raises:
        ValueError: it is neither.
    """
    if not text or len(text) <= 10:
        if text:
            day(text)
        return None
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("a time without an offset")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time outside the calendar") from None


def day(text: str | None) -> date | None:
    """The date of a FHIR date or dateTime as written; None where it is absent or only a year or month.

    Raises:
        ValueError: it is no date.
    """
    if not text:
        return None
    if not _FHIR_DATE.match(text):
        raise ValueError("not a FHIR date")
    if len(text) in (4, 7):
        date.fromisoformat(text + "-01-01" if len(text) == 4 else text + "-01")
        return None
    return date.fromisoformat(text[:10])
