"""What notes of unfamiliar writers showed on their first run: each let a line stand that must not, and is mended in general."""

from __future__ import annotations

import pytest

from guardrails import Outcome, documentation, policies, read_notes
from guardrails.codebook import Codebook
from guardrails.policies import QuarterHourRule
from guardrails.visit import Diagnosis, Visit
from tests.conftest import (
    LCSW,
    PSYCHIATRIST,
    SKILLS,
    THERAPY,
    Prove,
    a_note,
    a_visit,
    asked,
    ids,
    skills,
    therapy,
)


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


THERAPY_TIMED = THERAPY.replace("Time: {start} - {stop}\n", "{time}\n")
SKILLS_TIMED = SKILLS.replace("Start time: {start}\nStop time: {stop}\n", "{time}\n")


def psychotherapy(time: str) -> Visit:
    """A visit whose complete psychotherapy note tells its time so."""
    return a_visit(a_note(THERAPY_TIMED.format(time=time), author=LCSW))


def skills_training(time: str) -> Visit:
    """A visit whose complete skills-training note tells its time so."""
    return a_visit(a_note(SKILLS_TIMED.format(time=time)))


@pytest.mark.cpt
@pytest.mark.parametrize(
    "words",
    [
        "Bathroom break (10 min).",
        "Session paused (10 min) for a call from school.",
        "Fire drill (12 min).",
        "The session was interrupted, for about 10 minutes, by a fire alarm.",
        "Lost connection for 12 minutes.",
        "Technical difficulties x 12 minutes.",
        "The last 15 minutes before the end went to documentation.",
        "Took a 10-minute break x 2.",
        "Took two 5-minute breaks.",
    ],
)
def test_an_interruption_in_brackets_or_between_commas_counts_as_well(prove: Prove, words: str) -> None:
    """However its length is set apart from what it was, it is taken off, or a person is asked."""
    (verdict,) = prove(psychotherapy(f"2:00 PM - 3:00 PM. {words}"), asked("90837", 1)).verdicts
    assert verdict.outcome is not Outcome.READY


@pytest.mark.parametrize(
    "words",
    [
        "Smoke break (15 min).",
        "Transported client to store (20 min).",
        "Travel time (20 min).",
        "Lunch at the deli (25 min).",
        "Drove client to the store for the first 20 minutes before the skills practice.",
    ],
)
def test_time_that_never_counts_in_brackets_is_not_billed(prove: Prove, words: str) -> None:
    """A meal, a ride or a break does not become a quarter hour of training."""
    (verdict,) = prove(skills_training(f"2:00 PM - 3:00 PM. {words}"), asked("H2014", 4)).verdicts
    assert verdict.outcome is not Outcome.READY


@pytest.mark.cpt
@pytest.mark.parametrize(
    "words",
    [
        "Client arrived at 2:20 PM.",
        "Client arrived at 2:01 PM.",
        "Client arrived late at 2:20 PM.",
        "Client arrived 20 minutes late.",
        "Client logged on at 2:20 PM.",
        "Client was 20 minutes late for the session.",
        "Pt joined late.",
        "Client left 15 minutes early.",
        "Client asked to end 15 minutes early.",
        "Client had to leave at 2:40 PM.",
        "Session ended early.",
        "Session was cut short at 2:35.",
        "Session terminated at 2:40 PM.",
        "Client walked out at 2:40 PM.",
        "Client hung up at 2:40 PM.",
        "Client came in at 2:20 PM.",
        "Client showed up at 2:20 PM.",
        "Client checked in at 2:20 PM.",
        "Client ran 20 minutes late.",
        "Session started late, at 2:20 PM.",
        "Arrived 20 min late.",
    ],
)
def test_time_before_a_late_client_came_is_not_billed(prove: Prove, words: str) -> None:
    """The session counts from the client's arrival, and only the note can say what its start means (GR-01)."""
    (verdict,) = prove(psychotherapy(f"2:00 PM - 3:00 PM. {words}"), asked("90837", 1)).verdicts
    assert verdict.outcome is Outcome.HELD


