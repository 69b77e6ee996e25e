"""Who may see a page: one guard for every area, so that no page forgets to ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from plugin.ehr.errors import Unauthorized
from plugin.pipeline import EXPECTED
from plugin.store.people import SignedIn
from plugin.web.areas import Area
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.signing_in import current_session

Handler = Callable[[Request, House, SignedIn], Response]


def within(area: Area) -> Callable[[Handler], Callable[[Request], Response]]:
    """A page of an area: for who is signed in and has its role. What it waits for of an EHR becomes a page that says so."""

    def guard(handler: Handler) -> Callable[[Request], Response]:
        @wraps(handler)
        def guarded(request: Request) -> Response:
            house: House = request.app.state.house
            session = current_session(request)
            if session is None:
                return RedirectResponse("/sign-in", status_code=303)
            if not session.account.may(*area.roles):
                return page(
                    request,
                    "message.html",
                    status=403,
                    signed_in=session,
                    title=f"For {area.whose}",
                    advice="An administrator gives the role on /admin; `claimwright first-admin` makes the first one.",
                )
            try:
                return handler(request, house, session)
            except Unauthorized as problem:
                title, advice, status = "We cannot read this EHR for you", str(problem), 401
            except EXPECTED as problem:
                title, advice, status = "The visit cannot be shown now", str(problem), 503
            return page(
                request,
                "message.html",
                status=status,
                signed_in=session,
                title=title,
                advice=advice,
                again=request.url.path if request.method == "GET" else area.path,
            )

        return guarded

    return guard
