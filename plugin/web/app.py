"""The web application: routes, and what stands before all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from asgi_cross_origin_protection import CrossOriginProtection
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugin.web import (
    admin,
    hooks,
    queue_page,
    releases_page,
    review_page,
    signing_in,
    visit_page,
    visits_api,
    watching,
)
from plugin.web.house import House
from plugin.web.pages import STATIC, page
from plugin.web.supervisor import supervisor, table

_MOST_BODY_BYTES = 1024 * 1024
_HOOKS = "/cds-services"
Handler = Callable[[Request], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def build(house: House) -> Starlette:
    """The application of a house. It closes the house when it ends."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(house.start)
        yield
        await run_in_threadpool(house.close)

    cors = sorted({origin for ehr in house.settings.ehrs for origin in ehr.hooks.cors_origins})
    from_browsers = [
        Middleware(
            CORSMiddleware,
            allow_origins=cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    ]
    service = f"{_HOOKS}/{{service}}"
    app = Starlette(
        routes=[
            Route("/", admin.home),
            Route("/healthz", lambda _: PlainTextResponse("ok")),
            Route("/readyz", watching.ready),
            Route("/metrics", watching.metrics),
            Route("/launch", signing_in.launch),
            Route("/callback", signing_in.callback),
            Route("/sign-in", signing_in.sign_in),
            Route("/sign-in/{where}", signing_in.sign_in_at),
            Route("/sign-out", signing_in.sign_out, methods=["POST"]),
            Route("/.well-known/jwks.json", signing_in.jwks),
            Route("/v/{launch}", visit_page.visit),
            Route("/v/{launch}/progress", visit_page.progress),
            Route("/v/{launch}/visits", visit_page.visits),
            Route("/v/{launch}/open", with_form(visit_page.open_visit), methods=["POST"]),
            Route("/v/{launch}/{action}", with_form(visit_page.decide), methods=["POST"]),
            Route("/queue", queue_page.queue),
            Route("/queue/bulk", with_form(queue_page.bulk), methods=["POST"]),
            Route("/queue/bulk/approve", with_form(queue_page.bulk_approve), methods=["POST"]),
            Route("/queue/retry", with_form(queue_page.retry), methods=["POST"]),
            Route("/queue/next", review_page.following),
            Route("/queue/previous", review_page.previous),
            Route("/queue/item/{item}", review_page.review),
            Route("/queue/item/{item}/ahead", review_page.ahead),
            Route("/queue/item/{item}/{action}", with_form(review_page.decide), methods=["POST"]),
            Route("/releases", releases_page.releases),
            Route("/releases/preview", with_form(releases_page.preview), methods=["POST"]),
            Route("/releases/release", with_form(releases_page.release), methods=["POST"]),
            Route("/releases/{number:int}/file", with_form(releases_page.file), methods=["POST"]),
            Route("/admin", admin.admin),
            Route("/admin/end", with_form(admin.end), methods=["POST"]),
            Route("/admin/roles", with_form(admin.roles), methods=["POST"]),
            Route("/supervisor", supervisor),
            Route("/supervisor/{table}.csv", table),
            Route(_HOOKS, hooks.discovery, middleware=from_browsers),
            Route(service, with_body(hooks.service), methods=["POST"], middleware=from_browsers),
            Route(f"{service}/feedback", with_body(hooks.feedback), methods=["POST"], middleware=from_browsers),
            Route("/api/visits", with_body(visits_api.found), methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(watching.Counting, house=house),
            Middleware(Headers, frames=sorted(_frames(house))),
            Middleware(RequestBodyLimitMiddleware, max_body_size=_MOST_BODY_BYTES),
            Middleware(CrossOriginProtection, exempt_paths=[_HOOKS]),  # its callers prove who they are by signed tokens
        ],
        exception_handlers={404: _not_found, 500: _defect},
        lifespan=lifespan,
    )
    app.state.house = house
    return app


def _frames(house: House) -> set[str]:
    """The EHRs' pages that may show us in a frame."""
    return {origin for ehr in house.settings.ehrs if ehr.app for origin in ehr.app.frame_origins}


class Headers:
    """What every answer says: nothing is kept by the browser, nothing foreign runs, only the EHRs may frame us."""

    def __init__(self, app: ASGIApp, frames: list[str]) -> None:
        self.app = app
        ancestors = " ".join(["'self'", *frames])
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            f"form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to a response as it starts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
                if not scope["path"].startswith(("/static/", "/.well-known/")):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, sending)


def with_form(handler: Handler) -> Endpoint:
    """A handler, run in the thread pool, that finds the submitted form in `request.state.form`."""

    async def endpoint(request: Request) -> Response:
        request.state.form = await request.form(max_files=0, max_fields=60)
        return await run_in_threadpool(handler, request)

    return endpoint


def with_body(handler: Handler) -> Endpoint:
    """A handler, run in the thread pool, that finds the body's bytes in `request.state.body`."""

    async def endpoint(request: Request) -> Response:
        request.state.body = await request.body()
        return await run_in_threadpool(handler, request)

    return endpoint


def _not_found(request: Request, _: Exception) -> Response:
    return page(request, "message.html", status=404, title="There is no such page", advice="Go back and try again.")


def _defect(request: Request, _: Exception) -> Response:
    return page(
        request,
        "message.html",
        status=500,
        title="Something went wrong on our side",
        advice="Nothing was changed by this. Try again; if it stays, tell your administrator.",
    )
