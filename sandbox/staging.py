"""People at work in the sandbox, so that the queue shows drafts in every state. Done once; a second run finds it done."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from plugin import outbox, pipeline
from plugin.release import batches
from plugin.release.batches import Form, Sites
from plugin.review import coder, desk
from plugin.review.states import State
from plugin.store.people import Account, Role
from plugin.store.records import Draft
from plugin.store.store import Store
from plugin.workbench import Site

CODER, SECOND_CODER, SUPERVISOR = "sign-in|staff-ines", "sign-in|staff-bo", "sign-in|staff-ada"
ELSEWHERE = "satellite"
"""An EHR of the sandbox's organisation that grants no work without a person: what is found there waits for somebody."""


def people(store: Store) -> dict[str, Account]:
    """The staff with their roles, as an administrator would have given them."""
    who = {
        CODER: ("Ines Calloway", {Role.CODER}),
        SECOND_CODER: ("Bo Larrabee", {Role.CODER}),
        SUPERVISOR: ("Ada Fenwick", {Role.SUPERVISOR, Role.ADMIN}),
    }
    return {each: store.people.know(each, None, name, roles) for each, (name, roles) in who.items()}


def stage(site: Site, store: Store, upstream: str, sites: Sites) -> None:
    """Let clinicians and coders do something to visits that wait; each only if it still waits."""
    staff = people(store)
    ines, bo = staff[CODER], staff[SECOND_CODER]
    for visit in ("h2014-45-minutes", "p90834-telehealth-video-home", "h0031-complete", "two-coverages-ordered"):
        _accepted(site, store, visit)

    def in_review(visit: str, then: Callable[[Draft], object], who: Account = ines) -> None:
        draft = _accepted(site, store, visit)
        if draft is not None:
            taken_up = coder.take_up(store, draft, who, approve_unaccepted=False)
            then(taken_up)

    def put_back(draft: Draft, who: Account = ines) -> None:
        store.queue.put_back(draft.id, who.id)

    def approve(draft: Draft, who: Account = ines) -> None:
        _sitting(site, store, draft).approve(who)
        put_back(draft, who)

    def send_back(draft: Draft) -> None:
        sitting = _sitting(site, store, draft)
        after = sitting.send_back(ines, "documentation", "Which goal of the plan was this for?")
        outbox.deliver(site, store, sitting.understood, after)
        put_back(draft)

    def hold(draft: Draft) -> None:
        coder.hold(store, draft, ines, "authorization")
        put_back(draft)

    in_review("f90847-family", lambda _: None, bo)
    if _waiting(store, "psychotherapy-note-beside"):
        in_review("psychotherapy-note-beside", approve)
        at_once = site.settings.review.model_copy(update={"rest_seconds": 0.0})
        released = batches.release(
            site.settings.model_copy(update={"review": at_once}), store, sites, Form.X12, staff[SUPERVISOR].id
        )
        assert released.batch is not None, released.seen.stays
    in_review("p90832-16-minutes", approve)
    in_review("h0032-complete", approve)
    in_review("g90853-group", lambda d: approve(d, bo), bo)
    in_review("h2017-rehabilitation", send_back)
    in_review("t1007-sud-plan", hold)
    _asked(store, "h2014-no-stop-time", ines)
    _not_billable(site, store, "p90845-psychoanalysis")
    _withdrawn(site, store, "h0034-medication-30-minutes", upstream)
    _changed_elsewhere(site, store, "h2033-mst-60-minutes", upstream)
    if not store.arrivals.all():
        store.arrivals.found(site.settings.ehr.id, "no-such-visit", "list")
        store.arrivals.found(ELSEWHERE, "waits-for-a-person", "hook")


def _waiting(store: Store, visit: str) -> Draft | None:
    """The visit's draft, if nobody did anything to it yet."""
    found = store.drafts(encounter_id=visit)
    draft = found[0] if found else None
    untouched = draft is not None and not store.decisions(draft.id)
    return draft if untouched else None


def _sitting(site: Site, store: Store, draft: Draft) -> desk.Sitting:
    understood, taken = pipeline.look(site, draft.encounter_id)
    return desk.sit(site, store, understood, taken, draft)


def _clinician(store: Store, draft: Draft) -> Account:
    person = f"Practitioner/{draft.clinician_id}"
    return store.people.know(f"{draft.ehr_id}|{person}", person, person, {Role.CLINICIAN})


def _accepted(site: Site, store: Store, visit: str) -> Draft | None:
    draft = _waiting(store, visit)
    if draft is None or draft.state is not State.READY:
        return None
    sitting = _sitting(site, store, draft)
    after = sitting.accept(_clinician(store, draft))
    outbox.deliver(site, store, sitting.understood, after)
    return after


def _asked(store: Store, visit: str, account: Account) -> None:
    draft = _waiting(store, visit)
    if draft is not None:
        taken_up = coder.take_up(store, draft, account, approve_unaccepted=False)
        rules = [f["rule"] for v in draft.verdicts["verdicts"] for f in v["findings"]]
        coder.ask(store, taken_up, account, rules)
        store.queue.put_back(draft.id, account.id)


def _not_billable(site: Site, store: Store, visit: str) -> None:
    draft = _waiting(store, visit)
    if draft is not None:
        sitting = _sitting(site, store, draft)
        after = sitting.not_billable(_clinician(store, draft), "client-pays")
        outbox.deliver(site, store, sitting.understood, after)


def _withdrawn(site: Site, store: Store, visit: str, upstream: str) -> None:
    """The visit turns out to be entered in error in the EHR."""
    draft = _waiting(store, visit)
    if draft is not None and draft.state is State.READY:
        encounter = httpx.get(f"{upstream}/Encounter/{visit}").json()
        httpx.put(f"{upstream}/Encounter/{visit}", json=encounter | {"status": "entered-in-error"}).raise_for_status()
        pipeline.code_visit(site, visit)


def _changed_elsewhere(site: Site, store: Store, visit: str, upstream: str) -> None:
    """Somebody in the EHR changes the Claim before the clinician's acceptance reaches it."""
    draft = _waiting(store, visit)
    remote = store.remote(draft.id, "ehr") if draft is not None else None
    if draft is None or remote is None or draft.state is not State.READY:
        return
    claim = httpx.get(f"{upstream}/Claim/{remote.claim_id}").json()
    httpx.put(f"{upstream}/Claim/{remote.claim_id}", json=claim | {"priority": {"text": "stat"}}).raise_for_status()
    sitting = _sitting(site, store, draft)
    after = sitting.accept(_clinician(store, draft))
    outbox.deliver(site, store, sitting.understood, after)
