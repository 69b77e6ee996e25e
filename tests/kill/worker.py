"""A worker as `claimwright worker` is one, that kills itself with SIGKILL at a step named beforehand.

The steps that the pipeline tells of are watched; those between them are found by wrapping methods, here and not in the product.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from plugin import flow as flow_module
from plugin import usage
from plugin.backend import Ehrs
from plugin.destinations.ehr import EhrDestination
from plugin.ehr.client import FhirClient
from plugin.ehr.oauth import OAuth
from plugin.flow import Flow
from plugin.keys import SigningKeys
from plugin.proposers.model import Model
from plugin.settings import Settings
from plugin.site import Works
from plugin.store import arrivals as arrivals_module
from plugin.store import store as store_module
from plugin.store.arrivals import Arrivals
from plugin.store.store import Store

RECEIPT = "x-snapshot"
"""The header by which the model's server knows for which snapshot it is paid."""

Point = tuple[type, str, str, str]  # a method of a class, "before" or "after" it, and what the point is called

_BETWEEN: tuple[Point, ...] = (
    (Arrivals, "found", "after", "found"),
    (Arrivals, "polled", "before", "polled"),
    (Arrivals, "handed_over", "before", "enqueued"),
    (Arrivals, "handed_over", "after", "handed over"),
    (Arrivals, "begin", "after", "begun"),
    (Model, "propose", "after", "answered"),
    (Store, "seal_reply", "after", "sealed"),
    (Store, "save", "after", "saved"),
    (Flow, "deliver", "before", "delivering"),
    (Store, "take", "after", "taken"),
    (EhrDestination, "write", "after", "created"),
    (Store, "written", "after", "written"),
    (FhirClient, "create", "after", "posted"),
    (EhrDestination, "explain", "after", "explained"),
    (Store, "delivered", "after", "delivered"),
    (Arrivals, "done", "after", "done"),
)

POINTS = (
    *("found", "polled", "enqueued", "handed over", "begun", "read", "snapshot", "gate", "propose", "answered"),
    *(
        "sealed",
        "check",
        "keep",
        "saved",
        "deliver",
        "taken",
        "delivering",
        "posted",
        "created",
        "written",
        "explained",
    ),
    *("delivered", "done"),
)
"""Where a worker can be killed, in the order of a visit. "posted" comes for the Claim, the Device and the Provenance."""

_asking = threading.local()


class Receipted(Model):
    """The real model client, which says for which snapshot it asks."""

    def _body(self, talk: list[dict[str, str]]) -> dict[str, Any]:
        return super()._body(talk) | {"extra_headers": {RECEIPT: _asking.snapshot}}


class Fate:
    """Kills this process when a point is reached for the n-th time: no handler runs, nothing is flushed."""

    def __init__(self, point: str | None, nth: int) -> None:
        self._point, self._left, self._lock = point, nth, threading.Lock()

    def reached(self, point: str) -> None:
        """Here we are."""
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def run(settings: Settings, patience: float, point: str | None, nth: int) -> None:
    """Work until killed. `patience` is how many seconds anything waits that waits for minutes in a real site."""
    _words_into(settings)
    _shorten(patience)
    fate = Fate(point, nth)
    _wrap(fate)
    store = Store.open(settings)
    proposer = Receipted(settings.model, settings.limits)
    works = Works.of(settings, proposer=proposer, store=store)
    oauth = OAuth(SigningKeys.of(settings), settings.limits)
    Flow(settings, store, Ehrs(settings, works, oauth), fate.reached).start()
    while True:
        signal.pause()


def _words_into(settings: Settings) -> None:
    """What a worker says stands in a file of its own."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = os.open(settings.data_dir / f"{settings.engine.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _shorten(patience: float) -> None:
    """Leases, and the time to the next try."""
    short = timedelta(seconds=patience)
    vars(arrivals_module).update(_LOST_AFTER=3 * short, _POLLING=short / 10, _BACKOFF=(patience / 60,))
    vars(flow_module).update(_ANEW_SECONDS=3 * patience)
    vars(store_module).update(_SENDING=short, _AGAIN_AFTER=timedelta(seconds=0.2))


def _wrap(fate: Fate) -> None:
    for owner, method, when, point in _BETWEEN:
        _around(owner, method, fate, when, point)
    asked = usage.Meter.asked

    @wraps(asked)
    def asked_for(self: usage.Meter, *args: Any) -> Any:
        _asking.snapshot = self._taken.key
        return asked(self, *args)

    usage.Meter.asked = asked_for  # type: ignore[method-assign, assignment]


def _around(owner: type, method: str, fate: Fate, when: str, point: str) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            fate.reached(point)
        answer = original(*args, **kwargs)
        if when == "after":
            fate.reached(point)
        return answer

    setattr(owner, method, wrapped)
