"""The command line: what it prints, how it exits, and what it says about input that it cannot use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from plugin.cli import main
from sandbox import fixtures
from tests.scripted import ScriptedServer

VISIT = fixtures.load_one(fixtures.ROOT / "development" / "h2014-45-minutes")
QUOTES = ["Start time: 2:00 PM", "Stop time: 2:45 PM"]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in an empty folder, with the sandbox's payers and no model."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLAIMWRIGHT_EHR__SANDBOX", "true")
    monkeypatch.setenv("CLAIMWRIGHT_EHR__BILLING_PROVIDER", f"Organization/{tmp_path.name[:40]}")
    monkeypatch.setenv("CLAIMWRIGHT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CLAIMWRIGHT_PAYERS_FILE", str(fixtures.PAYERS))
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The plain visit as a Bundle file."""
    path = tmp_path / "visit.json"
    path.write_text(json.dumps(VISIT.bundle()))
    return path


def proposals(folder: Path, content: Any) -> Path:
    path = folder / "proposals.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_check_proves_proposals_without_server_or_model(run: Run, bundle: Path, tmp_path: Path) -> None:
    """A ready line exits 0 and shows its arithmetic."""
    asked = proposals(tmp_path, [{"code": "H2014", "units": 3, "modifiers": ["HN"], "quotes": QUOTES}])
    result = run("check", "--bundle", bundle, "--proposals", asked, "--as-of", "2026-03-09")
    assert result.exit_code == 0
    assert "lines that stand: H2014 x 3" in result.output
    assert "45 documented minutes, 3 x 15" in result.output


def test_check_exits_1_when_something_is_held_and_prints_json(run: Run, bundle: Path, tmp_path: Path) -> None:
    """Per proposal its outcome, findings with rule and authority, and the lower value that fits."""
    asked = proposals(tmp_path, [{"code": "H2014", "units": 4, "quotes": QUOTES}, {"code": "H20"}])
    result = run("check", "--bundle", bundle, "--proposals", asked, "--json")
    assert result.exit_code == 1
    said = json.loads(result.output)
    assert [v["outcome"] for v in said["verdicts"]] == ["held", "rejected"]
    assert said["verdicts"][0]["fix"] == {"code": "H2014", "units": 3}
    assert [f["rule"] for f in said["verdicts"][1]["findings"]] == ["CODE-010"]


def test_a_policy_file_replaces_the_payers_policy(run: Run, bundle: Path, tmp_path: Path) -> None:
    """Four units at 53 minutes need a payer that counts from the eighth minute; here a cap of two refuses three."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'id = "mine"\npayer = "Mine"\nsource = "manual p. 7"\neffective_from = 2026-01-01\nkind = "medicaid"\nquarter_hour = "FLOOR15"\n[[caps]]\ncodes = ["H2014"]\nunits = 2\nper = "day"\neffect = "block"\nsource = "manual p. 7"\n'
    )
    asked = proposals(tmp_path, [{"code": "H2014", "units": 3, "quotes": QUOTES}])
    result = run("check", "--bundle", bundle, "--proposals", asked, "--policy", policy, "--json")
    assert [f["rule"] for f in json.loads(result.output)["verdicts"][0]["findings"]] == ["UNIT-041"]


def test_policy_diff_of_a_bundle_asks_no_model_and_names_what_it_cannot_read(
    run: Run, tmp_path: Path, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model configured the baseline proposes; an Encounter with a wrong status ends its own comparison alone."""
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base)
    monkeypatch.setenv("CLAIMWRIGHT_LIMITS__MODEL_TOTAL_SECONDS", "1")
    file, two = tmp_path / "two.json", VISIT.bundle()
    broken = next(r for r in VISIT.resources if r["resourceType"] == "Encounter") | {"id": "broken", "status": {}}
    two["entry"].append({"resource": broken})
    file.write_text(json.dumps(two))
    result = run("policy", "diff", "medicaid-generic", "florida-medicaid-2025", "--bundle", file)
    assert result.exit_code == 0, result.output
    assert scripted.requests == []
    assert "note: Encounter/broken: " in result.output
    assert "1 visits, 1 lines proposed: 1 change" in result.output


