"""CDS Hooks as the specification has them, played by the EHR: who may call, what a card says, what feedback leaves (fhir 6)."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from plugin import pipeline
from plugin.web.hooks import NOTE_SIGNED
from plugin.web.house import House
from sandbox.ehr import Ehr

READY, HELD = "h0004-30-minutes", "p90834-times-disagree"


@pytest.fixture(scope="module", autouse=True)
def coded(house: House) -> None:
    """Two visits were read before: one has a line, one is held."""
    with house.ehrs.unattended_site("sandbox") as (site, _):
        for visit in (READY, HELD):
            pipeline.code_visit(site, visit)


def call(
    ehr: Ehr, house: House, service: str = "claimwright-patient-view", *, token: str | None = None, **body: Any
) -> httpx.Response:
    """One call, good unless changed."""
    url = f"{house.url}/cds-services/{service}"
    sent = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/prac-lcsw", "patientId": f"{READY}-patient", "encounterId": READY},
    } | body
    headers = {"Authorization": f"Bearer {token or ehr.authorization.hook_token(ehr.url, url)}"}
    return httpx.post(url, json=sent, headers=headers, timeout=30)


def of(visit: str) -> dict[str, str]:
    """The context of a visit."""
    return {"userId": "Practitioner/prac-lcsw", "patientId": f"{visit}-patient", "encounterId": visit}


def test_discovery_names_both_services(ehr: Ehr, house: House) -> None:
    """One for opening a chart, one of our own for a signed note, whose name is in reverse-domain form."""
    url = f"{house.url}/cds-services"
    token = ehr.authorization.hook_token(ehr.url, url)
    found = httpx.get(url, headers={"Authorization": f"Bearer {token}"}).json()["services"]
    assert {s["hook"] for s in found} == {"patient-view", NOTE_SIGNED}
    assert all({"hook", "title", "description", "id", "prefetch"} <= s.keys() for s in found)
    assert "." in NOTE_SIGNED
    assert httpx.get(url).status_code == 401


def test_a_card_says_that_something_waits_and_no_code(ehr: Ehr, house: House) -> None:
    """Short, with a source, a SMART link and reasons to dismiss it; no code, diagnosis, name or word of the note."""
    answer = call(ehr, house)
    assert answer.status_code == 200
    (card,) = answer.json()["cards"]
    assert len(card["summary"]) < 140
    assert card["indicator"] == "info"
    assert card["source"]["label"]
    (link,) = card["links"]
    assert link["type"] == "smart"
    assert link["url"] == f"{house.url}/launch"
    assert set(json.loads(link["appContext"])) == {"card"}
    assert {r["code"] for r in card["overrideReasons"]} == {"not-billable", "later"}
    assert "H0004" not in answer.text
    assert "F1" not in card["summary"] + card["detail"]


def test_a_held_visit_s_card_names_what_to_do(ehr: Ehr, house: House) -> None:
    """It says that the record lacks something, not what would pay."""
    (card,) = call(ehr, house, context=of(HELD)).json()["cards"]
    assert "lacks" in card["summary"]


def test_nothing_to_say_is_an_empty_list(ehr: Ehr, house: House) -> None:
    """A chart without visits of ours, and one where there is nothing to code."""
    assert call(ehr, house, context={"userId": "Practitioner/p", "patientId": "nobody"}).json() == {"cards": []}


def test_the_chart_alone_is_enough(ehr: Ehr, house: House) -> None:
    """encounterId may be left out: the patient's visits are known."""
    (card,) = call(ehr, house, context={"userId": "Practitioner/p", "patientId": f"{READY}-patient"}).json()["cards"]
    assert "wait" in card["summary"]


