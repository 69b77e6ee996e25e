"""How the work flows, and how far people agree with what was proposed: counts and shares, for those who look after it.

No figure counts money or units, none is a target, and every share comes with its count and an interval, because small
numbers mislead. Rows are read narrow and streamed, so that a hundred thousand drafts never stand in memory at once.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise
from math import ceil, sqrt
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from fhir_mappings.views import Json
from plugin.review.desk import Action
from plugin.review.states import State
from plugin.store.store import Store
from plugin.store.tables import (
    BatchRow,
    DecisionRow,
    DraftRow,
    QueueMarkRow,
    QueueRow,
    ReleasedRow,
    ReviewAgainRow,
    SnapshotRow,
)

DAYS = 30
MOST_DAYS = 366
_EARLIEST, _LATEST = date(1900, 1, 1), date(2999, 12, 31)  # what is beyond overflows somewhere
_AT_ONCE = 500
_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_ON_LINES = (Action.ACCEPT, Action.BILL, Action.REJECT, Action.EDIT, Action.CORRECT)
_UNKNOWN = "(not known)"


@dataclass(frozen=True, slots=True)
class Window:
    """Whole days, the first and the last among them, on the clock of a zone."""

    first: date
    last: date
    zone: tzinfo = UTC

    @classmethod
    def of(cls, first: date | None, last: date | None, zone: tzinfo = UTC) -> Window:
        """The days asked for; without them the last thirty. Never backwards, and never more than a year."""
        first, last = (day and min(max(day, _EARLIEST), _LATEST) for day in (first, last))
        end = last or (first + timedelta(days=DAYS - 1) if first else datetime.now(zone).date())
        start = first or end - timedelta(days=DAYS - 1)
        return cls(max(min(start, end), end - timedelta(days=MOST_DAYS - 1)), end, zone)

    @property
    def starts(self) -> datetime:
        """The instant it begins."""
        return datetime.combine(self.first, time.min, self.zone).astimezone(UTC)

    @property
    def ends(self) -> datetime:
        """The instant after its last."""
        return datetime.combine(self.last + timedelta(days=1), time.min, self.zone).astimezone(UTC)

    def days(self) -> Iterator[date]:
        """Each day."""
        for n in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=n)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with the Wilson interval at 95 %: where the true share may well lie."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.count / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float]:
        """From and to. Of nothing anything may be true."""
        if not self.of:
            return 0.0, 1.0
        n, p = self.of, self.count / self.of
        scale = 1 + _Z**2 / n
        middle = (p + _Z**2 / (2 * n)) / scale
        half = _Z / scale * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
        low = 0.0 if self.count == 0 else max(0.0, middle - half)
        high = 1.0 if self.count == n else min(1.0, middle + half)
        return low, high


# --- throughput and turnaround ---


class Step(StrEnum):
    """What a visit gets to, in this order."""

    PROVED = "proved"
    ACCEPTED = "accepted"
    APPROVED = "approved"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Day:
    """How many drafts got to each step on a day: proved for the first time, accepted for the first time, approved, released."""

    day: date
    proved: int
    accepted: int
    approved: int
    released: int


@dataclass(frozen=True, slots=True)
class Turnaround:
    """How long a step took for those that ended in the window, in hours; None where none did."""

    before: Step
    after: Step
    count: int
    median: float | None
    p90: float | None


def throughput(store: Store, window: Window) -> list[Day]:
    """Each day's drafts. An approval that was taken back does not count."""
    counted: dict[Step, Counter[date]] = {step: Counter() for step in Step}
    starts, ends = window.starts, window.ends
    with store.reading() as db:
        for times in _times(db, window):
            for step, at in zip(Step, times, strict=True):
                if at is not None and starts <= at < ends:
                    counted[step][at.astimezone(window.zone).date()] += 1
    return [Day(day, *(counted[step][day] for step in Step)) for day in window.days()]


def turnaround(store: Store, window: Window) -> list[Turnaround]:
    """Found to accepted, accepted to approved, approved to released."""
    starts, ends = window.starts, window.ends
    hours = [array("d") for _ in pairwise(Step)]
    with store.reading() as db:
        for times in _times(db, window):
            for took, (before, after) in zip(hours, pairwise(times), strict=True):
                if before is not None and after is not None and starts <= after < ends:
                    took.append((after - before).total_seconds() / 3600)
    return [_turnaround(*pair, sorted(took)) for pair, took in zip(pairwise(Step), hours, strict=True)]


