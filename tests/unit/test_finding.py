"""Asking an EHR what changed: however much it is, whatever breaks off, nothing is passed over and nothing asked for twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plugin import finding
from plugin.ehr.capabilities import Capabilities
from plugin.ehr.client import FhirClient
from plugin.settings import EhrSettings, Limits
from tests.scripted import Answer, ScriptedServer

FIRST = datetime(2026, 3, 2, 9, tzinfo=UTC)
BOTH = frozenset({"_lastUpdated"})
PAGES = 10
"""What a search of any length takes at most, where a search takes one page."""


def encounter(number: int, logical_id: str | None = None) -> dict[str, Any]:
    changed = (FIRST + timedelta(minutes=number)).isoformat()
    meta = {"versionId": "1", "lastUpdated": changed}
    return {
        "resourceType": "Encounter",
        "id": logical_id or f"e{number}",
        "status": "finished",
        "meta": meta,
    }


def pages(base: str, resources: list[dict[str, Any]], more: bool = False) -> list[Answer]:
    """A page each; `more`: the last names a next one too."""
    answers = []
    for number, resource in enumerate(resources, 1):
        bundle: dict[str, Any] = {"resourceType": "Bundle", "entry": [{"resource": resource}]}
        if more or number < len(resources):
            bundle["link"] = [{"relation": "next", "url": f"{base}/Encounter?page={number}"}]
        answers.append(Answer(200, bundle))
    return answers


NOTHING = Answer(200, {"resourceType": "Bundle"})


@pytest.fixture
def client(scripted: ScriptedServer) -> Iterator[FhirClient]:
    """A client of the scripted server, which takes one page of an ordinary search."""
    with FhirClient(EhrSettings(base_url=scripted.base), Limits(pages=1), sleep=lambda _: None) as made:
        yield made


def ask(client: FhirClient, *, notes: bool = False) -> tuple[list[str], finding.Asked]:
    searches = {"Encounter": BOTH} | ({"DocumentReference": BOTH} if notes else {})
    told: list[finding.Change] = []
    asked = finding.ask(client, Capabilities({}, searches, frozenset()), EhrSettings(), FIRST, told.append)
    return [change.encounter_id for change in told], asked


def test_all_of_a_long_window_is_told_of(client: FhirClient, scripted: ScriptedServer) -> None:
    """Many more pages than an ordinary search takes, each told of as it comes; asked to the end, up to its newest."""
    scripted.script(*pages(scripted.base, [encounter(n) for n in range(PAGES)]))
    assert ask(client) == (
        [f"e{n}" for n in range(PAGES)],
        finding.Asked(FIRST + timedelta(minutes=PAGES - 1)),
    )


def test_what_came_before_a_window_broke_off_counts(client: FhirClient, scripted: ScriptedServer) -> None:
    """A longer one than can be taken, and one in whose midst the server gave up: the next begins where it ended."""
    scripted.script(*pages(scripted.base, [encounter(n) for n in range(PAGES)], more=True))
    told, asked = ask(client)
    assert (len(told), asked.through) == (PAGES, FIRST + timedelta(minutes=PAGES - 1))
    assert asked.problem is not None
    scripted.script(*pages(scripted.base, [encounter(0), encounter(1)], more=True), Answer(403, {}))
    told, asked = ask(client)
    assert (told, asked.through) == (["e0", "e1"], FIRST + timedelta(minutes=1))
    assert asked.problem is not None
    assert "403" in asked.problem


def test_notes_after_where_the_encounters_broke_off_do_not_move_it_on(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """The next window begins where the search came that came less far."""
    note = encounter(500, "d1") | {
        "resourceType": "DocumentReference",
        "context": {"encounter": [{"reference": "Encounter/e77"}]},
    }
    scripted.script(
        *pages(scripted.base, [encounter(n) for n in range(PAGES)], more=True), *pages(scripted.base, [note])
    )
    told, asked = ask(client, notes=True)
    assert told == [*(f"e{n}" for n in range(PAGES)), "e77"]
    assert asked.through == FIRST + timedelta(minutes=PAGES - 1)


def test_a_server_that_answers_in_no_order_is_asked_for_all_of_it_again(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """Where it broke off, older changes may not have come yet."""
    unsorted = [encounter(n) for n in (3, 1, *range(4, PAGES + 2))]
    scripted.script(*pages(scripted.base, unsorted, more=True))
    told, asked = ask(client)
    assert (len(told), asked.through) == (PAGES, None)


def test_an_id_that_is_none_is_left_out_and_the_rest_goes_on(client: FhirClient, scripted: ScriptedServer) -> None:
    """Too long for FHIR, or of characters that it does not know: said, and not a word of it shown."""
    odd = ["x" * 65, "a b", ""]
    bundle = [encounter(n, i) for n, i in enumerate([odd[0], "good", *odd[1:], "last"])]
    bundle[-2]["id"] = ""
    scripted.script(*pages(scripted.base, bundle))
    told, asked = ask(client)
    assert told == ["good", "last"]
    assert asked.problem == "Encounter: 3 visits left out, whose id is none that FHIR allows"
    assert asked.through == FIRST + timedelta(minutes=4)
