"""Doubles of the big EHRs: each stands in front of the sandbox's FHIR server and behaves as that vendor's does.

What a vendor lists is data (`<vendor>.metadata.json`, `<vendor>.smart.json`) and enforced here; what it does beyond
its lists is in `HABITS`. Habits known only from a third party's summary are in `UNCONFIRMED` and off unless asked for.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from fhir_mappings.views import Json, objects
from sandbox.front import JSON, PASSED_BACK, Incoming, Reply, serving

INTERNAL_BASE = "http://fhir-internal:8080/fhir"
LOGIN_PAGE = b"<!doctype html><html><title>Sign in</title><form>User <input> Password <input></form></html>"
VENDOR_EXTENSION = "https://legacy.example.com/fhir/StructureDefinition/record-state"
_DATA = Path(__file__).parent
_PASSED_ON = ("authorization", "cache-control", "content-type", "if-match", "if-none-match", "prefer", "x-request-id")
_ABOUT_THE_ANSWER = {"_count", "_format", "_sort", "_summary", "_elements", "_total"}
_INCLUDES = {"_include": "searchInclude", "_revinclude": "searchRevInclude"}
_RANGES = ("date", "period", "_lastUpdated")


@dataclass(frozen=True, slots=True)
class Habits:
    """What a vendor does beyond what its CapabilityStatement says."""

    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by type: a search must name one of these
    listed_parameters_only: bool = True
    closed_ranges: bool = False  # a date needs a lower and an upper bound, each with a time
    date_prefixes_refused: tuple[str, ...] = ()
    json_only: bool = False  # any other Accept: 406 and an empty body
    cursor: str = ""  # the one parameter of next links
    binary_url: str = ""  # attachments are not inline, but here
    raw_binary: bool = False  # a Binary's bytes unless FHIR JSON is asked for
    internal_base: str = ""  # what links and Location show instead of the address that was called
    never_finished: bool = False
    untidy: bool = False  # padded codes, nulls, vendor extensions, unknown fields
    login_page: tuple[str, ...] = ()  # types that answer 200 with HTML
    most_results: int | None = None  # more are an error, not a page
    form_only: bool = False  # `_search` does not look at the query string


HABITS = {
    "epic": Habits(
        needs={"Claim": ("_id",)},
        date_prefixes_refused=("ne", "sa", "eb", "ap"),
        binary_url="Binary/",
        raw_binary=True,
    ),
    "oracle": Habits(
        needs={
            "Encounter": ("_id", "patient", "subject", "account", "identifier"),
            "DocumentReference": ("_id", "patient"),
            "Coverage": ("_id", "patient"),
            "Condition": ("_id", "patient"),
        },
        closed_ranges=True,
        json_only=True,
        cursor="pageContext",
        binary_url="{base}/Binary/XR-",
        raw_binary=True,
    ),
    "athena": Habits(
        needs={"Encounter": ("_id", "patient"), "DocumentReference": ("_id", "patient"), "Coverage": ("patient",)},
        cursor="cursor",
    ),
    "hapi": Habits(listed_parameters_only=False),
    "legacy": Habits(
        listed_parameters_only=False,
        internal_base=INTERNAL_BASE,
        never_finished=True,
        untidy=True,
        login_page=("Consent",),
    ),
}
UNCONFIRMED = {
    "epic": replace(
        HABITS["epic"],
        needs={"Claim": ("_id",), "DocumentReference": ("_id", "category", "encounter")},
        most_results=100,
        form_only=True,
    )
}


class Refused(Exception):
    """A request that the vendor does not take; `code` is the OperationOutcome's."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


@dataclass
class Call:
    """One request; `parts` is its path below the base, `pairs` the query and a search's form."""

    method: str
    parts: list[str]
    pairs: list[tuple[str, str]]
    headers: Message
    body: bytes = b""

    @property
    def kind(self) -> str:
        """The resource type, or nothing for the base itself."""
        return self.parts[0] if self.parts else ""

    @property
    def is_search(self) -> bool:
        return (self.method, len(self.parts)) == ("GET", 1) or self.parts[1:] == ["_search"]


