"""The privacy law: identifiers planted in every fixture's FHIR and notes stand nowhere but in `sealed.ciphertext`."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import re
import sqlite3
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from plugin import pipeline, privacy, site
from plugin.cli import main
from plugin.metrics import Metrics
from plugin.proposers.model import Model
from plugin.settings import Limits, ModelSettings, Settings
from plugin.store.store import Store
from sandbox import fixtures
from tests.approved import OFFICE, as_environment, office
from tests.scripted import Answer, ScriptedServer

Json = dict[str, Any]
PREFIX = "planted-leak-"
TEXT = ("text/plain", "text/html")


def person(given: list[str], family: str, phone: str, street: str, born: str) -> Json:
    mail = f"{given[0][0]}.{family}@mail.example".lower()
    return {
        "name": [{"use": "official", "family": family, "given": given, "text": " ".join([*given, family])}],
        "telecom": [{"system": "phone", "value": phone}, {"system": "email", "value": mail}],
        "address": [{"line": [street], "city": "Columbus", "state": "OH", "postalCode": "43004"}],
        "birthDate": born,
    }


PATIENT = person(["Wexaphine", "Oolvenna"], "Zquorlby", "(614) 555-0136", "41 Vraxley Terrace", "1971-11-09")
PATIENT["name"].append({"use": "maiden", "family": "Kvíntarsk", "given": ["Wexaphine"]})
PATIENT["identifier"] = [{"system": "https://ehr.example/mrn", "value": "ZQ-77319048"}]
RELATED = person(["Prunxelle"], "Ythrobald", "937-555-0162", "77 Quillonbreck Lane", "1944-06-23")
CLINICIAN = person(["Brimvauxe"], "Hjalmqvore", "513.555.0187", "9 Dwelphin Court", "1969-08-17")
CLINICIAN["identifier"] = [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1730998840"}]
CONTACT = person(["Taquenelle"], "Uxbrindle", "(419) 555-0114", "5 Ploverquist Way", "1975-02-03")
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Wexaphine Zquorlby</div>'}
SPELT = """Wexaphine Zquorlby; Zquorlby, Wexaphine; ZQUORLBY, WEXAPHINE O.; Wexaphine\u00a0Zquorlby, Wexaphine
Zquorlby, Wexaphine Oolvenna Zquorlby, wexaphine zquorlby, Zquorlby's and Zquorlby’s sister, W. Zquorlby, W.Z., W. Z.,
formerly Kvíntarsk (KVINTARSK). MRN ZQ-77319048, zq-77319048. Born 11/09/1971, DOB: 1971-11-09, on Nov 9, 1971, Nov. 9, 1971, November 9, 1971,
9 November 1971, 11-9-71, 1971 Nov 09, 1971-Nov-09, 09NOV1971, 1971, November 9. Called (614) 555-0136, 614.555.0136, 614\u00a0555\u00a00136, 614‑555‑0136, 6145550136, +1 614 555 0136; w.zquorlby@mail.example; lives at 41 Vraxley Terrace,
41 VRAXLEY
TERRACE. Member QMEM88144029. Mother Prunxelle Ythrobald (YTHROBALD, PRUNXELLE), 937-555-0162, p.ythrobald@mail.example,
77 Quillonbreck Lane, 06/23/1944. Contact Uxbrindle, Taquenelle at (419) 555-0114, t.uxbrindle@mail.example, 5 Ploverquist Way.
Seen by B. Hjalmqvore, Brimvauxe Hjalmqvore's desk 513 555 0187, b.hjalmqvore@mail.example, NPI 1730998840, 9 Dwelphin Court."""

# What to search for: in the text's letters and digits alone; in its digits with what stands between them taken out; as written.
WORDS = re.findall(
    r"\w+",
    """wexaphine oolvenna zquorlby kvintarsk zq77319048 vraxley qmem88144029 prunxelle ythrobald quillonbreck brimvauxe
    hjalmqvore dwelphin taquenelle uxbrindle ploverquist november91971 nov91971 9november1971
    1971nov09 09nov1971 1971november9""",
)
NUMBERS = ("6145550136", "9375550162", "5135550187", "4195550114", "1730998840", "77319048", "88144029")
WRITTEN = {
    "initials": r"(?<!\w)W\.\s?Z\.",
    "birth date": r"(?<!\d)(?:11[\W_]0?9[\W_](?:19)?71|1971[\W_]11[\W_]09)(?!\d)",
    "relative's birth date": r"(?<!\d)(?:0?6[\W_]23[\W_](?:19)?44|1944[\W_]06[\W_]23)(?!\d)",
}
EVERYTHING = {*WORDS, *NUMBERS, *WRITTEN}


