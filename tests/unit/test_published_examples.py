"""Every R4 example that ships inside an installed package goes through the readers: other people's resources, not ours."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fhir_mappings.context import to_context
from fhir_mappings.identifiers import identifiers_of
from fhir_mappings.records import SiteOptions
from fhir_mappings.visits import to_visit
from guardrails.codebook import Codebook
from plugin.settings import Settings
from plugin.site import bundle_records
from sandbox import fixtures
from tests.conftest import TODAY

Json = dict[str, Any]
_TEXTS = {".json", ".yaml", ".yml", ".md", ".html", ".txt", ".rst", ""}


def examples() -> Iterator[tuple[str, Json]]:
    """Each example, with the package it came in."""
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or []:
            if file.suffix not in _TEXTS:
                continue
            try:
                text = file.locate().read_text(encoding="utf-8")  # type: ignore[attr-defined]
            except (OSError, UnicodeError):
                continue
            if "resourceType" in text:
                yield from ((distribution.name, found) for found in _in_text(text, yaml_file="yaml" in file.suffix))


def _in_text(text: str, *, yaml_file: bool) -> Iterator[Json]:
    if yaml_file:
        for each in yaml.safe_load_all(text):
            yield from _walk(each)
        return
    for match in re.finditer(r'\{\s*"resourceType"', text):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, match.start())
        except ValueError:
            continue
        yield from _walk(found)


def _walk(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if isinstance(value.get("resourceType"), str):
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _walk(each)


@pytest.fixture(scope="module")
def found() -> list[tuple[str, Json]]:
    """All of them; there are some, or the search for them is broken."""
    collected = list(examples())
    assert len(collected) >= 10
    assert {"fhir.resources", "sekmet-fhir"} <= {package for package, _ in collected}
    return collected


def test_every_published_example_is_read_or_complained_about(found: list[tuple[str, Json]], book: Codebook) -> None:
    """Beside a fixture's visit, or in place of its Patient, an example never stops the visit from being read."""
    base = fixtures.load_one(fixtures.ROOT / "development" / "h2014-45-minutes").bundle()
    settings = Settings(ehr=fixtures.ehr("examples"))
    for number, (package, example) in enumerate(found):
        entry = {"resource": {"id": f"example-{number}"} | example}
        patient = {**example, "id": "h2014-45-minutes-patient"} if example["resourceType"] == "Patient" else None
        entries = [
            (patient and e["resource"]["resourceType"] == "Patient" and {"resource": patient}) or e
            for e in base["entry"]
        ]
        records = bundle_records(settings, {**base, "entry": [*entries, entry]})
        record = next(r for r in records if r.encounter["id"] == "h2014-45-minutes")
        mapped = to_visit(record, SiteOptions(), book)
        to_context(record.context, mapped, today=TODAY.today, disclosure_basis=None)
        identifiers_of(record)
        assert [n.text for n in mapped.visit.notes.evidence], f"{package}: {example['resourceType']}"
