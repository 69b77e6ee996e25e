"""The supervisor's figures against a naive recount of the same store, draft by draft."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from plugin.review import figures, second
from plugin.review.desk import Action
from plugin.review.figures import By, Share, Window
from plugin.review.states import State
from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store.people import Account, Role
from plugin.store.queue import Filter
from plugin.store.records import Decision, Draft, NewDraft, Outlook
from plugin.store.store import Store
from plugin.store.tables import BatchRow, QueueRow

NOW = datetime.now(UTC)
LAST = Window.of(None, None)
CODES, RULES = ("H2014", "90834", "H0031"), ("TIME-010", "DOC-020", "PAIR-001")
DRAFTS = 60
Json = dict[str, Any]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with sixty drafts to which all sorts of things happened, over the last sixty days."""
    opened = lived(Settings(data_dir=tmp_path_factory.mktemp("figures")))
    yield opened
    opened.close()


def lived(settings: Settings) -> Store:
    """Such a store; every one of them had the same lives."""
    opened = Store.open(settings)
    chance = random.Random(11)
    for n in range(DRAFTS):
        _live(opened, n, chance)
    return opened


def _live(store: Store, n: int, chance: random.Random) -> None:
    """One draft's life, as far as chance lets it get; then its times are moved into the past."""
    key, name = f"{n:064}", f"v{n}"
    manifest = {"proposer": chance.choice(["small", "large"]), "prompt": chance.choice(["a", "b"])}
    kept = store.keep_snapshot(Snapshot(key, date(2026, 3, 2), manifest), "test", name)
    lines = [(f"p{at}", chance.choice(CODES)) for at in range(chance.randint(1, 3))]
    rules = {code: [r for r in RULES if chance.random() < 0.3] for _, code in lines}
    new = NewDraft(
        id=name,
        ehr_id="test",
        encounter_id=name,
        billing_provider="o",
        payer=chance.choice(["x|ONE", "x|TWO"]),
        state=State.READY,
        incomplete=False,
        claim={"resourceType": "Claim"},
        verdicts=_verdicts(lines, {}, rules),
        clinician_id=chance.choice(["c1", "c2", None]),
        date_of_service=date(2026, 3, 2),
        deadline=chance.choice([None, *(NOW.date() + timedelta(days=d) for d in (-3, -1, 0, 7, 8, 15, 90, 91))]),
    )
    draft = store.save(new, kept, ())
    found = NOW - timedelta(days=chance.uniform(0, 60))
    at = found
    fates: dict[str, str] = {}
    for _, (line, _) in zip(range(chance.randint(0, 3)), lines, strict=False):
        fates[line] = chance.choice(["accepted", "accepted", "replaced", "rejected"])
        at += timedelta(hours=chance.uniform(0, 60))
        action = {"accepted": Action.ACCEPT, "replaced": Action.EDIT, "rejected": Action.REJECT}[fates[line]]
        draft = _decide(store, draft, action, draft.state, _verdicts(lines, fates, rules), at)
    accepted = approved = released = None
    if "accepted" in fates.values() and chance.random() < 0.8:
        draft = _decide(store, draft, Action.BILL, State.ACCEPTED, _verdicts(lines, fates, rules), at)
        accepted = at
        for _ in range(chance.randint(0, 2)):  # reviewed, and perhaps sent back and accepted anew
            at += timedelta(hours=chance.uniform(1, 60))
            draft = _decide(store, draft, Action.ADD, State.IN_REVIEW, draft.verdicts, at)
            if chance.random() < 0.4:
                draft = _decide(store, draft, Action.SEND_BACK, State.RETURNED, _verdicts(lines, {}, rules), at)
                break
            draft = _decide(store, draft, Action.APPROVE, State.APPROVED, draft.verdicts, at)
            approved = at
            if chance.random() < 0.5:
                released = at + timedelta(hours=chance.uniform(1, 100))
                number = store.releases.next_number()
                store.releases.release(number, [draft], "csv", "ann", {}, b"file")
                with store._sessions.begin() as db:
                    db.execute(update(BatchRow).where(BatchRow.id == number).values(at=released))
                break
            second.after_approval(store, draft, _account("ann"), 1.0)
            break
    elif chance.random() < 0.2:
        _decide(store, draft, Action.NOT_BILLABLE, State.NOT_BILLABLE, draft.verdicts, at)
    times = {"found_at": found, "since": at, "accepted_at": accepted, "approved_at": approved}
    with store._sessions.begin() as db:
        db.execute(update(QueueRow).where(QueueRow.id == name).values(**times))


