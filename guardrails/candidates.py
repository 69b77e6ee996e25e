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


def _mistaken_for(named: Iterable[str], codebook: Codebook, on: date) -> Iterator[str]:
    """The services of codes that those of the named services are often mistaken for (domain 2.9): to ask is to tell apart."""
    services = set(named)
    for code, others in codebook.look_alikes.items():
        entry = codebook.find(code, on)
        if entry is not None and entry.service in services - set(ALWAYS):
            found = (codebook.find(other, on) for other in others)
            yield from (other.service for other in found if other is not None and other.service is not None)


def candidates(visit: Visit, readings: Iterable[Reading], codebook: Codebook, policy: Policy) -> tuple[Code, ...]:
    """Codes in force on the date of service whose service the notes name, plus the everyday ones, in code order.

    Codes that the payer does not take, that the tables cannot prove (no documentation rules) or that are for another
    profession are left out: asking about them invites an answer that could only be held.
    """
    on = visit.date_of_service
    if on is None:
        return ()
    named = set(ALWAYS)
    for reading in readings:
        named |= reading.declared_services.keys() | reading.mentioned_services.keys()
    if named & {"counseling", "psychotherapy"}:
        named |= {"counseling", "psychotherapy"}
    if named & {"assessment", "diagnostic_evaluation"}:
        named |= {"assessment", "diagnostic_evaluation"}
    level = visit.rendering.level if visit.rendering else None
    named |= set(_mistaken_for(named, codebook, on))
    chosen = []
    for meanings in codebook.codes.values():
        for code in meanings:
            if not code.in_force(on) or code.service not in named or code.service not in codebook.requirements:
                continue
            if not policy.of(code.code).covered or (policy.kind == "medicare" and not code.medicare):
                continue
            if level and code.levels and level not in code.levels and not code.levels & {"BA", "PP"}:
                continue
            chosen.append(code)
    return tuple(sorted(chosen, key=lambda code: code.code))
