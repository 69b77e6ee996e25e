"""What a record must show: elements by the detector or by a quote, signatures and when they were made."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from guardrails import documentation
from guardrails.codebook import Code, Codebook
from guardrails.evidence import Evidence
from guardrails.policies import CodePolicy, Limit, Policy
from guardrails.rules import Effect
from guardrails.verdict import Finding, Minutes, Quote, found
from tests.conftest import DAY, ZONE, a_note, a_reading, said_of, skills


@pytest.mark.parametrize(
    ("text", "signed"),
    [
        ("Signed by Dana Whitfield", True),
        ("words\n\nSigned: Dana Whitfield\n1\n2\n3\n4\n5\n", True),
        ("words\n\nSigned: Dana Whitfield\n1\n\n2\n3\n4\n5\n6\n", False),
        ("Signed: Dana Whitfield", True),
        ("Client signed: Dana Whitfield", False),
        ("words", False),
        ("", False),
    ],
)
def test_whether_a_note_is_signed(text: str, signed: bool) -> None:
    """In so many words anywhere, or in one of the last six lines that say something."""
    assert documentation.has_signature(text) is signed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Signed by A. Doe 03/02/2026 2:05 PM", (2026, 3, 2, 14, 5)),
        ("Signed by A. Doe 03/02/2026 2:05 a.m.", (2026, 3, 2, 2, 5)),
        ("Signed by A. Doe 03/02/2026 12:05 AM", (2026, 3, 2, 0, 5)),
        ("Signed by A. Doe 03/02/2026 12:05 pm", (2026, 3, 2, 12, 5)),
        ("Signed by A. Doe 03/02/2026 at 14:05", (2026, 3, 2, 14, 5)),
        ("Signed by A. Doe 03/02/2026 25:05", None),
        ("Signed by A. Doe 13/02/2026 2:05 PM", None),
        ("Signed by A. Doe", None),
        ("03/02/2026 2:05 PM", None),
        ("03/02/2026 1:00 PM. Signed by A. Doe 03/03/2026 2:05 PM", (2026, 3, 3, 14, 5)),
        ("Signed by A 03/02/2026 1:00 PM. Signed by B 03/03/2026 2:05 PM", (2026, 3, 3, 14, 5)),
        (f"Signed by A{' ' * 170}03/02/2026 at 14:05", (2026, 3, 2, 14, 5)),
        (f"Signed by A{' ' * 171}03/02/2026 at 14:05", None),
    ],
)
def test_when_a_note_says_it_was_signed(text: str, expected: tuple[int, int, int, int, int] | None) -> None:
    """The last signature's date and time, near it; without either, nothing."""
    local = None if expected is None else datetime(*expected, tzinfo=ZONE)
    assert documentation.signed_at(text, ZONE) == local
    assert documentation.signed_at(text, None) is None


def a_code(book: Codebook) -> Code:
    code = book.find("H2014", DAY)
    assert code
    return code


def evidence(*quotes: tuple[str, str | None], note: str = "note-1") -> Evidence:
    text = "Skill: budgeting. Nothing else."
    spans = tuple((Quote(note, text.index(q), text.index(q) + len(q), "hash"), shows) for q, shows in quotes)
    return Evidence(spans, (a_note(text),), None, ())


def required(book: Codebook, **effects: str) -> Codebook:
    wanted = {name: Effect(effect) for name, effect in effects.items()}
    return replace(book, requirements={**book.requirements, "skills_training": wanted})


