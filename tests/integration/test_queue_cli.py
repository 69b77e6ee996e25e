"""The commands of the work that nobody waits for, and of the history: enqueue, worker, audit verify, audit export."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B.auditevent import AuditEvent
from sqlalchemy import create_engine, text

from plugin import balp
from plugin.cli import main
from plugin.release import batches
from plugin.release.batches import Form
from plugin.review import coder
from plugin.review.states import State
from plugin.store.arrivals import Work
from plugin.store.audit import Event
from tests.approved import SUPERVISOR, VISITS, Office, as_environment, copied, office
from tests.unit.test_claims import issues, npm_fhir

Json = dict[str, Any]
Run = Callable[..., Result]


@pytest.fixture
def here(sandbox_base: str, tmp_path: Path) -> Iterator[Office]:
    """A site with nothing in it."""
    with office(sandbox_base, tmp_path / "office") as opened:
        yield opened


@pytest.fixture
def run(here: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line of that site."""
    for name, value in as_environment(here.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments, **more: CliRunner().invoke(main, [str(a) for a in arguments], **more)


def waiting(here: Office) -> list[str]:
    return [a.encounter_id for a in here.store.arrivals.all() if a.state is Work.WAITING]


def test_a_list_of_visits_waits_to_be_coded_and_a_wrong_line_does_not_stop_it(here: Office, run: Run) -> None:
    """Ids with and without their type; blank lines and remarks are none; wrong lines are named by number, never shown."""
    lines = "\ufeffvisit-1\n# a remark\n\nEncounter/visit-2\r\nnot an id, Jane\n" + "x" * 5000 + "\nvisit-3"
    result = run("enqueue", "-", input=lines)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"claimwright: line {n}: not the logical id of an Encounter" for n in (5, 6)]
    assert result.stdout == "3 visits wait to be coded\n"
    assert waiting(here) == ["visit-1", "visit-2", "visit-3"]


def test_bytes_that_are_no_text_are_a_wrong_line(here: Office, run: Run, tmp_path: Path) -> None:
    """A file that is something else altogether changes nothing and says where."""
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00\nvisit-1\n")
    result = run("enqueue", "list")
    assert result.exit_code == 2
    assert "line 1" in result.stderr
    assert waiting(here) == ["visit-1"]


def test_an_unknown_ehr_is_named_as_such(here: Office, run: Run) -> None:
    """Nothing waits where no EHR of that id is set."""
    result = run("enqueue", "-", "--ehr", "elsewhere", input="visit-1\n")
    assert result.exit_code == 2
    assert "ehr.id" in result.stderr
    assert waiting(here) == []


