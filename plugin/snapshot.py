"""What a draft is a function of. Same snapshot, same draft: the key names every id, version and hash that went in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.visit import Context, Visit
from plugin.ehr.notes import EXTRACTOR_VERSION

RULES_VERSION = "rules-10"
"""Raise it when a rule's verdicts change: drafts made before are then made anew."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`manifest` is safe to show: logical ids, versions, hashes and offsets, no text."""

    key: str
    as_of: date
    manifest: dict[str, Any]


def take(
    visit: Visit,
    context: Context,
    codebook: Codebook,
    policy: Policy,
    *,
    proposer: str,
    prompt: str,
    protected_may_leave: bool = True,
) -> Snapshot:
    """The snapshot of a visit as read, with the versions of everything that will work on it.

    The as-of date is kept but not in the key, so that a visit read again tomorrow is the same visit; whether the date of
    service lies in the future is in it, because that passes.
    """
    day = visit.date_of_service
    manifest = {
        "encounter": {"id": visit.id, "version": visit.version},
        "notes": [
            {
                "id": n.id,
                "version": n.version,
                "hash": n.text_hash,
                "role": n.role.value,
                "status": n.status.value,
                "author": n.author.id if n.author else None,
                "signed_at": n.signed_at.isoformat() if n.signed_at else None,
            }
            for n in visit.notes
        ],
        "record": _digest(dataclasses.asdict(dataclasses.replace(visit, version=""))),
        "context": _digest(dataclasses.asdict(dataclasses.replace(context, today=date.min))),
        "future": bool(day and day > context.today),
        "extractor": EXTRACTOR_VERSION,
        "rules": RULES_VERSION,
        "tables": codebook.version,
        "policy": {"id": policy.id, "hash": _digest(policy.model_dump(mode="json"))},
        "prompt": prompt,
        "proposer": proposer,
        "protected_may_leave": protected_may_leave,
    }
    return Snapshot(_digest(manifest), context.today, manifest)


def _digest(value: object) -> str:
    """SHA-256 of the canonical JSON of a value; sets are ordered first."""
    canonical = json.dumps(
        value, sort_keys=True, default=lambda v: sorted(v) if isinstance(v, (set, frozenset)) else str(v)
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