class Double:
    """One vendor's double. `requests` are those that came: method, path below the base, query and form."""

    def __init__(self, vendor: str, upstream: str, habits: Habits) -> None:
        self.base = ""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._upstream, self._habits = upstream.rstrip("/"), habits
        self._metadata, self._smart = (
            (_DATA / f"{vendor}.{name}.json").read_text("utf-8").replace("{base}", self._upstream)
            for name in ("metadata", "smart")
        )
        self._rest: Json = json.loads(self._metadata)["rest"][0]
        self._types = {str(r["type"]): r for r in objects(self._rest["resource"])}
        self._pages: dict[str, str] = {}  # what a cursor stands for
        self._binaries: dict[str, Json] = {}
        self._http = httpx.Client(timeout=60)

    def answer(self, call: Call) -> Reply:
        """What the vendor answers."""
        wants_fhir = JSON in call.headers.get("accept", "")
        if call.parts == [".well-known", "smart-configuration"]:
            return Reply(200, self._shown(self._smart), content_type="application/json")
        if self._habits.json_only and not wants_fhir and call.kind != "Binary":
            return Reply(406)
        if call.parts == ["metadata"]:
            return Reply(200, self._shown(self._metadata))
        if call.kind in self._habits.login_page:
            return Reply(200, LOGIN_PAGE, content_type="text/html; charset=utf-8")
        try:
            self._check(call)
            answer = self._stored(call) or self._forward(call)
        except Refused as refused:
            issue = {"severity": "error", "code": refused.code, "diagnostics": str(refused)}
            outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
            return Reply(refused.status, json.dumps(outcome).encode())
        if call.kind == "Binary" and self._habits.raw_binary and not wants_fhir and answer.status == 200:
            binary = json.loads(answer.body)
            return Reply(200, base64.b64decode(binary.get("data", "")), content_type=binary["contentType"])
        return answer

    # --- what is refused ---

    def _check(self, call: Call) -> None:
        """Refuse what the CapabilityStatement does not list; of a Bundle, if any entry is so."""
        kind, code = call.kind, _interaction(call.method, call.parts)
        if not kind and call.method == "POST":
            listed, code = self._rest, self._check_bundle(call)
        elif kind not in self._types:
            raise Refused(404, "not-supported", f"no such resource type here: {kind}")
        else:
            listed = self._types[kind]
        offered = {str(i["code"]) for i in objects(listed.get("interaction"))}
        offered |= {f"${o['name']}" for o in objects(listed.get("operation"))}
        if code not in offered:
            raise Refused(405, "not-supported", f"not offered: {call.method} {'/'.join(call.parts)}")
        if call.is_search and not (self._habits.cursor and self._habits.cursor in dict(call.pairs)):
            self._check_search(kind, call.pairs)

    def _check_bundle(self, call: Call) -> str:
        """Check each entry as if it came alone; the Bundle's type is the interaction."""
        try:
            bundle = json.loads(call.body)
            wanted = [(e["request"]["method"], urlsplit(e["request"]["url"])) for e in bundle.get("entry", ())]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(400, "structure", "no Bundle of requests") from None
        for method, url in wanted:
            self._check(Call(method, url.path.split("/"), parse_qsl(url.query), call.headers))
        return str(bundle.get("type"))

    def _check_search(self, kind: str, pairs: list[tuple[str, str]]) -> None:
        """Refuse a search that lacks what this vendor demands."""
        habits, listed = self._habits, self._types[kind]
        named: dict[str, list[str]] = {}
        for name, value in pairs:
            named.setdefault(name.partition(":")[0].partition(".")[0], []).append(value)
        needs = habits.needs.get(kind, ())
        if needs and not named.keys() & set(needs):
            raise Refused(400, "required", f"a search of {kind} needs one of: {', '.join(needs)}")
        if habits.listed_parameters_only:
            known = {str(p["name"]) for p in objects(listed.get("searchParam"))} | _ABOUT_THE_ANSWER
            for name in named.keys() - known:
                values = listed.get(_INCLUDES.get(name, ""), ())
                if "*" not in values and not set(named[name]) <= set(values):
                    raise Refused(400, "not-supported", f"no search of {kind} by {name}")
        for name in named.keys() & set(_RANGES):
            values = named[name]
            if any(v.startswith(habits.date_prefixes_refused) for v in values):
                raise Refused(400, "invalid", f"{name}: only eq, lt, le, gt and ge")
            closed = all(any(v.startswith(bounds) for v in values) for bounds in (("ge", "gt"), ("le", "lt")))
            if habits.closed_ranges and not (closed and all("T" in v for v in values)):
                raise Refused(400, "invalid", f"{name}: a closed range with times is needed")

    # --- what is answered ---

    def _stored(self, call: Call) -> Reply | None:
        """An attachment that this double moved out of a note."""
        binary = self._binaries.get(call.parts[1]) if call.parts[:1] == ["Binary"] and len(call.parts) == 2 else None
        return None if binary is None else Reply(200, json.dumps(binary).encode())

    def _forward(self, call: Call) -> Reply:
        """The real server's answer, made to look like the vendor's."""
        headers = {name: call.headers[name] for name in _PASSED_ON if name in call.headers} | {"Accept": JSON}
        if self._types.get(call.kind, {}).get("conditionalCreate") and "if-none-exist" in call.headers:
            headers["If-None-Exist"] = call.headers["if-none-exist"]
        cursor = dict(call.pairs).get(self._habits.cursor) if call.is_search and self._habits.cursor else None
        if cursor is not None and cursor not in self._pages:
            raise Refused(400, "invalid", "the cursor is not known")
        url, pairs, method, content = "/".join([self._upstream, *call.parts]), call.pairs, call.method, call.body
        if call.is_search:  # by GET, also where it came by POST: the real server answers both alike
            url, method, content = f"{self._upstream}/{call.kind}", "GET", b""
            if self._habits.never_finished and call.kind == "Encounter":
                pairs = _as_stored(pairs)
        elif self._habits.untidy and method == "PUT":
            content = json.dumps(_tidied(json.loads(content))).encode()
        target = httpx.URL(self._pages[cursor]) if cursor else httpx.URL(url, params=pairs)
        response = self._http.request(method, target, content=content, headers=headers)
        shown = {h: self._shown(response.headers[h]).decode() for h in PASSED_BACK if h in response.headers}
        if "json" not in response.headers.get("content-type", "") or not response.content:
            return Reply(response.status_code, response.content, shown, response.headers.get("content-type", JSON))
        body = json.loads(self._shown(response.text))
        most = self._habits.most_results
        if call.is_search and most is not None and body.get("total", 0) > most:
            raise Refused(400, "too-costly", f"more than {most} results")
        self._reshape(body)
        return Reply(response.status_code, json.dumps(body).encode(), shown)

    def _shown(self, text: str) -> bytes:
        """With this double's base (or the internal one) in place of the real server's."""
        return text.replace(self._upstream, self._habits.internal_base or self.base).encode()

    def _reshape(self, body: Json) -> None:
        if body.get("resourceType") == "Bundle":
            if self._habits.cursor:
                self._hide_pages(body)
            for entry in objects(body.get("entry")):
                self._reshape(entry.get("resource") or {})
            return
        if body.get("resourceType") == "DocumentReference" and self._habits.binary_url:
            for content in objects(body.get("content")):
                self._move_out(content.get("attachment") or {})
        if body.get("resourceType") == "Encounter" and self._habits.never_finished:
            body["status"] = "in-progress" if body.get("status") == "finished" else body.get("status")
        if self._habits.untidy and body.get("resourceType") not in (None, "OperationOutcome"):
            _pad(body)
            extension = {"url": VENDOR_EXTENSION, "valueString": "archived"}
            body.update(rowVersion=7, extension=[*body.get("extension", ()), extension])
            body.setdefault("language", None)

    def _hide_pages(self, bundle: Json) -> None:
        """Keep self and next; next becomes an opaque cursor."""
        links = [link for link in objects(bundle.get("link")) if link["relation"] in ("self", "next")]
        for link in (link for link in links if link["relation"] == "next"):
            real = str(link["url"]).replace(self.base, self._upstream)
            cursor = hashlib.sha256(real.encode()).hexdigest()[:24]
            self._pages[cursor] = real
            place = urlsplit(str(link["url"]))
            link["url"] = f"{place.scheme}://{place.netloc}{place.path}?{self._habits.cursor}={cursor}"
        bundle["link"] = links

    def _move_out(self, attachment: Json) -> None:
        """Inline data becomes a Binary of its own, with a URL as this vendor writes it."""
        data = attachment.pop("data", None)
        if data is None:
            return
        kind = attachment.get("contentType", "application/octet-stream")
        url = self._habits.binary_url.replace("{base}", self.base)
        url += hashlib.sha256(f"{kind} {data}".encode()).hexdigest()[:40]
        name = url.rpartition("/")[2]
        self._binaries[name] = {"resourceType": "Binary", "id": name, "contentType": kind, "data": data}
        attachment["url"] = url


