"""One item of the queue on one screen: the note with its evidence, the lines with what is said of them, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from guardrails import policy_words
from plugin import pipeline
from plugin.review import coder, desk, questions, second
from plugin.review.desk import REASONS, NotDecided
from plugin.review.states import MEANING, NotAllowed, State
from plugin.snapshot import Snapshot
from plugin.store.people import SignedIn
from plugin.store.queue import Item, Taken
from plugin.store.records import Draft, Overtaken
from plugin.store.vault import VaultError
from plugin.web import visit_view
from plugin.web.areas import QUEUE
from plugin.web.guards import within
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.queue_page import neighbour, query_of
from plugin.web.visit_page import act, names, overtaken, worth_adding
from plugin.workbench import Site, Understood

_LEAVES = frozenset({"approve", "send-back", "hold", "query", "not-billable", "put-back", "agree", "disagree"})
"""After these the next item is shown; after the others the same one, changed."""

_NOTICES = {
    "edit": "Changed. The rules let the line stand.",
    "add": "Added. The rules let the line stand.",
    "reject": "Set aside. It is kept below.",
    "reopen": "Reopened.",
    "take-back": "The approval is taken back.",
}
_DONE = {
    "approve": "Approved",
    "send-back": "Sent back to the clinician",
    "hold": "On hold",
    "query": "The clinician is asked",
    "not-billable": "Noted as not billable",
    "put-back": "Put back",
    "agree": "You agreed",
    "disagree": "You disagreed",
}


@within(QUEUE)
def review(request: Request, house: House, session: SignedIn) -> Response:
    """An item as it stands in the EHR now. Who opens it has it, until they are done with it or a while passed."""
    item, draft = _found(request, house)
    if item is None or draft is None:
        return _gone(request, session)
    owner = None
    try:
        unaccepted = house.settings.review.approve_unaccepted
        draft = coder.take_up(house.store, draft, session.account, approve_unaccepted=unaccepted)
    except Taken as taken:
        owner = taken.owner
    with house.review_site(draft.ehr_id, session.id) as (site, _):
        understood, snapshot = house.look(site, draft.ehr_id, draft.encounter_id)
        return _show(request, house, session, understood, snapshot, draft, owner=owner)


@within(QUEUE)
def ahead(request: Request, house: House, session: SignedIn) -> Response:
    """Read an item that will be shown next. Nobody has it by that."""
    item, draft = _found(request, house)
    if item is not None and draft is not None:
        with house.review_site(draft.ehr_id, session.id) as (site, _):
            house.look(site, draft.ehr_id, draft.encounter_id, ahead=True)
    return Response(status_code=204)


@within(QUEUE)
def following(request: Request, house: House, session: SignedIn) -> Response:
    """The next item of the list."""
    return _step(request, house, session, back=False)


@within(QUEUE)
def previous(request: Request, house: House, session: SignedIn) -> Response:
    """The item of the list before this one."""
    return _step(request, house, session, back=True)


def _step(request: Request, house: House, session: SignedIn, *, back: bool) -> Response:
    said = dict(request.query_params)
    found = neighbour(house, said, session, said.get("item"), back=back)
    if said.get("item"):
        house.store.queue.put_back(said["item"], session.account.id)
    listed = query_of(said)
    if found is None:
        return RedirectResponse(f"/queue?{listed}", status_code=303)
    return RedirectResponse(_address(found.id, listed), status_code=303)


@within(QUEUE)
def decide(request: Request, house: House, session: SignedIn) -> Response:
    """Something a coder decides. It counts only while they have the item, on what they saw; lines on the record as it is."""
    form: FormData = request.state.form
    action = request.path_params["action"]
    listed = query_of(dict(parse_qsl(str(form.get("list", "")))))
    item, draft = _found(request, house)
    if item is None or draft is None:
        return _gone(request, session)
    then = None
    if action in _LEAVES:
        then = neighbour(house, dict(parse_qsl(listed)), session, item.id)
    with house.review_site(draft.ehr_id, session.id) as (site, _):

        def show(status: int, notice: str, refused: NotDecided | None = None) -> Response:
            understood, snapshot = pipeline.look(site, draft.encounter_id)
            now = house.store.draft(draft.id) or draft
            owner = _owner(house, now, session)
            return _show(
                request,
                house,
                session,
                understood,
                snapshot,
                now,
                owner=owner,
                status=status,
                notice=notice,
                refused=refused,
                filled=form if refused else None,
            )

        if form.get("revision") != str(draft.revision):
            return show(409, overtaken(house, draft))
        try:
            house.store.queue.claim(item.id, session.account.id)  # what ran out while the page was read is taken again
            problem = _do(action, house, session, site, draft, form)
        except NotDecided as refused:
            return show(422, str(refused), refused)
        except NotAllowed as refused:
            return show(409, f"Not possible: {refused}.")
        except VaultError:
            return show(410, "The text behind this draft was purged; it can no longer be changed.")
        except Taken as taken:
            return show(
                409, f"{names(house).get(taken.owner, 'Somebody else')} has this item now. Nothing was decided."
            )
        except Overtaken:
            return show(409, overtaken(house, house.store.draft(draft.id) or draft))
        if problem:
            return show(409, problem)
    if house.flow is not None:
        house.flow.nudge()
    if action not in _LEAVES:
        return RedirectResponse(_address(item.id, listed, action), status_code=303)
    house.store.queue.put_back(item.id, session.account.id)
    if then is None:
        return RedirectResponse(f"/queue?{listed}", status_code=303)
    return RedirectResponse(_address(then.id, listed, action), status_code=303)


def _do(action: str, house: House, session: SignedIn, site: Site, draft: Draft, form: FormData) -> str | None:
    """Do it; a sentence where the record stands against it."""
    store, account = house.store, session.account
    reason, comment = str(form.get("reason", "")), str(form.get("comment", ""))
    match action:
        case "put-back":
            return None
        case "hold":
            coder.hold(store, draft, account, reason, comment)
        case "query":
            coder.ask(store, draft, account, [str(r) for r in form.getlist("rule")])
        case "take-back":
            coder.take_back(store, draft, account)
        case "agree" | "disagree":
            second.looked(store, draft, account, agreed=action == "agree")
        case "reopen" if draft.changed_since:
            desk.reopen_changed(store, draft, account)
            pipeline.code_visit(site, draft.encounter_id)
        case _:
            understood, taken = pipeline.look(site, draft.encounter_id)
            if taken.key != draft.snapshot_key:
                if draft.decided:
                    store.changed_since(draft, taken.key)
                else:
                    store.arrivals.found(draft.ehr_id, draft.encounter_id, "review")
                return "The record changed since you read it. Nothing was decided; this is the note as it is now."
            after = act(action, desk.sit(site, store, understood, taken, draft), account, form)
            if action == "approve":
                second.after_approval(store, after, account, house.settings.review.second_review_share)
    return None


def _show(
    request: Request,
    house: House,
    session: SignedIn,
    understood: Understood,
    snapshot: Snapshot,
    draft: Draft,
    *,
    owner: str | None,
    status: int = 200,
    notice: str | None = None,
    refused: NotDecided | None = None,
    filled: FormData | None = None,
) -> Response:
    if snapshot.key != draft.snapshot_key and draft.decided:
        draft = house.store.changed_since(draft, snapshot.key)
    house.read_notes(session.account.id, draft, understood)
    said = dict(parse_qsl(str(filled.get("list", "")))) if filled else dict(request.query_params)
    listed = query_of(said)
    then = neighbour(house, dict(parse_qsl(listed)), session, draft.id)
    visit, policy = understood.visit, understood.policy
    mine = owner is None
    cards = visit_view.cards(draft, understood, house.works.codebook)
    return page(
        request,
        "review.html",
        status=status,
        signed_in=session,
        draft=draft,
        item=house.store.queue.item(draft.id),
        at=f"/queue/item/{draft.id}",
        list=listed,
        following=then,
        owner=names(house).get(owner, "Somebody else") if owner else None,
        mine=mine,
        may_change=mine and (draft.state is State.IN_REVIEW or not draft.decided),
        may_accept=False,
        at_the_queue=True,
        cards=cards,
        clean=bool(cards) and all(c.outcome == "ready" and not c.findings for c in cards),
        aside=visit_view.set_aside(draft),
        notes=list(visit_view.notes(understood, draft)),
        findings=draft.verdicts.get("findings", ()),
        not_checked=draft.verdicts.get("not_looked_up", {}),
        problems=understood.problems,
        history=visit_view.history(house.store.decisions(draft.id), names(house), understood),
        recent=_recent(house, draft),
        policy=policy,
        policy_says=policy_words.of_every_line(policy),
        reasons={action.name: reasons for action, reasons in REASONS.items()},
        candidates=worth_adding(house, understood),
        visit_diagnoses=visit.diagnoses,
        client=visit.client_names[0] if visit.client_names else "Client not named",
        born=visit.client_birth_date,
        on=visit.date_of_service,
        clinician=visit.rendering.name if visit.rendering and visit.rendering.name else None,
        refused=refused,
        filled=filled or FormData(),
        notice=notice or _NOTICES.get(said.get("did", "")),
        before=_DONE.get(said.get("did", "")),
        states=State,
        meaning=MEANING,
        askable=questions.askable(draft.verdicts),
        queries=house.store.queries.of(draft.id),
        choices=questions.CHOICES,
        names=names(house),
        second=second.waits_for(house.store, draft, session.account),
        batch=house.store.releases.batch_of(draft.id),
        unread=snapshot.key != draft.snapshot_key and not draft.decided,
        held_too=any(c.outcome == "held" for c in cards),
    )


def _recent(house: House, draft: Draft) -> list[dict[str, Any]]:
    """The client's other lines that we know of, the latest first."""
    if draft.patient_id is None:
        return []
    others = house.store.drafts_of_patient(draft.ehr_id, draft.patient_id)
    return [
        {
            "on": other.date_of_service,
            "state": other.state.value,
            "lines": ", ".join(
                f"{v['line']['code']} × {v['line']['units']}"
                for v in other.verdicts.get("verdicts", ())
                if v["outcome"] == "ready" and v["line"]
            ),
        }
        for other in others
        if other.id != draft.id
    ]


def _found(request: Request, house: House) -> tuple[Item | None, Draft | None]:
    item_id = request.path_params["item"]
    return house.store.queue.item(item_id), house.store.draft(item_id)


def _owner(house: House, draft: Draft, session: SignedIn) -> str | None:
    """Who has the item, if somebody else does."""
    item = house.store.queue.item(draft.id)
    holder = item.held_by(datetime.now(UTC)) if item else None
    return holder if holder not in (None, session.account.id) else None


def _address(item_id: str, listed: str, did: str | None = None) -> str:
    query = "&".join(filter(None, (listed, f"did={did}" if did else "")))
    return f"/queue/item/{item_id}" + (f"?{query}" if query else "")


def _gone(request: Request, session: SignedIn) -> Response:
    return page(
        request,
        "message.html",
        status=404,
        signed_in=session,
        title="There is no such item",
        advice="It may have been coded anew; look it up in the queue.",
        again="/queue",
    )
