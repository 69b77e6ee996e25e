"""Where an access token for an EHR comes from, and what happens when it is refused: renewed once, then the answer stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

import httpx

_EARLY_SECONDS = 30  # renewed this long before it ends


class TokenSource(Protocol):
    """Has an access token for one EHR, and can perhaps get another."""

    def bearer(self) -> str | None:
        """The token to send now; None where none is needed."""

    def renewed(self, refused: str | None) -> str | None:
        """Another token after one was refused; None where there is no other."""


@dataclass(frozen=True, slots=True)
class Granted:
    """An access token as granted, and when it ends (seconds of the monotonic clock)."""

    token: str = field(repr=False)
    ends: float

    @classmethod
    def now(cls, token: str, seconds: float) -> Granted:
        """A token that was granted this moment."""
        return cls(token, time.monotonic() + seconds)


class FixedToken:
    """A token that an administrator configured. It is used as it is."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def bearer(self) -> str | None:
        """The configured token."""
        return self._token

    def renewed(self, refused: str | None) -> str | None:  # noqa: ARG002 - the protocol's
        """There is no other."""
        return None


class Renewable:
    """A token that `grant` gets anew: one at a time, kept until shortly before it ends."""

    def __init__(self, grant: Callable[[], Granted], first: Granted | None = None) -> None:
        self._grant, self._granted = grant, first
        self._lock = threading.Lock()

    def bearer(self) -> str | None:
        """The token, renewed if it is about to end."""
        with self._lock:
            if self._granted is None or self._granted.ends - time.monotonic() < _EARLY_SECONDS:
                self._granted = self._grant()
            return self._granted.token

    def renewed(self, refused: str | None) -> str | None:
        """A new token, unless somebody else got one meanwhile: then that."""
        with self._lock:
            if self._granted is None or self._granted.token == refused:
                self._granted = self._grant()
            return self._granted.token


class Bearer(httpx.Auth):
    """Sends the token; after a 401 renews it once and repeats the request once. A refused request did nothing."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx asks."""
        token = self._source.bearer()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            fresh = self._source.renewed(token)
            if fresh and fresh != token:
                request.headers["Authorization"] = f"Bearer {fresh}"
                yield request
