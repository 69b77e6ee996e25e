"""The steps of `plugin.pipeline` made durable: visits are found, each is worked on once at a time, tried again, never lost.

Our tables say what is due (`store.arrivals`, the outbox); the engine (DBOS) runs it, within its limits, and takes up what
died with a process. A workflow is handed ids alone and runs for seconds. The same work has the same name, so that beginning
it twice is beginning it once: ehr/encounter/generation, and ehr/encounter/outbox job/attempt/hour.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID

from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.views import UnusableResource
from plugin import finding, outbox, pipeline
from plugin.backend import Ehrs
from plugin.ehr import errors
from plugin.outbox import defect_of_ours
from plugin.pipeline import EXPECTED
from plugin.proposers.protocol import ModelMisconfigured
from plugin.settings import Settings, SettingsError
from plugin.store.records import Delivery
from plugin.store.store import Store

log = logging.getLogger("claimwright")

VISITS, DELIVERIES = "visits", "deliveries"
APPLICATION_VERSION = "1"
"""Raised only when what a running workflow does can no longer be taken up by newer code."""

_LASTING = (
    errors.NotFound,
    errors.Forbidden,
    errors.Refused,
    errors.UnsafeUrl,
    errors.NotOffered,
    UnusableResource,
    UnwritableClaim,
    SettingsError,
    ModelMisconfigured,
)
"""Failures that time does not heal: a person looks, and asks for the next try."""

_ANEW_SECONDS = 3600.0
_LONGEST_WORK = 3600.0  # seconds; what takes longer is taken for dead, though its process lives

_running: Flow | None = None


class JsonSerializer(Serializer):
    """What the engine keeps, as JSON: ids and outcomes. An error is kept by its kind, so that it can be read again."""

    def serialize(self, data: Any) -> str:
        """As JSON."""
        return json.dumps(data, default=_plain)

    def deserialize(self, serialized_data: str) -> Any:
        """Back again; an error as one that names its kind."""
        return json.loads(serialized_data, object_hook=_revived)

    def name(self) -> str:
        """The form's name."""
        return "claimwright-json"


