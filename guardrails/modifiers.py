"""Whether a line's modifiers may stand, and stand together (domain 5). Nothing is ever added: a modifier can release pay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import date

from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.diagnoses import HEALTH_BEHAVIOR
from guardrails.policies import Policy
from guardrails.reading import Reading
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, Minutes, found
from guardrails.visit import Clinician, Visit

MALFORMED = rule(
    "MOD-010",
    Effect.BLOCK,
    "A modifier is not two capital letters or digits.",
    authority="domain 5, MC-01",
    cured_by=CuredBy.NOBODY,
)
ENDED = rule(
    "MOD-011",
    Effect.BLOCK,
    "Modifier {modifier} is not in force on the date of service.",
    authority="domain MC-01",
    cured_by=CuredBy.NOBODY,
)
NOT_LOADED = rule(
    "MOD-012",
    Effect.HOLD,
    "Modifier {modifier} is not in the loaded table; a person must decide.",
    authority="domain MC-01, X-R11",
    cured_by=CuredBy.CODER,
)
REPEATED = rule(
    "MOD-020",
    Effect.HOLD,
    "Modifier {modifier} stands twice on the line.",
    authority="domain MC-02",
    cured_by=CuredBy.CODER,
)
MORE_THAN_FOUR = rule(
    "MOD-030",
    Effect.BLOCK,
    "A line carries at most four modifiers.",
    authority="domain MC-03 (CMS-1500, 837P)",
    cured_by=CuredBy.NOBODY,
)
CONFLICT = rule(
    "MOD-040",
    Effect.BLOCK,
    "Modifiers {modifiers} exclude each other ({kind}).",
    authority="domain 5.2",
    cured_by=CuredBy.CODER,
)
UNUSUAL_PAIR = rule(
    "MOD-041",
    Effect.WARN,
    "Modifiers {modifiers} are unusual together ({kind}).",
    authority="domain 5.2",
    cured_by=CuredBy.CODER,
)
EDUCATION = rule(
    "MOD-050",
    Effect.HOLD,
    "Modifier {modifier} does not match the clinician's credential.",
    authority="domain MC-04",
    cured_by=CuredBy.CODER,
)
GROUP_MISMATCH = rule(
    "MOD-060",
    Effect.HOLD,
    "The line is marked as a group service and the note describes an individual one.",
    authority="domain MC-05, X-E22",
    cured_by=CuredBy.CODER,
)
GROUP_UNMARKED = rule(
    "MOD-061",
    Effect.HOLD,
    "The note describes a group service and the line is not marked as one.",
    authority="domain MC-05, GR-04",
    cured_by=CuredBy.CODER,
)
PHYSICIAN = rule(
    "MOD-070",
    Effect.BLOCK,
    "A physician modifier stands on a code for non-physicians.",
    authority="domain MC-15",
    cured_by=CuredBy.NOBODY,
)
PAYER_DEFINED = rule(
    "MOD-080",
    Effect.HOLD,
    "What {modifier} means is for each state to define; this payer's policy does not say.",
    authority="domain MC-18, X-E30",
    cured_by=CuredBy.CODER,
)
NOT_EM = rule(
    "MOD-090",
    Effect.BLOCK,
    "Modifier 25 belongs to evaluation-and-management codes only.",
    authority="domain MC-12; NCCI Medicaid manual ch. I",
    cured_by=CuredBy.NOBODY,
)
PROGRAM_ON_HEALTH_BEHAVIOR = rule(
    "MOD-100",
    Effect.BLOCK,
    "Modifier {modifier} names a mental-health or substance-use programme; it does not mark health-behavior services.",
    authority="domain 1 ERR16, 5.1",
    cured_by=CuredBy.NOBODY,
)
AGE = rule(
    "MOD-120",
    Effect.BLOCK,
    "Modifier {modifier} names a programme for clients of another age.",
    authority="domain MC-07, 5.1 (EP), 6.6",
    cured_by=CuredBy.NOBODY,
)
PRESENCE = rule(
    "MOD-121",
    Effect.BLOCK,
    "Modifier {modifier} says of the client's presence what the code or the note says otherwise.",
    authority="domain MC-06",
    cured_by=CuredBy.NOBODY,
)
SEPARATE_ON_EM = rule(
    "MOD-122",
    Effect.BLOCK,
    "Modifier {modifier} does not belong on an evaluation-and-management code.",
    authority="domain MC-13; NCCI Medicaid manual ch. I",
    cured_by=CuredBy.NOBODY,
)
REQUIRED = rule(
    "MOD-110",
    Effect.HOLD,
    "The payer requires a modifier on {code} that the line does not carry.",
    authority="the payer's policy; domain ERR17",
    cured_by=CuredBy.CODER,
)

NOT_ALLOWED = rule(
    "MOD-111",
    Effect.HOLD,
    "The payer's policy does not list modifier {modifier} for {code}.",
    authority="the payer's policy; domain 7.1",
    cured_by=CuredBy.CODER,
)
ORDER = rule(
    "MOD-112",
    Effect.HOLD,
    "The payer takes the modifiers of {code} in this order: {order}.",
    authority="domain MC-17; the payer's policy",
    cured_by=CuredBy.CODER,
)
NOT_SHOWN_APART = rule(
    "MOD-123",
    Effect.HOLD,
    "A modifier says that the service was a separate one, and the note does not state its own start and stop time.",
    authority="domain MC-14; NCCI Medicaid manual ch. I",
    cured_by=CuredBy.NOTE,
    lacks="C03",
)
CLIENT_WAS_THERE = rule(
    "MOD-124",
    Effect.WARN,
    "Modifier UK says that the service was given to somebody for the client, and the note shows the client present.",
    authority="domain MC-16",
    cured_by=CuredBy.CODER,
)

_FORM = re.compile(r"[0-9A-Z]{2}", re.ASCII)
_PROGRAM = frozenset({"HE", "HF", "HG", "HH"})
_PHYSICIANS = frozenset({"AF", "AG", "AM"})
_OF_PRESENCE = frozenset({"HR", "HS"})
_STATE = "level_of_care"
_IN_GROUPS = frozenset(  # services counted in quarter hours that are given to one client or to several
    """skills_training psychosocial_rehabilitation counseling therapeutic_behavioral community_support peer_support
    psychoeducation supported_employment activity_therapy medication_training""".split()
)
_GROUP_MARKS = frozenset({"HQ", "TT", "UN", "UP", "UQ", "UR", "US"})


def check(
    code: Code,
    proposed: Sequence[str],
    clinician: Clinician | None,
    readings: Sequence[Reading],
    codebook: Codebook,
    policy: Policy,
    visit: Visit,
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """The line's modifiers as normalized, and what is wrong with them."""
    on = visit.date_of_service
    assert on is not None  # visit_status stops visits without a date
    modifiers = tuple([m.strip().upper() for m in proposed])
    findings: list[Finding] = []
    if not all(_FORM.fullmatch(m) for m in modifiers):
        return modifiers, (found(MALFORMED),)
    if len(modifiers) > 4:
        findings.append(found(MORE_THAN_FOUR))
    single = dict.fromkeys(modifiers)
    if len(single) < len(modifiers):
        findings.extend(found(REPEATED, modifier=m) for m, n in Counter(modifiers).items() if n > 1)
    for m in single:
        findings.extend(_one(code, m, clinician, codebook, policy, on))
        findings.extend(_age(m, codebook, visit, on))
        findings.extend(_presence(code, m, readings))
    if len(single) > 1:
        findings.extend(_sets(modifiers, codebook))
    findings.extend(_group(code, modifiers, readings))
    findings.extend(_asked_for(code, modifiers, policy))
    if "UK" in modifiers:
        findings.extend(_collateral(readings))
    return modifiers, tuple(findings)