@pytest.mark.cpt
@pytest.mark.parametrize(
    "time",
    [
        "2:07 PM - 3:00 PM. Client arrived 7 minutes late.",
        "2:00 PM - 3:00 PM. Client arrived at 2:00 PM.",
        "2:00 PM - 3:00 PM. Afterwards client connected at 3:00 PM with her sponsor.",
        "2:00 PM - 3:00 PM. Client said she was 20 minutes late to work on Monday.",
        "2:00 PM - 3:00 PM. Client was late on rent.",
        "2:00 PM - 3:00 PM. Client was late picking up her son.",
        "2:00 PM - 3:00 PM. He was late again for his shift and got a warning.",
        "2:00 PM - 3:00 PM. Client reports that her boss said she was late.",
        "2:05 PM - 3:00 PM. Client arrived late (2:05 PM).",
        "2:05 PM - 3:00 PM. Client arrived at 2:05 PM, five minutes late.",
        "2:00 PM - 3:00 PM. Client finished work at 2:30 AM last night.",
        "2:00 PM - 3:00 PM. Client left home at 2:15 AM.",
        "2:00 PM - 3:00 PM. Client logged on at 2:15 AM to write to her sister.",
        "2:00 PM - 3:00 PM. Client left early from work on Monday.",
        "2:04 PM - 2:58 PM. Client arrived late; session was shortened.",
        "2:04 PM - 2:58 PM. Session ended early.",
        "2:00 PM - 3:00 PM. She was late filing taxes and felt ashamed.",
        "2:00 PM - 3:00 PM. Client was late paying her electric bill.",
        "2:00 PM - 3:00 PM. When they were late, her father would yell.",
        "2:00 PM - 3:00 PM. He wanted to end early his marriage talk.",
        "2:00 PM - 3:00 PM. He attended session, then left with his daughter.",
        "2:00 PM - 3:00 PM. Client is always on the phone at night.",
    ],
)
def test_a_start_that_is_the_arrival_stands(prove: Prove, time: str) -> None:
    """The stated start already allows for it, or it was somebody else's affair."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1)).verdicts
    assert verdict.outcome is Outcome.READY


@pytest.mark.cpt
@pytest.mark.parametrize(
    "time",
    [
        "Panic attack began at 1:10 PM on the bus.\nSession ended at 2:45 PM.",
        "Client said the argument began at 1:30 PM.\nStop time: 2:45 PM",
        "Start time: 1:30 PM. The session was short; client said that the fight at home ended at 3:45 PM.",
        "Start time: 2:00 PM\nNote completed: 3:00 PM",
        "Start time: 2:00 PM\nDocumentation completed: 3:00 PM",
        "Start time: 2:00 PM\nShift ended: 3:00 PM",
        "Note started: 2:00 PM\nNote completed: 3:00 PM",
        "90837 - Psychotherapy, 60 minutes with patient",
        "CPT 90837 (60 min psychotherapy).",
        "[ ] 60 min psychotherapy",
        "( ) 60 minutes individual session",
        "Client had a 60 minute visit with her PCP.",
        "Client had 60 minutes of physical therapy.",
        "Client received 60 minutes of psychotherapy from Dr. Lee.",
        "Client met with her lawyer 1:00-2:15 PM.",
        "Client attended court 9:00 AM - 10:00 AM.",
        "Session rescheduled to 1:00-2:00 PM.",
        "Panic attack lasted 60 minutes in total.",
        "Not a 60-minute session.",
    ],
)
def test_what_began_or_ended_in_the_clients_story_is_no_session_time(prove: Prove, time: str) -> None:
    """A session's start or stop is never joined with that of an event that the client tells of."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1)).verdicts
    assert verdict.outcome is Outcome.HELD
    assert verdict.line is None


