"""The work queue as it is listed: filters, counts, and who has which item. Every public method is one transaction."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import CursorResult, Select, delete, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from fhir_mappings.views import Json
from plugin.review.states import FOR_CODER, State, step
from plugin.store.audit import Audit
from plugin.store.tables import DraftRow, QueueMarkRow, QueueRow

PAGE = 50
_LOCK = timedelta(minutes=15)
_OPENED = frozenset(state.value for state in FOR_CODER)
"""States between which opening an item moves it: it waits as long as before."""
_ID = re.compile(r"[A-Za-z0-9.|/:-]{1,160}", re.ASCII)


class Order(StrEnum):
    """What the list is sorted by: the most urgent first, or by name."""

    DEADLINE = "deadline"
    SERVICE = "date of service"
    AGE = "age"
    PAYER = "payer"
    CLINICIAN = "clinician"
    CODES = "codes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is looked for. `find` is an id: of the draft, the Encounter or the Patient."""

    states: tuple[State, ...] = ()
    ehr_id: str | None = None
    payer: str | None = None
    code: str | None = None
    rule: str | None = None
    clinician: str | None = None
    due_by: date | None = None
    older_than_days: int | None = None
    find: str | None = None
    clean: bool = False
    mine: str | None = None
    order: Order = Order.DEADLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the queue. `since` is when it came to its state; `owner` the account that has it, until `owner_until`.

    `reason` says why a visit, or a draft's way to the EHR, waits for `next_try_at`.
    """

    id: str
    ehr_id: str
    encounter_id: str
    draft_id: str | None
    patient_id: str | None
    clinician_id: str | None
    payer: str | None
    state: State
    codes: str
    date_of_service: date | None
    deadline: date | None
    clean: bool
    changed_since: bool
    since: datetime
    found_at: datetime
    accepted_at: datetime | None
    approved_at: datetime | None
    owner: str | None
    owner_until: datetime | None
    reason: str | None
    next_try_at: datetime | None

    def held_by(self, now: datetime) -> str | None:
        """Who has it now."""
        return self.owner if self.owner_until is not None and self.owner_until > now else None


class Taken(Exception):
    """Somebody else has the item; `owner` is their account."""

    def __init__(self, owner: str) -> None:
        super().__init__("somebody else has this item")
        self.owner = owner


class Queue:
    """Lists items, and locks them for one coder at a time."""

    def __init__(self, sessions: sessionmaker[Session], audit: Audit) -> None:
        self._db, self._audit = sessions, audit

    # --- written with what it shows, in the transaction of that ---

    def show(self, db: Session, draft: DraftRow, now: datetime, deadline: date | None = None) -> None:
        """Bring a draft's line up to date."""
        row = db.get(QueueRow, draft.id)
        if row is None:
            row = QueueRow(id=draft.id, draft_id=draft.id, found_at=draft.created_at, since=now, state=draft.state)
            db.add(row)
        if row.state != draft.state and not {row.state, draft.state} <= _OPENED:
            row.since = now
        row.state, row.ehr_id, row.encounter_id = draft.state, draft.ehr_id, draft.encounter_id
        row.patient_id, row.clinician_id, row.payer = draft.patient_id, draft.clinician_id, draft.payer
        row.date_of_service, row.changed_since = draft.date_of_service, draft.changed_since
        row.deadline = deadline or row.deadline
        if draft.state == State.ACCEPTED and row.accepted_at is None:
            row.accepted_at = now
        row.approved_at = (row.approved_at or now) if draft.state in (State.APPROVED, State.RELEASED) else None
        codes, rules, row.clean = _said(draft.verdicts)
        row.codes = " ".join(codes)[:200]
        row.clean = row.clean and not draft.incomplete and not draft.changed_since
        db.flush()
        db.execute(delete(QueueMarkRow).where(QueueMarkRow.item_id == row.id))
        for kind, values in (("code", codes), ("rule", rules)):
            db.add_all(QueueMarkRow(kind=kind, value=value[:16], item_id=row.id) for value in values)
        db.flush()

    def visit(
        self,
        db: Session,
        ehr_id: str,
        encounter_id: str,
        state: State,
        now: datetime,
        reason: str | None = None,
        next_try_at: datetime | None = None,
    ) -> None:
        """Show a visit that is found or failed, beside the draft that it may have."""
        key = _visit_key(ehr_id, encounter_id)
        row = db.get(QueueRow, key)
        if row is None:
            row = QueueRow(id=key, ehr_id=ehr_id, encounter_id=encounter_id, state=state, since=now, found_at=now)
            row.codes, row.clean, row.changed_since = "", False, False
            db.add(row)
        elif row.state != state:
            row.state, row.since = step(State(row.state), state), now
        row.reason, row.next_try_at = reason, next_try_at

    def waits(self, db: Session, draft_id: str, reason: str | None, next_try_at: datetime | None) -> None:
        """Why a draft's Claim is not where it belongs, and when that is tried again; None once it is there."""
        row = db.get(QueueRow, draft_id)
        if row is not None:
            row.reason, row.next_try_at = reason, next_try_at

    def forget_visit(self, db: Session, ehr_id: str, encounter_id: str) -> None:
        """The visit is coded: its draft's line speaks for it."""
        db.execute(delete(QueueRow).where(QueueRow.id == _visit_key(ehr_id, encounter_id)))

    # --- listing ---

    def page(self, wanted: Filter, offset: int = 0, most: int = PAGE) -> list[Item]:
        """Items, the most urgent first."""
        column = {
            Order.DEADLINE: QueueRow.deadline,
            Order.SERVICE: QueueRow.date_of_service,
            Order.AGE: QueueRow.since,
            Order.PAYER: QueueRow.payer,
            Order.CLINICIAN: QueueRow.clinician_id,
            Order.CODES: QueueRow.codes,
        }[wanted.order]
        order = (column.nulls_last(), QueueRow.id)
        found = (
            _where(select(QueueRow.id), wanted).order_by(*order).offset(offset).limit(most).subquery()
        )  # by indexes alone
        query = select(QueueRow).join(found, found.c.id == QueueRow.id).order_by(*order)
        with self._db() as db:
            return [_item(row) for row in db.scalars(query)]

    def count(self, wanted: Filter) -> int:
        """How many items there are."""
        with self._db() as db:
            return db.scalar(_where(select(func.count()).select_from(QueueRow), wanted)) or 0

    def counts(self, wanted: Filter | None = None) -> dict[State, int]:
        """How many items stand in each state, of those that are looked for in whatever state."""
        query: Any = select(QueueRow.state, func.count()).group_by(QueueRow.state)
        with self._db() as db:
            rows = db.execute(_where(query, replace(wanted, states=())) if wanted else query)
            return {State(state): count for state, count in rows}

    def choices(self) -> dict[str, list[str]]:
        """What the list can be filtered by: payers, clinicians, codes and rules that it holds."""
        with self._db() as db:
            return {
                "payer": _distinct(db, QueueRow.payer),
                "clinician": _distinct(db, QueueRow.clinician_id),
                "code": _distinct(db, QueueMarkRow.value, QueueMarkRow.kind == "code"),
                "rule": _distinct(db, QueueMarkRow.value, QueueMarkRow.kind == "rule"),
            }

    def item(self, item_id: str) -> Item | None:
        """One item."""
        with self._db() as db:
            row = db.get(QueueRow, item_id)
            return _item(row) if row else None

    def next_after(self, wanted: Filter, item_id: str | None, account_id: str, back: bool = False) -> Item | None:
        """The next item of a list that nobody else has; the first, where the item is not in it any more."""
        now = datetime.now(UTC)
        listed = [
            i for i in self.page(wanted, most=500) if i.draft_id is not None
        ]  # a visit without a draft has no page
        items = [i for i in listed if i.held_by(now) in (None, account_id) or i.id == item_id]
        at = next((n for n, each in enumerate(items) if each.id == item_id), None)
        if at is None:
            return items[0] if items else None
        chosen = at - 1 if back else at + 1
        return items[chosen] if 0 <= chosen < len(items) else None

    # --- one coder at a time ---

    def claim(self, item_id: str, account_id: str) -> Item:
        """Have an item, or have it longer.

        Raises:
            Taken: somebody else has it.
            LookupError: there is no such item.
        """
        with self._db.begin() as db:
            self.take(db, item_id, account_id, datetime.now(UTC))
            return _item(db.get_one(QueueRow, item_id, populate_existing=True))

    def take(self, db: Session, item_id: str, account_id: str, now: datetime) -> bool:
        """Have an item, in the transaction of what follows from that; whether one did not have it before.

        Raises:
            Taken: somebody else has it.
            LookupError: there is no such item.
        """
        before = db.execute(select(QueueRow.owner, QueueRow.owner_until).where(QueueRow.id == item_id)).first()
        free = QueueRow.owner.is_(None) | (QueueRow.owner == account_id) | (QueueRow.owner_until < now)
        moved = db.execute(
            update(QueueRow)
            .where(QueueRow.id == item_id, free)
            .values(owner=account_id, owner_until=now + _LOCK)
            .execution_options(synchronize_session=False)
        )
        if before is None:
            raise LookupError(item_id)
        if cast("CursorResult[Any]", moved).rowcount != 1:
            raise Taken(db.scalar(select(QueueRow.owner).where(QueueRow.id == item_id)) or "")  # who was just faster
        return before.owner != account_id or before.owner_until is None or before.owner_until < now

    def put_back(self, item_id: str, account_id: str) -> None:
        """Have an item no more."""
        with self._db.begin() as db:
            db.execute(
                update(QueueRow)
                .where(QueueRow.id == item_id, QueueRow.owner == account_id)
                .values(owner=None, owner_until=None)
            )

    def has(self, db: Session, item_id: str, account_id: str, now: datetime) -> bool:
        """Whether an account has an item, asked within the transaction that decides on it."""
        row = db.get(QueueRow, item_id, populate_existing=True)
        return row is not None and row.owner == account_id and row.owner_until is not None and row.owner_until > now


