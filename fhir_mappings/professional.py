"""A draft Claim and its visit's record to everything that one professional claim (837P) says, or a list of what it lacks.

What the record says goes before what the site says for it. Nothing is guessed: a claim that lacks something is not made.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from fhir_mappings import billing_views as seen
from fhir_mappings import systems, views
from fhir_mappings.billing_views import code_in
from fhir_mappings.claims import MAX_DIAGNOSES, MAX_LINES
from fhir_mappings.complaints import Complaints
from fhir_mappings.records import BillingOptions, VisitRecord
from fhir_mappings.views import Identifier, Json, UnusableResource, objects, reference_of
from fhir_mappings.x12_text import says_something

MAX_MODIFIERS = 4
MAX_POINTERS = 4

SELF = "18"
"""The X12 code of a subscriber who is the patient."""

_RELATIONS = {"self": SELF, "spouse": "01", "child": "19", "common": "53", "parent": "G8", "other": "G8"}
_SEXES = {"male": "M", "female": "F", "other": "U", "unknown": "U"}
_PAYER_ORDER = "PSTABCDEFGH"
_SELF_PAY = frozenset({"pay", "SELFPAY"})
_TAX_IDS = {"2.16.840.1.113883.4.4": "EI", "2.16.840.1.113883.4.1": "SY", "http://hl7.org/fhir/sid/us-ssn": "SY"}
_NPI = re.compile(r"[12]\d{9}", re.ASCII)
_TAXONOMY = re.compile(r"[0-9A-Z]{9}X", re.ASCII)
_PROCEDURE = re.compile(r"[0-9A-Z]{5}", re.ASCII)
_MODIFIER = re.compile(r"[0-9A-Z]{2}", re.ASCII)
_DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}", re.ASCII)
_PLACE = re.compile(r"\d{2}", re.ASCII)
_NUMBER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ./_-]*[A-Za-z0-9])?", re.ASCII)
_STATE = re.compile(r"[A-Z]{2}", re.ASCII)
_ZIP = re.compile(r"\d{5}(?:\d{4})?", re.ASCII)
_POST_OFFICE_BOX = re.compile(r"\bP(?:\.|OST)?\s*O(?:\.|FFICE)?\s*BOX\b", re.IGNORECASE)
_FIX = "complete it in the EHR"


class IncompleteClaim(ValueError):
    """A draft Claim that cannot become a professional claim yet. `missing` are sentences without values, all of them."""

    def __init__(self, missing: Iterable[str]) -> None:
        self.missing = tuple(missing)
        super().__init__("; ".join(self.missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address in the United States; `zip_code` are five or nine digits."""

    lines: tuple[str, ...] = field(repr=False)
    city: str = field(repr=False)
    state: str = field(repr=False)
    zip_code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonName:
    """A person's name as the record spells it."""

    last: str = field(repr=False)
    first: str = field(default="", repr=False)
    middle: str = field(default="", repr=False)
    suffix: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingProvider:
    """Who is paid: an organization by its name, or a person. `tax_id_kind` is EI (employer) or SY (a person's)."""

    name: str | PersonName = field(repr=False)
    npi: str = field(repr=False)
    tax_id: str = field(repr=False)
    tax_id_kind: str
    taxonomy: str
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """Where the service was given, where that is another address than the billing provider's; `npi` may be empty."""

    name: str
    address: Address
    npi: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinician:
    """Who gave or supervised a service. A supervising clinician needs no taxonomy."""

    name: PersonName
    npi: str = field(repr=False)
    taxonomy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The client; `sex` is M, F or U."""

    name: PersonName
    address: Address
    birth_date: date = field(repr=False)
    sex: str = field(repr=False)
    died: date | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Who pays; `id` is what the clearinghouse calls it, `filing_indicator` X12's code for the kind of insurance."""

    name: str
    id: str
    filing_indicator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Insured:
    """One coverage: whose it is, under which number, and who pays by it, in turn (P first, S second, T third).

    `relationship` is what the patient is to the subscriber, in X12's codes: 18 is the same person.
    """

    turn: str
    relationship: str
    subscriber: PersonName
    member_id: str = field(repr=False)
    group: str = field(default="", repr=False)
    payer: Payer


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One service: `pointers` count the claim's diagnoses from 1, `control` is our id of the line."""

    code: str
    modifiers: tuple[str, ...]
    units: int
    pointers: tuple[int, ...]
    day: date
    through: date | None = None
    place: str
    rendering: Clinician
    control: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfessionalClaim:
    """Everything that one claim of an 837P file says. `control` is the patient control number that the payer answers with.

    `claim_reference` names the draft for messages about it. The first of `insured` gets the claim.
    """

    claim_reference: str
    control: str
    billing: BillingProvider
    patient: Patient
    insured: Insured
    further: tuple[Insured, ...] = ()
    diagnoses: tuple[str, ...] = field(repr=False)
    lines: tuple[Line, ...]
    supervising: Clinician | None = None
    facility: Facility | None = None
    prior_authorization: str = field(default="", repr=False)
    assignment: str = "A"
    benefits_assigned: str = "Y"
    release_of_information: str = "Y"


