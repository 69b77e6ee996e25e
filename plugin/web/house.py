"""What the pages share: the site's works, its people, and the way into an EHR on behalf of whoever is signed in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from plugin import pipeline
from plugin.backend import Ehrs
from plugin.ehr import errors
from plugin.ehr.oauth import Client, OAuth, SignInError, Tokens
from plugin.ehr.tokens import Granted, Renewable
from plugin.ehr.visits import VisitReader
from plugin.keys import SigningKeys
from plugin.metrics import Metrics
from plugin.settings import EhrSettings, Settings, SettingsError
from plugin.site import Works
from plugin.snapshot import Snapshot
from plugin.store.audit import Event
from plugin.store.people import Launch
from plugin.store.records import Draft
from plugin.store.store import Store
from plugin.web.coding import Coding
from plugin.workbench import Site, Understood

if TYPE_CHECKING:
    from plugin.flow import Flow


_AHEAD_SECONDS = 60
_SOURCES = 500


class House:
    """One for the process."""

    def __init__(self, settings: Settings, store: Store, works: Works, *, oauth: OAuth | None = None) -> None:
        self.settings, self.store, self.works = settings, store, works
        self.people = store.people
        self.keys = SigningKeys.of(settings)
        self.oauth = oauth or OAuth(self.keys, settings.limits)
        self.ehrs = Ehrs(settings, works, self.oauth)
        self.coding = Coding(self)
        self.metrics = Metrics(store)
        self.flow: Flow | None = None
        self._ahead: dict[tuple[str, str], tuple[float, tuple[Understood, Snapshot]]] = {}
        self._sources: dict[str, Renewable] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, settings: Settings) -> House:
        """Open the store and load the tables."""
        store = Store.open(settings)
        return cls(settings, store, Works.of(settings, store=store))

    def start(self) -> None:
        """Begin the work that needs no person, where this process is to do it."""
        if self.settings.engine.in_web:
            from plugin.flow import Flow

            self.flow = Flow(self.settings, self.store, self.ehrs)
            self.flow.start()

    def close(self) -> None:
        """Finish what is under way and give everything back."""
        if self.flow is not None:
            self.flow.stop()
        self.coding.close()
        self.oauth.close()
        self.store.close()

    def want(self, ehr_id: str, encounter_id: str, by: str) -> None:
        """Code a visit soon, if the EHR lets us work without a person; else it waits for somebody to open it."""
        self.store.arrivals.found(ehr_id, encounter_id, by)
        if self.flow is not None:
            self.flow.nudge()

    @property
    def url(self) -> str:
        """Where browsers find us, without a slash at the end."""
        return self.settings.web.public_url.rstrip("/")

    def ehr_of(self, issuer: str) -> EhrSettings | None:
        """The registered EHR of a FHIR base; a trailing slash says nothing. Any other is nobody we talk to."""
        wanted = issuer.rstrip("/")
        return next((e for e in self.settings.ehrs if e.base_url and e.base_url.rstrip("/") == wanted), None)

    # --- into an EHR ---

    @contextmanager
    def site(self, launch: Launch, watch: Callable[[str], None] | None = None) -> Iterator[tuple[Site, VisitReader]]:
        """A site that reads and writes with the tokens of a launch.

        Raises:
            Unauthorized: its session has ended.
        """
        with self.ehrs.site(launch.ehr_id, self._source(launch), watch) as site:
            yield site

    @contextmanager
    def review_site(self, ehr_id: str, session_id: str) -> Iterator[tuple[Site, VisitReader]]:
        """A site for queue work: without a person where the EHR grants that, else with the reviewer's own launch there.

        Raises:
            Unauthorized: neither is there.
        """
        if ehr_id in self.ehrs.unattended:
            with self.ehrs.unattended_site(ehr_id) as site:
                yield site
            return
        own = [each for each in self.people.launches(session_id) if each.ehr_id == ehr_id]
        if not own:
            raise errors.Unauthorized(
                "this EHR lets us work without a person only with Backend Services, which are not set up; "
                "sign in at the EHR first"
            )
        with self.site(own[-1]) as site:
            yield site

    def read_notes(self, account_id: str, draft: Draft, understood: Understood) -> None:
        """Write down that somebody was shown a visit's notes: which, by id and hash."""
        shown = [
            {"note": n.id, "hash": n.text_hash}
            for n in understood.visit.notes
            if not n.is_psychotherapy_note and n.text
        ]
        self.store.audit.note(Event.NOTE_READ, account_id, draft.ehr_id, draft.id, notes=shown)

    def look(self, site: Site, ehr_id: str, encounter_id: str, *, ahead: bool = False) -> tuple[Understood, Snapshot]:
        """A visit as it stands in the EHR, for showing; one that was read ahead a moment ago is not read again.

        Deciding never comes here: it reads the record anew.
        """
        key = (ehr_id, encounter_id)
        with self._lock:
            now = time.monotonic()
            self._ahead = {k: v for k, v in self._ahead.items() if now - v[0] < _AHEAD_SECONDS}
            known = self._ahead.pop(key, None)
        if known is not None and not ahead:
            return known[1]
        looked = pipeline.look(site, encounter_id)
        if ahead:
            with self._lock:
                self._ahead[key] = (now, looked)
        return looked

    def _source(self, launch: Launch) -> Renewable:
        """One source of tokens for all that use a launch, so that no refresh token is ever used twice."""
        key = launch.tokens_of or launch.id
        kept = self.people.tokens(launch)
        if kept is None:
            self._sources.pop(key, None)
            raise errors.Unauthorized("your sign-in has ended; open Claimwright again from the chart")
        with self._lock:
            if key not in self._sources:
                for old in list(self._sources)[: max(0, len(self._sources) - _SOURCES)]:
                    del self._sources[old]  # of launches long ago: they are read from the store again if need be
                first = Granted.now(kept["access"], kept["ends_at"] - time.time())
                self._sources[key] = Renewable(lambda: self._refreshed(launch), first)
            return self._sources[key]

    def _refreshed(self, launch: Launch) -> Granted:
        kept = self.people.tokens(launch)
        ehr = self.settings.of_ehr(launch.ehr_id).ehr
        if kept is None or not kept.get("refresh"):
            raise errors.Unauthorized("your sign-in with the EHR has ended; open Claimwright again from the chart")
        try:
            tokens = self.oauth.refresh(self.oauth.of_ehr(ehr), app_client(ehr), kept["refresh"])
        except SignInError as problem:
            raise errors.Unauthorized(f"{problem}; open Claimwright again from the chart") from None
        self.people.keep_tokens(launch, kept_tokens(tokens, before=kept))
        return tokens.granted()


def app_client(ehr: EhrSettings) -> Client:
    """Who we are to an EHR that registered us as an app.

    Raises:
        SettingsError: it did not.
    """
    if ehr.app is None:
        raise SettingsError("ehr.app: this EHR has not registered us as an app")
    return Client(ehr.app.client_id, ehr.app.public, ehr.app.algorithm)


def kept_tokens(tokens: Tokens, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Tokens as they are sealed with a launch. A new refresh token takes the old one's place."""
    return {
        "access": tokens.access,
        "ends_at": time.time() + tokens.seconds,
        "refresh": tokens.refresh or (before or {}).get("refresh"),
        "scope": tokens.scope or (before or {}).get("scope", ""),
    }
