"""Identifiers planted in every fixture, then searched for wherever they must not be: requests, logs, output, columns."""

from __future__ import annotations

import base64
import json
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from plugin import pipeline, privacy, site
from plugin.cli import main
from plugin.ehr.errors import EhrError
from plugin.proposers.protocol import ProposerError
from plugin.settings import ModelSettings, Settings
from sandbox import fixtures
from tests.scripted import Answer, ScriptedServer

Json = dict[str, Any]
# No word here occurs by chance; each is written into FHIR, and most of them into the notes in several spellings.
PLANTED = (
    "Zquorlby",
    "Wexaphine",
    "Ythrobald",
    "ZQ-7731904",
    "zq.wexa@mail.example",
    "41 Vraxley Terrace",
    "QMEM8814402",
)
PHONE, BORN = "(614) 555-0136", "1971-11-09"
SPELT = (
    "Wexaphine Zquorlby (ZQUORLBY, WEXAPHINE), Ms. Zquorlby's chart ZQ-7731904, born 11/09/1971, Nov 9, 1971; called from "
    "614-555-0136 and 614.555.0136, zq.wexa@mail.example, 41 Vraxley Terrace, member QMEM8814402. Mother Ythrobald was there. "
    "Wexaphine\u00a0Zquorlby and Wexaphine\nZquorlby."
)
REPLY = json.dumps({"lines": [], "nothing_because": "no service is documented"})


def found_in(text: str) -> set[str]:
    """Which planted identifiers stand in a text, however it is spaced, cased or punctuated."""
    squeezed = re.sub(r"[\s\u00a0]+", "", text).casefold()
    digits = re.sub(r"\D+", " ", re.sub(r"(?<=\d)[\s().-]{1,2}(?=\d)", "", text))
    found = {p for p in PLANTED if re.sub(r"\s+", "", p).casefold() in squeezed}
    found |= {PHONE} if "6145550136" in digits else set()
    return found | {b for b in (BORN, "11/09/1971", "nov9,1971") if b in squeezed}


def planted(fixture: fixtures.Fixture) -> list[Json]:
    """The fixture's resources under ids of their own, every person's identifiers replaced, the notes with them in words."""
    text = json.dumps(fixture.resources).replace(fixture.name, f"planted-{fixture.name}"[:60])
    resources: list[Json] = json.loads(text)
    for each in resources:
        if each["resourceType"] == "Patient":
            each["name"] = [{"family": "Zquorlby", "given": ["Wexaphine"]}]
            each["identifier"] = [{"system": "https://ehr.example/mrn", "value": "ZQ-7731904"}]
            each["telecom"] = [
                {"system": "phone", "value": PHONE},
                {"system": "email", "value": "zq.wexa@mail.example"},
            ]
            each["address"] = [{"line": ["41 Vraxley Terrace"], "city": "Columbus"}]
            each["contact"] = [{"name": {"family": "Ythrobald", "given": ["Oona"]}}]
            each["birthDate"] = BORN
        elif each["resourceType"] == "Coverage":
            each["subscriberId"] = "QMEM8814402"
        elif each["resourceType"] == "DocumentReference":
            for content in each["content"]:
                attachment = content["attachment"]
                if attachment.get("contentType", "").startswith("text/plain") and "data" in attachment:
                    note = base64.b64decode(attachment["data"]).decode() + "\n" + SPELT + "\n"
                    attachment["data"] = base64.b64encode(note.encode()).decode()
    return resources


