"""Whether the code may stand on this visit at all: form, validity on the date, payer, clinician, the service documented."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from guardrails.codebook import Code, Codebook, UnitRule, is_well_formed, normalize
from guardrails.policies import Counted, Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Fix, Proposal, Quote, found
from guardrails.visit import Clinician, Visit

MALFORMED = rule(
    "CODE-010",
    Effect.BLOCK,
    "This is not a code: it has neither the form of HCPCS Level II nor of CPT.",
    authority="domain 12, X-E01, X-I05",
    cured_by=CuredBy.NOBODY,
)
UNKNOWN = rule(
    "CODE-020",
    Effect.BLOCK,
    "{code} is not in the loaded tables, which cover this date of service.",
    authority="domain 2.1, X-E03",
    cured_by=CuredBy.NOBODY,
)
UNKNOWN_PAST_WINDOW = rule(
    "CODE-021",
    Effect.HOLD,
    "{code} is not in the loaded tables, and they end before this date of service.",
    authority="domain 2.1; design: Tables",
    cured_by=CuredBy.CODER,
)
NO_TABLE = rule(
    "CODE-022",
    Effect.HOLD,
    "{code} is unknown here: no table of its code system is loaded.",
    authority="NOTICE; design: Tables",
    cured_by=CuredBy.CODER,
)
NOT_IN_FORCE = rule(
    "CODE-030",
    Effect.BLOCK,
    "{code} is not in force on the date of service.",
    authority="domain 0.3 (1), X-E04 to X-E07",
    cured_by=CuredBy.NOBODY,
)
WRONG_SYSTEM = rule(
    "CODE-040",
    Effect.BLOCK,
    "{code} is proposed under the code system of another code set.",
    authority="domain 0.3 (2), X-E09",
    cured_by=CuredBy.NOBODY,
)
NOT_PAYABLE = rule(
    "CODE-050",
    Effect.BLOCK,
    "The payer does not take {code}.",
    authority="domain 0.3 (3); CMS HCPCS coverage indicator; the payer's policy",
    cured_by=CuredBy.NOBODY,
)
NEXT_PAYER = rule(
    "CODE-051",
    Effect.HOLD,
    "The payer that pays first does not take {code}; whether it goes to the next one is for a person to say.",
    authority="domain 6.8, X-E46",
    cured_by=CuredBy.CODER,
)
PHYSICIAN = rule(
    "CODE-060",
    Effect.BLOCK,
    "{code} is for non-physicians; the note is a physician's.",
    authority="CMS HCPCS text; domain 0.3 (9), X-E11",
    cured_by=CuredBy.NOBODY,
)
LEVEL = rule(
    "CODE-061",
    Effect.HOLD,
    "The clinician's provider level is not among those usual for {code}; the payer's rule must say.",
    authority="domain 2.1, 6.5",
    cured_by=CuredBy.CODER,
)
LEVEL_BLOCKED = rule(
    "CODE-062",
    Effect.BLOCK,
    "{code} is not for a clinician of this provider level.",
    authority="domain 6.5; the payer's policy",
    cured_by=CuredBy.NOBODY,
)
LEVEL_UNKNOWN = rule(
    "CODE-063",
    Effect.HOLD,
    "The clinician's credential is not known.",
    authority="domain 4.2 C07",
    cured_by=CuredBy.CODER,
    lacks="C07",
)
NO_CLINICIAN = rule(
    "CODE-064",
    Effect.HOLD,
    "The record does not say who gave the service.",
    authority="domain 4.2 C06",
    cured_by=CuredBy.CODER,
    lacks="C06",
)
OTHER_SIGNER = rule(
    "CODE-065",
    Effect.WARN,
    "The note's author is not the visit's performer in the EHR; the line follows the note.",
    authority="domain 4.8; design: Who",
    cured_by=CuredBy.CODER,
)
OTHER_SERVICE = rule(
    "CODE-070",
    Effect.BLOCK,
    "The note documents another service than {code}.",
    authority="domain 1 (ERR03, ERR06, ERR09, ERR10, ERR12), 4.4 P16",
    cured_by=CuredBy.NOBODY,
)
SERVICE_NOT_NAMED = rule(
    "CODE-071",
    Effect.HOLD,
    "The note does not name the service that {code} stands for.",
    authority="domain 4.2 C05",
    cured_by=CuredBy.NOTE,
    lacks="C05",
)
SEVERAL_SERVICES = rule(
    "CODE-073",
    Effect.HOLD,
    "The note speaks of several services and does not say which of them it documents.",
    authority="domain 4.2 C05 (words that identify the billed service)",
    cured_by=CuredBy.NOTE,
    lacks="C05",
)
CLIENT_ABSENT = rule(
    "CODE-072",
    Effect.BLOCK,
    "The note says that the client was absent; {code} needs the client.",
    authority="domain 4.2 C24, TM-01, X-D09",
    cured_by=CuredBy.NOBODY,
)
LEVEL_NOT_STATED = rule(
    "CODE-077",
    Effect.HOLD,
    "The note does not state the level of medical decision making.",
    authority="domain 3.3, 4.6 TH10; CPT office visits by medical decision making",
    cured_by=CuredBy.NOTE,
    lacks="V02",
)
LEVEL_BELOW = rule(
    "CODE-078",
    Effect.FIX,
    "{code} stands for more medical decision making than the note states.",
    authority="domain 3.3; CPT office visits by medical decision making",
    cured_by=CuredBy.CODER,
)
GROUP_OF_ONE = rule(
    "CODE-074",
    Effect.BLOCK,
    "The note counts one client, and {code} on this line is a group service.",
    authority="domain GR-03, X-E45",
    cured_by=CuredBy.NOBODY,
)
GROUP_TOO_LARGE = rule(
    "CODE-075",
    Effect.WARN,
    "The note counts more clients than {limit}, the most that the payer takes as a group.",
    authority="NGS LCD L33632; domain GR-03, X-E44",
    cured_by=CuredBy.CODER,
)
NO_RULES = rule(
    "CODE-080",
    Effect.HOLD,
    "What {code} must document is not in the loaded tables: not checked.",
    authority="design: law 4",
    cured_by=CuredBy.CODER,
)

_DECISION_LEVELS = {"straightforward": 2, "low": 3, "moderate": 4, "high": 5}  # the rung of an office visit
_NOT_TRANSPORT = {"case_management", "targeted_case_management"}  # SD-13: a ride is none of their work
_ONE_TO_ONE = {"psychotherapy", "psychotherapy_add_on", "assessment", "diagnostic_evaluation", "plan_development"}
_BELOW = {"PP", "PEER"}
_NEVER = {  # domain 6.5, "blocked" column, where the level is named without a condition
    "psychotherapy": {"BA", "PP", "PEER"},
    "family_psychotherapy": {"BA", "PP", "PEER"},
    "group_psychotherapy": {"BA", "PP", "PEER"},
    "crisis_psychotherapy": {"BA", "PP", "PEER"},
    "psychotherapy_add_on": {"LP", "AL", "BA", "PP", "PEER"},
    "diagnostic_evaluation": {"BA", "PP"},
    "diagnostic_evaluation_medical": {"LP", "AL", "BA", "PP", "PEER"},
    "assessment": {"PP", "PEER"},
    "plan_development": {"PP", "PEER"},
}


class Resolved(NamedTuple):
    """A proposal's code as the tables know it on the date of service, or why not."""

    code: Code | None
    findings: tuple[Finding, ...]


