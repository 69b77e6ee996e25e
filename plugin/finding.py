"""Find visits that finished or changed, by what a server allows (fhir 0.3, 7.6): polling `_lastUpdated` where it is listed.

Encounters are asked for, and notes, because a note that is signed or amended leaves its Encounter as it was. The window
overlaps the last one, on the server's own clock; what was seen before is told apart by its version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_mappings.bundles import encounters_of
from fhir_mappings.views import Json, is_kept_id
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import EhrError
from plugin.settings import EhrSettings

_STOPPED = frozenset({"cancelled", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class Change:
    """A resource that changed: the visit it is of, and its version."""

    encounter_id: str
    version: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How far a server was asked, by its own clock, and what was wrong. What was told of before `through` is done with.

    `through` is None where nothing came, or a search broke off that the server did not answer in the order asked for.
    """

    through: datetime | None
    problem: str | None = None
    broken_off: bool = False


def can_poll(capabilities: Capabilities) -> bool:
    """Whether the server lists what polling needs."""
    return capabilities.searches_by("Encounter", "_lastUpdated")


def ask(
    client: FhirClient,
    capabilities: Capabilities,
    ehr: EhrSettings,
    since: datetime,
    tell: Callable[[Change], object],
) -> Asked:
    """Tell of what changed since an instant: finished and stopped encounters, and the visits of changed notes.

    A search that breaks off (too much changed, the server gave up) counts as far as it came, so that the next begins there.
    """

    def finished(encounter: Json) -> list[str]:
        stands = str(encounter.get("status")).strip() in ehr.finished_when | _STOPPED
        return [str(encounter.get("id"))] if stands else []

    def visits(note: Json) -> list[str]:
        named = (reference.partition("/") for reference in sorted(encounters_of(note)))
        return [logical_id for kind, _, logical_id in named if kind == "Encounter"]

    window = {"_lastUpdated": f"ge{since.astimezone(UTC).isoformat(timespec='seconds')}", "_sort": "_lastUpdated"}
    window["_count"] = "200"
    encounters = client.stream("Encounter", window | {"_elements": "id,status,meta"})
    asked = [_told("Encounter", encounters, finished, tell)]
    if capabilities.searches_by("DocumentReference", "_lastUpdated"):
        notes = client.stream("DocumentReference", window | {"_elements": "id,context,meta"})
        asked.append(_told("DocumentReference", notes, visits, tell))
    problem = "; ".join([each.problem for each in asked if each.problem]) or None
    broken_off = [each.through for each in asked if each.broken_off]
    reached = [through for through in broken_off or [each.through for each in asked] if through is not None]
    if broken_off:
        return Asked(min(reached) if len(reached) == len(broken_off) else None, problem, broken_off=True)
    return Asked(max(reached, default=None), problem)


def _told(
    kind: str, resources: Iterable[Json], visits_of: Callable[[Json], list[str]], tell: Callable[[Change], object]
) -> Asked:
    """Tell of one search's resources as they come."""
    newest: datetime | None = None
    in_order, odd = True, 0
    try:
        for resource in resources:
            at = _changed_at(resource)
            in_order = in_order and at is not None and (newest is None or at >= newest)
            newest = max(filter(None, (newest, at)), default=None)
            for encounter_id in visits_of(resource):
                if is_kept_id(encounter_id):
                    tell(Change(encounter_id, _version(resource)))
                else:
                    odd += 1
    except EhrError as problem:
        return Asked(newest if in_order else None, str(problem), broken_off=True)
    left_out = f"{kind}: {odd} visits left out, whose id is none that FHIR allows" if odd else None
    return Asked(newest, left_out)


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