def found_in(text: str) -> set[str]:
    """Which planted identifiers stand in a text, however cased, spaced, punctuated, accented or escaped."""
    text = re.sub(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-f]{2}))", lambda m: chr(int(m[1] or m[2], 16)), text)
    text = re.sub(r"\\+[nrt]", "\n", text)
    bare = re.sub(r"[\W_]+", "", "".join(c for c in unicodedata.normalize("NFKD", text) if c.isascii()).casefold())
    digits = re.sub(r"(?<=\d)[\s()./+_–‑-]{1,3}(?=\d)", "", text)
    found = {word for word in WORDS if word in bare}
    found |= {n for n in NUMBERS if re.search(rf"(?<!\d)(?:1|001)?{n}(?!\d)", f"{text} {digits}")}
    return found | {name for name, pattern in WRITTEN.items() if re.search(pattern, text)}


def with_line(encoded: str, kind: str) -> str:
    """A note's bytes with the planted line at its end."""
    text = base64.b64decode(encoded).decode()
    line = SPELT if kind == "text/plain" else f"<p>{SPELT.replace(chr(10), '<br>').replace(chr(160), '&nbsp;')}</p>"
    at = text.rfind("</body>") if "</body>" in text else len(text)
    return base64.b64encode(f"{text[:at]}\n{line}\n{text[at:]}".encode()).decode()


def planted(resources: list[Json]) -> list[Json]:
    """The same resources under ids of their own, their people's identifiers replaced, the notes with the planted line."""
    ids = {f"{r['resourceType']}/{r['id']}": f"{r['resourceType']}/{PREFIX}{r['id']}" for r in resources}
    shown = {"Patient": "Zquorlby, Wexaphine", "Practitioner": "Brimvauxe Hjalmqvore"}

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(v) for v in value]
        if not isinstance(value, dict):
            return ids.get(value, value) if isinstance(value, str) else value
        display = shown.get(str(value.get("reference", "")).partition("/")[0])
        return {k: moved(v) for k, v in value.items()} | ({"display": display} if display else {})

    made = [{**moved(r), "id": PREFIX + r["id"], "text": NARRATIVE} for r in resources]
    binaries = {f"Binary/{r['id']}": r for r in made if r["resourceType"] == "Binary"}
    for each in list(made):
        if each["resourceType"] == "Patient":
            each.update(PATIENT, contact=[{k: CONTACT[k] for k in ("telecom",)} | {"name": CONTACT["name"][0]}])
            each["contact"][0]["address"] = CONTACT["address"][0]
            me = {"reference": f"Patient/{each['id']}"}
            made.append({"resourceType": "RelatedPerson", "id": f"{each['id']}-mother", "patient": me, **RELATED})
        elif each["resourceType"] == "Practitioner":
            each.update(CLINICIAN)
        elif each["resourceType"] == "Coverage":
            each.update(subscriberId="QMEM88144029", identifier=[{"value": "QMEM88144029"}])
        elif each["resourceType"] == "Binary":
            each.pop("text")
        elif each["resourceType"] == "DocumentReference":
            each["description"] = "Note of Wexaphine Zquorlby, born 11/09/1971"
            for attachment in (c["attachment"] for c in each["content"]):
                kind = attachment.get("contentType", "").partition(";")[0]
                holder = binaries.get(attachment.get("url", ""), attachment)
                if kind in TEXT and "data" in holder:
                    attachment.pop("size", None), attachment.pop("hash", None)
                    holder["data"] = with_line(holder["data"], kind)
    return made


