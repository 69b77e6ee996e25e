"""Whether the record shows what the service must show (domain 4): by a proven quote, or by our own detector.

Never by the proposer's word: a quote said to show an element counts only if it has the element's own signals in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from guardrails.codebook import Code, Codebook, Element
from guardrails.evidence import Evidence
from guardrails.policies import Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Minutes, found
from guardrails.visit import Note, Visit

SIGNED_EARLY = rule(
    "DOC-C08",
    Effect.HOLD,
    "The note was signed before the service ended.",
    authority="domain 4.2 C08, X-D03",
    cured_by=CuredBy.NOTE,
    lacks="C08",
)
SIGNED_LATE = rule(
    "DOC-C21",
    Effect.WARN,
    "The note was signed more than {limit} days after the service.",
    authority="domain 4.2 C21, X-D04; the payer's policy",
    cured_by=CuredBy.NOBODY,
)

_NAME = (
    r"(?!(?:n/?a|none|tbd|date|see|pending|awaiting|required|needed|proxy)\b)"
    r"(?!(?:client|patient|guardian|parent)\b(?! (?:partner|navigator|support|services|advocate|peer)\b))[^\W\d_]"
)
_SIGNATURE = re.compile(
    rf"\b(?:electronically |digitally |e-?)?signed(?: and dated)?(?: electronically)? by\b[ \t:]*(?:{_NAME}|\n[ \t]*(?-i:[A-Z][\w.'-]+ [A-Z]))"
    rf"|\b(?:e-?)?signature(?:/credentials)?[ \t]*:[ \t]*(?:{_NAME}|\n[ \t]*(?-i:[A-Z][\w.'-]+ [A-Z]))|/e?s/[ \t]*{_NAME}",
    re.IGNORECASE,
)
_SET_APART = re.compile(r"[.;|,\n\t]|  ")
_ANOTHERS = re.compile(  # right before: somebody else's signature, another paper's, or none yet
    r"\b(?:client|patient|pt|member|guardian|parent|mother|father|witness|supervisor|representative|roi|release|consent|form|(?:last|previous|prior) note)(?:'s)?(?: (?:was|were|is|has been))?\s*$"
    r"|\b(?:not(?: yet)?(?: been)?|to be|will be|must be|pending|awaiting|needs?)\s*$|\bco-$",
    re.IGNORECASE,
)
_BY_ANOTHER = re.compile(r"[^\n(]{0,40}\((?:client|patient|guardian|parent|witness)\s*\)", re.IGNORECASE)


def _signatures(text: str) -> Iterator[re.Match[str]]:
    """Where the author signed: not where somebody else did, or is yet to sign."""
    for match in _SIGNATURE.finditer(text):
        before = _SET_APART.split(text[max(0, match.start() - 60) : match.start()])[-1]
        if not (_ANOTHERS.search(before) or _BY_ANOTHER.match(text, match.end())):
            yield match


def has_signature(text: str) -> bool:
    """Whether a note's text carries its author's signature (domain 4.2 C08). A blank line to sign on is none."""
    if any(_signatures(text)):
        return True
    closing = [line for line in text.splitlines() if line.strip()][-6:]
    return any(_signs(words) for line in closing for words in _SENTENCES.split(line))


def _signs(words: str) -> bool:
    """Whether a closing line's sentence signs in fewer words: "Signed: Dana Whitfield", "Dana Whitfield, LCSW, signed 03/02/2026"."""
    match = _SIGNING.search(words)
    if match is None or _BY_ANOTHER.match(words, match.end()):
        return False
    return not _NOT_THE_AUTHORS.search(words, 0, match.end())


_SENTENCES = re.compile(r"\. |[;\t]|  ")