def control_number(draft_id: str) -> str:
    """The patient control number of a draft: 20 characters, the same for the same `Claim.identifier`."""
    return "CW" + base64.b32encode(hashlib.sha256(draft_id.encode()).digest()).decode()[:18]


def valid_npi(text: str) -> bool:
    """Whether it is ten digits whose last one checks the others (Luhn, over the prefix 80840)."""
    if not _NPI.fullmatch(text):
        return False
    digits = [int(d) for d in reversed("80840" + text)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])) % 10 == 0


def to_professional(claim: Json, record: VisitRecord, options: BillingOptions) -> ProfessionalClaim:
    """The professional claim of a draft Claim, with the people and parties that the visit's record names.

    Raises:
        IncompleteClaim: with everything that is missing or that a professional claim cannot say.
    """
    return _Mapper(claim, record, options).made()


def _shown_id(resource: Json) -> str:
    return logical_id if views.is_id(logical_id := resource.get("id")) else "?"


V = TypeVar("V", bound=views.Resource)
_BillingSources = seen.Organization | seen.Practitioner


_NO_FACILITY = frozenset({"02", "10", "12"})
"""Places of service at a distance or in the client's home, which name no facility."""
_STAYS = frozenset({"21", "51", "61"})
"""Places of service of people who were admitted."""


def _npi_among(identifiers: Sequence[Identifier]) -> str:
    return next((i.value for i in identifiers if i.value and systems.canonical(i.system) == systems.NPI), "")


def _spot(lines: Iterable[str], zip_code: str) -> tuple[str, str]:
    """What tells one address from another: the street without marks and case, and five digits of ZIP."""
    return re.sub(r"[^a-z0-9]+", " ", " ".join(lines).casefold()).strip(), zip_code[:5]