@pytest.mark.cpt
@pytest.mark.parametrize(
    "time",
    [
        "Session began at 2:00 PM and ended at 3:00 PM.",
        "We started at 2:00 PM and finished at 3:00 PM.",
        "Began at 2:00 PM, ended at 3:00 PM.",
        "Group therapy session started: 2:00 PM | ended: 3:00 PM",
        "Writer arrived at 2:00 PM. Writer left the home at 3:00 PM.",
        "Time started 2:00 PM Time ended 3:00 PM",
        "CHW arrived at 2:00 PM, left at 3:00 PM.",
        "QMHS arrived 2:00 PM and left 3:00 PM.",
        "Peer support specialist arrived at 2:00 PM and departed at 3:00 PM.",
        "Services began at 2:00 PM and ended at 3:00 PM.",
        "Our time together began at 2:00 PM and ended at 3:00 PM.",
        "Client shared a snack and we began at 2:00 PM, ending at 3:00 PM.",
        "Start: 03/02/2026 2:00 PM\nStop: 03/02/2026 3:00 PM",
        "Start time: 03/02/2026 14:00\nStop time: 03/02/2026 15:00",
        "CPT: 90837 (Psychotherapy, 53 min with patient)\nTime: 2:00 PM - 3:00 PM",
        "BIRP NOTE\nTime in: 2:00 PM\nTime out: 3:00 PM",
        "INDIVIDUAL THERAPY PROGRESS NOTE\nStart time: 2:00 PM\nEnd time: 3:00 PM",
        "CONTACT FORM\nStart: 2:00 PM\nStop: 3:00 PM",
        "Client denies symptoms.\nStart time: 2:00 PM\nStop time: 3:00 PM",
        "He attended session 2:00 PM - 3:00 PM, then left with his daughter.",
        "He attended session from 2:00-3:00 PM and talked about his lawyer and court.",
        "Panic control treatment session, 2:00 PM - 3:00 PM",
    ],
)
def test_a_session_told_in_verbs_has_its_time(prove: Prove, time: str) -> None:
    """Who or what began and ended is the contact."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1)).verdicts
    assert verdict.line is not None
    assert verdict.line.minutes is not None
    assert verdict.line.minutes.minutes == 60


@pytest.mark.cpt
@pytest.mark.parametrize(
    "words",
    [
        "Plan: continue weekly 45-minute psychotherapy sessions.",
        "Plan: RTC 2 weeks for 45 minutes therapy.",
        "Last visit: 45 min of psychotherapy.",
        "Referred to LCSW for 60 minutes of weekly therapy.",
        "Psychotherapy: just under 38 minutes.",
        "Psychotherapy time: less than 38 minutes.",
        "Physical therapy 45 minutes this morning.",
        "Light therapy 45 minutes.",
        "Group therapy 45 min at day program today.",
        "Client sees LCSW for 45-minute therapy.",
        "Continue psychotherapy 45 min with LCSW.",
        "Offered 45 minutes of psychotherapy; declined.",
        "Psychotherapy 45 minutes not provided today.",
        "Order: psychotherapy 45 minutes.",
        "Total time 45 minutes, E/M and psychotherapy combined.",
    ],
)
def test_psychotherapy_of_another_day_is_not_this_visits(prove: Prove, words: str) -> None:
    """Beside an evaluation only minutes stated for this visit count (TH01)."""
    text = THERAPY_TIMED.format(time="10:00 AM - 11:00 AM") + f"MDM: moderate.\n{words}\n"
    visit = a_visit(a_note(text, author=PSYCHIATRIST))
    (_, added) = prove(visit, asked("99214", 1), asked("90836", 1), policy=policies.load("medicare")).verdicts
    assert "TIME-013" in [f.rule_id for f in added.findings]
    assert added.line is None


@pytest.mark.cpt
@pytest.mark.parametrize(
    "time",
    [
        "We had half an hour of psychotherapy.",
        "Half an hour session.",
        "Three quarters of an hour of therapy.",
        "Session was under an hour long.",
        "Session lasted less than 60 minutes.",
        "Session lasted almost an hour.",
    ],
)
def test_a_part_of_an_hour_is_no_hour(prove: Prove, time: str) -> None:
    """What was less than an hour does not support an hour's code."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1)).verdicts
    assert verdict.outcome is Outcome.HELD


@pytest.mark.cpt
@pytest.mark.parametrize("time", ["90837 (58 minutes face-to-face)", "Panic-focused psychotherapy 58 minutes."])
def test_minutes_beside_a_codes_name_that_are_not_its_own_count(prove: Prove, time: str) -> None:
    """A description's minutes are thirty, forty-five or sixty; these are the session's."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1)).verdicts
    assert verdict.line is not None
    assert verdict.line.minutes is not None
    assert verdict.line.minutes.minutes == 58


@pytest.mark.cpt
@pytest.mark.parametrize(
    "words",
    [
        "Psychotherapy time: 40 minutes, separate from E/M.",
        "Psychotherapy 40 min. Patient continues sertraline.",
        "Spent 40 minutes on psychotherapy focused on school stress.",
        "Psychotherapy provided: 40 minutes of CBT for school refusal.",
        "Psychotherapy x 40 minutes with an emphasis on grief.",
        "Psychotherapy 40 minutes delivered by Dr. Marsh.",
        "Supportive therapy 40 min, addressed needs at home.",
        "In order to reduce panic, 40 minutes of psychotherapy.",
        "Psychotherapy for panic: 40 minutes.",
        "Add-on 90836: 40 minutes psychotherapy, time excludes E/M.",
    ],
)
def test_psychotherapy_of_this_visit_is_read_whatever_it_was_about(prove: Prove, words: str) -> None:
    """Its minutes stand beside the evaluation's."""
    text = THERAPY_TIMED.format(time="10:00 AM - 11:00 AM") + f"MDM: moderate.\n{words}\n"
    visit = a_visit(a_note(text, author=PSYCHIATRIST))
    (_, added) = prove(visit, asked("99214", 1), asked("90836", 1), policy=policies.load("medicare")).verdicts
    assert added.line is not None
    assert added.line.minutes is not None
    assert added.line.minutes.minutes == 40


