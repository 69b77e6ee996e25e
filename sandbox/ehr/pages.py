"""The EHR's pages: a list of patients, a chart with its notes, the app in a frame, signing a note, an addendum, cards."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from plugin.web.app import with_form
from sandbox.ehr.authorization import Launch, OAuthError
from sandbox.ehr.door import Door

if TYPE_CHECKING:
    from sandbox.ehr import Ehr

Json = dict[str, Any]
_PERSON = "sandbox-person"
_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True
)
NOTE_SIGNED = "example.claimwright.note-sign"


class Records:
    """The FHIR server as the EHR's own pages use it: without a door."""

    def __init__(self, upstream: str) -> None:
        self._http = httpx.Client(base_url=upstream, timeout=60, headers={"Accept": "application/fhir+json"})

    def read(self, reference: str) -> Json:
        """One resource."""
        found: Json = self._http.get(f"/{reference}").json()
        return found

    def search(self, kind: str, **parameters: str) -> list[Json]:
        """The first page of a search, a long one."""
        answer = self._http.get(f"/{kind}", params={"_count": "1000"} | parameters).json()
        return [e["resource"] for e in answer.get("entry", ()) if e["resource"]["resourceType"] == kind]

    def put(self, resource: Json) -> None:
        """Store a resource as it is now."""
        url = f"/{resource['resourceType']}/{resource['id']}"
        self._http.put(url, json=resource).raise_for_status()