class _Mapper:
    def __init__(self, claim: Json, record: VisitRecord, options: BillingOptions) -> None:
        self.options = options
        self.resources = [*([record.patient] if record.patient else []), *record.others]
        self.locations = [reference_of(each.get("location")) for each in objects(record.encounter.get("location"))]
        self.patient_reference = reference_of(claim.get("patient"))
        self.complaints = Complaints()
        try:
            self.claim = views.read(seen.Claim, claim)
        except UnusableResource as problem:
            raise IncompleteClaim([str(problem)]) from None
        self.here = f"Claim/{self.claim.id}" if self.claim.id else f"draft of Encounter/{_shown_id(record.encounter)}"

    def made(self) -> ProfessionalClaim:
        self._claim_itself()
        billing = self._billing()
        patient = self._patient()
        insured = self._insured()
        diagnoses = self._diagnoses()
        lines = [self._line(n, item, diagnoses) for n, item in enumerate(self.claim.item, 1)]
        supervising = self._supervising()
        facility = self._facility(billing, {line.place for line in lines if line is not None})
        authorization = self._authorization()
        said = self.complaints.said
        if said or billing is None or patient is None or not insured or None in lines:
            raise IncompleteClaim(said or [f"{self.here}: cannot become a professional claim; work on it by hand"])
        return ProfessionalClaim(
            claim_reference=self.here,
            control=control_number(self._draft_id()),
            billing=billing,
            patient=patient,
            insured=insured[0],
            further=tuple(insured[1:]),
            diagnoses=tuple(diagnoses.values()),
            lines=tuple(line for line in lines if line is not None),
            supervising=supervising,
            facility=facility,
            prior_authorization=authorization,
            assignment=self.options.assignment,
            benefits_assigned=self.options.benefits_assigned,
            release_of_information=self.options.release_of_information,
        )

    def _lacks(self, what: str) -> None:
        self.complaints.add(what)

    # --- the Claim ---

    def _claim_itself(self) -> None:
        claim = self.claim
        if claim.status not in ("draft", "active") or claim.use not in (None, "claim"):
            self._lacks(f"{self.here}: status: only a Claim in use is released, not one that was withdrawn or replaced")
        if code_in([claim.type], systems.CLAIM_TYPE) not in (None, "professional"):
            self._lacks(f"{self.here}: type: only professional claims become an 837P")
        if not self._draft_id():
            self._lacks(f"{self.here}: identifier: our own identifier is needed for the 837P; draft the visit anew")
        if not 1 <= len(claim.item) <= MAX_LINES:
            self._lacks(f"{self.here}: item: an 837P claim has 1 to {MAX_LINES} lines; split it by hand")

    def _draft_id(self) -> str:
        return next((i.value for i in self.claim.identifier if i.system == systems.DRAFT_CLAIM_ID and i.value), "")

    def _diagnoses(self) -> dict[int, str]:
        """Codes without their dots by the Claim's sequence, in its order: the first is the principal one."""
        found: dict[int, str] = {}
        for n, each in enumerate(self.claim.diagnosis, 1):
            code = (code_in([each.code], systems.ICD10CM) or "").replace(".", "").upper()
            if not _DIAGNOSIS.fullmatch(code):
                self._lacks(f"{self.here}: diagnosis {n}: an ICD-10-CM code is needed for the 837P; {_FIX}")
            found[each.sequence or n] = code
        if not 1 <= len(found) <= MAX_DIAGNOSES:
            self._lacks(f"{self.here}: diagnosis: an 837P claim has 1 to {MAX_DIAGNOSES} diagnoses; {_FIX}")
        return dict(sorted(found.items()))

    def _authorization(self) -> str:
        focal = self._focal()
        numbers = focal.authorizations if focal else ()
        if len(numbers) > 1:
            self._lacks(f"{self.here}: insurance.preAuthRef: an 837P claim names one authorization; split it by hand")
        return self._number(numbers[0], f"{self.here}: insurance.preAuthRef", 50) if numbers else ""

    def _line(self, n: int, item: seen.Item, diagnoses: Mapping[int, str]) -> Line | None:
        here, before = f"{self.here}: item {n}", len(self.complaints.said)
        code = code_in([item.service], systems.HCPCS, systems.CPT) or ""
        if not _PROCEDURE.fullmatch(code):
            self._lacks(f"{here}: productOrService: a CPT or HCPCS code is needed for the 837P; correct the draft")
        modifiers = tuple(code_in([m], systems.HCPCS, systems.CPT) or "" for m in item.modifier)
        if len(modifiers) > MAX_MODIFIERS or not all(map(_MODIFIER.fullmatch, modifiers)):
            self._lacks(
                f"{here}: modifier: an 837P line has at most {MAX_MODIFIERS} of two characters; correct the draft"
            )
        units = item.quantity.value
        if units is None or units != units.to_integral_value() or not 1 <= units <= 9999:
            self._lacks(f"{here}: quantity: whole units, at least 1, are needed for the 837P; correct the draft")
        place = code_in([item.place], systems.PLACE_OF_SERVICE) or ""
        if not _PLACE.fullmatch(place):
            self._lacks(
                f"{here}: locationCodeableConcept: a place of service is needed for the 837P; set it for the Location"
            )
        days = self._days(item, here)
        rendering = self._rendering(item, here)
        order = list(diagnoses)
        pointers = tuple(order.index(d) + 1 for d in item.diagnoses if d in order)
        if not 1 <= len(pointers) <= MAX_POINTERS or len(pointers) != len(item.diagnoses):
            self._lacks(
                f"{here}: diagnosisSequence: an 837P line points to 1 to {MAX_POINTERS} of the Claim's diagnoses"
            )
        if units is None or days is None or rendering is None or len(self.complaints.said) > before:
            return None
        return Line(
            code=code,
            modifiers=modifiers,
            units=int(units),
            pointers=pointers,
            day=days[0],
            through=days[1],
            place=place,
            rendering=rendering,
            control=item.id if item.id and len(item.id) <= 30 and _NUMBER.fullmatch(item.id) else "",
        )

    def _days(self, item: seen.Item, here: str) -> tuple[date, date | None] | None:
        try:
            start = views.day(item.date or item.period.start)
            end = views.day(item.period.end)
        except ValueError:
            start = end = None
        if start is None or (end is not None and end < start):
            self._lacks(f"{here}: servicedDate: a day is needed for the 837P; correct the draft")
            return None
        return start, end if end != start else None

    # --- clinicians ---

    def _team(self, *, supervising: bool, sequences: Sequence[int] = ()) -> Iterator[seen.CareTeam]:
        for each in self.claim.care_team:
            role = any(c.code == "supervisor" for c in each.role.coding)
            if role is supervising and (not sequences or each.sequence in sequences):
                yield each

    def _rendering(self, item: seen.Item, here: str) -> Clinician | None:
        member = next(self._team(supervising=False, sequences=item.care_team), None)
        if member is None:
            self._lacks(f"{here}: careTeamSequence: a rendering clinician is needed for the 837P; correct the draft")
            return None
        return self._clinician(member, rendering=True)

    def _supervising(self) -> Clinician | None:
        members = list(self._team(supervising=True))
        if len({reference_of(m.provider.model_dump()) for m in members}) > 1:
            self._lacks(f"{self.here}: careTeam: an 837P claim names one supervising clinician; split it by hand")
        return self._clinician(members[0], rendering=False) if members else None

    def _clinician(self, member: seen.CareTeam, *, rendering: bool) -> Clinician | None:
        reference = reference_of(member.provider.model_dump())
        found = self._practitioner(reference)
        if found is None:
            return None
        person, role = found
        here = f"Practitioner/{person.id}"
        name = self._person(person.name, here)
        npi = self._npi(person.identifier, here)
        taxonomy = ""
        if rendering:
            said = [member.qualification, *self._specialties(person, role)]
            taxonomy = code_in(said, systems.NUCC_TAXONOMY) or self.options.taxonomies.get(here, "")
            if not _TAXONOMY.fullmatch(taxonomy):
                self._lacks(
                    f"{here}: a NUCC taxonomy code is needed for the 837P; state it as a PractitionerRole's specialty or in release.taxonomies"
                )
        return Clinician(name=name, npi=npi, taxonomy=taxonomy) if name else None

    def _practitioner(self, reference: str) -> tuple[seen.Practitioner, seen.PractitionerRole | None] | None:
        """The person that a Practitioner or PractitionerRole reference names."""
        role = None
        if reference.startswith("PractitionerRole/"):
            role = self._resource(seen.PractitionerRole, reference)
            if role is None:
                return None
            reference = reference_of(role.practitioner.model_dump())
        person = self._resource(seen.Practitioner, reference)
        return None if person is None else (person, role)

    def _specialties(self, person: seen.Practitioner, role: seen.PractitionerRole | None) -> Iterator[views.Concept]:
        """What the person's roles say they are, those at the billing provider first; then what they qualified as."""
        raws = (r for r in self.resources if r.get("resourceType") == "PractitionerRole")
        known = [Complaints().read(seen.PractitionerRole, r) for r in raws]
        roles = [r for r in known if r is not None and r.practitioner.id_of("Practitioner") == person.id]
        billing = reference_of(self.claim.provider.model_dump())
        roles.sort(key=lambda r: (reference_of(r.organization.model_dump()) != billing, r.id))
        for each in (*([role] if role else []), *roles):
            yield from each.specialty
        yield from (q.code for q in person.qualification)

    # --- where ---

    def _facility(self, billing: BillingProvider | None, places: Set[str]) -> Facility | None:
        """The place of the visit with an address of its own (loop 2310C), but for a client's home or a distance.

        A hospital stay's admission date, which an 837P must state, is not in the record as we read it.
        """
        if places & _STAYS:
            self._lacks(f"{self.here}: a hospital stay's admission date is needed for the 837P; work on it by hand")
        if billing is None or places <= _NO_FACILITY:
            return None
        for reference in self.locations:
            known = any(f"{r.get('resourceType')}/{r.get('id')}" == reference for r in self.resources)
            place = self._resource(seen.Location, reference) if known else None
            if place is None or not place.address.line:
                continue
            there = _spot(place.address.line, place.address.postal_code or "")
            if there == _spot(billing.address.lines, billing.address.zip_code):
                return None
            here = f"Location/{place.id}"
            address = self._address((place.address,), here, nine_digits=True)
            if address is None:
                return None
            name = self._written(place.name, f"{here}: name: a name")
            npi = _npi_among(place.identifier)
            return Facility(name=name, address=address, npi=npi if valid_npi(npi) else "") if name else None
        return None

    # --- the billing provider ---

    def _billing(self) -> BillingProvider | None:
        reference = reference_of(self.claim.provider.model_dump())
        source: _BillingSources | None
        name: str | PersonName | None
        if reference.startswith("Organization/"):
            source = self._resource(seen.Organization, reference)
            if source is None:
                return None
            here, kinds = f"Organization/{source.id}", source.type
            name = self._written(source.name, f"{here}: name: a name")
        else:
            found = self._practitioner(reference)
            if found is None:
                return None
            source, here = found[0], f"Practitioner/{found[0].id}"
            kinds = tuple(self._specialties(*found))
            name = self._person(found[0].name, here)
        npi = self._npi(source.identifier, here)
        tax_id, tax_id_kind = self._tax_id(source.identifier, here)
        taxonomy = code_in(kinds, systems.NUCC_TAXONOMY) or self.options.taxonomy or ""
        if not _TAXONOMY.fullmatch(taxonomy):
            self._lacks(f"{here}: a NUCC taxonomy code is needed for the 837P; {_FIX} or set release.billing_taxonomy")
        address = self._address(source.address, here, billing=True, nine_digits=True)
        if not name or address is None:
            return None
        return BillingProvider(
            name=name, npi=npi, tax_id=tax_id, tax_id_kind=tax_id_kind, taxonomy=taxonomy, address=address
        )

    def _tax_id(self, identifiers: Sequence[Identifier], here: str) -> tuple[str, str]:
        stated = (
            (i.value, _TAX_IDS[(i.system or "").removeprefix("urn:oid:")])
            for i in identifiers
            if i.value and (i.system or "").removeprefix("urn:oid:") in _TAX_IDS
        )
        number, kind = next(stated, (self.options.tax_id or "", "EI"))
        number = number.replace("-", "")
        if not re.fullmatch(r"\d{9}", number, re.ASCII):
            self._lacks(f"{here}: a tax id of nine digits is needed for the 837P; {_FIX} or set release.billing_tax_id")
        return number, kind

    # --- the patient and who insures them ---

    def _patient(self) -> Patient | None:
        person = self._resource(seen.Patient, self.patient_reference)
        if person is None:
            return None
        here = f"Patient/{person.id}"
        name = self._person(person.name, here)
        address = self._address(person.address, here)
        born = self.complaints.field(person, "birthDate", person.birth_date, views.day)
        if born is None:
            self._lacks(f"{here}: birthDate: a whole date is needed for the 837P; {_FIX}")
        sex = _SEXES.get(person.gender or "")
        if sex is None:
            self._lacks(f"{here}: gender: male, female, other or unknown is needed for the 837P; {_FIX}")
        died = self.complaints.field(person, "deceasedDateTime", person.deceased, views.day)
        if name is None or address is None or born is None or sex is None:
            return None
        return Patient(name=name, address=address, birth_date=born, sex=sex, died=died)

    def _focal(self) -> seen.Insurance | None:
        return next((i for i in self.claim.insurance if i.focal), None)

    def _insured(self) -> list[Insured]:
        """Who pays, in turn; whoever pays out of their own pocket is no payer of an 837P."""
        order = sorted(self.claim.insurance, key=lambda i: i.sequence)
        if not order or not order[0].focal or sum(i.focal for i in order) != 1:
            self._lacks(
                f"{self.here}: insurance: only a claim to the first payer is written; a later payer needs the first one's decision, release it by hand"
            )
        made: list[Insured | None] = []
        for entry in order[: len(_PAYER_ORDER)]:
            coverage = self._coverage(entry)
            if coverage is None:
                continue
            if any(c.code in _SELF_PAY for c in coverage.type.coding):
                if entry.focal:
                    self._lacks(f"Coverage/{coverage.id}: type: who pays themselves gets a bill, not an 837P")
                continue
            made.append(self._one_insured(coverage, _PAYER_ORDER[len(made)]))
        return [each for each in made if each is not None]

    def _coverage(self, entry: seen.Insurance) -> seen.Coverage | None:
        reference = reference_of(entry.coverage.model_dump())
        if not reference:
            self._lacks(
                f"{self.here}: insurance.coverage: a Coverage is needed for the 837P; add the client's insurance in the EHR"
            )
            return None
        return self._resource(seen.Coverage, reference)

    def _one_insured(self, coverage: seen.Coverage, turn: str) -> Insured | None:
        here = f"Coverage/{coverage.id}"
        relationship = self._relationship(coverage, here)
        reference = self.patient_reference if relationship == SELF else reference_of(coverage.subscriber.model_dump())
        subscriber = self._subscriber(reference, here) if relationship else None
        member_id = self._number(coverage.subscriber_id, f"{here}: subscriberId", 80, least=2)
        groups = (c.value for c in coverage.class_ if c.value and any(t.code == "group" for t in c.type.coding))
        payer = self._payer(coverage, here)
        if payer is None or subscriber is None or relationship is None:
            return None
        return Insured(
            turn=turn,
            relationship=relationship,
            subscriber=subscriber,
            member_id=member_id,
            group=next(groups, ""),
            payer=payer,
        )

    def _relationship(self, coverage: seen.Coverage, here: str) -> str | None:
        """What the patient is to the subscriber. A Coverage that names neither is the patient's own."""
        stated = next((c.code for c in coverage.relationship.coding if c.code), None)
        subscriber = reference_of(coverage.subscriber.model_dump())
        own = subscriber in ("", self.patient_reference)
        if stated is None and own:
            return SELF
        code = _RELATIONS.get(stated or "")
        if code is None:
            self._lacks(f"{here}: relationship: what the client is to the subscriber is needed for the 837P; {_FIX}")
            return None
        if own is not (code == SELF):
            self._lacks(f"{here}: subscriber: it does not agree with the relationship; correct it in the EHR")
            return None
        return code

    def _subscriber(self, reference: str, here: str) -> PersonName | None:
        if not reference.startswith(("Patient/", "RelatedPerson/")):
            self._lacks(f"{here}: subscriber: a Patient or RelatedPerson is needed for the 837P; {_FIX}")
            return None
        view: type[seen.Patient] | type[seen.RelatedPerson]
        view = seen.Patient if reference.startswith("Patient/") else seen.RelatedPerson
        person = self._resource(view, reference)
        return self._person(person.name, f"{person.resource_type}/{person.id}") if person else None

    def _payer(self, coverage: seen.Coverage, here: str) -> Payer | None:
        reference = next((r for p in coverage.payor if (r := reference_of(p.model_dump()))), "")
        if not reference.startswith("Organization/"):
            self._lacks(f"{here}: payor: the paying Organization is needed for the 837P; {_FIX}")
            return None
        organization = self._resource(seen.Organization, reference)
        if organization is None:
            return None
        here = f"Organization/{organization.id}"
        name = self._written(organization.name, f"{here}: name: a name")
        identifier = next((i for i in organization.identifier if i.value), Identifier())
        keys = (f"{identifier.system or ''}|{identifier.value or ''}", identifier.value or "")
        number = next((self.options.payer_ids[k] for k in keys if k in self.options.payer_ids), identifier.value)
        payer_id = self._number(number, f"{here}: identifier", 80, least=2)
        filing = next(
            (self.options.filing_indicators[k] for k in keys if k in self.options.filing_indicators),
            self.options.filing_indicator,
        )
        if not filing:
            self._lacks(
                f"{here}: a claim filing indicator is needed for the 837P; set release.filing_indicators for it, or release.filing_indicator"
            )
        return Payer(name=name, id=payer_id, filing_indicator=filing or "") if name else None

    # --- what all of them have ---

    def _resource(self, view: type[V], reference: str) -> V | None:
        """The resource of the record that a reference names, or None and what is wrong with it."""
        kind, _, logical_id = reference.partition("/")
        if kind != view.__name__ or not views.is_id(logical_id):
            self._lacks(f"{self.here}: a reference to a {view.__name__} is needed for the 837P; {_FIX}")
            return None
        found = (r for r in self.resources if r.get("resourceType") == kind and r.get("id") == logical_id)
        raw = next(found, None)
        if raw is None:
            self._lacks(f"{reference}: it is not in the visit's record, and the 837P needs it; let Claimwright read it")
            return None
        return self.complaints.read(view, raw)

    def _written(self, text: str | None, what: str) -> str:
        if says_something(text):
            return text or ""
        self._lacks(f"{what} in Latin letters is needed for the 837P; {_FIX}")
        return ""

    def _number(self, value: str | None, where: str, most: int, *, least: int = 1) -> str:
        """A number as it stands: it is never cut or respelt, for then it is another's."""
        if not value or not least <= len(value) <= most or not _NUMBER.fullmatch(value):
            self._lacks(f"{where}: {least} to {most} letters and figures are needed for the 837P; {_FIX}")
            return ""
        return value

    def _npi(self, identifiers: Sequence[Identifier], here: str) -> str:
        number = _npi_among(identifiers)
        if not valid_npi(number):
            self._lacks(f"{here}: identifier: a valid NPI is needed for the 837P; {_FIX}")
        return number

    def _person(self, names: Sequence[seen.Name], here: str) -> PersonName | None:
        order = {"official": 0, "usual": 1, None: 2, "old": 9}
        name = min(names, key=lambda n: order.get(n.use, 5), default=seen.Name())
        if not self._written(name.family, f"{here}: name: a family name"):
            return None
        given = [g for g in name.given if says_something(g)]
        return PersonName(
            last=name.family or "",
            first=given[0] if given else "",
            middle=" ".join(given[1:]),
            suffix="" if here.startswith("Practitioner/") else " ".join(name.suffix),  # theirs are credentials
        )

    def _address(
        self, addresses: Sequence[seen.Address], here: str, *, billing: bool = False, nine_digits: bool = False
    ) -> Address | None:
        """A person's home, where a billing provider works, else the first address in use.

        A billing provider's is a street; its ZIP and a facility's have `nine_digits` (005010X222A1).
        """
        order = {"work": 0, None: 1, "old": 9} if billing else {"home": 0, None: 1, "work": 8, "old": 9}
        address = min(addresses, key=lambda a: order.get(a.use, 5), default=seen.Address.model_validate({}))
        lines = tuple(line for line in address.line if says_something(line))
        state, zip_code = (address.state or "").upper(), re.sub(r"[\s-]", "", address.postal_code or "")
        if billing and len(zip_code) != 9 and (self.options.zip_code or "").startswith(zip_code or "-"):
            zip_code = self.options.zip_code or zip_code
        lacking = [
            what
            for what, there in (
                ("a street", bool(lines)),
                ("a city", len(address.city or "") >= 2 and says_something(address.city)),
                ("a state of two letters", bool(_STATE.fullmatch(state))),
                ("a ZIP code", bool(_ZIP.fullmatch(zip_code))),
            )
            if not there
        ]
        if (address.country or "US").upper() not in ("US", "USA"):
            lacking.append("a place in the United States")
        if lacking:
            *first, last = lacking
            listed = f"{', '.join(first)} and {last}" if first else last
            self._lacks(f"{here}: address: {listed} {'are' if first else 'is'} needed for the 837P; {_FIX}")
            return None
        if billing and any(map(_POST_OFFICE_BOX.search, lines)):
            self._lacks(f"{here}: address: a street, not a post office box, is needed for the 837P; {_FIX}")
        if nine_digits and len(zip_code) != 9:
            setting = " or set release.billing_zip" if billing else ""
            self._lacks(f"{here}: address: nine digits of ZIP are needed for the 837P; {_FIX}{setting}")
        return Address(lines=lines, city=address.city or "", state=state, zip_code=zip_code)
