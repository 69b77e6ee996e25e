"""The coders' queue: the list, what it is filtered by, bulk approval with a preview, retries of what failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from plugin import pipeline
from plugin.pipeline import EXPECTED
from plugin.review import coder, desk, second
from plugin.review.desk import NotDecided
from plugin.review.states import FOR_CODER, MEANING, NotAllowed, State
from plugin.store.people import SignedIn
from plugin.store.queue import PAGE, Filter, Item, Order, Taken
from plugin.store.records import Draft, Overtaken
from plugin.web.areas import QUEUE
from plugin.web.guards import within
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.visit_page import names


@within(QUEUE)
def queue(request: Request, house: House, session: SignedIn) -> Response:
    """The list: the most urgent first, fifty a page, with counts by state."""
    said = dict(request.query_params)
    wanted = wanted_of(said, session)
    number = max(0, _number(said.get("page")) or 0)
    waiting = second.waiting(house.store, session.account)
    if said.get("second") == "yes":
        listed = waiting[number * PAGE :][: PAGE + 1]
        items = [i for i in map(house.store.queue.item, listed) if i is not None]
    else:
        items = house.store.queue.page(wanted, offset=number * PAGE, most=PAGE + 1)
    return page(
        request,
        "queue.html",
        signed_in=session,
        items=items[:PAGE],
        more=len(items) > PAGE,
        number=number,
        counts=house.store.queue.counts(wanted),
        choices=house.store.queue.choices(),
        wanted=wanted,
        said=said,
        states=State,
        meaning=MEANING,
        for_coder=FOR_CODER,
        orders=list(Order),
        list=query_of(said),
        now=datetime.now(UTC),
        today=datetime.now(UTC).date(),
        names=names(house),
        link=lambda **changes: "/queue?" + urlencode({k: v for k, v in (said | {"page": None} | changes).items() if v}),
        bulk_most=house.settings.review.bulk_most,
        second=len(waiting),
    )


@within(QUEUE)
def bulk(request: Request, house: House, session: SignedIn) -> Response:
    """What approving many at once would approve: clean drafts that a clinician accepted, as many as the cap allows."""
    form: FormData = request.state.form
    chosen = [str(i) for i in form.getlist("item")][: house.settings.review.bulk_most]
    items = [i for i in map(house.store.queue.item, chosen) if i is not None]
    drafts = {i.id: house.store.draft(i.id) for i in items}
    good = [i for i in items if may_go_in_bulk(i, drafts[i.id], session)]
    return page(
        request,
        "bulk.html",
        signed_in=session,
        good=good,
        drafts=drafts,
        left=[(i, _why_not_in_bulk(house, i, session)) for i in items if i not in good],
        list=str(form.get("list", "")),
        most=house.settings.review.bulk_most,
        rest=house.settings.review.rest_seconds,
        outcome=None,
    )


@within(QUEUE)
def bulk_approve(request: Request, house: House, session: SignedIn) -> Response:
    """Approve what the preview showed, each on its record as it stands now; what changed meanwhile stays, and says why."""
    form: FormData = request.state.form
    outcome: list[tuple[str, str | None]] = []
    for said in form.getlist("seen")[: house.settings.review.bulk_most]:
        item_id, _, revision = str(said).rpartition("@")
        outcome.append((item_id, _approve_one(house, session, item_id, revision)))
    return page(
        request,
        "bulk.html",
        signed_in=session,
        good=[],
        drafts={},
        left=[],
        list=str(form.get("list", "")),
        most=house.settings.review.bulk_most,
        rest=house.settings.review.rest_seconds,
        outcome=outcome,
    )


def _why_not_in_bulk(house: House, item: Item, session: SignedIn) -> str:
    holder = item.held_by(datetime.now(UTC))
    if holder not in (None, session.account.id):
        return f"{names(house).get(holder, 'somebody else')} has it"
    return "it is not clean" if not item.clean else "no clinician accepted it as it is"


def may_go_in_bulk(item: Item, draft: Draft | None, session: SignedIn) -> bool:
    """Clean, accepted as it stands, and nobody else's."""
    lines = draft.verdicts.get("verdicts", ()) if draft else ()
    return (
        item.clean
        and item.state in FOR_CODER
        and bool(lines)
        and all(line.get("fate") == "accepted" for line in lines)
        and item.held_by(datetime.now(UTC)) in (None, session.account.id)
    )


