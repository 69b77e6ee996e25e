"""The work queue: what it finds, how it sorts, who has what."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from plugin.review.states import State
from plugin.snapshot import Snapshot
from plugin.store.queue import Filter, Order, Taken
from plugin.store.records import NewDraft
from plugin.store.store import Store
from plugin.store.tables import QueueMarkRow, QueueRow
from tests.databases import EVERY_DATABASE

pytestmark = EVERY_DATABASE

MONDAY = date(2026, 3, 2)
READY = {"outcome": "ready", "line": {"code": "H2014"}, "findings": []}


def said(*each: tuple[str | None, str, tuple[tuple[str, str], ...]]) -> dict[str, Any]:
    """Verdicts: for each line its code, its outcome, and the rules with their effects."""
    return {
        "verdicts": [
            {
                "outcome": outcome,
                "line": {"code": code} if code else None,
                "findings": [{"rule": rule, "effect": effect} for rule, effect in rules],
            }
            for code, outcome, rules in each
        ],
        "findings": [],
    }


PLAIN = NewDraft(
    id="test.visit.1",
    ehr_id="test",
    encounter_id="visit",
    billing_provider="Organization/1",
    payer="EXAMPLE-MEDICAID",
    state=State.READY,
    incomplete=False,
    claim=None,
    verdicts={"verdicts": [READY], "findings": []},
    patient_id="patient",
    clinician_id="Practitioner/a",
    date_of_service=MONDAY,
    deadline=MONDAY + timedelta(days=90),
)


def put(store: Store, visit: str, **changes: Any) -> str:
    """A draft of a visit of that name; its id."""
    ehr_id = changes.get("ehr_id", "test")
    new = replace(PLAIN, **{"id": f"{ehr_id}.{visit}.1", "encounter_id": visit, "patient_id": f"{visit}-p"} | changes)
    key = f"{visit}-{len(changes)}-{store.audit.head()[0]}".ljust(64, "0")
    taken = store.keep_snapshot(Snapshot(key, MONDAY, {}), ehr_id, visit)
    return store.save(new, taken, (), expected=store.draft(new.id)).id


def visits(store: Store, order: Order = Order.DEADLINE, **wanted: Any) -> list[str]:
    """The visits that a filter lists, in their order; their number is the count."""
    query = Filter(order=order, **wanted)
    found = [i.encounter_id for i in store.queue.page(query)]
    assert store.queue.count(query) == len(found)
    return found


def touch(store: Store, item_id: str, **values: Any) -> None:
    """Set columns of an item behind the store's back."""
    with store._engine.begin() as db:
        db.execute(update(QueueRow).where(QueueRow.id == item_id).values(**values))


def test_it_finds_by_state_ehr_payer_and_clinician(store: Store) -> None:
    """One or several states; the others by their exact value; together they narrow."""
    put(store, "a")
    put(store, "b", state=State.HELD, payer="OTHER")
    put(store, "c", state=State.NOTHING, clinician_id="Practitioner/b")
    put(store, "d", ehr_id="second")
    assert visits(store) == ["d", "a", "b", "c"]
    assert visits(store, states=(State.HELD,)) == ["b"]
    assert visits(store, states=(State.HELD, State.NOTHING)) == ["b", "c"]
    assert visits(store, payer="OTHER") == ["b"]
    assert visits(store, clinician="Practitioner/b") == ["c"]
    assert visits(store, ehr_id="second") == ["d"]
    assert visits(store, states=(State.READY,), ehr_id="test", payer="EXAMPLE-MEDICAID") == ["a"]
    assert visits(store, states=(State.READY,), payer="OTHER") == []


def test_it_finds_by_code_and_rule(store: Store) -> None:
    """A code that stands on a line, a rule that says something of any; both at once of the same draft."""
    put(store, "a", verdicts=said(("H2014", "ready", (("UNIT-050", "warn"),)), ("H0004", "ready", ())))
    put(store, "b", verdicts=said((None, "held", (("TIME-011", "hold"), ("UNIT-050", "warn")))))
    put(store, "c", verdicts=said(("H2014", "ready", ())))
    assert visits(store, code="H2014") == ["a", "c"]
    assert visits(store, code="H0004") == ["a"]
    assert visits(store, rule="UNIT-050") == ["a", "b"]
    assert visits(store, code="H2014", rule="UNIT-050") == ["a"]
    assert visits(store, code="UNIT-050") == []
    assert visits(store, rule="H2014") == []


