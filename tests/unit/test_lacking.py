"""Before signing a page says what the record lacks, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from guardrails import check
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.rules import CuredBy
from guardrails.visit import Clinician, Context, Diagnosis, NoteSet, NoteStatus, Visit, VisitStatus
from plugin.proposers.baseline import Baseline
from plugin.review.lacking import is_unsigned, lacking
from plugin.settings import EhrSettings, Payers, Settings
from plugin.workbench import Site, Understood
from tests.conftest import SKILLS, a_note, a_visit, asked

NEAR = SKILLS.format(start="2:00 PM", stop="").replace("Skill taught: budgeting with envelopes. ", "")
PEER = Clinician(id="prac-peer", level="PEER")


def unsigned(text: str, author: Clinician = PEER) -> Visit:
    """A visit in progress whose note nobody signed."""
    note = replace(a_note(text, author=author), status=NoteStatus.UNSIGNED)
    return a_visit(note, status=VisitStatus.UNFINISHED, diagnoses=(), place_of_service=None)


def understood(visit: Visit, policy: Policy) -> Understood:
    """The visit as the pipeline hands it on."""
    return Understood(
        visit, Context(today=date(2026, 3, 2)), policy, {}, (), (), (), knows_patient=True, payer_looked_up=True
    )


def site(book: Codebook) -> Site:
    """A site that reads nothing."""
    settings = Settings(ehr=EhrSettings(id="test", sandbox=True))
    return Site(settings=settings, codebook=book, payers=Payers([], None), proposer=Baseline(book), read=lambda _: None)  # type: ignore[arg-type, return-value]


def test_only_what_completing_the_note_cures_is_said(book: Codebook, whole_unit: Policy) -> None:
    """The check would say more (who may give it, diagnoses, modifiers); here stands what the note does not show, and no code."""
    visit = unsigned(NEAR)
    said = lacking(site(book), understood(visit, whole_unit))
    assert said
    assert all(f.cured_by is CuredBy.NOTE for f in said)
    assert all(f.lacks or f.rule_id.startswith("TIME-") for f in said)
    assert {"DOC-S01", "TIME-011", "DX-010"} <= {f.rule_id for f in said}
    assert not any("H2014" in f.message for f in said)
    signed = NoteSet(tuple(replace(n, status=NoteStatus.SIGNED) for n in visit.notes))
    whole = replace(visit, notes=signed, status=VisitStatus.FINISHED)
    everything = check(whole, Context(today=date(2026, 3, 2)), [asked("H2014", 1)], (), book, whole_unit)
    assert any(f.cured_by is not CuredBy.NOTE for f in everything.verdicts[0].findings)


def test_a_complete_note_lacks_nothing(book: Codebook, whole_unit: Policy) -> None:
    """An empty list, which the page says in a green line."""
    visit = unsigned(SKILLS.format(start="2:00 PM", stop="2:45 PM"))
    whole = replace(visit, diagnoses=(Diagnosis(code="F20.9", condition_id="condition-1", rank=1),))
    assert lacking(site(book), understood(whole, whole_unit)) == ()


def test_a_note_that_names_no_service_yet(book: Codebook, whole_unit: Policy) -> None:
    """None: there is nothing to compare it with."""
    assert lacking(site(book), understood(unsigned("Client came in."), whole_unit)) is None


def test_a_signed_note_beside_an_unsigned_one_is_not_before_signing(book: Codebook, whole_unit: Policy) -> None:
    """The visit can be coded from what is signed."""
    text = SKILLS.format(start="2:00 PM", stop="2:45 PM")
    both = a_visit(a_note(text), replace(a_note(text, note_id="note-2"), status=NoteStatus.UNSIGNED))
    assert not is_unsigned(understood(both, whole_unit))
    assert is_unsigned(understood(unsigned(text), whole_unit))
