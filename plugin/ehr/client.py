"""The HTTP client of one EHR: FHIR R4 JSON over httpx, retries by tenacity within a total time budget.

Reads are retried on 429, 5xx and lost connections, honouring Retry-After. A write whose answer is lost is never
repeated here: it raises `OutcomeUnknown`, and the caller reconciles by identifier first.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from fhir_mappings.views import Json, UnusableResource, cleaned, is_elsewhere, is_id, is_type, objects
from plugin.ehr import errors
from plugin.ehr.tokens import Bearer, FixedToken, TokenSource
from plugin.ehr.urls import resolve
from plugin.settings import EhrSettings, Limits

JSON = "application/fhir+json"
Parameters = Mapping[str, str | list[str]]
"""Search parameters; a list repeats the parameter, which all of its values must match."""

_RETRIED = {429, 500, 502, 503, 504}
_ATTEMPTS = 5


class _Again(Exception):
    """An answer worth waiting for; `after` are the seconds that the server asks for, `failure` what it becomes."""

    def __init__(self, failure: errors.EhrError, after: float | None) -> None:
        super().__init__(str(failure))
        self.failure, self.after = failure, after


class FhirClient:
    """Calls one FHIR base and nothing else. Use it as a context manager."""

    def __init__(
        self,
        settings: EhrSettings,
        limits: Limits,
        *,
        tokens: TokenSource | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base = settings.base_url.rstrip("/")
        self._trusted = tuple(sorted(settings.trusted_bases))
        self._limits = limits
        self._sleep = sleep
        fixed = settings.bearer_token.get_secret_value() if settings.bearer_token else None
        self._http = httpx.Client(
            headers={"Accept": JSON, "User-Agent": "claimwright/0.1"},
            auth=Bearer(tokens or FixedToken(fixed)),
            timeout=httpx.Timeout(limits.request_seconds, connect=5.0),
            # shorter than servers keep idle connections (often 5 s): a write on one just closed has an unknown outcome
            limits=httpx.Limits(keepalive_expiry=1.5),
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _resolve(self, url: str, what: str) -> str:
        try:
            resolved = resolve(self.base, url, self._trusted)
            httpx.URL(resolved)
        except errors.UnsafeUrl as problem:
            raise errors.UnsafeUrl(f"{what}: {problem}") from None
        except httpx.InvalidURL:
            raise errors.UnsafeUrl(f"{what}: a link is no URL; it was not followed") from None
        return resolved

    # --- reading ---

    def capabilities(self) -> Json:
        """The server's CapabilityStatement."""
        what = "CapabilityStatement"
        return self._object("GET", self._resolve("metadata", what), what=what)[0]

    def smart_configuration(self) -> dict[str, Any]:
        """The server's `.well-known/smart-configuration`: how an app signs in there.

        Raises:
            EhrError: it has none, or it is no JSON object.
        """
        what = "smart-configuration"
        response = self._send("GET", self._resolve(".well-known/smart-configuration", what), what=what)
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise errors.NotFhir(f"{what}: the answer is no JSON object")
        return body

    def read(self, kind: str, logical_id: str) -> Json:
        """One resource by id.

        Raises:
            EhrError: see `plugin.ehr.errors`.
        """
        return self._read(kind, logical_id)[0]

    def read_with_etag(self, kind: str, logical_id: str) -> tuple[Json, str | None]:
        """One resource and the ETag to update it with."""
        body, response = self._read(kind, logical_id, fresh=True)
        return body, _etag(response, body)

    def _read(self, kind: str, logical_id: str, *, fresh: bool = False) -> tuple[Json, httpx.Response]:
        """The resource asked for and no other: another Patient's names would leave the client's own unmasked."""
        if not is_type(kind) or not is_id(logical_id):
            raise errors.NotFound(
                f"{kind if is_type(kind) else 'resource'}: the reference holds no type and logical id"
            )
        what = f"{kind}/{logical_id}"
        body, response = self._object("GET", self._resolve(what, what), what=what, fresh=fresh)
        if body["resourceType"] != kind or body.get("id") != logical_id:  # an OperationOutcome with status 200, for one
            raise errors.NotFhir(f"{what}: the EHR answered with another resource; report it to its administrator")
        return body, response

    def search(self, kind: str, parameters: Parameters, *, fresh: bool = False) -> Iterator[Json]:
        """All matches of a search over all pages, each once, newest version; entries of other types are left out.

        Parameters go in a POST body, so that no patient data stands in a URL or a proxy's log.
        """
        seen: dict[str, Json] = {}
        for resource in self._matches(kind, parameters, fresh=fresh, most_pages=self._limits.pages):
            seen[str(resource.get("id"))] = resource
            if len(seen) > self._limits.resources:
                raise errors.TooMuch(f"search {kind}: more than {self._limits.resources} resources")
        yield from seen.values()

    def stream(self, kind: str, parameters: Parameters) -> Iterator[Json]:
        """The matches of a search as its pages come, for searches of any length: ten times as many pages as `search` takes.

        Raises:
            TooMuch: there are more pages; what came before it counts.
        """
        yield from self._matches(kind, parameters, fresh=True, most_pages=10 * self._limits.pages)

    def _matches(self, kind: str, parameters: Parameters, *, fresh: bool, most_pages: int) -> Iterator[Json]:
        for page in self._pages(kind, parameters, fresh=fresh, most=most_pages):
            for entry in objects(page.get("entry")):
                resource = entry.get("resource")
                _refuse_incomplete(resource, kind)
                if isinstance(resource, dict) and resource.get("resourceType") == kind:
                    yield resource

    def _pages(self, kind: str, parameters: Parameters, *, fresh: bool, most: int) -> Iterator[Json]:
        url = self._resolve(f"{kind}/_search", f"search {kind}")
        try:
            page, _ = self._object("POST", url, what=f"search {kind}", form=parameters, fresh=fresh, safe=True)
        except (errors.NotOffered, errors.NotFound):  # no POST search here
            url = self._resolve(kind, f"search {kind}")
            page, _ = self._object("GET", url, what=f"search {kind}", query=parameters, fresh=fresh)
        followed = {url}
        for _ in range(most):
            _refuse_incomplete(page, kind)
            if page.get("resourceType") != "Bundle":
                raise errors.NotFhir(f"search {kind}: the answer is no Bundle")
            yield page
            following = next(
                (link.get("url") for link in objects(page.get("link")) if link.get("relation") == "next"), None
            )
            if not following:
                return
            url = self._resolve(str(following), f"search {kind}")
            if url in followed:
                raise errors.TooMuch(f"search {kind}: the server's next links run in a circle")
            followed.add(url)
            page, _ = self._object("GET", url, what=f"search {kind}", fresh=fresh)
        raise errors.TooMuch(f"search {kind}: more than {most} pages")

    def fetch(self, url: str) -> tuple[str, bytes]:
        """The media type and bytes of an attachment's URL, a Binary resource unpacked by the caller."""
        response = self._send("GET", self._resolve(url, "attachment"), what="attachment")
        return response.headers.get("content-type", ""), response.content

    # --- writing ---

    def create(self, resource: Json, *, if_none_exist: str | None = None) -> tuple[Json, str | None]:
        """Create a resource; with `if_none_exist` (a query) only if none matches, else the one that does.

        Returns the resource as the server holds it and its ETag.
        """
        kind = resource["resourceType"]
        headers = {"Prefer": "return=representation"}
        if if_none_exist:
            headers["If-None-Exist"] = if_none_exist
        what = f"create {kind}"
        return self._write("POST", self._resolve(kind, what), resource, headers, what=what)

    def update(self, resource: Json, *, etag: str | None) -> tuple[Json, str | None]:
        """Replace a resource, only if it is still at `etag`."""
        kind, logical_id = resource["resourceType"], resource["id"]
        headers = {"Prefer": "return=representation"} | ({"If-Match": etag} if etag else {})
        what = f"{kind}/{logical_id}"
        return self._write("PUT", self._resolve(what, what), resource, headers, what=what)

    def _write(
        self, method: str, url: str, resource: Json, headers: dict[str, str], *, what: str
    ) -> tuple[Json, str | None]:
        response = self._send(method, url, what=what, content=json.dumps(resource).encode(), headers=headers)
        if response.content:
            body = self._json(response, what)
            if body.get("resourceType") == resource["resourceType"]:
                return body, _etag(response, body)
        location = response.headers.get("location") or response.headers.get("content-location")
        if location:  # `return=minimal`: read what was written
            parts = self._resolve(location, what).split("/_history/")[0].rsplit("/", 2)
            return self.read_with_etag(parts[-2], parts[-1])
        raise errors.NotFhir(f"{what}: the server answered {response.status_code} without the resource or its place")

    # --- the one way out ---

    def _object(
        self,
        method: str,
        url: str,
        *,
        what: str,
        form: Parameters | None = None,
        query: Parameters | None = None,
        fresh: bool = False,
        safe: bool = False,
    ) -> tuple[Json, httpx.Response]:
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        response = self._send(method, url, what=what, form=form, query=query, headers=headers, safe=safe)
        return self._json(response, what), response

    def _json(self, response: httpx.Response, what: str) -> Json:
        if "json" not in response.headers.get("content-type", ""):
            raise errors.NotFhir(f"{what}: the answer is not JSON; is the base URL right, or a login page in the way?")
        try:
            body = self._at_home(cleaned(response.json()))
        except (RecursionError, UnusableResource):
            raise errors.NotFhir(f"{what}: the answer is nested too deeply") from None
        except ValueError:
            raise errors.NotFhir(f"{what}: the answer is not valid JSON") from None
        if not isinstance(body, dict) or not is_type(body.get("resourceType")):
            raise errors.NotFhir(f"{what}: the answer is JSON, but no FHIR resource")
        return body

    def _at_home(self, value: Any) -> Any:
        """The same JSON with references under the EHR's own base, however written, as `Type/id`; the others stay as they are."""
        if isinstance(value, list):
            return [self._at_home(each) for each in value]
        if not isinstance(value, dict):
            return value
        body = {key: self._at_home(each) for key, each in value.items()}
        if is_elsewhere(body.get("reference")):
            with suppress(errors.UnsafeUrl):
                url = resolve(self.base, body["reference"], self._trusted)
                body["reference"] = urlsplit(url).path.removeprefix(urlsplit(f"{self.base}/").path)
        return body

    def _send(
        self,
        method: str,
        url: str,
        *,
        what: str,
        content: bytes | None = None,
        form: Parameters | None = None,
        query: Parameters | None = None,
        headers: dict[str, str] | None = None,
        safe: bool = False,
    ) -> httpx.Response:
        """One request, repeated while that is safe and the time budget lasts."""
        repeatable = safe or method == "GET"
        sent = {"X-Request-Id": str(uuid.uuid4())} | (headers or {})
        if content is not None:
            sent["Content-Type"] = JSON

        def once() -> httpx.Response:
            try:
                with self._http.stream(method, url, content=content, data=form, params=query, headers=sent) as response:
                    self._bounded(response, what)
            except httpx.RequestError as problem:
                raise self._lost(problem, what, repeatable) from None
            except httpx.InvalidURL:  # httpx reads a redirect's Location although it is told not to follow it
                raise errors.UnsafeUrl(f"{what}: the EHR redirects to what is no URL; set the base URL") from None
            self._judge(response, what, repeatable)
            return response

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(_ATTEMPTS) | tenacity.stop_before_delay(self._limits.read_seconds),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except _Again as again:
            raise again.failure from None

    def _bounded(self, response: httpx.Response, what: str) -> None:
        """Read the body, up to the limit on its decoded size."""
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._limits.response_bytes:
                raise errors.TooMuch(f"{what}: the answer is larger than {self._limits.response_bytes} bytes")
            parts.append(part)
        response._content = b"".join(parts)

    def _lost(self, problem: httpx.RequestError, what: str, repeatable: bool) -> Exception:
        not_sent = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout))
        if repeatable or not_sent:
            return _Again(errors.Unreachable(f"{what}: no answer from the EHR ({type(problem).__name__})"), None)
        return errors.OutcomeUnknown(
            f"{what}: the answer was lost ({type(problem).__name__}); it may have been written"
        )

    def _judge(self, response: httpx.Response, what: str, repeatable: bool) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        detail = _issues(response)
        said = f"{what}: the EHR answered {status}{detail}{_ADVICE.get(status, _ADVICE_500 if status >= 500 else '')}"
        if status == 429 or (status == 503 and repeatable and "retry-after" in response.headers):
            raise _Again(errors.Throttled(said), _retry_after(response))
        if status in _RETRIED:
            if repeatable:
                raise _Again(errors.Unreachable(said), None)
            raise errors.OutcomeUnknown(f"{said}; it may have been written")
        if 300 <= status < 400:
            raise errors.UnsafeUrl(f"{said}; redirects are not followed; set the base URL to its final address")
        kinds: dict[int, type[errors.EhrError]] = {
            401: errors.Unauthorized,
            403: errors.Forbidden,
            404: errors.NotFound,
            410: errors.NotFound,
            405: errors.NotOffered,
            501: errors.NotOffered,
            409: errors.Conflict,
            412: errors.Conflict,
        }
        raise kinds.get(status, errors.Refused)(said)


