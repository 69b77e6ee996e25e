"""Diagnosis pointers: which stand on the line, in which order, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from guardrails import diagnoses
from guardrails.codebook import Codebook, Icd10Cm
from guardrails.policies import Answer, DiagnosisPolicy, Policy
from guardrails.verdict import Finding
from guardrails.visit import Diagnosis
from tests.conftest import DAY, a_reading, said_of, skills

FIRST = "F01 to F99"
TABLE = "ICD-10-CM table of 2025-10-01; domain DX-02"


def said(
    code: str, charted: str, proposed: str, book: Codebook, policy: Policy, on: date = DAY, **note: Any
) -> tuple[tuple[str, ...], list[Finding]]:
    """Pointers and findings; `F20.9:2` is a diagnosis of that rank."""
    meaning = book.find(code, DAY)
    assert meaning
    chart = []
    for n, each in enumerate(charted.split()):
        name, _, rank = each.partition(":")
        chart.append(Diagnosis(code=name, condition_id=f"c{n}", rank=int(rank) if rank else None))
    visit = skills(diagnoses=tuple(chart), date_of_service=on)
    readings = [a_reading(), a_reading(**note)]
    wanted = tuple(each.replace("_", " ") for each in proposed.split())
    pointers, findings = diagnoses.check(meaning, wanted, visit, book, policy, readings)
    return pointers, list(findings)


@pytest.mark.parametrize(
    ("charted", "proposed", "pointers", "expected"),
    [
        ("F20.9", "", ["F20.9"], []),
        ("F33.1:2 F20.9:1", "", ["F20.9", "F33.1"], []),
        ("F33.1 F20.9:1", "", ["F20.9", "F33.1"], []),
        ("F33.1 F20.9", "", ["F33.1", "F20.9"], []),
        ("F33.1:1 F20.9:0", "", ["F20.9", "F33.1"], []),
        ("F20.9 F33.1", "F33.1", ["F33.1"], []),
        ("F20.9 F33.1", "_f33.1_", ["F33.1"], []),
        ("F20.9 F33.1", "F33.1 F20.9", ["F20.9", "F33.1"], []),
        ("F20.9 F20.9", "", ["F20.9"], []),
        ("F20.9 F33.1 F41.1 F43.10 F42.2", "", ["F20.9", "F33.1", "F41.1", "F43.10"], []),
        ("F20.9", "F33.2", [], [said_of("DX-030")]),
        ("F20.9", "F20.9 F33.2", ["F20.9"], [said_of("DX-030")]),
        ("", "", [], [said_of("DX-010")]),
        ("", "F20.9", [], [said_of("DX-030")]),
        ("schizophrenia", "", [], [said_of("DX-020"), said_of("DX-010")]),
        ("F20.9 schizophrenia", "", ["F20.9"], [said_of("DX-020")]),
        ("F20.9X1Y2", "", [], [said_of("DX-020"), said_of("DX-010")]),
        ("F32", "", ["F32"], [said_of("DX-021", code="F32", authority=TABLE)]),
        ("F99.99", "", ["F99.99"], [said_of("DX-022", code="F99.99", authority=TABLE)]),
        (
            "F32 F99.99",
            "",
            ["F32", "F99.99"],
            [said_of("DX-021", code="F32", authority=TABLE), said_of("DX-022", code="F99.99", authority=TABLE)],
        ),
        ("I10 F20.9", "", ["I10", "F20.9"], [said_of("DX-050", code="H2014", first=FIRST)]),
    ],
)
def test_which_diagnoses_stand_on_a_line(
    charted: str, proposed: str, pointers: list[str], expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """The visit's own, ranked ones first, at most four; of those that were asked for."""
    assert said("H2014", charted, proposed, book, whole_unit) == (tuple(pointers), expected)


