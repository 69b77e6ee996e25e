"""What stops a visit and what its notes say against it, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from guardrails import visit_status
from guardrails.time_statements import ClockRange, Duration, HalfDay, Role
from guardrails.verdict import Finding
from guardrails.visit import Context, EarlierNote, Known, Note, NoteStatus, VisitStatus
from tests.conftest import DAY, TODAY, a_note, a_reading, a_visit, said_of, skills

SECRET = a_note("x", labels=frozenset({"PSYTHPN"}))
SITES_OWN = "one of the site's own"


@pytest.mark.parametrize(
    ("visit", "notes", "basis", "expected"),
    [
        ("", [a_note("x")], None, []),
        ("PSYTHPN", [a_note("x")], None, [said_of("PRIV-011")]),
        ("HIPAAPsyNotes SUD", [a_note("x")], None, [said_of("PRIV-011")]),
        ("", [SECRET], None, [said_of("PRIV-010")]),
        ("", [SECRET, a_note("x")], None, []),
        ("", [], None, []),
        ("HIPAASelfPay", [a_note("x")], "Consent/1", [said_of("PRIV-030")]),
        ("SUD HIV", [a_note("x")], None, [said_of("PRIV-020", label="HIV, SUD")]),
        ("SUD HIV", [a_note("x")], "Consent/1", []),
        ("", [a_note("x", labels=frozenset({"SUD"}))], None, [said_of("PRIV-020", label="SUD")]),
        ("N PSY", [a_note("x")], None, []),
        ("MASK", [a_note("x")], "Consent/1", [said_of("PRIV-040", label="MASK")]),
        ("OURS", [a_note("x")], None, [said_of("PRIV-040", label=SITES_OWN)]),
        ("OURS THEIRS MASK", [a_note("x")], None, [said_of("PRIV-040", label=f"MASK, {SITES_OWN}")]),
        (
            "HIPAASelfPay SUD OURS",
            [SECRET],
            None,
            [
                said_of("PRIV-010"),
                said_of("PRIV-030"),
                said_of("PRIV-020", label="SUD"),
                said_of("PRIV-040", label=SITES_OWN),
            ],
        ),
    ],
)
def test_labels_that_stop_a_visit(visit: str, notes: list[Note], basis: str | None, expected: list[Finding]) -> None:
    """Psychotherapy notes, self pay, protected records without a basis, and labels that nobody here can judge."""
    mine = a_visit(*notes, labels=frozenset(visit.split()))
    assert list(visit_status.privacy(mine, replace(TODAY, disclosure_basis=basis))) == expected


def test_labels_that_ask_for_a_basis() -> None:
    """In order, of the visit and of its notes, without what is ordinary and without a note that is never read."""
    note = a_note("x", labels=frozenset({"SUD", "PSY"}))
    hidden = replace(SECRET, labels=SECRET.labels | {"VIO"})
    mine = a_visit(note, hidden, labels=frozenset({"N", "HIV"}))
    assert visit_status.protected_labels(mine) == ["HIV", "SUD"]
    assert visit_status.protected_labels(a_visit(a_note("x"))) == []


def a_status(status: NoteStatus, note_id: str = "note-1", **changes: Any) -> Note:
    return a_note("x", note_id=note_id, status=status, **changes)


UNREADABLE = said_of("NOTE-040", note="DocumentReference/note-1", because="a scan")


@pytest.mark.parametrize(
    ("changes", "notes", "expected"),
    [
        ({}, [a_note("x")], []),
        ({"status": VisitStatus.CANCELLED}, [a_note("x")], [said_of("VISIT-010")]),
        ({"status": VisitStatus.ENTERED_IN_ERROR}, [a_note("x")], [said_of("VISIT-010")]),
        ({"status": VisitStatus.UNFINISHED}, [a_note("x")], [said_of("VISIT-020")]),
        ({"date_of_service": None}, [a_note("x")], [said_of("VISIT-030")]),
        ({"date_of_service": date(2026, 3, 9)}, [a_note("x")], []),
        ({"date_of_service": date(2026, 3, 10)}, [a_note("x")], [said_of("VISIT-031")]),
        ({"client_birth_date": DAY}, [a_note("x")], []),
        ({"client_birth_date": DAY + timedelta(days=1)}, [a_note("x")], [said_of("VISIT-032")]),
        ({"client_deceased": DAY}, [a_note("x")], []),
        ({"client_deceased": DAY - timedelta(days=1)}, [a_note("x")], [said_of("VISIT-033")]),
        ({"client_died_undated": True}, [a_note("x")], [said_of("VISIT-034")]),
        ({}, [], [said_of("NOTE-010")]),
        ({}, [SECRET], []),
        ({}, [a_status(NoteStatus.UNREADABLE, unreadable_because="a scan")], [UNREADABLE]),
        (
            {},
            [a_status(NoteStatus.UNREADABLE)],
            [said_of("NOTE-040", note="DocumentReference/note-1", because="unknown reason")],
        ),
        (
            {},
            [a_status(NoteStatus.UNREADABLE, unreadable_because="a scan"), a_status(NoteStatus.UNSIGNED, "b")],
            [UNREADABLE],
        ),
        ({}, [a_status(NoteStatus.UNREADABLE, unreadable_because="a scan"), a_note("x", note_id="b")], [UNREADABLE]),
        ({}, [a_status(NoteStatus.UNREADABLE, labels=frozenset({"PSYTHPN"}))], []),
        ({}, [a_status(NoteStatus.UNSIGNED)], [said_of("NOTE-020")]),
        ({}, [a_status(NoteStatus.UNSIGNED), a_status(NoteStatus.SUPERSEDED, "b")], [said_of("NOTE-020")]),
        ({}, [a_status(NoteStatus.SUPERSEDED)], [said_of("NOTE-030")]),
        ({}, [a_status(NoteStatus.ENTERED_IN_ERROR)], [said_of("NOTE-030")]),
        ({}, [a_status(NoteStatus.UNSIGNED), a_note("x", note_id="b")], []),
        ({}, [a_status(NoteStatus.UNSIGNED), SECRET], [said_of("NOTE-020")]),
        (
            {"status": VisitStatus.UNFINISHED, "client_died_undated": True},
            [],
            [said_of("VISIT-020"), said_of("VISIT-034"), said_of("NOTE-010")],
        ),
    ],
)
def test_what_makes_a_visit_unusable(changes: dict[str, Any], notes: list[Note], expected: list[Finding]) -> None:
    """Its status, impossible dates, and notes of which none may be used."""
    assert list(visit_status.status(a_visit(*notes, **changes), TODAY)) == expected


CLOCK = ClockRange(start=600, end=645, half_day=HalfDay.STATED, role=Role.SESSION, span=(0, 9))
OTHER = Duration(minutes=45, role=Role.OTHER, span=(0, 9))
LENGTH = Duration(minutes=45, role=Role.SESSION, span=(0, 9))
NEXT, THIS = ((DAY + timedelta(days=1)), (4, 5)), (DAY, (6, 7))


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ({}, []),
        ({"no_service": 3}, [said_of("NOTE-060", 3)]),
        ({"no_service": 3, "elements": {"C24": 5}}, [said_of("NOTE-060", 3)]),
        ({"no_service": 3, "times": (CLOCK,)}, [said_of("NOTE-060", 3)]),
        ({"no_service": 3, "elements": {"C24": 5}, "times": (OTHER,)}, [said_of("NOTE-060", 3)]),
        ({"no_service": 3, "elements": {"C24": 5}, "times": (OTHER, LENGTH)}, [said_of("NOTE-061", 3)]),
        ({"no_service": 3, "elements": {"C24": 5}, "times": (CLOCK,)}, [said_of("NOTE-061", 3)]),
        ({"elements": {"C24": 5}, "times": (CLOCK,)}, []),
        ({"service_dates": (NEXT,)}, [said_of("NOTE-050", 4)]),
        ({"service_dates": (NEXT, THIS)}, []),
        ({"service_dates": (THIS,)}, []),
        ({"service_dates": (NEXT, NEXT)}, [said_of("NOTE-050", 4, 4)]),
        ({"subject": 3}, [said_of("NOTE-090", 3)]),
        ({"instruction": 3}, [said_of("NOTE-070", 3)]),
        ({"subject": 3, "instruction": 4}, [said_of("NOTE-090", 3), said_of("NOTE-070", 4)]),
    ],
)
def test_what_a_note_says_against_the_visit(note: dict[str, Any], expected: list[Finding]) -> None:
    """Nobody came, another day, another person, words to a machine; each with its place, in every note."""
    visit = skills()
    assert list(visit_status.attended(visit, TODAY, [a_reading(), a_reading(**note)])) == expected
    assert list(visit_status.attended(visit, TODAY, [a_reading(**note)] * 2)) == expected * 2


BILLS = "who bills it (Encounter.serviceProvider, or the setting ehr.billing_provider)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_id": ""}, [said_of("VISIT-040", who="whose it is (Encounter.subject)")]),
        ({"billing_provider": None}, [said_of("VISIT-040", who=BILLS)]),
        ({"payer_order_known": False}, [said_of("PAYER-010")]),
        ({}, []),
    ],
)
def test_what_a_claim_could_not_be_without(changes: dict[str, Any], expected: list[Finding]) -> None:
    """Whose it is, who bills it, and who pays first."""
    assert list(visit_status.attended(skills(**changes), TODAY, [])) == expected


def test_a_note_copied_or_left_unsigned() -> None:
    """Each copy is said, an unsigned further note once; a psychotherapy note is none of either."""
    notes = (a_note("same"), a_note("same", note_id="b"), a_note("own", note_id="c"))
    context = replace(TODAY, earlier_notes=Known((EarlierNote(id="old", text_hash=notes[0].text_hash),)))
    assert list(visit_status.attended(a_visit(*notes), context, [])) == [said_of("NOTE-080")] * 2
    further = (*notes[2:], a_status(NoteStatus.UNSIGNED, "d"), a_status(NoteStatus.UNSIGNED, "e"))
    assert list(visit_status.attended(a_visit(*further), context, [])) == [said_of("NOTE-021")]
    hidden = a_status(NoteStatus.UNSIGNED, "d", labels=frozenset({"PSYTHPN"}))
    assert list(visit_status.attended(a_visit(notes[2], hidden), context, [])) == []
    assert list(visit_status.attended(a_visit(*notes), Context(today=DAY), [])) == []
