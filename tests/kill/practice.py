"""A practice whose workers are killed: its visits on the real FHIR server, its workers, and the counts at the end."""

from __future__ import annotations

import base64
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import create_engine, func, select

from guardrails import codebook
from plugin.settings import EngineSettings, ModelSettings, Settings
from plugin.store.arrivals import Work
from plugin.store.audit import Event
from plugin.store.records import DeliveryState, Draft
from plugin.store.store import Store
from plugin.store.tables import AuditRow, SealedRow
from sandbox import fixtures
from tests.kill import worker
from tests.kill.paid import PaidModel

EHR = "kill"
SIGKILLED = -9
_TEMPLATE = "h2014-45-minutes"
_SAID = {3: "Stop time: 2:45 PM\nTotal: 45 minutes", 2: "Stop time: 2:30 PM\nTotal: 30 minutes"}  # by units
_PROCESSES = multiprocessing.get_context("forkserver")  # children of a process that has imported everything
_PROCESSES.set_forkserver_preload(["tests.kill.worker"])


@dataclass
class Counts:
    """What was there in the end. The lists name ids and counts alone."""

    visits: int = 0
    claims: int = 0
    versions: int = 0
    asked: int = 0
    """Answers that were paid for."""
    asked_again: int = 0
    """Of them those asked for again because the process died before the reply was in the store."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.doubled, *self.paid_twice, *self.unexplained, *self.history, *self.defects]


class Practice:
    """Use `practice(...)` to open one."""

    def __init__(self, settings: Settings, model: PaidModel, patience: float) -> None:
        self.settings, self.model, self.patience = settings, model, patience
        self.units: dict[str, int] = {}
        self.workers: dict[str, BaseProcess] = {}
        self.kills: Counter[str] = Counter()
        self._http = httpx.Client(base_url=settings.ehr.base_url, timeout=60)
        self._template = fixtures.load_one(fixtures.ROOT / "development" / _TEMPLATE).resources

    def close(self) -> None:
        """Nobody works any more."""
        for each in self.workers.values():
            each.kill()
            each.join()
        self._http.close()

    # --- visits ---

    def clinic(self) -> None:
        """Put the clinic onto the server."""
        self._put(fixtures.clinic())

    def admit(self, count: int = 1) -> None:
        """Put so many finished visits of clients of their own onto the server."""
        for _ in range(count):
            name = f"{self.settings.data_dir.name}-{len(self.units)}"
            self._put(json.loads(json.dumps(self._template).replace(_TEMPLATE, name)))
            self.units[name] = 3

    def amend(self, visit: str) -> None:
        """Change how long the visit's note says that it took, and so what is to be billed."""
        before, after = (3, 2) if self.units[visit] == 3 else (2, 3)
        note = self._http.get(f"/DocumentReference/{visit}-note").raise_for_status().json()
        attachment = note["content"][0]["attachment"]
        text = base64.b64decode(attachment["data"]).decode()
        assert _SAID[before] in text
        attachment["data"] = base64.b64encode(text.replace(_SAID[before], _SAID[after]).encode()).decode()
        self._put([note])
        self.units[visit] = after

    def _put(self, resources: Any) -> None:
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources
        ]
        self._http.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}).raise_for_status()

    # --- workers ---

    def start(self, name: str, point: str | None = None, nth: int = 1) -> BaseProcess:
        """Start a worker, or start it again; with a point at which it kills itself."""
        assert not self.alive(name)
        engine = self.settings.engine.model_copy(update={"name": name})
        own = self.settings.model_copy(update={"engine": engine})
        process = _PROCESSES.Process(target=worker.run, args=(own, self.patience, point, nth), daemon=True)
        process.start()
        self.workers[name] = process
        return process

    def dead(self, name: str, point: str, within: float) -> bool:
        """Whether a worker killed itself in that time."""
        self.workers[name].join(within)
        if self.workers[name].exitcode is None:
            return False
        if self.workers[name].exitcode != SIGKILLED:
            raise AssertionError(f"the worker {name} ended by itself ({self.workers[name].exitcode})")
        self.kills[point] += 1
        return True

    def alive(self, name: str) -> bool:
        """Whether a worker of that name runs."""
        return name in self.workers and self.workers[name].is_alive()

    def kill(self, name: str) -> None:
        """Kill a worker at whatever it does, if it runs."""
        if self.alive(name):
            self.workers[name].kill()
            assert self.dead(name, "any moment", 30)

    def kill_at_each(self, names: Sequence[str], points: Iterable[str], within: float = 60) -> None:
        """Let workers of these names be killed at each point in turn, with a new visit for each life. They are dead then."""
        left = iter(points)
        doomed: dict[str, str] = {}
        while True:
            for name in names:
                if name not in doomed and (point := next(left, None)):
                    self.admit()
                    self.start(name, point)
                    doomed[name] = point
            if not doomed:
                return
            deadline = time.monotonic() + within
            next_visit = time.monotonic() + 3
            while not (died := [n for n, point in doomed.items() if self.dead(n, point, 0.05)]):
                if time.monotonic() > deadline:
                    raise AssertionError(f"not reached: {doomed}")
                if time.monotonic() > next_visit:  # the other worker was faster
                    self.admit()
                    next_visit += 3
            for name in died:
                del doomed[name]

    # --- the end ---

    def settled(self, store: Store, within: float) -> bool:
        """Wait until everything is done; whether it is."""
        deadline = time.monotonic() + within
        while not self._settled(store):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _settled(self, store: Store) -> bool:
        work = {a.encounter_id: a for a in store.arrivals.all()}
        if not self.units.keys() <= work.keys():
            return False
        if any(
            a.state is not Work.DONE and not (a.state is Work.FAILED and a.reason and not a.next_try_at)
            for a in work.values()
        ):
            return False
        if any(True for _ in store.pending()):
            return False
        drafts = {d.encounter_id: d for d in store.drafts() if d.claim}
        return all(name in drafts and _units(drafts[name].claim) == units for name, units in self.units.items())

    def counts(self, store: Store) -> Counts:
        """Compare the server with the visits, claim by claim and version by version."""
        found = Counts(visits=len(self.units), asked=len(self.model.receipts))
        per_snapshot = Counter(r.snapshot for r in self.model.receipts)
        found.asked_again = sum(n - 1 for n in per_snapshot.values())
        found.paid_twice = [f"snapshot {r.snapshot[:12]}" for r in self.model.receipts if r.committed]
        on_server: dict[str, list[dict[str, Any]]] = {name: [] for name in self.units}
        for claim in self._found("Claim"):
            if claim["provider"]["reference"] == self.settings.ehr.billing_provider:
                on_server.setdefault(_visit_of(claim), []).append(claim)
        for name, claims in on_server.items():
            self._count_visit(store, name, claims, found)
        self._count_history(store, found)
        found.defects = self._defects()
        return found

    def _count_visit(self, store: Store, name: str, claims: list[dict[str, Any]], found: Counts) -> None:
        found.claims += len(claims)
        if len(claims) > 1:
            found.doubled.append(f"Encounter/{name}: {len(claims)} Claims")
        drafts = [d for d in store.drafts(encounter_id=name) if d.claim]
        if not claims or len(drafts) != 1:
            found.lost.append(f"Encounter/{name}: {len(claims)} Claims, {len(drafts)} drafts")
            return
        (draft,) = drafts
        for claim in claims:
            if _said(claim) != _said(draft.claim) or _units(claim) != self.units.get(name):
                found.lost.append(f"{draft.id}: the Claim is not what the note says")
            self._count_versions(draft, claim, found)
        last = store.last_delivery(draft.id)
        if last is None or last.state is not DeliveryState.DONE or last.problem:
            found.lost.append(f"{draft.id}: {last.state if last else 'never queued'}")

    def _count_versions(self, draft: Draft, claim: dict[str, Any], found: Counts) -> None:
        answer = self._http.get(f"/Claim/{claim['id']}/_history", params={"_count": "1000"}).raise_for_status().json()
        history = sorted((e["resource"] for e in answer["entry"]), key=lambda r: int(r["meta"]["versionId"]))
        found.versions += len(history)
        for older, newer in pairwise(history):
            if _said(older) == _said(newer):
                found.doubled.append(f"{draft.id}: version {newer['meta']['versionId']} repeats the one before")
        explained = Counter(
            target["reference"].rpartition("Claim/")[2]
            for p in self._found("Provenance", target=f"Claim/{claim['id']}")
            for target in p["target"]
        )
        for version in history:
            times = explained.pop(f"{claim['id']}/_history/{version['meta']['versionId']}", 0)
            if times != 1:
                where = found.doubled if times else found.unexplained
                where.append(f"{draft.id}: {times} Provenances of version {version['meta']['versionId']}")
        if explained:
            found.doubled.append(f"{draft.id}: {len(explained)} Provenances of no version")

    def _count_history(self, store: Store, found: Counts) -> None:
        verified = store.audit.verify()
        if verified.broken:
            found.history.append(f"the history is broken: {verified.broken}")
        engine = create_engine(self.settings.database)
        try:
            with engine.connect() as connection:
                replies = select(func.count()).select_from(SealedRow).where(SealedRow.kind == "reply")
                told = select(func.count()).select_from(AuditRow).where(AuditRow.kind == Event.PROPOSED.value)
                kept, said = connection.scalar(replies), connection.scalar(told)
        finally:
            engine.dispose()
        if kept != said:
            found.history.append(f"{kept} replies are kept, and the history tells of {said}")

    def _defects(self) -> list[str]:
        """What workers called a defect of ours; where their words stand."""
        logs = sorted(self.settings.data_dir.glob("*.log"))
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return [
            line[:200] for line in lines if " failed: " in line or "Traceback" in line or line.startswith("sqlalchemy")
        ]

    def _found(self, kind: str, **parameters: str) -> list[dict[str, Any]]:
        answer = self._http.get(f"/{kind}", params={**parameters, "_count": "1000"}).raise_for_status().json()
        assert not [link for link in answer.get("link", ()) if link["relation"] == "next"]
        return [e["resource"] for e in answer.get("entry", ()) if e["resource"]["resourceType"] == kind]