@pytest.mark.parametrize(
    ("on", "charted", "expected"),
    [
        (
            date(2026, 9, 30),
            "F20.9X",
            [said_of("DX-022", code="F20.9X", authority="ICD-10-CM table of 2026-01-01; domain DX-02")],
        ),
        (date(2026, 10, 1), "F20.9X", []),
        (
            date(2026, 10, 1),
            "F20",
            [said_of("DX-021", code="F20", authority="ICD-10-CM table of 2026-01-01; domain DX-02")],
        ),
        (date(2026, 9, 30), "F20.9", []),
        (date(2025, 12, 31), "F20.9X", []),
    ],
)
def test_what_the_years_table_knows(
    on: date, charted: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Inside its year an unknown code is said, past it only a category; before the oldest table nothing is."""
    year = Icd10Cm(
        covers_from=date(2026, 1, 1),
        covers_through=date(2026, 9, 30),
        billable=frozenset({"F209"}),
        categories=frozenset({"F20"}),
    )
    alone = replace(book, icd_sources=(), further_icd10cm=(year,))
    assert said("H2014", charted, "", alone, whole_unit, on) == ((charted,), expected)


@pytest.mark.parametrize(
    ("code", "charted", "expected"),
    [
        ("H2014", "Z63.0", [said_of("DX-051", code="H2014")]),
        ("H2014", "Z63.0 F20.9", [said_of("DX-050", code="H2014", first=FIRST)]),
        ("H2014", "F20.9 Z63.0", []),
        ("H0031", "Z63.0", []),
        ("H0005", "F20.9", [said_of("DX-053", code="H0005")]),
        ("H0005", "F20.9 F10.20", []),
        ("H0005", "Z71.41", []),
        ("H0005", "Z71.51", []),
        ("H0005", "Z72.0", []),
        ("H0005", "Z71.9", [said_of("DX-053", code="H0005")]),
        ("G0444", "Z13.31", []),
        ("G0444", "Z00.00", [said_of("DX-061", code="G0444")]),
        ("G0444", "Z00.00 Z13.31", []),
        ("G0444", "F33.1 Z13.31", [said_of("DX-060")]),
        ("G0444", "Z13.31 F32.1", [said_of("DX-060")]),
        ("G0442", "F32.1", [said_of("DX-061", code="G0442")]),
        ("G0442", "F32.1 Z13.39", []),
    ],
)
def test_the_kind_of_diagnosis_that_a_service_takes(
    code: str, charted: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Treatment a disorder first, substance-use services one of theirs, screens a screening one."""
    assert said(code, charted, "", book, whole_unit)[1] == expected


def test_a_screen_of_a_known_depression_is_known_from_the_chart(book: Codebook, whole_unit: Policy) -> None:
    """Also where the line does not point to it."""
    assert said("G0444", "Z13.31 F33.1", "Z13.31", book, whole_unit) == (("Z13.31",), [said_of("DX-060")])


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("charted", "expected"),
    [("F33.1", [said_of("DX-040")]), ("E11.9 F33.1", []), ("F33.1 E11.9", []), ("E11.9", [])],
)
def test_health_behavior_needs_a_physical_diagnosis(
    charted: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """One among the line's is enough."""
    assert said("96158", charted, "", book, whole_unit)[1] == expected


@pytest.mark.parametrize(
    ("kind", "z_only", "expected"),
    [
        ("medicaid", None, [said_of("DX-051", code="H2014")]),
        ("commercial", None, [said_of("DX-052", code="H2014", effect="block")]),
        ("commercial", Answer.WARN, [said_of("DX-052", code="H2014", effect="warn")]),
        ("commercial", Answer.ALLOW, []),
        ("medicaid", Answer.HOLD, [said_of("DX-052", code="H2014", effect="hold")]),
    ],
)
def test_what_z_codes_alone_are_worth_to_a_payer(
    kind: str, z_only: Answer | None, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Its policy says, else a commercial payer refuses and of others it is not known."""
    policy = whole_unit.model_copy(update={"kind": kind, "diagnosis": DiagnosisPolicy(z_only=z_only)})
    assert said("H2014", "Z63.0 Z60.2", "", book, policy)[1] == expected


def test_the_ranges_that_a_payer_takes_first_are_named(book: Codebook, whole_unit: Policy) -> None:
    """All of them, as ranges in words."""
    policy = whole_unit.model_copy(update={"diagnosis": DiagnosisPolicy(first=("F20-F29", "F84"))})
    assert said("H2014", "F84.0", "", book, policy)[1] == []
    assert said("H2014", "F33.1", "", book, policy)[1] == [said_of("DX-050", code="H2014", first="F20 to F29, F84")]


@pytest.mark.parametrize(
    ("charted", "uncertain", "expected"),
    [
        ("F31.9", {"F31": 3}, [said_of("DX-070", 3, code="F31.9")]),
        ("F20.9 F31.9", {"F31": 3}, [said_of("DX-070", 3, code="F31.9")]),
        ("F31.9", {"F20": 2, "F31": 3}, [said_of("DX-070", 3, code="F31.9")]),
        ("F20.9", {"F31": 3}, []),
    ],
)
def test_a_diagnosis_to_be_ruled_out(
    charted: str, uncertain: dict[str, int], expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Only that of the line of which the note speaks so, with its place."""
    assert said("H2014", charted, "", book, whole_unit, uncertain_diagnoses=uncertain)[1] == expected


def test_two_notes_may_rule_out_the_same(book: Codebook, whole_unit: Policy) -> None:
    """Both places are shown."""
    code = book.find("H2014", DAY)
    assert code
    visit = skills(diagnoses=(Diagnosis(code="F31.9", condition_id="c"),))
    notes = [a_reading(uncertain_diagnoses={"F31": 3}), a_reading(uncertain_diagnoses={"F31": 9})]
    assert diagnoses.check(code, (), visit, book, whole_unit, notes)[1] == (said_of("DX-070", 3, 9, code="F31.9"),)
