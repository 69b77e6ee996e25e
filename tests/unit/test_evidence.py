"""Quotes: where they stand, in whose note, and what is said of those that stand nowhere."""

from __future__ import annotations

import pytest

from guardrails.evidence import find, prove
from guardrails.verdict import Proposal, Quote, Quoted
from guardrails.visit import Clinician, Note, NoteStatus
from tests.conftest import BACHELOR, LCSW, PSYCHIATRIST, a_note, a_visit


@pytest.mark.parametrize(
    ("text", "quote", "span"),
    [
        ("one two three", "two", (4, 7)),
        ("two and two", "two", (0, 3)),
        (" one", " one", (0, 4)),
        ("one  two\n three", "one two three", (0, 15)),
        ("see (a) b", "(a)  b", (4, 9)),
        ("see a  b", "(a) b", None),
        ("one two", "Two", None),
        ("onetwo", "one two", None),
        ("one two", "", None),
        ("one  two", "  ", None),
    ],
)
def test_where_a_quote_stands(text: str, quote: str, span: tuple[int, int] | None) -> None:
    """Exactly, else with its runs of blanks folded; no other letter is forgiven."""
    assert find(text, quote) == span


FIRST = a_note("alpha beta", note_id="first", author=LCSW)
SECOND = a_note("beta gamma", note_id="second", author=BACHELOR)
NOBODYS = Note(id="nobodys", version="1", text="delta")
UNSIGNED = a_note("epsilon", note_id="unsigned", status=NoteStatus.UNSIGNED)
SECRET = a_note("zeta", note_id="secret", labels=frozenset({"PSYTHPN"}))
VISIT = a_visit(FIRST, SECOND, NOBODYS, UNSIGNED, SECRET, rendering=PSYCHIATRIST)
NOT_THERE = "of the proposal's quotes do not stand in any note of this visit."


@pytest.mark.parametrize(
    ("quotes", "places", "notes", "clinician", "said"),
    [
        ([Quoted("beta")], ["first 6-10"], ["first", "nobodys"], LCSW, []),
        ([Quoted("beta", note_id="second")], ["second 0-4"], ["second", "nobodys"], BACHELOR, []),
        ([Quoted("alpha", note_id="second")], [], ["nobodys"], PSYCHIATRIST, [f"1 {NOT_THERE}"]),
        ([Quoted("alpha"), Quoted("x"), Quoted("y")], ["first 0-5"], ["first", "nobodys"], LCSW, [f"2 {NOT_THERE}"]),
        ([Quoted("zeta")], [], ["nobodys"], PSYCHIATRIST, [f"1 {NOT_THERE}"]),
        (
            [Quoted("epsilon"), Quoted("gamma")],
            ["second 5-10"],
            ["second", "nobodys"],
            BACHELOR,
            ["A quote stands in a note that is unsigned, replaced or may not be used."],
        ),
        ([Quoted("delta")], ["nobodys 0-5"], ["nobodys"], PSYCHIATRIST, []),
        (
            [Quoted("gamma"), Quoted("alpha")],
            ["second 5-10", "first 0-5"],
            ["first", "nobodys"],
            LCSW,
            ["The proposal's quotes stand in notes of different clinicians; a line has one."],
        ),
        ([], [], ["first", "second", "nobodys"], LCSW, ["The proposal quotes nothing from the note."]),
    ],
)
def test_what_a_proposals_quotes_prove(
    quotes: list[Quoted], places: list[str], notes: list[str], clinician: Clinician, said: list[str]
) -> None:
    """Each quote's first place; the notes of the one clinician whose words they are, and those that name no author."""
    proof = prove(Proposal("H2014", quotes=tuple(quotes)), VISIT)
    assert [f"{q.note_id} {q.start}-{q.end}" for q in proof.spans] == places
    assert [n.id for n in proof.notes] == notes
    assert proof.clinician == clinician
    assert [f.message for f in proof.findings] == said


def test_a_proven_quote_keeps_what_it_is_said_to_show() -> None:
    """With the hash of the text in which it stands."""
    proof = prove(Proposal("H2014", quotes=(Quoted("alpha", element="S01"), Quoted("beta"))), VISIT)
    assert proof.quotes == (
        (Quote("first", 0, 5, FIRST.text_hash), "S01"),
        (Quote("first", 6, 10, FIRST.text_hash), None),
    )


def test_without_quotes_the_first_author_speaks_else_the_performer() -> None:
    """A note without an author says nothing of who gave the service."""
    silent = Proposal("H2014")
    assert prove(silent, a_visit(NOBODYS, SECOND, rendering=PSYCHIATRIST)).clinician == BACHELOR
    assert prove(silent, a_visit(NOBODYS, rendering=PSYCHIATRIST)).clinician == PSYCHIATRIST
    assert prove(silent, a_visit(NOBODYS, rendering=None)).clinician is None


@pytest.mark.parametrize(
    ("quotes", "read"),
    [([Quoted("alpha")] * 64, True), ([Quoted("alpha")] * 65, False)]
    + [([Quoted("a" * 10_000), Quoted("a" * n)], read) for n, read in ((10_000, True), (10_001, False))],
)
def test_more_than_a_person_would_quote_is_not_read(quotes: list[Quoted], read: bool) -> None:
    """At most 64 passages and 20,000 characters; beyond, the line waits and nothing is proven."""
    proof = prove(Proposal("H2014", quotes=tuple(quotes)), a_visit(a_note("alpha " + "a" * 10_001)))
    assert len(proof.quotes) == (len(quotes) if read else 0)
    assert proof.clinician == BACHELOR
    assert [n.id for n in proof.notes] == ["note-1"]
    message = "The proposal quotes more than 64 / 20000 passages or characters; the quotes were not read."
    assert [f.message for f in proof.findings] == ([] if read else [message])


def test_where_too_much_is_quoted_the_performer_speaks_for_a_note_without_an_author() -> None:
    """As where nothing is quoted: nobody looked which of the notes is meant."""
    proposal = Proposal("H2014", quotes=(Quoted("delta"),) * 65)
    assert prove(proposal, a_visit(NOBODYS, rendering=PSYCHIATRIST)).clinician == PSYCHIATRIST


def test_whose_notes_are_read_where_nobody_is_known() -> None:
    """Without author and performer every note speaks."""
    proof = prove(Proposal("H2014", quotes=(Quoted("delta"),)), a_visit(NOBODYS, SECOND, rendering=None))
    assert [n.id for n in proof.notes] == ["nobodys", "second"]
