"""The one way in: what is put together of proposals, facts, shares and lines, and what is taken away again."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations
from typing import Any

import pytest

from guardrails import Outcome, Proposal, check
from guardrails.check import read_notes, with_facts
from guardrails.codebook import Codebook
from guardrails.edit_tables import UnitLimits
from guardrails.evidence import prove as proof_of
from guardrails.policies import Cap, CodePolicy, Counted, Period, Policy
from guardrails.verdict import Quoted
from guardrails.visit import Clinician, Known, OtherLine
from tests.conftest import BACHELOR, DAY, LCSW, SKILLS, TODAY, Prove, a_note, a_visit, asked, ids, skills
from tests.spec.test_edge_cases import TABLE, case_of, policy_of, proposal_of
from tests.unit.test_cure import fact

MODULE: Any = sys.modules["guardrails.check"]  # the package names the function so
HN = ("HN",)


def test_a_reading_that_the_caller_has_is_not_made_again(book: Codebook, whole_unit: Policy) -> None:
    """The same verdicts with it; what it does not hold is not known."""
    visit, proposal = skills(), asked("H2014", 3, modifiers=HN)
    own = check(visit, TODAY, [proposal], (), book, whole_unit)
    assert check(visit, TODAY, [proposal], (), book, whole_unit, readings=read_notes(visit, book)) == own
    assert "CODE-071" in ids(check(visit, TODAY, [proposal], (), book, whole_unit, readings={}))


def test_a_line_rests_on_its_quotes(prove: Prove) -> None:
    """The draft shows the words that were found, where they stand."""
    visit = skills()
    proposal = asked("H2014", 3, "Signed by", "budgeting with envelopes", modifiers=HN)
    (line,) = prove(visit, proposal).lines
    assert line.quotes == proof_of(proposal, visit).spans
    assert len(line.quotes) == 2


@pytest.mark.parametrize(
    ("modifiers", "lines", "fits"),
    [
        (HN, (), True),
        (("HN", "HO"), (), False),
        (HN, (OtherLine(code="H2017", date_of_service=DAY, clinician_id=BACHELOR.id),), False),
    ],
)
def test_a_lower_value_is_named_only_where_it_would_be_enough(
    prove: Prove, modifiers: tuple[str, ...], lines: tuple[OtherLine, ...], fits: bool
) -> None:
    """Not on a line that is rejected, nor where another line or claim stands in the way."""
    context = replace(TODAY, client_lines=Known(lines))
    (verdict,) = prove(skills(), asked("H2014", 4, modifiers=modifiers), context=context).verdicts
    assert (verdict.fix is not None) is fits


def test_what_is_said_of_the_installation(prove: Prove, book: Codebook, whole_unit: Policy) -> None:
    """Once a visit, of the tables that its lines use and of the policy; nothing where all is dated."""
    line = asked("H2014", 3, modifiers=HN)
    last = book.tables["hcpcs"].covers_through
    for day, late in ((last, False), (last + timedelta(days=1), True)):
        policy = whole_unit.model_copy(update={"effective_through": last})
        visit = skills(date_of_service=day, starts=None, ends=None)
        context = replace(TODAY, today=day)
        said = prove(visit, line, policy=policy, context=context).notices
        ends = f"Table hcpcs ends on {last.isoformat()}, before the date of service: load a newer one."
        assert said == ((ends, "Policy medicaid-whole-unit is not dated for this date of service.") if late else ())
        unknown = prove(visit, asked("H20", 3), policy=whole_unit, context=context).notices
        assert unknown == ()


def test_a_credential_is_supplied_with_all_that_it_stands_for(book: Codebook) -> None:
    """On the performer and on the performer's own notes; other authors keep theirs."""
    nameless = Clinician(id="prac-1")
    notes = (a_note("a", author=nameless), a_note("b", author=LCSW, note_id="b"), replace(a_note("c"), author=None))
    visit = a_visit(*notes, rendering=nameless)
    changed, supplied, refused = with_facts(visit, [fact("C07", "MD")], book)
    known = Clinician(id="prac-1", level="MD", physician=True)
    assert changed == replace(visit, rendering=known, notes=changed.notes)
    assert [n.author for n in changed.notes] == [known, LCSW, None]
    assert (supplied, refused) == (frozenset(), ())
    changed, _, _ = with_facts(visit, [fact("C07", "BA")], book)
    assert changed.rendering == Clinician(id="prac-1", level="BA", education_modifier="HN")


