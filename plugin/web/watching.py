"""For whoever watches over us: metrics, whether we can work, and the counting of requests."""

from __future__ import annotations

import hmac
import ipaddress
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugin import health
from plugin.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from plugin.web.house import House

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def ready(request: Request) -> Response:
    """Whether requests can be served now; anybody may ask, and learns nothing else."""
    house: House = request.app.state.house
    said = health.checks(house.store, house.flow, engine_wanted=house.settings.engine.in_web)
    return JSONResponse(said, status_code=200 if all(said.values()) else 503)


def metrics(request: Request) -> Response:
    """The metrics, for who asks on this machine itself or has the token."""
    house: House = request.app.state.house
    if not (_has_token(request, house) or _from_here(request)):
        return PlainTextResponse("metrics: ask on loopback, or with the token of web.metrics_token\n", status_code=403)
    return Response(house.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


def _has_token(request: Request, house: House) -> bool:
    token = house.settings.web.metrics_token
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if token is None or kind.casefold() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())


def _from_here(request: Request) -> bool:
    """From this machine, and not by way of the proxy that stands on it: that one says so, or asks for our public name."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        near = ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
    return near and request.url.hostname in _HERE


class Counting:
    """Counts each request by the template of its route, never by its address, and how long it took."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self.app, self._house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and look at how it was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", None)
            self._house.metrics.answered(scope["method"], route, status, time.perf_counter() - started)
