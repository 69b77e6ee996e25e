"""Visits found to be coded without a person, and how far that work is. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from plugin.review.states import State
from plugin.store.queue import Queue
from plugin.store.tables import ArrivalRow, PollRow, SeenRow

T = TypeVar("T")

_LOST_AFTER = timedelta(hours=1)
_AT_THE_ENGINE = 200
_POLLING = timedelta(minutes=5)
_SEEN_FOR = timedelta(days=2)  # far longer than polls overlap
_BACKOFF = (1, 5, 15, 60, 240)  # minutes until the next try
_DEATHS = 10  # far more than restarts of a machine make of one visit


class Work(StrEnum):
    """How the work on a visit stands."""

    WAITING = "waiting"
    HANDED_OVER = "handed over"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A visit that was found. `generation` makes the name of its work new each time it is begun anew."""

    ehr_id: str
    encounter_id: str
    state: Work
    generation: int
    attempts: int
    reason: str | None
    next_try_at: datetime | None

    @property
    def name(self) -> str:
        """The name of the work: the same work has the same name, wherever it is begun."""
        return f"{self.ehr_id}/{self.encounter_id}/{self.generation}"


@dataclass(frozen=True, slots=True)
class Polled:
    """How far an EHR was asked for changes."""

    through: datetime | None
    polled_at: datetime | None
    problem: str | None


