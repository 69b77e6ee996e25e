"""Random and mutated input for everything that reads what others wrote: `make fuzz` (a million inputs, a dated report).

Allowed is a result, or one of our own refusals. Anything else is a defect, shown by reader, seed and kind of exception:
`python -m tests.fuzz readers --seed S --inputs 1` runs one of them again.
"""

from __future__ import annotations

import copy
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from fhir_mappings import views
from fhir_mappings.bundles import UnusableBundle, visits_in
from fhir_mappings.context import to_context
from fhir_mappings.identifiers import identifiers_of
from fhir_mappings.records import NoteRecord, SiteOptions
from fhir_mappings.views import UnusableResource
from fhir_mappings.visits import to_visit
from guardrails import codebook, policies
from plugin import privacy, proposals_file
from plugin.ehr import formats
from plugin.ehr.capabilities import read_capabilities
from plugin.ehr.client import FhirClient
from plugin.ehr.errors import EhrError, UnsafeUrl
from plugin.ehr.formats import FormatLimits, UnreadableNote
from plugin.ehr.urls import resolve
from plugin.settings import EhrSettings, Limits
from sandbox import fixtures
from tests import documents
from tests.conftest import TODAY, a_note, a_visit

LINES = ("Service: Skills training", "Start time: 2:00 PM", "Stop time: 2:45 PM", "Client said “fine” – progress.")
SEEDS = {
    formats.PLAIN: "\n".join(LINES).encode(),
    formats.HTML: documents.html(LINES, "<style>.x{display:none}</style><table><tr><td class=x>a<td>b</table>"),
    formats.RTF: documents.rtf(LINES, r"{\v hidden}\trowd a\cell b\cell\row{\pict\bin3 abc}"),
    formats.CCDA: documents.ccda(LINES, "<list><item>one</item></list><table><tr><td>x</td></tr></table>"),
    formats.PDF: documents.pdf([LINES, LINES]),
}
TOKENS = {
    formats.PLAIN: [b"\xff\xfe", b"\x00", "\u202e".encode(), b"\xef\xbb\xbf", b"\x81"],
    formats.HTML: [
        b"<div>",
        b"</p>",
        b"<!--",
        b"-->",
        b"&#x110000;",
        b"<style>",
        b"{display:none}",
        b"<table>",
        b"<svg>",
        b'style="',
        b"<![CDATA[",
    ],
    formats.RTF: [
        b"{",
        b"}",
        b"\\v ",
        b"\\v0",
        b"\\bin9999 ",
        b"\\u-1?",
        b"\\u55357?",
        b"\\'",
        b"\\'ff",
        b"\\uc9",
        b"\\ansicpg0",
        b"\\ansicpg65001",
        b"\\*",
        b"\\fonttbl",
        b"\\deleted",
    ],
    formats.CCDA: [
        b"<!DOCTYPE a>",
        b"<!ENTITY b 'c'>",
        b"&b;",
        b"<text>",
        b"</section>",
        b"<![CDATA[",
        b"xmlns=''",
        b"<?xml encoding='utf-7'?>",
        b"\x00",
    ],
    formats.PDF: [
        b"obj",
        b"endobj",
        b"stream",
        b"endstream",
        b"/Filter /FlateDecode",
        b"/Kids [2 0 R]",
        b"9999999999",
        b"/Encrypt 1 0 R",
        b"<<",
        b">>",
        b"/Length -1",
        b"trailer",
        b"3 Tr",
    ],
}
ODD: list[Any] = [
    None,
    [],
    {},
    "",
    " ",
    0,
    -1,
    2**70,
    1.5,
    True,
    "\ud800",
    "\u202e",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00Z",
    "0001-01-01",
    "1e5000",
    "Wendell Ostrava",
    json.loads('{"extension": [' * 100 + "]}" * 100),
    "2026-02-30",
    "x" * 300,
    [[[[]]]],
    {"reference": 3},
    {"reference": "a/b/c"},
    ["a", 1, None],
]
LIMITS = FormatLimits(
    html_characters=20_000, html_depth=200, rtf_bytes=20_000, ccda_bytes=20_000, pdf_bytes=50_000, pdf_pages=5
)
BOOK = codebook.load()
FIXTURE = fixtures.load_one(fixtures.ROOT / "development" / "account-order")
BUNDLE = {"resourceType": "Bundle", "entry": [{"resource": r} for r in FIXTURE.resources]}
STATEMENT = json.loads((Path(fixtures.__file__).parent / "vendors" / "epic.metadata.json").read_text(encoding="utf-8"))
POLICY = "id = 'x'\npayer = 'p'\nsource = 's'\neffective_from = 2026-01-01\nkind = 'medicaid'\nquarter_hour = 'FLOOR15'\n[codes.H2014]\n"


