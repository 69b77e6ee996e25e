"""The documentation is true: what is generated is fresh, what is named exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from guardrails import codebook
from guardrails.rules import Rule
from plugin.cli import main
from plugin.evaluation import benchmark, shown
from plugin.settings import Settings
from sandbox import fixtures
from tests.docs import generate, model_card

ROOT = generate.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_rule_reference_is_fresh() -> None:
    """`make docs` would change nothing."""
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == generate.rules_page()


def test_the_table_of_states_is_fresh() -> None:
    """docs/operations.md shows the moves that the store allows."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert generate.between(page, "states") == generate.states_table()


def test_the_readmes_table_is_the_demos_output(sandbox_base: str, tmp_path: Path) -> None:
    """Run through the real server, the development visits give the README's rows."""
    assert generate.between(README, "demo") == generate.demo_markdown(generate.demo_rows(sandbox_base, tmp_path))


def test_the_readmes_scores_are_those_measured() -> None:
    """The baseline's rows are what `make eval` counts today; a model's rows are those kept in docs/scoreboard/."""
    kept = json.loads((generate.SCOREBOARD / "baseline.json").read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(generate.baseline_boards()))
    assert generate.between(README, "scores") == shown.markdown(generate.kept_boards())


def test_the_model_card_is_fresh() -> None:
    """Its 31 attributes are filled from the scoreboards and the settings as they are."""
    assert (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8") == model_card.page(generate.kept_boards())


def test_the_threat_model_names_tests_that_exist() -> None:
    """Every row names one, and each that is named is there."""
    lines = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
    rows = [r for r in lines if r.startswith("| ") and not r.startswith(("| threat", "| risk"))]
    named = {each for row in rows for each in re.findall(r"`(\w+\.py)::(\w+)`", row)}
    assert len(named) > 25
    for file, test in sorted(named):
        (path,) = (ROOT / "tests").rglob(file)
        assert f"def {test}(" in path.read_text(encoding="utf-8"), f"{file}::{test}"
    assert [r for r in rows if "::" not in r] == []


def test_the_held_back_half_is_as_it_was_written() -> None:
    """Its hash was committed before its first run; nothing there was changed since."""
    written = (ROOT / "fixtures" / "held_back.sha256").read_text(encoding="utf-8").strip()
    assert benchmark.digest(fixtures.ROOT, "held_back") == written


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_make_target_named_in_the_pages_exists() -> None:
    """No page names a command that is not there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8"))) <= targets, page.name


def test_every_setting_is_documented() -> None:
    """docs/operations.md names each setting."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        for setting in [f"{name}.{inner}" for inner in nested] if nested else [name]:
            assert f"`{setting}`" in text, setting


def test_every_command_is_documented() -> None:
    """The README or a page names each command."""
    text = "".join(p.read_text(encoding="utf-8") for p in PAGES)
    for command in main.commands:
        assert f"claimwright {command}" in text


def test_no_sentence_of_a_rule_leads_a_clinician_upward() -> None:
    """Law 5, over the whole register: what a clinician can cure names no minutes, units, code or money."""
    by_note = [r for r in codebook.load().rules().values() if r.cured_by.value == "note"]
    assert by_note
    for each in by_note:
        assert not _leading(each), each.id


def _leading(rule: Rule) -> bool:
    slots = set(re.findall(r"\{(\w+)\}", rule.sentence)) - {
        "start",
        "end",
        "tolerance",
        "code",
        "other",
        "because",
        "element",
        "note",
    }
    return bool(slots) or bool(
        re.search(r"\b(?:pay|paid|bill more|higher|at least|more minutes|\d{2,3} minutes|reimburs)", rule.sentence)
    )
