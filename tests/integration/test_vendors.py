"""The whole line against doubles of the big EHRs, in front of the real server: each refuses what that vendor refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from guardrails import Outcome
from plugin import pipeline, site
from plugin.cli import main
from plugin.ehr.client import FhirClient
from plugin.ehr.connect import Works, examine
from plugin.ehr.errors import UnsafeUrl
from plugin.settings import Limits, Settings
from sandbox import fixtures
from sandbox.vendors import INTERNAL_BASE, double

VISIT = "h2014-45-minutes"
EVERY = ("epic", "oracle", "athena", "hapi", "legacy")
PAYERS = fixtures.PAYERS


def settings(base: str, tmp_path: Path, **ehr: Any) -> Settings:
    """A site of its own, with a billing provider of its own, for the server is shared."""
    made = fixtures.ehr("vendor", base_url=base, billing_provider=f"Organization/{tmp_path.name[:40]}", **ehr)
    return Settings(ehr=made, data_dir=tmp_path, payers_file=PAYERS)


@pytest.mark.parametrize("vendor", EVERY)
def test_the_same_line_stands_whatever_the_vendor_refuses(vendor: str, sandbox_base: str, tmp_path: Path) -> None:
    """Read through each double, the visit gives its gold line; the draft goes where the vendor lets it."""
    habits: dict[str, Any] = {"finished_when": {"finished", "in-progress"}, "trusted_bases": {INTERNAL_BASE}}
    with double(vendor, sandbox_base) as ehr:
        with site.ehr_site(settings(ehr.base, tmp_path, **habits)) as (made, _):
            result = pipeline.code_visit(made, VISIT)
        (verdict,) = result.verdicts.verdicts
        assert verdict.outcome is Outcome.READY
        assert verdict.line is not None
        # Oracle has no PractitionerRole, as which the fixture names its clinician: no credential, hence no modifier
        credential = () if vendor == "oracle" else ("HN",)
        assert (verdict.line.code, verdict.line.units, verdict.line.modifiers) == ("H2014", 3, credential)
        assert result.problem is None
        assert result.wrote == (vendor in {"hapi", "legacy"})
        assert result.draft is not None
        assert result.draft.claim is not None


@pytest.mark.parametrize(
    ("vendor", "scopes"),
    [
        ("epic", {"client_lines", "plans", "authorizations", "clinician_day"}),
        ("oracle", {"client_lines", "plans", "authorizations", "clinician_day"}),
        ("athena", {"client_lines", "plans", "authorizations", "same_day_visits", "clinician_day"}),
        ("hapi", {"plans", "clinician_day"}),
    ],
)
def test_what_a_vendor_does_not_let_us_see_is_not_checked(
    vendor: str, scopes: set[str], sandbox_base: str, tmp_path: Path
) -> None:
    """Each scope says why, and nothing that the server does not list is asked for."""
    with double(vendor, sandbox_base) as ehr:
        with site.ehr_site(settings(ehr.base, tmp_path), dry_run=True) as (made, reader):
            understood = pipeline.understand(made, reader.read(VISIT))
        unchecked = understood.context.not_looked_up()
        assert set(unchecked) == scopes
        assert all(unchecked.values())


def test_a_visit_that_is_never_marked_finished_waits_until_the_site_says_otherwise(
    sandbox_base: str, tmp_path: Path
) -> None:
    """`finished_when` is per EHR; without it the visit holds."""
    with (
        double("legacy", sandbox_base) as ehr,
        site.ehr_site(settings(ehr.base, tmp_path, trusted_bases={INTERNAL_BASE}), dry_run=True) as (made, _),
    ):
        result = pipeline.code_visit(made, VISIT)
    assert [f.rule_id for f in result.verdicts.findings] == ["VISIT-020"]


def test_a_next_link_on_another_host_is_not_followed(sandbox_base: str, tmp_path: Path) -> None:
    """Unless the site trusts that name as the same server; even then the request goes to the base."""
    with double("legacy", sandbox_base) as ehr:
        with (
            FhirClient(settings(ehr.base, tmp_path).ehr, Limits()) as distrustful,
            pytest.raises(UnsafeUrl),
        ):
            list(distrustful.search("Patient", {"_count": "50"}))
        with FhirClient(settings(ehr.base, tmp_path, trusted_bases={INTERNAL_BASE}).ehr, Limits()) as trusting:
            assert len(list(trusting.search("Patient", {"_count": "50"}))) > 5


@pytest.mark.parametrize(
    ("vendor", "claims", "listing"),
    [
        ("epic", Works.NO, Works.PARTLY),
        ("oracle", Works.NO, Works.PARTLY),
        ("athena", Works.NO, Works.PARTLY),
        ("hapi", Works.YES, Works.YES),
        ("legacy", Works.PARTLY, Works.YES),
    ],
)
def test_connect_says_what_will_work(
    vendor: str, claims: Works, listing: Works, sandbox_base: str, tmp_path: Path
) -> None:
    """Claims are written where the vendor takes them; finished visits are found where it lists them."""
    with double(vendor, sandbox_base) as ehr, FhirClient(settings(ehr.base, tmp_path).ehr, Limits()) as client:
        _, answers = examine(client, settings(ehr.base, tmp_path).ehr)
    by_name = {a.what: a for a in answers}
    assert by_name["draft Claims in the EHR"].works is claims
    assert by_name["finding finished visits"].works is listing
    assert by_name["notes of a visit"].works is Works.YES
    assert all(a.ask for a in answers if a.works is not Works.YES)


def test_connect_prints_what_to_ask_for(sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's table names each thing; an EHR that answers no FHIR is exit code 3."""
    monkeypatch.chdir(tmp_path)
    with double("epic", sandbox_base) as ehr:
        shown = CliRunner().invoke(main, ["connect", ehr.base])
    assert shown.exit_code == 0
    assert "Claim: create and update" in shown.output
    assert CliRunner().invoke(main, ["connect", f"{sandbox_base}/nowhere"]).exit_code in (2, 3)
