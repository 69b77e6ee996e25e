"""What is collected of a visit from a real server: nothing of another client's, and no note that was corrected elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from fhir_mappings.records import VisitRecord
from guardrails.visit import NotLookedUp
from plugin.ehr.client import FhirClient
from plugin.ehr.visits import VisitReader
from plugin.settings import EhrSettings, Limits, LookUp

Json = dict[str, Any]
Read = Callable[..., VisitRecord]
PATIENT, OTHER = {"reference": "Patient/rv-client"}, {"reference": "Patient/rv-other"}


@pytest.fixture
def put(sandbox_base: str) -> Iterator[Callable[..., None]]:
    """Put resources on the server, which is shared: they are taken away again."""
    made: list[str] = []

    def write(*resources: Json) -> None:
        for resource in resources:
            url = f"{sandbox_base}/{resource['resourceType']}/{resource['id']}"
            httpx.put(url, json=resource).raise_for_status()
            made.append(url)

    write({"resourceType": "Patient", "id": "rv-client"}, {"resourceType": "Patient", "id": "rv-other"})
    yield write
    for url in reversed(made):
        httpx.delete(url).raise_for_status()


@pytest.fixture
def read(sandbox_base: str) -> Iterator[Read]:
    """Read the visit, with or without a server that can be asked for the notes of an Encounter."""
    settings = EhrSettings(base_url=sandbox_base, look_up=frozenset({LookUp.CLINICIAN_DAY}))
    with FhirClient(settings, Limits()) as client:
        yield lambda: VisitReader(client, settings, Limits()).read("rv-visit")


def encounter(logical_id: str = "rv-visit", **changes: Any) -> Json:
    return {
        "resourceType": "Encounter",
        "id": logical_id,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": PATIENT,
        "period": {"start": "2026-03-02T14:00:00-05:00", "end": "2026-03-02T14:45:00-05:00"},
        **changes,
    }


def note(logical_id: str, visit: str | None, replaces: str | None = None) -> Json:
    made: Json = {
        "resourceType": "DocumentReference",
        "id": logical_id,
        "status": "current",
        "docStatus": "final",
        "subject": PATIENT,
        "category": [
            {
                "coding": [
                    {
                        "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                        "code": "clinical-note",
                    }
                ]
            }
        ],
        "content": [{"attachment": {"contentType": "text/plain", "data": "d29yZHM="}}],
    }
    if visit:
        made["context"] = {"encounter": [{"reference": f"Encounter/{visit}"}]}
    if replaces:
        made["relatesTo"] = [{"code": "replaces", "target": {"reference": f"DocumentReference/{replaces}"}}]
    return made


def by(who: str, role: str) -> Json:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
    return {"type": [{"coding": [{"system": system, "code": role}]}], "individual": {"reference": who}}


def test_a_diagnosis_of_another_client_is_left_out(put: Callable[..., None], read: Read) -> None:
    """The Encounter names it by a slip; it is said, and never stands on this client's Claim."""
    conditions = [
        {"resourceType": "Condition", "id": f"rv-{whose['reference'][-6:]}", "subject": whose}
        for whose in (PATIENT, OTHER)
    ]
    named = [{"condition": {"reference": f"Condition/{each['id']}"}} for each in conditions]
    put(*conditions, encounter(diagnosis=named))
    record = read()
    assert [r["id"] for r in record.of("Condition")] == [conditions[0]["id"]]
    assert record.problems == (
        f"Condition/{conditions[1]['id']}: is about another client; it was not used, correct it in the EHR",
    )


def test_a_correction_that_names_no_visit_is_read_with_the_note_that_it_replaces(
    put: Callable[..., None], read: Read
) -> None:
    """And the correction's correction; a note of nobody's visit that corrects nothing is not."""
    put(
        encounter(),
        note("rv-a", "rv-visit"),
        note("rv-b", None, "rv-a"),
        note("rv-c", None, "rv-b"),
        note("rv-d", None),
    )
    assert sorted(n.document["id"] for n in read().notes) == ["rv-a", "rv-b", "rv-c"]


def test_a_note_that_was_replaced_by_another_visits_is_none_of_this_one(put: Callable[..., None], read: Read) -> None:
    """It was filed to the wrong visit, and corrected."""
    put(
        encounter(),
        encounter("rv-right", period={"start": "2026-03-01T14:00:00-05:00"}),
        note("rv-a", "rv-visit"),
        note("rv-b", "rv-right", "rv-a"),
    )
    record = read()
    assert record.notes == ()
    assert record.problems == ("DocumentReference/rv-a: was replaced by a note of another visit; it was not used",)


def test_the_day_that_is_looked_at_is_the_one_of_who_renders(put: Callable[..., None], read: Read) -> None:
    """The primary performer, wherever the Encounter names them; of several without one, nobody's."""
    put(*({"resourceType": "Practitioner", "id": f"rv-{each}"} for each in ("sup", "p")))
    supervisor, performer = by("Practitioner/rv-sup", "ATND"), by("Practitioner/rv-p", "PPRF")
    put(
        encounter(participant=[supervisor, performer]),
        encounter("rv-busy-sup", subject=OTHER, participant=[by("Practitioner/rv-sup", "PPRF")]),
        encounter("rv-busy-p", subject=OTHER, participant=[by("Practitioner/rv-p", "PPRF")]),
    )
    found = read().context.clinician_encounters
    assert not isinstance(found, NotLookedUp)
    assert sorted(e["id"] for e in found) == ["rv-busy-p", "rv-visit"]
    put(encounter(participant=[supervisor, by("Practitioner/rv-p", "ATND")]))
    assert isinstance(read().context.clinician_encounters, NotLookedUp)
