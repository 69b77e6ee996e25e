"""Place of service and telehealth: what is said for each place, mark and way in which the note describes the contact."""

from __future__ import annotations

from typing import Any

import pytest

from guardrails import places
from guardrails.codebook import Codebook
from guardrails.policies import Answer, Policy, TelehealthPolicy
from guardrails.verdict import Finding
from tests.conftest import DAY, a_reading, said_of, skills


def said(code: str, place: str | None, marks: str, book: Codebook, policy: Policy, **note: Any) -> list[Finding]:
    meaning = book.find(code, DAY)
    assert meaning
    later = {name: start + 20 for name, start in note.items()}  # of several places the first is shown
    readings = [a_reading(), a_reading(**note), a_reading(**later)]
    return list(places.check(meaning, marks.split(), readings, skills(place_of_service=place), book, policy))


UNMARKED = said_of("MOD-131")


@pytest.mark.parametrize(
    ("code", "place", "expected"),
    [
        ("H2014", None, [said_of("PLACE-010")]),
        ("H2014", "98", [said_of("PLACE-020")]),
        ("H2014", "53", []),
        ("G0017", "11", [said_of("PLACE-030", code="G0017")]),
        ("G0018", "21", [said_of("PLACE-030", code="G0018")]),
        ("G0017", "12", []),
        ("H2014", "11", []),
        *(("H2014", place, [said_of("PLACE-050", code="H2014")]) for place in ("21", "51", "55", "56")),
        ("H0031", "21", []),
        ("H2014", "10", [UNMARKED]),
        ("H2014", "02", [UNMARKED]),
        ("H0030", "10", []),
        ("G0323", "10", []),
    ],
)
def test_where_a_service_can_be_given(
    code: str, place: str | None, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """Known, of the list, outside the office where the code says so, and not in another's care; calls have no place."""
    assert said(code, place, "", book, whole_unit) == expected


@pytest.mark.parametrize(
    ("place", "note", "expected"),
    [
        ("10", {"in_person": 3}, [said_of("PLACE-043", 3), UNMARKED]),
        ("02", {"in_person": 3}, [said_of("PLACE-043", 3), UNMARKED]),
        ("10", {"in_person": 3, "video": 4}, [UNMARKED]),
        ("10", {"client_elsewhere": 3}, [said_of("PLACE-040", 3), UNMARKED]),
        ("10", {"client_elsewhere": 3, "client_at_home": 4}, [UNMARKED]),
        ("10", {"client_at_home": 3}, [UNMARKED]),
        ("02", {"client_at_home": 3}, [said_of("PLACE-041", 3), UNMARKED]),
        ("02", {"client_at_home": 3, "client_elsewhere": 4}, [UNMARKED]),
        ("02", {"client_elsewhere": 3}, [UNMARKED]),
        ("11", {"video": 3}, [said_of("PLACE-042", 3)]),
        ("11", {"telephone": 3}, [said_of("PLACE-042", 3), said_of("MOD-135", 3, code="H2014")]),
        ("11", {"video": 3, "telephone": 2}, [said_of("PLACE-042", 3)]),
        ("11", {"video": 3, "in_person": 4}, []),
        ("11", {"client_at_home": 3}, []),
        ("11", {"in_person": 3}, []),
    ],
)
def test_the_place_against_the_note(
    place: str, note: dict[str, int], expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """A note that says one thing only, against a place that says the other."""
    assert said("H2014", place, "", book, whole_unit, **note) == expected


def test_where_the_client_need_not_be_there_the_note_is_not_asked(book: Codebook, whole_unit: Policy) -> None:
    """Case management may be given to others in the client's place."""
    assert said("T1016", "11", "", book, whole_unit, video=3) == []


@pytest.mark.parametrize(
    ("place", "marks", "note", "telehealth", "expected"),
    [
        ("11", "HN 95", {}, {}, [said_of("MOD-130", modifier="95")]),
        *(("11", mark, {}, {}, [said_of("MOD-130", modifier=mark)]) for mark in "GT GQ 95 93 FQ".split()),
        ("11", "95 GT", {}, {}, [said_of("MOD-130", modifier="95")]),
        ("11", "HN", {}, {}, []),
        ("10", "HN", {}, {}, [UNMARKED]),
        ("10", "HN", {}, {"modifier": "required"}, [said_of("MOD-131", effect="hold")]),
        ("10", "HN", {}, {"modifier": "not_needed"}, []),
        ("10", "95", {}, {}, []),
        ("10", "95", {"telephone": 3}, {}, [said_of("MOD-132", 3, modifier="95")]),
        ("10", "GT", {"telephone": 3}, {}, [said_of("MOD-132", 3, modifier="GT")]),
        ("10", "95", {"telephone": 3, "video": 4}, {}, []),
        ("10", "95", {"telephone": 3, "in_person": 4}, {}, []),
        ("10", "93", {"telephone": 3}, {}, []),
        ("10", "93", {"telephone": 3}, {"audio_only": Answer.BLOCK}, [said_of("MOD-134", 3, effect="block")]),
        ("10", "93", {"video": 3}, {"audio_only": Answer.BLOCK}, []),
    ],
)
def test_marks_of_telehealth(
    place: str,
    marks: str,
    note: dict[str, int],
    telehealth: dict[str, Any],
    expected: list[Finding],
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """A mark without the place, the place without a mark, and a telephone contact marked as picture and sound."""
    policy = whole_unit.model_copy(update={"telehealth": TelehealthPolicy(**telehealth)})
    assert said("H0004", place, marks, book, policy, **note) == expected


@pytest.mark.parametrize(
    ("place", "marks", "expected"),
    [
        ("10", "", [UNMARKED, said_of("MOD-133", 3)]),
        ("10", "95", [said_of("MOD-132", 3, modifier="95"), said_of("MOD-133", 3)]),
        ("10", "93", []),
        ("10", "FQ", []),
        ("11", "", [said_of("PLACE-042", 3)]),
    ],
)
def test_a_telephone_contact_for_medicare(
    place: str, marks: str, expected: list[Finding], book: Codebook, whole_unit: Policy
) -> None:
    """The line says so in one of two ways."""
    medicare = whole_unit.model_copy(update={"kind": "medicare"})
    assert said("H0004", place, marks, book, medicare, telephone=3) == expected


def test_only_what_is_seen_is_unseen_by_telephone(book: Codebook, whole_unit: Policy) -> None:
    """Skills are shown; counsel is spoken."""
    assert said("H2014", "10", "93", book, whole_unit, telephone=3) == [said_of("MOD-135", 3, code="H2014")]
    assert said("H2014", "10", "93", book, whole_unit, video=3) == []