@pytest.mark.cpt
def test_half_an_hour_is_thirty_minutes(prove: Prove) -> None:
    """It is read as the note means it."""
    (verdict,) = prove(psychotherapy("We had half an hour of psychotherapy."), asked("90832", 1)).verdicts
    assert verdict.line is not None
    assert verdict.line.minutes is not None
    assert verdict.line.minutes.minutes == 30


@pytest.mark.cpt
@pytest.mark.parametrize(
    "time",
    [
        "First session 9:00 AM - 9:30 AM.\nSecond session 2:00 PM - 2:30 PM.",
        "Client attended process group this morning 10:00-11:00 AM with J. Smith. Individual session: 2:00-2:30 PM",
        "Individual session 2:00-2:30 PM\nGroup session 2:30-3:00 PM",
    ],
)
def test_two_sessions_of_a_day_are_not_one_longer_session(prove: Prove, time: str) -> None:
    """A second psychotherapy session is for a person to judge, not time to be added up (OV-08)."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1, *time.split("\n"))).verdicts
    assert verdict.outcome is Outcome.HELD
    assert verdict.line is None


FAMILY = """Service: Family psychotherapy with client
Time: 2:00 PM - 2:50 PM
Attendees: client, mother, stepfather
Therapist used structural techniques; mother practiced setting a limit. Family responded well. Progress on goal 1 is partial.
{presence}
Plan: next session in a week.
Signed by Dana Whitfield, LCSW
"""


@pytest.mark.cpt
@pytest.mark.parametrize(
    "presence",
    [
        "Client stayed in the waiting room throughout. Mother reported that client cried all week.",
        "Client remained in the lobby while mother met with therapist.",
        "Client did not participate. Mother reported that client cried.",
        "Client refused to come in; mother attended alone.",
        "Client unavailable today. Mother reported on the week.",
        "Pt stayed home sick. Mother attended in her place.",
        "Mom present by herself. Client at grandparents.",
        "Client present: No",
        "Client: not present",
        "Client (absent).",
        "Client not in attendance.",
        "Only mother attended.",
        "Parents seen alone.",
        "The child did not attend.",
        "Client was unable to attend.",
        "Collateral session with mother.",
        "Client could not attend due to illness.",
    ],
)
def test_a_client_who_was_not_in_the_room_was_not_treated(prove: Prove, presence: str) -> None:
    """However the note says that the client was elsewhere, a code for the client waits for a person (C24)."""
    visit = a_visit(a_note(FAMILY.format(presence=presence), author=LCSW))
    (verdict,) = prove(visit, asked("90847", 1)).verdicts
    assert "CODE-072" in [f.rule_id for f in verdict.findings]


@pytest.mark.cpt
@pytest.mark.parametrize(
    "presence",
    [
        "Client stayed in the room throughout and participated.",
        "Client said that she stayed home sick from school on Monday.",
        "Client refused to come in with his mother last year, and today he took part in the whole session.",
        "Client reported that her father was unavailable today.",
        "Client was home. Husband present in next room.",
        "Client reported that her mother was alone for the holidays.",
        "Client is sad that grandmother was by herself when she died.",
        "Client sat in the waiting room calmly before the session.",
        "Client was unavailable by phone last week.",
        "Client did not participate in the session's homework.",
        "Client is at school (grade 5), seen there by therapist.",
        "Client is in school and doing well.",
        "Client was in the hospital last month.",
        "Client was absent from work on Friday.",
        "Client did not come home on Saturday.",
        "Client gave consent for collateral contact with her sister.",
        "Community outing: client sat in the lobby of the DMV practicing what to say.",
        "Client waited in the car with staff, practicing the list, then entered the store.",
        "Client could not attend prom and cried about it.",
        "Client was unable to attend school this week.",
        "Client chose not to attend the dance.",
        "Client was unable to make it to practice.",
        "Client could not join the team.",
        "Child did not attend practice",
        "Only mother came to the recital",
        "Mother came by herself to the last session; client joined today.",
        "Parents seen alone last session; whole family today.",
        "Client waited in the waiting room with mother and both came in at 2:00 PM.",
        "Client: not in the room at first, joined at 2:00 PM.",
    ],
)
def test_a_client_who_tells_of_absence_was_there(prove: Prove, presence: str) -> None:
    """Words of being elsewhere at another time say nothing of this contact."""
    visit = a_visit(a_note(FAMILY.format(presence=presence), author=LCSW))
    (verdict,) = prove(visit, asked("90847", 1)).verdicts
    assert "CODE-072" not in [f.rule_id for f in verdict.findings]


@pytest.mark.parametrize(
    "words", ["Client DNKA.", "Pt NCNS today.", "DNA - left voicemail.", "Client no call no show."]
)
def test_a_clinics_abbreviations_for_no_show_are_read(book: Codebook, words: str) -> None:
    """Did not keep the appointment, no call no show."""
    (reading,) = read_notes(a_visit(a_note(f"Progress note\n{words}\n")), book).values()
    assert reading.no_service is not None


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("words", "units"),
    [
        ("GAD-7 today: 12.", 2),
        ("GAD-7 due 04/12/2026.", 1),
        ("GAD-7 at last visit was 12.", 1),
        ("Previous GAD-7 was 18; PCL-5 on 01/05/2026 was 40.", 1),
        ("Baseline GAD-7 score: 17.", 1),
        ("GAD-7 on 03/02/2026 was 12.", 2),
        ("GAD-7 in January was 12.", 1),
        ("GAD-7 (Feb 2): 12.", 1),
        ("GAD-7 was 12 six weeks ago.", 1),
        ("GAD-7 at PCP was 12.", 1),
        ("GAD-7 per chart: 12.", 1),
        ("Mother's GAD-7: 12.", 1),
        ("GAD-7 goal of 5.", 1),
        ("GAD-7 score ranges: 0-4 minimal, 5-9 mild.", 1),
        ("GAD-7 at 3:00 PM.", 1),
        ("GAD-7: incomplete, 3 of 7 items", 1),
        ("GAD-7 not repeated, was 12.", 1),
        ("GAD-7: 12, down from 18 last visit.", 2),
        ("GAD-7 today 12, prior 15.", 2),
        ("GAD-7: 12 (prior 15 on 02/02/2026).", 2),
        ("GAD-7 completed at intake today: 12.", 2),
        ("GAD-7: 12, next due 04/2026.", 2),
        ("GAD-7 score: 12 (range 0-21).", 2),
        ("GAD-7: 12, goal under 5.", 2),
        ("GAD-7: 12 (target < 5).", 2),
        ("GAD-7 = 12, last month 15.", 2),
        ("GAD-7: 12 (last 15).", 2),
        ("GAD-7 (last 2 weeks): 12.", 2),
        ("GAD-7\t12", 2),
        ("GAD-7 | 12 | moderate", 2),
        ("GAD-7 was 12 on 2/2.", 1),
        ("GAD-7 from 2/2: 12.", 1),
        ("GAD-7: 12 | Previous: 18", 2),
        ("GAD-7 total: 12 compared to 15 last month", 2),
        ("GAD-7 completed by client at start of session: 12.", 2),
    ],
)
def test_an_instrument_of_another_day_is_no_unit_of_this(prove: Prove, words: str, units: int) -> None:
    """Only an instrument scored at this visit counts (N02)."""
    text = f"BEHAVIORAL HEALTH SCREENING\nPHQ-9 today: 14. {words}\nResults were interpreted and discussed with the client.\nSigned by Helen Marsh, MD\n"
    visit = a_visit(a_note(text, author=PSYCHIATRIST))
    (verdict,) = prove(visit, asked("96127", 2), policy=policies.load("medicare")).verdicts
    assert verdict.line is not None
    assert verdict.line.units == units


GROUP = """Service: Skills training
Start time: 2:00 PM
Stop time: 3:00 PM
{words}
Goal 2, objective 2.1 of the treatment plan: keep a weekly budget.
Skill taught in group (6 clients attended): budgeting with envelopes. Staff modelled it and had the client rehearse in front of peers.
Client sorted nine of twelve receipts with two prompts. Progress: up from one week of four.
Signed by Tobias Renner, QMHS
"""


@pytest.mark.parametrize(
    "words",
    [
        "Place: clinic",
        "Client also receives individual therapy weekly with D. Whitfield.",
        "Individual session offered if needed.",
        "Referred for individual psychotherapy.",
        "[x] Group [ ] Individual",
        "[ ] Individual session [x] Group session",
    ],
)
def test_a_group_is_a_group_whatever_else_the_client_receives(prove: Prove, words: str) -> None:
    """A service to one person that is told of, offered or planned is not this one (GR-04)."""
    visit = a_visit(a_note(GROUP.format(words=words)))
    (verdict,) = prove(visit, asked("H2014", 4, modifiers=("HN",))).verdicts
    assert "MOD-061" in [f.rule_id for f in verdict.findings]


@pytest.mark.parametrize(
    "words",
    [
        "Date of Service: Monday, March 1, 2026",
        "DOS 03/01/2026",
        "Date of service  02/23/2026",
        "Date of Service: 1 March 2026",
        "Date of Service: February 23rd, 2026",
        "DOS: 02.23.2026",
        "Session Date/Time: 02/23/2026",
        "Date/Time of Service: 02/23/2026",
        "Service Date & Time: 02/23/2026",
        "Encounter Date/Time: 02/23/2026",
        "Date seen: 02/23/2026",
        "Appointment Date: 02/23/2026",
        "Date of Service 03/01/2026",
        "DOS- 03/01/2026",
        "DOS = 03/01/2026",
        "DOS: 01-Mar-2026",
        "Date of service: 2026/03/01",
        "Late entry for 03/01/2026",
        "Dates of service: 03/01/2026",
    ],
)
def test_another_date_of_service_holds_however_it_is_written(prove: Prove, words: str) -> None:
    """The note is of another day than the visit (X-D23)."""
    (note,) = skills().notes
    assert "NOTE-050" in ids(prove(a_visit(a_note(f"{words}\n{note.text}")), asked("H2014", 3)))


@pytest.mark.parametrize(
    "words",
    [
        "Date of Service: Monday, March 2, 2026",
        "DOS 03/02/2026",
        "Date of Service: 2 March 2026",
        "DOS: 03.02.2026",
        "Service Date/Time: 2026-03-02 14:00",
        "Next appointment date: 03/09/2026",
        "Upcoming session date: 03/09/2026",
        "PCP appointment date: 03/20/2026",
        "First session date: 01/05/2026",
        "Followup visit date: 03/09/2026",
        "Prior authorization dates of service: 01/01/2026 - 06/30/2026",
        "Authorized dates of service: 01/01/2026-06/30/2026",
        "Admission DOS 01/05/2026",
        "Date of Service: March 2nd, 2026",
        "DOS: 02-Mar-2026",
        "Date of service: 2026/03/02",
    ],
)
def test_the_visits_own_date_holds_nothing(prove: Prove, words: str) -> None:
    """The note is of the visit's day, or speaks of a later one."""
    (note,) = skills().notes
    (verdict,) = prove(a_visit(a_note(f"{words}\n{note.text}")), asked("H2014", 3)).verdicts
    assert verdict.outcome is Outcome.READY


