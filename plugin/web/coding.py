"""Work that a page waits for, in a few threads: coding a visit that was just opened, and bringing decisions to the EHR.

What dies with the process is done again when the visit is next opened, or by `plugin.flow` where the EHR lets us work
without a person: every step is safe to repeat.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugin import outbox, pipeline
from plugin.pipeline import EXPECTED
from plugin.store.people import Launch
from plugin.store.records import Draft

if TYPE_CHECKING:
    from plugin.web.house import House

log = logging.getLogger("claimwright")

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
_REMEMBERED = 1000


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

    def close(self) -> None:
        """Let what runs end; begin nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, launch: Launch, encounter_id: str) -> Job:
        """Code a visit with the launch's tokens, or join who is doing it."""
        key = (launch.ehr_id, encounter_id)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and not job.done:
                return job
            job = self._jobs[key] = Job()
            while len(self._jobs) > _REMEMBERED:  # the oldest that are done; what runs is never forgotten
                oldest = next((k for k, j in self._jobs.items() if j.done), None)
                if oldest is None:
                    break
                del self._jobs[oldest]
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
