"""The door before the sandbox's FHIR server: no token, no data; a token for one chart shows that chart and no other."""

from __future__ import annotations

import json
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.ehr.authorization import AuthorizationServer, Grant, OAuthError

_PASSED_ON = ("cache-control", "content-type", "if-match", "if-none-exist", "if-none-match", "prefer", "x-request-id")
_PASSED_BACK = ("etag", "last-modified", "location", "content-location", "retry-after", "x-request-id")
_JSON = "application/fhir+json"


class Door:
    """Passes on what a token allows."""

    def __init__(self, upstream: str, base: str, authorization: AuthorizationServer) -> None:
        self._upstream, self._base, self._authorization = upstream, base, authorization
        self._http = httpx.Client(timeout=60, headers={"Accept": _JSON})

    def answer(self, request: Request, body: bytes) -> Response:
        """The FHIR server's answer, or a refusal."""
        path = request.path_params["path"]
        if path == ".well-known/smart-configuration":
            return JSONResponse(self._authorization.smart_configuration())
        parts = path.split("/")
        grant = None
        if path != "metadata":
            try:
                grant = self._authorization.may(_token(request), _interaction(request.method, parts), parts[0])
            except OAuthError:
                return _outcome(401, "login", "the access token is none of ours, or has ended")
            if grant is None:
                return _outcome(403, "forbidden", "the token's scopes do not cover this")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        answer = self._http.request(
            request.method,
            f"{self._upstream}/{path}",
            params=list(request.query_params.multi_items()),
            content=body,
            headers=headers,
        )
        shown = {h: self._shown(answer.headers[h]) for h in _PASSED_BACK if h in answer.headers}
        content = self._shown(answer.text).encode() if answer.content else b""
        if grant is not None and grant.patient and answer.status_code < 300 and content:
            limited = _limited(json.loads(content), grant)
            if limited is None:
                return _outcome(403, "forbidden", "another patient's")
            content = json.dumps(limited).encode()
        kind = answer.headers.get("content-type", _JSON)
        return Response(content, answer.status_code, shown, media_type=kind if content else None)

    def _shown(self, text: str) -> str:
        return text.replace(self._upstream, self._base)


def _token(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else None


def _interaction(method: str, parts: list[str]) -> str:
    if method == "GET":
        return "r" if len(parts) > 1 else "s"
    if parts[-1] == "_search":
        return "s"
    return {"POST": "c", "PUT": "u", "DELETE": "d"}.get(method, "u")


def _limited(resource: dict[str, Any], grant: Grant) -> dict[str, Any] | None:
    if resource.get("resourceType") == "Bundle":
        entries = [e for e in resource.get("entry", ()) if _limited(e.get("resource") or {}, grant) is not None]
        return resource | {"entry": entries}
    if resource.get("resourceType") == "Patient":
        return resource if resource.get("id") == grant.patient else None
    for name in ("subject", "patient", "beneficiary"):
        reference = (resource.get(name) or {}).get("reference", "")
        if reference.startswith("Patient/") and reference != f"Patient/{grant.patient}":
            return None
    return resource


def _outcome(status: int, code: str, text: str) -> Response:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status, media_type=_JSON)
