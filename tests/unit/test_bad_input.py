"""Broken inputs, one a row: what a person sees of each, and that the other visit goes on.

`path` says where in the Bundle of a good visit the `change` (JSON, DELETE, or a word for bytes) is made; `shows` is all that is
then said, exactly, in its order; `outcome` is what becomes of the proposed line.
"""

from __future__ import annotations

import base64
import copy
import csv
import json
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from fhir_mappings.bundles import UnusableBundle
from fhir_mappings.records import VisitRecord
from fhir_mappings.views import UnusableResource
from fhir_mappings.visits import to_visit
from guardrails import Proposal, codebook
from plugin import pipeline
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import EhrError
from plugin.proposers.baseline import Baseline
from plugin.settings import EhrSettings, Limits, Payers, Settings
from plugin.site import bundle_site, read_bundle
from plugin.workbench import Site
from sandbox import fixtures
from tests import documents
from tests.scripted import Answer, ScriptedServer

BROKEN, HEALTHY = (fixtures.load_one(fixtures.ROOT / "development" / n) for n in ("h2014-45-minutes", "h0031-complete"))
PAYERS = fixtures.PAYERS
with (Path(__file__).parents[1] / "spec" / "bad_input.csv").open(encoding="utf-8", newline="") as _table:
    ROWS = list(csv.DictReader(_table))
LIMITS = Limits(pages=3, resources=50, response_bytes=2500, read_seconds=2, request_seconds=2)
PRIVATE = ("Wendell", "Ostrava", "Tobias", "Renner", "budget", "receipts", "RB-1", "\ud800", "\x1b")
DEEP = '{"extension": [' * 400 + "]}" * 400
BYTES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "blank": lambda: b" \n ",
    "undecodable": lambda: b"\x81\x8d",
    "not-rtf": lambda: b"words",
    "rtf-cut": lambda: b"{\\rtf1 words",
    "rtf-bad-page": lambda: b"{\\rtf1\\ansicpg932 \\'81}",
    "html-deep": lambda: b"<b>" * 2000,
    "html-long": lambda: b"<p>" + b"x" * 600_000,
    "html-script-only": lambda: b"<script>words</script>",
    "xml-damaged": lambda: b"<ClinicalDocument",
    "xml-other": lambda: b"<a/>",
    "xml-entity": lambda: b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "pdf-damaged": lambda: b"%PDF-1.4",
    "pdf-scan": lambda: documents.pdf([[]]),
    "pdf-invisible": lambda: documents.pdf([["words"]], mode=3),
    "pdf-long": lambda: documents.pdf([["words"]] * 51),
    "text-long": lambda: b"x" * 1_000_001,
}


def bundle() -> dict[str, Any]:
    """A good visit, another one, and the clinic, whose first resource stands before them."""
    first, *rest = fixtures.clinic()
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in copy.deepcopy((first, *BROKEN.resources, *HEALTHY.resources, *rest))],
    }


def changed(path: str, change: str) -> Any:
    """The Bundle with one change. The path begins with a resource of the good visit, or with Bundle."""
    content = bundle()
    kind, *steps = re.findall(r"[A-Za-z_]+|\d+", path)
    node: Any = content
    if kind != "Bundle":
        mine = [e["resource"] for e in content["entry"] if e["resource"]["resourceType"] == kind]
        node = next((r for r in mine if r["id"].startswith(BROKEN.name)), None) or mine[0]
    for step in steps[:-1]:
        node = node[int(step)] if step.isdigit() else node.setdefault(step, {})
    last: Any = int(steps[-1]) if steps and steps[-1].isdigit() else steps[-1] if steps else None
    if last is None:
        return json.loads(change)
    if change == "DELETE":
        del node[last]
    elif change == "DEEP":
        node[last] = ["DEEP"]
    elif change in BYTES:
        node[last] = base64.b64encode(BYTES[change]()).decode("ascii")
    else:
        node[last] = json.loads(
            re.sub(r'"FILE ([a-z-]+)"', lambda m: json.dumps(base64.b64encode(BYTES[m[1]]()).decode("ascii")), change)
        )
    return content


def nobody(encounter_id: str) -> VisitRecord:
    """Records are handed over one by one here."""
    raise AssertionError(encounter_id)


@lru_cache(maxsize=1)
def _site() -> Site:
    book = codebook.load()
    return Site(
        settings=Settings(ehr=fixtures.ehr("bad")),
        codebook=book,
        payers=Payers.read(PAYERS),
        proposer=Baseline(book),
        read=nobody,
        today=lambda: date(2026, 11, 23),
    )


def seen(row: dict[str, str], folder: Path) -> tuple[str, str, bool]:
    """What is said, what becomes of the line, and whether the other visit is unharmed."""
    built = _site()
    file = folder / "visit.json"
    file.write_bytes(
        row["change"].encode("utf-8", "surrogateescape")
        if row["path"] == "file"
        else json.dumps(changed(row["path"], row["change"])).replace('"DEEP"', DEEP).encode()
    )
    try:
        bundle_site(built.settings, file)
        records = {str(r.encounter.get("id")): r for r in read_bundle(built.settings, file)}
    except UnusableBundle as problem:
        return str(problem), "error", True
    said: dict[str, tuple[list[str], list[str]]] = {}
    for fixture in (BROKEN, HEALTHY):
        record = records.get(fixture.name)
        if record is None:
            said[fixture.name] = [], ["gone"]
            continue
        try:
            understood = pipeline.understand(built, record)
        except UnusableResource as problem:
            said[fixture.name] = [str(problem)], ["error"]
            continue
        proposals: tuple[Proposal, ...] = fixture.cases[0].proposals
        verdicts = pipeline.prove(built, understood, proposals)
        findings = [f for v in verdicts.verdicts for f in v.findings] or list(verdicts.findings)
        texts = [*understood.problems, *(f"{f.message} ({f.rule_id})" for f in findings)]
        said[fixture.name] = list(dict.fromkeys(texts)), [v.outcome.value for v in verdicts.verdicts]
    if BROKEN.name not in records:
        texts, outcomes = said[HEALTHY.name]
        return " / ".join(texts), "gone", outcomes == ["ready"]
    texts, outcomes = said[BROKEN.name]
    "".join(texts).encode()  # what is said can be printed
    shared = set(said[HEALTHY.name][0]) & set(texts)  # complaints about the Bundle as a whole
    healthy = said[HEALTHY.name][1] == ["ready"] and set(said[HEALTHY.name][0]) <= shared
    return " / ".join(texts), outcomes[0], healthy


