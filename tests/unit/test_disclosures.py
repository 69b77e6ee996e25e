"""What leaves for a model, on which basis, and what is written down about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fhir_mappings.identifiers import words
from guardrails import codebook
from guardrails.visit import Visit
from plugin import disclosures, pipeline, privacy
from plugin.cli import main
from plugin.proposers.protocol import ModelUnavailable
from plugin.settings import EhrSettings, Limits, ModelSettings, Payers, Settings
from plugin.site import bundle_records, proposer_of
from plugin.snapshot import Snapshot
from plugin.store.store import Store
from plugin.workbench import Site
from sandbox import fixtures
from tests.conftest import TODAY, skills
from tests.scripted import Answer, ScriptedServer

REAL = EhrSettings(base_url="https://ehr.example/fhir")
ORDINARY = ModelSettings(base_url="https://model.example/v1", basis="BAA 12")
COVERING = ModelSettings(base_url="https://model.example/v1", basis="BAA 12", protected_basis="QSOA 7")
FORMS = (words("CLINICIAN", "Tobias Renner"),)
BASIS = replace(TODAY, disclosure_basis="Consent/k")


def labelled(*labels: str) -> Visit:
    return skills(labels=frozenset(labels))


@pytest.mark.parametrize("label", ["42CFRPart2", "SUD", "R", "HIV", "ETH"])
def test_a_protected_record_leaves_only_under_an_agreement_that_covers_it(label: str) -> None:
    """The client's consent alone is not the host's agreement: the visit holds and nothing is sent."""
    with pytest.raises(privacy.Closed) as closed:
        privacy.open_gate(labelled(label), BASIS, FORMS, REAL, ORDINARY)
    assert [f.rule_id for f in closed.value.findings] == ["PRIV-021"]
    assert privacy.open_gate(labelled(label), BASIS, FORMS, REAL, COVERING)


def test_the_agreement_alone_is_not_the_clients_consent() -> None:
    """Without a basis for its use the record is not even read for a person."""
    with pytest.raises(privacy.Closed) as closed:
        privacy.open_gate(labelled("42CFRPart2"), TODAY, FORMS, REAL, COVERING)
    assert [f.rule_id for f in closed.value.findings] == ["PRIV-020"]


def test_what_stays_in_this_process_needs_no_agreement_with_a_host() -> None:
    """The offline baseline is no recipient."""
    assert privacy.open_gate(labelled("42CFRPart2"), BASIS, FORMS, REAL, None)


def report(visit: Visit, model: ModelSettings = COVERING) -> dict[str, Any]:
    outgoing = privacy.open_gate(visit, BASIS, FORMS, REAL, model)
    return disclosures.of(visit, BASIS, outgoing, "model.example", "m-1", model).as_json()


def test_the_report_names_notes_form_host_and_basis() -> None:
    """Ids, hashes and counts; never a word of the note."""
    said = report(labelled("42CFRPart2"))
    assert (said["host"], said["model"], said["basis"], said["protected_basis"], said["consent"]) == (
        "model.example",
        "m-1",
        "BAA 12",
        "QSOA 7",
        "Consent/k",
    )
    assert said["labels"] == ["42CFRPart2"]
    (note,) = said["notes"]
    assert note["note"] == "note-1"
    assert note["replaced"] == {"CLINICIAN": 1}
    assert "Renner" not in str(said)
    assert "budget" not in str(said)


def test_an_ordinary_record_names_no_consent() -> None:
    """What was not needed is not claimed."""
    said = report(skills())
    assert (said["protected_basis"], said["consent"], said["labels"]) == (None, None, [])


def test_the_command_shows_what_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a request, one a note; and says so where nothing left."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLAIMWRIGHT_DATA_DIR", str(tmp_path))
    store = Store.open(Settings(data_dir=tmp_path))
    visit = labelled("42CFRPart2")
    store.keep_snapshot(Snapshot("k" * 64, TODAY.today, {}), visit.ehr_id, visit.id)
    outgoing = privacy.open_gate(visit, BASIS, FORMS, REAL, COVERING)
    store.disclosed(
        visit.ehr_id, visit.id, "k" * 64, disclosures.of(visit, BASIS, outgoing, "model.example", "m-1", COVERING)
    )
    store.close()
    shown = CliRunner().invoke(main, ["disclosures", visit.id])
    assert shown.exit_code == 0
    assert (
        "to m-1 at model.example; identifiers replaced: 1 CLINICIAN; basis: QSOA 7; consent: Consent/k" in shown.output
    )
    assert "DocumentReference/note-1 version 1, SHA-256 " in shown.output
    assert "nothing of that visit" in CliRunner().invoke(main, ["disclosures", "other"]).output


@pytest.mark.parametrize(("model_basis", "findings", "asked"), [(None, ["PRIV-021"], False), ("QSOA 7", [], True)])
def test_a_visit_that_may_not_leave_is_held_and_the_model_is_not_asked(
    model_basis: str | None, findings: list[str], asked: bool, scripted: ScriptedServer
) -> None:
    """Through the whole pipeline: with an agreement the model's host is called, without one nobody is."""
    scripted.script(Answer(500))
    ehr = fixtures.ehr("real").model_copy(update={"sandbox": False})
    model = ModelSettings(base_url=f"{scripted.base}/v1", basis="BAA 12", protected_basis=model_basis)
    settings = Settings(ehr=ehr, model=model, limits=Limits(model_total_seconds=0.1))
    bundle = fixtures.load_one(fixtures.ROOT / "development" / "part2-with-consent").bundle()
    (record,) = bundle_records(settings, bundle)
    book = codebook.load()
    built = Site(
        settings=settings,
        codebook=book,
        payers=Payers.read(None),
        proposer=proposer_of(settings, book),
        read=lambda _: record,
    )
    if asked:
        with pytest.raises(ModelUnavailable):
            pipeline.code_visit(built, "part2-with-consent")
    else:
        result = pipeline.code_visit(built, "part2-with-consent")
        assert [f.rule_id for f in result.verdicts.findings] == findings
        assert result.claim is None
    assert bool(scripted.requests) == asked
