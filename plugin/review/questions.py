"""Questions from coders to clinicians: built from the findings alone, so that none of them leads.

A question says what was seen and asks what the record says. It names no minutes, no wording and no code, says nothing of
payment, and always offers "unable to determine" (domain 4; the practice of compliant queries).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_mappings.views import Json

CHOICES: dict[str, str] = {
    "amended": "I have completed or corrected the note",
    "stands": "The note says all there is to say",
    "unable": "I am unable to determine this",
    "other": "Something else (in my words)",
}
"""The answers that are always offered, in this order."""

_OPENING = "A coder read the note of this visit and asks:"
_CLOSING = "Please look at the record. If something was left out, complete the note in the chart; then answer here."


def askable(verdicts: Json) -> list[Json]:
    """The findings of a draft that a clinician could answer: those that the note could cure, each once."""
    found: dict[str, Json] = {}
    for each in (*verdicts.get("verdicts", ()), verdicts):
        for finding in each.get("findings", ()):
            if finding["cured_by"] == "note" and finding["effect"] in ("block", "hold", "fix", "warn"):
                found.setdefault(finding["message"], finding)
    return list(found.values())


def question(verdicts: Json, rules: Iterable[str]) -> tuple[str, list[str]] | None:
    """The question that these rules' findings make, and the rules it speaks of; None where none of them can be asked."""
    wanted = set(rules)
    chosen = [f for f in askable(verdicts) if f["rule"] in wanted]
    if not chosen:
        return None
    return _written([f["message"] for f in chosen]), sorted({f["rule"] for f in chosen})


def _written(messages: Sequence[str]) -> str:
    points = "\n".join(f"- {message.rstrip('.')}. What does the record say of it?" for message in messages)
    return f"{_OPENING}\n{points}\n{_CLOSING}"