def times_apart(modifiers: Sequence[str], minutes: Minutes | None, codebook: Codebook) -> tuple[Finding, ...]:
    """A modifier that says "a separate service" needs clock times that show one (MC-14)."""
    if minutes is not None and minutes.source == "clock" and minutes.intervals:
        return ()
    said = [m for m in modifiers if m in codebook.modifiers and codebook.modifiers[m].conflict_set == "distinct"]
    return (found(NOT_SHOWN_APART),) if said else ()


def _asked_for(code: Code, modifiers: Sequence[str], policy: Policy) -> list[Finding]:
    """What the payer requires, allows and in which order. Which modifier is lacking is not named: it would be asking for it."""
    said = policy.of(code.code).modifiers
    findings = []
    if not set(said.required).issubset(modifiers) or (said.any_of and set(said.any_of).isdisjoint(modifiers)):
        findings.append(found(REQUIRED, code=code.code))
    if said.allowed is not None:
        findings += [found(NOT_ALLOWED, modifier=m, code=code.code) for m in modifiers if m not in said.allowed]
    ordered = [m for m in said.order if m in modifiers]
    if ordered and list(modifiers[: len(ordered)]) != ordered:
        findings.append(found(ORDER, code=code.code, order=" ".join(said.order)))
    return findings


def _collateral(readings: Sequence[Reading]) -> list[Finding]:
    """UK says that the client was not there (MC-16)."""
    if any(r.client_absent for r in readings):
        return []
    present = [r.at(span) for r in readings for span in r.elements.get("C24", ())]
    return [found(CLIENT_WAS_THERE, where=present[:1])] if present else []