def test_propose_from_a_bundle_shows_the_claim_and_keeps_nothing(run: Run, bundle: Path, tmp_path: Path) -> None:
    """The baseline proposes; the draft Claim is printed, no store is made."""
    result = run("propose", "--bundle", bundle, "--json")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert said["proposer"] == "baseline-1"
    assert said["claim"]["item"][0]["quantity"]["value"] == 3
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "proposals.json: not valid JSON"),
        ({"code": "H2014"}, "proposals.json: expected a list"),
        ([[]], "proposals.json: [0]: expected an object"),
        ([{"units": 1}], "proposals.json: [0].code: expected text"),
        ([{"code": "H2014"}, {"code": 7}], "proposals.json: [1].code: expected text"),
        ([{"code": "H2014", "quotes": "x"}], "proposals.json: [0].quotes: expected a list"),
        ([{"code": "H2014", "quotes": [7]}], "proposals.json: [0].quotes[0]: expected words"),
        ([{"code": "H2014", "modifiers": [7]}], "proposals.json: [0].modifiers[0]: expected text"),
        ([{"code": "H2014", "unit": 3}], "proposals.json: [0]: unknown field 'unit'"),
    ],
)
def test_unusable_proposals_are_named_by_place(
    run: Run, bundle: Path, tmp_path: Path, content: Any, complaint: str
) -> None:
    """Exit code 2, one line, where and what is expected."""
    result = run("check", "--bundle", bundle, "--proposals", proposals(tmp_path, content))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"claimwright: {complaint}")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[]", "expected a FHIR Bundle, found a list"),
        ('{"resourceType": "Patient"}', "expected a FHIR Bundle, found a Patient"),
        ('{"resourceType": "Bundle"}', "the Bundle holds no Encounter"),
        ("nonsense", "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_an_unusable_bundle_is_named(run: Run, tmp_path: Path, content: str, complaint: str) -> None:
    """What it is instead, and exit code 2."""
    path = tmp_path / "visit.json"
    path.write_text(content)
    result = run("propose", "--bundle", path)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_one_bad_entry_does_not_fail_the_others(run: Run, tmp_path: Path) -> None:
    """A Bundle with broken entries beside a good visit: the visit is coded, each broken thing is named without values."""
    content = VISIT.bundle()
    content["entry"] += [
        {"resource": None},
        {
            "resource": {
                "resourceType": "Coverage",
                "id": "c2",
                "order": "first",
                "beneficiary": {"reference": f"Patient/{VISIT.name}-patient"},
            }
        },
    ]
    path = tmp_path / "visit.json"
    path.write_text(json.dumps(content))
    said = json.loads(run("propose", "--bundle", path, "--json").output)
    assert said["claim"]["item"]
    assert any(p.startswith("Bundle.entry[") for p in said["problems"])
    assert any(p.startswith("Coverage/c2: order:") and "first" not in p for p in said["problems"])


def test_references_by_full_url_are_resolved(run: Run, tmp_path: Path) -> None:
    """A Bundle that refers by urn:uuid, as exports do, is the same visit."""
    content = VISIT.bundle()
    text = json.dumps(content)
    for n, entry in enumerate(content["entry"]):
        place = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        text = text.replace(f'"reference": "{place}"', f'"reference": "urn:uuid:{n:036}"')
    content = json.loads(text)
    for n, entry in enumerate(content["entry"]):
        entry["fullUrl"] = f"urn:uuid:{n:036}"
    path = tmp_path / "visit.json"
    path.write_text(json.dumps(content))
    assert "urn:uuid" in path.read_text()
    assert json.loads(run("propose", "--bundle", path, "--json").output)["claim"]["item"]


def test_codes_tells_a_meaning_that_changed_with_the_date(run: Run) -> None:
    """G0136 is another service from 2026-01-01 on."""
    assert "physical-activity" in run("codes", "G0136", "--on", "2026-03-01").output.lower()
    assert run("codes", "H20").exit_code == 2
    assert "not in the loaded tables" in run("codes", "H0099").stderr


def test_rules_lists_each_rule_with_its_authority(run: Run) -> None:
    """One rule or all."""
    assert "domain 3.5" in run("rules", "UNIT-060").output
    assert run("rules").output.count("EVID-010") == 1
    assert run("rules", "NO-1").exit_code == 2


def test_an_ehr_that_is_not_there_is_exit_3(run: Run) -> None:
    """Try again later; nothing was written."""
    result = run("propose", "--encounter", "e", "--fhir-base", "http://127.0.0.1:9/fhir", "--dry-run")
    assert result.exit_code == 3
    assert "no answer from the EHR" in result.stderr


def test_a_wrong_setting_is_named_without_its_value(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2 and the setting's name."""
    monkeypatch.setenv("CLAIMWRIGHT_EHR__ID", "Not An Id")
    result = run("drafts")
    assert result.exit_code == 2
    assert "ehr.id" in result.stderr
    assert "Not An Id" not in result.stderr


def test_help_says_what_exit_codes_mean(run: Run) -> None:
    """Every command has its help."""
    assert "Exit codes" in run("--help").output
    for command in main.commands:
        assert len(run(command, "--help").output.splitlines()) > 4


def test_explain_leads_from_quote_to_arithmetic_to_claim(run: Run, sandbox_base: str) -> None:
    """Written through the real server, then explained: offsets by default, the words only on request, the Claim's place."""
    written = run("propose", "--encounter", VISIT.name, "--fhir-base", sandbox_base)
    assert "written to the EHR" in written.output
    told = run("explain", VISIT.name)
    assert "45 documented minutes, 3 x 15 -> 3 unit(s)" in told.output
    assert "Claim/" in told.output
    assert "envelope" not in told.output
    assert "envelope" in run("explain", VISIT.name, "--quotes").output
    assert json.loads(run("explain", VISIT.name, "--json").output)["claim"]["resourceType"] == "Claim"
    assert run("purge", VISIT.name).output == "purged\n"
    assert run("explain", VISIT.name, "--quotes").exit_code == 2
    assert run("explain", "nothing").exit_code == 2
    assert VISIT.name in run("drafts").output