def _decide(store: Store, draft: Draft, action: Action, state: State, verdicts: Json, at: datetime) -> Draft:
    decision = Decision(
        draft_id=draft.id,
        snapshot_key=draft.snapshot_key,
        revision=draft.revision,
        account_id="somebody",
        person=None,
        action=action.value,
        at=at,
    )
    return store.decide(
        draft, decision, Outlook(state=state, incomplete=False, claim=draft.claim, verdicts=verdicts), ()
    )


def _verdicts(lines: list[tuple[str, str]], fates: dict[str, str], rules: dict[str, list[str]]) -> Json:
    """Lines as they are kept: live ones with what the rules say, those set aside, and one that a person put there."""
    live = [line for line in lines if fates.get(line[0], "open") in ("open", "accepted")]
    shown = [
        {
            "key": key,
            "by": None,
            "fate": fates.get(key, "open"),
            "proposal": {"code": code},
            "outcome": "ready",
            "line": {"code": code},
            "findings": [{"rule": rule, "effect": "warn"} for rule in rules[code]],
        }
        for key, code in live
    ]
    own = {"key": "d1", "by": "somebody", "fate": "accepted", "proposal": {"code": "H0031"}, "outcome": "ready"}
    replaced = "replaced" in fates.values()
    return {
        "verdicts": shown + [own | {"line": {"code": "H0031"}, "findings": [], "replaces": "p0"}] * replaced,
        "findings": [],
        "set_aside": [
            {"key": key, "by": by, "fate": fates[key], "proposal": {"code": code}}
            for key, code in lines
            if fates.get(key) in ("replaced", "rejected")
            for by in (None, "somebody")
        ],
    }


def _account(name: str) -> Account:
    return Account(id=name, person=None, name=name, roles=frozenset({Role.CODER}), seen_at=NOW)


def _items(store: Store) -> list[Any]:
    return store.queue.page(Filter(), most=1000)


def _released(store: Store) -> dict[str, datetime]:
    return {draft_id: batch.at for batch in store.releases.batches() for draft_id in batch.draft_ids}


def _in(at: datetime) -> bool:
    return LAST.first <= at.date() <= LAST.last


# --- the recount ---


@pytest.mark.parametrize("window", [LAST, Window.of(NOW.date() - timedelta(days=45), NOW.date() - timedelta(days=10))])
def test_throughput_is_what_a_recount_finds(store: Store, window: Window) -> None:
    """Each draft at each step on the day it got there, the first and the last day among them, no other."""
    counted: Counter[tuple[str, date]] = Counter()
    for item in _items(store):
        for step, at in (("proved", item.found_at), ("accepted", item.accepted_at), ("approved", item.approved_at)):
            counted[step, at.date() if at else date.min] += 1
    for at in _released(store).values():
        counted["released", at.date()] += 1
    days = figures.throughput(store, window)
    assert [d.day for d in days] == [
        window.first + timedelta(days=n) for n in range((window.last - window.first).days + 1)
    ]
    for day in days:
        for step in ("proved", "accepted", "approved", "released"):
            assert getattr(day, step) == counted[step, day.day]
    assert min(sum(getattr(d, s) for d in days) for s in ("proved", "accepted", "approved", "released")) > 0


