"""Signing in: a launch from the EHR, a SMART sign-in outside a chart, an OpenID Connect provider; and signing out (fhir 5)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fhir_mappings.bundles import encounters_of, of_client
from fhir_mappings.views import is_id, is_kept_id, objects, reference_of
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import EhrError
from plugin.ehr.oauth import Asked, Client, SignInError, Tokens, known_error, launch_scope, standalone_scope
from plugin.ehr.tokens import FixedToken
from plugin.settings import EhrSettings, SettingsError
from plugin.store.people import Account, People, Role, SignedIn, SigningIn
from plugin.web.house import House, app_client, kept_tokens
from plugin.web.pages import page

SESSION_COOKIE = "claimwright"
BROWSER_COOKIE = "claimwright-signing-in"
_PERSONS = ("Practitioner", "PractitionerRole")
_FIRST_ADMIN = "first-admin"


def launch(request: Request) -> Response:
    """The EHR launches us: which EHR, it says, and we know it or go no further."""
    house: House = request.app.state.house
    ehr = house.ehr_of(request.query_params.get("iss", ""))
    handle = request.query_params.get("launch")
    if ehr is None or ehr.app is None:
        return _sorry(request, "This EHR is not registered here", "Ask your administrator to register its FHIR base.")
    if not handle or len(handle) > 2048:
        return _sorry(request, "The EHR did not say what to open", "Open Claimwright from the chart again.")
    return _begin(request, ehr, launch_handle=handle)


def sign_in(request: Request) -> Response:
    """Where to sign in, outside an EHR."""
    house: House = request.app.state.house
    apps = [ehr for ehr in house.settings.ehrs if ehr.app is not None]
    return page(request, "sign_in.html", ehrs=apps, provider=house.settings.web.sign_in is not None)


def sign_in_at(request: Request) -> Response:
    """Begin at one EHR, or at the sign-in provider."""
    house: House = request.app.state.house
    where = request.path_params["where"]
    if where == "provider":
        return _begin(request, None)
    ehr = next((e for e in house.settings.ehrs if e.id == where and e.app is not None), None)
    if ehr is None:
        return _sorry(request, "This EHR is not registered here", "Ask your administrator.", status=404)
    return _begin(request, ehr)


def _begin(request: Request, ehr: EhrSettings | None, launch_handle: str | None = None) -> Response:
    house: House = request.app.state.house
    asked = Asked.fresh()
    try:
        if ehr is not None:
            assert ehr.app is not None
            provider, client = house.oauth.of_ehr(ehr), app_client(ehr)
            base = ehr.base_url.rstrip("/")
            if launch_handle is not None:
                more = {"aud": base, "launch": launch_handle}
                scope = launch_scope(provider, ehr.app)
            else:
                more, scope = {"aud": base}, standalone_scope(provider, ehr.app)
        else:
            provider, client = _provider(house)
            more, scope = {}, "openid profile"
        url = house.oauth.authorization_url(provider, client, asked, _redirect_uri(house), scope, **more)
    except (SignInError, SettingsError) as problem:
        return _sorry(request, "Signing in is not possible now", str(problem), status=502)
    browser = request.cookies.get(BROWSER_COOKIE) or secrets.token_urlsafe(32)
    kept = {"verifier": asked.verifier, "nonce": asked.nonce, "launch": launch_handle}
    if request.query_params.get(_FIRST_ADMIN):
        kept[_FIRST_ADMIN] = request.query_params[_FIRST_ADMIN]
    house.people.begin(asked.state, browser, ehr.id if ehr else None, kept)
    answer = RedirectResponse(url, status_code=302)
    _set_cookie(answer, BROWSER_COOKIE, browser, seconds=900)
    return answer


def callback(request: Request) -> Response:
    """The browser comes back with a code. Only the browser that went, only once, only with what we asked for."""
    house: House = request.app.state.house
    query = request.query_params
    signing = house.people.come_back(query.get("state", ""), request.cookies.get(BROWSER_COOKIE))
    if signing is None:
        return _sorry(
            request, "This sign-in was used already, or took too long", "Open Claimwright from the chart again."
        )
    if not signing.same_browser:
        return _new_window(request, house, signing)
    if "error" in query or "code" not in query:
        said = known_error(query.get("error"))
        return _sorry(
            request, "The EHR did not let you in", f"It answered: {said}. Ask its administrator if this stays."
        )
    try:
        if signing.ehr_id is None:
            return _signed_in_at_provider(request, house, signing, query["code"])
        return _signed_in_at_ehr(request, house, signing, query["code"])
    except SignInError as problem:
        return _sorry(request, "Signing in did not work", str(problem), status=403)


def _signed_in_at_ehr(request: Request, house: House, signing: SigningIn, code: str) -> Response:
    ehr = house.settings.of_ehr(str(signing.ehr_id)).ehr
    provider, client = house.oauth.of_ehr(ehr), app_client(ehr)
    tokens = house.oauth.exchange(provider, client, code, signing.kept["verifier"], _redirect_uri(house))
    claims = house.oauth.identity(provider, client, tokens, signing.kept["nonce"])
    person = _person(claims, ehr)
    account = house.people.know(
        f"{ehr.id}|{person}", person, _name(house, ehr, person, tokens), roles=(Role.CLINICIAN,)
    )
    _perhaps_first_admin(house, account, signing)
    context = tokens.context
    patient, encounter = _context_id(context, "patient"), _context_id(context, "encounter")
    if signing.kept.get("launch") and patient and not encounter:
        encounter = _from_card(house, ehr, patient, context) or _from_note(house, ehr, patient, tokens)
    cookie, session_id = _session(request, house, account)
    opened = house.people.launched(
        session_id,
        ehr.id,
        patient_id=patient,
        encounter_id=encounter,
        banner=context.get("need_patient_banner") is not False,
        tokens=kept_tokens(tokens),
    )
    return _welcome(f"/v/{opened.id}" if encounter else f"/v/{opened.id}/visits", cookie)


def _signed_in_at_provider(request: Request, house: House, signing: SigningIn, code: str) -> Response:
    provider, client = _provider(house)
    tokens = house.oauth.exchange(provider, client, code, signing.kept["verifier"], _redirect_uri(house))
    claims = house.oauth.identity(provider, client, tokens, signing.kept["nonce"])
    subject = str(claims["sub"])[:150]
    account = house.people.know(f"sign-in|{subject}", None, str(claims.get("name") or subject)[:100])
    _perhaps_first_admin(house, account, signing)
    cookie, _ = _session(request, house, account)
    return _welcome("/", cookie)


def _welcome(path: str, cookie: str | None) -> Response:
    answer = RedirectResponse(path, status_code=303)
    if cookie is not None:
        _set_cookie(answer, SESSION_COOKIE, cookie)
    _drop_cookie(answer, BROWSER_COOKIE)
    return answer


def _session(request: Request, house: House, account: Account) -> tuple[str | None, str]:
    """The session to go on with: this browser's, if the same person has it, so that two charts stand in two tabs.

    Somebody else's session in this browser ends. Returns the new cookie, if any, and the session's id.
    """
    current = house.people.session(request.cookies.get(SESSION_COOKIE), house.settings.web)
    if current is not None and current.account.id == account.id:
        return None, current.id
    if current is not None:
        house.people.end(current.id, "somebody else signed in")
    cookie = house.people.start(account)
    started = house.people.session(cookie, house.settings.web)
    assert started is not None
    return cookie, started.id


def sign_out(request: Request) -> Response:
    """End the session and forget its tokens."""
    house: House = request.app.state.house
    current = current_session(request)
    if current is not None:
        house.people.end(current.id, "signed out")
    answer = RedirectResponse("/sign-in", status_code=303)
    _drop_cookie(answer, SESSION_COOKIE)
    return answer


def current_session(request: Request) -> SignedIn | None:
    """Who is signed in with this browser."""
    house: House = request.app.state.house
    return house.people.session(request.cookies.get(SESSION_COOKIE), house.settings.web)


def jwks(request: Request) -> Response:
    """Our public keys."""
    house: House = request.app.state.house
    return Response(
        json.dumps(house.keys.public()),
        media_type="application/json",
        headers={"Cache-Control": "public, max-age=3600"},
    )


# --- who, what ---


def _person(claims: Mapping[str, Any], ehr: EhrSettings) -> str:
    """The reference of who signed in: a Practitioner of this EHR. Others have no business in a chart's billing."""
    said = str(claims.get("fhirUser") or claims.get("profile") or "")
    base = ehr.base_url.rstrip("/") + "/"
    relative = said.removeprefix(base)
    kind, _, logical_id = relative.partition("/")
    if "://" in relative or kind not in _PERSONS or not is_id(logical_id):
        raise SignInError("the EHR did not name a Practitioner (fhirUser); Claimwright is for clinical staff")
    return f"{kind}/{logical_id}"