def _interaction(method: str, parts: list[str]) -> str:
    """FHIR's name of an interaction; an operation with its `$`."""
    if parts and parts[-1].startswith("$"):
        return parts[-1]
    match method, parts[1:]:
        case ("GET", []) | ("POST", ["_search"]):
            return "search-type"
        case "POST", []:
            return "create"
        case "GET", [_, "_history"]:
            return "history-instance"
        case "GET", [_, "_history", _]:
            return "vread"
        case _, [_]:
            return {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, "")
    return ""


def _as_stored(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A search by status, for the statuses that the visits really have: none is finished, many are in progress."""
    real = {"finished": "unknown-here", "in-progress": "in-progress,finished"}
    return [(n, ",".join(real.get(s, s) for s in v.split(","))) if n == "status" else (n, v) for n, v in pairs]


def _pad(value: Any) -> None:
    """Trailing blanks on the code of every Coding, as fixed-width columns leave them."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _pad(each)
    if isinstance(value, dict) and "system" in value and isinstance(value.get("code"), str):
        value["code"] += "  "


def _tidied(value: Any) -> Any:
    """An update of an untidy answer, as the strict server behind takes it. Creates get no such help."""
    if isinstance(value, list):
        return [_tidied(v) for v in value if not (isinstance(v, dict) and v.get("url") == VENDOR_EXTENSION)]
    if not isinstance(value, dict):
        return value
    kept = {k: _tidied(v) for k, v in value.items() if k != "rowVersion" and v is not None}
    if "system" in kept and isinstance(kept.get("code"), str):
        kept["code"] = kept["code"].rstrip()
    return {k: v for k, v in kept.items() if v != []}


@contextmanager
def double(vendor: str, upstream: str, *, unconfirmed: bool = False) -> Iterator[Double]:
    """Run a vendor's double on loopback in front of the FHIR server at `upstream`; its address is `.base`.

    With `unconfirmed` it also has the habits that are known only from a third party's summary.
    """
    habits = UNCONFIRMED.get(vendor, HABITS[vendor]) if unconfirmed else HABITS[vendor]
    running = Double(vendor, upstream, habits)

    def answer(request: Incoming) -> Reply:
        target, body = urlsplit(request.target), request.body
        inside, path = f"{target.path}/".startswith("/fhir/"), target.path.removeprefix("/fhir")
        parts = [unquote(p) for p in path.split("/") if p]
        query = parse_qsl(target.query, keep_blank_values=True)
        if parts[1:] == ["_search"]:
            kept = [(n, v) for n, v in query if n == "_format"] if habits.form_only else query
            query, body = kept + parse_qsl(body.decode(), keep_blank_values=True), b""
        named: dict[str, str] = {}
        for name, value in query:
            named[name] = f"{named[name]} & {value}" if name in named else value
        running.requests.append((request.method, path, named))
        return running.answer(Call(request.method, parts, query, request.headers, body)) if inside else Reply(404)

    with serving(answer) as address:
        running.base = f"{address}/fhir"
        try:
            yield running
        finally:
            running._http.close()
