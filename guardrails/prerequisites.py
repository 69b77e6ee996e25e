"""What must stand before the service is given: a plan in force (domain 4.2 C22) and, where the payer asks, an authorization (C23).

Asked for only where they were looked up, or where the payer's policy asks: what was not looked up is not checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

from guardrails.codebook import Code
from guardrails.policies import Policy
from guardrails.rules import CuredBy, Effect, rule
from guardrails.verdict import Finding, found
from guardrails.visit import Context, DatedRecord, Known

PLAN_NOT_IN_FORCE = rule(
    "PLAN-010",
    Effect.BLOCK,
    "Every plan on file begins after or ends before the date of service.",
    authority="domain 4.2 C22, X-D18; 13 CSR 70-3.030 (Missouri)",
    cured_by=CuredBy.NOBODY,
)
NO_PLAN = rule(
    "PLAN-011",
    Effect.HOLD,
    "No plan is on file where the settings look for one; {code} needs one in force.",
    authority="domain 4.2 C22",
    cured_by=CuredBy.CODER,
    lacks="C22",
)
NOT_IN_PLAN = rule(
    "PLAN-012",
    Effect.HOLD,
    "The plan in force lists its services, and {code} is not among them.",
    authority="domain 4.5 S05, X-D19",
    cured_by=CuredBy.CODER,
    lacks="C22",
)
NO_AUTHORIZATION = rule(
    "AUTH-010",
    Effect.HOLD,
    "The payer asks for an authorization of {code}, and none on file covers the date of service.",
    authority="domain 4.2 C23, 6.8; the payer's policy",
    cured_by=CuredBy.CODER,
    lacks="C23",
)

PLANNED = frozenset(
    "skills_training psychosocial_rehabilitation community_support therapeutic_behavioral supported_employment".split()
)
"""Rehabilitation services, which need a plan in force before they are given (domain 4.2 C22)."""


def check(code: Code, on: date, context: Context, policy: Policy, supplied: Collection[str]) -> Iterator[Finding]:
    """Findings about plan and authorization. `supplied` are the elements (C22, C23) that a coder vouches for."""
    said = policy.of(code.code)
    asked = said.plan if said.plan is not None else code.service in PLANNED
    if asked and "C22" not in supplied and isinstance(context.plans, Known):
        yield from _plan(code, on, context.plans.values)
    if said.authorization and "C23" not in supplied:
        known = context.authorizations.values if isinstance(context.authorizations, Known) else ()
        if not any(each.in_force(on) and _covers(each, code) for each in known):
            yield found(NO_AUTHORIZATION, code=code.code)


def _plan(code: Code, on: date, plans: tuple[DatedRecord, ...]) -> Iterator[Finding]:
    in_force = [each for each in plans if each.in_force(on)]
    if not plans:
        yield found(NO_PLAN, code=code.code)
    elif not in_force:
        yield found(PLAN_NOT_IN_FORCE)
    elif not any(_covers(each, code) for each in in_force):
        yield found(NOT_IN_PLAN, code=code.code)


def _covers(record: DatedRecord, code: Code) -> bool:
    """Whether it names the code, or names no codes at all."""
    return not record.codes or code.code in record.codes