_SIGNING = re.compile(
    r"(?i:\b(?:e-?)?sig(?:ned|nature|\.)?(?!\w)|/e?s/)[^\n]{0,60}?(?:\b[A-Z][\w.]*,? [A-Z]|\b[A-Z]{2}\w+)|(?i:\bsigned:)[ ]?[a-z]+ [a-z]+"
    r"|\b[A-Z][a-z]+ [A-Z][^\n]{0,40}, (?i:signed) \d"
)
_NOT_THE_AUTHORS = re.compile(
    r"_{3,}|<|\b(?:un-?signed|not|to be|will be|pending|awaiting|required|draft|needs?|proxy|roi|release|consent|last|previous|witness|supervisor|representative"
    r"|(?:client|patient|guardian|parent)(?! (?:partner|navigator|support|services|advocate|peer))|mother|father|co-?sign\w*)\b",
    re.IGNORECASE,
)
_SIGNED_ON = re.compile(
    r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})[\s,]*(?:at\s+)?(?P<h>\d{1,2}):(?P<min>[0-5]\d)\s*(?P<ap>[ap]\.?m\b)?",
    re.IGNORECASE,
)


_LONGEST_CLOSING = 50_000  # characters in which the last signature is looked for


def signed_at(text: str, zone: ZoneInfo | None) -> datetime | None:
    """When the last signature of a note says it was made, where it states date and time; local to the facility."""
    text = text[-_LONGEST_CLOSING:]
    last = max((signature.start() for signature in _signatures(text)), default=None)
    match = _SIGNED_ON.search(text, last, last + 200) if last is not None else None
    if match is None or zone is None:
        return None
    hour = int(match["h"])
    if match["ap"]:
        hour = hour % 12 + (12 if match["ap"].lower().startswith("p") else 0)
    try:
        return datetime(int(match["y"]), int(match["m"]), int(match["d"]), hour, int(match["min"]), tzinfo=zone)
    except ValueError:
        return None


def elements(
    code: Code, evidence: Evidence, readings: Sequence[Reading], codebook: Codebook, policy: Policy
) -> tuple[Finding, ...]:
    """A finding for each element that the service must document and the record does not show."""
    required, said = codebook.requirements.get(code.service or "", {}), policy.of(code.code)
    if said.documentation:
        required = dict(required) | said.documentation
    undetected, findings = list(required), []
    for reading in readings:
        detected = reading.elements
        undetected = [each for each in undetected if each not in detected]
    for element_id in undetected:
        element = codebook.elements.get(element_id)
        if element is None or _said_to_show(element, evidence):
            continue
        if element_id == "C24" and said.family_without_client and shown("S09", evidence, readings, codebook):
            continue
        findings.append(found(element.rule, effect=required[element_id]))
    return tuple(findings)


def shown(element_id: str, evidence: Evidence, readings: Sequence[Reading], codebook: Codebook) -> bool:
    """Whether the record shows an element: our detector found it, else a quote said to show it has its signals."""
    for reading in readings:
        if element_id in reading.elements:
            return True
    return _said_to_show(codebook.elements[element_id], evidence)


def _said_to_show(element: Element, evidence: Evidence) -> bool:
    texts = {note.id: note.text for note in evidence.notes}
    return any(
        said == element.id
        and quote.note_id in texts
        and any(p.search(texts[quote.note_id][quote.start : quote.end]) for p in element.words)
        for quote, said in evidence.quotes
    )


def signed_late(notes: Sequence[Note], visit: Visit, policy: Policy) -> tuple[Finding, ...]:
    """A signature later than the payer, or habit, allows; the effect is the payer's to say (C21)."""
    on, limit = visit.date_of_service, policy.signed_within_days
    late = [n for n in notes if n.signed_at and on and (n.signed_at.date() - on).days > limit.limit]
    return (found(SIGNED_LATE, effect=limit.effect, limit=limit.limit),) if late else ()


def signed_after(notes: Sequence[Note], minutes: Minutes | None) -> tuple[Finding, ...]:
    """A signature stands before the end of what it attests. A signature with a date only is enough on the same day."""
    if minutes is None or not minutes.intervals or minutes.source == "period":
        return ()
    ended: datetime = max([end for _, end in minutes.intervals])
    early = [n for n in notes if n.signed_at is not None and n.signed_at < ended]
    return (found(SIGNED_EARLY),) if early and len(early) == len(notes) else ()