def _approve_one(house: House, session: SignedIn, item_id: str, revision: str) -> str | None:
    """Approve one draft of a bulk; why not, where not."""
    draft, item = house.store.draft(item_id), house.store.queue.item(item_id)
    if draft is None or item is None or not may_go_in_bulk(item, draft, session):
        return "it is no longer clean, accepted and free"
    if revision != str(draft.revision):
        return "somebody did something to it after the preview"
    try:
        taken_up = coder.take_up(house.store, draft, session.account, approve_unaccepted=False)
        with house.review_site(draft.ehr_id, session.id) as (site, _):
            understood, taken = pipeline.look(site, draft.encounter_id)
            if taken.key != draft.snapshot_key:
                house.store.changed_since(taken_up, taken.key)
                return "its record changed"
            sitting = desk.sit(site, house.store, understood, taken, taken_up)
            approved = sitting.approve(session.account)
    except Taken:
        return "somebody else has it"
    except (NotDecided, NotAllowed) as problem:
        return str(problem)
    except Overtaken:
        return "somebody was faster"
    except EXPECTED as problem:
        return str(problem)
    finally:
        house.store.queue.put_back(item_id, session.account.id)
    second.after_approval(house.store, approved, session.account, house.settings.review.second_review_share)
    return None


@within(QUEUE)
def retry(request: Request, house: House, session: SignedIn) -> Response:  # noqa: ARG001 - who may is checked before
    """Try again, now, what waits of a visit: to be coded, or to be brought to its EHR."""
    form: FormData = request.state.form
    visit = str(form.get("ehr", "")), str(form.get("encounter", ""))
    house.store.arrivals.retry(*visit)
    house.store.deliver_again(*visit)
    if house.flow is not None:
        house.flow.nudge()
    return RedirectResponse(f"/queue?{query_of(dict(parse_qsl(str(form.get('list', '')))))}", status_code=303)


# --- what is looked for ---


def wanted_of(said: Mapping[str, str], session: SignedIn) -> Filter:
    """The filter that an address asks for; what it cannot mean is left out. Without a state: what waits for a coder."""
    state = said.get("state", "")
    chosen = tuple(s for s in State if s.value == state)
    everything = state == "all" or bool(said.get("find"))
    return Filter(
        states=chosen or (() if everything else tuple(sorted(FOR_CODER))),
        ehr_id=said.get("ehr") or None,
        payer=said.get("payer") or None,
        code=(said.get("code") or "").upper() or None,
        rule=(said.get("rule") or "").upper() or None,
        clinician=said.get("clinician") or None,
        due_by=_day(said.get("due")),
        older_than_days=_number(said.get("older")),
        find=said.get("find") or None,
        clean=said.get("clean") == "yes",
        mine=session.account.id if said.get("mine") == "yes" else None,
        order=next((o for o in Order if o.value == said.get("order")), Order.DEADLINE),
    )


def neighbour(
    house: House, said: Mapping[str, str], session: SignedIn, item_id: str | None, *, back: bool = False
) -> Item | None:
    """The next item of a list that nobody else has, or the one before; of the list of second looks, too."""
    if said.get("second") != "yes":
        return house.store.queue.next_after(wanted_of(said, session), item_id, session.account.id, back)
    waiting = second.waiting(house.store, session.account)
    at = waiting.index(item_id) + (-1 if back else 1) if item_id in waiting else 0
    return house.store.queue.item(waiting[at]) if 0 <= at < len(waiting) else None


def query_of(said: Mapping[str, Any]) -> str:
    """A list's address, to come back to it and to know its next item. Only what the list knows."""
    known = (
        "state",
        "ehr",
        "payer",
        "code",
        "rule",
        "clinician",
        "due",
        "older",
        "find",
        "clean",
        "mine",
        "order",
        "second",
    )
    return urlencode({k: str(said[k])[:160] for k in known if said.get(k)})


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else None


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
