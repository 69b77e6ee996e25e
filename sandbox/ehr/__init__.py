"""The sandbox's EHR: pages of a chart, an authorization server, and the FHIR server behind a door that asks for a token.

It plays what a real EHR does towards an app: SMART launches in a frame, Backend Services, CDS Hooks when a chart is opened
or a note is signed. Everybody in it is made up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from plugin import settings
from plugin.settings import AppSettings, BackendSettings, HooksSettings, Settings, SignInSettings, WebSettings
from sandbox import fixtures, server
from sandbox.ehr.authorization import AuthorizationServer, Registered
from sandbox.ehr.pages import build

APP, PUBLIC_APP = "claimwright-app", "claimwright-public"
BACKEND, STAFF = "claimwright-backend", "claimwright-staff"


@dataclass
class Ehr:
    """A running sandbox EHR: its pages at `url`, its FHIR base at `base`. `upstream` is the FHIR server without a door."""

    url: str
    upstream: str
    app_url: str
    authorization: AuthorizationServer = field(init=False, repr=False)

    @property
    def base(self) -> str:
        """The FHIR base, which is the launch's `iss`."""
        return f"{self.url}/fhir"

    @property
    def issuer(self) -> str:
        """The authorization server's name."""
        return f"{self.url}/auth"

    def settings(self, data_dir: Path, **changes: Any) -> Settings:
        """Claimwright's settings for this EHR. The model, if the environment names one, needs no basis: nobody here is real."""
        ehr = fixtures.ehr("sandbox", base_url=self.base, app=self.app(), backend=self.backend(), hooks=self.hooks())
        web = WebSettings(public_url=self.app_url, sign_in=self.sign_in())
        site = {
            "ehr": ehr,
            "web": web,
            "data_dir": data_dir,
            "payers_file": fixtures.PAYERS,
            "release": fixtures.RELEASE,
        }
        return settings.load(**site | changes)

    def app(self, **changes: object) -> AppSettings:
        """How it registered Claimwright as an app."""
        return AppSettings.model_validate({"client_id": APP, "frame_origins": [self.url]} | changes)

    def backend(self) -> BackendSettings:
        """How it registered Claimwright for work without a person."""
        return BackendSettings(client_id=BACKEND)

    def hooks(self) -> HooksSettings:
        """Who calls our hooks, and where its keys are."""
        return HooksSettings(callers={self.url: f"{self.issuer}/jwks"})

    def sign_in(self) -> SignInSettings:
        """Where coders and administrators sign in."""
        return SignInSettings(issuer=self.issuer, client_id=STAFF)


@contextmanager
def running(
    data_dir: Path, app_url: str, *, port: int | None = None, halves: tuple[str, ...] = ("development",)
) -> Iterator[Ehr]:
    """Start the FHIR server with the fixtures, and the EHR in front of it; Claimwright is registered at `app_url`."""
    with server.running(data_dir) as upstream:
        server.load_fixtures(upstream, halves)
        with in_front(upstream, app_url, port=port) as ehr:
            yield ehr


@contextmanager
def in_front(upstream: str, app_url: str, *, port: int | None = None) -> Iterator[Ehr]:
    """The EHR in front of a FHIR server that runs already."""
    chosen = server.free_port(port)
    ehr = Ehr(f"http://{server.HOST}:{chosen}", upstream, app_url.rstrip("/"))
    redirect, keys = f"{ehr.app_url}/callback", f"{ehr.app_url}/.well-known/jwks.json"
    ehr.authorization = AuthorizationServer(
        issuer=ehr.issuer,
        base=ehr.base,
        clients={
            APP: Registered(APP, redirect, keys),
            PUBLIC_APP: Registered(PUBLIC_APP, redirect, None),
            BACKEND: Registered(BACKEND, None, keys),
            STAFF: Registered(STAFF, redirect, keys),
        },
        staff={"staff-ines": "Ines Calloway", "staff-bo": "Bo Larrabee", "staff-ada": "Ada Fenwick"},
    )
    with serving(build(ehr), chosen):
        yield ehr


@contextmanager
def serving(app: ASGIApp, port: int) -> Iterator[None]:
    """Serve an application on loopback from a thread, until the end."""
    running_server = uvicorn.Server(
        uvicorn.Config(app, host=server.HOST, port=port, log_level="warning", access_log=False, lifespan="on")
    )
    thread = threading.Thread(target=running_server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not running_server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise server.SandboxError("a sandbox server did not start")
        time.sleep(0.02)
    try:
        yield
    finally:
        running_server.should_exit = True
        thread.join(15)
