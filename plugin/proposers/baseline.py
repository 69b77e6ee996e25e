"""The offline baseline: a plain extractor that reads what the note calls itself and what time it states.

It is a choice, never a fallback, and an honest yardstick: any model worth its price should beat it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.reading import Reading, read
from guardrails.time_statements import ClockRange, Duration, Role, TimeStatement
from guardrails.time_units import whole
from guardrails.visit import Note
from plugin.proposers.protocol import Answer
from prompts import ProposalRequest, Reply, ReplyLine, ReplyQuote, SentNote

# The more specific service first: a family session is psychotherapy too, and is billed as what it is.
_SPECIFIC_FIRST = (
    "test_administration",
    "crisis_psychotherapy",
    "crisis",
    "peer_support",
    "case_management",
    "substance_use_program",
    "day_program",
    "assertive_community",
    "community_support",
    "supported_employment",
    "medication_training",
    "medication_services",
    "evaluation_and_management",
    "nursing",
    "psychoanalysis",
    "safety_planning",
    "brief_intervention",
    "depression_screen",
    "activity_therapy",
    "adaptive_behavior",
    "therapeutic_behavioral",
    "multisystemic_therapy",
    "substance_use_assessment",
    "substance_use_plan",
    "substance_use_group",
    "psychoeducation",
    "multiple_family_group",
    "family_psychotherapy",
    "group_psychotherapy",
    "psychosocial_rehabilitation",
    "skills_training",
    "plan_development",
    "diagnostic_evaluation",
    "assessment",
    "psychotherapy",
    "counseling",
)
_MOST_PASSAGES = 12
_COUNTED = {UnitRule.PAYER15, UnitRule.MIDPOINT15, UnitRule.CEIL}


class Baseline:
    """Proposes at most one line a note set, from titles, service lines and stated times."""

    name = "baseline-1"
    host = None

    def __init__(self, codebook: Codebook) -> None:
        self._codebook = codebook

    def propose(self, request: ProposalRequest) -> Answer:
        """Never raises: a note that names no service gets no proposal."""
        readings = [
            (n, read(Note(id=n.id, version="", text=n.text), self._codebook, request.client_placeholders))
            for n in request.notes
        ]
        if any(r.no_service for _, r in readings):
            return _nothing("the client did not attend")
        service = _service([r for _, r in readings])
        if service is None:
            return _nothing("the note names no service that is billed")
        codes = [c for c in request.codes if c.service == service]
        minutes = _minutes([r for _, r in readings])
        code = _code(codes, minutes)
        if code is None:
            return _nothing("no listed code fits the service and its time")
        line = ReplyLine(
            code=code.code,
            units=max(1, whole(minutes or 0)) if code.unit_rule in _COUNTED else 1,
            modifiers=list(_modifiers(code, request, [r for _, r in readings])),
            quotes=list(passages(code, readings, self._codebook))[:_MOST_PASSAGES],
        )
        return Answer(reply=Reply(lines=[line], nothing_because=None))


def _nothing(why: str) -> Answer:
    return Answer(reply=Reply(lines=[], nothing_because=why))


def _service(readings: Sequence[Reading]) -> str | None:
    """What the notes call the service; failing a title, what they mention, if a client was there and time is stated."""
    declared = {s for r in readings for s in r.declared_services}
    if not declared:
        happened = any("C24" in r.elements and any(t.role is Role.SESSION for t in r.times) for r in readings)
        declared = {s for r in readings for s in r.mentioned_services} if happened else set()
        planned = any({"P02", "P03"} <= r.elements.keys() for r in readings)
        declared -= set() if planned else {"plan_development"}
    return next((s for s in _SPECIFIC_FIRST if s in declared), None)


def _minutes(readings: Sequence[Reading]) -> int | None:
    sessions = [t for r in readings for t in r.times if t.role is Role.SESSION]
    clock = [_length(t) for t in sessions if isinstance(t, ClockRange) and t.end is not None]
    if clock:
        return sum(clock)
    stated = [t.minutes for t in sessions if isinstance(t, Duration)]
    return min(stated) if stated else None


def _length(clock: ClockRange) -> int:
    return ((clock.end or 0) - clock.start) % (12 * 60)


def _code(codes: Sequence[Code], minutes: int | None) -> Code | None:
    """The rung that the minutes reach, the lowest where no time is stated; a counted code before a per-diem one."""
    ladder = sorted((c for c in codes if c.rung is not None and c.from_minute), key=lambda c: c.rung or 0)
    if ladder:
        if minutes is None:
            return ladder[0]
        return next((c for c in reversed(ladder) if minutes >= (c.from_minute or 0)), None)
    plain = [c for c in codes if c.unit_rule not in {UnitRule.PER_DIEM, UnitRule.PER_MONTH, UnitRule.UNDECIDED}]
    return plain[0] if len(plain) == 1 else None  # which of several a payer means, the note cannot say


def _modifiers(code: Code, request: ProposalRequest, readings: Sequence[Reading]) -> Iterator[str]:
    if code.code[0] not in "HT" or request.payer_kind != "medicaid":
        return
    if request.education_modifier:
        yield request.education_modifier
    if code.unit_rule in _COUNTED and any(r.group and not r.individual for r in readings):
        yield "HQ"


def passages(code: Code, readings: Sequence[tuple[SentNote, Reading]], codebook: Codebook) -> Iterator[ReplyQuote]:
    """The lines that state the time, then one short passage for each element the service must show."""
    for note, reading in readings:
        for statement in reading.times:
            if statement.role is Role.SESSION:
                yield ReplyQuote(note=note.id, element="time", text=_words(note.text, statement))
        for element in codebook.requirements.get(code.service or "", {}):
            spans = reading.elements.get(element)
            words = _sentence(note.text, spans[-1][0]) if spans else ""
            if words:
                yield ReplyQuote(note=note.id, element=element, text=words)


def _sentence(text: str, position: int) -> str:
    """The sentence of a line that a position stands in, as the note has it; its first 200 characters where it is longer."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    ends = [0, *(m.end() for m in re.finditer(r"[.!?]\s+(?=[A-Z\"“])", line)), len(line)]
    first = max(e for e in ends if e <= position - start)
    last = min((e for e in ends if e > position - start), default=len(line))
    return line[first:last].strip()[:200]


def _words(text: str, statement: TimeStatement) -> str:
    return text[statement.span[0] : statement.span[1]].strip()
