"""CDS Hooks under load: signed patient-view calls at a fixed rate against the served application, with a thousand drafts on file.

Beside it in the same run: /healthz, which does nothing, at the same rate, so that the machine's own share can be told apart.
"""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from plugin.review.states import State
from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store.records import NewDraft
from plugin.store.store import Store
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox import server
from sandbox.ehr import Ehr

RATE, SECONDS, DRAFTS = 100, 10, 1000
Request = tuple[str, str, dict[str, str], dict[str, Any] | None]


def main() -> None:
    """Serve in a process of its own, fill, call, print."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://localhost:{server.free_port()}"
        with sandbox_ehr.in_front(f"http://{server.HOST}:9/fhir", url) as ehr:
            settings = _settings(ehr, Path(folder))
            store = Store.open(settings)
            _fill(store)
            store.close()
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=_serve, args=(settings, int(url.rpartition(":")[2])), daemon=True)
            process.start()
            try:
                _wait(url)
                asyncio.run(_load(lambda n: _call(ehr, url, n), 1))  # the first calls of a process are not typical
                _report("nothing (/healthz)", asyncio.run(_load(lambda n: ("GET", f"{url}/healthz?{n}", {}, None))))
                _report("patient-view, signed, a card", asyncio.run(_load(lambda n: _call(ehr, url, n))))
            finally:
                process.terminate()
                process.join()


def _settings(ehr: Ehr, folder: Path) -> Settings:
    settings = ehr.settings(folder)
    return settings.model_copy(update={"ehr": settings.ehr.model_copy(update={"backend": None})})


def _serve(settings: Settings, port: int) -> None:
    uvicorn.run(build(House.open(settings)), host=server.HOST, port=port, log_level="warning", access_log=False)


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the server did not start")


def _fill(store: Store) -> None:
    snapshot = store.keep_snapshot(Snapshot("0" * 64, date(2026, 3, 2), {}), "sandbox", "bench")
    shown = {"verdicts": [{"key": "p0", "outcome": "ready"}]}
    new = NewDraft(
        id="",
        ehr_id="sandbox",
        encounter_id="",
        billing_provider="Organization/o",
        payer="p",
        state=State.READY,
        incomplete=False,
        claim=None,
        verdicts=shown,
        date_of_service=date(2026, 3, 2),
    )
    for n in range(DRAFTS):
        store.save(
            dataclasses.replace(new, id=f"bench-{n}", encounter_id=f"visit-{n}", patient_id=f"patient-{n}"),
            snapshot,
            (),
        )


def _call(ehr: Ehr, url: str, n: int) -> Request:
    address = f"{url}/cds-services/claimwright-patient-view"
    body = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/p", "patientId": f"patient-{n % DRAFTS}"},
    }
    token = ehr.authorization.hook_token(ehr.url, address)
    return "POST", address, {"Authorization": f"Bearer {token}"}, body


async def _load(request: Callable[[int], Request], seconds: int = SECONDS) -> list[float]:
    """Seconds per answer, each call begun on its own tick whether or not the ones before were answered."""
    calls = [request(n) for n in range(RATE * seconds)]
    took: list[float] = []
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=200)) as client:

        async def one(method: str, url: str, headers: dict[str, str], body: dict[str, Any] | None) -> None:
            began = time.perf_counter()
            answer = await client.request(method, url, headers=headers, json=body)
            took.append(time.perf_counter() - began)
            if answer.status_code != 200 or (body and not answer.json()["cards"]):
                raise RuntimeError(f"{answer.status_code}: not the answer that is measured")

        start, tasks = time.perf_counter(), []
        for n, call in enumerate(calls):
            await asyncio.sleep(max(0.0, start + n / RATE - time.perf_counter()))
            tasks.append(asyncio.create_task(one(*call)))
        await asyncio.gather(*tasks)
    return took


def _report(what: str, took: list[float]) -> None:
    ordered = sorted(took)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(
        f"{what:<34} at {RATE}/s: median {p50 * 1e3:>6.1f} ms   p99 {p99 * 1e3:>6.1f} ms   worst {ordered[-1] * 1e3:>6.1f} ms"
    )


if __name__ == "__main__":
    main()
