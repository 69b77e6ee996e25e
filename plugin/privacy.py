"""The one gate through which note text may leave for a proposer, and the way its quotes come back.

Labelled psychotherapy notes never pass, protected records only with a recorded basis (`guardrails.visit_status.privacy`);
for a real EHR the model's host needs a named basis of its own. Identifiers known from FHIR are replaced by placeholders,
one per surface form, and a segment map leads every quote back to the original text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_mappings.identifiers import SurfaceForm, folded
from guardrails.evidence import find
from guardrails.verdict import Finding, Proposal, Quoted, found
from guardrails.visit import Context, Note, Visit
from guardrails.visit_status import MODEL_NOT_COVERED, privacy, protected_labels
from plugin.settings import EhrSettings, ModelSettings, SettingsError
from prompts import Reply, SentNote


class Closed(Exception):
    """Nothing of the visit may leave; `findings` say why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(", ".join(f.rule_id for f in findings))
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of sent text and the original it stands for; a replaced one maps as a whole."""

    sent: tuple[int, int]
    original: tuple[int, int]
    replaced: bool


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A note as it leaves, and the map back."""

    note: Note
    sent: SentNote
    segments: tuple[Segment, ...] = field(repr=False)

    def original_of(self, quote: str) -> str | None:
        """The note's own words for a quote of the sent text, or None where the quote does not stand there."""
        span = find(self.sent.text, quote)
        if span is None:
            return None
        start, end = self._back(span[0], first=True), self._back(span[1] - 1, first=False)
        return self.note.text[start:end]

    def _back(self, position: int, *, first: bool) -> int:
        for segment in self.segments:
            if segment.sent[0] <= position < segment.sent[1]:
                if segment.replaced:
                    return segment.original[0] if first else segment.original[1]
                return segment.original[0] + position - segment.sent[0] + (0 if first else 1)
        raise AssertionError("segments cover the sent text")


_APART = r"[\s,./_-]{0,3}"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_MONTH = r"(?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_DATE = (
    rf"\d{{1,4}} ?[/. -] ?\d{{1,2}} ?[/. -] ?\d{{1,4}}|\d{{8}}|{_MONTH}{_APART}{_DAY}{_APART}\d{{2,4}}"
    rf"|{_DAY}{_APART}{_MONTH}{_APART}\d{{2,4}}|\d{{4}}{_APART}(?:{_MONTH}{_APART}{_DAY}|{_DAY}{_APART}{_MONTH})"
)

# What looks like an identifier although FHIR does not know it. A date of birth counts as one only beside its label.
_PATTERNS = (
    ("EMAIL", re.compile(r"[\w.+-]+\s?@\s?[\w-]+\.[\w.-]+\w")),
    ("SSN", re.compile(r"\b\d{3}-\d{2}-\d{4}\b|(?<!\d)\d{9}(?!\d)")),
    ("PHONE", re.compile(r"(?<![\d/])(?:\+?1[ .-]?)?\(?\d{3}\)?[ ._·/-]{0,3}\d{3}[ ._·/-]{0,3}\d{4}(?![\d/])")),
    (
        "NUMBER",
        re.compile(
            r"\b(?:Medicaid|Medicare|Member|Subscriber|Policy|Chart|Account|Case)(?:\s+(?:ID|No|Number))?[.:# ]+(?P<value>(?=[A-Z-]*\d)[A-Z0-9-]{5,})"
            r"|\b(?:Member|Subscriber|Policy|Chart|Account|Case)\s+(?:ID|No|Number)[.:# ]+(?P<short>[A-Z0-9-]{3,})",
            re.IGNORECASE,
        ),
    ),
    ("MRN", re.compile(r"(?<=\bMRN)[:# ]+[A-Z0-9][A-Z0-9-]{2,}", re.IGNORECASE)),
    (
        "BIRTHDATE",
        re.compile(
            rf"\b(?:D\.?O\.?B\b|born|of birth|birth ?(?:date|day))[\s:#.(-]{{1,20}}(?:(?:on|is|was)\s+)?(?P<born>(?:{_DATE})(?!\d))",
            re.IGNORECASE,
        ),
    ),
)


