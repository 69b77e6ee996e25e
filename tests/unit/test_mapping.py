"""From FHIR resources to a visit: statuses, labels, and what is unusable."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhir_mappings.records import NoteRecord, SiteOptions, VisitRecord
from fhir_mappings.visits import to_visit
from guardrails import Outcome, check, policies
from guardrails.codebook import Codebook
from guardrails.visit import NoteStatus, Visit
from tests.conftest import SKILLS, TODAY, asked

Json = dict[str, Any]
TEXT = SKILLS.format(start="2:00 PM", stop="2:45 PM")


def document(**changes: Any) -> Json:
    """A final, authenticated note."""
    return {
        "resourceType": "DocumentReference",
        "id": "n",
        "status": "current",
        "docStatus": "final",
        "authenticator": {"reference": "Practitioner/p"},
        "author": [{"reference": "Practitioner/p"}],
    } | changes


def mapped(
    book: Codebook, *documents: Json, text: str = TEXT, patient: Json | None = None, **encounter: Any
) -> tuple[Visit, tuple[str, ...]]:
    """A finished visit with these notes."""
    record = VisitRecord(
        ehr_id="t",
        encounter={
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "subject": {"reference": "Patient/1"},
            "period": {"start": "2026-03-02T13:55:00-05:00", "end": "2026-03-02T14:50:00-05:00"},
        }
        | encounter,
        patient=patient,
        notes=tuple(NoteRecord(d, text) for d in documents),
        others=({"resourceType": "Practitioner", "id": "p", "qualification": [{"code": {"text": "BA, QMHS"}}]},),
    )
    result = to_visit(record, SiteOptions(zone="America/New_York"), book)
    return result.visit, tuple(result.complaints.said)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, NoteStatus.SIGNED),
        ({"docStatus": "amended"}, NoteStatus.SIGNED),
        ({"docStatus": "preliminary"}, NoteStatus.UNSIGNED),
        ({"docStatus": "entered-in-error"}, NoteStatus.ENTERED_IN_ERROR),
        ({"status": "entered-in-error"}, NoteStatus.ENTERED_IN_ERROR),
        ({"status": "superseded"}, NoteStatus.SUPERSEDED),
        ({"docStatus": "something-new"}, NoteStatus.UNSIGNED),
        ({"authenticator": None}, NoteStatus.SIGNED),  # its text carries the signature
        ({"authenticator": None, "docStatus": None}, NoteStatus.UNSIGNED),
    ],
)
def test_a_notes_status_is_what_domain_4_8_says(book: Codebook, changes: Json, status: NoteStatus) -> None:
    """Pointer, document and signature together decide whether a note is evidence."""
    visit, _ = mapped(book, document(**changes))
    assert [n.status for n in visit.notes] == [status]


@pytest.mark.parametrize("tail", ["Signature: ____________", "Not signed", "Client signed the plan", ""])
def test_a_final_note_without_authenticator_or_signature_is_unsigned(book: Codebook, tail: str) -> None:
    """C08: a blank line to sign on, or the client's name under it, is no author's signature."""
    visit, _ = mapped(book, document(authenticator=None), text="Individual skills training went well.\n" + tail)
    assert [n.status for n in visit.notes] == [NoteStatus.UNSIGNED]


@pytest.mark.parametrize(
    "system",
    [
        None,
        "http://hl7.org/fhir/v3/ActCode",
        "urn:oid:2.16.840.1.113883.5.4",
        "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    ],
)
def test_a_label_counts_under_any_spelling_of_its_system(book: Codebook, system: str | None) -> None:
    """A psychotherapy note is one, and its text is not even kept, however the label is written."""
    coding = {"code": "PSYTHPN"} | ({"system": system} if system else {})
    visit, _ = mapped(book, document(securityLabel=[{"coding": [coding]}]))
    (note,) = visit.notes
    assert note.is_psychotherapy_note
    assert note.text == ""


def test_a_replaced_note_is_superseded_and_an_unusable_replacement_is_kept(book: Codebook) -> None:
    """The older words are no evidence; a replacement that cannot be read holds the visit instead of vanishing."""
    newer = document(id="new", relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/n"}}])
    visit, _ = mapped(book, document(), newer)
    assert {n.id: n.status for n in visit.notes} == {"n": NoteStatus.SUPERSEDED, "new": NoteStatus.SIGNED}
    visit, problems = mapped(book, document(), newer | {"author": {"not": "a list"}})
    assert NoteStatus.UNREADABLE in {n.status for n in visit.notes}
    assert any(p.startswith("DocumentReference/new: author") for p in problems)
    verdicts = check(visit, TODAY, [asked("H2014", 3)], (), book, policies.load("medicaid-whole-unit"))
    assert verdicts.verdicts[0].outcome is Outcome.HELD


@pytest.mark.parametrize(
    "start",
    ["2026-03-02T24:00:00Z", "2026-03-02T13:55:00", "0001-01-01T00:00:00+14:00", "20260302", "2026-W10-1", "yesterday"],
)
def test_a_start_that_cannot_be_read_is_named_and_never_guessed(book: Codebook, start: str) -> None:
    """No date of service rather than a wrong one; the complaint names the field and not its value."""
    visit, problems = mapped(book, document(), period={"start": start})
    assert visit.date_of_service is None
    assert any(p.startswith("Encounter/e: period.start:") and start not in p for p in problems)


def test_what_a_reference_to_another_server_names_is_not_used(book: Codebook) -> None:
    """There may be a resource of that type and id here too, and it is another: client, clinician, payer and note (fhir 2.6)."""
    there = "https://other.example/fhir"
    context = {"encounter": [{"reference": f"{there}/Encounter/e"}]}
    visit, said = mapped(
        book,
        document(context=context, authenticator={"reference": f"{there}/Practitioner/p"}),
        text="Individual skills training went well.",
        subject={"reference": f"{there}/Patient/1"},
        serviceProvider={"reference": f"{there}/Organization/7"},
        participant=[{"individual": {"reference": f"{there}/Practitioner/p"}}],
    )
    assert (visit.client_id, visit.billing_provider, visit.rendering) == ("", None, None)
    assert [n.status for n in visit.notes] == [NoteStatus.UNSIGNED]
    elsewhere = "refers to another server; what it names was not used"
    assert said == (
        f"Encounter/e: subject: {elsewhere}",
        f"Encounter/e: participant.individual: {elsewhere}",
        f"Encounter/e: serviceProvider: {elsewhere}",
        f"DocumentReference/n: authenticator: {elsewhere}",
        f"DocumentReference/n: context.encounter: {elsewhere}",
    )


@pytest.mark.parametrize(
    ("patient", "died", "undated"),
    [
        ({"deceasedDateTime": "2026-02"}, date(2026, 2, 28), False),
        ({"deceasedDateTime": "2025"}, date(2025, 12, 31), False),
        ({"deceasedDateTime": "2026-03"}, None, True),
        ({"deceasedDateTime": "2026"}, None, True),
        ({"deceasedDateTime": "2026-04"}, date(2026, 4, 30), False),
        ({"deceasedDateTime": "last spring"}, None, True),
        ({"deceasedDateTime": "2026-03-01"}, date(2026, 3, 1), False),
        ({"deceasedBoolean": True}, None, True),
        ({"deceasedBoolean": False}, None, False),
        ({}, None, False),
    ],
)
def test_a_death_known_to_the_month_is_a_death(book: Codebook, patient: Json, died: date | None, undated: bool) -> None:
    """Before the visit's month it was before the visit; within it nobody knows, and a person looks."""
    visit, _ = mapped(book, patient={"resourceType": "Patient", "id": "1", **patient})
    assert (visit.client_deceased, visit.client_died_undated) == (died, undated)