_COUNTED = {  # the payer's word for a way of counting: our rule, and the minutes of a block
    Counted.EVENT: (UnitRule.EVENT, None),
    Counted.PER_DIEM: (UnitRule.PER_DIEM, None),
    Counted.FLOOR30: (UnitRule.FLOOR, 30),
    Counted.FLOOR60: (UnitRule.FLOOR, 60),
}


def as_paid(code: Code, policy: Policy) -> Code:
    """The code as this payer means and counts it, where its policy says otherwise than the code's own text (domain 7)."""
    said = policy.of(code.code)
    if said.counted is not None:
        unit_rule, step = _COUNTED.get(said.counted, (UnitRule.PAYER15, 15))
        code = replace(code, unit_rule=unit_rule, step_minutes=step, from_minute=None, to_minute=None, ladder=None)
    if said.from_minutes is not None:
        code = replace(code, from_minute=said.from_minutes)
    return replace(code, service=said.service) if said.service is not None else code


def resolve(proposal: Proposal, on: date, codebook: Codebook, policy: Policy) -> Resolved:
    """Find the code on the date of service (domain 0.3, invariants 1 and 2), as the payer means it."""
    text = normalize(proposal.code)
    if not is_well_formed(text):
        return Resolved(None, (found(MALFORMED),))
    meanings = codebook.meanings(text)
    if not meanings:
        table = codebook.table_for(text)
        if table is None:
            return Resolved(None, (found(NO_TABLE, code=text),))
        kind = UNKNOWN if table.covers_from <= on <= table.covers_through else UNKNOWN_PAST_WINDOW
        return Resolved(None, (found(kind, authority=f"{kind.authority}; {table.title}", code=text),))
    code = codebook.find(text, on)
    if code is None:
        table = codebook.table_for(text)
        title = f"; {table.title}" if table else ""
        return Resolved(None, (found(NOT_IN_FORCE, authority=f"{NOT_IN_FORCE.authority}{title}", code=text),))
    if proposal.system is not None and _system(proposal.system) != _system(code.system):
        return Resolved(code, (found(WRONG_SYSTEM, code=text),))
    return Resolved(as_paid(code, policy), ())


