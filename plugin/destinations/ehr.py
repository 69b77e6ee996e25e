"""The EHR as a destination: the draft Claim with its Device and Provenance, reconciled by identifier before every try.

A Claim touched by anyone else is never overwritten: if its status is not ours or its ETag is not the one after our last
write, the job stops as "changed elsewhere" (design: Identity). A write whose answer was lost is recognised by content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fhir_mappings import claims, systems
from fhir_mappings.views import Json, objects, reference_of
from guardrails.visit import Visit
from plugin.ehr import errors
from plugin.ehr.client import FhirClient
from plugin.store.records import RemoteClaim

NAME = "ehr"
_OURS = {"draft", "entered-in-error"}  # the statuses that we write


class ChangedElsewhere(Exception):
    """Somebody else touched the Claim; the message says how we know."""


@dataclass(frozen=True, slots=True)
class Written:
    """Where the Claim stands now, its ETag, and whether this try wrote anything."""

    claim_id: str
    etag: str | None
    wrote: bool


class EhrDestination:
    """Writes drafts to one EHR that takes Claims."""

    name = NAME

    def __init__(self, client: FhirClient) -> None:
        self._client = client

    def write(
        self,
        claim: Json,
        known: RemoteClaim | None,
        sent: Sequence[Json],
        overtaking: Callable[[Written, Json | None], None] = lambda *_: None,
    ) -> Written:
        """Bring a draft's Claim to the EHR; safe to repeat however the last try ended.

        Args:
            claim: the version to bring.
            known: where the draft stands there, as of our last write that we know of.
            sent: every version that we ever queued; by their content a write whose answer was lost is recognised.
            overtaking: told of the version of ours that is about to be replaced, and which of `sent` that is.

        Raises:
            ChangedElsewhere: somebody else touched the Claim; nothing was written.
            EhrError: the EHR could not be reached or refused; the job is tried again.
        """
        for _ in range(2):  # a write of ours that came late counts as any other: looked at, then built upon
            written = self._bring(claim, known, sent, overtaking)
            if written is not None:
                return written
        raise ChangedElsewhere("the Claim changed while it was being written")

    def _bring(
        self,
        claim: Json,
        known: RemoteClaim | None,
        sent: Sequence[Json],
        overtaking: Callable[[Written, Json | None], None],
    ) -> Written | None:
        """One look and one write; None where the Claim changed between them."""
        theirs = self._find(claim["identifier"][0]["value"])
        if theirs is None:
            if known is not None:
                raise ChangedElsewhere("the Claim that was written is no longer there")
            query = f"identifier={_encoded(systems.DRAFT_CLAIM_ID)}%7C{_encoded(claim['identifier'][0]['value'])}"
            current, etag = self._client.create(claim, if_none_exist=query)
            if _same(current, claim) or not any(_same(current, each) for each in sent):
                return Written(str(current["id"]), etag, wrote=True)
            # an older version of ours came late, and the server answered with it: ours is yet to be written
        else:
            current, etag = self._client.read_with_etag("Claim", str(theirs["id"]))
            if _same(current, claim):  # an earlier try succeeded and its answer was lost
                return Written(str(current["id"]), etag, wrote=False)
            if current.get("status") not in _OURS:
                raise ChangedElsewhere("the Claim is no longer a draft")
            unchanged = known is not None and etag is not None and _tag(known.etag) == _tag(etag)
            if not unchanged and not any(_same(current, each) for each in sent):
                raise ChangedElsewhere(
                    "the Claim has a newer version than our last write"
                    if known
                    else "a Claim with our identifier exists that we did not write"
                )
        standing = next((each for each in sent if _same(current, each)), None)
        overtaking(Written(str(current["id"]), etag, wrote=False), standing)
        try:
            made, etag = self._client.update({**claim, "id": current["id"]}, etag=etag)
        except errors.Conflict:
            return None
        return Written(str(made["id"]), etag, wrote=True)

    def _find(self, identifier: str) -> Json | None:
        found = list(self._client.search("Claim", {"identifier": f"{systems.DRAFT_CLAIM_ID}|{identifier}"}, fresh=True))
        ours = [c for c in found if any(i.get("value") == identifier for i in c.get("identifier") or [])]
        if len(ours) > 1:
            raise ChangedElsewhere("more than one Claim carries our identifier")
        return ours[0] if ours else None

    def explain(
        self, written: Written, visit: Visit, proposer: str, versions: list[str], person: str | None = None
    ) -> None:
        """Device and Provenance, once per Claim version: R4 Provenance has no identifier, so it is looked for first.

        `person` decided this version.
        """
        version = _tag(written.etag)
        target = f"Claim/{written.claim_id}" + (f"/_history/{version}" if version else "")
        existing = list(self._client.search("Provenance", {"target": f"Claim/{written.claim_id}"}, fresh=True))
        if any(
            reference_of(t) and str(t.get("reference")).endswith(target)
            for p in existing
            for t in objects(p.get("target"))
        ):
            return
        device = self._device(claims.device(proposer, versions))
        explained = claims.provenance(target, device, visit, recorded=datetime.now(UTC), person=person)
        query = f"_tag={_encoded(systems.EXPLAINS_TAG)}%7C{_encoded(target)}"
        try:  # one that was given up may be under way and arrive before this one
            made, _ = self._client.create(explained, if_none_exist=query)
        except (errors.Conflict, errors.Refused):  # no condition by tag here
            self._client.create(explained)
            return
        about = {reference_of(t) for t in objects(made.get("target"))}
        if f"Claim/{written.claim_id}" not in about or made.get("id") in {p.get("id") for p in existing}:
            self._client.create(explained)  # the condition was not understood, and the answer is another Provenance

    def _device(self, resource: Json) -> str:
        """A reference to the Device that stands for us. Where two processes made it at one moment, either of them does."""
        value = resource["identifier"][0]["value"]
        query = f"identifier={_encoded(systems.AI_SYSTEM_ID)}%7C{_encoded(value)}"
        try:
            made, _ = self._client.create(resource, if_none_exist=query)
        except errors.Conflict:
            found = self._client.search("Device", {"identifier": f"{systems.AI_SYSTEM_ID}|{value}"}, fresh=True)
            ids = [str(d["id"]) for d in found if any(i.get("value") == value for i in objects(d.get("identifier")))]
            if not ids:
                raise
            return f"Device/{min(ids)}"
        return f"Device/{made['id']}"


def _tag(etag: str | None) -> str:
    """An ETag without its weakness mark and quotes."""
    return (etag or "").removeprefix("W/").strip('"')


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _same(theirs: Json, ours: Json) -> bool:
    """Whether the server's Claim says what ours says: its own id, version and narrative apart."""
    return bool(_plain(theirs) == _plain(ours))


def _plain(value: Any, *, top: bool = True) -> Any:
    if isinstance(value, dict):
        left = {k: _plain(v, top=False) for k, v in value.items() if not (top and k in {"id", "text", "implicitRules"})}
        if top and isinstance(left.get("meta"), dict):
            left["meta"] = {k: v for k, v in left["meta"].items() if k in {"security", "tag"}}
        return left
    if isinstance(value, list):
        return [_plain(v, top=False) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and "T" in value:
        try:
            return datetime.fromisoformat(value).astimezone(UTC).isoformat()
        except ValueError:
            return value
    return value
