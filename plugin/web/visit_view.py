"""What the clinician's page shows of a visit: the note with marks, a card for each line, in the order they were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_mappings.views import Json
from guardrails import policy_words
from guardrails.codebook import Codebook, normalize
from guardrails.policy_words import Clause
from guardrails.visit import Note, NoteStatus
from plugin.review.desk import REASONS, Action
from plugin.store.records import Decision, Draft
from plugin.web.pages import Piece, local, pieces
from plugin.workbench import Understood

_STATUS = {
    NoteStatus.SIGNED: "signed",
    NoteStatus.UNSIGNED: "not signed",
    NoteStatus.SUPERSEDED: "replaced by a newer note; not used",
    NoteStatus.ENTERED_IN_ERROR: "entered in error; not used",
    NoteStatus.UNREADABLE: "cannot be read",
    NoteStatus.RENDITION: "the same note in another format; read once",
}
_ACTIONS = {
    Action.ACCEPT: "accepted a line",
    Action.REJECT: "set a line aside",
    Action.EDIT: "changed a line",
    Action.ADD: "added a line",
    Action.BILL: "accepted the lines as they stand",
    Action.NOT_BILLABLE: "decided that the visit is not billable",
    Action.REOPEN: "reopened the visit",
    Action.CORRECT: "corrected a line",
    Action.APPROVE: "approved the visit",
    Action.TAKE_BACK: "took the approval back",
    Action.SEND_BACK: "sent the visit back to the clinician",
    Action.HOLD: "put the visit on hold",
    Action.QUERY: "asked the clinician",
    Action.ANSWER: "answered the coder",
    Action.CARD_OVERRIDDEN: "dismissed our card in the EHR",
    Action.CARD_ACCEPTED: "took up our card in the EHR",
}


@dataclass(frozen=True, slots=True)
class ShownNote:
    """A note as the page shows it."""

    id: str
    title: str
    signed: str
    pieces: list[Piece] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """What is wrong with a line, and where in the note."""

    message: str
    authority: str
    rule: str
    effect: str
    mark: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """One line, as asked for and as it stands, with what the payer says of its code."""

    key: str
    number: int
    code: str
    label: str
    units: str
    arithmetic: str | None
    modifiers: tuple[str, ...]
    place: str | None
    diagnoses: tuple[str, ...]
    outcome: str
    fate: str
    by_person: bool
    fix: Json | None
    findings: list[ShownFinding]
    evidence: bool
    asked_units: str
    policy: tuple[Clause, ...]

    @property
    def can_be_accepted(self) -> bool:
        """It stands, and nobody has decided on it."""
        return self.outcome == "ready" and self.fate == "open"


@dataclass(frozen=True, slots=True)
class ShownDecision:
    """Who did what, when, and why."""

    who: str
    what: str
    when: str
    why: str | None
    words: str | None = field(default=None, repr=False)


def cards(draft: Draft, understood: Understood, book: Codebook) -> list[Card]:
    """The live lines of a draft."""
    return [_card(n, v, understood, book) for n, v in enumerate(draft.verdicts.get("verdicts", ()), 1)]


def set_aside(draft: Draft) -> list[Json]:
    """What people set aside or replaced, with the reason in words."""
    reasons = {**REASONS[Action.EDIT], **REASONS[Action.REJECT]}
    return [
        each
        | {
            "why": reasons.get(str(each["reason"]), ""),
            "mark": f"{each['proposal']['code']} x {each['proposal']['units']}",
        }
        for each in draft.verdicts.get("set_aside", ())
    ]


def notes(understood: Understood, draft: Draft | None) -> Iterator[ShownNote]:
    """The visit's notes, marked with the evidence of the draft's lines where they are still the text that was quoted."""
    zone = understood.visit.facility_zone
    verdicts = draft.verdicts.get("verdicts", ()) if draft else ()
    for note in understood.visit.notes:
        if note.status is NoteStatus.RENDITION:
            continue
        spans = {v["key"]: list(_places(v, note)) for v in verdicts}
        for position, finding in _located(verdicts):
            spans[position] = [(w["start"], w["end"]) for w in finding["where"] if _same_text(w, note)]
        author = note.author.name if note.author and note.author.name else "author not named"
        said = "a psychotherapy note; it is not read" if note.is_psychotherapy_note else _STATUS[note.status]
        signed = f"{said} {local(note.signed_at, zone)}".strip()
        if note.unreadable_because:
            signed = f"cannot be read: {note.unreadable_because}"
        shown = [] if note.is_psychotherapy_note else pieces(note.text, spans)
        yield ShownNote(
            note.id,
            f"{note.role.value.capitalize()} note, {author}" if note.role.value != "base" else f"Note, {author}",
            signed,
            shown,
        )


def history(decisions: list[Decision], names: dict[str, str], understood: Understood) -> list[ShownDecision]:
    """What people did, oldest first, in facility time."""
    zone = understood.visit.facility_zone
    every = {k: v for reasons in REASONS.values() for k, v in reasons.items()}
    return [
        ShownDecision(
            who=names.get(d.account_id, d.person or d.account_id),
            what=_ACTIONS.get(Action(d.action), d.action),
            when=local(d.at, zone),
            why=every.get(d.reason or ""),
            words=d.comment,
        )
        for d in decisions
    ]


def _card(number: int, verdict: Json, understood: Understood, book: Codebook) -> Card:
    line, proposal = verdict["line"], verdict["proposal"]
    code = str(line["code"] if line else proposal["code"])
    on = understood.visit.date_of_service
    entry = book.find(normalize(code), on) if on else None
    stands = verdict["outcome"] == "ready" and line
    place = (line or {}).get("place_of_service") or understood.visit.place_of_service
    known_place = book.places.get(place or "")
    return Card(
        key=verdict["key"],
        number=number,
        code=code,
        label=entry.label if entry else "not in our tables",
        units=str(line["units"] if stands else proposal["units"]),
        arithmetic=line["arithmetic"] if stands else None,
        modifiers=tuple(line["modifiers"] if line else proposal["modifiers"]),
        place=f"{place} {known_place.label}" if known_place else place,
        diagnoses=tuple(line["diagnoses"]) if line else (),
        outcome=verdict["outcome"],
        fate=verdict.get("fate", "open"),
        by_person=bool(verdict.get("by")),
        fix=verdict["fix"],
        findings=[_finding(verdict["key"], n, f) for n, f in enumerate(verdict["findings"])],
        evidence=bool(line and (line["evidence"] or line["minutes_where"])),
        asked_units=str(proposal["units"]),
        policy=policy_words.of_code(understood.policy, entry, book.elements) if entry else (),
    )


def _finding(key: str, number: int, finding: Json) -> ShownFinding:
    mark = f"{key}-f{number}" if finding["where"] else None
    return ShownFinding(finding["message"], finding["authority"], finding["rule"], finding["effect"], mark)


def _located(verdicts: Any) -> Iterator[tuple[str, Json]]:
    for verdict in verdicts:
        for number, finding in enumerate(verdict["findings"]):
            if finding["where"]:
                yield f"{verdict['key']}-f{number}", finding


def _places(verdict: Json, note: Note) -> Iterator[tuple[int, int]]:
    line = verdict["line"]
    if line:
        for where in (*line["evidence"], *line["minutes_where"]):
            if _same_text(where, note):
                yield where["start"], where["end"]


def _same_text(where: Json, note: Note) -> bool:
    return bool(where["note"] == note.id and where["hash"] == note.text_hash)