def test_turnaround_is_what_a_recount_finds(store: Store) -> None:
    """Hours from step to step of what ended in the window; the ninth of ten, in their order."""
    hours: dict[str, list[float]] = {"accepted": [], "approved": [], "released": []}
    released = _released(store)
    for item in _items(store):
        times = [item.found_at, item.accepted_at, item.approved_at, released.get(item.id)]
        for n, step in enumerate(hours, 1):
            if times[n] and _in(times[n]):
                hours[step].append((times[n] - times[n - 1]).total_seconds() / 3600)
    for found in figures.turnaround(store, LAST):
        expected = sorted(hours[found.after.value])
        assert found.count == len(expected) > 2
        assert found.median == pytest.approx(median(expected))
        assert found.p90 == next(h for n, h in enumerate(expected, 1) if n >= 0.9 * len(expected))


@pytest.mark.parametrize("by", list(By))
def test_rates_are_what_a_recount_finds(store: Store, by: By) -> None:
    """For each grouping: proposed lines as people left them, and the visits that coders sent back."""
    lines: Counter[tuple[str, str]] = Counter()
    visits: Counter[tuple[str, bool]] = Counter()
    for draft in store.drafts():
        made = store.decisions(draft.id)
        manifest = store.manifest(draft.snapshot_key)
        own = {
            By.CLINICIAN: f"test/{draft.clinician_id}" if draft.clinician_id else "(not known)",
            By.PAYER: draft.payer,
            By.MODEL: manifest["proposer"],
            By.PROMPT: manifest["prompt"],
        }
        on_lines = [d.at for d in made if d.action in ("accept", "bill as proposed", "reject", "edit", "correct")]
        if on_lines and _in(max(on_lines)) and draft.state is not State.NOT_BILLABLE:
            for each in draft.verdicts["verdicts"] + draft.verdicts["set_aside"]:
                if each["by"] is None and each["fate"] != "open":
                    lines[own.get(by) or each["proposal"]["code"], each["fate"]] += 1
        words = {d.action for d in made if d.action in ("approve", "send back") and _in(d.at)}
        if words:
            codes = {v["line"]["code"] for v in draft.verdicts["verdicts"]}
            for group in [own[by]] if by in own else codes:
                visits[group, "send back" in words] += 1
    found = figures.rates(store, LAST)[by]
    assert [r.group for r in found] == sorted({g for g, _ in (*lines, *visits)})
    for rate in found:
        fates = {fate: lines[rate.group, fate] for fate in ("accepted", "replaced", "rejected")}
        total = sum(fates.values())
        assert (rate.accepted, rate.edited, rate.set_aside) == tuple(Share(n, total) for n in fates.values())
        sent, approved = visits[rate.group, True], visits[rate.group, False]
        assert rate.sent_back == Share(sent, sent + approved)
    assert sum(r.sent_back.count for r in found) > 0


def test_findings_are_what_a_recount_finds(store: Store) -> None:
    """How many of the window's drafts each rule says something of, most first; twice in a draft counts once."""
    drafts = {i.id for i in _items(store) if _in(i.found_at)}
    raised: Counter[str] = Counter()
    for draft in store.drafts():
        if draft.id in drafts:
            raised.update({f["rule"] for v in draft.verdicts["verdicts"] for f in v["findings"]})
    found = figures.findings(store, LAST)
    assert {f.rule: f.drafts for f in found} == {r: Share(n, len(drafts)) for r, n in raised.items()}
    assert [f.drafts.count for f in found] == sorted(raised.values(), reverse=True)
    assert len(figures.findings(store, LAST, most=1)) == 1


def test_ageing_is_what_a_recount_finds(store: Store) -> None:
    """Open items in the bucket of their days in their state, and of the days until they must be filed."""
    ages: Counter[tuple[State, int]] = Counter()
    due: Counter[tuple[State, int]] = Counter()
    for item in _items(store):
        days = (NOW - item.since).total_seconds() / 86400
        ages[item.state, sum(days >= edge for edge in (1, 3, 7, 14, 30))] += 1
        left = None if item.deadline is None else (item.deadline - NOW.date()).days
        due[item.state, 6 if left is None else sum(left > edge for edge in (-1, 7, 14, 30, 90))] += 1
    found = {w.state: w for w in figures.ageing(store, NOW)}
    assert State.RELEASED not in found
    assert State.NOT_BILLABLE not in found
    for state, waiting in found.items():
        assert waiting.by_age == tuple(ages[state, n] for n in range(6))
        assert waiting.by_deadline == tuple(due[state, n] for n in range(7))
        assert waiting.count == sum(waiting.by_deadline)
    assert found[State.READY].count > 5


