"""Whether the words a proposal rests on stand in the notes, exactly (design: Evidence).

A quote is compared with the note's own text; runs of white space may fold to one, nothing else: no case folding, no
look-alike characters, no edit distance. Work is linear in note and quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Proposal, Quote, Quoted, found
from guardrails.visit import Clinician, Note, Visit

NOT_IN_NOTE = rule(
    "EVID-010",
    Effect.BLOCK,
    "{count} of the proposal's quotes do not stand in any note of this visit.",
    authority="domain 4.1, X-D22; design: Evidence",
    cured_by=CuredBy.NOBODY,
)
NO_QUOTE = rule(
    "EVID-020",
    Effect.HOLD,
    "The proposal quotes nothing from the note.",
    authority="domain 4.1; design: law 1",
    cured_by=CuredBy.CODER,
)
NOT_EVIDENCE = rule(
    "EVID-030",
    Effect.HOLD,
    "A quote stands in a note that is unsigned, replaced or may not be used.",
    authority="domain 4.8; design: Evidence",
    cured_by=CuredBy.NOTE,
    lacks="C08",
)
TWO_CLINICIANS = rule(
    "EVID-040",
    Effect.HOLD,
    "The proposal's quotes stand in notes of different clinicians; a line has one.",
    authority="design: Who",
    cured_by=CuredBy.CODER,
)
TOO_MUCH = rule(
    "EVID-050",
    Effect.HOLD,
    "The proposal quotes more than {limit} passages or characters; the quotes were not read.",
    authority="design: Limits",
    cured_by=CuredBy.CODER,
)

MAX_QUOTES = 64
MAX_QUOTED_CHARACTERS = 20_000


class Evidence(NamedTuple):
    """A proposal's proven quotes, the element each was said to show, the notes they stand in and who wrote those."""

    quotes: tuple[tuple[Quote, str | None], ...]
    notes: tuple[Note, ...]
    clinician: Clinician | None
    findings: tuple[Finding, ...]

    @property
    def spans(self) -> tuple[Quote, ...]:
        """The proven quotes alone."""
        return tuple([quote for quote, _ in self.quotes])


NOTHING = Evidence((), (), None, ())
"""The evidence of a proposal that was not looked into."""


def prove(proposal: Proposal, visit: Visit) -> Evidence:
    """Find each quote in the visit's notes. A quote that stands nowhere blocks; one in an unusable note holds."""
    usable, quotes = visit.notes.evidence, proposal.quotes
    if not quotes:
        return Evidence((), usable, _first_author(usable, visit), (found(NO_QUOTE),))
    if len(quotes) > MAX_QUOTES or sum([len(q.text) for q in quotes]) > MAX_QUOTED_CHARACTERS:
        too_much = found(TOO_MUCH, limit=f"{MAX_QUOTES} / {MAX_QUOTED_CHARACTERS}")
        return Evidence((), usable, _first_author(usable, visit), (too_much,))
    proven: list[tuple[Quote, str | None]] = []
    astray: list[Quoted] = []
    for quoted in quotes:
        quote = _locate(quoted, usable)
        if quote is None:
            astray.append(quoted)
        else:
            proven.append((quote, quoted.element))
    findings = _not_proven(astray, visit) if astray else ()
    holders = {quote.note_id for quote, _ in proven}
    authors = {note.author.id: note.author for note in usable if note.author and note.id in holders}
    if len(authors) > 1:
        findings = (*findings, found(TWO_CLINICIANS))
    clinician = next(iter(authors.values()), None) or visit.rendering
    notes = tuple([n for n in usable if n.author is None or clinician is None or n.author.id == clinician.id])
    return Evidence(tuple(proven), notes, clinician, findings)


def _first_author(usable: Sequence[Note], visit: Visit) -> Clinician | None:
    return next((n.author for n in usable if n.author), None) or visit.rendering


def _not_proven(quotes: Sequence[Quoted], visit: Visit) -> tuple[Finding, ...]:
    """What is found of quotes that stand in no note that may be used: in another note of the visit, or in none."""
    others = [n for n in visit.notes if not n.is_evidence and not n.is_psychotherapy_note]
    missing = sum([_locate(quoted, others) is None for quoted in quotes])
    findings = (found(NOT_IN_NOTE, count=missing),) if missing else ()
    return findings if missing == len(quotes) else (*findings, found(NOT_EVIDENCE))


def find(text: str, quote: str, folded: Callable[[], str] | None = None) -> tuple[int, int] | None:
    """Where a quote stands in a text, in code points: exactly, else with runs of white space folded; nothing fuzzier.

    `folded` gives the text with its runs of white space folded, where somebody keeps it.
    """
    if not quote or quote.isspace():
        return None
    at = text.find(quote)
    if at >= 0:
        return at, at + len(quote)
    words, whole = " ".join(quote.split()), folded() if folded else " ".join(text.split())
    at = whole.find(words)
    return (_unfolded(text, whole, at), _unfolded(text, whole, at + len(words) - 1) + 1) if at >= 0 else None


def _unfolded(text: str, folded: str, at: int) -> int:
    """Where a character of the folded text that is no blank stands in the text itself."""
    before = folded.count(" ", 0, at)
    word = next(islice(_WORD.finditer(text), before, None))
    return word.start() + at - (folded.rfind(" ", 0, at) + 1)


_WORD = re.compile(r"\S+")


def _locate(quoted: Quoted, notes: Sequence[Note]) -> Quote | None:
    """The first note in which the words stand, and where."""
    for note in notes:
        if quoted.note_id is None or quoted.note_id == note.id:
            span = find(note.text, quoted.text, note.folded)
            if span:
                return Quote(note.id, span[0], span[1], note.text_hash)
    return None
