"""What a coder may supply, and what only a better note cures (design: Cure)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from guardrails import SuppliedFact, Verdicts, check, policies
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.visit import Clinician, Context, DatedRecord, Known, Visit
from tests.conftest import BACHELOR, TODAY, asked, ids, skills

AUTHORIZING = policies.read(Path(__file__).parents[1] / "spec" / "policies" / "authorizing.toml")
NONE_FOUND: Known[DatedRecord] = Known(())
FOR_ANOTHER_CODE = DatedRecord(id="auth-1", codes=frozenset({"H2017"}))
LAPSED = DatedRecord(id="auth-2", codes=frozenset({"H2014"}), in_force_through=date(2026, 2, 1))


def fact(element: str, value: str) -> SuppliedFact:
    """A fact as the work queue would hand it over."""
    return SuppliedFact(element=element, value=value, who="coder-1", when=datetime(2026, 3, 3, tzinfo=UTC))


def proven(book: Codebook, policy: Policy, visit: Visit, context: Context, *facts: SuppliedFact) -> Verdicts:
    """Three quarter hours of skills training by a bachelor, with these facts."""
    return check(visit, context, [asked("H2014", 3, modifiers=("HN",))], facts, book, policy)


@pytest.mark.parametrize(("element", "cured"), [("C22", True), ("C23", False), ("c22", False)])
def test_a_plan_on_paper_is_vouched_for(book: Codebook, whole_unit: Policy, element: str, cured: bool) -> None:
    """A coder who names the plan in force cures its absence from the EHR; no other fact does."""
    context = replace(TODAY, plans=NONE_FOUND)
    verdicts = proven(book, whole_unit, skills(), context, fact(element, "plan of 2026-01-05"))
    assert ("PLAN-011" not in ids(verdicts)) is cured


def test_a_payer_that_asks_for_no_plan_is_not_given_one(book: Codebook, whole_unit: Policy) -> None:
    """The policy's word on a code goes before the family's habit."""
    settings = whole_unit.of("H2014").model_copy(update={"plan": False})
    policy = whole_unit.model_copy(update={"codes": {**whole_unit.codes, "H2014": settings}})
    verdicts = proven(book, policy, skills(), replace(TODAY, plans=NONE_FOUND))
    assert ids(verdicts) == set()


@pytest.mark.parametrize(
    ("on_file", "facts", "cured"),
    [
        ((), (fact("C23", "A-1"),), True),
        ((), (fact("c23", "A-1"),), False),
        ((), (fact("C23", "  "),), False),
        ((), (), False),
        ((FOR_ANOTHER_CODE,), (), False),
        ((LAPSED,), (), False),
        ((FOR_ANOTHER_CODE, LAPSED), (), False),
    ],
)
def test_an_authorization_is_on_file_or_vouched_for(
    book: Codebook, on_file: tuple[DatedRecord, ...], facts: tuple[SuppliedFact, ...], cured: bool
) -> None:
    """One in force for this very code, or the number that a coder supplies; neither another code's nor a lapsed one."""
    verdicts = proven(book, AUTHORIZING, skills(), replace(TODAY, authorizations=Known(on_file)), *facts)
    assert ("AUTH-010" not in ids(verdicts)) is cured


def test_an_authorization_nobody_looked_up_is_not_taken_as_given(book: Codebook) -> None:
    """Where the EHR was not asked the line waits, and nothing breaks."""
    assert "AUTH-010" in ids(proven(book, AUTHORIZING, skills(), TODAY))


def test_a_place_is_supplied_only_where_the_record_is_silent(book: Codebook, whole_unit: Policy) -> None:
    """The coder's place of service stands where there is none, and is refused with a word where the record has one."""
    home = fact("C04", "12")
    silent = proven(book, whole_unit, skills(place_of_service=None), TODAY, home)
    assert silent.verdicts[0].line is not None
    assert silent.verdicts[0].line.place_of_service == "12"
    stated = proven(book, whole_unit, skills(place_of_service="11"), TODAY, home)
    assert stated.verdicts[0].line is not None
    assert stated.verdicts[0].line.place_of_service == "11"
    assert [f.rule_id for f in stated.findings] == ["FACT-010"]


def test_a_credential_is_supplied_only_where_the_record_is_silent(book: Codebook, whole_unit: Policy) -> None:
    """With the credential a level-less clinician's modifier can be judged; a known one is not replaced."""
    degree = fact("C07", "BA")
    unknown = skills().rendering
    assert unknown == BACHELOR
    nameless = Clinician(id=BACHELOR.id)
    visit = skills(rendering=nameless)
    assert proven(book, whole_unit, visit, TODAY, degree).findings == ()
    assert [f.rule_id for f in proven(book, whole_unit, skills(), TODAY, degree).findings] == ["FACT-010"]


@pytest.mark.parametrize("element", ["C03", "C12", "C20", "C24", "S01", ""])
def test_what_only_the_note_can_say_is_refused(book: Codebook, whole_unit: Policy, element: str) -> None:
    """Minutes, presence, signature and clinical content change no line, and the refusal is said."""
    plain = proven(book, whole_unit, skills("2:00 PM", "2:29 PM"), TODAY)
    supplied = proven(book, whole_unit, skills("2:00 PM", "2:29 PM"), TODAY, fact(element, "45 minutes"))
    assert supplied.verdicts == plain.verdicts
    assert [f.rule_id for f in supplied.findings] == ["FACT-010"]
