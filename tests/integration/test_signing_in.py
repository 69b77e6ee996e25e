"""Launch and sign-in against the sandbox's authorization server: the good way in, and every way that is refused (fhir 5)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import update

from plugin.settings import Algorithm, WebSettings
from plugin.store.people import Role, digest
from plugin.store.tables import SessionRow, SigningInRow
from plugin.web.house import House
from plugin.web.signing_in import begin_first_admin
from sandbox import server
from sandbox.ehr import APP, BACKEND, Ehr
from sandbox.ehr import authorization as sandbox_authorization
from tests.visitors import Visitor, query_of

VISIT = "h2014-45-minutes"


def to_authorize(visitor: Visitor, ehr: Ehr, house: House, visit: str = VISIT) -> str:
    """Where Claimwright sends the browser when the EHR launches it."""
    handle = ehr.authorization.launch(sandbox_authorization.Launch("prac-bachelor", f"{visit}-patient", visit))
    answer = visitor.get(f"{house.url}/launch?{urlencode({'iss': ehr.base, 'launch': handle})}")
    assert answer.status_code == 302
    return answer.headers["location"]


def test_a_launch_opens_the_chart_s_visit(ehr: Ehr, house: House) -> None:
    """From the chart to the page: the client, the visit, the clinician, and nothing of a token in address or page."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    assert page.status_code == 200
    assert "Wendell Ostrava" in page.text
    assert "Tobias Renner" in page.text
    assert "H2014" in page.text
    assert not any(token in page.text or token in str(page.url) for token in ehr.authorization.grants)


def test_the_authorization_request_is_what_smart_asks_for(ehr: Ehr, house: House) -> None:
    """PKCE, state, nonce, the exact aud, the launch, version 2 scopes."""
    asked = query_of(to_authorize(Visitor(house), ehr, house))
    assert asked["response_type"] == "code"
    assert asked["client_id"] == APP
    assert asked["redirect_uri"] == f"{house.url}/callback"
    assert asked["aud"] == ehr.base
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43
    assert {"launch", "openid", "fhirUser", "online_access", "patient/Encounter.rs"} <= set(asked["scope"].split())


@pytest.mark.parametrize("iss", ["https://elsewhere.example/fhir", "", "http://127.0.0.1:1/fhir"])
def test_an_ehr_that_is_not_registered_is_not_talked_to(house: House, iss: str) -> None:
    """The iss is on the list, or nothing is fetched and nobody is sent anywhere."""
    answer = Visitor(house).get(f"{house.url}/launch?{urlencode({'iss': iss, 'launch': 'x'})}")
    assert answer.status_code == 400
    assert "not registered" in answer.text
    assert not answer.headers.get_list("set-cookie")


def test_a_state_comes_back_once(ehr: Ehr, house: House) -> None:
    """A replayed callback is refused, and so is one that nobody began."""
    visitor = Visitor(house)
    back = httpx.get(to_authorize(visitor, ehr, house)).headers["location"]
    assert visitor.get(back).status_code == 303
    again = visitor.get(back)
    assert again.status_code == 400
    assert "used already" in again.text
    assert Visitor(house).get("/callback?code=x&state=never-begun").status_code == 400


def test_a_callback_in_another_browser_signs_nobody_in(ehr: Ehr, house: House) -> None:
    """Somebody else's link makes no session; it offers to begin anew in a window of its own."""
    back = httpx.get(to_authorize(Visitor(house), ehr, house)).headers["location"]
    other = Visitor(house)
    answer = other.get(back)
    assert answer.status_code == 403
    assert "new window" in answer.text
    assert "claimwright" not in other.cookies


def test_a_sign_in_that_took_too_long_is_refused(ehr: Ehr, house: House) -> None:
    """Ten minutes; then the browser begins again."""
    visitor = Visitor(house)
    url = to_authorize(visitor, ehr, house)
    back = httpx.get(url).headers["location"]
    with house.store._sessions.begin() as db:
        late = datetime.now(UTC) - timedelta(minutes=11)
        row = SigningInRow.state == digest(query_of(url)["state"])
        db.execute(update(SigningInRow).where(row).values(created_at=late))
    assert visitor.get(back).status_code == 400


