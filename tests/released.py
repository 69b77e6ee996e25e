"""What the tests of released claims share: fixtures as draft Claims, a clearinghouse that does not exist, an envelope."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fhir_mappings.professional import ProfessionalClaim, to_professional
from fhir_mappings.records import VisitRecord
from plugin import drafts
from plugin.pipeline import look, prove
from plugin.release.x12 import Envelope
from plugin.settings import Settings
from plugin.site import bundle_site
from sandbox import fixtures

Json = dict[str, Any]

RELEASE = fixtures.RELEASE
ENVELOPE = Envelope.of(RELEASE, interchange=41, group=42, transaction=43, at=datetime(2026, 3, 9, 8, 5))  # noqa: DTZ001

NAMES = (
    "account-order",
    "b96158-health-behavior-38-minutes",
    "h0004-30-minutes",
    "h2014-45-minutes",
    "h2014-group-60-minutes",
    "note-set-two-services",
    "p90834-telehealth-video-home",
    "p90839-with-90840-90-minutes",
    "p99214-with-90836",
    "s96127-two-screens-with-99213",
    "two-coverages-ordered",
)


@cache
def _drafted(name: str) -> tuple[str, VisitRecord] | None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "visit.json"
        fixture = fixtures.load_one(fixtures.ROOT / "development" / name)
        path.write_text(json.dumps(fixture.bundle()), encoding="utf-8")
        settings = Settings(ehr=fixtures.ehr("test"), payers_file=fixtures.PAYERS, data_dir=Path(folder))
        site, (encounter_id, *_) = bundle_site(settings, path)
        understood, _ = look(site, encounter_id)
        claim = drafts.render(site, understood, prove(site, understood, fixture.cases[0].proposals))
        return None if claim is None else (json.dumps(claim), site.read(encounter_id))


def drafted(name: str = "h2014-45-minutes") -> tuple[Json, VisitRecord]:
    """The draft Claim of a fixture's first case, and the fixture's record; both may be changed."""
    found = _drafted(name)
    assert found is not None, f"{name}: no draft"
    return json.loads(found[0]), copy.deepcopy(found[1])


def professional(name: str = "h2014-45-minutes", **changes: Any) -> ProfessionalClaim:
    """The professional claim of a fixture."""
    return replace(_professional(name), **changes)


@cache
def _professional(name: str) -> ProfessionalClaim:
    claim, record = drafted(name)
    return to_professional(claim, record, RELEASE.billing())


def of_kind(record: VisitRecord, kind: str) -> Json:
    """The record's first resource of a type, to be changed."""
    if kind == "Patient":
        assert record.patient is not None
        return record.patient
    return record.of(kind)[0]


Damage = Callable[[Json, VisitRecord], object]
