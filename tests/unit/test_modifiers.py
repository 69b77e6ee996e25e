"""Modifiers: form, dates, payers, credentials, ages, presence and groups, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from guardrails import modifiers
from guardrails.codebook import Codebook
from guardrails.policies import CodePolicy, ModifierPolicy, Policy
from guardrails.rules import Effect
from guardrails.verdict import Finding, Minutes
from guardrails.visit import Clinician
from tests.conftest import BACHELOR, DAY, LCSW, a_reading, said_of, skills


def said(
    code: str, marks: str, book: Codebook, policy: Policy, clinician: Clinician | None = None, **more: Any
) -> list[Finding]:
    """What is found; without a clinician, ages and notes where they are not given."""
    meaning = book.find(code, DAY)
    assert meaning
    meaning = replace(meaning, **more.pop("meaning", {}))
    visit = skills(client_birth_date=more.pop("born", None), date_of_service=more.pop("on", DAY))
    readings = more.pop("readings", None) or [a_reading(), a_reading(**more)]
    proposed = tuple(each.replace("_", " ") for each in marks.split())
    normalized, findings = modifiers.check(meaning, proposed, clinician, readings, book, policy, visit)
    assert normalized == tuple(each.replace("_", "").upper() for each in marks.split())
    return list(findings)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("", []),
        ("HN", []),
        ("_hn_", []),
        ("HNX", [said_of("MOD-010")]),
        ("H", [said_of("MOD-010")]),
        ("H- HN HO HP", [said_of("MOD-010")]),
        ("ZZ", [said_of("MOD-012", modifier="ZZ")]),
        ("XX YY", [said_of("MOD-012", modifier="XX"), said_of("MOD-012", modifier="YY")]),
        ("HN HN", [said_of("MOD-020", modifier="HN")]),
        ("HN HE HF HN HE", [said_of("MOD-030"), said_of("MOD-020", modifier="HN"), said_of("MOD-020", modifier="HE")]),
        ("25", [said_of("MOD-090")]),
        ("U4", [said_of("MOD-080", modifier="U4")]),
    ],
)
def test_one_modifier_after_the_other(marks: str, expected: list[Finding], book: Codebook, whole_unit: Policy) -> None:
    """Form, table, repetition, number; what does not have the form is not looked at further."""
    found = [f for f in said("H0031", marks, book, whole_unit) if f.rule_id not in ("MOD-040", "MOD-041")]
    assert found == expected


def test_four_modifiers_are_the_most(book: Codebook, whole_unit: Policy) -> None:
    """The fifth is one too many."""
    assert said_of("MOD-030") not in said("H0031", "HN HE TS GT", book, whole_unit)
    assert said_of("MOD-030") in said("H0031", "HN HE TS GT HA", book, whole_unit)


@pytest.mark.parametrize(
    ("begins", "ends", "on", "ended"),
    [
        ("2026-01-01", "2026-06-30", "2025-12-31", True),
        ("2026-01-01", "2026-06-30", "2026-01-01", False),
        ("2026-01-01", "2026-06-30", "2026-06-30", False),
        ("2026-01-01", "2026-06-30", "2026-07-01", True),
        ("2026-01-01", None, "2025-12-31", True),
        ("2026-01-01", None, "2026-07-01", False),
        (None, "2026-06-30", "2025-12-31", False),
        (None, "2026-06-30", "2026-07-01", True),
        (None, None, "2026-07-01", False),
    ],
)
def test_a_modifier_has_its_dates(
    begins: str | None, ends: str | None, on: str, ended: bool, book: Codebook, whole_unit: Policy
) -> None:
    """In force on its first and last day; without dates always."""
    first, last = (date.fromisoformat(each) if each else None for each in (begins, ends))
    dated = replace(book.modifiers["TS"], in_force_from=first, in_force_through=last)
    mine = replace(book, modifiers={**book.modifiers, "TS": dated})
    expected = [said_of("MOD-011", modifier="TS")] if ended else []
    assert said("H0031", "TS", mine, whole_unit, on=date.fromisoformat(on)) == expected


def test_a_payer_defines_modifiers_of_its_own(book: Codebook, whole_unit: Policy) -> None:
    """Those of its policy are neither unknown nor undefined."""
    own = whole_unit.model_copy(update={"payer_modifiers": frozenset({"U4", "ZZ"})})
    assert said("H0031", "U4 ZZ", book, own) == []


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("code", "marks", "expected"),
    [
        *(("H0031", mark, [said_of("MOD-070")]) for mark in ("AF", "AG", "AM")),
        ("H0004", "AF", []),
        ("H0031", "TS", []),
        *(("99214", mark, [said_of("MOD-122", modifier=mark)]) for mark in ("59", "XE", "XS", "XU", "XP")),
        ("H0031", "59", []),
        ("99214", "25", []),
        *(("96158", mark, [said_of("MOD-100", modifier=mark)]) for mark in ("HE", "HF", "HG", "HH")),
        ("96158", "TS", []),
        ("H0031", "HE", []),
    ],
)
def test_modifiers_that_a_code_does_not_take(
    code: str, marks: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """A physician's, a separate service's, an office visit's, a programme's."""
    meaning = {"who": "non-physician"} if code == "H0031" else {}
    assert said(code, marks, book, whole_unit, meaning=meaning) == expected


@pytest.mark.parametrize(
    ("marks", "clinician", "expected"),
    [
        ("HN", BACHELOR, []),
        ("HO", BACHELOR, [said_of("MOD-050", modifier="HO")]),
        ("HN", LCSW, [said_of("MOD-050", modifier="HN")]),
        ("HL", BACHELOR, []),
        ("HN", None, []),
        ("HN", Clinician(id="x"), []),
        ("HN", Clinician(id="x", level="BA"), [said_of("MOD-050", modifier="HN")]),
        ("TS", BACHELOR, []),
    ],
)
def test_an_education_modifier_against_the_credential(
    marks: str, clinician: Clinician | None, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Only where the credential is known; training status says nothing of a degree."""
    assert said("H0031", marks, book, whole_unit, clinician) == expected