def open_gate(
    visit: Visit,
    context: Context,
    forms: Sequence[SurfaceForm],
    ehr: EhrSettings,
    model: ModelSettings | None,
) -> tuple[Outgoing, ...]:
    """The visit's usable notes as they may leave, identifiers replaced. `model` None means they stay in this process.

    Raises:
        Closed: a label forbids it, or asks for a basis that is not recorded.
        SettingsError: a real EHR's notes would go to a host for which no basis is named.
    """
    findings = privacy(visit, context)
    if findings:
        raise Closed(findings)
    protected = protected_labels(visit)
    if model is not None and not ehr.sandbox and protected and not model.protected_basis:
        raise Closed([found(MODEL_NOT_COVERED, label=", ".join(protected))])
    if model is not None and not ehr.sandbox and not model.basis:
        raise SettingsError(
            "model.basis: name the agreement (BAA, QSOA, local model) under which notes of this EHR may go to the model's host"
        )
    placeholders = _Placeholders("\n".join(note.text for note in visit.notes.evidence))
    return tuple(_replace(note, f"note-{n}", forms, placeholders) for n, note in enumerate(visit.notes.evidence, 1))


def client_placeholders(outgoing: Sequence[Outgoing]) -> tuple[str, ...]:
    """The placeholders that stand for the client, so that a proposer knows who is meant."""
    return tuple(sorted({m for o in outgoing for m in re.findall(r"\bCLIENT-\d{3}\b", o.sent.text)}))


def proposals_of(reply: Reply, outgoing: Sequence[Outgoing]) -> tuple[Proposal, ...]:
    """A reply as proposals over the original notes. A quote that stands in no sent text is kept as it came, to be refused."""
    by_id = {o.sent.id: o for o in outgoing}
    proposals = []
    for line in reply.lines:
        quotes = []
        for quote in line.quotes:
            source = by_id.get(quote.note)
            candidates = [source] if source else list(outgoing)
            found = next(((o.note.id, t) for o in candidates if (t := o.original_of(quote.text)) is not None), None)
            element = None if quote.element in ("time", "service") else quote.element
            quotes.append(Quoted(found[1], element, found[0]) if found else Quoted(quote.text, element))
        proposals.append(
            Proposal(
                code=line.code,
                units=line.units,
                modifiers=tuple(line.modifiers),
                quotes=tuple(quotes),
                unsure=line.unsure,
            )
        )
    return tuple(proposals)


class _Placeholders:
    """One placeholder per surface form, none of which stands in the text already."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, surface: str) -> str:
        key = (kind, surface)
        while key not in self._given:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            candidate = f"{kind}-{self._counts[kind]:03}"  # of one width, so that none stands inside another
            if candidate not in self._text:
                self._given[key] = candidate
        return self._given[key]


def _replace(note: Note, sent_id: str, forms: Sequence[SurfaceForm], placeholders: _Placeholders) -> Outgoing:
    parts: list[str] = []
    segments: list[Segment] = []
    position = length = 0

    def take(text: str, original: tuple[int, int], replaced: bool) -> None:
        nonlocal length
        if text:
            segments.append(Segment((length, length + len(text)), original, replaced))
            parts.append(text)
            length += len(text)

    for start, end, kind in _identifying(note.text, forms):
        take(note.text[position:start], (position, start), replaced=False)
        take(placeholders.of(kind, note.text[start:end]), (start, end), replaced=True)
        position = end
    take(note.text[position:], (position, len(note.text)), replaced=False)
    return Outgoing(note, SentNote(sent_id, "".join(parts)), tuple(segments))


def _identifying(text: str, forms: Sequence[SurfaceForm]) -> list[tuple[int, int, str]]:
    """The spans to replace, the longest first where they overlap, in the order of the text."""
    found: list[tuple[int, int, str]] = []
    taken = bytearray(len(text))
    matches: list[tuple[int, int, str]] = []
    plain, places = folded(text)
    for form in forms:
        pattern = re.compile(form.pattern, re.IGNORECASE if form.any_case else 0)
        matches += [(places[m.start()], places[m.end() - 1] + 1, form.kind) for m in pattern.finditer(plain)]
    for kind, pattern in _PATTERNS:
        for m in pattern.finditer(plain):
            skipped = len(m.group(0)) - len(m.group(0).lstrip(":# "))
            start = m.end() - len(m[m.lastgroup]) if m.lastgroup else m.start() + skipped
            matches.append((places[start], places[m.end() - 1] + 1, kind))
    for start, end, kind in sorted(matches, key=lambda m: (m[0] - m[1], m)):
        if not any(taken[start:end]):
            taken[start:end] = b"\x01" * (end - start)
            found.append((start, end, kind))
    return sorted(found)