def waiting(house: House, visit: str) -> bool:
    """Whether a draft of a visit comes within a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if house.store.drafts(encounter_id=visit):
            return True
        time.sleep(0.1)
    return False


def arrived(house: House) -> set[str]:
    """The visits that somebody told us of."""
    return {each.encounter_id for each in house.store.arrivals.all()}


def test_a_signed_note_is_looked_at_by_itself(ehr: Ehr, house: House) -> None:
    """The hook answers at once; the visit is coded behind it, without a person's token."""
    visit = "h2017-rehabilitation"
    encounter = {"resourceType": "Encounter", "id": visit, "subject": {"reference": f"Patient/{visit}-patient"}}
    answer = call(
        ehr, house, "claimwright-note-signed", hook=NOTE_SIGNED, context=of(visit), prefetch={"encounter": encounter}
    )
    assert answer.json() == {"cards": []}
    assert waiting(house, visit)


def test_without_prefetch_the_visit_is_asked_for_with_the_call_s_own_token(ehr: Ehr, house: House) -> None:
    """fhirAuthorization is used for that one question; with a wrong server, or none, nothing is begun."""
    visit = "h0005-sud-group"
    granted = ehr.authorization._access(
        ehr.authorization.clients["claimwright-app"], "user/Encounter.rs", "prac-lcsw", None, seconds=60
    )
    good = {
        "fhirServer": ehr.base,
        "fhirAuthorization": {"access_token": granted["access_token"], "token_type": "Bearer"},
    }
    elsewhere = good | {"fhirServer": "https://elsewhere.example"}
    calls: list[tuple[dict[str, Any], bool]] = [({}, False), (elsewhere, False), (good, True)]
    for more, begun in calls:
        answer = call(ehr, house, "claimwright-note-signed", hook=NOTE_SIGNED, context=of(visit), **more)
        assert answer.json() == {"cards": []}
        known = visit in arrived(house) or bool(house.store.drafts(encounter_id=visit))
        assert known is begun


def test_a_list_of_visits_is_kept_and_worked_off(ehr: Ehr, house: House) -> None:
    """Told by a signed call: good ids are found once, what is no id is named by its place, and nobody else is listened to."""
    url, visit = f"{house.url}/api/visits", "h0038-peer-45-minutes"
    assert httpx.post(url, json={"encounters": [visit]}).status_code == 401
    headers = {"Authorization": f"Bearer {ehr.authorization.hook_token(ehr.url, url)}"}
    answer = httpx.post(url, json={"encounters": [f"Encounter/{visit}", "no id", visit]}, headers=headers)
    assert answer.status_code == 202
    assert answer.json() == {"found": 2, "not_an_id": [1]}
    assert waiting(house, visit)
    headers = {"Authorization": f"Bearer {ehr.authorization.hook_token(ehr.url, url)}"}
    assert httpx.post(url, json={"visits": []}, headers=headers).status_code == 400


def test_a_visit_of_another_patient_begins_nothing(ehr: Ehr, house: House) -> None:
    """The Encounter says whose it is; a context that says otherwise is not believed."""
    visit = "h2010-medication-services"
    encounter = {"resourceType": "Encounter", "id": visit, "subject": {"reference": "Patient/somebody-else"}}
    call(ehr, house, "claimwright-note-signed", hook=NOTE_SIGNED, context=of(visit), prefetch={"encounter": encounter})
    assert visit not in arrived(house)


def forged(ehr: Ehr, house: House, **claims: Any) -> str:
    """The EHR's own token, with other claims."""
    return ehr.authorization.hook_token(ehr.url, f"{house.url}/cds-services/claimwright-patient-view", **claims)


def unsigned(ehr: Ehr, house: House) -> str:
    """Nobody's signature."""
    payload = forged(ehr, house).split(".")[1]
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"hooks"}').rstrip(b"=").decode()
    return f"{header}.{payload}."