def _name(house: House, ehr: EhrSettings, person: str, tokens: Tokens) -> str:
    """How to call them on their own page: their name in the EHR, else nothing but the reference."""
    kind, _, logical_id = person.partition("/")
    try:
        with FhirClient(ehr, house.settings.limits, tokens=FixedToken(tokens.access)) as client:
            resource = client.read(kind, logical_id)
            if kind == "PractitionerRole":
                kind, _, logical_id = reference_of(resource.get("practitioner")).partition("/")
                resource = client.read(kind, logical_id)
        name = (resource.get("name") or [{}])[0]
        parts = [*(name.get("given") or ()), name.get("family") or ""]
        return " ".join(str(p) for p in parts if p)[:100] or person
    except (EhrError, AttributeError, IndexError, TypeError):
        return person


def _context_id(context: Mapping[str, Any], name: str) -> str | None:
    value = str(context.get(name) or "").rpartition("/")[2]
    return value if is_kept_id(value) else None


def _from_card(house: House, ehr: EhrSettings, patient: str, context: Mapping[str, Any]) -> str | None:
    """The visit that a card was about, if the launch came from one, and only if it is this patient's (CDS Hooks appContext)."""
    try:
        said = json.loads(str(context.get("appContext")))
        card = str(said["card"])
    except (ValueError, KeyError, TypeError):
        return None
    draft = house.store.draft_of_card(ehr.id, card)
    return draft.encounter_id if draft is not None and draft.patient_id == patient else None


