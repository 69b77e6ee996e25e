"""What goes out, on a page: what is due, what a release would do, releasing it, and each batch with its report and file."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from plugin.release import batches
from plugin.release.batches import Form, Preview, Sites
from plugin.release.fees import UnusableFees
from plugin.review.states import State
from plugin.settings import SettingsError
from plugin.store.people import SignedIn
from plugin.store.queue import Filter
from plugin.store.records import Overtaken
from plugin.web.areas import RELEASES
from plugin.web.guards import within
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.visit_page import names

MOST = 200
"""Drafts of one release from the page, for a browser waits for it; the command line takes all."""

_LISTED = 50
_KINDS = {Form.X12.value: "application/edi-x12", Form.CSV.value: "text/csv; charset=utf-8"}


@within(RELEASES)
def releases(request: Request, house: House, session: SignedIn) -> Response:
    """What is due, and what went out."""
    said = request.query_params.get("done", "")
    return _shown(
        request, house, session, done=int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None
    )


@within(RELEASES)
def preview(request: Request, house: House, session: SignedIn) -> Response:
    """What a release would do now: the visits are read as they stand, nothing is released."""
    try:
        seen = batches.preview(house.settings, house.store, _sites(house, session), _form(request), most=MOST)
    except (SettingsError, UnusableFees) as problem:
        return _shown(request, house, session, problem=str(problem), status=422)
    return _shown(request, house, session, seen=seen)


@within(RELEASES)
def release(request: Request, house: House, session: SignedIn) -> Response:
    """Let what is due go out."""
    sites, form = _sites(house, session), _form(request)
    try:
        done = batches.release(house.settings, house.store, sites, form, session.account.id, most=MOST)
    except (SettingsError, UnusableFees) as problem:
        return _shown(request, house, session, problem=str(problem), status=422)
    except Overtaken:
        busy = "Somebody else releases at this moment; nothing went out by this. Look again."
        return _shown(request, house, session, problem=busy, status=409)
    if done.batch is not None:
        return RedirectResponse(f"/releases?done={done.batch.id}", status_code=303)
    return _shown(request, house, session, seen=done.seen, problem="Nothing went out.", status=422)


@within(RELEASES)
def file(request: Request, house: House, session: SignedIn) -> Response:
    """A batch's file as it went out; each time is kept in the history."""
    kept = house.store.releases.again(request.path_params["number"], session.account.id)
    if kept is None:
        return _shown(request, house, session, problem="There is no such file.", status=404)
    batch, content = kept
    return Response(
        content,
        media_type=_KINDS.get(batch.form, "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{batch.report["file"]}"'},
    )


def _shown(
    request: Request,
    house: House,
    session: SignedIn,
    *,
    seen: Preview | None = None,
    problem: str | None = None,
    done: int | None = None,
    status: int = 200,
) -> Response:
    rest = timedelta(seconds=house.settings.review.rest_seconds)
    due = house.store.releases.due(rest)
    approved = house.store.queue.page(Filter(states=(State.APPROVED,)), most=batches.MOST)
    flagged = [i for i in approved if i.changed_since]
    made = house.store.releases.batches(most=_LISTED)
    return page(
        request,
        "releases.html",
        status=status,
        signed_in=session,
        due=due[:_LISTED],
        due_count=len(due),
        resting=len(approved) - len(due) - len(flagged),
        flagged=flagged,
        most=MOST,
        forms=list(Form),
        seen=seen,
        report=seen.as_json() if seen else None,
        problem=problem,
        done=next((b for b in made if b.id == done), None),
        batches=made,
        names=names(house),
    )


def _form(request: Request) -> Form:
    wanted = str(request.state.form.get("form", ""))
    return next((f for f in Form if f.value == wanted), Form.X12)


def _sites(house: House, session: SignedIn) -> Sites:
    """Without a person where the EHR grants that, else with their own launch there."""
    return partial(house.review_site, session_id=session.id)
