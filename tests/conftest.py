"""What tests share: the tables (with or without CPT), a way to build visits, the sandbox server, a scripted server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from guardrails import Context, Proposal, Quoted, Verdicts, Visit, check, codebook, policies
from guardrails.codebook import Codebook
from guardrails.once import once
from guardrails.policies import Policy
from guardrails.reading import Reading
from guardrails.rules import Effect, registered
from guardrails.verdict import Finding, Quote, found
from guardrails.visit import Clinician, Coverage, Diagnosis, Note, NoteSet, VisitStatus
from plugin.settings import EngineSettings, Settings
from plugin.store.store import Store
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox import server
from sandbox.ehr import Ehr
from tests.databases import postgresql
from tests.scripted import ScriptedServer

DAY = date(2026, 3, 2)
ZONE = ZoneInfo("America/New_York")
TODAY = Context(today=date(2026, 3, 9))

BACHELOR = Clinician(id="prac-bachelor", level="BA", education_modifier="HN")
LCSW = Clinician(id="prac-lcsw", level="LP", education_modifier="HO")
PSYCHIATRIST = Clinician(id="prac-psychiatrist", level="MD", physician=True)

SKILLS = """Service: Skills training, individual
Start time: {start}
Stop time: {stop}
Diagnosis: F20.9
Goal 2, objective 2.1 of the treatment plan: keep a weekly budget.
Skill taught: budgeting with envelopes. Staff modelled it and had the client rehearse with prompts.
Client sorted nine of twelve receipts with two prompts. Progress: up from one week of four.
Next session: phone bill.
Signed by Tobias Renner, QMHS
"""
THERAPY = """Service: Individual psychotherapy (CBT)
Time: {start} - {stop}
Client reported worry about work and low mood. Therapist used cognitive restructuring of the thought.
Client responded with two counter-examples and rated the belief lower. Progress on goal 1 is partial.
Plan: next session in a week.
Signed by Dana Whitfield, LCSW
"""
PLAN = """SERVICE PLAN DEVELOPMENT
Time: {start} - {stop}
Need from the assessment of 02/20/2026: isolation.
Goal 1: "I want friends again."
Objective 1: client will attend 2 social activities a week for 4 weeks by 06/30/2026.
Service: individual therapy, 45 minutes, weekly, Dana Whitfield, LCSW, through 08/31/2026.
Plan was developed with the client, who agreed. Discharge criteria: objective met.
Review date 05/30/2026.
Client signature: signed 03/02/2026
Signed by Dana Whitfield, LCSW
"""


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Codebook:
    """The code tables; without the CPT folder where the run asks for it."""
    if not os.environ.get("CLAIMWRIGHT_TEST_WITHOUT_CPT"):
        return codebook.load()
    return without_cpt(tmp_path_factory.mktemp("tables"))


def without_cpt(folder: Path) -> Codebook:
    """The tables as a distribution holds them that leaves the CPT folder out."""
    shutil.copytree(str(files("guardrails") / "data"), folder / "data", ignore=shutil.ignore_patterns("cpt"))
    return codebook.load(folder / "data")


@pytest.fixture(scope="session")
def whole_unit() -> Policy:
    """A Medicaid policy that counts whole quarter hours."""
    return policies.load("medicaid-whole-unit")


@pytest.fixture(scope="session")
def unknown() -> Policy:
    """The policy of a payer that nobody knows."""
    return policies.load("unknown")


def a_note(text: str, *, author: Clinician = BACHELOR, note_id: str = "note-1", **changes: Any) -> Note:
    """A signed note."""
    return replace(Note(id=note_id, version="1", text=text, author=author), **changes)


def a_visit(*notes: Note, **changes: Any) -> Visit:
    """A finished visit of two hours on the day, with one diagnosis and a place."""
    author = notes[0].author if notes else None
    visit = Visit(
        ehr_id="test",
        id="visit-1",
        status=VisitStatus.FINISHED,
        date_of_service=DAY,
        zone=ZONE.key,
        starts=datetime(2026, 3, 2, 9, 0, tzinfo=ZONE),
        ends=datetime(2026, 3, 2, 16, 30, tzinfo=ZONE),
        client_id="client-1",
        rendering=author,
        place_of_service="53",
        billing_provider="Organization/riverbend",
        diagnoses=(Diagnosis(code="F20.9", condition_id="condition-1", rank=1),),
        coverage=Coverage(id="coverage-1", payer="x|EXAMPLE-MEDICAID"),
        notes=NoteSet(notes),
    )
    return replace(visit, **changes)


def skills(start: str = "2:00 PM", stop: str = "2:45 PM", **changes: Any) -> Visit:
    """A visit with a complete skills-training note."""
    return a_visit(a_note(SKILLS.format(start=start, stop=stop)), **changes)


def therapy(start: str = "2:00 PM", stop: str = "2:45 PM", **changes: Any) -> Visit:
    """A visit with a complete psychotherapy note."""
    return a_visit(a_note(THERAPY.format(start=start, stop=stop), author=LCSW), **changes)


def asked(code: str, units: object = 1, *quotes: str, modifiers: tuple[str, ...] = (), **changes: Any) -> Proposal:
    """A proposal; without quotes, one that every note of this file holds."""
    return Proposal(
        code=code,
        units=units,
        modifiers=modifiers,
        quotes=tuple(Quoted(q) for q in quotes or ("Signed by",)),
        **changes,
    )


Prove = Callable[..., Verdicts]


@pytest.fixture
def prove(book: Codebook, whole_unit: Policy) -> Prove:
    """Prove proposals for a visit under the whole-unit policy, or another."""

    def run(visit: Visit, *proposals: Proposal, policy: Policy = whole_unit, context: Context = TODAY) -> Verdicts:
        return check(visit, context, proposals, (), book, policy)

    return run


def ids(verdicts: Verdicts, position: int = 0) -> set[str]:
    """The rule ids found on one proposal."""
    return {f.rule_id for f in verdicts.verdicts[position].findings}


_BY_NAME = "elements declared_services mentioned_services named_services uncertain_diagnoses instruments".split()
_NOTHING_FOUND: dict[str, Any] = {
    **{name: None for name, what in vars(Reading).items() if isinstance(what, once)},
    **{name: {} for name in _BY_NAME},
    "service_dates": (),
}


def a_reading(note_id: str = "note-1", **places: Any) -> Reading:
    """A note in which these things stand, each at the one character that begins at the number, and nothing else."""
    found_there: dict[str, Any] = {}
    for name, value in places.items():
        if isinstance(value, dict):
            spans = {key: at if isinstance(at, tuple) else (at, at + 1) for key, at in value.items()}
            found_there[name] = {key: (span,) for key, span in spans.items()} if name == "elements" else spans
        else:
            found_there[name] = (value, value + 1) if type(value) is int else value
    stated = (found_there.pop("times", ()), found_there.pop("lone_stops", ()))
    crowded = found_there.pop("crowded", False)
    reading = Reading.__new__(Reading)
    vars(reading).update(_NOTHING_FOUND | {"note_id": note_id, "text_hash": "hash"} | found_there)
    vars(reading)["_times"] = None if crowded else stated
    return reading


def said_of(
    rule_id: str, *starts: int, effect: str | None = None, authority: str | None = None, **slots: object
) -> Finding:
    """The finding of a rule with what it points to in `a_reading` and what fills its sentence."""
    where = [Quote("note-1", start, start + 1, "hash") for start in starts]
    own = Effect(effect) if effect else None
    return found(registered()[rule_id], where=where, effect=own, authority=authority, **slots)


@pytest.fixture(scope="session")
def sandbox_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real FHIR server, loaded with both halves of the fixtures; one for the whole run."""
    with server.running(tmp_path_factory.mktemp("sandbox")) as base:
        server.load_fixtures(base, ("development", "held_back"))
        yield base


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ehr]:
    """The sandbox EHR: charts, an authorization server, the FHIR server behind a door. Claimwright is registered there."""
    with sandbox_ehr.running(tmp_path_factory.mktemp("ehr"), f"http://localhost:{server.free_port()}") as running:
        yield running


@pytest.fixture(scope="module")
def house(ehr: Ehr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Claimwright, serving where the EHR has it registered."""
    quiet = EngineSettings(poll_seconds=None, pump_seconds=0.2)  # visits are told of, as tests do it
    opened = House.open(ehr.settings(tmp_path_factory.mktemp("claimwright"), engine=quiet))
    with sandbox_ehr.serving(build(opened), int(ehr.app_url.rpartition(":")[2])):
        yield opened


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A loopback HTTP server that answers as a test scripts it."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str | None:
    """A database by its kind: None is the SQLite file of the settings, else the URL of an empty PostgreSQL database."""
    return postgresql() if getattr(request, "param", "sqlite") == "postgresql" else None


@pytest.fixture
def store(database: str | None, tmp_path: Path) -> Iterator[Store]:
    """A store in a real SQLite file, or in a real PostgreSQL database where the test says so."""
    opened = Store.open(Settings(data_dir=tmp_path, database_url=database))
    yield opened
    opened.close()
