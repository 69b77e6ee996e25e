"""Several documents on one visit: which stands, which was replaced, which is the same note again, who signed which."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_mappings.bundles import another_clients, of_visit
from fhir_mappings.clinicians import Clinicians
from fhir_mappings.complaints import Complaints
from fhir_mappings.note_sets import note_set
from fhir_mappings.records import NoteRecord
from guardrails.codebook import Codebook
from guardrails.visit import Clinician

Json = dict[str, Any]


def document(
    logical_id: str, text: str = "words", *, relates: tuple[str, str] | None = None, **changes: Any
) -> NoteRecord:
    """A signed note; `relates` is a code and a target."""
    raw: Json = {
        "resourceType": "DocumentReference",
        "id": logical_id,
        "status": "current",
        "docStatus": "final",
        "author": [{"reference": "Practitioner/p"}],
        "authenticator": {"reference": "Practitioner/p"},
        "content": [{"attachment": {}}],
    }
    if relates:
        raw["relatesTo"] = [{"code": relates[0], "target": {"reference": f"DocumentReference/{relates[1]}"}}]
    raw |= changes
    return NoteRecord(
        {k: v for k, v in raw.items() if v is not None}, f"{text} {logical_id}" if text == "words" else text
    )


def statuses(book: Codebook, *records: NoteRecord, performer: str = "p") -> dict[str, str]:
    """The status of each note, by id."""
    notes = note_set(records, Clinicians({}, {}, book), Clinician(id=performer), None, Complaints())
    return {note.id: note.status.value for note in notes}


def by(who: str) -> Json:
    return {"reference": f"Practitioner/{who}"}


def url(place: str) -> list[Json]:
    return [{"attachment": {"url": place}}]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([document("a"), document("b", relates=("replaces", "a"))], {"a": "superseded", "b": "signed"}),
        (
            [document("a"), document("b", relates=("replaces", "a"), docStatus="preliminary")],
            {"a": "superseded", "b": "unsigned"},
        ),
        (
            [document("a"), document("b", relates=("replaces", "a"), status="entered-in-error")],
            {"a": "signed", "b": "entered-in-error"},
        ),
        (
            [document("a", relates=("replaces", "b")), document("b", relates=("replaces", "a"))],
            {"a": "unreadable", "b": "unreadable"},
        ),
        ([document("a", relates=("replaces", "a"))], {"a": "unreadable"}),
        (
            [document("a"), document("b", relates=("replaces", "a")), document("c", relates=("replaces", "b"))],
            {"a": "superseded", "b": "superseded", "c": "signed"},
        ),
        ([document("a"), document("b", relates=("transforms", "a"))], {"a": "signed", "b": "rendition"}),
        ([document("a", relates=("transforms", "a"))], {"a": "signed"}),
        ([document("a", ""), document("b", relates=("transforms", "a"))], {"a": "signed", "b": "signed"}),
        (
            [document("a", content=url("Binary/1")), document("b", content=url("Binary/1"))],
            {"a": "signed", "b": "rendition"},
        ),
        (
            [
                document("a", content=url("Binary/1"), docStatus="preliminary"),
                document("b", content=url("Binary/1")),
            ],
            {"a": "rendition", "b": "signed"},
        ),
        ([document("a", "same"), document("b", "same")], {"a": "signed", "b": "rendition"}),
        (
            [document("a", "same"), document("b", "same", author=[by("q")], authenticator=by("q"))],
            {"a": "signed", "b": "signed"},
        ),
        ([document("a", status="unheard-of")], {"a": "unreadable"}),
        ([document("a", docStatus="amended")], {"a": "signed"}),
    ],
)
def test_what_stands_of_several_documents(book: Codebook, records: list[NoteRecord], expected: dict[str, str]) -> None:
    """Superseded text is never evidence, the same note counts once, and a circle is for a person."""
    assert statuses(book, *records) == expected


@pytest.mark.parametrize(
    ("record", "performer", "expected"),
    [
        (document("a"), "p", "signed"),
        (document("a", authenticator=None), "p", "unsigned"),
        (document("a", "Signed by P. Person", authenticator=None), "p", "signed"),
        (document("a", authenticator=by("supervisor")), "p", "unsigned"),
        (document("a", "Signed by P. Person", authenticator=by("supervisor")), "p", "signed"),
        (document("a", author=[by("scribe")], authenticator=by("p")), "p", "signed"),
        (document("a", author=[by("scribe")], authenticator=by("p")), "somebody", "unsigned"),
    ],
)
def test_a_note_is_signed_by_who_did_the_work(
    book: Codebook, record: NoteRecord, performer: str, expected: str
) -> None:
    """A supervisor's signature is none of the author's; a scribe's note is the signer's own (domain 4.8)."""
    assert statuses(book, record, performer=performer) == {"a": expected}


def test_a_scribes_note_is_by_the_clinician_who_signed(book: Codebook) -> None:
    """The line's rendering clinician is who did the work, not who typed."""
    record = document("a", author=[by("scribe")], authenticator=by("p"))
    (note,) = note_set([record], Clinicians({}, {}, book), Clinician(id="p"), None, Complaints())
    assert note.author is not None
    assert note.author.id == "p"