def build(ehr: Ehr) -> Starlette:
    """The EHR as one application."""
    records, authorization = Records(ehr.upstream), ehr.authorization
    door = Door(ehr.upstream, ehr.base, authorization)

    # --- the chart ---

    def front(request: Request) -> Response:
        patients = {p["id"]: _name(p) for p in records.search("Patient")}
        visits = sorted(
            records.search("Encounter"), key=lambda e: str((e.get("period") or {}).get("start")), reverse=True
        )
        rows = [
            (e["id"], patients.get(str((e.get("subject") or {}).get("reference", "")).removeprefix("Patient/"), "?"), e)
            for e in visits
        ]
        return _page("front.html", rows=rows, people=_people(records), person=_person(request))

    def be(request: Request) -> Response:
        answer = RedirectResponse(request.headers.get("referer", "/"), status_code=303)
        answer.set_cookie(_PERSON, str(request.state.form.get("person")))
        return answer

    def chart(request: Request) -> Response:
        encounter = records.read(f"Encounter/{request.path_params['encounter']}")
        patient = records.read(encounter["subject"]["reference"])
        notes = _notes(records, encounter["id"])
        hook = {"hook": "patient-view", "context": _context(request, encounter)}
        return _page(
            "chart.html",
            encounter=encounter,
            patient=_name(patient),
            born=patient.get("birthDate", ""),
            notes=[(n, _text(records, n)) for n in notes],
            person=_person(request),
            people=_people(records),
            cards=_cards(ehr, "claimwright-patient-view", hook),
            open=request.query_params.get("open") == "1",
        )

    def sign(request: Request) -> Response:
        encounter = records.read(f"Encounter/{request.path_params['encounter']}")
        for note in _notes(records, encounter["id"]):
            if note.get("docStatus") == "preliminary":
                signed = {"docStatus": "final", "authenticator": {"reference": f"Practitioner/{_person(request)}"}}
                records.put(note | signed | {"date": _now()})
        if encounter["status"] != "finished":
            records.put(encounter | {"status": "finished"})
        _cards(ehr, "claimwright-note-signed", {"hook": NOTE_SIGNED, "context": _context(request, encounter)})
        return RedirectResponse(f"/chart/{encounter['id']}", status_code=303)

    def addendum(request: Request) -> Response:
        encounter = records.read(f"Encounter/{request.path_params['encounter']}")
        base = next(n for n in _notes(records, encounter["id"]) if not n.get("relatesTo"))
        text = str(request.state.form.get("text", ""))
        person = {"reference": f"Practitioner/{_person(request)}"}
        name = dict(_people(records)).get(_person(request), "")
        data = base64.b64encode(f"ADDENDUM\n{text}\n\nElectronically signed by {name}\n".encode()).decode()
        records.put(
            {k: base[k] for k in ("resourceType", "status", "type", "category", "subject", "context") if k in base}
            | {
                "id": f"{encounter['id']}-addendum-{uuid.uuid4().hex[:6]}",
                "docStatus": "final",
                "date": _now(),
                "author": [person],
                "authenticator": person,
                "relatesTo": [{"code": "appends", "target": {"reference": f"DocumentReference/{base['id']}"}}],
                "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": data}}],
            }
        )
        _cards(ehr, "claimwright-note-signed", {"hook": NOTE_SIGNED, "context": _context(request, encounter)})
        return RedirectResponse(f"/chart/{encounter['id']}?open=1", status_code=303)

    def launch(request: Request) -> Response:
        encounter = records.read(f"Encounter/{request.path_params['encounter']}")
        patient = encounter["subject"]["reference"].removeprefix("Patient/")
        context = request.query_params.get("appContext")
        shown = None if request.query_params.get("patient-only") else encounter["id"]
        handle = authorization.launch(Launch(_person(request), patient, shown, context))
        return RedirectResponse(f"{ehr.app_url}/launch?{urlencode({'iss': ehr.base, 'launch': handle})}")

    # --- signing in ---

    def authorize(request: Request) -> Response:
        query = dict(request.query_params)
        try:
            back = authorization.authorize(query, query.pop("person", None))
        except OAuthError as problem:
            return HTMLResponse(f"<h1>{problem.code}</h1>", status_code=problem.status)
        if back is not None:
            return RedirectResponse(back)
        staff = query.get("client_id") == "claimwright-staff"
        people = list(authorization.staff.items()) if staff else _people(records)
        return _page("who.html", query=query, people=people)

    def token(request: Request) -> Response:
        try:
            return JSONResponse(
                authorization.token({k: str(v) for k, v in request.state.form.items()}, f"{ehr.issuer}/token")
            )
        except OAuthError as problem:
            return JSONResponse({"error": problem.code}, status_code=problem.status)

    async def fhir(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(door.answer, request, body)

    return Starlette(
        routes=[
            Route("/", front),
            Route("/be", with_form(be), methods=["POST"]),
            Route("/chart/{encounter}", chart),
            Route("/chart/{encounter}/sign", with_form(sign), methods=["POST"]),
            Route("/chart/{encounter}/addendum", with_form(addendum), methods=["POST"]),
            Route("/chart/{encounter}/launch", launch),
            Route("/auth/authorize", authorize),
            Route("/auth/token", with_form(token), methods=["POST"]),
            Route("/auth/jwks", lambda _: JSONResponse(authorization.jwks())),
            Route(
                "/auth/.well-known/openid-configuration", lambda _: JSONResponse(authorization.openid_configuration())
            ),
            Route("/fhir/{path:path}", fhir, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(_templates.get_template(template).render(**values))


def _person(request: Request) -> str:
    return request.cookies.get(_PERSON, "prac-lcsw")


def _people(records: Records) -> list[tuple[str, str]]:
    return sorted(((p["id"], _name(p)) for p in records.search("Practitioner")), key=lambda p: p[1])


def _name(resource: Json) -> str:
    name = (resource.get("name") or [{}])[0]
    return " ".join([*(name.get("given") or ()), name.get("family", "")])


def _notes(records: Records, encounter: str) -> list[Json]:
    found = records.search("DocumentReference", encounter=f"Encounter/{encounter}")
    return sorted(found, key=lambda n: (bool(n.get("relatesTo")), str(n.get("date"))))


def _text(records: Records, note: Json) -> str:
    """The note's words where they are plain; other formats are named."""
    attachment = note["content"][0]["attachment"]
    if not attachment.get("contentType", "").startswith("text/plain"):
        return f"({attachment.get('contentType', 'a file')})"
    held = attachment if "data" in attachment else records.read(str(attachment.get("url")))
    return base64.b64decode(held.get("data", "")).decode("utf-8", "replace")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _context(request: Request, encounter: Json) -> Json:
    return {
        "userId": f"Practitioner/{_person(request)}",
        "patientId": encounter["subject"]["reference"].removeprefix("Patient/"),
        "encounterId": encounter["id"],
        "encounter": encounter,
    }


def _cards(ehr: Ehr, service: str, hook: Json) -> list[Json]:
    """The cards of one call; an app that does not answer in time has none."""
    url = f"{ehr.app_url}/cds-services/{service}"
    encounter = hook["context"].pop("encounter")
    body = hook | {"hookInstance": str(uuid.uuid4()), "fhirServer": ehr.base, "prefetch": {"encounter": encounter}}
    token = ehr.authorization.hook_token(ehr.url, url)
    try:
        answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=1.0)
        cards: list[Json] = answer.json()["cards"] if answer.status_code == 200 else []
    except (httpx.HTTPError, json.JSONDecodeError, KeyError):
        return []
    for card in cards:
        for link in card.get("links", ()):
            link["query"] = urlencode({"appContext": link.get("appContext", ""), "patient-only": "1"})
    return cards
