"""Questions to clinicians: each rule that the note could satisfy has one that does not lead, or is not asked about."""

from __future__ import annotations

import re

import pytest

from guardrails.codebook import Codebook
from guardrails.rules import CuredBy
from plugin.review import questions

_OF_BILLING = re.compile(
    r"\b(?:codes?|units?|modifiers?|claims?|add-ons?|bill\w*|pay\w*|reimburs\w*|H\d|9\d)\b|[{}]", re.IGNORECASE
)


def finding(rule: str, message: str = "The note does not show it.", **changes: str) -> dict[str, str]:
    return {"rule": rule, "message": message, "cured_by": "note", "effect": "hold"} | changes


def test_every_rule_that_a_note_could_satisfy_is_asked_about_or_not_on_purpose(book: Codebook) -> None:
    """A new rule that a note cures is decided on here, too."""
    curable = {r.id for r in book.rules().values() if r.cured_by is CuredBy.NOTE}
    of_elements = {rule for rule in curable if rule.startswith("DOC-")}
    assert curable - of_elements == set(questions.ASKS) - of_elements | questions.NOT_ASKED - of_elements
    assert curable >= questions.NOT_ASKED
    assert not questions.NOT_ASKED & questions.ASKS.keys()


def test_no_question_speaks_of_what_is_billed(book: Codebook) -> None:
    """No code, unit, modifier, claim or payment, and no slot that a code could fill; each ends as a question."""
    for rule in book.rules().values():
        text = questions.of_rule(rule.id, rule.sentence) if rule.cured_by is CuredBy.NOTE else None
        if text is not None:
            assert not _OF_BILLING.search(text), text
            assert text.endswith("?")


def test_a_rule_is_asked_about_once_however_often_it_was_found() -> None:
    """Two lines that lack the same thing make one question; what is not asked about makes none."""
    verdicts = {
        "verdicts": [
            {"findings": [finding("CODE-071"), finding("TIME-011")]},
            {"findings": [finding("CODE-071", "The note does not name the service that H2014 stands for.")]},
        ],
        "findings": [finding("EDIT-042"), finding("NOTE-020", effect="info")],
    }
    assert [each.rule for each in questions.askable(verdicts)] == ["CODE-071", "TIME-011"]
    made = questions.question(verdicts, ["CODE-071"])
    assert made is not None
    assert made[1] == ["CODE-071"]
    assert "H2014" not in made[0]
    assert questions.question(verdicts, ["EDIT-042"]) is None


@pytest.mark.parametrize("choice", ["unable", "other"])
def test_a_clinician_may_always_say_otherwise(choice: str) -> None:
    """Unable to determine, and words of their own, are among the answers."""
    assert choice in questions.CHOICES
