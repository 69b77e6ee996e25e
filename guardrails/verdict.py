"""What is claimed and what was found. Frozen values; no repr shows note text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from guardrails.rules import CuredBy, Effect, Rule


class Outcome(StrEnum):
    """What becomes of a proposed line."""

    READY = "ready"
    HELD = "held"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Quoted:
    """Words that a proposer says stand in a note; proven or refuted by `evidence`.

    `element` is the documentation element that they are said to show (such as `S01`), `note_id` the note they are
    said to stand in; both may be None.
    """

    text: str = field(repr=False)
    element: str | None = None
    note_id: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A line that a proposer or a person asks for. Nothing in it is believed.

    `unsure` says that the proposer abstains: the line is for a person to decide. `units` is kept as it came, so that `2.5` or `"three"` is refused with a finding and not with an exception; what is
    no text where text belongs becomes text that no table knows.
    """

    code: str
    units: object = 1
    modifiers: tuple[str, ...] = ()
    quotes: tuple[Quoted, ...] = ()
    system: str | None = None
    diagnoses: tuple[str, ...] = ()
    unsure: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", _text(self.code))
        object.__setattr__(self, "modifiers", tuple(map(_text, self.modifiers)))
        object.__setattr__(self, "diagnoses", tuple(map(_text, self.diagnoses)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


class Quote(NamedTuple):
    """A proven quote: the half-open span `[start, end)` in code points of the text with that hash."""

    note_id: str
    start: int
    end: int
    text_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppliedFact:
    """A fact that a coder supplies outside the note (an authorization number, the payer). Never minutes or clinical."""

    element: str
    value: str = field(repr=False)
    who: str
    when: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with a line or visit, in plain words, and who asks.

    `where` points into a note, `lacks` names the documentation element that the record does not show.
    """

    rule_id: str
    effect: Effect
    message: str
    authority: str
    cured_by: CuredBy
    where: tuple[Quote, ...] = ()
    lacks: str | None = None


def found(
    rule: Rule,
    *,
    where: Iterable[Quote] = (),
    effect: Effect | None = None,
    authority: str | None = None,
    **slots: object,
) -> Finding:
    """A finding of `rule`; `effect` and `authority` where a policy or a dated table speaks instead of the rule's own."""
    return Finding(
        rule_id=rule.id,
        effect=effect or rule.effect,
        message=rule.says(**slots),
        authority=authority or rule.authority,
        cured_by=rule.cured_by,
        where=tuple(where),
        lacks=rule.lacks,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """The lower value beside a held line; a person may accept it. Never above the proposal or the record."""

    code: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """Countable minutes that the record states for a line, and where.

    `intervals` are instants, kept where the note gives clock times; `source` is `clock`, `stated` or `period`; `contacts`
    are the minutes of each stretch without a break, in their order.
    """

    minutes: int
    source: str
    where: tuple[Quote, ...] = ()
    intervals: tuple[tuple[datetime, datetime], ...] = ()
    subtracted: int = 0
    contacts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLine:
    """A line as it would be billed. Built by `check` alone."""

    id: str
    code: str
    system: str
    units: int
    modifiers: tuple[str, ...]
    diagnoses: tuple[str, ...]
    date_of_service: date
    place_of_service: str | None
    rendering_id: str
    minutes: Minutes | None
    arithmetic: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One proposal's fate: its outcome, every finding, the line it would make and the lower value that fits."""

    proposal: Proposal
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    line: ServiceLine | None = None
    fix: Fix | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """All that `check` says of a visit: a verdict per proposal in the order given, findings on the visit itself,
    and notices about the installation (such as a code table past its window)."""

    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[ServiceLine, ...]:
        """The lines that stand, in order."""
        return tuple(v.line for v in self.verdicts if v.outcome is Outcome.READY and v.line is not None)

    @property
    def incomplete(self) -> bool:
        """Lines stand, but a held sibling waits: the draft cannot be approved in bulk."""
        return bool(self.lines) and any(v.outcome is Outcome.HELD for v in self.verdicts)


def outcome_of(findings: Iterable[Finding]) -> Outcome:
    """Rejected if anything blocks, held if anything holds or asks for a fix, else ready."""
    effects = {finding.effect for finding in findings}
    if effects.isdisjoint(_NOT_READY):
        return Outcome.READY
    return Outcome.REJECTED if Effect.BLOCK in effects else Outcome.HELD


_NOT_READY = frozenset({Effect.BLOCK, Effect.HOLD, Effect.FIX})