def _visit_key(ehr_id: str, encounter_id: str) -> str:
    return f"visit:{ehr_id}/{encounter_id}"


def _where(query: Select[Any], wanted: Filter) -> Select[Any]:
    if wanted.states:
        query = query.where(QueueRow.state.in_([s.value for s in wanted.states]))
    for column, value in (
        (QueueRow.ehr_id, wanted.ehr_id),
        (QueueRow.payer, wanted.payer),
        (QueueRow.clinician_id, wanted.clinician),
        (QueueRow.owner, wanted.mine),
    ):
        if value:
            query = query.where(column == value)
    for kind, value in (("code", wanted.code), ("rule", wanted.rule)):
        if value:
            marked = select(QueueMarkRow.item_id).where(QueueMarkRow.kind == kind, QueueMarkRow.value == value)
            query = query.where(QueueRow.id.in_(marked))
    if wanted.due_by is not None:
        query = query.where(QueueRow.deadline <= wanted.due_by)
    if wanted.older_than_days is not None:
        query = query.where(QueueRow.since < datetime.now(UTC) - timedelta(days=wanted.older_than_days))
    if wanted.clean:
        query = query.where(QueueRow.clean)
    if wanted.find:
        text = wanted.find.strip()
        known = (QueueRow.id == text) | (QueueRow.encounter_id == text) | (QueueRow.patient_id == text)
        query = query.where(known) if _ID.fullmatch(text) else query.where(QueueRow.id.is_(None))
    return query