@pytest.mark.parametrize(
    ("element", "value"), [("C04", "98"), ("C07", "wizard"), ("C03", "45"), ("C22", " "), ("C23", "")]
)
def test_a_fact_that_is_refused_is_named(element: str, value: str, book: Codebook) -> None:
    """What no table knows, what only the note can say, and what is empty."""
    visit = skills(place_of_service=None, rendering=Clinician(id="x"))
    changed, supplied, refused = with_facts(visit, [fact(element, value)], book)
    assert (changed, supplied) == (visit, frozenset())
    said = f"A supplied fact ({element}) was not used: the record already says, or only the note can."
    assert [f.message for f in refused] == [said]


def test_facts_are_looked_at_one_by_one(book: Codebook) -> None:
    """One that is refused ends nothing, and what was supplied is kept together."""
    visit = skills(place_of_service=None, rendering=None)
    facts = [fact("C03", "45"), fact("C07", "BA"), fact("C04", "12"), fact("C22", "plan"), fact("C23", "A-1")]
    changed, supplied, refused = with_facts(visit, facts, book)
    assert changed.place_of_service == "12"
    assert supplied == {"C22", "C23"}
    assert len(refused) == 2


def pooling(whole_unit: Policy, *codes: str) -> Policy:
    own = {code: CodePolicy(counted=Counted.POOLED15) for code in codes}
    return whole_unit.model_copy(update={"codes": {**whole_unit.codes, **own}})


def contacts() -> Any:
    rehab = SKILLS.replace("Skills training", "Psychosocial rehabilitation")
    return a_visit(
        a_note(SKILLS.format(start="2:00 PM", stop="2:08 PM")),
        a_note(rehab.format(start="3:00 PM", stop="3:08 PM"), note_id="note-2"),
    )


FIRST = asked("H2014", 1, "Start time: 2:00 PM", modifiers=HN)
ALONE = "8 documented minutes, 1 x 15"
SECOND = asked("H2017", 1, "Start time: 3:00 PM", modifiers=HN)


@pytest.mark.parametrize(
    ("pooled", "proposals", "expected"),
    [
        ("H2014 H2017", [FIRST, SECOND], ["8 of 16 documented minutes, 1 of 1 x 15 pooled", None]),
        (
            "H2014 H2017",
            [asked("H2014", 1, "Start time: 2:00 PM", "of nobody"), FIRST, SECOND],
            ["", "8 of 16 documented minutes, 1 of 1 x 15 pooled", None],
        ),
        ("H2014 H2017", [asked("H20"), FIRST, SECOND], [None, "8 of 16 documented minutes, 1 of 1 x 15 pooled", None]),
        ("H2014 H2017", [asked("H0032"), FIRST, SECOND], ["", "8 of 16 documented minutes, 1 of 1 x 15 pooled", None]),
        ("H2014 H2017", [FIRST], [ALONE]),
        ("H2014", [FIRST, SECOND], [ALONE, None]),
        ("H2017", [SECOND, FIRST], [ALONE, None]),
        ("H2014 H2017", [SECOND, FIRST, FIRST], [None, "8 of 16 documented minutes, 1 of 1 x 15 pooled", ""]),
    ],
)
def test_quarter_hours_of_one_clinicians_day_are_pooled(
    pooled: str, proposals: list[Proposal], expected: list[str | None], book: Codebook, whole_unit: Policy
) -> None:
    """Of the codes that the payer pools, each once; what has no code, no minutes or another rule is left out."""
    policy = pooling(whole_unit, *pooled.split())
    verdicts = check(contacts(), TODAY, proposals, (), book, policy).verdicts
    for verdict, arithmetic in zip(verdicts, expected, strict=True):
        if arithmetic != "":
            assert (verdict.line and verdict.line.arithmetic) == arithmetic