@pytest.mark.parametrize(
    ("found_there", "quotes", "lacking"),
    [
        ({}, [], ["S01", "S05"]),
        ({"S01": 3}, [], ["S05"]),
        ({"S05": 3}, [], ["S01"]),
        ({"S01": 3, "S05": 4}, [], []),
        ({}, [("Skill: budgeting", "S01")], ["S05"]),
        ({}, [("Nothing else", "S01")], ["S01", "S05"]),
        ({}, [("Skill: budgeting", None)], ["S01", "S05"]),
        ({}, [("Skill: budgeting", "S05")], ["S01", "S05"]),
        ({}, [("Nothing else", "S01"), ("Skill: budgeting", "S01")], ["S05"]),
    ],
)
def test_what_a_record_does_not_show(
    found_there: dict[str, int],
    quotes: list[tuple[str, str | None]],
    lacking: list[str],
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """By the detector, or by a quote that was said to show it and has its words; each with its own effect."""
    wanted = {"S01": "hold", "S05": "warn"}
    readings = [a_reading(), a_reading(elements=found_there)]
    lacks = documentation.elements(a_code(book), evidence(*quotes), readings, required(book, **wanted), whole_unit)
    assert lacks == tuple(_lacks(book, name, wanted[name]) for name in lacking)


def _lacks(book: Codebook, element: str, effect: str) -> Finding:
    return found(book.elements[element].rule, effect=Effect(effect))


def test_a_quote_of_a_note_that_is_not_read_shows_nothing(book: Codebook) -> None:
    """Only the one clinician's notes speak."""
    proof = evidence(("Skill: budgeting", "S01"), note="note-2")
    assert not documentation.shown("S01", proof, [], book)
    assert documentation.shown("S01", evidence(("Skill: budgeting", "S01")), [], book)


def test_a_payer_may_ask_for_more_or_otherwise(book: Codebook, whole_unit: Policy) -> None:
    """Its word on the code goes before the table's; what no table knows is no element."""
    own = CodePolicy(documentation={"S05": Effect.BLOCK, "S02": Effect.HOLD, "S99": Effect.HOLD, "S03": Effect.WARN})
    policy = whole_unit.model_copy(update={"codes": {"H2014": own}})
    lacks = documentation.elements(a_code(book), evidence(), [], required(book, S05="warn"), policy)
    expected = (("S05", "block"), ("S02", "hold"), ("S03", "warn"))
    assert lacks == tuple(_lacks(book, name, effect) for name, effect in expected)
    unknown = replace(a_code(book), service=None)
    assert len(documentation.elements(unknown, evidence(), [], book, policy)) == 3


@pytest.mark.parametrize(
    ("family", "found_there", "lacking"),
    [
        (True, {"S09": 3}, []),
        (True, {}, ["C24"]),
        (False, {"S09": 3}, ["C24"]),
        (True, {"C24": 3}, []),
    ],
)
def test_the_family_may_stand_for_the_client(
    family: bool, found_there: dict[str, int], lacking: list[str], book: Codebook, whole_unit: Policy
) -> None:
    """Where the payer takes that and the note shows the family taught; of nothing but the client's presence."""
    own = CodePolicy(family_without_client=family)
    policy = whole_unit.model_copy(update={"codes": {"H2014": own}})
    readings = [a_reading(elements=found_there)]
    wanted = required(book, C24="hold", S01="hold")
    lacks = documentation.elements(a_code(book), evidence(), readings, wanted, policy)
    assert lacks == tuple(_lacks(book, name, "hold") for name in [*lacking, "S01"])


def test_the_family_may_be_shown_by_a_quote(book: Codebook, whole_unit: Policy) -> None:
    """As any element may."""
    text = "Staff taught the mother the method."
    proof = Evidence(((Quote("note-1", 0, len(text), "hash"), "S09"),), (a_note(text),), None, ())
    own = CodePolicy(family_without_client=True)
    policy = whole_unit.model_copy(update={"codes": {"H2014": own}})
    assert documentation.elements(a_code(book), proof, [a_reading()], required(book, C24="hold"), policy) == ()


@pytest.mark.parametrize(
    ("signed", "effect", "late"),
    [
        ([date(2026, 3, 9)], Effect.WARN, False),
        ([date(2026, 3, 10)], Effect.WARN, True),
        ([date(2026, 3, 10)], Effect.HOLD, True),
        ([date(2026, 3, 3), date(2026, 3, 10)], Effect.WARN, True),
        ([None], Effect.WARN, False),
        ([None, date(2026, 3, 10)], Effect.WARN, True),
        ([], Effect.WARN, False),
    ],
)
def test_a_note_signed_late(signed: list[date | None], effect: Effect, late: bool, whole_unit: Policy) -> None:
    """Days after the service, by the payer's limit and effect."""
    notes = [
        a_note("x", signed_at=datetime(day.year, day.month, day.day, 23, 59, tzinfo=ZONE) if day else None)
        for day in signed
    ]
    policy = whole_unit.model_copy(update={"signed_within_days": Limit(limit=7, effect=effect)})
    expected = (said_of("DOC-C21", effect=effect.value, limit=7),) if late else ()
    assert documentation.signed_late(notes, skills(), policy) == expected
    assert documentation.signed_late(notes, skills(date_of_service=None), policy) == ()


ENDED = datetime(2026, 3, 2, 14, 45, tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("source", "signed", "early"),
    [
        ("clock", [-1], True),
        ("clock", [0], False),
        ("clock", [1], False),
        ("clock", [-1, 1], False),
        ("clock", [-1, None], False),
        ("clock", [-1, -2], True),
        ("clock", [None], False),
        ("clock", [], False),
        ("period", [-1], False),
        ("stated", [-1], True),
        (None, [-1], False),
    ],
)
def test_a_note_signed_before_its_end(source: str | None, signed: list[int | None], early: bool) -> None:
    """Where every note is, and its times are its own."""
    notes = [a_note("x", signed_at=ENDED + timedelta(minutes=m) if m is not None else None) for m in signed]
    intervals = ((ENDED - timedelta(minutes=45), ENDED), (ENDED - timedelta(hours=3), ENDED - timedelta(hours=2)))
    minutes = Minutes(minutes=45, source=source, intervals=intervals) if source else None
    assert documentation.signed_after(notes, minutes) == ((said_of("DOC-C08"),) if early else ())
    nowhere = Minutes(minutes=45, source="stated")
    assert documentation.signed_after(notes, nowhere) == ()