def _distinct(db: Session, column: Any, *where: Any) -> list[str]:
    """A column's values in their order, each found by one step in its index: neither database does that by itself."""
    first = select(func.min(column).label("value")).where(*where).cte("stepping", recursive=True)
    onward = select(func.min(column)).where(column > first.c.value, *where).scalar_subquery()
    steps = first.union_all(select(onward).where(first.c.value.is_not(None)))
    return list(db.scalars(select(steps.c.value).where(steps.c.value.is_not(None))))


def _said(verdicts: Json) -> tuple[list[str], list[str], bool]:
    """A draft's codes, the rules that say something of it, and whether it is clean: all stands, and nothing is said."""
    each = verdicts.get("verdicts", [])
    codes = sorted({str(v["line"]["code"]) for v in each if v.get("line")})
    findings = [f for v in (*each, verdicts) for f in v.get("findings", [])]
    quiet = all(f["effect"] == "info" for f in findings)
    return (
        codes,
        sorted({str(f["rule"]) for f in findings}),
        bool(each) and quiet and all(v["outcome"] == "ready" for v in each),
    )


def _item(row: QueueRow) -> Item:
    return Item(
        id=row.id,
        ehr_id=row.ehr_id,
        encounter_id=row.encounter_id,
        draft_id=row.draft_id,
        patient_id=row.patient_id,
        clinician_id=row.clinician_id,
        payer=row.payer,
        state=State(row.state),
        codes=row.codes,
        date_of_service=row.date_of_service,
        deadline=row.deadline,
        clean=row.clean,
        changed_since=row.changed_since,
        since=row.since,
        found_at=row.found_at,
        accepted_at=row.accepted_at,
        approved_at=row.approved_at,
        owner=row.owner,
        owner_until=row.owner_until,
        reason=row.reason,
        next_try_at=row.next_try_at,
    )
