"""A real, small language model on the wire: its answers are bound to the schema, mostly nonsense, and none gets through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guardrails import Outcome
from plugin import pipeline, site
from plugin.proposers.model import Model
from plugin.proposers.protocol import InvalidReply
from plugin.settings import EhrSettings, Settings
from sandbox import fixtures
from tests.llm import small_model

pytestmark = pytest.mark.llm


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """SmolLM2 135M from its package."""
    with small_model.running() as running:
        yield running


@pytest.mark.parametrize("name", ["h2014-45-minutes", "p90834-52-minutes", "no-show", "prompt-injection"])
def test_nonsense_does_not_get_through(model: Model, name: str, tmp_path: Path) -> None:
    """Over real HTTP with real constrained decoding: a reply in the schema or a clear error, and no line that is not gold."""
    fixture = fixtures.load_one(fixtures.ROOT / "development" / name)
    bundle = tmp_path / "visit.json"
    bundle.write_text(json.dumps(fixture.bundle()))
    settings = Settings(ehr=EhrSettings(id="llm", sandbox=True), payers_file=fixtures.PAYERS)
    made, _ = site.bundle_site(settings, bundle)
    asked = replace(made, proposer=model)
    try:
        result = pipeline.code_visit(asked, name)
    except InvalidReply as problem:  # cut off in mid-sentence: said so, nothing drafted
        print(f"{name}: {problem}")
        return
    gold = {line["code"]: line["units"] for line in fixture.gold}
    for verdict in result.verdicts.verdicts:
        print(
            f"{name}: {verdict.proposal.code} x {verdict.proposal.units} -> {verdict.outcome.value}",
            [f.rule_id for f in verdict.findings],
        )
        if verdict.outcome is Outcome.READY:
            assert verdict.line is not None
            assert verdict.line.units <= gold.get(verdict.line.code, 0)
