"""Prometheus metrics. Labels hold states, rules, models, routes and EHR names of the settings: never a patient, visit or person.

What the store knows is counted there at each scrape, so that it is the same from every process; proposals, findings and
requests are counted by each process since it started.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from plugin import tally
from plugin.review.states import State
from plugin.settings import SettingsError
from plugin.store.arrivals import Work
from plugin.store.records import DeliveryState
from plugin.store.store import Store
from plugin.store.tables import (
    ArrivalRow,
    BatchRow,
    DeliveryRow,
    ModelRequestRow,
    PollRow,
    QueueRow,
    ReleasedRow,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one process."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_FromStore(store))
        self._registry.register(_FromProcess())
        self._requests = Counter(
            "claimwright_http_requests",
            "Requests answered, by route.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "claimwright_http_request_seconds",
            "Seconds until a request was answered, by route.",
            ["route"],
            registry=self._registry,
            buckets=_BUCKETS,
        )

    def text(self) -> bytes:
        """All of them, in the format that Prometheus reads."""
        return generate_latest(self._registry)

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """A request was answered. `route` is the template of its route, None where there is none."""
        named = route or "none"
        self._requests.labels(method if method in _METHODS else "other", named, str(status)).inc()
        self._seconds.labels(named).observe(seconds)


class _FromStore(Collector):
    """What stands in the tables."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Count; where the database does not answer, that is what is said."""
        found: list[Metric] = []
        try:
            with self._store.reading() as db:
                now = datetime.now(UTC)
                found += [*_queue(db, now), *_work(db, now), *_models(db), *_releases(db)]
        except SQLAlchemyError:
            found = []
        yield GaugeMetricFamily("claimwright_database_up", "Whether the database answers.", value=int(bool(found)))
        yield from found


class _FromProcess(Collector):
    """What this process is, and counted."""

    def collect(self) -> Iterator[Metric]:
        """Proposals by outcome, findings by rule, and which build this is."""
        proposals = CounterMetricFamily(
            "claimwright_proposals", "Proposals proved by this process, by outcome.", labels=["outcome"]
        )
        for outcome, count in sorted(tally.outcomes().items()):
            proposals.add_metric([outcome], count)
        findings = CounterMetricFamily(
            "claimwright_findings", "What rules said, in this process.", labels=["rule", "effect"]
        )
        for key, count in sorted(tally.findings().items()):
            findings.add_metric(key, count)
        build = GaugeMetricFamily("claimwright_build_info", "Which build this is.", labels=["version"])
        build.add_metric([_version()], 1)
        yield from (proposals, findings, build)


def _queue(db: Session, now: datetime) -> Iterator[Metric]:
    items = GaugeMetricFamily("claimwright_queue_items", "Items of the work queue, by state.", labels=["state"])
    oldest = GaugeMetricFamily(
        "claimwright_queue_oldest_seconds",
        "How long the oldest item of a state has been in it.",
        labels=["state"],
    )
    query = select(QueueRow.state, func.count(), func.min(QueueRow.since)).group_by(QueueRow.state)
    found = {state: (count, since) for state, count, since in db.execute(query)}
    for state in State:
        count, since = found.get(state.value, (0, None))
        items.add_metric([state.value], count)
        oldest.add_metric([state.value], _age(since, now))
    yield from (items, oldest)


def _work(db: Session, now: datetime) -> Iterator[Metric]:
    visits = GaugeMetricFamily("claimwright_visits", "Visits found to be coded, by how that stands.", labels=["state"])
    by_state = select(ArrivalRow.state, func.count()).group_by(ArrivalRow.state)
    counted = {row[0]: row[1] for row in db.execute(by_state)}
    for work in Work:
        visits.add_metric([work.value], counted.get(work.value, 0))
    waiting = DeliveryRow.state == DeliveryState.PENDING
    jobs, since = db.execute(select(func.count(), func.min(DeliveryRow.updated_at)).where(waiting)).one()
    polled = GaugeMetricFamily(
        "claimwright_poll_age_seconds", "Since an EHR was last asked what changed.", labels=["ehr"]
    )
    for ehr_id, at in db.execute(select(PollRow.ehr_id, PollRow.polled_at).where(PollRow.polled_at.is_not(None))):
        polled.add_metric([ehr_id], _age(at, now))
    yield from (visits, polled)
    yield GaugeMetricFamily("claimwright_outbox_pending", "Drafts on their way to an EHR.", value=jobs)
    yield GaugeMetricFamily(
        "claimwright_outbox_oldest_seconds", "Since the oldest of them was last tried.", value=_age(since, now)
    )


def _models(db: Session) -> Iterator[Metric]:
    requests = CounterMetricFamily("claimwright_model_requests", "Requests to a model.", labels=["model"])
    tokens = CounterMetricFamily("claimwright_model_tokens", "Tokens, by kind.", labels=["model", "kind"])
    failures = CounterMetricFamily(
        "claimwright_model_failures", "Visits that failed at a model.", labels=["model", "kind"]
    )
    row = ModelRequestRow
    sums = (row.requests, row.input_tokens, row.cached_tokens, row.output_tokens)
    for model, asked, *used in db.execute(select(row.model, *map(func.sum, sums)).group_by(row.model)):
        requests.add_metric([model], asked)
        for kind, count in zip(("input", "cached", "output"), used, strict=True):
            tokens.add_metric([model, kind], count)
    failed = select(row.model, row.failed, func.count()).where(row.failed.is_not(None)).group_by(row.model, row.failed)
    for model, why, count in db.execute(failed):
        failures.add_metric([model, str(why)], count)
    yield from (requests, tokens, failures)


def _releases(db: Session) -> Iterator[Metric]:
    made = CounterMetricFamily("claimwright_releases", "Releases, by what the file is.", labels=["form"])
    for form, count in db.execute(select(BatchRow.form, func.count()).group_by(BatchRow.form)):
        made.add_metric([form], count)
    yield made
    drafts = db.scalar(select(func.count()).select_from(ReleasedRow)) or 0
    yield CounterMetricFamily("claimwright_released_drafts", "Drafts that went out.", value=drafts)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _version() -> str:
    try:
        return version("claimwright")
    except PackageNotFoundError:
        return "unknown"


@contextmanager
def served(port: int, metrics: Metrics, ready: Callable[[], dict[str, bool]]) -> Iterator[int]:
    """`/metrics`, `/healthz` and `/readyz` on loopback, for a process that has no pages; the port.

    Raises:
        SettingsError: it cannot be listened on.
    """

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = 200, "text/plain; charset=utf-8", b"ok"
            match self.path.partition("?")[0]:
                case "/healthz":
                    pass
                case "/readyz":
                    said = ready()
                    status, kind, body = (
                        (200 if all(said.values()) else 503),
                        "application/json",
                        json.dumps(said).encode(),
                    )
                case "/metrics":
                    kind, body = CONTENT_TYPE, metrics.text()
                case _:
                    status, body = 404, b"not found"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads who asked."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Answers)
    except OSError as problem:
        raise SettingsError(f"--metrics-port: {port}: {problem.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
