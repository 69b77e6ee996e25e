"""From a draft Claim and its visit's record to a professional claim: what it says, and what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fhir_mappings import systems
from fhir_mappings.professional import (
    SELF,
    IncompleteClaim,
    PersonName,
    control_number,
    to_professional,
    valid_npi,
)
from fhir_mappings.records import BillingOptions, VisitRecord
from fhir_mappings.x12_text import basic
from tests.released import NAMES, RELEASE, Damage, Json, drafted, of_kind

OPTIONS = RELEASE.billing()


def missing(claim: Json, record: VisitRecord, options: BillingOptions = OPTIONS) -> tuple[str, ...]:
    """What a claim lacks."""
    with pytest.raises(IncompleteClaim) as refused:
        to_professional(claim, record, options)
    return refused.value.missing


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_the_draft_says(name: str) -> None:
    """Codes, modifiers, units, days, places, pointers and who: line by line as in the Claim."""
    claim, record = drafted(name)
    made = to_professional(claim, record, OPTIONS)
    codes = [d["diagnosisCodeableConcept"]["coding"][0]["code"].replace(".", "") for d in claim["diagnosis"]]
    assert list(made.diagnoses) == codes
    for item, line in zip(claim["item"], made.lines, strict=True):
        assert line.code == item["productOrService"]["coding"][0]["code"]
        assert list(line.modifiers) == [m["coding"][0]["code"] for m in item.get("modifier", [])]
        assert (line.units, line.day.isoformat()) == (item["quantity"]["value"], item["servicedDate"])
        assert line.place == item["locationCodeableConcept"]["coding"][0]["code"]
        assert list(line.pointers) == item["diagnosisSequence"]
        assert valid_npi(line.rendering.npi)


def test_a_later_payer_comes_with_the_first() -> None:
    """Of two coverages the first gets the claim, and the second is named on it with its turn."""
    claim, record = drafted("two-coverages-ordered")
    made = to_professional(claim, record, OPTIONS)
    assert (made.insured.turn, [f.turn for f in made.further]) == ("P", ["S"])
    assert made.insured.member_id != made.further[0].member_id


def test_everything_that_is_missing_is_named_at_once() -> None:
    """Every sentence names resource, field and what to do; no value of the record stands in one."""
    claim, record = drafted()
    patient = of_kind(record, "Patient")
    patient["address"] = [{"city": "Springfield", "state": "Ohio"}]
    patient["birthDate"] = "1988"
    del patient["gender"]
    del of_kind(record, "Coverage")["subscriberId"]
    del claim["item"][0]["locationCodeableConcept"]
    assert set(missing(claim, record, BillingOptions())) == {
        "Organization/riverbend: a tax id of nine digits is needed for the 837P; complete it in the EHR or set release.billing_tax_id",
        "Organization/riverbend: address: nine digits of ZIP are needed for the 837P; complete it in the EHR or set release.billing_zip",
        "Patient/h2014-45-minutes-patient: address: a street, a state of two letters and a ZIP code are needed for the 837P; complete it in the EHR",
        "Patient/h2014-45-minutes-patient: birthDate: a whole date is needed for the 837P; complete it in the EHR",
        "Patient/h2014-45-minutes-patient: gender: male, female, other or unknown is needed for the 837P; complete it in the EHR",
        "Coverage/h2014-45-minutes-coverage: subscriberId: 2 to 80 letters and figures are needed for the 837P; complete it in the EHR",
        "Organization/payer-state-medicaid: a claim filing indicator is needed for the 837P; set release.filing_indicators for it, or release.filing_indicator",
        "draft of Encounter/h2014-45-minutes: item 1: locationCodeableConcept: a place of service is needed for the 837P; set it for the Location",
    }


def _without(kind: str) -> Damage:
    def damage(claim: Json, record: VisitRecord) -> None:
        object.__setattr__(record, "others", tuple(r for r in record.others if r["resourceType"] != kind))

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c, r: c.update(status="entered-in-error"), "status: only a Claim in use"),
        (lambda c, r: c["type"]["coding"][0].update(code="oral"), "type: only professional"),
        (lambda c, r: c.pop("identifier"), "identifier: our own identifier"),
        (lambda c, r: c.update(item=c["item"] * 51), "1 to 50 lines"),
        (lambda c, r: c["item"][0]["productOrService"]["coding"][0].update(code="H20144"), "productOrService"),
        (
            lambda c, r: c["item"][0].update(modifier=c["item"][0]["modifier"] * 5),
            "modifier: an 837P line has at most 4",
        ),
        (lambda c, r: c["item"][0]["quantity"].update(value=1.5), "quantity: whole units"),
        (lambda c, r: c["item"][0].pop("servicedDate"), "servicedDate: a day"),
        (lambda c, r: c["item"][0].update(diagnosisSequence=[9]), "diagnosisSequence"),
        (lambda c, r: c["item"][0].update(careTeamSequence=[7]), "careTeamSequence"),
        (lambda c, r: c.update(diagnosis=[]), "diagnosis: an 837P claim has 1 to 12"),
        (lambda c, r: c["insurance"][0].update(preAuthRef=["A1", "A2"]), "names one authorization"),
        (lambda c, r: c["insurance"][0].update(preAuthRef=["A1*Z~"]), "preAuthRef: 1 to 50"),
        (lambda c, r: c["insurance"][0].update(focal=False), "only a claim to the first payer"),
        (lambda c, r: c["insurance"][0].update(coverage={"display": "?"}), "insurance.coverage: a Coverage is needed"),
        (lambda c, r: c.update(provider={"reference": "Location/x"}), "a reference to a Practitioner"),
        (_without("Organization"), "it is not in the visit's record"),
        (_without("Coverage"), "it is not in the visit's record"),
        (_without("Practitioner"), "it is not in the visit's record"),
        (_without("PractitionerRole"), "a NUCC taxonomy code"),
        (lambda c, r: of_kind(r, "Patient").update(name=[{"text": "Wendell Ostrava"}]), "name: a family name"),
        (lambda c, r: of_kind(r, "Patient").update(name=[{"family": "王"}]), "in Latin letters"),
        (lambda c, r: of_kind(r, "Patient").update(birthDate="1988-02-30"), "birthDate"),
        (lambda c, r: of_kind(r, "Patient")["address"][0].update(country="CA"), "a place in the United States"),
        (lambda c, r: of_kind(r, "Patient").update(modifierExtension=[{"url": "x"}]), "modifierExtension"),
        (lambda c, r: of_kind(r, "Coverage").update(payor=[]), "payor: the paying Organization"),
        (lambda c, r: of_kind(r, "Coverage").update(relationship={"coding": [{"code": "injured"}]}), "relationship"),
        (lambda c, r: of_kind(r, "Coverage").update(relationship={"coding": [{"code": "spouse"}]}), "subscriber"),
        (lambda c, r: of_kind(r, "Coverage").update(subscriber={"reference": "RelatedPerson/gone"}), "relationship"),
        (lambda c, r: of_kind(r, "Coverage").update(type={"coding": [{"code": "pay"}]}), "a bill, not an 837P"),
        (lambda c, r: of_kind(r, "Organization").update(address=[{"line": ["P.O. Box 5"]}]), "a city"),
        (lambda c, r: of_kind(r, "Organization")["address"][0].update(line=["PO Box 5"]), "not a post office box"),
        (lambda c, r: of_kind(r, "Organization")["address"][0].update(postalCode="45502"), "nine digits of ZIP"),
        (lambda c, r: of_kind(r, "Organization")["identifier"][0].update(value="1999000016"), "a valid NPI"),
    ],
)
def test_what_an_837p_cannot_say_is_refused(damage: Damage, said: str) -> None:
    """Each gap alone is found, and its sentence says where."""
    claim, record = drafted()
    damage(claim, record)
    sentences = missing(claim, record)
    assert any(said in sentence for sentence in sentences), sentences
    assert not any(word in " ".join(sentences) for word in ("Ostrava", "Sycamore", "ESM70013711", "A1", "45502"))


def test_another_subscriber_is_named_with_what_the_client_is_to_them() -> None:
    """A child on a parent's policy: the subscriber is the RelatedPerson, and the patient stays who they are."""
    claim, record = drafted()
    of_kind(record, "Coverage").update(
        subscriber={"reference": "RelatedPerson/parent"}, relationship={"coding": [{"code": "child"}]}
    )
    parent: Json = {
        "resourceType": "RelatedPerson",
        "id": "parent",
        "name": [{"family": "Ostrava", "given": ["Petra"]}],
    }
    made = to_professional(claim, replace(record, others=(*record.others, parent)), OPTIONS)
    assert (made.insured.relationship, made.insured.subscriber.first) == ("19", "Petra")
    assert made.patient.name.first == "Wendell"


