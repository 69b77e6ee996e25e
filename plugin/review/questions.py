"""Questions from coders to clinicians: one neutral sentence for each rule that the note could satisfy, so that none leads.

A question says what was seen and asks what the record says. It names no code, no minutes and no wording to use, says
nothing of payment, and always offers "unable to determine" (domain 4; the practice of compliant queries). A rule that can
only be asked about by naming what is billed is not asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fhir_mappings.views import Json


class Question(NamedTuple):
    """What is asked of one rule's findings, however many there are."""

    rule: str
    text: str


CHOICES: dict[str, str] = {
    "amended": "I have completed or corrected the note",
    "stands": "The note says all there is to say",
    "unable": "I am unable to determine this",
    "other": "Something else (in my words)",
}
"""The answers that are always offered, in this order."""

_OPENING = "A coder read the note of this visit and asks:"
_CLOSING = "Please look at the record. If something was left out, complete the note in the chart; then answer here."


ASKS: dict[str, str] = {
    "CODE-071": "The note does not say which service it documents. Which service was given, as the record has it?",
    "CODE-073": "The note speaks of several services. Which of them does it document?",
    "CODE-077": "What does the record say of the problems that were addressed, the data that were looked at, and the risk?",
    "DOC-C08": "The note was signed before the service ended. What does the record say of what came after?",
    "DX-010": "The visit has no diagnosis in the EHR. Which conditions were addressed, as the record has them?",
    "DX-021": "A diagnosis of the visit stands in the EHR as a category only. What does the record say of it in more detail?",
    "DX-070": "The note names a diagnosis as suspected or to be ruled out. What does the record say of where it stands?",
    "EDIT-010": "The note describes more than one service over the same time. What was done when?",
    "EDIT-011": "The note describes more than one service and not when each took place. What was done when?",
    "EDIT-012": "Another contact of the clinician is recorded for the same time. When did each begin and end?",
    "MOD-123": "The note does not state when this service began and ended. What does the record say of it?",
    "NOTE-010": "No note of this visit was found. Where is the visit documented?",
    "NOTE-020": "The note is not signed by its author. What is its status?",
    "NOTE-021": "A further note or addendum of this visit is not signed. What is its status?",
    "NOTE-040": "A note of this visit has no text that can be read. Where else is the visit documented?",
    "NOTE-041": "A note of this visit is many times as long as what is written of one visit. Which part documents this visit?",
    "NOTE-050": "The note names another date of service than the visit in the EHR. Which is right?",
    "NOTE-061": "The note says that the client did not attend, and also describes a session. What took place?",
    "NOTE-080": "The note is word for word the note of another visit of this client. What was done this time?",
    "NOTE-090": "The note's header names a client, and the name is not this client's. Whose note is it?",
    "TIME-010": "The note does not state the time of the service. When did it begin and end?",
    "TIME-011": "The note states a start time without a stop time. When did the service end?",
    "TIME-012": "The note states a length without a start and a stop time. When did the service begin and end?",
    "TIME-013": "The note does not state the time of the psychotherapy apart from the rest. When did each begin and end?",
    "TIME-020": "The times that the note states do not agree with each other. Which are right?",
    "TIME-021": "The times of the note and of the visit in the EHR differ. Which are right?",
    "TIME-022": "The visit's period in the EHR is open or very long. When did the visit begin and end?",
    "TIME-030": "A stop time stands before its start time. Which times are right?",
    "TIME-031": "A time is written without morning or afternoon. Which is it?",
    "TIME-033": "The note states several separate times. Which belong to which service?",
    "TIME-034": "The note states an interruption, or time spent otherwise, and not how long. When did it begin and end?",
    "TIME-035": "The note states a break and not when it was. When did it begin and end?",
    "TIME-038": "The note states hundreds of times. Which are those of this visit?",
    "UNIT-034": "The note names no instrument together with its score. Which instruments were used, and with what result?",
    "VISIT-020": "The EHR does not say that this visit is finished. What is its status?",
}
"""What is asked, by rule. Of a documentation element its own sentence is said, and the record asked about."""

NOT_ASKED = frozenset({"DOC-N04", "DOC-TH10", "EDIT-042", "EVID-030", "FACT-010", "NOTE-070"})
"""Rules that the note could satisfy and that say nothing to a clinician, or hint at what would be billed."""


def of_rule(rule: str, message: str) -> str | None:
    """What is asked about a finding; None where it is not asked about."""
    if rule in NOT_ASKED:
        return None
    if rule in ASKS:
        return ASKS[rule]
    return f"{message} What does the record say of it?" if rule.startswith("DOC-") else None


def askable(verdicts: Json) -> list[Question]:
    """The questions that a draft's findings make: of those that the note could cure, each once."""
    found: dict[str, Question] = {}
    for each in (*verdicts.get("verdicts", ()), verdicts):
        for finding in each.get("findings", ()):
            if finding["cured_by"] == "note" and finding["effect"] in ("block", "hold", "fix", "warn"):
                text = of_rule(str(finding["rule"]), str(finding["message"]))
                if text is not None:
                    found.setdefault(text, Question(finding["rule"], text))
    return list(found.values())


def question(verdicts: Json, rules: Iterable[str]) -> tuple[str, list[str]] | None:
    """The question that these rules' findings make, and the rules it speaks of; None where none of them can be asked."""
    wanted = set(rules)
    chosen = [each for each in askable(verdicts) if each.rule in wanted]
    if not chosen:
        return None
    points = "\n".join(f"- {each.text}" for each in chosen)
    return f"{_OPENING}\n{points}\n{_CLOSING}", sorted({each.rule for each in chosen})