def _turnaround(before: Step, after: Step, hours: list[float]) -> Turnaround:
    n = len(hours)
    if not n:
        return Turnaround(before, after, 0, None, None)
    middle = (hours[(n - 1) // 2] + hours[n // 2]) / 2
    return Turnaround(before, after, n, middle, hours[ceil(0.9 * n) - 1])


def _times(db: Session, window: Window) -> Iterator[Sequence[datetime | None]]:
    """When each draft that did something in the window got to each step, in their order."""
    columns = (QueueRow.found_at, QueueRow.accepted_at, QueueRow.approved_at, BatchRow.at)
    some = [(column >= window.starts) & (column < window.ends) for column in columns]
    query = (
        select(*columns)
        .select_from(QueueRow)
        .outerjoin(ReleasedRow, ReleasedRow.draft_id == QueueRow.draft_id)
        .outerjoin(BatchRow, BatchRow.id == ReleasedRow.batch_id)
        .where(QueueRow.draft_id.is_not(None), some[0] | some[1] | some[2] | some[3])
    )
    return _streamed(db, query)


# --- what people made of what was proposed ---


class By(StrEnum):
    """What shares are grouped by."""

    CODE = "code"
    CLINICIAN = "clinician"
    PAYER = "payer"
    MODEL = "model"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of a group's proposed lines that people decided on, and how many visits coders sent back."""

    group: str
    accepted: Share
    edited: Share
    set_aside: Share
    sent_back: Share


@dataclass
class _Tally:
    accepted: int = 0
    edited: int = 0
    set_aside: int = 0
    visits: int = 0
    sent_back: int = 0

    def rates(self, group: str) -> Rates:
        lines = self.accepted + self.edited + self.set_aside
        return Rates(
            group,
            Share(self.accepted, lines),
            Share(self.edited, lines),
            Share(self.set_aside, lines),
            Share(self.sent_back, self.visits),
        )


@dataclass(slots=True)
class _Tallies:
    groups: dict[By, dict[str, _Tally]] = field(default_factory=lambda: {by: defaultdict(_Tally) for by in By})

    def of(self, row: Any, codes: Iterable[str]) -> Iterator[_Tally]:
        clinician = f"{row.ehr_id}/{row.clinician_id}" if row.clinician_id else _UNKNOWN
        for by, group in (
            (By.CLINICIAN, clinician),
            (By.PAYER, row.payer),
            (By.MODEL, row.proposer or _UNKNOWN),
            (By.PROMPT, row.prompt or _UNKNOWN),
            *((By.CODE, code) for code in codes),
        ):
            yield self.groups[by][group]


def rates(store: Store, window: Window) -> dict[By, list[Rates]]:
    """The shares of each grouping, by the group's name and not by how well it does.

    A line that was proposed counts as it stands now, if the last decision on its visit's lines was in the window; where
    it is open again (reopened, sent back), or its visit is not to be billed, it does not count. A visit counts as sent
    back or not if a coder approved it or sent it back in the window, once for each state of its record.
    """
    tallies = _Tallies()
    with store.reading() as db:
        for row in _streamed(db, _decided_lines(window)):
            for code, fate in _fates(row.verdicts):
                for tally in tallies.of(row, (code,)):
                    setattr(tally, fate, getattr(tally, fate) + 1)
        for row in _streamed(db, _coders_words(window)):
            for tally in tallies.of(row, ()):
                tally.visits += 1
                tally.sent_back += row.sent_back
        for code, visits, sent_back in db.execute(_coders_words_by_code(window)):
            tally = tallies.groups[By.CODE][code]
            tally.visits, tally.sent_back = visits, int(sent_back)
    return {by: [groups[name].rates(name) for name in sorted(groups)] for by, groups in tallies.groups.items()}


def _fates(verdicts: Json) -> Iterator[tuple[str, str]]:
    """The code and the fate of each proposed line that people decided on. What they added is no proposal."""
    for each in verdicts.get("verdicts", ()):
        if not each.get("by") and each.get("fate") == "accepted":
            yield str(each["proposal"]["code"]), "accepted"
    for each in verdicts.get("set_aside", ()):
        if not each.get("by"):
            yield str(each["proposal"]["code"]), "edited" if each["fate"] == "replaced" else "set_aside"


def _made_by() -> tuple[Any, Any]:
    manifest = SnapshotRow.manifest
    return manifest["proposer"].as_string().label("proposer"), manifest["prompt"].as_string().label("prompt")


def _decided_lines(window: Window) -> Select[Any]:
    last = func.max(DecisionRow.at)
    decided = (
        select(DecisionRow.draft_id, DecisionRow.snapshot_key)
        .where(DecisionRow.action.in_([a.value for a in _ON_LINES]))
        .group_by(DecisionRow.draft_id, DecisionRow.snapshot_key)
        .having((last >= window.starts) & (last < window.ends))
        .subquery()
    )
    return (
        select(DraftRow.ehr_id, DraftRow.clinician_id, DraftRow.payer, DraftRow.verdicts, *_made_by())
        .join(decided, (decided.c.draft_id == DraftRow.id) & (decided.c.snapshot_key == DraftRow.snapshot_key))
        .join(SnapshotRow, SnapshotRow.key == DraftRow.snapshot_key)
        .where(DraftRow.state != State.NOT_BILLABLE)
    )


def _coders(window: Window) -> Any:
    """Drafts and the states of their record on which a coder had a word: 1 where they sent it back, else 0."""
    sent_back = func.max(case((DecisionRow.action == Action.SEND_BACK, 1), else_=0)).label("sent_back")
    return (
        select(DecisionRow.draft_id, DecisionRow.snapshot_key, sent_back)
        .where(DecisionRow.action.in_([Action.APPROVE.value, Action.SEND_BACK.value]))
        .where(DecisionRow.at >= window.starts, DecisionRow.at < window.ends)
        .group_by(DecisionRow.draft_id, DecisionRow.snapshot_key)
        .subquery()
    )


def _coders_words(window: Window) -> Select[Any]:
    words = _coders(window)
    return (
        select(DraftRow.ehr_id, DraftRow.clinician_id, DraftRow.payer, words.c.sent_back, *_made_by())
        .join(words, words.c.draft_id == DraftRow.id)
        .join(SnapshotRow, SnapshotRow.key == words.c.snapshot_key)
    )


def _coders_words_by_code(window: Window) -> Select[Any]:
    """The same by the codes that the drafts now have."""
    words = _coders(window)
    return (
        select(QueueMarkRow.value, func.count(), func.sum(words.c.sent_back))
        .join(words, words.c.draft_id == QueueMarkRow.item_id)
        .where(QueueMarkRow.kind == "code")
        .group_by(QueueMarkRow.value)
    )


# --- findings ---


@dataclass(frozen=True, slots=True)
class Raised:
    """A rule, and how many of the window's drafts it says something of."""

    rule: str
    drafts: Share


def findings(store: Store, window: Window, most: int = 1000) -> list[Raised]:
    """The rules that say something of most of the drafts first proved in the window, as these stand now."""
    made = (QueueRow.draft_id.is_not(None), QueueRow.found_at >= window.starts, QueueRow.found_at < window.ends)
    count = func.count().label("count")
    raised = (
        select(QueueMarkRow.value, count)
        .join(QueueRow, QueueRow.id == QueueMarkRow.item_id)
        .where(QueueMarkRow.kind == "rule", *made)
        .group_by(QueueMarkRow.value)
        .order_by(count.desc(), QueueMarkRow.value)
        .limit(most)
    )
    with store.reading() as db:
        drafts = db.scalar(select(func.count()).select_from(QueueRow).where(*made)) or 0
        return [Raised(rule, Share(n, drafts)) for rule, n in db.execute(raised)]


# --- ageing ---

OPEN = tuple(s for s in State if s not in (State.RELEASED, State.NOT_BILLABLE, State.WITHDRAWN, State.NOTHING))
"""What waits for somebody or something."""

AGES = ("under a day", "1 to 2 days", "3 to 6 days", "7 to 13 days", "14 to 29 days", "30 days or more")
_AGES = (1, 3, 7, 14, 30)
DUE = ("past", "within 7 days", "8 to 14 days", "15 to 30 days", "31 to 90 days", "later", "no deadline known")
_DUE = (-1, 7, 14, 30, 90)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Open items of a state: by how long they have been in it (`AGES`), and by the days until they must be filed (`DUE`)."""

    state: State
    by_age: tuple[int, ...]
    by_deadline: tuple[int, ...]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.by_age)


def ageing(store: Store, now: datetime | None = None, zone: tzinfo = UTC) -> list[Waiting]:
    """What is open at this moment, in the order of the states."""
    now = now or datetime.now(UTC)
    today = now.astimezone(zone).date()
    age = case(
        *((QueueRow.since > now - timedelta(days=days), n) for n, days in enumerate(_AGES)),
        else_=len(_AGES),
    )
    due = case(
        (QueueRow.deadline.is_(None), len(DUE) - 1),
        *((QueueRow.deadline <= today + timedelta(days=days), n) for n, days in enumerate(_DUE)),
        else_=len(_DUE),
    )
    with store.reading() as db:
        ages = _by_state(db, age)
        deadlines = _by_state(db, due)
    return [
        Waiting(
            state,
            tuple(ages[state, n] for n in range(len(AGES))),
            tuple(deadlines[state, n] for n in range(len(DUE))),
        )
        for state in OPEN
    ]


def _by_state(db: Session, bucket: Any) -> Counter[tuple[State, int]]:
    sorted_into = select(QueueRow.state, bucket.label("bucket")).subquery()
    query = select(sorted_into.c.state, sorted_into.c.bucket, func.count()).group_by(
        sorted_into.c.state, sorted_into.c.bucket
    )
    return Counter({(State(state), int(n)): count for state, n, count in db.execute(query)})


# --- second looks ---


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often second coders agreed with approvals that chance picked, among those looked at in the window."""

    agreed: Share
    waiting: int


def agreement(store: Store, window: Window) -> Agreement:
    """Second looks, and how many wait at this moment."""
    agreed = func.sum(case((ReviewAgainRow.agreed.is_(True), 1), else_=0))
    query = select(func.count(), agreed).where(
        ReviewAgainRow.looked_at >= window.starts, ReviewAgainRow.looked_at < window.ends
    )
    with store.reading() as db:
        of, count = db.execute(query).one()
    return Agreement(Share(int(count or 0), of), store.second_looks.count())


def _streamed(db: Session, query: Any) -> Iterator[Any]:
    yield from db.execute(query.execution_options(yield_per=_AT_ONCE))