def test_without_relationship_and_subscriber_the_policy_is_the_clients_own() -> None:
    """That is what FHIR calls typical; a relationship that says self changes nothing."""
    claim, record = drafted()
    assert to_professional(claim, record, OPTIONS).insured.relationship == SELF
    of_kind(record, "Coverage").update(relationship={"coding": [{"code": "self"}]})
    assert to_professional(claim, record, OPTIONS).insured.relationship == SELF


def test_the_record_goes_before_the_settings() -> None:
    """A tax id in the EHR is the one that counts; payer ids and filing indicators are the site's to say."""
    claim, record = drafted()
    riverbend = next(r for r in record.of("Organization") if r["id"] == "riverbend")
    riverbend["identifier"].append({"system": "urn:oid:2.16.840.1.113883.4.4", "value": "98-7654321"})
    made = to_professional(claim, record, replace(OPTIONS, payer_ids={"EXAMPLE-MEDICAID": "12345"}))
    assert (made.billing.tax_id, made.billing.tax_id_kind) == ("987654321", "EI")
    assert (made.insured.payer.id, made.insured.payer.filing_indicator) == ("12345", "MC")


def test_a_clinician_may_bill_for_themselves() -> None:
    """A solo practice: the billing provider is a person, with name, NPI, taxonomy and tax id of their own."""
    claim, record = drafted()
    claim["provider"] = {"reference": "PractitionerRole/role-bachelor"}
    person = next(r for r in record.of("Practitioner") if r["id"] == "prac-bachelor")
    person["identifier"].append({"system": "http://hl7.org/fhir/sid/us-ssn", "value": "000-12-3456"})
    person["address"] = [{"line": ["1 Mill Street"], "city": "Springfield", "state": "OH", "postalCode": "45501-1234"}]
    made = to_professional(claim, record, OPTIONS).billing
    assert made.name == PersonName(last="Renner", first="Tobias")
    assert (made.tax_id, made.tax_id_kind, made.taxonomy) == ("000123456", "SY", "171M00000X")


