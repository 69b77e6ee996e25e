"""Into an EHR without a person, for work that nobody waits for: by SMART Backend Services, one source of tokens an EHR."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plugin.ehr import errors
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.visits import VisitReader
from plugin.settings import Settings, SettingsError
from plugin.site import Works
from plugin.store.store import Store
from plugin.workbench import Site

if TYPE_CHECKING:
    from plugin.ehr.oauth import OAuth
    from plugin.ehr.tokens import TokenSource

_CAPABILITIES_SECONDS = 3600


class Ehrs:
    """The EHRs of this deployment as a process works with them; what each offers is asked once an hour."""

    def __init__(
        self, settings: Settings, works: Works, oauth: OAuth, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings, self.works, self._oauth, self._sleep = settings, works, oauth, sleep
        self._sources: dict[str, TokenSource] = {}
        self._capabilities: dict[str, tuple[float, Capabilities]] = {}
        self._lock = threading.Lock()

    @property
    def unattended(self) -> list[str]:
        """The ids of the EHRs in which work without a person is possible."""
        return [ehr.id for ehr in self.settings.ehrs if ehr.unattended]

    @contextmanager
    def unattended_site(
        self, ehr_id: str, watch: Callable[[str], None] | None = None
    ) -> Iterator[tuple[Site, VisitReader]]:
        """A site for work without a person.

        Raises:
            Unauthorized: this EHR does not let us.
        """
        ehr = self.settings.of_ehr(ehr_id).ehr
        if not ehr.unattended:
            raise errors.Unauthorized(
                "this EHR lets us work without a person only with Backend Services, which are not set up (ehr.backend)"
            )
        source = None
        if ehr.backend is not None:
            with self._lock:
                source = self._sources.setdefault(ehr_id, self._oauth.backend_source(ehr))
        with self.site(ehr_id, source, watch) as site:
            yield site

    @contextmanager
    def site(
        self, ehr_id: str, source: TokenSource | None, watch: Callable[[str], None] | None = None
    ) -> Iterator[tuple[Site, VisitReader]]:
        """A site that works with one EHR, with tokens from that source."""
        settings = self.settings.of_ehr(ehr_id)
        with FhirClient(settings.ehr, settings.limits, tokens=source, sleep=self._sleep) as client:
            read_at, known = self._capabilities.get(ehr_id, (0.0, None))
            fresh = known if time.monotonic() - read_at < _CAPABILITIES_SECONDS else None
            site, reader = self.works.at(client, ehr_id, capabilities=fresh, watch=watch)
            if fresh is None:
                self._capabilities[ehr_id] = (time.monotonic(), reader.capabilities)
            yield site, reader


@contextmanager
def at_work(settings: Settings) -> Iterator[tuple[Store, Ehrs]]:
    """The store and the EHRs for a process that works without a person.

    Raises:
        SettingsError: the extra `smart` is not installed.
    """
    try:
        from plugin.ehr.oauth import OAuth
        from plugin.keys import SigningKeys
    except ImportError:
        raise SettingsError("this needs the way into an EHR without a person: install claimwright[smart]") from None
    store = Store.open(settings)
    try:
        oauth = OAuth(SigningKeys.of(settings), settings.limits)
        try:
            yield store, Ehrs(settings, Works.of(settings, store=store), oauth)
        finally:
            oauth.close()
    finally:
        store.close()