@contextmanager
def practice(base: str, folder: Path, database: str | None, *, patience: float = 10.0) -> Iterator[Practice]:
    """A practice at that FHIR server, with a folder and perhaps a PostgreSQL database of its own."""
    ehr = fixtures.ehr(EHR, base_url=base, billing_provider=f"Organization/{folder.name[:40]}")
    engine = EngineSettings(
        poll_seconds=0.3, pump_seconds=0.1, visits_a_minute=10_000, first_days=10_000, lease_seconds=patience
    )
    settings = Settings(
        ehr=ehr, data_dir=folder, payers_file=fixtures.PAYERS, database_url=database, engine=engine, limits=_LIMITS
    )
    with ExitStack() as stack:
        model = stack.enter_context(PaidModel(codebook.load(), _committed(settings, stack)))
        asking = settings.model_copy(update={"model": ModelSettings(name="paid", base_url=model.base)})
        opened = Practice(asking, model, patience)
        stack.callback(opened.close)
        yield opened


_LIMITS = Settings().limits.model_copy(
    update={"model_requests_per_visit": 1000, "model_requests_per_hour": 100_000, "model_requests_per_day": 100_000}
)


def _committed(settings: Settings, stack: ExitStack) -> Callable[[str], bool]:
    engine = create_engine(settings.database)
    stack.callback(engine.dispose)
    query = select(SealedRow.kind).where(SealedRow.kind == "reply")

    def committed(snapshot: str) -> bool:
        with engine.connect() as connection:
            return connection.execute(query.where(SealedRow.snapshot_key == snapshot)).first() is not None

    return committed


def _visit_of(claim: dict[str, Any]) -> str:
    return str(claim["item"][0]["encounter"][0]["reference"]).rpartition("/")[2]


def _units(claim: dict[str, Any] | None) -> int | None:
    return int(claim["item"][0]["quantity"]["value"]) if claim and len(claim["item"]) == 1 else None


def _said(claim: dict[str, Any] | None) -> dict[str, Any]:
    """What a Claim says, without what a server puts on it."""
    assert claim is not None
    meta = claim.get("meta", {})
    return {k: v for k, v in claim.items() if k not in {"id", "meta", "text"}} | {"tags": meta.get("tag")}
