"""A policy in sentences: whatever its values say is said, of the code it is said of, with where the payer says so."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from click.testing import CliRunner

from guardrails import policies, policy_words
from guardrails.codebook import Codebook
from guardrails.policies import CodePolicy, Period, Policy
from plugin.cli import main

OF_A_CODE: dict[str, Any] = {
    "covered": False,
    "service": "counseling",
    "counted": "CEIL15",
    "aggregate": "per_contact",
    "from_minutes": 16,
    "levels": ["LP"],
    "modifiers": {"required": ["HN"]},
    "documentation": {"S05": "block"},
    "family_without_client": True,
    "plan": True,
    "authorization": True,
}
OF_EVERY_LINE: dict[str, Any] = {
    "encounter_minutes": "all",
    "period_tolerance_minutes": 7,
    "past_midnight": "start",
    "payer_modifiers": ["U1"],
    "year_begins": 7,
    "group_largest": 9,
    "diagnosis": {"z_only": "hold"},
    "telehealth": {"audio_only": "block"},
    "clinician_day_minutes": {"limit": 600},
    "signed_within_days": {"limit": 3},
}
ELSEWHERE = {"id", "payer", "source", "effective_from", "effective_through", "kind"}
"""What stands beside the sentences, as the policy's name and dates."""
OF_THE_COUNT = {"quarter_hour", "aggregate", "caps", "not_same_day", "codes"}


def a_policy(**values: Any) -> Policy:
    """A policy that says nothing else."""
    return Policy.model_validate(
        {"id": "x", "payer": "X", "source": "s", "effective_from": date(2026, 1, 1), "kind": "medicaid"} | values
    )


def of_code(policy: Policy, book: Codebook, code: str = "H2014") -> list[str]:
    found = book.find(code, date(2026, 3, 2))
    assert found is not None
    return [" ".join(filter(None, clause)) for clause in policy_words.of_code(policy, found, book.elements)]


def test_every_field_of_a_policy_has_its_sentence_here() -> None:
    """A field that is added to policies is missed in these tests until it is said."""
    assert set(CodePolicy.model_fields) == set(OF_A_CODE)
    assert set(Policy.model_fields) == set(OF_EVERY_LINE) | ELSEWHERE | OF_THE_COUNT


@pytest.mark.parametrize("field", OF_A_CODE)
def test_what_is_said_of_a_code_is_said(field: str, book: Codebook) -> None:
    """Each field makes a sentence, of this code and of no other."""
    said = a_policy(codes={"H2014": {field: OF_A_CODE[field]}})
    assert of_code(said, book) != of_code(a_policy(), book)
    assert of_code(said, book, "H2017") == of_code(a_policy(), book, "H2017")


@pytest.mark.parametrize("field", OF_EVERY_LINE)
def test_what_is_said_of_every_line_is_said(field: str) -> None:
    """Each field changes what stands there."""
    said = policy_words.of_every_line(a_policy(**{field: OF_EVERY_LINE[field]}))
    assert said != policy_words.of_every_line(a_policy())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "How 15 minutes are counted is not known: the lowest of the rules applies."),
        ({"quarter_hour": "FLOOR15"}, "One unit for each whole 15 minutes; what is left over is not paid."),
        ({"aggregate": "per_contact"}, "Each contact of a day must reach its own unit."),
        (
            {"codes": {"H2014": {"modifiers": {"any_of": ["HQ", "HR"]}}}},
            "Modifiers: one of HQ, HR must stand on the line.",
        ),
        ({"codes": {"H2014": {"modifiers": {"allowed": []}}}}, "Modifiers: none."),
        ({"codes": {"H2014": {"modifiers": {"order": ["HQ", "HN"]}}}}, "Modifiers: HQ HN stand first, in this order."),
        (
            {"codes": {"H2014": {"documentation": {"S05": "warn"}}}},
            "The note shows the skills that came next, else the line carries a warning (S05).",
        ),
        (
            {"caps": [{"codes": ["H2014", "H2017"], "units": 16, "per": "day", "effect": "block", "source": "15.043"}]},
            "At most 16 units of H2014, H2017 in one day, else the line is rejected. 15.043",
        ),
        (
            {
                "caps": [
                    {
                        "codes": ["H2014"],
                        "units": 1,
                        "per": "year",
                        "unmodified": True,
                        "by_clinician": True,
                        "age_below": 21,
                        "source": "a",
                    }
                ]
            },
            "At most 1 unit of H2014 without a program or education modifier of one clinician for clients younger than 21 in the payer's year, else the line carries a warning. a",
        ),
        (
            {"not_same_day": [{"codes": ["H2014"], "beside": ["H0031"], "source": "b"}]},
            "Not on the day of H0031, else the line is held. b",
        ),
        (
            {"not_same_day": [{"codes": ["H0031"], "beside": ["H2014"], "source": "b"}]},
            "Not on the day of H0031, else the line is held. b",
        ),
    ],
)
def test_a_policy_in_a_coders_words(values: dict[str, Any], says: str, book: Codebook) -> None:
    """What a value comes to, and the place where the payer says so."""
    if "documentation" in str(values):
        says = f"The note shows {book.elements['S05'].shows}, else the line carries a warning (S05)."
    assert says in of_code(a_policy(**values), book)


def test_a_code_that_is_not_by_minutes_is_not_said_to_be_counted(book: Codebook) -> None:
    """Of an assessment, one a day, a policy that says nothing special has nothing to say."""
    assert of_code(a_policy(quarter_hour="FLOOR15"), book, "H0031") == []


@pytest.mark.parametrize("period", Period)
def test_every_period_has_words(period: Period) -> None:
    """No underscore of a file reaches a person."""
    assert "_" not in period.words


def test_every_level_of_the_tables_has_words(book: Codebook) -> None:
    """A letter code alone says nothing to a new coder."""
    used = {level for each in book.codes.values() for code in each for level in code.levels}
    assert used <= policy_words.LEVELS.keys()


def test_a_policy_is_shown_in_a_terminal() -> None:
    """By its name: of one code, and what it says of all; an unknown code is an error that says so."""
    shown = CliRunner().invoke(main, ["policy", "show", "texas-medicaid-2016", "h2014"])
    assert shown.exit_code == 0
    assert "16 units of H2014 in one day" in shown.output
    assert "15.043" in shown.output
    assert "in force from 2016-12-01 through 2016-12-31" in shown.output
    wrong = CliRunner().invoke(main, ["policy", "show", "texas-medicaid-2016", "H9999"])
    assert wrong.exit_code == 2
    assert "H9999" in wrong.stderr


def test_packaged_policies_are_all_said(book: Codebook) -> None:
    """Each of them, of each code that it speaks of: no sentence is empty, and none names a field."""
    for name in policies.packaged():
        policy = policies.load(name)
        for code in book.codes.keys() & set(policy_words.spoken_of(policy)):
            for entry in book.codes[code]:
                for clause in policy_words.of_code(policy, entry, book.elements):
                    assert clause.text.endswith(".")
                    assert "_" not in clause.text
