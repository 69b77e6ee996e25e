"""Software that calls us: it proves who it is with a signed token that is used once (fhir 6)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugin.ehr.oauth import SignInError
from plugin.settings import EhrSettings
from plugin.web.house import House

_ALGORITHMS = ["ES384", "RS384", "ES256", "RS256"]


class NotTheCaller(Exception):
    """The caller did not prove who it is. It is told no more than that."""


def caller(request: Request, house: House) -> EhrSettings:
    """The EHR that calls: its token is signed by the keys registered for its issuer, made for this address, and new.

    Raises:
        NotTheCaller: it did not prove that.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    audience = house.url + request.url.path
    if kind.lower() != "bearer" or not token or len(token) > 8192:
        raise NotTheCaller
    for ehr in house.settings.ehrs:
        for issuer, keys in ehr.hooks.callers.items():
            try:
                claims = house.oauth.verified(token, keys, _ALGORITHMS, [issuer], audience, essential=("jti",))
            except SignInError:
                continue
            ends = datetime.fromtimestamp(float(claims["exp"]) + 60, UTC)
            if not house.people.first_use(issuer, str(claims["jti"]), ends):
                raise NotTheCaller
            return ehr
    raise NotTheCaller


def body_of(request: Request) -> dict[str, Any] | None:
    """The JSON object that was sent; None where it is none."""
    try:
        body = json.loads(request.state.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def refusal(status: int, code: str, text: str) -> Response:
    """An answer that says what is wrong, as FHIR says it."""
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, status_code=status)
