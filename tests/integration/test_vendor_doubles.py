"""The vendor doubles themselves: they refuse, page and rewrite as the vendors they stand for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from sandbox.front import JSON
from sandbox.vendors import HABITS, INTERNAL_BASE, Double, double
from tests.scripted import Answer, ScriptedServer

VISIT = "h2014-45-minutes"
PATIENT = f"{VISIT}-patient"


@dataclass
class Running:
    """A double, what calls it, and the requests that reached the server behind it."""

    vendor: Double
    http: httpx.Client
    behind: Double

    def get(self, path: str, **parameters: str) -> httpx.Response:
        return self.http.get(path, params=parameters)


Start = Callable[..., Running]


@pytest.fixture
def start(sandbox_base: str) -> Iterator[Start]:
    """Start a vendor's double in front of the sandbox, with another double between that shows what passes."""
    with ExitStack() as stack:

        def run(vendor: str, *, upstream: str = "", unconfirmed: bool = False) -> Running:
            behind = stack.enter_context(double("hapi", upstream or sandbox_base))
            front = stack.enter_context(double(vendor, behind.base, unconfirmed=unconfirmed))
            http = stack.enter_context(httpx.Client(base_url=front.base, headers={"Accept": JSON}, timeout=30))
            return Running(front, http, behind)

        yield run


def following(page: dict[str, Any]) -> str:
    """The next link of a page, or nothing."""
    return next((str(link["url"]) for link in page["link"] if link["relation"] == "next"), "")


def code(response: httpx.Response) -> str:
    """The issue code of an OperationOutcome."""
    assert response.json()["resourceType"] == "OperationOutcome"
    return str(response.json()["issue"][0]["code"])


@pytest.mark.parametrize("vendor", sorted(HABITS))
def test_metadata_and_smart_configuration(start: Start, vendor: str) -> None:
    """Each double answers its own valid CapabilityStatement and SMART configuration, without asking the server."""
    running = start(vendor)
    statement = running.get("/metadata").json()
    CapabilityStatement.model_validate(statement)
    assert statement["implementation"]["url"] in (running.vendor.base, INTERNAL_BASE)
    smart = running.get("/.well-known/smart-configuration").json()
    assert {"token_endpoint", "grant_types_supported", "code_challenge_methods_supported"} <= smart.keys()
    assert running.behind.requests == []


@pytest.mark.parametrize(
    ("vendor", "method", "path", "status"),
    [
        ("epic", "POST", "/Claim", 405),
        ("epic", "POST", "/Task", 405),
        ("epic", "POST", "", 405),
        ("oracle", "POST", "/Claim", 404),
        ("oracle", "GET", "/PractitionerRole/role-bachelor", 404),
        ("athena", "PUT", f"/Encounter/{VISIT}", 405),
    ],
)
def test_what_is_not_listed_is_refused(start: Start, vendor: str, method: str, path: str, status: int) -> None:
    """An interaction outside the CapabilityStatement is refused and never reaches the server."""
    running = start(vendor)
    answer = running.http.request(method, path, json={"resourceType": "Bundle", "type": "batch"})
    assert (answer.status_code, code(answer)) == (status, "not-supported")
    assert running.behind.requests == []