@pytest.mark.parametrize(
    "closing",
    [
        "Electronically signed by: ____________________",
        "Electronically signed by: [name]",
        "Not yet signed by Helen Marsh, MD",
        "Patient signature: Rosalba Fontanella",
        "Pending signature: Helen Marsh, MD",
        "Signature: pending",
        "Draft - to be signed by Helen Marsh, MD",
        "Unsigned. Will be signed by Helen Marsh, MD",
        "Client signed by proxy",
        "Signature: N/A",
        "Signature: none",
        "Signed by: n/a",
        "Electronically signed by: <provider>",
        "Preliminary - not signed by Helen Marsh, MD",
        "This note has not been signed by Helen Marsh",
        "Last note was signed by Helen Marsh, MD on 02/20/2026",
        "ROI signed by Maria Lopez",
        "Supervisor signature: Helen Marsh, MD",
        "/s/ Rosalba Fontanella (client)",
        "We went over all of it again at the end of the day and signed: Rosalba Fontanella (client)",
    ],
)
def test_a_line_to_sign_on_is_no_signature(closing: str) -> None:
    """Nor is a signature that is waited for, or the client's."""
    assert not documentation.has_signature(f"Progress note\nClient was seen.\n{closing}\n")
    assert not documentation.has_signature(closing)