def another_key(ehr: Ehr, house: House) -> str:
    """A key of the same name that the EHR never published."""
    now = int(time.time())
    key = ECKey.generate_key("P-384", {"kid": "hooks"}, private=True)
    url = f"{house.url}/cds-services/claimwright-patient-view"
    claims = {"iss": ehr.url, "aud": url, "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex}
    return jwt.encode({"alg": "ES384", "kid": "hooks"}, claims, key, algorithms=["ES384"])


BAD: dict[str, Callable[[Ehr, House], str]] = {
    "no token": lambda _e, _h: "",
    "alg none": unsigned,
    "another key": another_key,
    "another audience": lambda e, h: forged(e, h, aud=f"{h.url}/cds-services"),
    "another issuer": lambda e, h: forged(e, h, iss="https://elsewhere.example"),
    "expired": lambda e, h: forged(e, h, exp=int(time.time()) - 60),
    "no id": lambda e, h: forged(e, h, jti=None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_caller_who_does_not_prove_itself_is_told_nothing(ehr: Ehr, house: House, name: str) -> None:
    """401 and an empty body, whatever is wrong."""
    url = f"{house.url}/cds-services/claimwright-patient-view"
    token = BAD[name](ehr, house)
    answer = httpx.post(url, json={"hook": "patient-view"}, headers={"Authorization": f"Bearer {token}".strip()})
    assert answer.status_code == 401
    assert answer.content == b""


def test_a_token_is_used_once(ehr: Ehr, house: House) -> None:
    """A replayed jti is refused."""
    token = forged(ehr, house)
    assert call(ehr, house, token=token).status_code == 200
    assert call(ehr, house, token=token).status_code == 401


def test_bad_calls_are_answered_with_an_outcome(ehr: Ehr, house: House) -> None:
    """A wrong hook, no context, no such service."""
    assert call(ehr, house, hook="order-sign").status_code == 400
    assert call(ehr, house, context=None).status_code == 412
    assert call(ehr, house, context={"patientId": "not an id"}).status_code == 412
    assert call(ehr, house, "claimwright-note-signed", hook=NOTE_SIGNED, context={"patientId": "p"}).status_code == 412
    answer = call(ehr, house, "nothing-of-ours")
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_feedback_is_a_decision_kept_once(ehr: Ehr, house: House) -> None:
    """Who, what, why and when, as the EHR says; reported twice it stands once, and it changes nothing of the draft."""
    (draft,) = house.store.drafts(encounter_id=READY)
    (card,) = call(ehr, house).json()["cards"]
    url = f"{house.url}/cds-services/claimwright-patient-view/feedback"
    body = {
        "feedback": [
            {
                "card": card["uuid"],
                "outcome": "overridden",
                "overrideReason": {"reason": {"code": "not-billable"}, "userComment": "Wendell was ill"},
                "outcomeTimestamp": "2026-11-20T10:00:00Z",
            }
        ]
    }
    for _ in range(2):
        token = ehr.authorization.hook_token(ehr.url, url)
        assert httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    told = [d for d in house.store.decisions(draft.id) if d.action == "card overridden"]
    assert [(d.person, d.reason) for d in told] == [("Practitioner/prac-lcsw", "not-billable")]
    (after,) = house.store.drafts(encounter_id=READY)
    assert (after.state, after.revision) == (draft.state, draft.revision)


def test_a_launch_from_a_card_opens_its_visit(ehr: Ehr, house: House) -> None:
    """appContext names the card; the visit is taken only if it is the launched patient's."""
    from sandbox.ehr.authorization import Launch
    from tests.visitors import Visitor

    (card,) = call(ehr, house).json()["cards"]
    context = card["links"][0]["appContext"]
    for patient, opened in ((f"{READY}-patient", True), (f"{HELD}-patient", False)):
        handle = ehr.authorization.launch(Launch("prac-lcsw", patient, None, context))
        page = Visitor(house).follow(f"{house.url}/launch?iss={ehr.base}&launch={handle}")
        assert ("What the visit supports" in page.text) is opened


def test_browsers_of_registered_origins_only_may_call(house: House) -> None:
    """CORS answers a preflight for none here, because none is registered."""
    answer = httpx.options(
        f"{house.url}/cds-services/claimwright-patient-view",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in answer.headers
