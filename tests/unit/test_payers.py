"""Who pays, in which order, under which policy; and what the site says that labels do not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhir_mappings import claims
from fhir_mappings.records import SiteOptions, VisitRecord
from fhir_mappings.visits import to_visit
from guardrails.codebook import Codebook
from guardrails.visit import Coverage, Visit
from plugin.settings import Payers, SettingsError
from tests.conftest import Prove, asked, ids, skills

Json = dict[str, Any]


def coverage(logical_id: str, payer: str, **changes: Any) -> Json:
    return {
        "resourceType": "Coverage",
        "id": logical_id,
        "status": "active",
        "beneficiary": {"reference": "Patient/1"},
        "payor": [{"reference": f"Organization/{payer}"}],
    } | changes


def mapped(book: Codebook, *others: Json, options: SiteOptions | None = None, **encounter: Any) -> Visit:
    """A visit of Patient/1 with these resources around it."""
    payers: list[Json] = [
        {"resourceType": "Organization", "id": name, "identifier": [{"system": "x", "value": name.upper()}]}
        for name in ("a", "b")
    ]
    record = VisitRecord(
        ehr_id="t",
        encounter={
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "subject": {"reference": "Patient/1"},
            "period": {"start": "2026-03-02T13:55:00-05:00"},
        }
        | encounter,
        others=(*payers, *others),
    )
    return to_visit(record, options or SiteOptions(zone="America/New_York"), book).visit


SELF = {"type": {"coding": [{"code": "pay"}]}}
ACCOUNT = {
    "resourceType": "Account",
    "id": "acc",
    "coverage": [
        {"coverage": {"reference": "Coverage/c1"}, "priority": 2},
        {"coverage": {"reference": "Coverage/c2"}, "priority": 1},
    ],
}


@pytest.mark.parametrize(
    ("others", "encounter", "order", "known"),
    [
        ([], {}, [], True),
        ([coverage("c1", "a")], {}, ["c1"], True),
        ([coverage("c1", "a", order=2), coverage("c2", "b", order=1)], {}, ["c2", "c1"], True),
        ([coverage("c1", "a"), coverage("c2", "b")], {}, ["c1", "c2"], False),
        ([coverage("c1", "a", order=1), coverage("c2", "b", order=1)], {}, ["c1", "c2"], False),
        ([coverage("c1", "a", order=1), coverage("c2", "b")], {}, ["c1", "c2"], False),
        ([coverage("c1", "a", order=1), coverage("c2", "b", status="cancelled")], {}, ["c1"], True),
        ([coverage("c1", "a"), coverage("c2", "b", period={"end": "2026-03-01"})], {}, ["c1"], True),
        ([coverage("c1", "a", **SELF), coverage("c2", "b")], {}, ["c2", "c1"], True),
        ([coverage("c1", "a", period={"end": "2025-12"}), coverage("c2", "b")], {}, ["c2"], True),
        ([coverage("c1", "a", period={"end": "12/31/2025"}), coverage("c2", "b")], {}, ["c2"], True),
        ([coverage("c1", "a", period={"start": "2026-04"}), coverage("c2", "b")], {}, ["c2"], True),
        ([coverage("c1", "a", period={"start": "soon"}), coverage("c2", "b")], {}, ["c2"], True),
        ([coverage("c1", "a", period={"start": "2026", "end": "2026-03"})], {}, ["c1"], True),
        (
            [coverage("c1", "a", order=1), coverage("c2", "b", order=2), ACCOUNT | {"status": "entered-in-error"}],
            {"account": [{"reference": "Account/acc"}]},
            ["c1", "c2"],
            True,
        ),
        (
            [coverage("c1", "a", order=1), coverage("c2", "b", order=2), ACCOUNT],
            {"account": [{"reference": "Account/acc"}]},
            ["c2", "c1"],
            True,
        ),
        ([coverage("c1", "a", order=1), coverage("c2", "b", order=2), ACCOUNT], {}, ["c1", "c2"], True),
    ],
)
def test_the_order_of_payers_is_the_records(
    book: Codebook, others: list[Json], encounter: Json, order: list[str], known: bool
) -> None:
    """The visit's Account decides, else Coverage.order; out of pocket comes last.

    What has lapsed is left out, also where only the month is known, or nobody can read when; so is a mistaken Account.
    """
    visit = mapped(book, *others, **encounter)
    assert [c.id for c in (visit.coverage, *visit.further_coverages) if c.id] == order
    assert visit.payer_order_known is known


def test_a_line_holds_until_the_order_of_payers_is_known(prove: Prove) -> None:
    """Which policy counts depends on who pays first; nobody guesses."""
    assert "PAYER-010" in ids(prove(skills(payer_order_known=False), asked("H2014", 3, modifiers=("HN",))))


def test_the_claim_names_every_payer_in_order(prove: Prove) -> None:
    """One is focal, the first; the others follow by sequence."""
    visit = skills(coverage=Coverage(id="c2", payer="x|B"), further_coverages=(Coverage(id="c1", payer="x|A"),))
    lines = prove(visit, asked("H2014", 3, modifiers=("HN",))).lines
    from datetime import UTC, datetime

    claim = claims.draft_claim(visit, lines, created=datetime(2026, 3, 3, tzinfo=UTC), incomplete=False)
    assert claim["insurance"] == [
        {"sequence": 1, "focal": True, "coverage": {"reference": "Coverage/c2"}},
        {"sequence": 2, "focal": False, "coverage": {"reference": "Coverage/c1"}},
    ]


def payers(tmp_path: Path, text: str) -> Payers:
    path = tmp_path / "payers.toml"
    path.write_text(text, encoding="utf-8")
    return Payers.read(path)


LISTED = """
[[payer]]
payer = "A"
plan = "gold"
policy = "medicare"
[[payer]]
payer = "A"
policy = "medicaid-whole-unit"
through = 2025-12-31
[[payer]]
payer = "A"
policy = "medicaid-midpoint"
from = 2026-01-01
[[payer]]
payer = "y|B"
ehr_id = "east"
policy = "medicare"
"""


@pytest.mark.parametrize(
    ("covered", "ehr", "on", "policy"),
    [
        (Coverage(payer="x|A"), "west", date(2025, 12, 31), "medicaid-whole-unit"),
        (Coverage(payer="x|A"), "west", date(2026, 1, 1), "medicaid-midpoint"),
        (Coverage(payer="x|A", plan="gold"), "west", date(2026, 1, 1), "medicare"),
        (Coverage(payer="x|A", plan="silver"), "west", date(2026, 1, 1), "medicaid-midpoint"),
        (Coverage(payer="y|B"), "east", date(2026, 1, 1), "medicare"),
        (Coverage(payer="y|B"), "west", date(2026, 1, 1), "unknown"),
        (Coverage(payer="z|B"), "east", date(2026, 1, 1), "unknown"),
        (Coverage(), "east", date(2026, 1, 1), "unknown"),
    ],
)
def test_a_payer_and_plan_get_the_policy_of_that_ehr_and_date(
    tmp_path: Path, covered: Coverage, ehr: str, on: date, policy: str
) -> None:
    """The first line that fits counts; a payer without one counts by the lowest rule."""
    assert payers(tmp_path, LISTED).policy_for(covered, ehr, on).id == policy


@pytest.mark.parametrize(
    "wrong", ["[[payer]]\npayer = 'A'", "[[payer]]\npolicy = 'nowhere'\npayer = 'A'", "[[payer", "payer = 3"]
)
def test_a_wrong_payers_file_is_refused_by_name(tmp_path: Path, wrong: str) -> None:
    """Before the first visit is read."""
    with pytest.raises(SettingsError, match=r"payers\.toml"):
        payers(tmp_path, wrong)


@pytest.mark.parametrize("program", ["Location/l", "Organization/o", "Practitioner/p"])
def test_a_programme_that_the_site_names_is_under_part_2_without_any_label(book: Codebook, program: str) -> None:
    """Labels are mostly absent in real data; the site's list matters more (fhir 9 rule 8)."""
    around: Json = {
        "serviceProvider": {"reference": "Organization/o"},
        "location": [{"location": {"reference": "Location/l"}}],
        "participant": [{"individual": {"reference": "Practitioner/p"}}],
    }
    location = {"resourceType": "Location", "id": "l"}
    zone = "America/New_York"
    named = SiteOptions(zone=zone, part2_programs=frozenset({program}))
    assert mapped(book, location, options=named, **around).labels == {"42CFRPart2"}
    other = SiteOptions(zone=zone, part2_programs=frozenset({"Location/elsewhere"}))
    assert mapped(book, location, options=other, **around).labels == frozenset()


def test_labels_of_the_diagnoses_are_labels_of_the_visit(book: Codebook) -> None:
    """A Condition labelled HIV makes the visit that it is a diagnosis of sensitive."""
    condition = {
        "resourceType": "Condition",
        "id": "k",
        "meta": {"security": [{"code": "HIV"}]},
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "F20.9"}]},
    }
    visit = mapped(book, condition, diagnosis=[{"condition": {"reference": "Condition/k"}}])
    assert visit.labels == {"HIV"}