class Echo(Answer):
    """A valid answer made for the request: its first code is given, quoting a placeholder of its first note."""

    asked: Callable[[], bytes]

    @property
    def raw(self) -> bytes:
        request = json.loads(self.asked())
        parts = request["response_format"]["json_schema"]["schema"]["$defs"]
        codes, elements = parts["Codes"]["required"], parts["Elements"]["required"]
        note = re.search(r'"note": "([^"]+)"', request["messages"][1]["content"].splitlines()[-1])
        mark = re.search(r"\b(?:CLIENT|PERSON|MRN)-\d{3}\b", request["messages"][1]["content"])
        quote = {"note": note[1] if note else "", "shows": "time", "text": mark[0] if mark else "Signed by"}
        said = {c: {"given": "no", "units": 0, "modifiers": [], "quotes": []} for c in codes}
        said[codes[0]] = {"given": "yes", "units": 1, "modifiers": [], "quotes": [quote]}
        shown = {e: {"shown": False, "note": None, "text": None} for e in elements}
        answer = {"codes": said, "elements": shown, "missed": None, "nothing_because": None}
        return json.dumps(completion({"content": json.dumps(answer)})).encode()


def completion(message: Json) -> Json:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


def scripts(server: ScriptedServer) -> list[list[Answer]]:
    """What the model does, visit after visit: mostly it answers; else it fails, with an identifier in what it says."""
    said, kind = "about Wexaphine Zquorlby, ZQ-77319048", "application/json"
    echo = Echo(200, content_type=kind)
    echo.asked = lambda: server.requests[-1].body
    down = Answer(500, {"error": {"message": said}}, content_type=kind)
    wrong = Answer(400, {"error": {"message": said}}, content_type=kind)
    refused = Answer(200, completion({"content": None, "refusal": said}), content_type=kind)
    page = Answer(200, f"<html>{said}</html>".encode(), content_type="text/html")
    other = Answer(200, completion({"content": json.dumps({"lines": said})}), content_type=kind)
    return [[echo], [echo], [down], [echo], [refused], [page], [echo], [other], [wrong], [down, echo]]


