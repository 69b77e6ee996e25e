"""Small views of the FHIR resources we read: only the fields we use, lenient about all others.

Servers send vendor fields, blanks and unknown values; a view takes what it can use. `read` says exactly what could not
be used, naming resource and field, and never any value.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeGuard, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

Json = dict[str, Any]
# The years of living people and their care: others are slips, and leave the calendar when a zone is applied.
_FHIR_DATE = re.compile(r"(?:1[89]|2\d)\d{2}(?:-\d{2}(?:-\d{2}(?:T.*)?)?)?", re.ASCII)
_FHIR_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_EXPECTED = {
    "string_type": "expected text",
    "string_too_short": "is empty",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "missing": "is missing",
}


class UnusableResource(ValueError):
    """A resource that cannot be used. The message names type, id, field and what is wrong, without values."""

    def __init__(self, resource: Json | None, problem: str) -> None:
        kind, logical_id = (resource or {}).get("resourceType"), (resource or {}).get("id")
        shown_id = logical_id if is_id(logical_id) else "with an id that is none" if logical_id else "without id"
        super().__init__(f"{kind if is_type(kind) else 'resource'}/{shown_id}: {problem}")
        self.problem = problem


def is_type(value: object) -> TypeGuard[str]:
    """Whether a value is written like a resource type. What is not may be anybody's words, and is never shown."""
    return isinstance(value, str) and bool(_TYPE.fullmatch(value))


def is_id(value: object) -> TypeGuard[str]:
    """Whether a value is written like a logical id; longer than FHIR allows, and with underscores, as servers make them."""
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def is_kept_id(value: object) -> TypeGuard[str]:
    """Whether it is also within the 64 characters that R4 allows and the store's columns hold."""
    return is_id(value) and len(value) <= 64


def _id(value: object) -> object:
    if isinstance(value, str) and value.strip() and not is_id(value.strip()):
        raise ValueError("is no logical id")
    return _text(value)


def _text(value: object) -> object:
    """Trailing blanks are common and mean nothing."""
    return value.strip() if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_text)]
Id = Annotated[str, BeforeValidator(_id)]


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
        """The logical id, if the reference is to one of these resource types, and not on another server."""
        kind, _, logical_id = _local(self.reference).partition("/")
        return logical_id if logical_id and kind in kinds else None


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
    id: Id = Field(min_length=1)
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
    address: Address | None = None


class Patient(Resource):
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    telecom: list[ContactPoint] = []
    address: list[Address] = []
    birth_date: Text | None = Field(None, alias="birthDate")
    deceased: Text | None = Field(None, alias="deceasedDateTime")
    is_deceased: bool | None = Field(None, alias="deceasedBoolean")
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
    status: Text = ""
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
    address: list[Address] = []
    birth_date: Text | None = Field(None, alias="birthDate")
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


class CarePlanDetail(View):
    code: Concept = Concept()


class CarePlanActivity(View):
    detail: CarePlanDetail = CarePlanDetail()


class CarePlan(Resource):
    status: Text | None = None
    subject: Reference = Reference()
    period: Period = Period()
    activity: list[CarePlanActivity] = []


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
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    telecom: list[ContactPoint] = []
    address: list[Address] = []
    birth_date: Text | None = Field(None, alias="birthDate")


R = TypeVar("R", bound=Resource)


def cleaned(value: Any) -> Any:
    """The same JSON without what FHIR forbids and servers send all the same: nulls, and halves of UTF-16 pairs.

    Raises:
        UnusableResource: it is nested so deeply that it cannot be followed.
    """
    try:
        return _cleaned(value)
    except RecursionError:
        raise UnusableResource(
            value if isinstance(value, dict) else None, f"is nested too deeply; {_CORRECT}"
        ) from None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_cleaned(item) for item in value if item is not None]
    return value


