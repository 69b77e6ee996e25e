"""Work that a page waits for, in a few threads: coding a visit that was just opened, and bringing decisions to the EHR.

What dies with the process is done again when the visit is next opened: every step is safe to repeat. Visits that an EHR
told us of are coded with Backend Services, where that EHR grants them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.views import UnusableResource
from plugin import outbox, pipeline
from plugin.ehr.errors import EhrError
from plugin.proposers.protocol import ProposerError
from plugin.settings import SettingsError
from plugin.store.people import Launch
from plugin.store.store import Draft

if TYPE_CHECKING:
    from plugin.web.house import House

log = logging.getLogger("claimwright")

EXPECTED = (EhrError, ProposerError, UnusableResource, UnwritableClaim, SettingsError)
"""What a visit may wait for: the message says what, and holds no patient text."""

STEPS = {
    "read": "Reading the visit",
    "snapshot": "Reading the note",
    "gate": "Preparing the note",
    "propose": "Asking which codes the note supports",
    "check": "Checking each against the note and the rules",
    "keep": "Keeping the result",
    "deliver": "Writing the draft",
}
_THREADS = 4


@dataclass
class Job:
    """Coding under way: the step it is at, and how it ended."""

    step: str = "read"
    done: bool = False
    problem: str | None = None


class Coding:
    """Codes visits, each once at a time."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="coding")
        self._jobs: dict[tuple[str, str], Job] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = False
        self._watcher: threading.Thread | None = None

    def close(self) -> None:
        """Let what runs end; begin nothing more."""
        self._stopping = True
        self._news.set()
        if self._watcher:
            self._watcher.join(10)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, launch: Launch, encounter_id: str) -> Job:
        """Code a visit with the launch's tokens, or join who is doing it."""
        key = (launch.ehr_id, encounter_id)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and not job.done:
                return job
            job = self._jobs[key] = Job()
        self._pool.submit(self._code, launch, encounter_id, job)
        return job

    def job(self, ehr_id: str, encounter_id: str) -> Job | None:
        """The last coding of a visit in this process."""
        return self._jobs.get((ehr_id, encounter_id))

    def deliver(self, launch: Launch, draft: Draft) -> Future[None]:
        """Bring a decided draft to the EHR with the launch's tokens. What fails waits in the outbox."""
        return self._pool.submit(self._logged, lambda: self._deliver(launch, draft), draft.encounter_id)

    def _code(self, launch: Launch, encounter_id: str, job: Job) -> None:
        def watch(step: str) -> None:
            job.step = step

        try:
            with self._house.site(launch, watch) as (site, _):
                pipeline.code_visit(site, encounter_id)
        except EXPECTED as problem:
            job.problem = str(problem)
        except Exception as defect:  # a defect of ours: the page says so, the log names its kind and nothing else
            log.error("coding Encounter/%s failed: %s", encounter_id, type(defect).__name__)
            job.problem = "Something went wrong on our side; the visit is unchanged. Try again."
        finally:
            job.done = True

    def _deliver(self, launch: Launch, draft: Draft) -> None:
        with self._house.site(launch) as (site, _):
            understood, _ = pipeline.look(site, draft.encounter_id)
            outbox.deliver(site, self._house.store, understood, draft)

    def _logged(self, work: Callable[[], None], encounter_id: str) -> None:
        try:
            work()
        except EXPECTED as problem:
            log.warning("Encounter/%s waits: %s", encounter_id, problem)
        except Exception as defect:
            log.error("Encounter/%s failed: %s", encounter_id, type(defect).__name__)

    # --- visits that an EHR told us of ---

    def want(self, ehr_id: str, encounter_id: str) -> None:
        """Code a visit soon, if the EHR grants us Backend Services; else it waits for somebody to open it."""
        self._house.store.want(ehr_id, encounter_id)
        self._news.set()

    def watch_wanted(self) -> None:
        """Begin to code wanted visits as they come."""
        if any(ehr.backend for ehr in self._house.settings.ehrs):
            self._watcher = threading.Thread(target=self._work_off, name="wanted", daemon=True)
            self._watcher.start()

    def _work_off(self) -> None:
        while not self._stopping:
            for ehr in self._house.settings.ehrs:
                if ehr.backend:
                    for encounter_id in self._house.store.wanted(ehr.id):
                        self._logged(lambda e=ehr.id, v=encounter_id: self._code_wanted(e, v), encounter_id)  # type: ignore[misc]
            self._news.wait(30)
            self._news.clear()

    def _code_wanted(self, ehr_id: str, encounter_id: str) -> None:
        if self._stopping:
            return
        with self._house.backend_site(ehr_id) as (site, _):
            pipeline.code_visit(site, encounter_id)
        self._house.store.done_with(ehr_id, encounter_id)