@pytest.mark.parametrize("row", [r for r in ROWS if r["group"] != "server"], ids=lambda r: r["id"])
def test_a_broken_input_is_said_exactly_and_the_other_visit_goes_on(row: dict[str, str], tmp_path: Path) -> None:
    """The row's text, the row's outcome, no words of the note or the client, and nothing happens to the other visit."""
    shows, outcome, healthy = seen(row, tmp_path)
    assert (shows, outcome) == (row["shows"], row["outcome"])
    assert healthy
    assert not [word for word in PRIVATE if word in shows]


ANSWERS: dict[str, Answer] = {
    "html": Answer(200, b"<html>Sign in</html>", content_type="text/html"),
    "empty": Answer(200, b""),
    "text": Answer(200, b"ok", content_type="text/plain"),
    "array": Answer(200, []),
    "number": Answer(200, 3),
    "cut": Answer(200, b'{"resourceType": "Bun'),
    "no-type": Answer(200, {"entry": []}),
    "utf8": Answer(200, b'{"resourceType": "\xff"}'),
    "deep": Answer(200, b"[" * 1900),
    "patient": Answer(200, {"resourceType": "Patient", "id": "1"}),
    "large": Answer(200, {"resourceType": "Bundle", "x": "y" * 4000}),
    "redirect": Answer(302, None, {"Location": "https://elsewhere.example/"}),
    "outcome": Answer(422, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid", "diagnostics": "Ostrava"}]}),
    "outcome-named": Answer(422, {"resourceType": "OperationOutcome", "issue": [{"code": "Wendell-Ostrava"}, {"code": "Ostrava"}]}),
    "outcome-shapes": Answer(422, {"resourceType": "OperationOutcome", "issue": [{"severity": {}, "code": ["Ostrava"]}, "Ostrava", None]}),
    "cut-short-shapes": Answer(200, {"resourceType": "OperationOutcome", "issue": [{"severity": {}, "code": []}, {"severity": "fatal", "code": 3}]}),
    "patience": Answer(429, None, {"Retry-After": "\u00b2"}),
    "other-patient": Answer(200, {"resourceType": "Patient", "id": "2", "name": [{"family": "Ostrava"}]}),
    "no-id": Answer(200, {"resourceType": "Patient"}),
    "type-named": Answer(200, {"resourceType": "Wendell Ostrava", "id": "1"}),
    "next-nul": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "Patient?a=\u0000"}]}),
    "next-delete": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "Patient?a=\u007f"}]}),
    "next-surrogate": Answer(200, b'{"resourceType": "Bundle", "link": [{"relation": "next", "url": "https://\\ud800/"}]}'),
    "next-list": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": ["Ostrava"]}]}),
    "next-port": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "http://x:99999999/"}]}),
    "next-long": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "P?" + "a" * 1500}]}),
    "deep-extension": Answer(200, b'{"resourceType": "Patient", "id": "1", "x": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "partial": Answer(200, {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "incomplete"}]}}]}),
    "failed": Answer(200, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}),
    "elsewhere": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "https://evil.example/fhir?page=2"}]}),
    "circle": Answer(200, {"resourceType": "Bundle", "link": [{"relation": "next", "url": "Patient?page=2"}]}),
    "drop": Answer(drop=True),
}  # fmt: skip


@pytest.mark.parametrize("row", [r for r in ROWS if r["group"] == "server"], ids=lambda r: r["id"])
def test_a_servers_bad_answer_is_said_exactly(row: dict[str, str], scripted: ScriptedServer) -> None:
    """Method or resource, what was answered, what to do; never the answer's own words."""
    scripted.script(ANSWERS.get(row["change"]) or Answer(int(row["change"]), None))
    with (
        FhirClient(EhrSettings(base_url=scripted.base), LIMITS, sleep=lambda _: None) as client,
        pytest.raises(EhrError) as problem,
    ):
        list(client.search("Patient", {"_id": "1"})) if row["path"] == "search" else client.read("Patient", "1")
    assert f"{type(problem.value).__name__}: {problem.value}" == row["shows"]
    assert not [word for word in PRIVATE if word in row["shows"]]


def test_the_table_is_large_enough_and_the_good_visit_is_good(tmp_path: Path) -> None:
    """At least 150 rows, each with an id of its own; unchanged, the visit is ready and nothing is said."""
    assert len(ROWS) >= 150
    assert len({r["id"] for r in ROWS}) == len(ROWS)
    unchanged = {"path": "Bundle.type", "change": '"collection"'}
    assert seen(unchanged, tmp_path) == ("", "ready", True)
    assert to_visit(
        read_bundle(_site().settings, tmp_path / "visit.json")[0], _site().settings.ehr.site(), _site().codebook
    )
