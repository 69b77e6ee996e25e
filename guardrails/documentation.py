"""Whether the record shows what the service must show (domain 4): by a proven quote, or by our own detector.

Never by the proposer's word: a quote said to show an element counts only if it has the element's own signals in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from guardrails.codebook import Code, Codebook
from guardrails.evidence import Evidence
from guardrails.policies import Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Minutes, Quote, found
from guardrails.visit import Note, Visit

SIGNED_EARLY = rule(
    "DOC-C08",
    Effect.HOLD,
    "The note was signed before the service ended.",
    authority="domain 4.2 C08, X-D03",
    cured_by=CuredBy.NOTE,
    lacks="C08",
)
TREATMENT = frozenset(
    """psychotherapy group_psychotherapy family_psychotherapy family_psychotherapy_client_absent multiple_family_group
    counseling skills_training psychosocial_rehabilitation therapeutic_behavioral community_support""".split()
)
"""Services that treat a disorder; assessments, screens, crisis, testing and prevention stand on other codes too (DX-03)."""
_DEPRESSION = re.compile(r"F3[23]")
_OUTSIDE_THE_OFFICE = frozenset({"G0017", "G0018"})
NOT_MENTAL = rule(
    "DX-050",
    Effect.HOLD,
    "The first diagnosis is none of the mental, behavioral and neurodevelopmental disorders (F01 to F99) that {code} treats.",
    authority="domain DX-03",
    cured_by=CuredBy.CODER,
)
Z_ONLY = rule(
    "DX-051",
    Effect.HOLD,
    "The line points to Z codes only, and whether the payer takes them for treatment ({code}) is not known.",
    authority="domain DX-04",
    cured_by=CuredBy.CODER,
)
Z_ONLY_REFUSED = rule(
    "DX-052",
    Effect.BLOCK,
    "The line points to Z codes only, which commercial payers do not take for treatment ({code}).",
    authority="domain DX-04, X-E31",
    cured_by=CuredBy.NOBODY,
)
SCREEN_OF_KNOWN = rule(
    "DX-060",
    Effect.BLOCK,
    "A depression screen is not billed for a client whose depression is already diagnosed.",
    authority="domain DX-06, X-E36; NCCI Medicaid manual ch. XI",
    cured_by=CuredBy.NOBODY,
)
NOT_OUTSIDE = rule(
    "PLACE-030",
    Effect.BLOCK,
    "{code} is for crisis psychotherapy outside the office and outside sites with a facility rate.",
    authority="domain 5.4, X-E41; CMS HCPCS text",
    cured_by=CuredBy.NOBODY,
)
NO_DIAGNOSIS = rule(
    "DX-010",
    Effect.HOLD,
    "The visit has no ICD-10-CM diagnosis to point to (Encounter.diagnosis, or a Condition of this Encounter).",
    authority="domain 0.3 (10), DX-01",
    cured_by=CuredBy.NOTE,
    lacks="C09",
)
DIAGNOSIS_FORM = rule(
    "DX-020",
    Effect.HOLD,
    "A diagnosis of the visit does not have the form of ICD-10-CM.",
    authority="domain 12, DX-02",
    cured_by=CuredBy.CODER,
)
DIAGNOSIS_NOT_IN_CHART = rule(
    "DX-030",
    Effect.BLOCK,
    "The proposal adds a diagnosis that the visit does not have.",
    authority="domain DX-09, X-E34",
    cured_by=CuredBy.NOBODY,
)
PHYSICAL_DIAGNOSIS = rule(
    "DX-040",
    Effect.BLOCK,
    "Health-behavior codes need a physical diagnosis first; the visit has only mental ones.",
    authority="domain DX-08",
    cured_by=CuredBy.NOBODY,
)
NO_PLACE = rule(
    "PLACE-010",
    Effect.HOLD,
    "The place of service is not known.",
    authority="domain 4.2 C04, 5.4",
    cured_by=CuredBy.CODER,
    lacks="C04",
)
UNKNOWN_PLACE = rule(
    "PLACE-020",
    Effect.BLOCK,
    "The place of service is not a CMS place-of-service code.",
    authority="domain 5.4",
    cured_by=CuredBy.CODER,
)

MAX_POINTERS = 4  # per line; domain 12
_ICD10CM = re.compile(r"(?:[A-TV-Z][0-9][0-9AB]|U[0-9]{2})(?:\.[0-9A-Z]{1,4})?", re.ASCII)
_SIGNATURE = re.compile(
    r"\b(?:electronically |digitally |e-?)?signed (?:and dated )?(?:electronically )?by\b[ \t:]*\S|\bsignature[ \t]*:[ \t]*(?!_|\[|$)\w|\be-?signature[ \t]*:[ \t]*(?!_|\[|$)\w|/s/[ \t]*\w",
    re.IGNORECASE,
)


def has_signature(text: str) -> bool:
    """Whether a note's text carries its author's signature (domain 4.2 C08). A blank line to sign on is none."""
    if _SIGNATURE.search(text):
        return True
    closing = [line for line in text.splitlines() if line.strip()][-6:]
    return any(_SIGNING.search(line) and not _NOT_THE_AUTHORS.search(line) for line in closing)


_SIGNING = re.compile(r"\b(?:e-?)?sig(?:ned|nature|\.)?\b(?=.*[A-Za-z]{2})|/s/", re.IGNORECASE)
_NOT_THE_AUTHORS = re.compile(
    r"_{3,}|\b(?:un-?signed|not (?:yet )?signed|pending|awaiting|needs?|client|patient|guardian|parent|mother|father|co-?sign\w*)\b",
    re.IGNORECASE,
)
_SIGNED_ON = re.compile(
    r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})[\s,]*(?:at\s+)?(?P<h>\d{1,2}):(?P<min>[0-5]\d)\s*(?P<ap>[ap]\.?m\b)?",
    re.IGNORECASE,
)


def signed_at(text: str, zone: ZoneInfo | None) -> datetime | None:
    """When the last signature of a note says it was made, where it states date and time; local to the facility."""
    signatures = list(_SIGNATURE.finditer(text))
    match = _SIGNED_ON.search(text, signatures[-1].start(), signatures[-1].start() + 200) if signatures else None
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
    required = dict(codebook.requirements.get(code.service or "", {})) | policy.of(code.code).documentation
    findings = []
    for element_id, effect in required.items():
        element = codebook.elements.get(element_id)
        if element is None or shown(element_id, evidence, readings, codebook):
            continue
        findings.append(found(element.rule, effect=effect))
    return tuple(findings)


def shown(element_id: str, evidence: Evidence, readings: Sequence[Reading], codebook: Codebook) -> tuple[Quote, ...]:
    """Where the record shows an element: our detector's places, else a quote that has the element's signals."""
    detected = tuple(r.at(span) for r in readings for span in r.elements.get(element_id, ()))
    if detected:
        return detected
    element = codebook.elements[element_id]
    texts = {note.id: note.text for note in evidence.notes}
    return tuple(
        quote
        for quote, said in evidence.quotes
        if said == element_id
        and quote.note_id in texts
        and any(p.search(texts[quote.note_id][quote.start : quote.end]) for p in element.words)
    )


def signed_after(notes: Sequence[Note], minutes: Minutes | None) -> tuple[Finding, ...]:
    """A signature stands before the end of what it attests. A signature with a date only is enough on the same day."""
    if minutes is None or not minutes.intervals or minutes.source == "period":
        return ()
    ended: datetime = max(end for _, end in minutes.intervals)
    early = [n for n in notes if n.signed_at is not None and n.signed_at < ended]
    return (found(SIGNED_EARLY),) if early and len(early) == len(notes) else ()


def diagnoses(
    code: Code, proposed: Sequence[str], visit: Visit, policy: Policy
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The line's diagnosis pointers, in the visit's rank order, and what is wrong with them."""
    known = [d.code for d in sorted(visit.diagnoses, key=lambda d: (d.rank is None, d.rank or 0))]
    valid = [c for c in known if _ICD10CM.fullmatch(c)]
    findings: list[Finding] = []
    if len(valid) < len(known):
        findings.append(found(DIAGNOSIS_FORM))
    wanted = [d.strip().upper() for d in proposed]
    if any(d not in known for d in wanted):
        findings.append(found(DIAGNOSIS_NOT_IN_CHART))
    pointers = [d for d in valid if not wanted or d in wanted][:MAX_POINTERS]
    if not pointers:
        findings.append(found(NO_DIAGNOSIS))
    elif code.service == "health_behavior" and all(p.startswith("F") for p in pointers):
        findings.append(found(PHYSICAL_DIAGNOSIS))
    elif code.service in TREATMENT:
        if all(p.startswith("Z") for p in pointers):
            findings.append(found(Z_ONLY_REFUSED if policy.kind == "commercial" else Z_ONLY, code=code.code))
        elif not pointers[0].startswith("F"):
            findings.append(found(NOT_MENTAL, code=code.code))
    elif code.code == "G0444" and any(_DEPRESSION.match(d) for d in valid):
        findings.append(found(SCREEN_OF_KNOWN))
    return tuple(dict.fromkeys(pointers)), tuple(findings)


def place(code: Code, visit: Visit, codebook: Codebook) -> tuple[Finding, ...]:
    """Whether the place of service is known, a CMS code, and one where the service can be given."""
    if visit.place_of_service is None:
        return (found(NO_PLACE),)
    known = codebook.places.get(visit.place_of_service)
    if known is None:
        return (found(UNKNOWN_PLACE),)
    outside = code.code in _OUTSIDE_THE_OFFICE and (known.code == "11" or known.facility_rate)
    return (found(NOT_OUTSIDE, code=code.code),) if outside else ()
