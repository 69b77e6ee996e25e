"""Visits coded through a storm of faults, and a count of what was lost or doubled, taken from the server itself.

A storm is worked through by the engine that runs in a clinic. What it needs of a person, it gets from one who sees nothing
but the queue, and there presses "try again" on what says that it waits. What the queue kept quiet about stays undone.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from dbos import DBOS

from plugin import pipeline, site
from plugin.backend import Ehrs
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import EhrError
from plugin.ehr.oauth import OAuth
from plugin.flow import Flow
from plugin.keys import SigningKeys
from plugin.review.states import State
from plugin.settings import EngineSettings, Limits, Settings
from plugin.store.queue import Filter, Item
from plugin.store.records import DeliveryState, Draft
from plugin.store.store import Store
from plugin.workbench import Site
from sandbox import fixtures
from tests.faults import Dose, Fault, Kind, Plan, faulty

EHR = "soak"
IMPATIENT = Limits(request_seconds=0.5)
"""A server that does not answer costs a test this long."""

EACH = Dose(reads=0.004, writes=0.03)
STORM: Plan = {
    **dict.fromkeys(Fault, EACH),
    Fault.HANGS: Dose(reads=0.001, writes=0.02),  # each costs its time
    Fault.CUT_AFTER: Dose(reads=0.004, writes=0.06),
}
"""All faults mixed: half of all writes and one read in seventeen meet one."""

TEMPLATES = {  # visits of the fixtures, what their notes say of time, and what they say after an amendment
    "h2014-45-minutes": (
        "Stop time: 2:45 PM\nTotal: 45 minutes",
        "Stop time: 2:30 PM\nTotal: 30 minutes",
    ),
    "h2017-rehabilitation": ("from 10:15 am to 10:45 am", "from 10:15 am to 10:30 am"),
    "h0004-30-minutes": ("14:00-14:30", "14:00-14:15"),
}
_TRIES = 400


@dataclass
class Tally:
    """What the tries came to. Failures are errors of ours, or of ours named where they wait; others are `untyped`.

    `hidden` are failures that the queue did not show, `stuck` what waits for a person though nobody touched it.
    """

    tries: int = 0
    amended: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    untyped: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


@dataclass
class Audit:
    """What the server holds against what the store says; the words name ids and counts alone."""

    drafts: int = 0
    versions: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.doubled, *self.unexplained, *self.undelivered]


@dataclass
class Outcome:
    """A storm: what it did, what the tries came to, and what was there in the end."""

    calls: int
    visits: int
    requests: Counter[Kind]
    injected: Counter[tuple[Fault, Kind]]
    tally: Tally
    audit: Audit
    wrong: list[str]
    """Visits whose Claim, once the storm was over, said something else than that of a site that met none."""

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        tally = self.tally
        return [*tally.untyped, *tally.hidden, *tally.stuck, *self.audit.problems, *self.wrong]


# --- the visits ---


class Chart:
    """Made-up visits on the real server, and what happens to their notes there. It never meets a fault."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._http = httpx.Client(base_url=base, timeout=60)
        self._templates = {name: fixtures.load_one(fixtures.ROOT / "development" / name) for name in TEMPLATES}

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def admit(self, prefix: str, count: int) -> list[str]:
        """Put so many visits of clients of their own onto the server; their ids."""
        names, resources = [], [*fixtures.clinic()]
        for n in range(count):
            template = list(TEMPLATES)[n % len(TEMPLATES)]
            names.append(f"{prefix}-{n}-{template}")
            text = json.dumps(self._templates[template].resources)
            resources += json.loads(text.replace(template, names[-1]))
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        self._http.post("", json=bundle).raise_for_status()
        return names

    def change_time(self, encounter_id: str) -> None:
        """Sign the note anew, with a shorter visit; the next time with the longer one again."""
        note, attachment = self._note(encounter_id)
        text = base64.b64decode(attachment["data"]).decode()
        before, after = next(words for name, words in TEMPLATES.items() if encounter_id.endswith(name))
        amended = text.replace(before, after) if before in text else text.replace(after, before)
        assert amended != text
        attachment["data"] = base64.b64encode(amended.encode()).decode()
        self._put(note)

    def take_back(self, encounter_id: str) -> None:
        """Mark the note as entered in error; the next time as final again."""
        note, _ = self._note(encounter_id)
        note["docStatus"] = "final" if note["docStatus"] == "entered-in-error" else "entered-in-error"
        self._put(note)

    def _note(self, encounter_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        note = self._http.get(f"/DocumentReference/{encounter_id}-note").raise_for_status().json()
        return note, note["content"][0]["attachment"]

    def _put(self, note: dict[str, Any]) -> None:
        self._http.put(f"/DocumentReference/{note['id']}", json=note).raise_for_status()

    def found(self, kind: str, **parameters: str) -> list[dict[str, Any]]:
        """What a search finds."""
        answer = self._http.get(f"/{kind}", params={**parameters, "_count": "1000"}).raise_for_status().json()
        assert not [link for link in answer["link"] if link["relation"] == "next"]
        return [e["resource"] for e in answer.get("entry", ()) if e["resource"]["resourceType"] == kind]

    def history(self, claim_id: str) -> list[dict[str, Any]]:
        """All versions of a Claim, oldest first."""
        answer = self._http.get(f"/Claim/{claim_id}/_history", params={"_count": "1000"}).raise_for_status().json()
        return sorted((e["resource"] for e in answer["entry"]), key=lambda r: int(r["meta"]["versionId"]))


@contextmanager
def chart(base: str) -> Iterator[Chart]:
    """A chart on that server."""
    made = Chart(base)
    try:
        yield made
    finally:
        made.close()


# --- the site ---

Open = Callable[[], Site]
"""A site that has just asked the server what it can do, as each run of a worker does."""


@contextmanager
def opened(
    base: str, folder: Path, *, provider: str = "soak", limits: Limits = IMPATIENT
) -> Iterator[tuple[Store, Open]]:
    """A store in the folder, and a way to open the site that works with the server at `base`. No wait is slept through.

    `provider` keeps the Claims of one site apart from those of another on the same server.
    """
    settings = settings_of(base, folder, provider, limits)
    store = Store.open(settings)
    try:
        works = site.Works.of(settings, store=store)
        with FhirClient(settings.ehr, limits, sleep=lambda _: None) as client:
            yield store, lambda: works.at(client, EHR)[0]
    finally:
        store.close()


def settings_of(base: str, folder: Path, provider: str, limits: Limits) -> Settings:
    """A site's settings; its engine does nothing of its own accord that is not due."""
    return Settings(
        ehr=fixtures.ehr(EHR, base_url=base, billing_provider=f"Organization/{provider}"),
        data_dir=folder,
        payers_file=fixtures.PAYERS,
        limits=limits,
        engine=EngineSettings(poll_seconds=None, pump_seconds=0.05, visits_a_minute=100_000),
    )


# --- the work, one try at a time ---


def attempt(open_site: Open, store: Store, encounter_id: str, tally: Tally) -> bool:
    """One try at a visit, as a worker makes it. Whether the visit is done."""
    tally.tries += 1
    try:
        result = pipeline.code_visit(open_site(), encounter_id)
    except EhrError as failed:
        tally.failures[type(failed).__name__] += 1
        return False
    except Exception as failed:
        tally.untyped.append(f"Encounter/{encounter_id}: {type(failed).__name__}")
        return False
    if result.problem:
        tally.failures["named in the outbox"] += 1
    if result.understood.garbled:
        tally.failures["coded without what made no sense"] += 1
    states = [delivery.state for d in _claimed(store, encounter_id) if (delivery := store.last_delivery(d.id))]
    if DeliveryState.CHANGED_ELSEWHERE in states:
        tally.stuck.append(f"Encounter/{encounter_id}: its job waits for a person")
        return True
    return not result.understood.garbled and all(state is DeliveryState.DONE for state in states)


def until_done(visit: str, try_one: Callable[[str], bool]) -> None:
    """Try a visit until it is done."""
    if not any(try_one(visit) for _ in range(_TRIES)):
        raise AssertionError(f"Encounter/{visit}: not done after {_TRIES} tries")


# --- the work, by the engine ---


class _Watched(Flow):
    """The engine, and what became of the last work on each visit and each draft."""

    def __init__(self, settings: Settings, store: Store, ehrs: Ehrs, tally: Tally) -> None:
        super().__init__(settings, store, ehrs)
        self._tally = tally
        self.outcomes: dict[str, str] = {}

    def work_on(self, ehr_id: str, encounter_id: str, generation: int) -> str:
        """As it does, noted."""
        self._tally.tries += 1
        outcome = super().work_on(ehr_id, encounter_id, generation)
        if outcome != "overtaken":
            self.outcomes[encounter_id] = outcome
        return outcome


@contextmanager
def flowing(base: str, folder: Path, tally: Tally) -> Iterator[_Watched]:
    """The engine of a site that works with the server at `base`. No wait for the server is slept through."""
    settings = settings_of(base, folder, "soak", IMPATIENT)
    store = Store.open(settings)
    oauth = OAuth(SigningKeys.of(settings), settings.limits)
    works = site.Works.of(settings, store=store)
    flow = _Watched(settings, store, Ehrs(settings, works, oauth, sleep=lambda _: None), tally)
    flow.start()
    try:
        yield flow
    finally:
        flow.stop()
        oauth.close()
        store.close()


def settle(flow: _Watched) -> None:
    """Wait until the engine has nothing more to do of its own accord."""
    deadline, quiet = time.monotonic() + 300, 0
    while quiet < 2:  # what ends may just have made something due
        assert time.monotonic() < deadline, "the engine does not come to rest"
        time.sleep(0.1)
        due = flow.store.arrivals.due({EHR}) or flow.store.due_deliveries({EHR})
        quiet = 0 if due or DBOS.list_workflows(status=["ENQUEUED", "PENDING"], limit=1) else quiet + 1


def seen_in_queue(flow: _Watched, tally: Tally) -> list[Item]:
    """What the queue says waits. It is held against what the engine and the outbox know, which may know no more."""
    waiting = [i for i in flow.store.queue.page(Filter(), most=100_000) if i.reason]
    for item in waiting:
        assert item.reason is not None
        what = "a visit was coded without what made no sense" if item.reason.startswith("coded without") else None
        tally.failures[what or ("a draft was not delivered" if item.draft_id else "a visit was not coded")] += 1
        if "a defect of Claimwright" in item.reason:
            tally.untyped.append(f"{item.id}: {item.reason}")
    failed = {visit for visit, outcome in flow.outcomes.items() if outcome in ("failed", "half read")}
    tally.hidden += [
        f"Encounter/{visit}: failed, and the queue does not say so"
        for visit in failed ^ {i.encounter_id for i in waiting if i.state is State.FAILED}
    ]
    undelivered = {job.draft.id for job in flow.store.pending()}
    tally.hidden += [
        f"{draft_id}: not delivered, and the queue does not say so"
        for draft_id in undelivered ^ {i.draft_id for i in waiting if i.draft_id}
    ]
    tally.stuck += [i.id for i in flow.store.queue.page(Filter(states=(State.CHANGED_ELSEWHERE,)))]
    tally.untyped += [w.workflow_id for w in DBOS.list_workflows(status=["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])]
    return waiting


def press_try_again(flow: _Watched, waiting: Sequence[Item]) -> None:
    """As the queue's button does."""
    for item in waiting:
        flow.store.arrivals.retry(item.ehr_id, item.encounter_id)
        flow.store.deliver_again(item.ehr_id, item.encounter_id)
    flow.nudge()


def storm(upstream: str, folder: Path, plan: Plan, *, seed: int, calls: int, visits: int) -> Outcome:
    """Let the engine work through a plan of faults for at least so many calls, amend notes meanwhile, and audit the end."""
    tally, rng = Tally(), random.Random(seed)
    with (
        chart(upstream) as real,
        faulty(upstream, plan, seed=seed) as proxy,
        flowing(proxy.base, folder / "storm", tally) as flow,
        opened(upstream, folder / "calm", provider="calm", limits=Limits()) as (calm_store, open_calm),
    ):
        store, names = flow.store, real.admit(f"s{seed}", visits)

        def news(visits: Sequence[str]) -> None:
            for name in visits:
                store.arrivals.found(EHR, name, "list")
            flow.nudge()
            settle(flow)

        news(names)
        while proxy.calls < calls:
            press_try_again(flow, seen_in_queue(flow, tally))
            changed = rng.sample(names, k=max(1, len(names) // 3))
            for name in changed:
                tally.amended += 1
                change = real.change_time if rng.random() < 0.7 else real.take_back
                change(name)
            news(changed)
        for _ in range(_TRIES):
            if not (waiting := seen_in_queue(flow, tally)):
                break
            press_try_again(flow, waiting)
            settle(flow)
        calls, requests, injected = proxy.calls, +proxy.requests, +proxy.injected
        proxy.calm()
        found = audit(real, store, names)
        calm_tally = Tally()
        for name in names:  # the calm site first: both then see the same other claims
            attempt(open_calm, calm_store, name, calm_tally)
        news(names)
        tally.hidden += [f"{i.id}: waits, and nothing goes wrong any more" for i in seen_in_queue(flow, tally)]
        wrong = [name for name in names if _billed(store, name) != _billed(calm_store, name)]
        after = audit(real, store, names)
        found.lost += [p for p in after.lost if p not in found.lost]
        found.doubled += [p for p in after.doubled if p not in found.doubled]
        tally.untyped += calm_tally.untyped
    return Outcome(calls, len(names), requests, injected, tally, found, wrong)


# --- the end ---


def audit(real: Chart, store: Store, visits: Sequence[str]) -> Audit:
    """Each draft's Claim once, as the store has it, each of its versions written and explained once."""
    found = Audit()
    for visit in visits:
        drafts = _claimed(store, visit)
        own = {d.id: d for d in drafts}
        on_server: dict[str, list[dict[str, Any]]] = {draft_id: [] for draft_id in own}
        for claim in real.found("Claim", encounter=f"Encounter/{visit}"):
            identifier = claim["identifier"][0]["value"]
            if claim["provider"]["reference"] == f"Organization/{_provider(drafts)}":
                on_server.setdefault(identifier, []).append(claim)
        if len(on_server) > 1:  # nobody changes the payer here
            found.doubled.append(f"Encounter/{visit}: {len(on_server)} drafts")
        for identifier, claims in on_server.items():
            found.drafts += 1
            if len(claims) > 1:
                found.doubled.append(f"{identifier}: {len(claims)} Claims")
            if not claims or identifier not in own:
                found.lost.append(f"{identifier}: {len(claims)} Claims, {len(own)} drafts of the visit")
                continue
            _audit_one(real, store, own[identifier], claims[0], found)
    return found


def _audit_one(real: Chart, store: Store, draft: Draft, claim: dict[str, Any], found: Audit) -> None:
    assert draft.claim is not None
    if _said(claim) != _said(draft.claim):
        found.lost.append(f"{draft.id}: the Claim is not the draft's version {draft.version}")
    delivery = store.last_delivery(draft.id)
    if delivery is None or delivery.state is not DeliveryState.DONE or delivery.problem is not None:
        found.undelivered.append(f"{draft.id}: {delivery.state if delivery else 'never queued'}")
    history = real.history(claim["id"])
    found.versions += len(history)
    for older, newer in pairwise(history):
        if _said(older) == _said(newer):
            found.doubled.append(f"{draft.id}: Claim version {newer['meta']['versionId']} repeats the one before")
    explained = Counter(
        target["reference"].rpartition("Claim/")[2]
        for p in real.found("Provenance", target=f"Claim/{claim['id']}")
        for target in p["target"]
    )
    for version in history:
        times = explained.pop(f"{claim['id']}/_history/{version['meta']['versionId']}", 0)
        if times > 1:
            found.doubled.append(f"{draft.id}: {times} Provenances of Claim version {version['meta']['versionId']}")
        if times < 1:
            found.unexplained.append(f"{draft.id}: no Provenance of Claim version {version['meta']['versionId']}")
    if explained:
        found.doubled.append(f"{draft.id}: {len(explained)} Provenances of no version")


def _claimed(store: Store, encounter_id: str) -> list[Draft]:
    return [d for d in store.drafts(encounter_id=encounter_id) if d.claim is not None]


def _provider(drafts: list[Draft]) -> str:
    return drafts[0].billing_provider.removeprefix("Organization/") if drafts else ""


def _said(claim: dict[str, Any]) -> dict[str, Any]:
    """What a Claim says, without what a server puts on it."""
    meta = claim.get("meta", {})
    return {k: v for k, v in claim.items() if k not in {"id", "meta", "text"}} | {"tags": meta.get("tag")}


def _billed(store: Store, encounter_id: str) -> list[object]:
    """What would be billed of a visit: status, lines and tags of the Claims that stand."""
    said = [_said(d.claim) for d in _claimed(store, encounter_id) if d.claim]
    return [(s["item"], s["tags"], s["insurance"]) for s in said if s["status"] == "draft"]