def _from_note(house: House, ehr: EhrSettings, patient: str, tokens: Tokens) -> str | None:
    """The visit of a note that the EHR had open (fhirContext), if the note is this patient's and of one visit only."""
    listed = tokens.context.get("fhirContext")
    references = [reference_of(each) for each in objects(listed if isinstance(listed, list) else None)]
    for kind, _, logical_id in (r.partition("/") for r in references):
        if kind != "DocumentReference":
            continue
        try:
            with FhirClient(ehr, house.settings.limits, tokens=FixedToken(tokens.access)) as client:
                document = client.read(kind, logical_id)
        except EhrError:
            continue
        encounters = encounters_of(document)
        if of_client(document, f"Patient/{patient}") and len(encounters) == 1:
            return next(iter(encounters)).partition("/")[2]
    return None


def _perhaps_first_admin(house: House, account: Account, signing: SigningIn) -> None:
    """Whoever opens the link of `claimwright first-admin` and signs in administers, once, while nobody does."""
    code = signing.kept.get(_FIRST_ADMIN)
    if code and not house.people.has_admin() and house.people.come_back(f"{_FIRST_ADMIN} {code}", _FIRST_ADMIN):
        house.people.set_roles(account.id, account.roles | {Role.ADMIN})


def begin_first_admin(people: People, url: str, where: str) -> str:
    """The link by which the first administrator signs in; good for ten minutes, once."""
    code = secrets.token_urlsafe(24)
    people.begin(f"{_FIRST_ADMIN} {code}", _FIRST_ADMIN, None, {})
    return f"{url}/sign-in/{where}?{urlencode({_FIRST_ADMIN: code})}"


def _provider(house: House) -> tuple[Any, Client]:
    settings = house.settings.web.sign_in
    if settings is None:
        raise SettingsError("web.sign_in: no sign-in provider is set")
    return house.oauth.of_issuer(settings.issuer), Client(settings.client_id, settings.public, settings.algorithm)


def _redirect_uri(house: House) -> str:
    return f"{house.url}/callback"


def _set_cookie(answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    """A cookie that also works in the EHR's frame, whose site is another: partitioned, over HTTPS (or loopback) only.

    Written out, because the standard library knows `Partitioned` only from Python 3.14 on. The values are URL-safe tokens.
    """
    life = "" if seconds is None else f"; Max-Age={seconds}"
    answer.headers.append("set-cookie", f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned{life}")


def _drop_cookie(answer: Response, name: str) -> None:
    _set_cookie(answer, name, "", seconds=0)


def _new_window(request: Request, house: House, signing: SigningIn) -> Response:
    """The browser keeps no cookie of ours in this frame, or another one came back: begin anew in a window of its own."""
    again = f"{house.url}/sign-in/{signing.ehr_id or 'provider'}"
    if signing.ehr_id and signing.kept.get("launch"):
        ehr = house.settings.of_ehr(signing.ehr_id).ehr
        again = f"{house.url}/launch?{urlencode({'iss': ehr.base_url, 'launch': signing.kept['launch']})}"
    return page(request, "new_window.html", status=403, again=again)


def _sorry(request: Request, title: str, advice: str, *, status: int = 400) -> Response:
    return page(request, "message.html", status=status, title=title, advice=advice)