@pytest.mark.parametrize(
    ("age_from", "age_below", "born", "speaks"),
    [
        (None, 21, date(2005, 3, 2), True),
        (None, 21, date(2005, 3, 3), False),
        (65, None, date(1961, 3, 2), False),
        (65, None, date(1961, 3, 3), True),
        (None, None, date(2005, 3, 2), False),
        (None, 21, None, False),
        (65, None, None, False),
        (0, None, date(2026, 3, 2), False),
        (1, None, date(2026, 3, 2), True),
    ],
)
def test_a_programme_for_an_age(
    age_from: int | None, age_below: int | None, born: date | None, speaks: bool, book: Codebook, whole_unit: Policy
) -> None:
    """From its first year and below its last, on the date of service; an age that is not known says nothing."""
    aged = replace(book.modifiers["TS"], age_from=age_from, age_below=age_below)
    mine = replace(book, modifiers={**book.modifiers, "TS": aged})
    assert said("H0031", "TS", mine, whole_unit, born=born) == ([said_of("MOD-120", modifier="TS")] if speaks else [])
    assert said("H0031", "ZZ", mine, whole_unit, born=born) == [said_of("MOD-012", modifier="ZZ")]


PRESENT, ABSENT = {"elements": {"C24": 5}}, {"client_absent": 3}


