"""The fixtures as the sandbox, the tests and the scores read them: one folder a visit (see fixtures/README.md)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardrails.verdict import Proposal
from plugin import proposals_file
from plugin.settings import ConsentSource, EhrSettings, LookUp

ROOT = Path(__file__).resolve().parent.parent / "fixtures"
HALVES = ("development", "held_back")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Proposals to prove, and the outcome expected of each."""

    name: str
    proposals: tuple[Proposal, ...]
    outcomes: tuple[Json, ...]


@dataclass(frozen=True)
class Fixture:
    """One synthetic visit."""

    half: str
    name: str
    about: str
    resources: tuple[Json, ...] = field(repr=False)
    gold: tuple[Json, ...]
    lacking: tuple[Json, ...]
    cases: tuple[Case, ...]

    def bundle(self) -> Json:
        """The visit with what it shares with others, as one collection Bundle."""
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": r} for r in (*clinic(), *self.resources)],
        }


def ehr(ehr_id: str, **changes: Any) -> EhrSettings:
    """The sandbox as an EHR: made-up people, and consents kept as Consent resources.

    Its clinicians' days are no days: each fixture is a visit of its own, whatever stands beside it at the same hour.
    """
    look_up = frozenset(LookUp) - {LookUp.CLINICIAN_DAY}
    return EhrSettings(id=ehr_id, sandbox=True, **{"consent_source": ConsentSource.FHIR, "look_up": look_up} | changes)


def clinic() -> tuple[Json, ...]:
    """The clinic, its payers, places and clinicians."""
    bundle = json.loads((ROOT / "clinic" / "clinic.json").read_text(encoding="utf-8"))
    return tuple(entry["resource"] for entry in bundle["entry"])


def load(half: str) -> Iterator[Fixture]:
    """The fixtures of one half in the order of their names."""
    for folder in sorted(p for p in (ROOT / half).iterdir() if (p / "visit.json").is_file()):
        yield load_one(folder)


def digest(half: str) -> str:
    """SHA-256 over a half's files, their paths and bytes in order: what was written down before the half's first run."""
    total = hashlib.sha256()
    for path in sorted(p for p in (ROOT / half).rglob("*") if p.is_file()):
        content = path.read_bytes()
        total.update(f"{path.relative_to(ROOT / half).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


def load_one(folder: Path) -> Fixture:
    """One fixture, its notes filled into their DocumentReferences."""
    bundle = json.loads((folder / "visit.json").read_text(encoding="utf-8"))
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    resources = tuple(_with_notes([entry["resource"] for entry in bundle["entry"]], folder))
    return Fixture(
        half=folder.parent.name,
        name=folder.name,
        about=expected["about"],
        resources=resources,
        gold=tuple(expected["gold"]),
        lacking=tuple(expected["lacking"]),
        cases=tuple(
            Case(c["name"], tuple(proposals_file.proposal(p) for p in c["proposals"]), tuple(c["outcomes"]))
            for c in expected["cases"]
        ),
    )


def _with_notes(resources: list[Json], folder: Path) -> list[Json]:
    """The same resources with the files' bytes in them: inline, or in the Binary that an attachment's URL names."""
    binaries = {f"Binary/{r['id']}": r for r in resources if r["resourceType"] == "Binary"}
    for resource in resources:
        if resource["resourceType"] != "DocumentReference":
            continue
        for content in resource["content"]:
            attachment = content["attachment"]
            holder = binaries.get(attachment.get("url", ""), attachment)
            if "title" in attachment and "data" not in holder:
                data = (folder / attachment["title"]).read_bytes()
                holder["data"] = base64.b64encode(data).decode("ascii")
    return resources
