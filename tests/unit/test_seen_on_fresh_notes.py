"""What notes of unfamiliar writers showed on their first run: each let a line stand that must not, and is mended in general."""

from __future__ import annotations

import pytest

from guardrails import Outcome, read_notes
from guardrails.codebook import Codebook
from guardrails.visit import Diagnosis
from tests.conftest import SKILLS, Prove, a_note, a_visit, asked, ids, skills, therapy


@pytest.mark.cpt
@pytest.mark.parametrize("where", ["out of room", "out of the office", "out of his session"])
def test_time_that_the_client_was_out_is_taken_off(prove: Prove, where: str) -> None:
    """Clock times of an absence inside the session do not count."""
    visit = therapy(start="2:00 PM", stop=f"2:58 PM. Client {where} 2:20 PM to 2:32 PM")
    (long,) = prove(visit, asked("90837", 1)).verdicts
    (middle,) = prove(visit, asked("90834", 1)).verdicts
    assert long.outcome is not Outcome.READY
    assert middle.outcome is Outcome.READY
    assert middle.line is not None
    assert middle.line.minutes is not None
    assert middle.line.minutes.minutes == 46


@pytest.mark.parametrize(
    "words",
    ["worked on goals", "Worked on treatment goals.", "continued work on goals and objectives", "same as last visit"],
)
def test_words_that_name_no_skill_show_none(prove: Prove, words: str) -> None:
    """Under its heading stands what could stand in any note: the element is not shown."""
    text = SKILLS.format(start="2:00 PM", stop="2:45 PM")
    text = text.replace("budgeting with envelopes. Staff modelled it and had the client rehearse with prompts.", words)
    verdicts = prove(a_visit(a_note(text)), asked("H2014", 3))
    assert verdicts.verdicts[0].outcome is Outcome.HELD
    assert "DOC-S01" in ids(verdicts)


def test_a_service_line_says_more_than_the_name_of_a_form(book: Codebook) -> None:
    """A sheet called after one service, whose service line names another: the line counts."""
    text = "REHABILITATION CONTACT SHEET\nDate: 03/02/2026\nService: Skills training, one to one\n"
    (reading,) = read_notes(a_visit(a_note(text)), book).values()
    assert set(reading.declared_services) == {"skills_training"}
    (title,) = read_notes(a_visit(a_note("SKILLS TRAINING NOTE\nDate: 03/02/2026\n")), book).values()
    assert set(title.declared_services) == {"skills_training"}


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ("I left the house at 2:20 PM.", True),
        ("Writer left the home at 2:20 PM.", True),
        ("Session ended 2:20.", True),
        ("Session ended 2:01 PM.", True),
        ("Session ended 2:44.", True),
        ("Session ended 2:00 PM.", False),
        ("Session ended 2:45 PM.", False),
        ("I left the house at 3:10 PM.", False),
    ],
)
def test_a_further_stop_amid_the_session_holds(prove: Prove, words: str, holds: bool) -> None:
    """The note ends the contact twice; which holds, only its author can say. A stop at its edge or after it says nothing else."""
    (note,) = skills().notes
    both = a_note(note.text + words)
    (verdict,) = prove(a_visit(both), asked("H2014", 3)).verdicts
    assert verdict.outcome is (Outcome.HELD if holds else Outcome.READY)
    said = [f for f in verdict.findings if f.rule_id == "TIME-020"]
    assert bool(said) is holds
    for finding in said:
        assert [both.text[q.start : q.end].strip(" .") in words for q in finding.where] == [True]


def test_a_line_that_its_proposer_is_unsure_of_holds(prove: Prove) -> None:
    """It abstains: the line is complete, and a person decides."""
    (verdict,) = prove(skills(), asked("H2014", 3, unsure=True)).verdicts
    assert verdict.outcome is Outcome.HELD
    assert [f.rule_id for f in verdict.findings] == ["ASK-010"]


def test_a_note_too_long_to_be_read_is_named(prove: Prove) -> None:
    """By its place in the EHR."""
    (note,) = skills().notes
    long = a_visit(a_note(note.text + "x" * 250_001))
    assert any("DocumentReference/note-1" in f.message for f in prove(long, asked("H2014", 3)).findings)


def test_each_diagnosis_is_looked_up(prove: Prove) -> None:
    """Behind one that is in the tables stands one that is not: it is found too."""
    both = skills(
        diagnoses=(
            Diagnosis(code="F20.9", condition_id="condition-1", rank=1),
            Diagnosis(code="F33", condition_id="condition-2", rank=2),
        )
    )
    verdicts = prove(both, asked("H2014", 3, diagnoses=("F20.9", "F33")))
    assert any("F33" in f.message for f in verdicts.verdicts[0].findings)