def test_it_finds_by_deadline_and_age(store: Store) -> None:
    """What is due by a day, that day included; what stands in its state for longer than so many days."""
    put(store, "early", deadline=MONDAY)
    put(store, "late", deadline=MONDAY + timedelta(days=1))
    old = put(store, "never", deadline=None)
    touch(store, old, since=datetime.now(UTC) - timedelta(days=8))
    assert visits(store, due_by=MONDAY) == ["early"]
    assert visits(store, due_by=MONDAY + timedelta(days=1)) == ["early", "late"]
    assert visits(store, older_than_days=7) == ["never"]
    assert visits(store, older_than_days=9) == []


def test_it_finds_what_is_clean(store: Store) -> None:
    """Every line stands, nothing but information is said, and the record is complete and unchanged."""
    put(store, "clean", verdicts=said(("H2014", "ready", (("UNIT-001", "info"),))))
    put(store, "warned", verdicts=said(("H2014", "ready", (("UNIT-050", "warn"),))))
    put(store, "half", verdicts=said(("H2014", "ready", ()), (None, "held", ())))
    put(store, "nothing", verdicts=said())
    put(store, "incomplete", incomplete=True)
    assert visits(store, clean=True) == ["clean"]


@pytest.mark.parametrize("typed", ["test.a.1", "a", "a-p", "  a-p "])
def test_it_finds_by_the_id_of_draft_visit_or_patient(typed: str, store: Store) -> None:
    """Typed or pasted, with blanks around it."""
    put(store, "a")
    put(store, "b")
    assert visits(store, find=typed) == ["a"]


@pytest.mark.parametrize("typed", ["a'--", "%", "*", "Wendell Ostrava", "a" * 161])
def test_what_is_no_id_finds_nothing(typed: str, store: Store) -> None:
    """A name, a wild card, or a piece of SQL."""
    put(store, "a")
    assert visits(store, find=typed) == []


def test_each_order_begins_with_the_most_urgent_and_ends_with_what_has_no_date(store: Store) -> None:
    """By deadline, by date of service, by how long it stands there; what is equal, by id; on every page of it."""
    for number, visit in enumerate("abc"):
        put(
            store,
            visit,
            deadline=MONDAY + timedelta(days=10 - number),
            date_of_service=MONDAY + timedelta(days=[1, 0, 2][number]),
        )
    put(store, "none", deadline=None, date_of_service=None)
    put(store, "also-none", deadline=None, date_of_service=None)
    assert visits(store) == ["c", "b", "a", "also-none", "none"]
    assert visits(store, Order.SERVICE) == ["b", "a", "c", "also-none", "none"]
    assert visits(store, Order.AGE) == ["a", "b", "c", "none", "also-none"]
    for order in Order:
        for states in ((), (State.READY,), (State.READY, State.HELD)):
            query = Filter(order=order, states=states)
            whole = [i.id for i in store.queue.page(query)]
            assert [store.queue.page(query, offset=n, most=1)[0].id for n in range(5)] == whole
            assert store.queue.page(query, offset=5) == []