def _system(uri: str) -> str:
    return uri.strip().casefold().rstrip("/").removeprefix("https://").removeprefix("http://")


def payer_takes(code: Code, policy: Policy, visit: Visit) -> tuple[Finding, ...]:
    """Whether the payer's policy, or Medicare's coverage indicator, refuses the code; a next payer may still take it."""
    refused = not policy.of(code.code).covered or (policy.kind == "medicare" and not code.medicare)
    if not refused:
        return ()
    return (found(NEXT_PAYER if visit.further_coverages else NOT_PAYABLE, code=code.code),)


def eligible(code: Code, clinician: Clinician | None, visit: Visit, policy: Policy) -> tuple[Finding, ...]:
    """Whether the rendering clinician may bill the code (domain 0.3 invariant 9, 6.5)."""
    if clinician is None:
        return (found(NO_CLINICIAN),)
    findings: list[Finding] = []
    if visit.rendering is not None and visit.rendering.id != clinician.id:
        findings.append(found(OTHER_SIGNER))
    if clinician.level is None:
        return (*findings, found(LEVEL_UNKNOWN))
    if code.who == "non-physician" and clinician.physician:
        return (*findings, found(PHYSICIAN, code=code.code))
    stated = policy.of(code.code).levels
    allowed = stated if stated is not None else code.levels
    if not allowed or "ORG" in allowed or clinician.level in allowed:  # a programme's code is not one person's
        return tuple(findings)
    if clinician.level == "MD" and "QHP" in allowed:
        return tuple(findings)
    if stated is not None or clinician.level in _NEVER.get(code.service or "", set()):
        return (*findings, found(LEVEL_BLOCKED, code=code.code))
    higher_on_open_code = code.who is None and allowed & {"BA", "PP"} and clinician.level not in _BELOW | {"LPN"}
    if higher_on_open_code:  # the usual renderer is not a ceiling (domain 2.1)
        return tuple(findings)
    return (*findings, found(LEVEL, code=code.code))


def documented_service(code: Code, readings: Sequence[Reading], codebook: Codebook) -> tuple[Finding, ...]:
    """Whether the notes document the service that the code stands for, by what they call it.

    A name in the title or service line decides; failing that, a name anywhere, if no other service is spoken of as well.
    A note whose title declares only another service documents that one, whatever was proposed.
    """
    if code.service is None:
        return ()
    work = codebook.work(code.service)
    own = work.documented_as
    if work.within:  # part of another service's note: what it must document shows it
        return ()
    ride = [r.at(r.transport) for r in readings if r.transport]
    if code.service in _NOT_TRANSPORT and ride and not any("M01" in r.elements for r in readings):
        return (found(OTHER_SERVICE, where=ride[:1], code=code.code),)
    declared = _quotes(readings, "declared_services")
    against = _against_declared(code, own, declared, readings, codebook) if declared else ()
    if any(f.effect is Effect.BLOCK for f in against):
        return against
    grouped = [r.at(r.group) for r in readings if r.group and not r.individual]
    if code.service in _ONE_TO_ONE and grouped:
        return (found(SEVERAL_SERVICES, where=grouped[:1]),)
    if declared:
        return against
    given = _quotes(readings, "mentioned_services")
    if not own & given.keys():
        return (found(SERVICE_NOT_NAMED, where=list(given.values())[:1], code=code.code),)
    if _mere_mention(code, own, given, readings):
        return (found(OTHER_SERVICE, where=[q for s, q in given.items() if s not in own][:1], code=code.code),)
    competing = {s for s in given.keys() - own - work.named_beside if not codebook.work(s).within}
    return (found(SEVERAL_SERVICES, where=[given[s] for s in sorted(competing)]),) if competing else ()


