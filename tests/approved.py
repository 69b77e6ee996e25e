"""What the tests of releases share: a site of its own beside the real server, copies of fixtures there, and approved visits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from plugin import pipeline
from plugin.backend import Ehrs, at_work
from plugin.review import coder, desk
from plugin.settings import EngineSettings, ReviewSettings, Settings
from plugin.store.people import Account, Role
from plugin.store.records import Draft
from plugin.store.store import Store
from sandbox import fixtures
from tests.released import RELEASE

Json = dict[str, Any]
SUPERVISOR = Account(
    id="provider|supervisor",
    person="Practitioner/prac-lcsw",
    name="Somebody",
    roles=frozenset({Role.CLINICIAN, Role.CODER, Role.SUPERVISOR}),
    seen_at=datetime(2026, 3, 9, tzinfo=UTC),
)
OFFICE = RELEASE.model_copy(update={"taxonomies": {"Practitioner/prac-lpc": "101YP2500X"}})
VISITS = ("h2014-45-minutes", "h0004-30-minutes", "p90834-52-minutes")


def copied(base: str, name: str, mark: str) -> str:
    """A fixture's resources under ids of their own on the server; the id of the visit."""
    fixture = fixtures.load_one(fixtures.ROOT / "development" / name)
    ids = {f"{r['resourceType']}/{r['id']}": f"{r['resourceType']}/{mark}-{r['id']}" for r in fixture.resources}

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(v) for v in value]
        if isinstance(value, dict):
            return {k: moved(v) for k, v in value.items()}
        return ids.get(value, value) if isinstance(value, str) else value

    made = [moved(r) | {"id": f"{mark}-{r['id']}"} for r in fixture.resources]
    entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in made]
    answer = httpx.post(base, json={"resourceType": "Bundle", "type": "transaction", "entry": entries}, timeout=60)
    answer.raise_for_status()
    return next(str(r["id"]) for r in made if r["resourceType"] == "Encounter")


def changed(base: str, kind: str, logical_id: str, **changes: Any) -> None:
    """Write a resource anew, changed; a field that becomes None is taken out."""
    url = f"{base}/{kind}/{logical_id}"
    resource = httpx.get(url).json() | changes
    httpx.put(url, json={k: v for k, v in resource.items() if v is not None}).raise_for_status()


def patient_of(base: str, visit: str) -> str:
    """The id of a visit's client."""
    return str(httpx.get(f"{base}/Encounter/{visit}").json()["subject"]["reference"]).rpartition("/")[2]


@dataclass
class Office:
    """Where visits are approved and let out."""

    settings: Settings
    store: Store
    ehrs: Ehrs
    base: str
    mark: str

    def approved(self, name: str = VISITS[0], mark: str = "") -> Draft:
        """A copy of a fixture, coded, accepted and approved."""
        return self.approve(copied(self.base, name, f"{self.mark}{mark}"))

    def approve(self, visit: str) -> Draft:
        """A visit coded, accepted and approved."""
        with self.ehrs.unattended_site(self.settings.ehr.id) as (site, _):
            draft = pipeline.code_visit(site, visit).draft
            assert draft is not None
            desk.sit(site, self.store, *pipeline.look(site, visit), draft).accept(SUPERVISOR)
            accepted = self.store.draft(draft.id)
            assert accepted is not None
            taken = coder.take_up(self.store, accepted, SUPERVISOR, approve_unaccepted=False)
            return desk.sit(site, self.store, *pipeline.look(site, visit), taken).approve(SUPERVISOR, held_too=True)


def site_settings(base: str, folder: Path, database: str | None = None, **changes: Any) -> Settings:
    """A site whose approvals go out at once; its drafts are its own by the id of its EHR."""
    folder.mkdir(exist_ok=True)
    values: dict[str, Any] = {
        "ehr": fixtures.ehr("office", base_url=base),
        "data_dir": folder,
        "database_url": database,
        "payers_file": fixtures.PAYERS,
        "review": ReviewSettings(rest_seconds=0),
        "engine": EngineSettings(poll_seconds=None, pump_seconds=0.1, visits_a_minute=10_000),
        "release": OFFICE,
    }
    return Settings(**(values | changes))


@contextmanager
def office(base: str, folder: Path, database: str | None = None, **changes: Any) -> Iterator[Office]:
    """A site in a folder of its own."""
    settings = site_settings(base, folder, database, **changes)
    with at_work(settings) as (store, ehrs):
        yield Office(settings, store, ehrs, base, f"o{abs(hash(str(folder))) % 10**9}")


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings as a command finds them."""
    assert settings.release is not None
    release = settings.release.model_dump(mode="json", exclude_defaults=True)
    return {
        "CLAIMWRIGHT_DATA_DIR": str(settings.data_dir),
        "CLAIMWRIGHT_PAYERS_FILE": str(settings.payers_file),
        "CLAIMWRIGHT_EHR": json.dumps(settings.ehr.model_dump(mode="json", exclude_defaults=True)),
        "CLAIMWRIGHT_RELEASE": json.dumps(release),
        "CLAIMWRIGHT_REVIEW__REST_SECONDS": "0",
        "CLAIMWRIGHT_ENGINE": json.dumps({"poll_seconds": None, "pump_seconds": 0.1}),
    }
