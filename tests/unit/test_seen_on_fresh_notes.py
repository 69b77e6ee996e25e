"""What notes of unfamiliar writers showed on their first run: each let a line stand that must not, and is mended in general."""

from __future__ import annotations

import pytest

from guardrails import Outcome, read_notes
from guardrails.codebook import Codebook
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
    "words", ["I left the house at 2:20 PM.", "Session ended 2:20 PM.", "Writer left the home at 2:20 PM."]
)
def test_a_further_stop_amid_the_session_holds(prove: Prove, words: str) -> None:
    """The note ends the contact twice; which holds, only its author can say."""
    visit = skills()
    (note,) = visit.notes
    both = a_visit(a_note(note.text + words))
    verdicts = prove(both, asked("H2014", 3))
    assert verdicts.verdicts[0].outcome is Outcome.HELD
    assert "TIME-020" in ids(verdicts)


def test_a_stop_after_the_session_is_no_other_end(prove: Prove) -> None:
    """The next appointment's end, or somebody's leaving later, changes nothing."""
    visit = skills()
    (note,) = visit.notes
    later = a_visit(a_note(note.text + "I left the house at 3:10 PM."))
    assert prove(later, asked("H2014", 3)).verdicts[0].outcome is Outcome.READY