@pytest.fixture(scope="module")
def visits(sandbox_base: str) -> list[str]:
    """Every fixture of both halves, planted, in the real server; the ids of their visits."""
    clinic = [r for r in fixtures.clinic() if r["resourceType"].startswith("Practitioner")]
    made = [f for half in fixtures.HALVES for f in fixtures.load(half)]
    resources = planted([*clinic, *(r for f in made for r in f.resources)])
    with httpx.Client(base_url=sandbox_base, timeout=60) as client:
        for start in range(0, len(resources), 50):
            entries = [
                {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
                for r in resources[start : start + 50]
            ]
            answer = client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
            assert answer.status_code == 200, answer.text[:300]
    return [PREFIX + f.name for f in made]


def settings_for(base: str, folder: Path, model: ScriptedServer) -> Settings:
    return Settings(
        ehr=fixtures.ehr("planted", base_url=base, billing_provider=f"Organization/{folder.name[:40]}"),
        model=ModelSettings(name="m", base_url=f"{model.base}/v1"),
        data_dir=folder,
        payers_file=fixtures.PAYERS,
    )


def code_all(settings: Settings, visits: list[str], server: ScriptedServer, plan: list[list[Answer]]) -> list[str]:
    """Code every visit; what was said of those that could not be, with the whole trace."""
    errors = []
    proposer = Model(settings.model, Limits(), sleep=lambda _: None)
    with site.ehr_site(settings, proposer=proposer) as (made, _):
        for n, visit in enumerate(visits):
            server.script(*plan[n % len(plan)])
            try:
                result = pipeline.code_visit(made, visit)
                errors += [result.problem or "", *result.understood.problems, repr(result.verdicts.findings)]
            except Exception as problem:
                errors.append("".join(traceback.format_exception_only(problem)) + repr(problem.args))
    return errors


def requests_of(server: ScriptedServer) -> list[str]:
    return [f"{r.method} {r.path} {r.headers} {r.body.decode()}" for r in server.requests]


def columns(path: Path) -> Iterator[tuple[str, str]]:
    """Every value of the database with its column."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            cursor = connection.execute(f"select * from {table}")
            for row in cursor:
                for (name, *_), value in zip(cursor.description, row, strict=True):
                    yield f"{table}.{name}", value.decode("latin-1") if isinstance(value, bytes) else str(value)


class Kept(logging.Handler):
    """Every record as a log file would hold it, with its arguments."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.names.add(record.name.partition(".")[0])
        self.lines.append(f"{record.name} {logging.Formatter().format(record)}")


def commands(settings: Settings, visits: list[str], patch: pytest.MonkeyPatch) -> list[str]:
    """What the command line prints and raises, with the model and with the baseline; `--quotes`, which shows words, apart."""
    for name, value in {
        "CLAIMWRIGHT_DATA_DIR": str(settings.data_dir),
        "CLAIMWRIGHT_PAYERS_FILE": str(settings.payers_file),
        "CLAIMWRIGHT_EHR__ID": settings.ehr.id,
        "CLAIMWRIGHT_EHR__SANDBOX": "true",
        "CLAIMWRIGHT_EHR__CONSENT_SOURCE": "fhir",
        "CLAIMWRIGHT_EHR__BASE_URL": settings.ehr.base_url,
        "CLAIMWRIGHT_EHR__BILLING_PROVIDER": settings.ehr.billing_provider or "",
        "OPENAI_BASE_URL": str(settings.model.base_url),
    }.items():
        patch.setenv(name, value)
    patch.chdir(settings.data_dir)
    chosen = [PREFIX + name for name in ("h2014-45-minutes", "d90791-evaluation", "html-hidden-text")]
    made: list[list[str]] = [["drafts"], ["rules"], ["explain", "nothing"], ["propose", "--encounter", "nobody"]]
    for visit in chosen:
        made += [["explain", visit], ["explain", visit, "--json"], ["disclosures", visit]]
        made += [["propose", "--encounter", visit, *more] for more in ([], ["--json"], ["--dry-run"])]
    results = [CliRunner().invoke(main, command) for command in made]
    patch.delenv("OPENAI_BASE_URL")
    results += [
        CliRunner().invoke(main, ["propose", "--encounter", v, "--dry-run", *x])
        for v in chosen
        for x in ([], ["--json"])
    ]
    results.append(CliRunner().invoke(main, ["drafts"]))
    return [f"{r.output}\n{r.stderr}\n{r.exception!r}" for r in results]


@pytest.fixture(scope="module")
def seen(
    visits: list[str], tmp_path_factory: pytest.TempPathFactory, sandbox_base: str
) -> Iterator[dict[str, list[str]]]:
    """Every visit coded twice and three at the command line; what then stands in each place where nothing must leak."""
    folder, log, printed = tmp_path_factory.mktemp("leaks"), Kept(), io.StringIO()
    to_ehr: list[str] = []
    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        to_ehr.append(f"{request.method} {request.url} {request.headers.raw}")
        return send(self, request, **more)

    with pytest.MonkeyPatch.context() as patch, ScriptedServer() as server, contextlib.ExitStack() as stack:
        patch.setattr(httpx.Client, "send", noted)
        for name in (
            "",
            "httpx",
            "httpx2",
            "httpcore",
            "httpcore2",
            "openai",
            "sqlalchemy",
            "sqlalchemy.engine",
            "alembic",
        ):
            stack.callback(logging.getLogger(name).setLevel, logging.getLogger(name).level)
            logging.getLogger(name).setLevel(logging.DEBUG)
        patch.setattr(logging.getLogger(), "handlers", [log])
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.redirect_stderr(printed))
        settings = settings_for(sandbox_base, folder, server)
        plan = scripts(server)
        errors = code_all(settings, visits, server, plan)
        errors += code_all(settings, visits, server, plan[:1])
        server.script(*plan[0])
        with pytest.MonkeyPatch.context() as own:
            output = commands(settings, visits, own)
        yield {
            "model": requests_of(server),
            "EHR": to_ehr,
            "log": log.lines,
            "errors": errors,
            "output": [*output, printed.getvalue()],
            "columns": [f"{c} {v}" for c, v in columns(folder / "claimwright.db") if c != "sealed.ciphertext"],
            "sealed": [v for c, v in columns(folder / "claimwright.db") if c == "sealed.ciphertext"],
            "files": [f.read_bytes().decode("latin-1") for f in folder.rglob("*") if f.is_file()],
            "unsealed": [*unsealed(settings)],
            "loggers": sorted(log.names),
        }


def unsealed(settings: Settings) -> Iterator[str]:
    """The store's sealed texts, opened with the site's key."""
    store = Store.open(settings)
    try:
        with contextlib.closing(sqlite3.connect(settings.data_dir / "claimwright.db")) as connection:
            for key, kind in connection.execute("select snapshot_key, kind from sealed").fetchall():
                yield store.unseal(key, kind) or ""
    finally:
        store.close()


LEAST = {"model": 120, "EHR": 1000, "log": 5000, "errors": 20, "output": 25, "columns": 2000, "sealed": 80, "files": 2}


