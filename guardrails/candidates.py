"""The closed list of codes worth asking about for a visit: what the note names, who wrote it, who pays.

Recall is favoured; `check` has the last word on every code. The list is what a proposer may choose from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from guardrails.codebook import Code, Codebook
from guardrails.policies import Policy
from guardrails.reading import Reading
from guardrails.visit import Visit

# Services whose codes are worth asking about in any behavioral-health visit, named or not.
ALWAYS = ("assessment", "plan_development", "skills_training", "psychotherapy")
# And those that a clinician of some level often gives without naming them: what they do says it, not what they call it.
BY_LEVEL = {
    **dict.fromkeys(
        ("MD", "QHP"), ("evaluation_and_management", "diagnostic_evaluation_medical", "psychotherapy_add_on")
    ),
    "LP": ("diagnostic_evaluation", "family_psychotherapy_client_absent"),
}
# Named one, the other is worth asking about: who was there, and how many, decides between them.
TOGETHER = (
    frozenset({"counseling", "psychotherapy"}),
    frozenset({"assessment", "diagnostic_evaluation"}),
    frozenset({"family_psychotherapy", "family_psychotherapy_client_absent"}),
)


def _mistaken_for(named: Iterable[str], codebook: Codebook, on: date) -> Iterator[str]:
    """The services of codes that those of the named services are often mistaken for (domain 2.9): to ask is to tell apart."""
    services = set(named)
    for code, others in codebook.look_alikes.items():
        entry = codebook.find(code, on)
        if entry is not None and entry.service in services - set(ALWAYS):
            found = (codebook.find(other, on) for other in others)
            yield from (other.service for other in found if other is not None and other.service is not None)


def _may_give(level: str | None, code: Code) -> bool:
    """Whether a clinician of that level may be who gives it: asked with doubt, since `check` has the last word."""
    if level is None or not code.levels or code.levels & {level, "BA", "PP", "ORG"}:
        return True
    return level == "MD" and "QHP" in code.levels


def candidates(visit: Visit, readings: Iterable[Reading], codebook: Codebook, policy: Policy) -> tuple[Code, ...]:
    """Codes in force on the date of service whose service the notes name, the everyday ones, and their add-ons, in code order.

    Codes that the payer does not take, that the tables cannot prove (no documentation rules) or that are for another
    profession are left out: asking about them invites an answer that could only be held.
    """
    on = visit.date_of_service
    if on is None:
        return ()
    level = visit.rendering.level if visit.rendering else None
    named = {*ALWAYS, *BY_LEVEL.get(level or "", ())}
    for reading in readings:
        named |= reading.declared_services.keys() | reading.named_services.keys()
        named |= reading.mentioned_services.keys()
    for each in TOGETHER:
        named |= each if named & each else frozenset()
    named |= set(_mistaken_for(named, codebook, on))
    possible = [
        code
        for meanings in codebook.codes.values()
        for code in meanings
        if code.in_force(on)
        and code.service in codebook.requirements
        and policy.of(code.code).covered
        and (policy.kind != "medicare" or code.medicare)
        and _may_give(level, code)
    ]
    chosen = [code for code in possible if code.service in named]
    primary = {code.code for code in chosen}
    chosen += [code for code in possible if code not in chosen and code.add_on_to & primary]
    return tuple(sorted(chosen, key=lambda code: code.code))
