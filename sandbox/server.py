"""The sandbox EHR: the FHIR server of the package `sekmet-fhir`, on loopback only, its simulator off."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from plugin import settings
from plugin.settings import Settings
from sandbox import fixtures

HOST = "127.0.0.1"
PORT = 8091
_READY_SECONDS = 60


class SandboxError(RuntimeError):
    """The sandbox could not be started; the message says what to do."""


@contextmanager
def running(data_dir: Path, port: int | None = None) -> Iterator[str]:
    """Start the server with its data in `data_dir`, yield its FHIR base, stop it at the end."""
    chosen = free_port(port)
    base = f"http://{HOST}:{chosen}/fhir"
    data_dir.mkdir(parents=True, exist_ok=True)
    configuration = data_dir / "settings.json"  # JSON is YAML
    configuration.write_text(
        json.dumps(
            {
                "base_url": base,
                "host": HOST,
                "port": chosen,
                "data_dir": str(data_dir / "fhir"),
                "simulator": {"enabled": False},
                "log_inbound": False,
            }
        )
    )
    log = data_dir / "server.log"
    command = [str(Path(sys.executable).parent / "sekmet"), "serve", "-c", str(configuration)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=data_dir)
    try:
        _wait_until_ready(base, process, log)
        yield base
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def settings_at(base: str, data_dir: Path) -> Settings:
    """The bare FHIR server as an EHR, without tokens. The model, if one is set, needs no basis: the people are made up."""
    return settings.load(ehr=fixtures.ehr("sandbox", base_url=base), data_dir=data_dir, payers_file=fixtures.PAYERS)


def load_fixtures(base: str, halves: tuple[str, ...] = ("development",)) -> int:
    """Put the clinic and the visits of these halves into the server; what is there already stays as it is.

    Returns how many resources were new.
    """
    resources = [*fixtures.clinic()]
    for half in halves:
        for each in fixtures.load(half):
            resources += each.resources
    with httpx.Client(base_url=base, timeout=60) as client:
        present = {
            (kind, entry["resource"]["id"])
            for kind in {r["resourceType"] for r in resources}
            for entry in client.get(f"/{kind}", params={"_count": "1000", "_elements": "id"}).json().get("entry", [])
        }
        new = [r for r in resources if (r["resourceType"], r["id"]) not in present]
        for start in range(0, len(new), 50):
            bundle = {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [
                    {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
                    for r in new[start : start + 50]
                ],
            }
            answer = client.post("", json=bundle, headers={"Content-Type": "application/fhir+json"})
            if answer.status_code != 200:
                raise SandboxError(f"the sandbox did not take the fixtures: {answer.status_code} {answer.text[:300]}")
    return len(new)


def free_port(wanted: int | None = None) -> int:
    """The wanted port if it is free, else any."""
    for port in (wanted, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one just closed is free
            try:
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
            except OSError:
                continue
    raise SandboxError("no free port on loopback")


def _wait_until_ready(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SandboxError(f"the FHIR server stopped at once; its last words are in {log}")
        try:
            if httpx.get(f"{base}/metadata", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SandboxError(f"the FHIR server did not answer within {_READY_SECONDS} s; see {log}")