def _quotes(readings: Sequence[Reading], which: str) -> dict[str, Quote]:
    """The first place of each service over all notes, of one of a reading's three kinds."""
    places: dict[str, Quote] = {}
    for reading in readings:
        for service, span in getattr(reading, which).items():
            places.setdefault(service, reading.at(span))
    return places


def _against_declared(
    code: Code, own: frozenset[str], declared: dict[str, Quote], readings: Sequence[Reading], codebook: Codebook
) -> tuple[Finding, ...]:
    """Another service than the title or service line declares, unless that line names this one in its own right.

    Where the text names this one elsewhere too, nobody can tell from titles alone, and a person must.
    """
    others = {s for s in declared.keys() - own if not codebook.work(s).within}
    claimed = any(not own.isdisjoint(codebook.work(other).named_beside) for other in others)
    if not claimed and not own.isdisjoint(declared):
        return ()
    where = [declared[service] for service in sorted(others)][:1]
    if not claimed and any(service in r.named_services for r in readings for service in own):
        return (found(SEVERAL_SERVICES, where=where),)
    return (found(OTHER_SERVICE, where=where, code=code.code),)


def _mere_mention(code: Code, own: frozenset[str], mentioned: dict[str, Quote], readings: Sequence[Reading]) -> bool:
    """A therapy note that speaks of the treatment plan is no plan development (domain 4.4 P16)."""
    if code.service != "plan_development" or not mentioned.keys() - own:
        return False
    return not any(element in reading.elements for reading in readings for element in ("P02", "P03", "P04"))


def visit_level(
    code: Code, readings: Sequence[Reading], codebook: Codebook, on: date
) -> tuple[tuple[Finding, ...], Fix | None]:
    """Whether the note states the level of medical decision making that an office visit's code stands for.

    Visits elsewhere have other rules, which are not in the tables: a person decides.
    """
    if code.service != "evaluation_and_management":
        return (), None
    if code.ladder is None:
        return (found(NO_RULES, code=code.code),), None
    stated = {r.decision_making[0]: r.at(r.decision_making[1]) for r in readings if r.decision_making}
    if len(stated) != 1:
        return (found(LEVEL_NOT_STATED, where=stated.values()),), None
    (word, where), rung = next(iter(stated.items())), code.rung or 0
    if rung <= _DECISION_LEVELS[word]:
        return (), None
    lower = next((c for c in codebook.ladder(code, on) if c.rung == _DECISION_LEVELS[word]), None)
    return (found(LEVEL_BELOW, where=[where], code=code.code),), Fix(code=lower.code, units=1) if lower else None


def group_size(
    code: Code, modifiers: Sequence[str], readings: Sequence[Reading], visit: Visit, policy: Policy
) -> tuple[Finding, ...]:
    """A group is two clients or more; a contractor of Medicare takes twelve at most, other payers what they say (GR-03)."""
    if "HQ" not in modifiers and not (code.service or "").endswith("_group") and code.service != "group_psychotherapy":
        return ()
    texts = {note.id: note.text for note in visit.notes.evidence}
    for reading in readings:
        for span in reading.elements.get("G01", ()):
            said = [int(n) for n in re.findall(r"(?<!\d)\d{1,2}(?!\d)", texts[reading.note_id][slice(*span)])]
            if said == [1]:
                return (found(GROUP_OF_ONE, where=[reading.at(span)], code=code.code),)
            if len(said) == 1 and said[0] > policy.group_largest:
                return (found(GROUP_TOO_LARGE, where=[reading.at(span)], limit=policy.group_largest),)
    return ()


def client_present(code: Code, codebook: Codebook, readings: Sequence[Reading], policy: Policy) -> tuple[Finding, ...]:
    """A note that says the client was absent, for a code that needs the client and a payer that takes no family in his place."""
    if "C24" not in codebook.requirements.get(code.service or "", {}):
        return ()
    if policy.of(code.code).family_without_client and any("S09" in r.elements for r in readings):
        return ()
    where = [r.at(r.client_absent) for r in readings if r.client_absent]
    return (found(CLIENT_ABSENT, where=where, code=code.code),) if where else ()