@pytest.mark.parametrize("place", LEAST)
def test_no_planted_identifier_stands_there(seen: dict[str, list[str]], place: str) -> None:
    """Of everything that was sent, logged, printed, raised or stored, no planted identifier is found in any spelling."""
    assert len(seen[place]) >= LEAST[place]
    leaks = {(found, text[:60]) for text in seen[place] for found in found_in(text)}
    assert {found for found, _ in leaks} == set(), sorted(leaks)[:20]


def test_every_library_was_listened_to(seen: dict[str, list[str]]) -> None:
    """The log that was searched holds records of the HTTP clients, the model's client, the database and its migrations."""
    assert {"httpx", "httpcore", "openai", "sqlalchemy", "alembic"} <= set(seen["loggers"])


def test_the_sealed_text_holds_what_the_ciphertext_hides(seen: dict[str, list[str]]) -> None:
    """Opened with the key, the sealed texts hold every planted identifier; so the store really has them."""
    assert set().union(*map(found_in, seen["unsealed"])) == EVERYTHING
    assert len(seen["unsealed"]) == len(seen["sealed"])


def test_the_search_finds_every_identifier_when_the_gate_replaces_nothing(
    visits: list[str], sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: with replacement switched off, the same search finds every planted identifier in the model's requests."""
    monkeypatch.setattr(privacy, "_identifying", lambda *_: [])
    with ScriptedServer() as server:
        code_all(settings_for(sandbox_base, tmp_path, server), visits[:12], server, scripts(server)[:1])
        assert set().union(*map(found_in, requests_of(server))) == EVERYTHING


def test_the_search_finds_names_when_the_gate_knows_none(
    visits: list[str], sandbox_base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without surface forms from FHIR the gate's patterns alone let names, numbers and addresses through."""
    monkeypatch.setattr(pipeline, "identifiers_of", lambda _: ())
    with ScriptedServer() as server:
        code_all(settings_for(sandbox_base, tmp_path, server), visits[:12], server, scripts(server)[:1])
        found = set().union(*map(found_in, requests_of(server)))
        assert {"zquorlby", "wexaphine", "prunxelle", "hjalmqvore", "uxbrindle", "vraxley", "initials"} <= found


def test_what_goes_out_stands_in_the_released_file_alone(
    visits: list[str],
    sandbox_base: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Approved and released by the command line, with one that stays: the file names the client, nothing else does."""
    assert visits
    lpc = {f"Practitioner/{PREFIX}{who}": "101YP2500X" for who in ("prac-lpc", "prac-lcsw", "prac-bachelor")}
    release = OFFICE.model_copy(update={"taxonomies": lpc})
    out, log = tmp_path / "out", Kept()
    out.mkdir()
    monkeypatch.setattr(logging.getLogger(), "handlers", [log])
    caplog.set_level(logging.DEBUG, "claimwright")
    with office(sandbox_base, tmp_path / "office", release=release) as here:
        first, *_ = [
            here.approve(f"{PREFIX}{name}") for name in ("h2014-45-minutes", "p90834-52-minutes", "h0032-complete")
        ]
        note = httpx.get(f"{sandbox_base}/DocumentReference/{first.encounter_id}-note").json()
        httpx.put(f"{sandbox_base}/DocumentReference/{note['id']}", json=note | {"docStatus": "amended"})
        for name, value in as_environment(here.settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(out)
        made = [["release", "--form", "837p", "--dry-run"], ["release", "--form", "837p"], ["release", "--form", "csv"]]
        made += [["releases"], ["releases", "--json"], ["audit", "export"], ["audit", "export", "--balp"]]
        output = [CliRunner().invoke(main, command) for command in made]
        metrics = Metrics(here.store).text().decode()
    (file,) = out.iterdir()
    assert {"zquorlby", "wexaphine", "qmem88144029", "vraxley"} <= found_in(file.read_text())
    kept = [f"{c} {v}" for c, v in columns(here.settings.data_dir / "claimwright.db") if c != "sealed.ciphertext"]
    said = [f"{r.output}\n{r.stderr}\n{r.exception!r}" for r in output]
    assert "stays: " in said[1]
    leaks = {(found, text[:80]) for text in (*said, *kept, *log.lines, metrics) for found in found_in(text)}
    assert leaks == set()
