"""Policies: what is wrong in one is said by line, a new one is right from the start, and the packaged ones are usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrails import codebook, policies
from plugin.cli import main

GOOD = """# a comment
id = "x"
payer = "X"
source = "manual of 2026-01-01"
effective_from = 2026-01-01
kind = "medicaid"

[codes.H2014]
from_minutes = 16

[codes.H2014.documentation]
S05 = "block"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "medicaid"', 'kind = "medicade"', "line 6: kind: "),
        ("from_minutes = 16", "from_minutes = 0", "line 9: codes.H2014.from_minutes: "),
        ("from_minutes = 16", "from_minute = 16", "line 9: codes.H2014.from_minute: "),
        ('S05 = "block"', 'S05 = "stop"', "line 12: codes.H2014.documentation.S05: "),
        ('id = "x"\n', "", "line 1: id: "),
        ("[codes.H2014]\n", "[codes.H2014\n", "at line 8"),
        ("effective_from = 2026-01-01", 'effective_from = "soon"', "line 5: effective_from: "),
    ],
)
def test_a_wrong_field_is_named_with_its_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    """`policy check` leads to the place: file, line, field."""
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace(old, new))
    result = CliRunner().invoke(main, ["policy", "check", str(file)])
    assert result.exit_code == 2
    assert f"mine.toml: {said}" in result.stderr or said in result.stderr


def test_names_that_the_tables_do_not_know_are_said(tmp_path: Path) -> None:
    """A slip in a code or element is no error of form, so it is named apart; without slips the check passes."""
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert CliRunner().invoke(main, ["policy", "check", str(file)]).exit_code == 0
    file.write_text(GOOD.replace("H2014", "H2099").replace("S05", "S99"))
    result = CliRunner().invoke(main, ["policy", "check", str(file)])
    assert result.exit_code == 1
    assert "codes.H2099: not in the loaded code tables" in result.output
    assert "codes.H2099.documentation.S99: no such documentation element" in result.output


def test_a_new_policy_is_right_and_says_what_its_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scaffold of every packaged policy passes the check, counts as its model does, and overwrites nothing."""
    monkeypatch.chdir(tmp_path)
    for name in policies.packaged():
        runner = CliRunner()
        assert runner.invoke(main, ["policy", "new", f"my-{name}", "--from", name]).exit_code == 0
        assert runner.invoke(main, ["policy", "check", f"my-{name}.toml"]).exit_code == 0
        made, model = policies.read(tmp_path / f"my-{name}.toml"), policies.load(name)
        assert (made.kind, made.quarter_hour, made.encounter_minutes) == (
            model.kind,
            model.quarter_hour,
            model.encounter_minutes,
        )
        assert runner.invoke(main, ["policy", "new", f"my-{name}"]).exit_code == 2


def test_the_packaged_policies_name_only_what_the_tables_know() -> None:
    """Every packaged policy has a source and names known codes and elements."""
    book = codebook.load()
    for name in policies.packaged():
        policy = policies.load(name)
        assert policy.source
        assert policies.unknown_names(policy, book.codes.keys(), book.elements.keys()) == ()