def test_minutes_in_doubt_take_no_part_in_a_pool(book: Codebook, whole_unit: Policy) -> None:
    """The other code then has its own minutes alone."""
    nowhere = asked("H2017", 1, "Signed by", modifiers=HN)  # it covers neither time
    policy = pooling(whole_unit, "H2014", "H2017")
    first = check(contacts(), TODAY, [nowhere, FIRST], (), book, policy).verdicts[1]
    assert first.line
    assert first.line.arithmetic == ALONE


def test_of_one_code_in_a_pool_the_longer_minutes_count(book: Codebook, whole_unit: Policy) -> None:
    """Not both, and not the first."""
    text = SKILLS.format(start="2:00 PM", stop="2:08 PM").replace(
        "Stop time: 2:08 PM", "Stop time: 2:08 PM\nStart time: 2:30 PM\nStop time: 2:50 PM"
    )
    visit = contacts()
    mine = replace(visit, notes=replace(visit.notes, notes=(a_note(text), visit.notes.notes[1])))
    short, long = (asked("H2014", 1, f"Start time: {at} PM", modifiers=HN) for at in ("2:00", "2:30"))
    policy = pooling(whole_unit, "H2014", "H2017")
    for order in ([short, long, SECOND], [long, short, SECOND]):
        lines = [v.line for v in check(mine, TODAY, order, (), book, policy).verdicts[:2] if v.line]
        assert [line.arithmetic for line in lines] == ["20 of 28 documented minutes, 1 of 2 x 15 pooled"]


def test_without_a_clinician_nothing_is_pooled_and_no_line_stands(book: Codebook, whole_unit: Policy) -> None:
    """Whose day it is is then not known."""
    visit = contacts()
    nobodys = tuple(replace(n, author=None) for n in visit.notes)
    mine = replace(visit, rendering=None, notes=replace(visit.notes, notes=nobodys))
    verdicts = check(mine, TODAY, [FIRST, SECOND], (), book, pooling(whole_unit, "H2014", "H2017"))
    assert [v.line for v in verdicts.verdicts] == [None, None]
    assert "CODE-064" in ids(verdicts)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_each_line_has_the_times_of_its_own_clinicians_notes(order: tuple[int, ...], prove: Prove) -> None:
    """Two clinicians' notes on one day, whichever line is looked at first."""
    notes = (
        a_note(SKILLS.format(start="2:00 PM", stop="2:45 PM")),
        a_note(SKILLS.format(start="3:00 PM", stop="3:30 PM"), note_id="note-2", author=LCSW),
    )
    proposals = [asked("H2014", 3, "Start time: 2:00 PM"), asked("H2014", 2, "Start time: 3:00 PM")]
    verdicts = prove(a_visit(*notes), *[proposals[i] for i in order]).verdicts
    minutes = {v.line.rendering_id: v.line.minutes.minutes for v in verdicts if v.line and v.line.minutes}
    assert minutes == {BACHELOR.id: 45, LCSW.id: 30}


def test_a_crowded_note_holds_each_line_that_rests_on_it(prove: Prove) -> None:
    """Its times are not known, and those of a note beside it are not taken for all."""
    crowded = a_note("Session 2:00 PM - 2:45 PM\n" + "1-1 " * 1200, note_id="note-2")
    visit = a_visit(*skills().notes.notes, crowded)
    verdicts = prove(visit, asked("H2014", 3, modifiers=HN), asked("H2017", 1, modifiers=HN))
    for position, verdict in enumerate(verdicts.verdicts):
        assert "TIME-038" in ids(verdicts, position)
        assert verdict.line is None or verdict.line.minutes is None
        assert verdict.outcome is not Outcome.READY


def test_limits_and_caps_hold_on_the_date_and_for_the_lines_own_modifiers(
    prove: Prove, book: Codebook, whole_unit: Policy
) -> None:
    """A limit that begins on the day, a cap of lines without programme or education."""
    table = UnitLimits("a table", "medicaid", DAY, {"H2014": 2})
    limited = replace(book, edits=replace(book.edits, limit_tables=(table,)))
    line = asked("H2014", 3, modifiers=HN)
    assert "UNIT-042" in ids(check(skills(), TODAY, [line], (), limited, whole_unit))
    caps = tuple(
        Cap(codes=("H2014",), units=units, per=Period.DAY, source="a manual", **kind)
        for units, kind in ((2, {"unmodified": True}), (9, {"modifiers": frozenset({"HN"})}))
    )
    capped = whole_unit.model_copy(update={"caps": caps})
    assert "UNIT-041" not in ids(prove(skills(), line, policy=capped))
    assert "UNIT-041" in ids(prove(skills(), asked("H2014", 3), policy=capped))