def test_batch_is_no_way_round(start: Start) -> None:
    """Oracle takes a batch, but not one that holds what it would refuse alone, and no transaction."""
    running = start("oracle")
    read = {"request": {"method": "GET", "url": f"Encounter/{VISIT}"}}
    write = {"request": {"method": "POST", "url": "Claim"}, "resource": {"resourceType": "Claim"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [read]}
    assert running.http.post("", json=bundle).json()["entry"][0]["resource"]["id"] == VISIT
    assert running.http.post("", json=bundle | {"entry": [read, write]}).status_code == 404
    assert running.http.post("", json=bundle | {"type": "transaction"}).status_code == 405


@pytest.mark.parametrize(
    ("vendor", "path", "parameters", "issue"),
    [
        ("oracle", "/Encounter", {"date": "ge2026-01-01T00:00:00Z"}, "required"),
        ("oracle", "/DocumentReference", {"encounter": f"Encounter/{VISIT}"}, "required"),
        ("oracle", "/Encounter", {"patient": PATIENT, "date": "ge2026-01-01T00:00:00Z"}, "invalid"),
        ("athena", "/DocumentReference", {"encounter": f"Encounter/{VISIT}"}, "required"),
        ("athena", "/Encounter", {"cursor": "made-up"}, "invalid"),
        ("epic", "/Encounter", {"patient": PATIENT, "_lastUpdated": "ge2026-01-01"}, "not-supported"),
        ("epic", "/Encounter", {"patient": PATIENT, "date": "sa2026-01-01"}, "invalid"),
        ("epic", "/Claim", {"_id": "1", "encounter": VISIT}, "not-supported"),
        ("epic", "/DocumentReference", {"_id": "1", "_revinclude": "Task:focus"}, "not-supported"),
    ],
)
def test_searches_refused(start: Start, vendor: str, path: str, parameters: dict[str, str], issue: str) -> None:
    """A search without what the vendor demands gets 400, by GET and by POST, and never reaches the server."""
    running = start(vendor)
    for answer in running.get(path, **parameters), running.http.post(f"{path}/_search", data=parameters):
        assert (answer.status_code, code(answer)) == (400, issue)
    assert running.behind.requests == []


def test_oracle_range_and_accept(start: Start) -> None:
    """Oracle takes a form with two bounds that have times, and answers 406 without a body to any other Accept."""
    running = start("oracle")
    bounds = ["ge2026-03-02T00:00:00Z", "lt2026-03-04T00:00:00Z"]
    found = running.http.post("/Encounter/_search", data={"patient": PATIENT, "date": bounds}).json()
    assert [e["fullUrl"] for e in found["entry"]] == [f"{running.vendor.base}/Encounter/{VISIT}"]
    assert running.vendor.requests[0][2] == {"patient": PATIENT, "date": " & ".join(bounds)}
    answer = running.http.get(f"/Encounter/{VISIT}", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.content) == (406, b"")


@pytest.mark.parametrize(("vendor", "parameter"), [("athena", "cursor"), ("oracle", "pageContext"), ("hapi", "")])
def test_pages(start: Start, vendor: str, parameter: str) -> None:
    """Every page is reached over next links that stay on the double; where the vendor does so, by a cursor alone."""
    running = start(vendor)
    everyone = [e["resource"]["id"] for e in start("hapi").get("/Patient", _count="1000").json()["entry"]]
    pages = [running.get("/Encounter", patient=",".join(everyone), _count="7").json()]
    while link := following(pages[-1]):
        assert link.startswith(f"{running.vendor.base}/Encounter?")
        assert not parameter or set(httpx.URL(link).params) == {parameter}
        pages.append(running.http.get(link).json())
    ids = [e["resource"]["id"] for page in pages for e in page["entry"]]
    assert len(ids) == len(set(ids)) == start("hapi").get("/Encounter", _summary="count").json()["total"]


@pytest.mark.parametrize(("vendor", "place"), [("epic", "Binary/"), ("oracle", "{base}/Binary/XR-")])
def test_attachments_are_binaries(start: Start, vendor: str, place: str) -> None:
    """A note's text is a Binary: a resource where FHIR JSON is asked for, else its bytes."""
    running = start(vendor)
    url = running.get(f"/DocumentReference/{VISIT}-note").json()["content"][0]["attachment"]["url"]
    assert url.startswith(place.replace("{base}", running.vendor.base))
    path = f"/Binary/{url.rpartition('/')[2]}"
    resource, raw = running.get(path).json(), running.http.get(path, headers={"Accept": "text/plain"})
    assert raw.headers["content-type"] == resource["contentType"] == "text/plain; charset=utf-8"
    assert raw.content == base64.b64decode(resource["data"])
    assert b"Start time: 2:00 PM" in raw.content


def test_epic_unconfirmed_habits(start: Start, scripted: ScriptedServer) -> None:
    """Habits known only from hearsay are off unless asked for: a cap of 100, forms only, a category for notes."""
    scripted.script(Answer(body={"resourceType": "Bundle", "type": "searchset", "total": 101}))
    assert start("epic", upstream=scripted.base).get("/Encounter").status_code == 200
    strict = start("epic", upstream=scripted.base, unconfirmed=True)
    assert code(strict.get("/Encounter")) == "too-costly"
    assert code(strict.get("/DocumentReference", patient=PATIENT)) == "required"
    strict.http.post("/Encounter/_search", params={"patient": "lost"}, data={"_id": VISIT})
    assert strict.behind.requests[-1][2] == {"_id": VISIT}


def test_hapi_conditional_create(start: Start) -> None:
    """HAPI's double creates a Device once; its Location is on the double."""
    running = start("hapi")
    device = {"resourceType": "Device", "identifier": [{"system": "urn:doubles", "value": "one"}]}
    once = {"If-None-Exist": "identifier=urn:doubles|one"}
    answers = [running.http.post("/Device", json=device, headers=once) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 200]
    assert answers[0].headers["location"].startswith(f"{running.vendor.base}/Device/")


def test_legacy(start: Start) -> None:
    """The legacy double shows an internal host, finishes no visit, and is untidy; an update of that still goes in."""
    running = start("legacy")
    visit = running.get(f"/Encounter/{VISIT}").json()
    assert (visit["status"], visit["class"]["code"], visit["language"]) == ("in-progress", "AMB  ", None)
    assert {"extension", "rowVersion"} <= visit.keys()
    page = running.get("/Encounter", status="in-progress", _count="2").json()
    assert following(page).startswith(f"{INTERNAL_BASE}/Encounter?")
    assert running.get("/Encounter", status="finished").json()["total"] == 0
    assert running.get("/Consent", patient=PATIENT).headers["content-type"].startswith("text/html")
    device = {"resourceType": "Device", "type": {"coding": [{"system": "urn:doubles", "code": "a"}]}}
    made = running.http.post("/Device", json=device)
    assert made.headers["location"].startswith(f"{INTERNAL_BASE}/Device/")
    put = running.http.put(f"/Device/{made.json()['id']}", json=made.json())
    assert (put.status_code, put.json()["type"]["coding"][0]["code"]) == (200, "a  ")
