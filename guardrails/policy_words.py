"""A payer's policy in sentences, for people who decide under it: what it says of one code, and what of every line.

Written from the policy's values, so that what is shown is what counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from guardrails.codebook import Code, Element, UnitRule
from guardrails.policies import (
    Aggregate,
    Answer,
    Cap,
    CodePolicy,
    Counted,
    EncounterMinutes,
    ModifierPolicy,
    NotSameDay,
    Policy,
)
from guardrails.rules import Effect


class Clause(NamedTuple):
    """One sentence of a policy, and where the payer says so, if it is another place than for the whole policy."""

    text: str
    source: str | None = None


_COUNTED = {
    Counted.EVENT: "One unit a date of service, however long.",
    Counted.FLOOR15: "One unit for each whole 15 minutes; what is left over is not paid.",
    Counted.MID15: "One unit from 8 minutes on, the next for each further 15 from their 8th minute on.",
    Counted.CEIL15: "One unit for each 15 minutes that are begun.",
    Counted.POOLED15: "The minutes of all such codes of the day are pooled, and counted from the 8th minute of each 15 on.",
    Counted.FLOOR30: "One unit for each whole 30 minutes.",
    Counted.FLOOR60: "One unit for each whole 60 minutes.",
    Counted.PER_DIEM: "One unit a day.",
}
_NOT_KNOWN = "How 15 minutes are counted is not known: the lowest of the rules applies."
_THEN = {
    Effect.BLOCK: "else the line is rejected",
    Effect.HOLD: "else the line is held",
    Effect.FIX: "else the line is held beside a lower one",
    Effect.WARN: "else the line carries a warning",
    Effect.INFO: "else the line says so",
}
_ANSWERS = {
    Answer.ALLOW: "is taken",
    Answer.WARN: "is taken with a warning",
    Answer.HOLD: "is held",
    Answer.BLOCK: "is not taken",
}
_PERIOD_MINUTES = {
    EncounterMinutes.NEVER: "The visit's period in the EHR never stands in for minutes that the note does not state.",
    EncounterMinutes.EVENT_CODES: "The visit's period in the EHR stands in for minutes only where they make no units.",
    EncounterMinutes.ALL: "The visit's period in the EHR stands in for minutes that the note does not state.",
}
_MODIFIER = {
    "required": "The line must carry a modifier for the way it was given.",
    "not_needed": "The line needs no modifier for the way it was given; the place of service says it.",
    "unknown": "Whether the line must carry a modifier for the way it was given is not known.",
}


LEVELS = {
    "MD": "a physician",
    "QHP": "a qualified health professional",
    "LP": "a licensed professional",
    "AL": "an associate under supervision",
    "SUD": "a certified addiction counselor",
    "RN": "a registered nurse",
    "LPN": "a practical nurse",
    "BA": "qualified staff with a bachelor's degree",
    "PP": "a paraprofessional",
    "PEER": "a certified peer",
    "ORG": "the program",
    "BCBA": "a board-certified behavior analyst",
    "RBT": "a registered behavior technician",
    "OT": "an occupational therapist",
}
"""Who gives a service, as the tables and policies abbreviate it (domain 2.1)."""


NOTHING_SPECIAL = Clause("Nothing special: what holds for all payers holds.")


def spoken_of(policy: Policy) -> list[str]:
    """The codes that a policy names."""
    caps = [code for cap in policy.caps for code in cap.codes]
    beside = [code for each in policy.not_same_day for code in (*each.codes, *each.beside)]
    return sorted({*policy.codes, *caps, *beside})


def of_code(policy: Policy, code: Code, elements: Mapping[str, Element]) -> tuple[Clause, ...]:
    """What a policy says of one code; nothing where it leaves it to the rules that hold for all payers."""
    own = policy.of(code.code)
    if not own.covered:
        return (Clause("The payer does not cover it."),)
    return (
        *_counting(policy, own, code),
        *_of_the_code(own, elements),
        *(_cap(each) for each in policy.caps if code.code in each.codes),
        *(_not_same_day(each, code.code) for each in policy.not_same_day if code.code in (*each.codes, *each.beside)),
    )


def of_every_line(policy: Policy) -> tuple[Clause, ...]:
    """What a policy says of all codes."""
    ranges = " or ".join(policy.diagnosis.first)
    telehealth = policy.telehealth
    said = [
        _PERIOD_MINUTES[policy.encounter_minutes],
        f"The note's times may lie up to {policy.period_tolerance_minutes} minutes outside that period.",
        "A service past midnight is counted "
        + ("on each of its dates." if policy.past_midnight == "split" else "on the date on which it begins."),
        f"A treatment line points first to a diagnosis of {ranges}.",
        f"A group is {policy.group_largest} clients at most.",
        f"Sound without picture {_ANSWERS[telehealth.audio_only]}. {_MODIFIER[telehealth.modifier]}",
        f"One clinician's contacts of a day come to {policy.clinician_day_minutes.limit} minutes at most, "
        f"{_THEN[policy.clinician_day_minutes.effect]}.",
        f"The note is signed within {policy.signed_within_days.limit} days, {_THEN[policy.signed_within_days.effect]}.",
    ]
    if policy.diagnosis.z_only is not None:
        said.append(f"A treatment line for Z codes alone {_ANSWERS[policy.diagnosis.z_only]}.")
    if policy.payer_modifiers:
        said.append(f"Modifiers of the payer's own: {_listed(policy.payer_modifiers)}.")
    if policy.year_begins != 1:
        said.append(f"The payer's year begins with month {policy.year_begins}.")
    return tuple(map(Clause, said))


def _counting(policy: Policy, own: CodePolicy, code: Code) -> Iterator[Clause]:
    if own.counted is not None:
        yield Clause(_COUNTED[own.counted])
    elif code.unit_rule is UnitRule.PAYER15:
        yield Clause(_COUNTED[Counted(policy.quarter_hour.value)] if policy.quarter_hour else _NOT_KNOWN)
    if own.from_minutes is not None:
        yield Clause(f"The first unit from {own.from_minutes} minutes on.")
    if own.aggregate is not None or code.unit_rule is UnitRule.PAYER15:
        apart = (own.aggregate or policy.aggregate) is Aggregate.PER_CONTACT
        yield Clause(
            "Each contact of a day must reach its own unit."
            if apart
            else "The contacts of a day are added before they are counted."
        )


def _of_the_code(own: CodePolicy, elements: Mapping[str, Element]) -> Iterator[Clause]:
    if own.service is not None:
        yield Clause(f"By it the payer means {own.service.replace('_', ' ')}.")
    if own.levels is not None:
        yield Clause(f"Given by {' or '.join(LEVELS.get(each, each) for each in sorted(own.levels))}.")
    yield from map(Clause, _modifiers(own.modifiers))
    for element, effect in own.documentation.items():
        shows = elements[element].shows if element in elements else element
        yield Clause(f"The note shows {shows}, {_THEN[effect]} ({element}).")
    if own.family_without_client:
        yield Clause("It may be given to the family on the client's behalf.")
    if own.plan is not None:
        yield Clause("A plan must be in force on the date of service." if own.plan else "It needs no plan in force.")
    if own.authorization:
        yield Clause("An authorization must be in force on the date of service.")


def _modifiers(said: ModifierPolicy) -> Iterator[str]:
    if said.required:
        yield f"Modifiers: {_listed(said.required)} must stand on the line."
    if said.any_of:
        yield f"Modifiers: one of {_listed(said.any_of)} must stand on the line."
    if said.allowed is not None:
        yield f"Modifiers: none but {_listed(said.allowed)}." if said.allowed else "Modifiers: none."
    if said.order:
        yield f"Modifiers: {' '.join(said.order)} stand first, in this order."


def _cap(cap: Cap) -> Clause:
    who = f" for clients younger than {cap.age_below}" if cap.age_below is not None else ""
    with_modifiers = f" with {_either(cap.modifiers)}" if cap.modifiers else ""
    without = " without a program or education modifier" if cap.unmodified else ""
    each = " of one clinician" if cap.by_clinician else ""
    text = f"At most {cap.units} {'unit' if cap.units == 1 else 'units'} of {_listed(cap.codes)}{with_modifiers}{without}{each}{who} in {cap.per.words}, {_THEN[cap.effect]}."
    return Clause(text, cap.source)


def _not_same_day(rule: NotSameDay, code: str) -> Clause:
    others = rule.beside if code in rule.codes else rule.codes
    carried = f" with {_either(rule.modifiers)}" if rule.modifiers else ""
    return Clause(f"Not on the day of {_listed(others)}{carried}, {_THEN[rule.effect]}.", rule.source)


def _either(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))


def _listed(names: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(sorted(names))