def test_agreement_is_what_was_said(store: Store) -> None:
    """Of those looked at, how many were agreed with; what waits is beside it."""
    ben = _account("ben")
    waiting = second.waiting(store, ben)
    assert len(waiting) > 2
    assert figures.agreement(store, LAST).agreed == Share(0, 0)
    for n, draft_id in enumerate(waiting[:3]):
        draft = store.draft(draft_id)
        assert draft is not None
        second.looked(store, draft, ben, agreed=n != 1)
    found = figures.agreement(store, LAST)
    assert (found.agreed, found.waiting) == (Share(2, 3), len(waiting) - 3)
    before = Window.of(None, NOW.date() - timedelta(days=3))
    assert figures.agreement(store, before).agreed == Share(0, 0)


# --- by themselves ---


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (1, 2), (3, 7), (0, 20), (999, 1000), (50_000, 100_000)])
def test_the_interval_is_wilsons(count: int, of: int) -> None:
    """Its ends are the shares from which what was seen lies just 1.96 standard errors away, found by halving."""

    def far(share: float) -> bool:
        return (count / of - share) ** 2 > 1.959963984540054**2 * share * (1 - share) / of

    def edge(outside: float, inside: float) -> float:
        for _ in range(80):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if far(middle) else (outside, middle)
        return inside

    seen = min(max(count / of, 1e-12), 1 - 1e-12)
    low, high = Share(count, of).interval
    assert low == pytest.approx(edge(0.0, seen) if count else 0.0, abs=1e-9)
    assert high == pytest.approx(edge(1.0, seen) if count < of else 1.0, abs=1e-9)


def test_of_nothing_no_share_is_said() -> None:
    """No division, and anything may be true."""
    assert Share(0, 0).value is None
    assert Share(0, 0).interval == (0.0, 1.0)


def test_a_window_is_whole_days_on_the_clock_of_its_zone() -> None:
    """A night in which clocks change has another length; what is turned round or too long is cut, and thirty days are usual."""
    york = ZoneInfo("America/New_York")
    window = Window.of(date(2026, 3, 8), date(2026, 3, 8), york)
    assert (window.starts, window.ends) == (
        datetime(2026, 3, 8, 5, tzinfo=UTC),
        datetime(2026, 3, 9, 4, tzinfo=UTC),
    )
    assert len(list(LAST.days())) == 30
    assert Window.of(date(2026, 5, 1), date(2026, 4, 1)).first == date(2026, 4, 1)
    assert len(list(Window.of(date(2000, 1, 1), date(2026, 4, 1)).days())) == figures.MOST_DAYS
    assert Window.of(date(2026, 4, 1), None).last == date(2026, 4, 30)
    for day in (date.min, date.max):
        for edge in (Window.of(day, None), Window.of(None, day)):
            assert edge.starts < edge.ends


def test_an_empty_store_has_empty_figures(tmp_path: Path) -> None:
    """Nothing is divided by nothing."""
    empty = Store.open(Settings(data_dir=tmp_path))
    assert sum(d.proved + d.released for d in figures.throughput(empty, LAST)) == 0
    assert [t.median for t in figures.turnaround(empty, LAST)] == [None] * 3
    assert all(rates == [] for rates in figures.rates(empty, LAST).values())
    assert figures.findings(empty, LAST) == []
    assert sum(w.count for w in figures.ageing(empty)) == 0
    assert figures.agreement(empty, LAST).agreed == Share(0, 0)
    empty.close()