def test_a_supervisor_is_named_apart() -> None:
    """Who supervises stands on the claim, and never as the one who gave the service."""
    claim, record = drafted()
    role = {"coding": [{"system": systems.CARE_TEAM_ROLE, "code": "supervisor"}]}
    lcsw = next(r for r in record.of("Practitioner") if r["id"] == "prac-bachelor") | {
        "id": "boss",
        "name": [{"family": "Whitfield", "given": ["Dana"]}],
    }
    claim["careTeam"].append({"sequence": 2, "provider": {"reference": "Practitioner/boss"}, "role": role})
    claim["item"][0]["careTeamSequence"] = [2, 1]
    made = to_professional(claim, replace(record, others=(*record.others, lcsw)), OPTIONS)
    assert made.supervising is not None
    assert (made.supervising.name.last, made.lines[0].rendering.name.last) == ("Whitfield", "Renner")


ELSEWHERE: Json = {"line": ["7 Quarry Road"], "city": "Dayton", "state": "OH", "postalCode": "45402-0007"}


def at_a_place(address: Json, place: str = "53", **more: Any) -> tuple[Json, VisitRecord]:
    """A visit at a Location of that address."""
    claim, record = drafted()
    record.encounter["location"] = [{"location": {"reference": "Location/branch"}}]
    claim["item"][0]["locationCodeableConcept"]["coding"][0]["code"] = place
    branch = {"resourceType": "Location", "id": "branch", "name": "Quarry Road clinic", "address": address} | more
    return claim, replace(record, others=(*record.others, branch))