@pytest.mark.parametrize("number", range(2))
def test_of_two_that_differ_in_what_was_asked_the_same_one_stands(
    number: int, book: Codebook, whole_unit: Policy
) -> None:
    """Whichever comes first: what its quote is said to show tells them apart."""
    one, other = (
        Proposal("H2014", 3, HN, quotes=(Quoted("Signed by", element=element),)) for element in ("S01", "S02")
    )
    proposals = [(one, other), (other, one)][number]
    verdicts = check(skills(), TODAY, proposals, (), book, whole_unit).verdicts
    assert {v.proposal: v.outcome for v in verdicts} == {one: Outcome.READY, other: Outcome.REJECTED}


@pytest.mark.parametrize(
    ("proposal", "expected"),
    [
        (
            Proposal(
                "H2014", 3, ("HN", "HQ"), (Quoted("words", "S01", "note-1"), Quoted("more")), "urn:x", ("F20.9", "I10")
            ),
            ("3", "HN HQ", "F20.9 I10", "urn:x", "note-1|S01|words", "None|None|more"),
        ),
        (Proposal("H2014", "3"), ("'3'", "", "", "None")),
        (Proposal("H2014", 2**63 - 1), (str(2**63 - 1), "", "", "None")),
        (Proposal("H2014", 2**63), ("64 bits", "", "", "None")),
    ],
)
def test_what_was_asked_can_be_put_in_order(proposal: Proposal, expected: tuple[str, ...]) -> None:
    """As text, of bounded length for numbers that nobody would print."""
    assert MODULE._asked(proposal) == expected


def test_line_ids_do_not_know_in_which_order_proposals_came(book: Codebook, whole_unit: Policy) -> None:
    """Numbered among lines of the code by what the line is."""
    proposals = [asked("H2014", 3, modifiers=m) for m in (("HN", "59"), ("HN", "XE"), ("HN", "76"))]
    for order in permutations([*proposals, asked("H20"), asked("H0032")]):
        verdicts = check(skills(), TODAY, order, (), book, whole_unit).verdicts
        named = {v.proposal.modifiers[1]: v.line.id for v in verdicts if v.line and v.line.code == "H2014"}
        assert named == {"59": "visit-1.H2014.1", "76": "visit-1.H2014.2", "XE": "visit-1.H2014.3"}


def test_a_visit_without_a_date_stops_before_any_line(book: Codebook, whole_unit: Policy) -> None:
    """Each proposal says so."""
    verdicts = check(skills(date_of_service=None), TODAY, [FIRST, SECOND], (), book, whole_unit)
    assert [(v.outcome, [f.rule_id for f in v.findings], v.line) for v in verdicts.verdicts] == [
        (Outcome.HELD, ["VISIT-030"], None)
    ] * 2
    assert [f.rule_id for f in verdicts.findings] == ["VISIT-030"]


@pytest.mark.cpt
@pytest.mark.parametrize(("begins", "fits"), [(DAY, "99213"), (DAY + timedelta(days=1), None)])
def test_the_lower_level_of_a_visit_is_one_of_the_date(begins: date, fits: str | None, book: Codebook) -> None:
    """A code that begins later is no fix."""
    row = next(row for row in TABLE if row["case"] == "4.6 TH10 below")
    visit, context = case_of(row)
    lower = book.find("99213", DAY)
    assert lower
    dated = replace(book, codes={**book.codes, "99213": (replace(lower, in_force_from=begins),)})
    (verdict,) = check(visit, context, [proposal_of(row["proposed"])], (), dated, policy_of(row["payer"])).verdicts
    assert (verdict.fix and verdict.fix.code) == fits
