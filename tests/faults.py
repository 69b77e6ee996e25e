"""A proxy in front of the real FHIR server that answers as servers and networks do on bad days, by a plan and a seed.

    with faulty(base, {Fault.CUT_AFTER: Dose(writes=0.5)}, seed=1) as proxy:
        ...  # talk to proxy.base
        proxy.requests, proxy.injected

The same requests in the same order meet the same faults.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from urllib.parse import urlsplit

import httpx

from sandbox.front import PASSED_BACK, Incoming, Reply, serving
from sandbox.vendors import LOGIN_PAGE

ELSEWHERE = "http://fhir-elsewhere.invalid:8080/fhir"
_PASSED_ON = (
    *("accept", "authorization", "cache-control", "content-type", "if-match", "if-none-exist", "if-none-match"),
    *("prefer", "x-request-id"),
)
_SLOW_SECONDS = 0.05


class Fault(StrEnum):
    """What can happen to a request. Those named "after" reach the server, and what they write is written."""

    TOO_MANY_SECONDS = "429, Retry-After in seconds"
    TOO_MANY_DATE = "429, Retry-After as a date"
    UNAVAILABLE = "503"
    UNAVAILABLE_SECONDS = "503, Retry-After in seconds"
    CUT_BEFORE = "cut before the request arrived"
    CUT_AFTER = "cut after the request was done"
    TORN = "cut amid the answer"
    ERROR_AFTER = "500 after the request was done"
    GATEWAY_AFTER = "502 after the request was done"
    SLOW = "slow answer"
    HANGS = "no answer before the client gives up"
    LATE = "cut, and done only just before the next write"
    ELSEWHERE = "next link or Location on another host"
    LOGIN_PAGE = "200 with a login page"
    TRUNCATED = "200 with half of the JSON"
    EMPTY = "200 without a body"
    FORBIDDEN = "403 for a Claim's create"
    NOT_OFFERED = "405 for a Claim's create"


class Kind(StrEnum):
    """What a request is for."""

    CAPABILITIES = "capabilities"
    READ = "read"
    SEARCH = "search"
    CREATE = "create"
    UPDATE = "update"


WRITES = frozenset({Kind.CREATE, Kind.UPDATE})
_ONLY: dict[Fault, frozenset[Kind]] = {
    Fault.LATE: WRITES,
    Fault.ELSEWHERE: WRITES | {Kind.SEARCH},
    Fault.FORBIDDEN: frozenset({Kind.CREATE}),
    Fault.NOT_OFFERED: frozenset({Kind.CREATE}),
}
_NOT_DONE: dict[Fault, tuple[int, str]] = {  # status and issue code of what is refused at the door
    Fault.TOO_MANY_SECONDS: (429, "throttled"),
    Fault.TOO_MANY_DATE: (429, "throttled"),
    Fault.UNAVAILABLE: (503, "transient"),
    Fault.UNAVAILABLE_SECONDS: (503, "transient"),
    Fault.FORBIDDEN: (403, "forbidden"),
    Fault.NOT_OFFERED: (405, "not-supported"),
}


@dataclass(frozen=True, slots=True)
class Dose:
    """How probable a fault is for a read (searches and capabilities too) and for a write, and how often it comes at most.

    `of` is the one type of resource that it befalls.
    """

    reads: float = 0.0
    writes: float = 0.0
    at_most: int | None = None
    of: str | None = None


Plan = Mapping[Fault, Dose]


class FaultProxy:
    """Counts what came (`requests`) and what it did to it (`injected`)."""

    def __init__(self, upstream: str, plan: Plan, seed: int) -> None:
        self.base = ""
        self.requests: Counter[Kind] = Counter()
        self.injected: Counter[tuple[Fault, Kind]] = Counter()
        self._upstream, self._plan = upstream.rstrip("/"), dict(plan)
        self._path = urlsplit(self._upstream).path
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._held: dict[str, list[Incoming]] = {}  # late writes by resource type
        self._http = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

    @property
    def calls(self) -> int:
        """How many requests came."""
        return sum(self.requests.values())

    def count(self, fault: Fault, *kinds: Kind) -> int:
        """How often a fault was injected, into requests of these kinds or of any."""
        return sum(n for (which, kind), n in self.injected.items() if which is fault and (not kinds or kind in kinds))

    def calm(self) -> None:
        """The storm is over: what is late arrives, and from now on nothing goes wrong."""
        with self._lock:
            self._plan = {}
            held, self._held = self._held, {}
        for kind in held:
            for request in held[kind]:
                self._forward(request)

    def answer(self, request: Incoming) -> Reply | None:
        """The server's answer, or what a fault makes of it; None cuts the connection."""
        kind, resource = _kind(request, self._path)
        with self._lock:
            self.requests[kind] += 1
            fault = self._drawn(kind, resource)
            late = []
            if kind in WRITES:
                late = self._held.pop(resource, [])
                if fault is Fault.LATE:
                    self._held[resource] = [request]
        for each in late:
            self._forward(each)
        return self._with(fault, request, kind)

    def _drawn(self, kind: Kind, resource: str) -> Fault | None:
        """The fault that this request meets, if any: one draw per request, whatever the plan."""
        at = self._random.random()
        for fault, dose in self._plan.items():
            if kind not in _ONLY.get(fault, frozenset(Kind)):
                continue
            if fault in (Fault.FORBIDDEN, Fault.NOT_OFFERED) and resource != "Claim":
                continue
            if dose.of not in (None, resource):
                continue
            if dose.at_most is not None and self.count(fault) >= dose.at_most:
                continue
            at -= dose.writes if kind in WRITES else dose.reads
            if at < 0:
                self.injected[fault, kind] += 1
                return fault
        return None

    def _with(self, fault: Fault | None, request: Incoming, kind: Kind) -> Reply | None:
        if fault in (Fault.CUT_BEFORE, Fault.LATE):
            return None
        if fault is Fault.LOGIN_PAGE:
            return Reply(200, LOGIN_PAGE, content_type="text/html; charset=utf-8")
        if fault in _NOT_DONE:
            return _refusal(fault)
        reply = self._forward(request)
        match fault:
            case Fault.CUT_AFTER:
                return None
            case Fault.HANGS:
                request.wait_until_gone()
                return None
            case Fault.SLOW:
                time.sleep(_SLOW_SECONDS)
            case Fault.TORN:
                reply.torn = True
            case Fault.ERROR_AFTER:
                return Reply(500, b"Internal Server Error", content_type="text/plain")
            case Fault.GATEWAY_AFTER:
                return Reply(502, b"<html>Bad Gateway</html>", content_type="text/html")
            case Fault.TRUNCATED:
                return Reply(200, reply.body[: len(reply.body) // 2])
            case Fault.EMPTY:
                return Reply(200)
            case Fault.ELSEWHERE:
                return self._elsewhere(reply, kind)
        return reply

    def _elsewhere(self, reply: Reply, kind: Kind) -> Reply:
        if kind in WRITES:  # as for `return=minimal`: only the place says what was written
            place = reply.headers.get("location", f"{self.base}/Claim/1")
            return Reply(reply.status, headers={"location": place.replace(self.base, ELSEWHERE)})
        body = json.loads(reply.body)
        links = [link for link in body.get("link", ()) if link.get("relation") != "next"]
        body["link"] = [*links, {"relation": "next", "url": f"{ELSEWHERE}?page=2"}]
        return Reply(reply.status, json.dumps(body).encode())

    def _forward(self, request: Incoming) -> Reply:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = self._upstream.removesuffix(self._path) + request.target
        answer = self._http.request(request.method, url, content=request.body, headers=headers)
        shown = {h: self._shown(answer.headers[h]) for h in PASSED_BACK if h in answer.headers}
        kind = answer.headers.get("content-type", "")
        content = self._shown(answer.text).encode() if "json" in kind else answer.content
        return Reply(answer.status_code, content, shown, kind)

    def _shown(self, text: str) -> str:
        return text.replace(self._upstream, self.base)


def _kind(request: Incoming, base_path: str) -> tuple[Kind, str]:
    """What a request is for, and its resource type."""
    parts = urlsplit(request.target).path.removeprefix(base_path).strip("/").split("/")
    if parts == ["metadata"]:
        return Kind.CAPABILITIES, ""
    if parts[1:] == ["_search"] or (request.method == "GET" and len(parts) == 1):
        return Kind.SEARCH, parts[0]
    return {"POST": Kind.CREATE, "PUT": Kind.UPDATE}.get(request.method, Kind.READ), parts[0]


def _refusal(fault: Fault) -> Reply:
    status, code = _NOT_DONE[fault]
    headers = {}
    if fault in (Fault.TOO_MANY_SECONDS, Fault.UNAVAILABLE_SECONDS):
        headers["retry-after"] = "1"
    if fault is Fault.TOO_MANY_DATE:
        headers["retry-after"] = format_datetime(datetime.now(UTC), usegmt=True)
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
    return Reply(status, json.dumps(outcome).encode(), headers)


@contextmanager
def faulty(upstream: str, plan: Plan, *, seed: int = 1) -> Iterator[FaultProxy]:
    """Run a proxy on loopback in front of the FHIR base `upstream`; its own base is `.base`."""
    proxy = FaultProxy(upstream, plan, seed)
    with serving(proxy.answer) as address:
        proxy.base = address + proxy._path
        try:
            yield proxy
        finally:
            proxy._http.close()
