"""The diagnoses a line points to: in the chart, in ICD-10-CM on the date, specific enough, and of the kind the service treats."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from guardrails.codebook import Code, Codebook
from guardrails.policies import Answer, Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, found
from guardrails.visit import Diagnosis, Visit

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
NOT_BILLABLE = rule(
    "DX-021",
    Effect.HOLD,
    "{code} is a category of ICD-10-CM; a claim takes one of its subdivisions.",
    authority="domain DX-02, X-E32; ICD-10-CM guidelines I.B.2",
    cured_by=CuredBy.NOTE,
)
NOT_IN_ICD = rule(
    "DX-022",
    Effect.HOLD,
    "{code} is not in ICD-10-CM on the date of service.",
    authority="domain DX-02; design: Tables",
    cured_by=CuredBy.CODER,
)
NOT_IN_CHART = rule(
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
OTHER_FIRST = rule(
    "DX-050",
    Effect.HOLD,
    "The first diagnosis is none of those for which the payer takes {code} ({first}).",
    authority="domain DX-03; the payer's policy",
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
    "The line points to Z codes only, which the payer does not take for treatment ({code}).",
    authority="domain DX-04, X-E31; the payer's policy",
    cured_by=CuredBy.NOBODY,
)
NOT_SUBSTANCE = rule(
    "DX-053",
    Effect.HOLD,
    "{code} treats substance use, and none of its diagnoses is of substance use (F10 to F19, Z71.4, Z71.5, Z72).",
    authority="domain DX-03",
    cured_by=CuredBy.CODER,
)
SCREEN_OF_KNOWN = rule(
    "DX-060",
    Effect.BLOCK,
    "A depression screen is not billed for a client whose depression is already diagnosed.",
    authority="domain DX-06, X-E36; NCCI Medicaid manual ch. XI",
    cured_by=CuredBy.NOBODY,
)
SCREEN_WITHOUT_Z = rule(
    "DX-061",
    Effect.WARN,
    "A screen usually carries a screening diagnosis (Z13), and {code} points to none.",
    authority="domain DX-06",
    cured_by=CuredBy.CODER,
)
UNCERTAIN = rule(
    "DX-070",
    Effect.HOLD,
    "The note names {code} only as a diagnosis to be ruled out or suspected, which outpatient claims do not carry.",
    authority="domain DX-10, X-E35; ICD-10-CM guidelines IV.H",
    cured_by=CuredBy.NOTE,
    lacks="C09",
)

TREATMENT = frozenset(
    """psychotherapy psychotherapy_add_on group_psychotherapy family_psychotherapy family_psychotherapy_client_absent
    multiple_family_group counseling skills_training psychosocial_rehabilitation therapeutic_behavioral
    community_support peer_support psychoeducation medication_training day_program assertive_community
    supported_employment psychoanalysis""".split()
)
"""Services that treat a disorder; assessments, screens, crisis, testing and prevention stand on other codes too (DX-03)."""
SUBSTANCE_USE = frozenset({"substance_use_group", "substance_use_program", "substance_use_family"})
"""Services that treat substance use alone."""
HEALTH_BEHAVIOR = frozenset(
    """health_behavior_assessment health_behavior health_behavior_group health_behavior_family
    health_behavior_family_client_absent""".split()
)
"""Services for a physical illness (96156 to 96171)."""
MAX_POINTERS = 4  # per line; domain 12

_ICD10CM = re.compile(r"(?:[A-TV-Z][0-9][0-9AB]|U[0-9]{2})(?:\.[0-9A-Z]{1,4})?", re.ASCII)
_DEPRESSION = re.compile(r"F3[23]")
_SUBSTANCE_USE_DIAGNOSIS = re.compile(r"F1[0-9]|Z71\.[45]|Z72")


def check(
    code: Code,
    proposed: Sequence[str],
    visit: Visit,
    codebook: Codebook,
    policy: Policy,
    readings: Sequence[Reading],
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The line's diagnosis pointers, in the visit's rank order, and what is wrong with them."""
    known = [d.code for d in sorted(visit.diagnoses, key=_by_rank)]
    valid = [c for c in known if _ICD10CM.fullmatch(c)]
    findings: list[Finding] = []
    if len(valid) < len(known):
        findings.append(found(DIAGNOSIS_FORM))
    wanted = [d.strip().upper() for d in proposed]
    if not set(wanted).issubset(known):
        findings.append(found(NOT_IN_CHART))
    pointers = tuple(dict.fromkeys([d for d in valid if not wanted or d in wanted][:MAX_POINTERS]))
    if pointers:
        assert visit.date_of_service is not None  # visit_status stops visits without a date
        findings.extend(_in_tables(pointers, visit.date_of_service, codebook))
        findings.extend(_of_the_kind(code, pointers, valid, policy))
        findings.extend(_established(pointers, readings))
    elif not wanted:
        findings.append(found(NO_DIAGNOSIS))
    return pointers, tuple(findings)


