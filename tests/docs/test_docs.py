"""The documentation is true: what is generated is fresh, what is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guardrails import codebook
from guardrails.rules import Rule
from plugin.cli import main
from plugin.settings import Settings
from sandbox import score
from tests.docs import generate

ROOT = generate.ROOT
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_rule_reference_is_fresh() -> None:
    """`make docs` would change nothing."""
    assert (ROOT / "docs" / "rules.md").read_text(encoding="utf-8") == generate.rules_page()


def test_the_readmes_table_is_the_demos_output(sandbox_base: str, tmp_path: Path) -> None:
    """Run through the real server, the development visits give the README's rows."""
    assert generate.between(README, "demo") == generate.demo_markdown(generate.demo_rows(sandbox_base, tmp_path))


def test_the_readmes_scores_are_those_measured() -> None:
    """Both halves, as `make score` counts them today."""
    assert generate.between(README, "scores") == score.markdown()


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
