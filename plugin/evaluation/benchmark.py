"""The benchmark's visits as they lie on disk: one folder a visit (see fixtures/README.md)."""

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

HALVES = ("development", "held_back")
Json = dict[str, Any]


class UnusableBenchmark(ValueError):
    """The folder holds no benchmark, or a visit of it cannot be used: the message names the file."""


@dataclass(frozen=True, slots=True)
class Case:
    """Proposals to prove, and the outcome expected of each."""

    name: str
    proposals: tuple[Proposal, ...]
    outcomes: tuple[Json, ...]


@dataclass(frozen=True)
class Fixture:
    """One synthetic visit: `gold` are the lines to bill as the record stands, `lacking` what it must be completed for."""

    half: str
    name: str
    about: str
    resources: tuple[Json, ...] = field(repr=False)
    shared: tuple[Json, ...] = field(repr=False)
    gold: tuple[Json, ...]
    lacking: tuple[Json, ...]
    cases: tuple[Case, ...]

    def bundle(self) -> Json:
        """The visit with what it shares with others, as one collection Bundle."""
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": r} for r in (*self.shared, *self.resources)],
        }


def ehr(ehr_id: str, **changes: Any) -> EhrSettings:
    """The benchmark as an EHR: made-up people, and consents kept as Consent resources.

    Its clinicians' days are no days: each visit is one of its own, whatever stands beside it at the same hour.
    """
    look_up = frozenset(LookUp) - {LookUp.CLINICIAN_DAY}
    return EhrSettings(id=ehr_id, sandbox=True, **{"consent_source": ConsentSource.FHIR, "look_up": look_up} | changes)


def payers(root: Path) -> Path:
    """Which policy each of the benchmark's payers has."""
    return root / "clinic" / "payers.toml"


def clinic(root: Path) -> tuple[Json, ...]:
    """The clinic, its payers, places and clinicians."""
    bundle = _json(root / "clinic" / "clinic.json")
    return tuple(entry["resource"] for entry in bundle["entry"])


def load(root: Path, half: str) -> Iterator[Fixture]:
    """The visits of one half in the order of their names.

    Raises:
        UnusableBenchmark: there are none, or a file is not as it should be.
    """
    folders = sorted(p for p in (root / half).glob("*") if (p / "visit.json").is_file())
    if not folders:
        raise UnusableBenchmark(f"{half}: no visit there; --fixtures names the benchmark's folder")
    shared = clinic(root)
    for folder in folders:
        yield load_one(folder, shared)


def load_one(folder: Path, shared: tuple[Json, ...] | None = None) -> Fixture:
    """One visit, its notes filled into their DocumentReferences."""
    bundle, expected = _json(folder / "visit.json"), _json(folder / "expected.json")
    resources = tuple(_with_notes([entry["resource"] for entry in bundle["entry"]], folder))
    try:
        return Fixture(
            half=folder.parent.name,
            name=folder.name,
            about=expected["about"],
            resources=resources,
            shared=clinic(folder.parent.parent) if shared is None else shared,
            gold=tuple(expected["gold"]),
            lacking=tuple(expected["lacking"]),
            cases=tuple(
                Case(c["name"], tuple(proposals_file.proposal(p) for p in c["proposals"]), tuple(c["outcomes"]))
                for c in expected["cases"]
            ),
        )
    except KeyError as missing:
        raise UnusableBenchmark(f"{folder.name}/expected.json: {missing.args[0]} is missing") from None


def digest(root: Path, half: str) -> str:
    """SHA-256 over a half's files, their paths and bytes in order: what was written down before the half's first run."""
    total = hashlib.sha256()
    for path in sorted(p for p in (root / half).rglob("*") if p.is_file()):
        content = path.read_bytes()
        total.update(f"{path.relative_to(root / half).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


def _json(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UnusableBenchmark(f"{path.parent.name}/{path.name}: cannot be read as JSON") from None
    return found


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