class Arrivals:
    """Found, worked on, done or failed."""

    def __init__(self, sessions: sessionmaker[Session], queue: Queue) -> None:
        self._db, self._queue = sessions, queue

    def found(self, ehr_id: str, encounter_id: str, by: str, version: str | None = None) -> bool:
        """A visit that should be coded; whether that is news. A `version` that was seen before is no news."""
        return _or_after_another(lambda: self._found(ehr_id, encounter_id, by, version))

    def _found(self, ehr_id: str, encounter_id: str, by: str, version: str | None) -> bool:
        now = datetime.now(UTC)
        with self._db.begin() as db:
            if version is not None:
                if db.get(SeenRow, (ehr_id, version)) is not None:
                    return False
                db.add(SeenRow(ehr_id=ehr_id, version=version, at=now))
            row = db.get(ArrivalRow, (ehr_id, encounter_id), with_for_update=True)
            if row is None:
                db.add(
                    ArrivalRow(
                        ehr_id=ehr_id,
                        encounter_id=encounter_id,
                        state=Work.WAITING,
                        generation=1,
                        attempts=0,
                        found_by=by,
                        found_at=now,
                        next_try_at=now,
                        updated_at=now,
                    )
                )
                self._queue.visit(db, ehr_id, encounter_id, State.NEW, now)
            elif row.state == Work.RUNNING:
                row.dirty_at = now
            elif row.state == Work.HANDED_OVER:
                pass  # it is read when it is begun
            else:
                self._again(row, now)
                self._queue.visit(db, ehr_id, encounter_id, State.NEW, now)
            return True

    def due(self, ehr_ids: Collection[str], most: int = _AT_THE_ENGINE) -> list[Arrival]:
        """Visits of these EHRs whose time has come, oldest first; also those whose work died with its process.

        No more than make `most` with those that the engine has already: each EHR its share, one of each in turn, so that
        one that answers nobody does not keep the others waiting.
        """
        now = datetime.now(UTC)
        under_way = ArrivalRow.state.in_([Work.HANDED_OVER, Work.RUNNING])
        dead = select(ArrivalRow).where(under_way, ArrivalRow.running_until < now).limit(most)
        waiting = (
            select(ArrivalRow)
            .where(ArrivalRow.state.in_([Work.WAITING, Work.FAILED]), ArrivalRow.next_try_at <= now)
            .order_by(ArrivalRow.next_try_at)
        )
        at_the_engine = select(ArrivalRow.ehr_id, func.count()).where(under_way).group_by(ArrivalRow.ehr_id)
        with self._db() as db:
            anything = db.scalars(dead).first() is not None
        if anything:
            with self._db.begin() as db:
                for row in db.scalars(dead.with_for_update(skip_locked=True)):
                    self._died(db, row, now)
        with self._db() as db:
            there = dict(db.execute(at_the_engine).all())
            return [
                _arrival(row)
                for row in in_turn(
                    ehr_ids,
                    most,
                    lambda ehr_id, share: db.scalars(
                        waiting.where(ArrivalRow.ehr_id == ehr_id).limit(max(0, share - there.get(ehr_id, 0)))
                    ),
                )
            ]

    def handed_over(self, arrival: Arrival) -> None:
        """The engine has it. Should it lose it, it is due again an hour later, under a new name."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            db.execute(
                update(ArrivalRow)
                .where(
                    ArrivalRow.ehr_id == arrival.ehr_id,
                    ArrivalRow.encounter_id == arrival.encounter_id,
                    ArrivalRow.generation == arrival.generation,
                    ArrivalRow.state.in_([Work.WAITING, Work.FAILED]),
                )
                .values(state=Work.HANDED_OVER, running_until=now + _LOST_AFTER, updated_at=now)
            )

    def begin(self, ehr_id: str, encounter_id: str, generation: int, lease_seconds: float) -> bool:
        """Take up the work of that generation; False where a newer one was begun, or it is done."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            moved = db.execute(
                update(ArrivalRow)
                .where(
                    ArrivalRow.ehr_id == ehr_id,
                    ArrivalRow.encounter_id == encounter_id,
                    ArrivalRow.generation == generation,
                    ArrivalRow.state != Work.DONE,
                )
                .values(state=Work.RUNNING, running_until=now + timedelta(seconds=lease_seconds), updated_at=now)
            )
            return cast("CursorResult[Any]", moved).rowcount == 1

    def at_work(self, ehr_id: str, encounter_id: str, generation: int, lease_seconds: float) -> None:
        """The work goes on: nobody takes it for dead."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            db.execute(
                update(ArrivalRow)
                .where(
                    ArrivalRow.ehr_id == ehr_id,
                    ArrivalRow.encounter_id == encounter_id,
                    ArrivalRow.generation == generation,
                    ArrivalRow.state == Work.RUNNING,
                )
                .values(running_until=now + timedelta(seconds=lease_seconds), updated_at=now)
            )

    def done(self, ehr_id: str, encounter_id: str, generation: int) -> bool:
        """The work is done; whether the visit changed meanwhile and is worked on again."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(ArrivalRow, (ehr_id, encounter_id), with_for_update=True)
            if row is None or row.generation != generation:
                return False
            if row.dirty_at is not None:
                self._again(row, now)
                self._queue.visit(db, ehr_id, encounter_id, State.NEW, now)
                return True
            self._queue.forget_visit(db, ehr_id, encounter_id)
            row.state, row.reason, row.next_try_at, row.running_until = Work.DONE, None, None, None
            row.attempts, row.deaths, row.updated_at = 0, 0, now
            return False

    def failed(self, ehr_id: str, encounter_id: str, generation: int, reason: str, *, again: bool) -> None:
        """The work failed, and says why; `again`: time may heal it, so that it is tried at growing distances."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(ArrivalRow, (ehr_id, encounter_id), with_for_update=True)
            if row is None or row.generation != generation:
                return
            self._fail(db, row, now, reason, again=again)

    def half_read(self, ehr_id: str, encounter_id: str, generation: int, reason: str) -> bool:
        """The visit is coded, without something that made no sense: looked at again a few times; False once it was."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(ArrivalRow, (ehr_id, encounter_id), with_for_update=True)
            if row is None or row.generation != generation or row.attempts >= len(_BACKOFF):
                return False
            self._fail(db, row, now, reason, again=True)
            return True

    def _fail(self, db: Session, row: ArrivalRow, now: datetime, reason: str, *, again: bool) -> None:
        changed_meanwhile = row.dirty_at is not None
        self._again(row, now)
        row.attempts, row.deaths, row.reason, row.state = row.attempts + 1, 0, reason[:300], Work.FAILED
        wait = timedelta(minutes=_BACKOFF[min(row.attempts, len(_BACKOFF)) - 1])
        row.next_try_at = now if changed_meanwhile else now + wait if again else None
        self._queue.visit(db, row.ehr_id, row.encounter_id, State.FAILED, now, row.reason, row.next_try_at)

    def retry(self, ehr_id: str, encounter_id: str) -> None:
        """A person asks for the next try now."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(ArrivalRow, (ehr_id, encounter_id), with_for_update=True)
            if row is not None and row.state == Work.FAILED:
                self._again(row, now)
                self._queue.visit(db, ehr_id, encounter_id, State.NEW, now)

    def _died(self, db: Session, row: ArrivalRow, now: datetime) -> None:
        """Its process is gone. A visit that takes every process with it must not go on doing so."""
        if row.state == Work.RUNNING and row.deaths >= _DEATHS:
            self._fail(db, row, now, "its process died each time; tell your administrator", again=False)
            return
        row.deaths += row.state == Work.RUNNING
        self._again(row, now)

    def _again(self, row: ArrivalRow, now: datetime) -> None:
        row.state, row.generation, row.dirty_at, row.running_until = Work.WAITING, row.generation + 1, None, None
        row.next_try_at, row.updated_at = now, now

    def all(self) -> list[Arrival]:
        """Every visit found, for reports and tests."""
        with self._db() as db:
            return [_arrival(row) for row in db.scalars(select(ArrivalRow).order_by(ArrivalRow.found_at))]

    # --- asking an EHR for changes ---

    def poll(self, ehr_id: str) -> datetime | bool | None:
        """Take the turn to ask an EHR; False where another process has it, else how far it was asked."""
        return _or_after_another(lambda: self._poll(ehr_id))

    def _poll(self, ehr_id: str) -> datetime | bool | None:
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get(PollRow, ehr_id, with_for_update=True)
            if row is None:
                row = PollRow(ehr_id=ehr_id)
                db.add(row)
            if row.taken_until is not None and row.taken_until > now:
                return False
            row.taken_until = now + _POLLING
            return row.through

    def polled(self, ehr_id: str, through: datetime | None, problem: str | None = None) -> None:
        """The turn is over. `through` never goes back."""
        now = datetime.now(UTC)
        with self._db.begin() as db:
            row = db.get_one(PollRow, ehr_id, with_for_update=True)
            if through is not None and (row.through is None or through > row.through):
                row.through = through
            row.taken_until, row.polled_at, row.problem = None, now, problem[:300] if problem else None
            db.execute(delete(SeenRow).where(SeenRow.ehr_id == ehr_id, SeenRow.at < now - _SEEN_FOR))

    def polls(self) -> dict[str, Polled]:
        """How far each EHR was asked."""
        with self._db() as db:
            return {r.ehr_id: Polled(r.through, r.polled_at, r.problem) for r in db.scalars(select(PollRow))}


def in_turn(ehr_ids: Collection[str], most: int, due: Callable[[str, int], Iterable[T]]) -> list[T]:
    """What is due of each EHR, its share of `most` at the most, one of each in turn."""
    share = max(1, most // max(1, len(ehr_ids)))
    rounds = zip_longest(*[list(due(ehr_id, share)) for ehr_id in sorted(ehr_ids)])
    return [each for one_of_each in rounds for each in one_of_each if each is not None]


def _or_after_another(insert: Callable[[], T]) -> T:
    """Do it; where another process inserted the same row at that moment, do it again, after that one."""
    try:
        return insert()
    except IntegrityError:
        return insert()


def _arrival(row: ArrivalRow) -> Arrival:
    return Arrival(
        row.ehr_id, row.encounter_id, Work(row.state), row.generation, row.attempts, row.reason, row.next_try_at
    )