def read(view: type[R], resource: object) -> R:
    """A view of a resource.

    Raises:
        UnusableResource: it is not an object of that type, a field that we need has the wrong shape, or it carries a
            modifierExtension, which FHIR forbids to ignore.
    """
    if not isinstance(resource, dict):
        raise UnusableResource(None, f"expected a JSON object for {view.__name__}, found {json_type(resource)}")
    if resource.get("resourceType") != view.__name__:
        raise UnusableResource(resource, f"expected a {view.__name__}")
    try:
        seen = view.model_validate(cleaned(resource))
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_said(e)}" for e in problem.errors(include_input=False))
        raise UnusableResource(resource, f"{wrong}; {_CORRECT}") from None
    if seen.modifier_extension:
        raise UnusableResource(
            resource, "modifierExtension: changes the meaning in a way Claimwright does not know; work on it by hand"
        )
    return seen


_CORRECT = "correct it in the EHR"


def _said(error: ErrorDetails) -> str:
    """A field's error in plain words."""
    kind = error["type"]
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind.startswith(("int", "decimal", "finite")):
        return "expected a number"
    return _EXPECTED.get(kind, "expected true or false" if kind.startswith("bool") else "cannot be used")


def json_type(value: object) -> str:
    """What JSON calls the type of a value."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def objects(value: object) -> list[Json]:
    """The JSON objects of a list; nothing where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def reference_of(value: object) -> str:
    """`Type/id` of a raw Reference, without version; a URL where it is on another server; empty where there is none."""
    text = value.get("reference") if isinstance(value, dict) else None
    return _local(text) if isinstance(text, str) else ""


def _local(reference: str | None) -> str:
    """A URL stays whole: the resource of that type and id on our own server is another one (fhir 2.6)."""
    text = (reference or "").strip().split("/_history/")[0]
    return text if is_elsewhere(text) else "/".join(text.rsplit("/", 2)[-2:])


def is_elsewhere(reference: object) -> bool:
    """Whether a reference leads to another server; those to the EHR's own base were made relative when they were read."""
    return isinstance(reference, str) and "://" in reference


def elsewhere(view: View, field: str = "") -> list[str]:
    """The fields that refer to another server, of those that a view reads, such as `context.encounter`."""
    if isinstance(view, Reference):
        return [field] if is_elsewhere(view.reference) else []
    found = []
    for name, info in type(view).model_fields.items():
        value = getattr(view, name)
        within = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, View)]
        path = f"{field}.{info.alias or name}" if field else info.alias or name
        found += [each for inner in within for each in elsewhere(inner, path)]
    return list(dict.fromkeys(found))


def instant(text: str | None) -> datetime | None:
    """A FHIR dateTime or instant with a time and an offset; None where it is absent or only a date.

    Raises:
        ValueError: it is neither.
    """
    if not text or len(text) <= 10:
        if text:
            day(text)
        return None
    day(text)
    if not _FHIR_TIME.fullmatch(text):
        raise ValueError("not a FHIR dateTime")
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        raise ValueError("a time without an offset")
    return value.astimezone(UTC)


def day(text: str | None) -> date | None:
    """The date of a FHIR date or dateTime as written; None where it is absent or only a year or month.

    Raises:
        ValueError: it is no date.
    """
    if not text:
        return None
    if not _FHIR_DATE.fullmatch(text):
        raise ValueError("not a FHIR date")
    if len(text) in (4, 7):
        date.fromisoformat(text + "-01-01" if len(text) == 4 else text + "-01")
        return None
    return date.fromisoformat(text[:10])


def first_day(text: str | None) -> date | None:
    """The date of a FHIR date or dateTime; of a year or a month alone its first day; None where it is absent.

    Raises:
        ValueError: it is no date.
    """
    whole = day(text)
    return date.fromisoformat(f"{text}-01-01"[:10]) if text and whole is None else whole


def last_day(text: str | None) -> date | None:
    """The date of a FHIR date or dateTime; of a year or a month alone its last day; None where it is absent.

    Raises:
        ValueError: it is no date.
    """
    first = first_day(text)
    if first is None or text is None or len(text) > 7:
        return first
    month = 12 if len(text) == 4 else first.month
    return date(first.year, month, monthrange(first.year, month)[1])