def _by_rank(diagnosis: Diagnosis) -> tuple[bool, int]:
    return diagnosis.rank is None, diagnosis.rank or 0


def _in_tables(pointers: Sequence[str], on: date, codebook: Codebook) -> Iterator[Finding]:
    table = codebook.icd10cm(on)
    if table is None:
        return
    for pointer in pointers:
        plain = pointer.replace(".", "")
        if plain in table.categories:
            wrong = NOT_BILLABLE
        elif plain not in table.billable and on <= table.covers_through:
            wrong = NOT_IN_ICD
        else:
            continue
        authority = f"ICD-10-CM table of {table.covers_from.isoformat()}; domain DX-02"
        yield found(wrong, code=pointer, authority=authority)


def _of_the_kind(code: Code, pointers: Sequence[str], charted: Sequence[str], policy: Policy) -> Iterator[Finding]:
    if code.service in HEALTH_BEHAVIOR and all(p.startswith("F") for p in pointers):
        yield found(PHYSICAL_DIAGNOSIS)
    elif code.service in TREATMENT:
        yield from _of_treatment(code, pointers, policy)
    elif code.service in SUBSTANCE_USE and not any(_SUBSTANCE_USE_DIAGNOSIS.match(p) for p in pointers):
        yield found(NOT_SUBSTANCE, code=code.code)
    elif code.code in {"G0442", "G0444"}:
        if code.code == "G0444" and any(_DEPRESSION.match(d) for d in charted):
            yield found(SCREEN_OF_KNOWN)
        elif not any(p.startswith("Z13") for p in pointers):
            yield found(SCREEN_WITHOUT_Z, code=code.code)


def _of_treatment(code: Code, pointers: Sequence[str], policy: Policy) -> Iterator[Finding]:
    if all(p.startswith("Z") for p in pointers):
        said = policy.diagnosis.z_only or (Answer.BLOCK if policy.kind == "commercial" else None)
        if said is None:
            yield found(Z_ONLY, code=code.code)
        elif said.effect is not None:
            yield found(Z_ONLY_REFUSED, effect=said.effect, code=code.code)
    elif not policy.diagnosis.takes_first(pointers[0]):
        yield found(OTHER_FIRST, code=code.code, first=", ".join(policy.diagnosis.first).replace("-", " to "))


def _established(pointers: Sequence[str], readings: Sequence[Reading]) -> Iterator[Finding]:
    """A diagnosis that the note speaks of as uncertain, and nowhere as established."""
    uncertain: dict[str, list[tuple[Reading, tuple[int, int]]]] = {}
    for reading in readings:
        for prefix, span in reading.uncertain_diagnoses.items():
            uncertain.setdefault(prefix, []).append((reading, span))
    if not uncertain:
        return
    for pointer in pointers:
        where = [r.at(span) for prefix, places in uncertain.items() if pointer.startswith(prefix) for r, span in places]
        if where:
            yield found(UNCERTAIN, where=where, code=pointer)