@pytest.mark.parametrize(
    "closing",
    [
        "Electronically signed by: Helen Marsh, MD 03/02/2026",
        "Signature: Helen Marsh, MD",
        "/s/ Helen Marsh, MD",
        "Patient signature: Rosalba Fontanella\nSigned by Helen Marsh, MD",
        "Client agrees with the plan. Electronically signed by Helen Marsh, MD on 03/02/2026",
        "Electronically signed by Dana Whitfield, LCSW - 03/02/2026 3:05 PM; patient portal release: yes",
        "Patient Name: R F   Signed by: Dana Whitfield, LCSW",
        "Client signature: R F     Clinician signature: Dana Whitfield",
        "All required fields complete, electronically signed by Dana Whitfield",
        "Draft finalized and signed by Dana Whitfield",
        "Signed: Dana Whitfield, LCSW. Co-signature not required.",
        "[Electronically signed by Dana Whitfield, LCSW]",
        "Signature:\nDana Whitfield, LCSW",
        "/es/ Dana Whitfield, LCSW",
        "Parent Partner signature: Dana Whitfield",
        "Signed by Dana Whitfield (Parent Partner)",
        "Electronically signed by Rosa Diaz (Parent Support Partner) 03/02/2026",
        "Signed by Parent Partner Rosa Diaz",
        "Signed by Patient Navigator Dana Whitfield",
        "Signed by Client Services Coordinator Ana Ruiz",
        "Signed by Helen Marsh, MD (patient portal copy sent)",
        "Signature: Helen Marsh, MD (client copy given)",
        "SIGNED: DANA WHITFIELD, LCSW",
        "Signed: DWhitfield LCSW",
        "Signed: Dana Whitfield, LCSW (client copy given)",
        "signed: dana whitfield, lcsw",
        "Signature/Credentials: Dana Whitfield, LCSW",
        "//signed// Dana Whitfield, LCSW",
        "Dana Whitfield, LCSW, signed 03/02/2026 3:10 PM",
        "Signed by:\nDana Whitfield, LCSW",
        "Signed by Ñuñez, Rosa",
        "Safety plan signed by client. Signed: Dana Whitfield, LCSW",
        "Witness: none. Signed: Dana Whitfield",
    ],
)
def test_the_authors_signature_is_one(closing: str) -> None:
    """Whatever other signatures stand beside it."""
    assert documentation.has_signature(f"Progress note\nClient was seen.\n{closing}\n")