@pytest.mark.parametrize(
    ("mark", "service", "note", "expected"),
    [
        ("HR", None, PRESENT, []),
        ("HR", None, ABSENT, [said_of("MOD-121", 3, modifier="HR")]),
        ("HR", None, ABSENT | PRESENT, [said_of("MOD-121", 3, modifier="HR")]),
        ("HR", None, {}, []),
        ("HR", "family_psychotherapy_client_absent", {}, [said_of("MOD-121", modifier="HR")]),
        ("HS", None, PRESENT, [said_of("MOD-121", 5, modifier="HS")]),
        ("HS", None, ABSENT, []),
        ("HS", None, ABSENT | PRESENT, []),
        ("HS", None, {}, []),
        ("HS", "family_psychotherapy", {}, [said_of("MOD-121", modifier="HS")]),
        ("HS", "family_psychotherapy_client_absent", {}, []),
        ("HR", "family_psychotherapy", {}, []),
        ("TS", "family_psychotherapy", PRESENT, []),
        ("TS", None, ABSENT, []),
        ("UK", None, PRESENT, [said_of("MOD-124", 5)]),
        ("UK", None, ABSENT | PRESENT, []),
        ("UK", None, {}, []),
        ("TS", None, PRESENT, []),
    ],
)
def test_modifiers_that_say_who_was_there(
    mark: str, service: str | None, note: dict[str, Any], expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Against the code and the note, where these say one thing only."""
    assert said("H0031", mark, book, whole_unit, meaning={"service": service}, **note) == expected


def test_of_several_places_the_first_is_shown(book: Codebook, whole_unit: Policy) -> None:
    """One is enough for a person to look."""
    present = [a_reading(elements={"C24": 5}), a_reading(elements={"C24": 8})]
    absent = [a_reading(client_absent=3), a_reading(client_absent=6)]
    assert said("H0031", "UK", book, whole_unit, readings=present) == [said_of("MOD-124", 5)]
    assert said("H0031", "HS", book, whole_unit, readings=present) == [said_of("MOD-121", 5, modifier="HS")]
    assert said("H0031", "HR", book, whole_unit, readings=absent) == [said_of("MOD-121", 3, modifier="HR")]
    groups = [a_reading(group=3), a_reading(group=6)]
    assert said("H2014", "HN", book, whole_unit, readings=groups) == [said_of("MOD-061", 3)]
    alone = [a_reading(individual=3), a_reading(individual=6)]
    assert said("H2014", "HQ", book, whole_unit, readings=alone) == [said_of("MOD-060", 3)]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ("HN HO", [said_of("MOD-040", modifiers="HN, HO", kind="education")]),
        ("HO TS HN", [said_of("MOD-040", modifiers="HO, HN", kind="education")]),
        ("HL HN", [said_of("MOD-041", modifiers="HL, HN", kind="education")]),
        ("HL HN HO", [said_of("MOD-040", modifiers="HL, HN, HO", kind="education")]),
        ("HN TS", []),
        ("HE GT HN HO", [said_of("MOD-040", modifiers="HN, HO", kind="education")]),
        ("U4 U5", [said_of("MOD-041", modifiers="U4, U5", kind="level of care")]),
        ("ZZ YY", []),
        ("HN HN", []),
    ],
)
def test_modifiers_that_exclude_each_other(
    marks: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Two of one set, named in the line's order; training status may stand beside one degree."""
    found = said("H0031", marks, book, whole_unit)
    assert [f for f in found if f.rule_id in ("MOD-040", "MOD-041")] == expected


def test_a_set_may_be_merely_unusual(book: Codebook, whole_unit: Policy) -> None:
    """As the table says of its first member."""
    two = {
        name: replace(book.modifiers[name], conflict_set="a_kind", on_conflict=effect)
        for name, effect in (("TS", None), ("HE", Effect.BLOCK))
    }
    mine = replace(book, modifiers={**book.modifiers, **two})
    assert said("H0031", "TS HE", mine, whole_unit) == [said_of("MOD-041", modifiers="TS, HE", kind="a kind")]


@pytest.mark.parametrize(
    ("code", "marks", "note", "expected"),
    [
        *(("H2014", mark, {"individual": 3}, ["MOD-060"]) for mark in "HQ TT UN UP UQ UR US".split()),
        ("H2014", "HQ", {"individual": 3, "group": 5}, []),
        ("H2014", "HQ", {"group": 5}, []),
        ("H2014", "HQ", {}, []),
        ("H0031", "HQ", {"individual": 3}, ["MOD-060"]),
        ("H2014", "HN", {"group": 5}, ["MOD-061"]),
        ("H2014", "HN", {"group": 5, "individual": 9}, ["MOD-061"]),
        ("H2014", "HN", {"group": 5, "individual": 6}, ["MOD-061"]),
        ("H2014", "HN", {"group": 9, "individual": 5}, []),
        ("H2014", "HN", {"group": 5, "individual": 5}, []),
        ("H2014", "HN", {"individual": 5}, []),
        ("H0031", "HN", {"group": 5}, []),
        ("T1016", "HN", {"group": 5}, []),
        ("H2018", "HN", {"group": 5}, []),
        *((code, "HN", {"group": 5}, ["MOD-061"]) for code in ("H2017", "H0004", "H2019", "H2015", "H0038", "H2027")),
    ],
)
def test_a_group_against_the_note(
    code: str, marks: str, note: dict[str, Any], expected: list[str], book: Codebook, whole_unit: Policy
) -> None:
    """Marked against a note of one client, or not marked where the note's first word on it is of several."""
    found = [f for f in said(code, marks, book, whole_unit, **note) if f.rule_id in ("MOD-060", "MOD-061")]
    assert [f.rule_id for f in found] == expected
    assert all(len(f.where) == 1 for f in found)


@pytest.mark.parametrize(
    ("policy", "marks", "expected"),
    [
        ({"required": ("HN",)}, "HN", []),
        ({"required": ("HN",)}, "HN TS", []),
        ({"required": ("HN",)}, "TS", [said_of("MOD-110", code="H0031")]),
        ({"required": ("HN", "TS")}, "HN", [said_of("MOD-110", code="H0031")]),
        ({"any_of": ("HN", "HO")}, "HO", []),
        ({"any_of": ("HN", "HO")}, "TS", [said_of("MOD-110", code="H0031")]),
        ({"required": ("TS",), "any_of": ("HN", "HO")}, "TS", [said_of("MOD-110", code="H0031")]),
        ({"allowed": frozenset({"HN"})}, "HN", []),
        ({"allowed": frozenset({"HN"})}, "HN TS", [said_of("MOD-111", modifier="TS", code="H0031")]),
        ({"allowed": frozenset()}, "TS", [said_of("MOD-111", modifier="TS", code="H0031")]),
        (
            {"required": ("HN",), "allowed": frozenset({"HN"})},
            "TS",
            [said_of("MOD-110", code="H0031"), said_of("MOD-111", modifier="TS", code="H0031")],
        ),
        ({"order": ("HN", "TS")}, "HN TS", []),
        ({"order": ("HN", "TS")}, "TS HN", [said_of("MOD-112", code="H0031", order="HN TS")]),
        ({"order": ("HN", "TS")}, "TS", []),
        ({"order": ("HN", "TS")}, "HE TS", [said_of("MOD-112", code="H0031", order="HN TS")]),
        ({"order": ("HN", "TS")}, "HE", []),
        ({}, "HE", []),
    ],
)
def test_what_a_payer_asks_of_modifiers(
    policy: dict[str, Any], marks: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Which must be there, which may, and in which order; what is lacking is not named."""
    own = CodePolicy(modifiers=ModifierPolicy(**policy))
    assert said("H0031", marks, book, whole_unit.model_copy(update={"codes": {"H0031": own}})) == expected


@pytest.mark.parametrize(
    ("marks", "source", "intervals", "speaks"),
    [
        ("59", "clock", True, False),
        ("59", "clock", False, True),
        ("59", "stated", True, True),
        ("59", None, False, True),
        ("XE", None, False, True),
        ("HN", None, False, False),
        ("ZZ", None, False, False),
        ("", None, False, False),
    ],
)
def test_a_separate_service_has_its_own_times(
    marks: str, source: str | None, intervals: bool, speaks: bool, book: Codebook
) -> None:
    """Start and stop, stated by the note."""
    start = skills().starts
    assert start
    minutes = Minutes(minutes=45, source=source, intervals=((start, start),) if intervals else ()) if source else None
    assert modifiers.times_apart(marks.split(), minutes, book) == ((said_of("MOD-123"),) if speaks else ())