def test_an_expired_or_used_code_signs_nobody_in(ehr: Ehr, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorization server refuses the code, and the page says so."""
    visitor = Visitor(house)
    monkeypatch.setattr(sandbox_authorization, "CODE_SECONDS", -1)
    back = httpx.get(to_authorize(visitor, ehr, house)).headers["location"]
    answer = visitor.get(back)
    assert answer.status_code == 403
    assert "invalid_grant" in answer.text
    assert "claimwright" not in visitor.cookies


def test_a_denied_sign_in_says_so_in_known_words(ehr: Ehr, house: House) -> None:
    """The server's error code if it is one of OAuth's; else nothing of its words."""
    for code, shown in (("access_denied", "access_denied"), ("<script>alert(1)</script>", "refused")):
        visitor = Visitor(house)
        state = query_of(to_authorize(visitor, ehr, house))["state"]
        answer = visitor.get(f"/callback?{urlencode({'state': state, 'error': code})}")
        assert answer.status_code == 400
        assert f"It answered: {shown}." in answer.text
        assert "<script>alert" not in answer.text


def test_the_sandbox_refuses_what_a_real_server_refuses(ehr: Ehr, house: House) -> None:
    """A wrong aud, no PKCE, another redirect, a reused assertion, one that lives too long or is for another URL, too broad a scope."""
    url = to_authorize(Visitor(house), ehr, house)
    asked = query_of(url)
    for change in ({"aud": "https://elsewhere.example"}, {"code_challenge_method": "plain"}, {"state": "short"}):
        back = httpx.get(f"{ehr.issuer}/authorize", params=asked | change).headers["location"]
        assert query_of(back)["error"] == "invalid_request"
    elsewhere = httpx.get(f"{ehr.issuer}/authorize", params=asked | {"redirect_uri": "https://evil.example"})
    assert elsewhere.status_code == 400
    assertion = house.keys.assertion(BACKEND, f"{ehr.issuer}/token", house.settings.ehr.backend.algorithm)  # type: ignore[union-attr]
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Encounter.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    assert httpx.post(f"{ehr.issuer}/token", data=form).status_code == 200
    assert httpx.post(f"{ehr.issuer}/token", data=form).json() == {"error": "invalid_client"}
    algorithm = house.settings.ehr.backend.algorithm  # type: ignore[union-attr]
    wrong = form | {"client_assertion": house.keys.assertion(BACKEND, "https://elsewhere.example/token", algorithm)}
    assert httpx.post(f"{ehr.issuer}/token", data=wrong).status_code == 401
    fresh = {"client_assertion": house.keys.assertion(BACKEND, f"{ehr.issuer}/token", algorithm)}
    broad = httpx.post(f"{ehr.issuer}/token", data=form | fresh | {"scope": "user/Encounter.rs"})
    assert broad.json() == {"error": "invalid_scope"}


def test_work_without_a_person_has_its_own_token(ehr: Ehr, house: House) -> None:
    """Backend Services: a token is got, used, and got anew after the EHR no longer takes it."""
    with house.ehrs.unattended_site("sandbox") as (site, reader):
        assert site.read(VISIT).encounter["id"] == VISIT
        ehr.authorization.grants.clear()
        assert reader.read(VISIT).encounter["id"] == VISIT


def test_a_session_ends_when_nobody_uses_it(ehr: Ehr, house: House) -> None:
    """After the idle time the page shows nothing of the client, and the tokens are gone."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    session = digest(visitor.cookies["claimwright"])
    with house.store._sessions.begin() as db:
        away = datetime.now(UTC) - timedelta(minutes=house.settings.web.idle_minutes, seconds=1)
        db.execute(update(SessionRow).where(SessionRow.id == session).values(seen_at=away))
    answer = visitor.get(str(page.url))
    assert answer.status_code == 401
    assert "Wendell" not in answer.text


def test_a_session_ends_after_a_working_day(house: House) -> None:
    """However busy somebody is, they sign in again."""
    account = house.people.know("test|day", None, "Day")
    cookie = house.people.start(account)
    assert house.people.session(cookie, WebSettings()) is not None
    with house.store._sessions.begin() as db:
        then = datetime.now(UTC) - timedelta(hours=13)
        db.execute(update(SessionRow).where(SessionRow.id == digest(cookie)).values(started_at=then))
    assert house.people.session(cookie, WebSettings()) is None


def test_signing_out_forgets_the_tokens(ehr: Ehr, house: House) -> None:
    """The page is closed at once, and the launch has no token any more."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    session = digest(visitor.cookies["claimwright"])
    (launch, *_) = house.people.launches(session)
    assert house.people.tokens(launch) is not None
    cookies = dict(visitor.cookies)
    visitor.post("/sign-out", {})
    visitor.cookies = cookies  # a browser that kept the cookie all the same
    assert visitor.get(str(page.url)).status_code == 401
    assert house.people.tokens(launch) is None


def test_another_session_cannot_open_a_launch(ehr: Ehr, house: House) -> None:
    """A page's address alone opens nothing, neither for a stranger nor for a colleague who is signed in."""
    page = Visitor(house).launch(ehr, VISIT)
    assert Visitor(house).get(str(page.url)).status_code == 401
    colleague = Visitor(house)
    colleague.launch(ehr, "h0031-complete", "prac-lpc")
    assert colleague.get(str(page.url)).status_code == 404


def test_somebody_else_on_the_same_computer_ends_the_first_session(ehr: Ehr, house: House) -> None:
    """A shared workstation never mixes two people."""
    shared = Visitor(house)
    first = shared.launch(ehr, VISIT)
    shared.launch(ehr, "h0031-complete", "prac-lpc")
    assert shared.get(str(first.url)).status_code == 404


def test_a_form_from_another_site_is_refused(ehr: Ehr, house: House) -> None:
    """Signed in or not: a page elsewhere cannot decide anything here."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    for headers in ({"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "", "Origin": "https://evil.example"}):
        assert visitor.post(f"{page.url}/bill", {}, **headers).status_code == 403


def test_every_page_may_be_framed_by_the_ehr_alone(ehr: Ehr, house: House) -> None:
    """The policy runs no foreign script, names the EHR's origin as the only other ancestor, and nothing is kept by the browser."""
    headers = Visitor(house).get("/sign-in").headers
    policy = headers["content-security-policy"]
    assert f"frame-ancestors 'self' {ehr.url}" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    cookie = Visitor(house).get(f"/launch?{urlencode({'iss': ehr.base, 'launch': 'x'})}").headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned"} <= {p.strip() for p in cookie.split(";")}


def test_the_first_administrator_is_made_once(ehr: Ehr, house: House) -> None:
    """The link gives the role to who signs in with it, ends a session, gives roles, and works only while nobody administers."""
    link = begin_first_admin(house.people, house.url, "provider")
    ada = Visitor(house)
    where = ada.get(link).headers["location"]
    back = httpx.get(f"{ehr.issuer}/authorize", params=query_of(where) | {"person": "staff-ada"}).headers["location"]
    assert ada.follow(back).status_code == 200
    assert ada.get("/admin").status_code == 200

    late = Visitor(house)
    where = late.get(begin_first_admin(house.people, house.url, "provider")).headers["location"]
    back = httpx.get(f"{ehr.issuer}/authorize", params=query_of(where) | {"person": "staff-bo"}).headers["location"]
    late.follow(back)
    assert late.get("/admin").status_code == 403

    clinician = Visitor(house)
    page = clinician.launch(ehr, VISIT, "prac-peer")
    ada.post("/admin/end", {"session": digest(clinician.cookies["claimwright"])})
    assert clinician.get(str(page.url)).status_code == 401

    ada.post("/admin/roles", {"account": "sign-in|staff-bo", "role": ["coder", "supervisor"]})
    assert house.people.account("sign-in|staff-bo").roles == {Role.CODER, Role.SUPERVISOR}  # type: ignore[union-attr]
    alone = ada.post("/admin/roles", {"account": "sign-in|staff-ada", "role": ["coder"]})
    assert alone.status_code == 409
    assert house.people.account("sign-in|staff-ada").may(Role.ADMIN)  # type: ignore[union-attr]


def test_a_clinician_signs_in_outside_a_chart(ehr: Ehr, house: House) -> None:
    """Standalone: no chart, so their own visits that wait, each of which opens."""
    Visitor(house).launch(ehr, VISIT)
    visitor = Visitor(house)
    where = visitor.get("/sign-in/sandbox").headers["location"]
    assert "launch" not in query_of(where)["scope"].split()
    chosen = query_of(where) | {"person": "prac-bachelor"}
    back = httpx.get(f"{ehr.issuer}/authorize", params=chosen).headers["location"]
    page = visitor.follow(back)
    assert "Yours that wait" in page.text
    opened = visitor.post(f"{str(page.url).removesuffix('/visits')}/open", {"encounter": VISIT})
    assert "Wendell Ostrava" in visitor.settled(visitor.follow(opened.headers["location"])).text


def test_a_launch_without_a_visit_offers_the_chart_s(ehr: Ehr, house: House) -> None:
    """Nothing is guessed: the person chooses."""
    visitor = Visitor(house)
    start = httpx.get(
        f"{ehr.url}/chart/{VISIT}/launch?patient-only=1", headers={"Cookie": "sandbox-person=prac-bachelor"}
    )
    page = visitor.follow(start.headers["location"])
    assert "In this chart" in page.text
    assert VISIT in page.text
    assert "g90853-group" not in page.text


def test_a_launch_from_an_open_note_opens_its_visit(ehr: Ehr, house: House) -> None:
    """fhirContext names the note; it is believed only for the launched patient."""
    for patient, opened in ((f"{VISIT}-patient", True), ("h0031-complete-patient", False)):
        handle = ehr.authorization.launch(sandbox_authorization.Launch("prac-bachelor", patient, note=f"{VISIT}-note"))
        visitor = Visitor(house)
        page = visitor.settled(visitor.follow(f"/launch?{urlencode({'iss': ehr.base, 'launch': handle})}"))
        assert ("What the visit supports" in page.text) is opened
        assert ("In this chart" in page.text) is not opened


def test_no_banner_where_the_ehr_shows_its_own(ehr: Ehr, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """need_patient_banner false: the client's name stands in the note, not above it."""
    monkeypatch.setattr(ehr.authorization, "need_patient_banner", False)
    page = Visitor(house).launch(ehr, VISIT)
    assert "Wendell Ostrava</strong>" not in page.text
    monkeypatch.undo()
    assert "Wendell Ostrava</strong>" in Visitor(house).launch(ehr, VISIT).text


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_both_algorithms_prove_us(ehr: Ehr, house: House, algorithm: Algorithm) -> None:
    """The EHR fetches our keys and believes assertions signed with either."""
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Encounter.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": house.keys.assertion(BACKEND, f"{ehr.issuer}/token", algorithm),
    }
    assert httpx.post(f"{ehr.issuer}/token", data=form).status_code == 200


def test_the_command_serves(ehr: Ehr, tmp_path: Path) -> None:
    """`claimwright serve` as a person starts it: it answers, publishes its keys, and ends when asked to."""
    port = server.free_port()
    environment = os.environ | {
        "CLAIMWRIGHT_DATA_DIR": str(tmp_path),
        "CLAIMWRIGHT_WEB__PUBLIC_URL": f"http://localhost:{port}",
        "CLAIMWRIGHT_EHR__BASE_URL": ehr.base,
    }
    command = [str(Path(sys.executable).with_name("claimwright")), "serve"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    keys = httpx.get(f"http://localhost:{port}/.well-known/jwks.json").json()["keys"]
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            assert {k["alg"] for k in keys} == {"ES384", "RS384"}
        finally:
            process.terminate()
        assert f"http://localhost:{port}" in str(process.communicate(timeout=30)[0])


def test_a_refresh_token_is_used_once_and_the_launch_goes_on(ehr: Ehr, house: House) -> None:
    """The EHR no longer takes the access token: it is renewed, and the new refresh token takes the old one's place."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    (launch, *_) = house.people.launches(digest(visitor.cookies["claimwright"]))
    before = house.people.tokens(launch)
    ehr.authorization.grants.clear()
    assert visitor.get(str(page.url)).status_code == 200
    after = house.people.tokens(launch)
    assert before is not None
    assert after is not None
    assert after["refresh"] != before["refresh"]
    ehr.authorization.grants.clear()
    ehr.authorization._refresh.clear()
    ended = visitor.get(str(page.url))
    assert ended.status_code == 401
    assert "open Claimwright again" in ended.text


def test_an_ehr_may_register_us_as_a_public_client(
    ehr: Ehr, house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a key: PKCE alone; the same visit opens."""
    from plugin.web.house import app_client
    from sandbox.ehr import PUBLIC_APP

    settings = house.settings.ehr.model_copy(update={"app": ehr.app(client_id=PUBLIC_APP, public=True)})
    provider, client = house.oauth.of_ehr(settings), app_client(settings)
    handle = ehr.authorization.launch(sandbox_authorization.Launch("prac-bachelor", f"{VISIT}-patient", VISIT))
    from plugin.ehr.oauth import Asked, launch_scope

    asked = Asked.fresh()
    assert settings.app is not None
    url = house.oauth.authorization_url(
        provider,
        client,
        asked,
        f"{house.url}/callback",
        launch_scope(provider, settings.app),
        aud=ehr.base,
        launch=handle,
    )
    code = query_of(httpx.get(url).headers["location"])["code"]
    tokens = house.oauth.exchange(provider, client, code, asked.verifier, f"{house.url}/callback")
    assert tokens.context["encounter"] == VISIT