def test_states_beside_each_other_are_sorted_as_one_list(store: Store) -> None:
    """The most urgent of all of them first, not state by state."""
    states = [State.READY, State.HELD, State.NOTHING]
    for number in range(9):
        put(store, f"v{number}", state=states[number % 3], deadline=MONDAY + timedelta(days=number // 2))
    assert visits(store, states=tuple(states)) == [f"v{n}" for n in range(9)]
    assert visits(store, states=(State.READY, State.NOTHING)) == ["v0", "v2", "v3", "v5", "v6", "v8"]
    assert visits(store) == [f"v{n}" for n in range(9)]


def test_it_is_sorted_by_name_too(store: Store) -> None:
    """By payer, by clinician, by codes; who has none comes last."""
    put(store, "a", payer="P2", clinician_id="Practitioner/c", verdicts=said(("H2014", "ready", ())))
    put(store, "b", payer="P3", clinician_id=None, verdicts=said(("H0004", "ready", ())))
    put(store, "c", payer="P1", clinician_id="Practitioner/a", verdicts=said(("H2017", "ready", ())))
    assert visits(store, Order.PAYER) == ["c", "a", "b"]
    assert visits(store, Order.CLINICIAN) == ["c", "a", "b"]
    assert visits(store, Order.CODES) == ["b", "a", "c"]


def test_counts_are_of_what_is_looked_for(store: Store) -> None:
    """In whatever state: a payer's ready and held, while only the ready are listed."""
    for visit, payer, state in (("a", "P1", State.READY), ("b", "P1", State.HELD), ("c", "P2", State.READY)):
        put(store, visit, payer=payer, state=state)
    assert store.queue.counts(Filter(payer="P1", states=(State.READY,))) == {State.READY: 1, State.HELD: 1}
    assert store.queue.counts(Filter(states=(State.HELD,))) == {State.READY: 2, State.HELD: 1}


def test_a_visit_without_a_draft_is_nobodys_next_item(store: Store) -> None:
    """It has no page to open: the one after it is next."""
    first, last = put(store, "a", deadline=MONDAY), put(store, "b", deadline=None)
    store.arrivals.found("test", "no-draft-yet", "list")
    assert len(store.queue.page(Filter())) == 3
    assert store.queue.next_after(Filter(), first, "ada").id == last  # type: ignore[union-attr]
    assert store.queue.next_after(Filter(), last, "ada") is None


def test_counts_and_choices_say_what_is_there(store: Store) -> None:
    """How many in each state; every payer, clinician, code and rule once, in their order; nothing of an empty queue."""
    assert store.queue.counts() == {}
    assert store.queue.choices() == {"payer": [], "clinician": [], "code": [], "rule": []}
    put(store, "a", verdicts=said(("H2014", "ready", (("UNIT-050", "warn"),))))
    put(store, "b", state=State.HELD, verdicts=said((None, "held", (("TIME-011", "hold"),))))
    put(store, "c", payer="ANOTHER", clinician_id=None, verdicts=said(("H0004", "ready", ())))
    store.arrivals.found("test", "d", "list")
    assert store.queue.counts() == {State.READY: 2, State.HELD: 1, State.NEW: 1}
    assert store.queue.choices() == {
        "payer": ["ANOTHER", "EXAMPLE-MEDICAID"],
        "clinician": ["Practitioner/a"],
        "code": ["H0004", "H2014"],
        "rule": ["TIME-011", "UNIT-050"],
    }


def test_marks_follow_the_draft(store: Store) -> None:
    """What was said before and is no more finds it no more; codes, state and cleanness are those of now."""
    put(store, "a", state=State.HELD, verdicts=said((None, "held", (("TIME-011", "hold"),))))
    put(store, "a", verdicts=said(("H0004", "ready", ())))
    assert visits(store, rule="TIME-011") == []
    assert visits(store, code="H0004", clean=True, states=(State.READY,)) == ["a"]
    assert store.queue.choices()["rule"] == []
    (item,) = store.queue.page(Filter())
    assert item.codes == "H0004"


def test_a_line_goes_with_its_marks(store: Store) -> None:
    """Also where the line is removed by hand: the database sees to it."""
    item = put(store, "a")
    with store._engine.begin() as db:
        db.execute(QueueRow.__table__.delete().where(QueueRow.id == item))  # type: ignore[attr-defined]
        assert db.scalar(select(func.count()).select_from(QueueMarkRow)) == 0


def test_since_is_when_it_came_to_its_state(store: Store) -> None:
    """A new proof that leaves the state leaves the time, and so does opening it; another state begins anew."""
    item = put(store, "a")
    past = datetime(2026, 3, 2, tzinfo=UTC)
    touch(store, item, since=past)
    put(store, "a", verdicts=said(("H0004", "ready", ())))
    assert store.queue.page(Filter())[0].since == past
    put(store, "a", state=State.HELD)
    assert store.queue.page(Filter())[0].since > past
    put(store, "b", state=State.ACCEPTED)
    opened = put(store, "b", state=State.ACCEPTED)
    touch(store, opened, since=past)
    draft = store.draft(opened)
    assert draft is not None
    assert store.take_up(draft, "ada", State.IN_REVIEW).state is State.IN_REVIEW
    assert store.queue.item(opened).since == past  # type: ignore[union-attr]


def test_an_item_is_one_coders_until_they_put_it_back(store: Store) -> None:
    """Another is told whose it is; the owner may claim it again; a stranger cannot put it back."""
    item = put(store, "a")
    assert store.queue.claim(item, "ada").owner == "ada"
    with pytest.raises(Taken) as taken:
        store.queue.claim(item, "ben")
    assert taken.value.owner == "ada"
    first = store.queue.claim(item, "ada").owner_until
    store.queue.put_back(item, "ben")
    assert visits(store, mine="ada") == ["a"]
    assert first is not None
    assert store.queue.claim(item, "ada").owner_until is not None
    store.queue.put_back(item, "ada")
    assert store.queue.claim(item, "ben").owner == "ben"
    assert visits(store, mine="ada") == []


def test_an_item_that_its_owner_left_is_free_again(store: Store) -> None:
    """After the time that a claim lasts anybody may have it, and it is nobody's meanwhile."""
    item = put(store, "a")
    store.queue.claim(item, "ada")
    touch(store, item, owner_until=datetime.now(UTC) - timedelta(seconds=1))
    left = store.queue.item(item)
    assert left is not None
    assert left.held_by(datetime.now(UTC)) is None
    assert store.queue.claim(item, "ben").held_by(datetime.now(UTC)) == "ben"
    with pytest.raises(Taken):
        store.queue.claim(item, "ada")


def test_what_is_not_there_cannot_be_claimed(store: Store) -> None:
    """Nor is it found."""
    assert store.queue.item("nobody") is None
    with pytest.raises(LookupError):
        store.queue.claim("nobody", "ada")


def test_of_many_who_claim_at_once_exactly_one_gets_it(store: Store) -> None:
    """Round after round; the others are told who."""
    item, people = put(store, "a"), ["ada", "ben", "cleo"]
    start = threading.Barrier(len(people))

    def claim(person: str) -> tuple[bool, str | None]:
        start.wait()
        try:
            return True, store.queue.claim(item, person).owner
        except Taken as taken:
            return False, taken.owner

    with ThreadPoolExecutor(len(people)) as threads:
        for _ in range(50):
            told = list(threads.map(claim, people))
            owner = people[[got for got, _ in told].index(True)]
            left = store.queue.item(item)
            assert left is not None
            assert left.owner == owner
            assert sorted(told) == [(False, owner), (False, owner), (True, owner)]
            store.queue.put_back(item, owner)


def test_the_next_item_is_one_that_nobody_else_has(store: Store) -> None:
    """In the order of the list, back and forth; one's own is no obstacle; at either end there is none."""
    ids = [put(store, f"v{n}", deadline=MONDAY + timedelta(days=n)) for n in range(5)]

    def after(item_id: str | None, **how: Any) -> str | None:
        found = store.queue.next_after(Filter(), item_id, "ada", **how)
        return found.encounter_id if found else None

    store.queue.claim(ids[1], "ben")
    store.queue.claim(ids[2], "ada")
    assert after(None) == "v0"
    assert after(ids[0]) == "v2"
    assert after(ids[2], back=True) == "v0"
    assert after(ids[1]) == "v2"
    assert after(ids[4]) is None
    assert after(ids[0], back=True) is None
    assert after("gone") == "v0"
    touch(store, ids[1], owner_until=datetime.now(UTC) - timedelta(seconds=1))
    assert after(ids[0]) == "v1"
    for item_id in ids:
        touch(store, item_id, owner="ben", owner_until=datetime.now(UTC) + timedelta(minutes=1))
    assert after(None) is None