def test_a_worker_codes_what_waits_and_ends_when_it_is_told_to(here: Office, run: Run, tmp_path: Path) -> None:
    """A process of its own takes up an enqueued visit; SIGTERM lets it end with exit code 0."""
    visit = copied(here.base, VISITS[0], here.mark)
    assert run("enqueue", "-", input=visit).exit_code == 0
    command = [sys.executable, "-m", "plugin.cli", "worker", "--name", "w1"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "CLAIMWRIGHT_LOG": "json"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            for _ in range(1200):
                if here.store.drafts(encounter_id=visit) or worker.poll() is not None:
                    break
                time.sleep(0.1)
        finally:
            worker.send_signal(signal.SIGTERM)
            said, complained = worker.communicate(timeout=120)
    assert worker.returncode == 0, complained
    (draft,) = here.store.drafts(encounter_id=visit)
    assert draft.state is State.READY
    assert "worker w1 is at work for office" in said
    assert said.endswith("worker w1 has stopped\n")
    assert all(json.loads(line)["level"] for line in complained.splitlines())


def test_a_worker_without_a_way_into_an_ehr_says_what_to_set(sandbox_base: str, run: Run, monkeypatch: Any) -> None:
    """It does not run idle; a wrong name is refused too."""
    assert run("worker", "--name", "W 1").exit_code == 2
    monkeypatch.setenv("CLAIMWRIGHT_EHR", json.dumps({"base_url": sandbox_base}))
    result = run("worker")
    assert result.exit_code == 2
    assert "ehr.backend" in result.stderr


def history(here: Office) -> None:
    """Something of every kind that a day brings."""
    draft = here.approved()
    here.approved(VISITS[1])
    store = here.store
    store.audit.note(Event.SIGNED_IN, SUPERVISOR.id, None, None)
    notes = [{"note": "note-1", "hash": "a" * 64}, {"note": "note-2", "hash": "b" * 64}]
    store.audit.note(Event.NOTE_READ, SUPERVISOR.id, "office", draft.id, notes=notes)
    host = {"host": "model.example", "basis": "BAA", "notes": [{"note": "note-1", "version": "1"}]}
    store.audit.note(Event.DISCLOSED, None, "office", f"Encounter/{draft.encounter_id}", **host)
    batches.release(here.settings, store, here.ehrs.unattended_site, Form.CSV, SUPERVISOR.id)
    store.releases.again(1, SUPERVISOR.id)
    store.audit.note(Event.ROLES, SUPERVISOR.id, None, "provider|other", roles=["coder"])
    store.purge("office", draft.encounter_id, SUPERVISOR.id)


def test_the_history_verifies_and_a_changed_row_is_found(here: Office, run: Run) -> None:
    """It holds, also after a purge; its head can be noted down; one changed word is named by its entry, with exit code 1."""
    history(here)
    result = run("audit", "verify")
    assert result.exit_code == 0
    count, head = result.stdout.splitlines()[-1].split(":")
    assert (int(count), head) == here.store.audit.head()
    here.store.audit.note(Event.SIGNED_OUT, SUPERVISOR.id, None, None)
    assert run("audit", "verify", "--from", f"{count}:{head}").exit_code == 0
    assert run("audit", "verify", "--from", f"{count}:{'0' * 64}").exit_code == 1
    assert run("audit", "verify", "--from", "yesterday").exit_code == 2
    engine = create_engine(here.settings.database)
    with engine.begin() as connection:
        connection.execute(text("update audit set actor = 'nobody' where id = 3"))
    engine.dispose()
    broken = run("audit", "verify")
    assert broken.exit_code == 1
    assert broken.stdout == "broken: entry 3 is not what was written; 2 entries before hold\n"


def test_what_was_cut_off_shows_against_a_head_noted_down(here: Office, run: Run) -> None:
    """The last entry and its head taken away: the chain alone holds, with the earlier head it does not."""
    coder.take_back(here.store, here.approved(), SUPERVISOR)
    count, head = here.store.audit.head()
    before = here.store.audit.entries(after=count - 2)[0]
    engine = create_engine(here.settings.database)
    with engine.begin() as connection:
        connection.execute(text("delete from audit where id = :n"), {"n": count})
        connection.execute(text("update audit_head set count = :n, hash = :h"), {"n": before.id, "h": before.hash})
    engine.dispose()
    assert run("audit", "verify").exit_code == 0
    result = run("audit", "verify", "--from", f"{count}:{head}")
    assert result.exit_code == 1
    assert f"the head noted earlier at {count}" in result.stdout


def test_the_history_is_exported_line_by_line(here: Office, run: Run) -> None:
    """Every entry in its order as one JSON object, with its hash."""
    history(here)
    result = run("audit", "export")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["id"] for line in lines] == list(range(1, here.store.audit.head()[0] + 1))
    assert lines[-1]["hash"] == here.store.audit.head()[1]
    assert {"proved", "decided", "released", "issued again", "purged"} <= {line["kind"] for line in lines}


def test_the_history_as_audit_events_is_valid_fhir(here: Office, run: Run) -> None:
    """Each entry is at least one AuditEvent that three validators take; those with a BALP profile have what it asks for."""
    history(here)
    result = run("audit", "export", "--balp")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    for each in events:
        AuditEvent.model_validate(each)
    assert {
        e["valueString"] for each in events for e in each["entity"][0].get("detail", ()) if e["type"] == "entry"
    } == {str(n) for n in range(1, here.store.audit.head()[0] + 1)}
    assert [issues(each) for each in events] == [[] for _ in events]
    assert npm_fhir(*events) == [[] for _ in events]
    profiles = [each["meta"]["profile"][0].rpartition("BasicAudit.")[2] for each in events if "meta" in each]
    assert profiles.count("PrivacyDisclosure.Source") == 1 + 2 + 2
    assert profiles.count("PatientRead") == 2
    assert profiles.count("PatientCreate") == len({e.subject for e in entries(here, Event.WRITTEN)})
    for each in events:
        if "meta" in each:
            assert {"110152", "110153"} <= {a["type"]["coding"][0]["code"] for a in each["agent"]}
            kinds = [e["type"]["code"] for e in each["entity"]]
            assert kinds.count("1") == 1
            assert "2" in kinds


def entries(here: Office, kind: Event) -> list[Any]:
    return [e for e in here.store.audit.entries() if e.kind == kind]


def test_an_entry_that_nobody_foresaw_is_exported_too(here: Office) -> None:
    """Of a visit that has no draft, of nothing at all, of a kind that is new: always one valid AuditEvent."""
    here.store.audit.note(Event.PURGED, None, "office", "Encounter/none")
    here.store.audit.note(Event.NOTE_READ, "somebody", "office", "visit:office/none", notes=[])
    here.store.audit.note(Event.RELEASED, "somebody", None, "batch/9", drafts=["gone"], big="x" * 5000)
    here.store.audit.note(Event.WRITTEN, "Practitioner/1", "elsewhere", "gone", claim="Claim/1")
    writer = balp.Writer(here.settings, here.store)
    events = [each for entry in here.store.audit.entries() for each in writer.events(entry)]
    assert len(events) == 4
    assert [issues(each) for each in events] == [[]] * 4