@pytest.fixture(scope="module")
def visits(sandbox_base: str) -> list[str]:
    """Every fixture of both halves, planted, in the real server; the ids of their visits."""
    ids = []
    with httpx.Client(base_url=sandbox_base, timeout=60) as client:
        for half in fixtures.HALVES:
            for fixture in fixtures.load(half):
                entries = [
                    {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
                    for r in planted(fixture)
                ]
                answer = client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
                assert answer.status_code == 200, fixture.name
                ids.append(f"planted-{fixture.name}"[:60])
    return ids


@pytest.fixture
def to_ehr(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Method, URL and headers of every request to the EHR."""
    seen: list[str] = []
    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        seen.append(f"{request.method} {request.url} {dict(request.headers)}")
        return send(self, request, **more)

    monkeypatch.setattr(httpx.Client, "send", noted)
    return seen


@pytest.fixture
def settings(sandbox_base: str, tmp_path: Path, scripted: ScriptedServer) -> Settings:
    """A store of its own, and a model that proposes nothing, then fails in three ways, then proposes nothing."""

    def completion(message: Json) -> Answer:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return Answer(200, body, content_type="application/json")

    good = completion({"content": REPLY})
    scripted.script(
        good,
        Answer(400, {"error": {"message": "about Wexaphine Zquorlby"}}, content_type="application/json"),
        completion({"content": None, "refusal": "Zquorlby"}),
        Answer(200, b"<html>ZQ-7731904</html>", content_type="text/html"),
        good,
    )
    return Settings(
        ehr=fixtures.ehr("planted", base_url=sandbox_base, billing_provider=f"Organization/{tmp_path.name[:40]}"),
        model=ModelSettings(name="m", base_url=f"{scripted.base}/v1"),
        data_dir=tmp_path,
        payers_file=fixtures.ROOT.parent / "sandbox" / "payers.toml",
    )


def run_all(settings: Settings, visits: list[str]) -> list[str]:
    """Code every visit; what was said of those that could not be."""
    said = []
    with site.ehr_site(settings) as (made, _):
        for visit in visits:
            try:
                pipeline.code_visit(made, visit)
            except (EhrError, ProposerError) as problem:
                said.append(str(problem))
    return said


def columns(path: Path) -> Iterator[tuple[str, str]]:
    """Every value of the database by column, but for the ciphertext."""
    connection = sqlite3.connect(path)
    for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
        cursor = connection.execute(f"select * from {table}")
        names = [d[0] for d in cursor.description]
        for row in cursor:
            for name, value in zip(names, row, strict=True):
                if (table, name) not in {("sealed", "ciphertext"), ("visit_key", "wrapped")}:
                    yield f"{table}.{name}", str(value)


def test_planted_identifiers_stand_nowhere_that_they_must_not(
    visits: list[str],
    settings: Settings,
    scripted: ScriptedServer,
    to_ehr: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Not in what went to the model, in URLs and headers, logs at DEBUG, errors, the commands' output or the database."""
    caplog.set_level(logging.DEBUG)
    errors = run_all(settings, visits)
    asked = [r.body.decode() for r in scripted.requests]
    assert len(asked) > 25
    assert len(errors) >= 3
    for variable, value in (
        ("DATA_DIR", str(tmp_path)),
        ("EHR__ID", "planted"),
        ("EHR__SANDBOX", "true"),
        ("EHR__BASE_URL", settings.ehr.base_url),
    ):
        monkeypatch.setenv(f"CLAIMWRIGHT_{variable}", value)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    commands = [["drafts"], *(["explain", v, "--json"] for v in visits[:6]), *(["explain", v] for v in visits[:6])]
    commands += [["disclosures", v] for v in visits[:6]]
    commands += [["propose", "--encounter", v, "--dry-run", *extra] for v in visits[:4] for extra in ([], ["--json"])]
    output = [runner.invoke(main, command).output for command in commands]
    assert any("H0031" in o or "90791" in o for o in output)
    places = {
        "model request": asked,
        "EHR request": to_ehr,
        "log": [f"{r.getMessage()} {r.exc_text or ''}" for r in caplog.records],
        "error": errors,
        "output": output,
    }
    stored = list(columns(tmp_path / "claimwright.db"))
    assert len(stored) > 500
    leaks = {(place, leak) for place, texts in places.items() for text in texts for leak in found_in(text)}
    leaks |= {(column, leak) for column, value in stored for leak in found_in(value)}
    assert leaks == set()


def test_the_search_finds_what_the_gate_replaces(
    visits: list[str], settings: Settings, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: with the gate's replacement switched off, the same search finds every kind of planted identifier."""
    monkeypatch.setattr(privacy, "_identifying", lambda *_: [])
    run_all(settings, visits[:12])
    found = set().union(*(found_in(r.body.decode()) for r in scripted.requests))
    assert {"Zquorlby", "Wexaphine", "ZQ-7731904", PHONE, "QMEM8814402", "11/09/1971", "41 Vraxley Terrace"} <= found