@pytest.mark.cpt
@pytest.mark.parametrize("time", ["2:00 PM - 2:30 PM\n2:45 PM - 3:15 PM", "2:00 PM - 2:30 PM\n2:40 PM - 3:10 PM"])
def test_a_session_goes_on_after_a_break(prove: Prove, time: str) -> None:
    """A quarter of an hour parts no session in two, however long it goes on afterwards."""
    (verdict,) = prove(psychotherapy(time), asked("90837", 1, *time.split("\n"))).verdicts
    assert verdict.line is not None
    assert verdict.line.minutes is not None
    assert verdict.line.minutes.minutes == 60


@pytest.mark.cpt
@pytest.mark.parametrize(("code", "units"), [("96156", 1), ("96158", 1), ("96164", 1), ("96167", 1)])
def test_health_behavior_needs_a_physical_diagnosis(prove: Prove, code: str, units: int) -> None:
    """All of its services, not the individual one alone (DX-08)."""
    visit = therapy(diagnoses=(Diagnosis(code="F41.1", condition_id="condition-1", rank=1),))
    assert "DX-040" in ids(prove(visit, asked(code, units)))


@pytest.mark.cpt
def test_psychoanalysis_is_treatment_and_family_education_treats_substance_use(prove: Prove) -> None:
    """Z codes alone do not carry the one, nor a diagnosis of something else the other (DX-03, DX-04)."""
    commercial = policies.load("commercial-generic")
    z_alone = therapy(diagnoses=(Diagnosis(code="Z63.0", condition_id="condition-1", rank=1),))
    assert "DX-052" in ids(prove(z_alone, asked("90845", 1), policy=commercial))
    anxious = therapy(diagnoses=(Diagnosis(code="F41.1", condition_id="condition-1", rank=1),))
    assert "DX-053" in ids(prove(anxious, asked("T1006", 1)))