@dataclass
class Tally:
    """What became of the inputs, by reader; `slowest` in seconds."""

    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    gave_up: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)


def _bytes(rng: random.Random, seed: bytes, tokens: list[bytes]) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.randint(1, rng.choice((1, 2, 8)))):
        at, what = rng.randrange(len(data) + 1), rng.random()
        if what < 0.3:
            data[at:at] = rng.choice(tokens) * rng.choice((1, 1, 1, 2, 50))
        elif what < 0.5 and data:
            data[at % len(data)] = rng.randrange(256)
        elif what < 0.7:
            del data[at : at + rng.randint(1, 40)]
        elif what < 0.85:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start : start + rng.randint(1, 200)]
        else:
            del data[at:]
    return bytes(data)


def _json(rng: random.Random, value: Any) -> Any:
    """The same JSON with a few nodes replaced, removed or moved."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 4)):
        node = value
        for _ in range(rng.randint(0, 8)):
            inner = [
                v for v in (node.values() if isinstance(node, dict) else node) if isinstance(v, (dict, list)) and v
            ]
            if not inner:
                break
            node = rng.choice(inner)
        key = rng.choice(list(node)) if isinstance(node, dict) and node else rng.randrange(len(node)) if node else None
        if key is None:
            continue
        if rng.random() < 0.2:
            del node[key]
        else:
            node[key] = copy.deepcopy(rng.choice(ODD)) if rng.random() < 0.8 else value
            with suppress(ValueError, RecursionError):
                value = json.loads(json.dumps(value))  # what came over the wire is a tree
                continue
            node[key] = None
    return value


def _note(kind: str) -> Callable[[random.Random], object]:
    return lambda rng: formats.to_text(kind, _bytes(rng, SEEDS[kind], TOKENS[kind]), kind, LIMITS)


def _bundle(rng: random.Random) -> None:
    broken = _json(rng, BUNDLE)
    for record in visits_in(broken, lambda d, _: NoteRecord(d, "\n".join(LINES)), ehr_id="fuzz"):
        identifiers_of(record)
        mapped = to_visit(record, SiteOptions(zone="America/New_York"), BOOK)
        to_context(
            record.context,
            mapped,
            today=date(2026, 11, 23),
            disclosure_basis=None,
        )
        "\n".join(mapped.complaints.said).encode()  # what is said can be printed


OUTCOME = {
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "transient", "diagnostics": "x", "details": {"text": "y"}}],
}
PAGE = {
    "resourceType": "Bundle",
    "type": "searchset",
    "link": [{"relation": "self", "url": "Patient"}, {"relation": "next", "url": "https://ehr.example/fhir?page=2"}],
    "entry": [*({"resource": r} for r in FIXTURE.resources[:3]), {"resource": OUTCOME}],
}
_HEADERS = {"Retry-After": "120", "ETag": 'W/"1"', "Location": "https://ehr.example/fhir/Patient/1/_history/1"}


def _answers(rng: random.Random) -> None:
    """A server whose statuses, headers and bodies are all odd: read, searched and written to."""

    def answer(_: httpx.Request) -> httpx.Response:
        body = json.dumps(_json(rng, rng.choice((PAGE, OUTCOME, FIXTURE.resources[0])))).encode()
        if rng.random() < 0.3:
            body = _bytes(rng, body, [b"\\ud800", b"\\u0000", b"1e9999", b"[" * 300, b"null", b"\xff", b"NaN"])
        headers = [
            (
                name.encode(),
                _bytes(rng, value.encode(), [b"\xb2", b"9" * 400, b" ", b";", b"Mon, 01 Jan 0001 00:00:00 GMT"])
                .replace(b"\n", b"")
                .replace(b"\r", b""),
            )
            for name, value in _HEADERS.items()
            if rng.random() < 0.3
        ]
        kind = rng.choice(
            ("application/fhir+json", "application/json; charset=latin-1", "text/html", "json; charset=x")
        )
        status = rng.choice((200, 200, 200, 201, 204, 302, 400, 401, 404, 409, 412, 422, 429, 500, 503, 600))
        return httpx.Response(status, content=body, headers=[*headers, (b"Content-Type", kind.encode())])

    settings, refusals = EhrSettings(base_url="https://ehr.example/fhir"), list[EhrError]()
    limits = Limits(pages=3, resources=50, read_seconds=1)
    with FhirClient(settings, limits, transport=httpx.MockTransport(answer), sleep=lambda _: None) as client:
        for act in (
            lambda: client.read("Patient", "1"),
            lambda: list(client.search("Patient", {"_id": "1"})),
            lambda: client.create({"resourceType": "Patient"}, if_none_exist="identifier=x"),
            lambda: client.fetch("Binary/1"),
        ):
            try:
                act()
            except EhrError as refusal:
                str(refusal).encode()
                refusals.append(refusal)
    if len(refusals) > 2:
        raise refusals[0]


FORMS = identifiers_of(next(iter(visits_in(BUNDLE, lambda d, _: NoteRecord(d, ""), ehr_id="fuzz"))))


def _gate(rng: random.Random) -> None:
    """Whatever is replaced, the map leads from the sent text back to the whole note."""
    tokens = [form.pattern[-12:].encode() for form in FORMS[:9]]
    tokens += [
        "\u00ad".encode(),
        "\u2011".encode(),
        "ﬁ".encode(),
        "\u0301".encode(),
        b"-\n",
        b"555-0136",
        b"CLIENT-001",
    ]
    text = _bytes(rng, ("\n".join(LINES) + " (614) 555-0136 -\n").encode(), tokens).decode("utf-8", "replace")
    (out,) = privacy.open_gate(a_visit(a_note(text)), TODAY, FORMS, EhrSettings(sandbox=True), None)
    assert "".join(text[slice(*s.original)] for s in out.segments) == text, "the segments do not cover the note"
    assert [s.sent[0] for s in out.segments[1:]] == [s.sent[1] for s in out.segments[:-1]], "gaps in the sent text"


_DATES = ("2026-03-02T14:00:00-05:00", "2026-03-02", "2026", "0001-01-01T00:00:00+14:00", "20260302T1400Z")


def _date(rng: random.Random) -> None:
    text = _bytes(rng, rng.choice(_DATES).encode(), [b"-", b"T", b"Z", b"24:00", b"\xd9\xa1", b"+99:99", b" "]).decode(
        "utf-8", "replace"
    )
    with suppress(ValueError):
        views.instant(text)
    views.day(text)


def _url(rng: random.Random) -> None:
    base = "https://ehr.example/fhir/R4"
    tokens = [
        b"..",
        b"%2e",
        b"//",
        b"\\",
        b"@",
        b":",
        b"[",
        b"]",
        b"https://",
        b"?",
        b"#",
        b"%25",
        b"evil",
        b"\xe2\x80\xae",
    ]
    seed = rng.choice((f"{base}/Binary/1", "Binary/1", "/fhir/R4/Patient?x=y", "https://inner/fhir/Binary/1")).encode()
    url = resolve(base, _bytes(rng, seed, tokens).decode("utf-8", "replace"), ("https://inner/fhir",))
    assert re.match(r"https://ehr\.example(?::|:443)?/fhir/R4(?:[/?]|$)", url, re.IGNORECASE), "outside the base"


def _policy(rng: random.Random) -> None:
    tokens = [b"[", b"=", b"'", b"\n", b"99999999999", b"[codes.", b"inf", b"2026-13-01", b"unit_rule = 'x'\n"]
    policies.parse(_bytes(rng, POLICY.encode(), tokens).decode("utf-8", "replace"), name="fuzz.toml")


def _proposal(rng: random.Random) -> None:
    proposals_file.proposal(
        _json(rng, {"p": {"code": "H2014", "units": 3, "modifiers": ["HN"], "quotes": ["a", {"text": "b"}]}}).get("p")
    )


READERS: dict[str, tuple[Callable[[random.Random], object], int]] = {
    "plain text": (_note(formats.PLAIN), 10),
    "HTML": (_note(formats.HTML), 10),
    "RTF": (_note(formats.RTF), 10),
    "C-CDA": (_note(formats.CCDA), 15),
    "PDF": (_note(formats.PDF), 1),
    "Bundle to visit": (_bundle, 2),
    "answers over HTTP": (_answers, 3),
    "privacy gate": (_gate, 3),
    "CapabilityStatement": (lambda rng: read_capabilities(_json(rng, STATEMENT)), 1),
    "dates": (_date, 20),
    "URLs": (_url, 20),
    "policy": (_policy, 8),
    "proposals": (_proposal, 13),
}
IN_CHILD = {"HTML", "RTF", "C-CDA", "PDF"}
REFUSALS = (
    UnreadableNote,
    UnusableBundle,
    UnusableResource,
    UnsafeUrl,
    EhrError,
    ValueError,
    policies.PolicyError,
    proposals_file.UnusableProposals,
)
_OURS = {"dates": (ValueError,)}


def run(inputs: int, seed: int, *, progress: Callable[[str], None] = lambda _: None) -> Tally:
    """Feed that many inputs; the same seed gives the same inputs."""
    names, weights = list(READERS), [weight for _, weight in READERS.values()]
    tally = Tally()
    for number in range(seed, seed + inputs):
        rng = random.Random(number)
        name = rng.choices(names, weights)[0]
        started = time.perf_counter()
        try:
            READERS[name][0](rng)
            tally.read[name] += 1
        except (RecursionError, MemoryError) as complex_:
            tally.gave_up[name] += 1
            if name not in IN_CHILD:
                tally.defects.append(f"{name}: seed {number}: {type(complex_).__name__}")
        except REFUSALS as refusal:
            plain = type(refusal) in (ValueError, UnicodeDecodeError, UnicodeEncodeError)
            if plain and name != "dates":
                tally.defects.append(f"{name}: seed {number}: {type(refusal).__name__}")
            tally.refused[name] += 1
        except Exception as defect:
            tally.defects.append(f"{name}: seed {number}: {type(defect).__name__}")
        tally.slowest[name] = max(tally.slowest.get(name, 0.0), time.perf_counter() - started)
        if (number - seed + 1) % 50_000 == 0:
            progress(f"{number - seed + 1} inputs, {len(tally.defects)} defects")
    return tally


def table(tally: Tally) -> str:
    """The counts as Markdown."""
    rows = ["| reader | read | refused by name | too complex | slowest, ms |", "|---|---|---|---|---|"]
    for name in READERS:
        counts = (tally.read[name], tally.refused[name], tally.gave_up[name])
        rows.append(f"| {name} | {counts[0]} | {counts[1]} | {counts[2]} | {tally.slowest.get(name, 0) * 1e3:.0f} |")
    return "\n".join(rows)
