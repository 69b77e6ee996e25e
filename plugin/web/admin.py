"""The way in for who is signed in, and administration: sessions that can be ended, roles that can be given."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from plugin.store.people import Role, SignedIn
from plugin.web.areas import ADMINISTRATION
from plugin.web.guards import within
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.signing_in import current_session


def home(request: Request) -> Response:
    """Where somebody who is signed in can go."""
    house: House = request.app.state.house
    session = current_session(request)
    if session is None:
        return RedirectResponse("/sign-in", status_code=303)
    own = [each for each in house.people.launches(session.id) if each.tokens_of is None][:5]
    return page(request, "home.html", signed_in=session, launches=own)


@within(ADMINISTRATION)
def admin(request: Request, house: House, session: SignedIn) -> Response:
    """Who is signed in, and who may do what."""
    return page(
        request,
        "admin.html",
        signed_in=session,
        sessions=house.people.live(),
        accounts=house.people.accounts(),
        roles=list(Role),
    )


@within(ADMINISTRATION)
def end(request: Request, house: House, session: SignedIn) -> Response:  # noqa: ARG001 - who may is asked before
    """End somebody's session."""
    house.people.end(str(request.state.form.get("session", "")), "ended by an administrator")
    return RedirectResponse("/admin", status_code=303)


@within(ADMINISTRATION)
def roles(request: Request, house: House, session: SignedIn) -> Response:
    """Give an account its roles. The last administrator keeps theirs."""
    form = request.state.form
    account, wanted = str(form.get("account", "")), {Role(r) for r in form.getlist("role") if r in set(Role)}
    others = [a for a in house.people.accounts() if Role.ADMIN in a.roles and a.id != account]
    if Role.ADMIN not in wanted and not others:
        return page(
            request,
            "message.html",
            status=409,
            signed_in=session,
            title="Somebody must administer",
            advice="Make another account an administrator first.",
        )
    house.people.set_roles(account, wanted, session.account.id)
    return RedirectResponse("/admin", status_code=303)
