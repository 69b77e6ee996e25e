"""Views of what only a professional claim needs: addresses, sexes, subscribers, the parts of our own draft Claim."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field

from fhir_mappings import systems
from fhir_mappings.views import Concept, Id, Identifier, Period, Reference, Resource, Text, View


class Name(View):
    use: Text | None = None
    family: Text | None = None
    given: tuple[Text, ...] = ()
    suffix: tuple[Text, ...] = ()


class Address(View):
    use: Text | None = None
    line: tuple[Text, ...] = ()
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = Field(None, alias="postalCode")
    country: Text | None = None


class Patient(Resource):
    name: tuple[Name, ...] = ()
    address: tuple[Address, ...] = ()
    gender: Text | None = None
    birth_date: Text | None = Field(None, alias="birthDate")
    deceased: Text | None = Field(None, alias="deceasedDateTime")


class RelatedPerson(Resource):
    name: tuple[Name, ...] = ()


class Qualification(View):
    code: Concept = Concept()


class Practitioner(Resource):
    identifier: tuple[Identifier, ...] = ()
    name: tuple[Name, ...] = ()
    address: tuple[Address, ...] = ()
    qualification: tuple[Qualification, ...] = ()


class PractitionerRole(Resource):
    practitioner: Reference = Reference()
    organization: Reference = Reference()
    specialty: tuple[Concept, ...] = ()


class Organization(Resource):
    identifier: tuple[Identifier, ...] = ()
    type: tuple[Concept, ...] = ()
    name: Text | None = None
    address: tuple[Address, ...] = ()


class Location(Resource):
    identifier: tuple[Identifier, ...] = ()
    name: Text | None = None
    address: Address = Field(default_factory=lambda: Address.model_validate({}))


class CoverageClass(View):
    type: Concept = Concept()
    value: Text | None = None


class Coverage(Resource):
    type: Concept = Concept()
    subscriber: Reference = Reference()
    subscriber_id: Text | None = Field(None, alias="subscriberId")
    relationship: Concept = Concept()
    payor: tuple[Reference, ...] = ()
    class_: tuple[CoverageClass, ...] = Field((), alias="class")


class CareTeam(View):
    sequence: int | None = None
    provider: Reference = Reference()
    role: Concept = Concept()
    qualification: Concept = Concept()


class Diagnosis(View):
    sequence: int | None = None
    code: Concept = Field(Concept(), alias="diagnosisCodeableConcept")


class Insurance(View):
    sequence: int = 1
    focal: bool = False
    coverage: Reference = Reference()
    authorizations: tuple[Text, ...] = Field((), alias="preAuthRef")


class Quantity(View):
    value: Decimal | None = None


class Item(View):
    id: Text | None = None
    sequence: int | None = None
    care_team: tuple[int, ...] = Field((), alias="careTeamSequence")
    diagnoses: tuple[int, ...] = Field((), alias="diagnosisSequence")
    service: Concept = Field(Concept(), alias="productOrService")
    modifier: tuple[Concept, ...] = ()
    date: Text | None = Field(None, alias="servicedDate")
    period: Period = Field(Period(), alias="servicedPeriod")
    place: Concept = Field(Concept(), alias="locationCodeableConcept")
    quantity: Quantity = Quantity()


class Claim(Resource):
    """Our own draft, which has an id only where an EHR took it."""

    id: Id = ""
    status: Text | None = None
    use: Text | None = None
    type: Concept = Concept()
    identifier: tuple[Identifier, ...] = ()
    provider: Reference = Reference()
    care_team: tuple[CareTeam, ...] = Field((), alias="careTeam")
    diagnosis: tuple[Diagnosis, ...] = ()
    insurance: tuple[Insurance, ...] = ()
    item: tuple[Item, ...] = ()


def code_in(concepts: Iterable[Concept], *uris: str) -> str | None:
    """The first code of one of these systems, however the data spell the system's name."""
    codings = (coding for concept in concepts for coding in concept.coding)
    return next((c.code for c in codings if c.code and systems.canonical(c.system) in uris), None)