class Flow:
    """The engine of one process. `start` it, `stop` it; there is one in a process at most."""

    def __init__(
        self, settings: Settings, store: Store, ehrs: Ehrs, watch: Callable[[str], None] | None = None
    ) -> None:
        self.settings, self.store, self.ehrs, self.watch = settings, store, ehrs, watch
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._threads: list[threading.Thread] = []
        self._at_work: dict[tuple[str, str, int], float] = {}  # and since when

    def start(self, *, pump: bool = True) -> None:
        """Take up what died under this process's name, and begin what is due."""
        global _running  # noqa: PLW0603 - the engine itself is one a process
        if _running is not None:
            raise RuntimeError("an engine runs in this process already")
        engine = self.settings.engine
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        _wal(self.settings.engine_database)
        _running = self
        config: DBOSConfig = {
            "name": "claimwright",
            "system_database_url": self.settings.engine_database,
            "application_version": APPLICATION_VERSION,
            "executor_id": engine.name,
            "serializer": JsonSerializer(),
            "log_level": "WARNING",
            "console_log_level": "CRITICAL",
            "notification_listener_polling_interval_sec": 1.0,
        }
        DBOS(config=config)
        DBOS.launch()
        limiter: Any = {"limit": engine.visits_a_minute, "period": 60.0}
        poll = min(1.0, engine.pump_seconds)
        DBOS.register_queue(
            VISITS, worker_concurrency=engine.visits_at_once, limiter=limiter, polling_interval_sec=poll
        )
        DBOS.register_queue(DELIVERIES, worker_concurrency=2, polling_interval_sec=poll)
        self._thread("beat", self._beat)
        if pump:
            self._thread("pump", self._pump)
            if engine.poll_seconds:
                self._thread("find", self._find)
            self._thread("keep", self._keep_house)

    def stop(self) -> None:
        """Begin nothing more; let what runs end, for some seconds. The rest is taken up at the next start."""
        global _running  # noqa: PLW0603 - the engine itself is one a process
        self._stopping.set()
        self._news.set()
        for thread in self._threads:
            thread.join(20)
        DBOS.destroy(workflow_completion_timeout_sec=20)
        _running = None

    @property
    def alive(self) -> bool:
        """Whether it was started and none of its threads has ended."""
        return _running is self and not self._stopping.is_set() and all(t.is_alive() for t in self._threads)

    def nudge(self) -> None:
        """Something is due now: do not wait for the next look."""
        self._news.set()

    # --- what is due ---

    def begin_due(self) -> int:
        """Hand everything that is due to the engine; how much that was."""
        begun = 0
        open_to_us = set(self.ehrs.unattended)
        for each in self.store.arrivals.due(open_to_us):
            with SetWorkflowID(each.name):
                DBOS.enqueue_workflow(VISITS, work_on, each.ehr_id, each.encounter_id, each.generation)
            self.store.arrivals.handed_over(each)
            begun += 1
        for job in self.store.due_deliveries(open_to_us):
            with SetWorkflowID(self._name(job)):
                DBOS.enqueue_workflow(DELIVERIES, deliver, job.draft.ehr_id, job.draft.id)
            begun += 1
        return begun

    def _name(self, job: Delivery) -> str:
        """The name of a try, new each hour: the engine may have begun it in a process that died and never comes back."""
        hour = int(time.time() // _ANEW_SECONDS)
        return f"{job.draft.ehr_id}/{job.draft.encounter_id}/{job.id}/{job.attempts}/{hour}"

    def _pump(self) -> None:
        while not self._stopping.is_set():
            self._guarded("beginning what is due", self.begin_due)
            self._news.wait(self.settings.engine.pump_seconds)
            self._news.clear()

    # --- finding ---

    def find(self, ehr_id: str) -> int:
        """Ask one EHR for what changed; how much of it was news. Another process that is just asking has the turn."""
        turn = self.store.arrivals.poll(ehr_id)
        if turn is False:
            return 0
        assert not isinstance(turn, bool)
        engine = self.settings.engine
        since = finding.window_start(
            turn, timedelta(minutes=engine.poll_overlap_minutes), timedelta(days=engine.first_days)
        )
        news = 0

        def tell(change: finding.Change) -> None:
            nonlocal news
            news += self.store.arrivals.found(ehr_id, change.encounter_id, "poll", change.version)

        asked = finding.Asked(None, "the server cannot be asked what changed; see docs/connect.md")
        try:
            with self.ehrs.unattended_site(ehr_id) as (_, reader):
                if finding.can_poll(reader.capabilities):
                    asked = finding.ask(reader.client, reader.capabilities, reader.settings, since, tell)
        except EXPECTED as problem:
            asked = finding.Asked(None, str(problem))
        except Exception as defect:
            log.error("finding visits failed: %s", type(defect).__name__, extra={"ehr": ehr_id})
            asked = finding.Asked(None, defect_of_ours(defect))
        self.store.arrivals.polled(ehr_id, asked.through, asked.problem)
        if news:
            self.nudge()
        return news

    def _find(self) -> None:
        while not self._stopping.is_set():
            for ehr_id in self.ehrs.unattended:
                self._guarded("finding visits", lambda e=ehr_id: self.find(e))  # type: ignore[misc]
            self._stopping.wait(self.settings.engine.poll_seconds)

    # --- once a day ---

    def _keep_house(self) -> None:
        while not self._stopping.is_set():
            engine = self.settings.engine
            for days, destroy in (
                (engine.retention_days, self.store.purge_older),
                (engine.released_days, self.store.releases.destroy_files),
            ):
                if days is not None:
                    than = datetime.now(UTC) - timedelta(days=days)
                    self._guarded("retention", lambda destroy=destroy, than=than: destroy(than))  # type: ignore[misc]
            self._stopping.wait(24 * 3600)

    # --- the work itself ---

    def work_on(self, ehr_id: str, encounter_id: str, generation: int) -> str:
        """One visit through all the steps; what became of the work. Safe to repeat wherever it died."""
        arrivals, work = self.store.arrivals, (ehr_id, encounter_id, generation)
        if not arrivals.begin(*work, self.settings.engine.lease_seconds):
            return "overtaken"
        self._at_work[work] = time.monotonic()
        try:
            return self._code(*work)
        finally:
            del self._at_work[work]

    def _code(self, ehr_id: str, encounter_id: str, generation: int) -> str:
        arrivals = self.store.arrivals
        try:
            with self.ehrs.unattended_site(ehr_id, self.watch) as (site, _):
                garbled = pipeline.code_visit(site, encounter_id).understood.garbled
        except EXPECTED as problem:
            again = not isinstance(problem, _LASTING)
            log.warning("a visit waits: %s", problem, extra={"ehr": ehr_id, "encounter": encounter_id})
            arrivals.failed(ehr_id, encounter_id, generation, str(problem), again=again)
            return "failed"
        except Exception as defect:  # a defect of ours: its kind is shown, the rest goes on
            log.error("a visit failed: %s", type(defect).__name__, extra={"ehr": ehr_id, "encounter": encounter_id})
            arrivals.failed(ehr_id, encounter_id, generation, defect_of_ours(defect), again=True)
            return "failed"
        if garbled and arrivals.half_read(ehr_id, encounter_id, generation, f"coded without this: {garbled[0]}"):
            return "half read"
        if arrivals.done(ehr_id, encounter_id, generation):
            self.nudge()
            return "again"
        return "done"

    def _beat(self) -> None:
        """While this process lives, nobody takes up what it works on: an EHR may answer slowly, and often."""
        lease = self.settings.engine.lease_seconds
        while not self._stopping.wait(lease / 4):
            self._guarded("saying that work goes on", lambda: self._still_at_work(lease))

    def _still_at_work(self, lease_seconds: float) -> None:
        for work, since in list(self._at_work.items()):
            if time.monotonic() - since < _LONGEST_WORK:
                self.store.arrivals.at_work(*work, lease_seconds)

    def deliver(self, ehr_id: str, draft_id: str) -> str:
        """Bring what was decided of one draft to the EHR; what fails waits in the outbox and says why."""
        draft = self.store.draft(draft_id)
        if draft is None:
            return "gone"
        try:
            with self.ehrs.unattended_site(ehr_id, self.watch) as (site, _):
                understood, _ = pipeline.look(site, draft.encounter_id)
                _, problem = outbox.deliver(site, self.store, understood, draft)
        except EXPECTED as failed:
            problem = str(failed)
            self.store.delivery_failed(draft_id, problem)
        except Exception as defect:
            log.error("a delivery failed: %s", type(defect).__name__, extra={"ehr": ehr_id, "draft": draft_id})
            problem = defect_of_ours(defect)
            self.store.delivery_failed(draft_id, problem)
        return "waits" if problem else "done"

    # --- how ---

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, what: str, run: Callable[[], object]) -> None:
        """A look that fails is looked at again next time; the thread goes on."""
        try:
            run()
        except Exception as defect:
            log.error("%s failed: %s", what, type(defect).__name__)
            self._stopping.wait(1)


@DBOS.step()
def _worked_on(ehr_id: str, encounter_id: str, generation: int) -> str:
    assert _running is not None
    return _running.work_on(ehr_id, encounter_id, generation)


@DBOS.workflow()
def work_on(ehr_id: str, encounter_id: str, generation: int) -> str:
    """Code one visit."""
    return _worked_on(ehr_id, encounter_id, generation)


@DBOS.step()
def _delivered(ehr_id: str, draft_id: str) -> str:
    assert _running is not None
    return _running.deliver(ehr_id, draft_id)


@DBOS.workflow()
def deliver(ehr_id: str, draft_id: str) -> str:
    """Bring one draft to where it belongs."""
    return _delivered(ehr_id, draft_id)


def _plain(value: object) -> object:
    if isinstance(value, BaseException):
        return {"__error__": type(value).__name__}
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    return str(value)


def _revived(value: dict[str, Any]) -> Any:
    return RuntimeError(value["__error__"]) if value.keys() == {"__error__"} else value


def _wal(url: str) -> None:
    """Let readers of the engine's SQLite file not wait for its writer. It stays so in the file."""
    if url.startswith("sqlite:///"):
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
