"""Find visits that finished or changed, by what a server allows (fhir 0.3, 7.6): polling `_lastUpdated` where it is listed.

Encounters are asked for, and notes, because a note that is signed or amended leaves its Encounter as it was. The window
overlaps the last one, on the server's own clock; what was seen before is told apart by its version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_mappings.bundles import encounters_of
from fhir_mappings.views import Json
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient
from plugin.settings import EhrSettings

_STOPPED = frozenset({"cancelled", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that changed: the visit it is of, its version, and when it changed, by the server's clock."""

    encounter_id: str
    version: str
    at: datetime | None


def can_poll(capabilities: Capabilities) -> bool:
    """Whether the server lists what polling needs."""
    return capabilities.searches_by("Encounter", "_lastUpdated")


def changes(client: FhirClient, capabilities: Capabilities, ehr: EhrSettings, since: datetime) -> Iterator[Change]:
    """What changed since an instant: finished and stopped encounters, and the visits of changed notes.

    Raises:
        EhrError: the server could not be asked.
    """
    window = {"_lastUpdated": f"ge{since.astimezone(UTC).isoformat(timespec='seconds')}", "_sort": "_lastUpdated"}
    window["_count"] = "200"
    for encounter in client.search("Encounter", window | {"_elements": "id,status,meta"}, fresh=True):
        if str(encounter.get("status")).strip() in ehr.finished_when | _STOPPED:
            yield Change(str(encounter.get("id")), _version(encounter), _changed_at(encounter))
    if not capabilities.searches_by("DocumentReference", "_lastUpdated"):
        return
    for note in client.search("DocumentReference", window | {"_elements": "id,context,meta"}, fresh=True):
        for reference in encounters_of(note):
            yield Change(reference.rpartition("/")[2], _version(note), _changed_at(note))


def window_start(through: datetime | None, overlap: timedelta, first: timedelta) -> datetime:
    """From when to ask: a little before the newest change seen; at first, some days back."""
    return through - overlap if through is not None else datetime.now(UTC) - first


def _version(resource: Json) -> str:
    meta = resource.get("meta") or {}
    version = meta.get("versionId") or meta.get("lastUpdated") or "?"
    return f"{resource.get('resourceType')}/{resource.get('id')}/_history/{version}"[:200]


def _changed_at(resource: Json) -> datetime | None:
    try:
        at = datetime.fromisoformat(str((resource.get("meta") or {}).get("lastUpdated")))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
