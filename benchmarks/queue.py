"""The work queue with 100, 10,000 and 100,000 drafts on both databases: what a page of it takes, and its parts.

Beside it in the same run: reading one row by its key, so that the machine's and the database's own share can be told apart.
"""

from __future__ import annotations

import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from plugin.review.states import State
from plugin.settings import Settings
from plugin.store.queue import PAGE, Filter, Order
from plugin.store.store import Store
from plugin.store.tables import DraftRow, QueueMarkRow, QueueRow, SnapshotRow
from tests.databases import postgresql

SIZES = (100, 10_000, 100_000)
ROUNDS = 40
_CODES = ("H2014", "H0004", "H0031", "H0032", "H2017", "90832", "90834", "90837", "T1017", "H2019")
_RULES = ("UNIT-050", "DOC-C13", "DOC-C15", "TIME-011", "NOTE-020", "UNIT-030", "MOD-050", "DOC-TH08")
_STATES = (
    (State.READY,) * 3 + (State.ACCEPTED,) * 3 + (State.HELD, State.NOTHING, State.APPROVED) + (State.RELEASED,) * 6
)
_NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def main() -> None:
    """Fill, measure, print."""
    print(f"{platform.machine()}, CPython {platform.python_version()}, {date.today()}")  # noqa: DTZ011
    for name, url in (("SQLite", None), ("PostgreSQL", postgresql())):
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(Settings(data_dir=Path(folder), database_url=url))
            filled = 0
            for size in SIZES:
                _fill(store, filled, size)
                filled = size
                _measure(name, store, size)
            store.close()


def _fill(store: Store, start: int, end: int) -> None:
    rng = random.Random(end)  # the same drafts on both
    session_of = store._sessions.begin
    verdicts = {"verdicts": [], "findings": [], "padding": "x" * 4000}
    for first in range(start, end, 5000):
        drafts, items, marks, snapshots = [], [], [], []
        for n in range(first, min(first + 5000, end)):
            key, day = f"bench.{n}.0", date(2026, 1, 1) + timedelta(days=rng.randrange(320))
            state, codes = rng.choice(_STATES).value, rng.sample(_CODES, rng.choice((1, 1, 1, 2)))
            rules = rng.sample(_RULES, rng.choice((0, 0, 1, 2)))
            payer, clinician = f"payer-{rng.randrange(12)}", f"prac-{rng.randrange(60)}"
            snapshots.append(
                {
                    "key": f"{n:064}",
                    "ehr_id": "bench",
                    "encounter_id": f"e{n}",
                    "as_of": day,
                    "manifest": {},
                    "created_at": _NOW,
                }
            )
            whose = {
                "ehr_id": "bench",
                "encounter_id": f"e{n}",
                "patient_id": f"p{n % 9000}",
                "clinician_id": clinician,
            }
            drafts.append(
                whose
                | {"id": key, "billing_provider": "o", "payer": payer, "snapshot_key": f"{n:064}", "version": 1}
                | {"state": state, "incomplete": False, "decided": False, "revision": 1, "changed_since": False}
                | {"date_of_service": day, "claim": {}, "verdicts": verdicts, "created_at": _NOW, "updated_at": _NOW}
            )
            items.append(
                whose
                | {"id": key, "draft_id": key, "payer": payer, "state": state, "codes": " ".join(sorted(codes))}
                | {"date_of_service": day, "deadline": day + timedelta(days=365), "clean": not rules}
                | {"changed_since": False, "since": _NOW - timedelta(hours=rng.randrange(900)), "found_at": _NOW}
            )
            marks += [{"kind": "code", "value": c, "item_id": key} for c in codes]
            marks += [{"kind": "rule", "value": r, "item_id": key} for r in rules]
        with session_of() as session:
            for table, rows in ((SnapshotRow, snapshots), (DraftRow, drafts), (QueueRow, items), (QueueMarkRow, marks)):
                session.execute(insert(table), rows)
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _measure(name: str, store: Store, size: int) -> None:
    queue, to_review = store.queue, (State.ACCEPTED, State.IN_REVIEW)

    def whole(wanted: Filter) -> Callable[[], object]:
        return lambda: (queue.page(wanted, most=PAGE + 1), queue.counts(wanted), queue.choices())

    for what, run in {
        "one row by its key": lambda: queue.item("bench.1.0"),
        "the page, to review": whole(Filter(states=to_review)),
        "  by code": whole(Filter(states=to_review, code="H2014")),
        "  by finding, by age": whole(Filter(states=to_review, rule="UNIT-050", order=Order.AGE)),
        "  by payer": whole(Filter(states=to_review, payer="payer-3")),
        "  by name of clinician": whole(Filter(states=to_review, order=Order.CLINICIAN)),
        "  ready and released": whole(Filter(states=(State.READY, State.RELEASED))),
        "  all states, by service": whole(Filter(order=Order.SERVICE)),
        "  tenth page": lambda: (queue.page(Filter(states=to_review), 9 * PAGE), queue.counts(), queue.choices()),
        "its list alone": lambda: queue.page(Filter(states=to_review), most=PAGE + 1),
        "its counts alone": queue.counts,
        "its choices alone": queue.choices,
    }.items():
        run()
        took = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            run()
            took.append((time.perf_counter() - started) * 1e3)
        took.sort()
        print(
            f"{name:10} {size:>7} drafts  {what:26} median {took[len(took) // 2]:7.1f} ms   p95 {took[int(len(took) * 0.95)]:7.1f} ms"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