def test_crisis_psychotherapy_outside_the_office_is_a_practitioners(prove: Prove) -> None:
    """G0017 is for those who may bill psychotherapy to Medicare (domain 2.5, 6.5)."""
    assert "CODE-062" in ids(prove(skills(), asked("G0017", 1), policy=policies.load("medicare")))


@pytest.mark.parametrize("code", ["G0443", "G0447"])
def test_a_national_quarter_hour_is_a_full_one(prove: Prove, code: str) -> None:
    """Where the midpoint is not certain for a code, its full time is asked for (Q10)."""
    (verdict,) = prove(
        skills(start="2:00 PM", stop="2:08 PM"), asked(code, 1), policy=policies.load("medicare")
    ).verdicts
    assert verdict.line is None


def test_a_refused_line_lends_no_minutes(prove: Prove) -> None:
    """Of a payer that pools a day's quarter hours, a proposal with invented words takes no part in the pool."""
    pooled = policies.load("medicaid-generic").model_copy(update={"quarter_hour": QuarterHourRule.POOLED15})
    visit = skills(start="2:00 PM", stop="2:20 PM")
    (alone,) = prove(visit, asked("H2014", 2), policy=pooled).verdicts
    (beside, invented) = prove(visit, asked("H2014", 2), asked("H2017", 1, "words of nobody"), policy=pooled).verdicts
    assert invented.outcome is Outcome.REJECTED
    assert alone.line is not None
    assert beside.line is not None
    assert beside.line.units == alone.line.units == 1


@pytest.mark.parametrize(
    "words",
    ["Total time: 0:45", "Duration: 00:45", "Total minutes 45", "Billable: 45 min", "Non-billable: 15 min"],
)
def test_a_total_in_any_form_is_laid_beside_the_clock(prove: Prove, words: str) -> None:
    """An hour by the clock and three quarters by the total do not make four units."""
    (verdict,) = prove(skills_training(f"Start time: 2:00 PM\nStop time: 3:00 PM\n{words}"), asked("H2014", 4)).verdicts
    assert verdict.outcome is Outcome.HELD


@pytest.mark.cpt
@pytest.mark.parametrize(
    "words",
    [
        "Modality: telephone (no video)",
        "Video failed, switched to phone for the session.",
        "Client's video would not connect so we continued by phone.",
    ],
)
def test_a_telephone_contact_is_no_video_contact(book: Codebook, words: str) -> None:
    """What the note says of video is that there was none."""
    (reading,) = read_notes(a_visit(a_note(f"Progress note\n{words}\nClient spoke of worry.\n")), book).values()
    assert reading.telephone is not None
    assert reading.video is None


@pytest.mark.parametrize("words", ["Patient did not appear anxious.", "Client did not present with suicidal thoughts."])
def test_what_a_client_did_not_show_is_no_absence(book: Codebook, words: str) -> None:
    """A mental status is told of somebody who was there."""
    (reading,) = read_notes(a_visit(a_note(f"Progress note\n{words}\n")), book).values()
    assert reading.no_service is None


@pytest.mark.parametrize("words", ["Client DNA testing results discussed.", "DNA: client discussed ancestry results."])
def test_a_test_of_ancestry_is_no_absence(book: Codebook, words: str) -> None:
    """The letters mean something else here."""
    (reading,) = read_notes(a_visit(a_note(f"Progress note\n{words}\n")), book).values()
    assert reading.no_service is None


@pytest.mark.parametrize(
    "words",
    [
        "Client talked to the phone company.",
        "Client is addicted to the phone with games.",
        "Client called PCP to phone in refill.",
        "Phone call with client scheduled for Friday.",
    ],
)
def test_talk_of_a_telephone_is_no_telephone_contact(book: Codebook, words: str) -> None:
    """The client's own telephone is not how the contact was held."""
    (reading,) = read_notes(a_visit(a_note(f"Progress note\n{words}\n")), book).values()
    assert reading.telephone is None