_INCOMPLETE = ("incomplete", "timeout", "too-costly", "throttled", "transient", "exception")
_ISSUE_TYPES = frozenset(
    """invalid structure required value invariant security login unknown expired forbidden suppressed processing
    not-supported duplicate multiple-matches not-found deleted too-long code-invalid extension too-costly
    business-rule conflict transient lock-error no-store exception timeout incomplete throttled informational""".split()
)
"""R4's closed list (issue-type). Another word may be anything, and is not shown."""

_ADVICE = {
    401: "; renew the access token",
    403: "; ask the EHR's administrator for access",
    404: "; check the id and the base URL",
    410: "; it was deleted there",
    501: "; it does not offer this",
    429: "; it asks for patience, try again later",
}
_ADVICE_500 = "; try again later"


def _refuse_incomplete(resource: object, kind: str) -> None:
    """A search that failed or was cut short with status 200: "nothing found" would be a false answer."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "OperationOutcome":
        return
    for issue in objects(resource.get("issue")):
        if issue.get("severity") in ("error", "fatal") or issue.get("code") in _INCOMPLETE:
            raise errors.Unreachable(f"search {kind}: the EHR says that its answer is not complete; try again")


def _wait(state: tenacity.RetryCallState) -> float:
    """What the server asks for, else exponential backoff with jitter; seconds."""
    problem = state.outcome.exception() if state.outcome else None
    backoff = tenacity.wait_exponential_jitter(multiplier=0.5, max=20)(state)
    return max(problem.after, 0.0) if isinstance(problem, _Again) and problem.after is not None else backoff


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def _issues(response: httpx.Response) -> str:
    """The issue codes of an OperationOutcome; its free text may hold data and is left out."""
    try:
        body: Any = response.json()
        codes = sorted({str(i.get("code")) for i in objects(body["issue"])} & _ISSUE_TYPES)
        return f" ({', '.join(codes)})" if codes else ""
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _etag(response: httpx.Response, body: Json) -> str | None:
    header = response.headers.get("etag")
    if header:
        return str(header)
    meta = body.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return f'W/"{version}"' if version else None