def test_a_document_may_sign_another(book: Codebook) -> None:
    """`relatesTo` signs: the signature is a document of its own."""
    signature = document("s", relates=("signs", "a"))
    assert statuses(book, document("a", authenticator=None), signature)["a"] == "signed"


def test_an_addendum_stands_on_its_own_signature(book: Codebook) -> None:
    """Neither does the note's signature cover the addendum, nor the addendum's the note."""
    unsigned = document("add", relates=("appends", "a"), authenticator=None)
    assert statuses(book, document("a"), unsigned) == {"a": "signed", "add": "unsigned"}
    assert statuses(book, document("a", authenticator=None), document("add", relates=("appends", "a"))) == {
        "a": "unsigned",
        "add": "signed",
    }


def test_an_id_that_is_none_is_not_shown(book: Codebook) -> None:
    """A server may put a name where the id stands: the note is kept as unreadable, under no name."""
    odd = document("a")
    odd.document["id"] = "Wendell Ostrava"
    assert statuses(book, odd) == {"without-id": "unreadable"}
    assert "Wendell" not in another_clients(odd.document)


@pytest.mark.parametrize(
    ("authenticator", "expected"),
    [
        (by("p"), "signed"),
        (by("somebody-else"), "unsigned"),
        ({"reference": "Organization/clinic"}, "unsigned"),
        ({"reference": "PractitionerRole/nobody-could-read"}, "unsigned"),
        ({"reference": "Patient/1"}, "unsigned"),
        ({"display": "Dana"}, "unsigned"),
    ],
)
def test_a_signature_counts_if_it_is_the_authors(book: Codebook, authenticator: Json, expected: str) -> None:
    """Not a clinic's, not the client's, and not somebody's of whom nothing can be read (domain 4.8)."""
    assert statuses(book, document("a", authenticator=authenticator)) == {"a": expected}


def test_a_role_that_cannot_be_read_signs_what_it_wrote(book: Codebook) -> None:
    """Whoever it is, author and signer are the same."""
    role = {"reference": "PractitionerRole/r"}
    assert statuses(book, document("a", author=[role], authenticator=role)) == {"a": "signed"}


@pytest.mark.parametrize(
    ("signer", "expected"), [("Practitioner/p", "signed"), ("Patient/1", "unsigned"), ("Practitioner/q", "unsigned")]
)
def test_a_document_that_signs_is_its_authors_signature(book: Codebook, signer: str, expected: str) -> None:
    """The client's own signature page makes no clinician's note signed."""
    note = document("a", authenticator=None, docStatus=None)
    page = document("b", relates=("signs", "a"), author=[{"reference": signer}], authenticator=None)
    assert statuses(book, note, page)["a"] == expected


def test_corrections_that_name_no_visit_follow_their_note_however_many_and_in_whatever_order() -> None:
    """A thousand corrections of corrections, the last first; one that was entered in error brings nothing along."""
    chain = [document(f"n{n}", relates=("replaces", f"n{n - 1}")).document for n in range(1000, 0, -1)]
    here = document("n0", context={"encounter": [{"reference": "Encounter/e"}]}).document
    mistaken = document("m1", relates=("appends", "n0"), status="entered-in-error").document
    after = document("m2", relates=("appends", "m1")).document
    mine, said = of_visit([*chain, mistaken, after, here], "Encounter/e")
    assert sorted(d["id"] for d in mine) == sorted(f"n{n}" for n in range(1001))
    assert said == []