def test_a_place_of_its_own_is_named() -> None:
    """A branch at another address than the billing provider's stands on the claim, with its NPI where it has one."""
    npi = [{"system": systems.NPI, "value": "1999000007"}]
    made = to_professional(*at_a_place(ELSEWHERE, identifier=npi), OPTIONS).facility
    assert made is not None
    assert (made.name, made.address.zip_code, made.npi) == ("Quarry Road clinic", "454020007", "1999000007")
    assert to_professional(*at_a_place(ELSEWHERE), OPTIONS).facility == replace(made, npi="")


def test_the_billing_providers_own_place_is_not_named_again() -> None:
    """Also where it is written a little otherwise; nor is a client's home, a distance, or a place without an address."""
    own = next(r for r in drafted()[1].of("Organization") if r["id"] == "riverbend")["address"][0]
    again = own | {"line": [own["line"][0].upper() + "."]}
    for address, place in ((again, "53"), (ELSEWHERE, "12"), (ELSEWHERE, "10"), ({}, "53")):
        assert to_professional(*at_a_place(address, place), OPTIONS).facility is None


@pytest.mark.parametrize(
    ("address", "place", "said"),
    [
        (ELSEWHERE | {"postalCode": "45402"}, "53", "Location/branch: address: nine digits of ZIP"),
        (ELSEWHERE | {"city": ""}, "53", "Location/branch: address: a city"),
        (ELSEWHERE, "21", "admission date"),
    ],
)
def test_a_place_that_cannot_be_named_keeps_the_claim(address: Json, place: str, said: str) -> None:
    """Half an address says nothing to a payer, and a hospital stay needs what we do not read."""
    with pytest.raises(IncompleteClaim) as lacking:
        to_professional(*at_a_place(address, place), OPTIONS)
    assert said in "; ".join(lacking.value.missing)


def test_a_client_lives_at_home() -> None:
    """An employer's address that the EHR lists first is not the client's."""
    claim, record = drafted()
    patient = of_kind(record, "Patient")
    home = patient["address"][0] | {"use": "home"}
    patient["address"] = [ELSEWHERE | {"use": "work"}, home]
    assert to_professional(claim, record, OPTIONS).patient.address.lines == tuple(home["line"])


def test_a_repr_shows_nobody() -> None:
    """Names, addresses, numbers of people and diagnoses stay out of what a log may print."""
    claim, record = drafted()
    shown = repr(to_professional(claim, record, OPTIONS))
    patient = of_kind(record, "Patient")
    hidden = [
        *("Ostrava", "Wendell", "Sycamore", "45501", "ESM70013711", "F209", "123456789", "1999000056", "Renner"),
        patient["birthDate"],
    ]
    assert "Claim" in shown
    assert not [word for word in hidden if word in shown]


def test_the_control_number_is_the_drafts() -> None:
    """Twenty characters at most, the same for the same draft, another for another one."""
    one, two = control_number("ehr.visit-1.abc"), control_number("ehr.visit-2.abc")
    assert len(one) == 20
    assert one == control_number("ehr.visit-1.abc")
    assert one != two
    claim, record = drafted()
    assert to_professional(claim, record, OPTIONS).control == control_number(claim["identifier"][0]["value"])


@pytest.mark.parametrize(
    ("npi", "valid"),
    [("1999000015", True), ("1999000016", False), ("3999000015", False), ("199900001", False), ("", False)],
)
def test_an_npi_checks_itself(npi: str, valid: bool) -> None:
    """The last digit is computed from the others."""
    assert valid_npi(npi) is valid


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Łukasz Żółw", "LUKASZ ZOLW"),
        ("Müller-Straße", "MULLER-STRASSE"),
        ("O’Brien", "O'BRIEN"),
        ("A~B*C:D^E\nF", "A B C D E F"),
        ("：～＊", ""),
        ("王", ""),
    ],
)
def test_names_are_spelt_in_the_basic_set(written: str, plain: str) -> None:
    """Accents go, delimiters and what has no Latin letter become blanks."""
    assert basic(written) == plain


def test_a_malformed_claim_is_named_and_not_shown() -> None:
    """What is no Claim at all is one sentence."""
    _, record = drafted()
    (said,) = missing({"resourceType": "Claim", "item": "secret"}, record)
    assert said == "Claim/without id: item: expected a list; correct it in the EHR"
    assert "secret" not in json.dumps(said)
