"""Deterministic guardrails for behavioral-health service lines: no FHIR, no model, no clock, no network.

from guardrails import check, codebook, policies
verdicts = check(visit, context, proposals, (), codebook.load(), policies.load("unknown"))
"""

from guardrails.candidates import candidates
from guardrails.check import check, read_notes, stopped
from guardrails.verdict import (
    Finding,
    Fix,
    Outcome,
    Proposal,
    Quote,
    Quoted,
    ServiceLine,
    SuppliedFact,
    Verdict,
    Verdicts,
)
from guardrails.visit import Context, Visit

__all__ = [
    "Context",
    "Finding",
    "Fix",
    "Outcome",
    "Proposal",
    "Quote",
    "Quoted",
    "ServiceLine",
    "SuppliedFact",
    "Verdict",
    "Verdicts",
    "Visit",
    "candidates",
    "check",
    "read_notes",
    "stopped",
]
