"""Verdicts as JSON: for the store, `--json` and `explain`. Codes, ids, offsets and our own sentences; never note text."""

from __future__ import annotations

import re
from typing import Any

from guardrails.verdict import Finding, Proposal, Quote, ServiceLine, Verdict, Verdicts

Json = dict[str, Any]
_SHORT = re.compile(r"[A-Za-z0-9]{1,8}(?:\.[A-Za-z0-9]{1,4})?", re.ASCII)


def verdicts_json(verdicts: Verdicts) -> Json:
    """All that `check` said."""
    return {
        "verdicts": [{"key": f"p{n}"} | verdict_json(v) for n, v in enumerate(verdicts.verdicts)],
        "findings": [finding_json(f) for f in verdicts.findings],
        "notices": list(verdicts.notices),
        "incomplete": verdicts.incomplete,
    }


def verdict_json(verdict: Verdict) -> Json:
    """One proposal's verdict."""
    return {
        "proposal": proposal_json(verdict.proposal),
        "outcome": verdict.outcome.value,
        "line": line_json(verdict.line) if verdict.line else None,
        "fix": {"code": verdict.fix.code, "units": verdict.fix.units} if verdict.fix else None,
        "findings": [finding_json(f) for f in verdict.findings],
    }


def proposal_json(proposal: Proposal) -> Json:
    """A proposal without its quotes. What is no code is not repeated: a model may write anything there."""
    return {
        "code": shown_code(proposal.code),
        "units": proposal.units if isinstance(proposal.units, (int, float)) else "(not a number)",
        "modifiers": [shown_code(m) for m in proposal.modifiers],
        "diagnoses": [shown_code(d) for d in proposal.diagnoses],
    }


def shown_code(text: str) -> str:
    """A code as it may be shown and stored."""
    return text.strip() if _SHORT.fullmatch(text.strip()) else "(not a code)"


def finding_json(finding: Finding) -> Json:
    """One finding, with the places in the notes that it points to."""
    return {
        "rule": finding.rule_id,
        "effect": finding.effect.value,
        "message": finding.message,
        "authority": finding.authority,
        "cured_by": finding.cured_by.value,
        "lacks": finding.lacks,
        "where": [quote_json(q) for q in finding.where],
    }


def line_json(line: ServiceLine) -> Json:
    """One line as it would be billed, with its arithmetic and the offsets of its evidence."""
    minutes = line.minutes
    return {
        "id": line.id,
        "code": line.code,
        "units": line.units,
        "modifiers": list(line.modifiers),
        "diagnoses": list(line.diagnoses),
        "date_of_service": line.date_of_service.isoformat(),
        "place_of_service": line.place_of_service,
        "rendering": line.rendering_id,
        "arithmetic": line.arithmetic,
        "minutes": minutes.minutes if minutes else None,
        "minutes_from": minutes.source if minutes else None,
        "minutes_where": [quote_json(q) for q in minutes.where] if minutes else [],
        "evidence": [quote_json(q) for q in line.quotes],
    }


def quote_json(quote: Quote) -> Json:
    """Where a quote stands: note, offsets in code points, and the hash of the text they count in."""
    return {"note": quote.note_id, "start": quote.start, "end": quote.end, "hash": quote.text_hash}
