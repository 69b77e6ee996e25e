"""CDS Hooks: what we say when a chart is opened or a note is signed. Answers come from our store; nothing waits for a model.

A card names no code, diagnosis or word of a note: cards may be logged. Its link carries an opaque id. The caller proves who
it is with a signed token that is used once (fhir 6).
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from datetime import UTC, datetime

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_mappings import systems
from fhir_mappings.views import Json, is_kept_id, objects, reference_of
from plugin.ehr.urls import resolve
from plugin.review.desk import Action
from plugin.review.states import FOR_CLINICIAN, State
from plugin.settings import EhrSettings
from plugin.store.records import Draft
from plugin.web.callers import NotTheCaller, body_of, caller, refusal
from plugin.web.house import House

NOTE_SIGNED = "example.claimwright.note-sign"
_FALLBACK_SECONDS = 0.3
_MOST_BYTES = 1024 * 1024
_OVERRIDES = {"not-billable": "The visit is not billable", "later": "I will do it later"}
_PREFETCH = {"encounter": "Encounter/{{context.encounterId}}"}

SERVICES: list[Json] = [
    {
        "id": "claimwright-patient-view",
        "hook": "patient-view",
        "title": "Claimwright: visits that wait for you",
        "description": "Says that a finished visit of this chart has draft codes to look at, or a note that lacks something.",
        "prefetch": _PREFETCH,
        "usageRequirements": "Answers from visits that were read before; never waits for a model.",
    },
    {
        "id": "claimwright-note-signed",
        "hook": NOTE_SIGNED,
        "title": "Claimwright: a note was signed",
        "description": "Begins to look at the visit whose note was just signed, and says what is known of it.",
        "prefetch": _PREFETCH,
        "usageRequirements": "Send context.patientId, context.encounterId and context.userId.",
    },
]


def discovery(request: Request) -> Response:
    """The services. Where callers are registered, only they are told."""
    house: House = request.app.state.house
    try:
        if any(ehr.hooks.callers for ehr in house.settings.ehrs):
            caller(request, house)
    except NotTheCaller:
        return Response(status_code=401)
    return JSONResponse({"services": SERVICES})


def service(request: Request) -> Response:
    """One call of a hook."""
    house: House = request.app.state.house
    known = next((s for s in SERVICES if s["id"] == request.path_params["service"]), None)
    try:
        ehr = caller(request, house)
    except NotTheCaller:
        return Response(status_code=401)
    body = body_of(request)
    if known is None:
        return refusal(404, "not-found", "no such service")
    if body is None or body.get("hook") != known["hook"] or not body.get("hookInstance"):
        return refusal(400, "invalid", "hook, hookInstance and context are needed, as discovery says")
    said = body.get("context")
    context: Json = said if isinstance(said, dict) else {}
    patient, encounter = _id(context, "patientId"), _id(context, "encounterId")
    if patient is None or (known["hook"] == NOTE_SIGNED and encounter is None):
        return refusal(412, "required", "context.patientId (and encounterId for a signed note) is needed")
    drafts = house.store.drafts_of_patient(ehr.id, patient, encounter)
    if encounter is not None and (known["hook"] == NOTE_SIGNED or not drafts):
        if not drafts and not _is_of_patient(ehr, body, patient, encounter):
            return JSONResponse({"cards": []})
        house.want(ehr.id, encounter, "hook")
    person = reference_of({"reference": context.get("userId")}) or None
    cards = [_card(house, draft, person) for draft in drafts if _speaks(draft)][:1]
    return JSONResponse({"cards": cards})


def feedback(request: Request) -> Response:
    """What became of our cards in the EHR: kept as decisions, once each."""
    house: House = request.app.state.house
    try:
        ehr = caller(request, house)
    except NotTheCaller:
        return Response(status_code=401)
    body = body_of(request)
    if body is None or not isinstance(body.get("feedback"), list):
        return refusal(400, "invalid", "a list named feedback is needed")
    for each in objects(body["feedback"]):
        outcome, card = each.get("outcome"), str(each.get("card"))
        at: datetime | None = None
        with suppress(ValueError):
            said = datetime.fromisoformat(str(each.get("outcomeTimestamp")))
            at = said if said.tzinfo else said.replace(tzinfo=UTC)
        if outcome not in ("accepted", "overridden"):
            continue
        reason = (each.get("overrideReason") or {}).get("reason") or {}
        code = reason.get("code") if reason.get("code") in _OVERRIDES else None
        action = Action.CARD_ACCEPTED if outcome == "accepted" else Action.CARD_OVERRIDDEN
        house.store.card_feedback(ehr.id, card, action.value, code, at)
    return JSONResponse({})


# --- cards ---


def _speaks(draft: Draft) -> bool:
    """Whether there is something for a person to do."""
    return draft.changed_since or draft.state in FOR_CLINICIAN - {State.WITHDRAWN} or draft.has_held


def _card(house: House, draft: Draft, person: str | None) -> Json:
    card_id = str(uuid.uuid4())
    house.store.card(card_id, draft, person)
    outcomes = [v["outcome"] for v in draft.verdicts.get("verdicts", ())]
    ready, held = outcomes.count("ready"), outcomes.count("held")
    if draft.changed_since:
        summary = "The record changed after this visit was accepted: please look again"
    elif ready and not draft.decided:
        summary = f"Draft lines of a visit wait for you: {ready} documented" + (f", {held} held" if held else "")
    else:
        summary = "The record of a visit lacks something: see what"
    day = draft.date_of_service.strftime("%m/%d/%Y") if draft.date_of_service else "a date not known"
    return {
        "uuid": card_id,
        "summary": summary,
        "indicator": "warning" if draft.changed_since else "info",
        "detail": f"From the record of the visit of {day}. Nothing is billed until you accept.",
        "source": {"label": "Claimwright", "url": house.url},
        "overrideReasons": [
            {"system": f"{systems.OURS}/CodeSystem/override", "code": code, "display": words}
            for code, words in _OVERRIDES.items()
        ],
        "links": [
            {
                "label": "Open the visit in Claimwright",
                "url": f"{house.url}/launch",
                "type": "smart",
                "appContext": json.dumps({"card": card_id}),
            }
        ],
    }


def _is_of_patient(ehr: EhrSettings, body: Json, patient: str, encounter: str) -> bool:
    """Whether the visit is that patient's: by the prefetched Encounter, else asked of the EHR with the call's own token.

    That token is used for this one question and kept nowhere. An EHR that does not answer at once is not waited for.
    """
    prefetch = body.get("prefetch")
    found = prefetch.get("encounter") if isinstance(prefetch, dict) else None
    if not isinstance(found, dict) or found.get("resourceType") != "Encounter":
        found = _fetched(ehr, body, encounter)
    return (
        isinstance(found, dict)
        and found.get("id") == encounter
        and reference_of(found.get("subject")) == f"Patient/{patient}"
    )


def _fetched(ehr: EhrSettings, body: Json, encounter: str) -> Json | None:
    granted = body.get("fhirAuthorization")
    token = granted.get("access_token") if isinstance(granted, dict) else None
    if not isinstance(token, str) or str(body.get("fhirServer", "")).rstrip("/") != ehr.base_url.rstrip("/"):
        return None
    try:
        answer = httpx.get(
            resolve(ehr.base_url.rstrip("/"), f"Encounter/{encounter}", ()),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"},
            timeout=_FALLBACK_SECONDS,
        )
        found = answer.json() if answer.status_code == 200 else None
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _id(context: Json, name: str) -> str | None:
    value = str(context.get(name) or "").rpartition("/")[2]
    return value if is_kept_id(value) else None