def _one(
    code: Code, modifier: str, clinician: Clinician | None, codebook: Codebook, policy: Policy, on: date
) -> list[Finding]:
    known = codebook.modifiers.get(modifier)
    if known is None:
        return [] if modifier in policy.payer_modifiers else [found(NOT_LOADED, modifier=modifier)]
    findings = []
    if (known.in_force_from and on < known.in_force_from) or (known.in_force_through and on > known.in_force_through):
        findings.append(found(ENDED, modifier=modifier))
    if known.conflict_set == _STATE and modifier not in policy.payer_modifiers:
        findings.append(found(PAYER_DEFINED, modifier=modifier))
    if modifier in _PHYSICIANS and code.who == "non-physician":
        findings.append(found(PHYSICIAN))
    if known.conflict_set == "distinct" and code.service == "evaluation_and_management":
        findings.append(found(SEPARATE_ON_EM, modifier=modifier))
    if modifier == "25" and code.service != "evaluation_and_management":
        findings.append(found(NOT_EM))
    if modifier in _PROGRAM and code.service in HEALTH_BEHAVIOR:
        findings.append(found(PROGRAM_ON_HEALTH_BEHAVIOR, modifier=modifier))
    if (
        known.conflict_set == "education"
        and modifier != "HL"
        and clinician is not None
        and clinician.level is not None
        and clinician.education_modifier != modifier
    ):
        findings.append(found(EDUCATION, modifier=modifier))
    return findings


def _age(modifier: str, codebook: Codebook, visit: Visit, on: date) -> list[Finding]:
    known, born = codebook.modifiers.get(modifier), visit.client_birth_date
    if known is None or born is None or (known.age_below is None and known.age_from is None):
        return []
    age = visit.client_age(on) or 0
    too_old = known.age_below is not None and age >= known.age_below
    too_young = known.age_from is not None and age < known.age_from
    return [found(AGE, modifier=modifier)] if too_old or too_young else []


def _presence(code: Code, modifier: str, readings: Sequence[Reading]) -> list[Finding]:
    """HR says that the client was there and HS that not; the code or the note may say otherwise (MC-06)."""
    if modifier not in _OF_PRESENCE:
        return []
    absent = [r.at(r.client_absent) for r in readings if r.client_absent]
    present = [r.at(span) for r in readings for span in r.elements.get("C24", ())]
    with_client = code.service == "family_psychotherapy" or (bool(present) and not absent)
    without = code.service == "family_psychotherapy_client_absent" or bool(absent)
    if modifier == "HR" and without:
        return [found(PRESENCE, where=absent[:1], modifier=modifier)]
    if modifier == "HS" and with_client:
        return [found(PRESENCE, where=present[:1], modifier=modifier)]
    return []


def _sets(modifiers: Sequence[str], codebook: Codebook) -> list[Finding]:
    by_set: dict[str, list[str]] = {}
    for m in dict.fromkeys(modifiers):
        known = codebook.modifiers.get(m)
        if known is not None and known.conflict_set:
            by_set.setdefault(known.conflict_set, []).append(m)
    findings = []
    for kind, members in by_set.items():
        if len(members) < 2:
            continue
        blocks = codebook.modifiers[members[0]].on_conflict is Effect.BLOCK
        if kind == "education" and "HL" in members and len(members) == 2:
            blocks = False  # training status beside one degree (domain 5.2)
        chosen = CONFLICT if blocks else UNUSUAL_PAIR
        findings.append(found(chosen, modifiers=", ".join(members), kind=kind.replace("_", " ")))
    return findings


def _headed(readings: Sequence[Reading]) -> bool:
    """The first word on the setting is a group's: "individual" further down speaks of something else."""
    return any(r.group and r.individual and r.group[0] < r.individual[0] for r in readings)


def _group(code: Code, modifiers: Sequence[str], readings: Sequence[Reading]) -> list[Finding]:
    """HQ against the note, for H and T codes counted in time; 90853 and its kind are groups already (GR-04)."""
    if not _GROUP_MARKS.isdisjoint(modifiers):
        individual = [r.at(r.individual) for r in readings if r.individual]
        return (
            [found(GROUP_MISMATCH, where=individual[:1])] if individual and not any(r.group for r in readings) else []
        )
    if code.unit_rule is not UnitRule.PAYER15 or code.service not in _IN_GROUPS:
        return []
    group = [r.at(r.group) for r in readings if r.group]
    if group and (not any(r.individual for r in readings) or _headed(readings)):
        return [found(GROUP_UNMARKED, where=group[:1])]
    return []
