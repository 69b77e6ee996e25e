"""The register of rules: what each says, how hard it is, who asks for it, and who can cure it.

A rule is declared once, in the module that applies it, by `rule(...)`. Findings' texts, the rule reference in
`docs/rules.md` and the counts in metrics all come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a finding does to its line."""

    BLOCK = "block"  # rejected: nothing truthful cures it
    HOLD = "hold"  # held: a completed note or a supplied fact can cure it
    FIX = "fix"  # held, beside a lower value that a person may accept
    WARN = "warn"  # the line stands, with a word to the person
    INFO = "info"  # the line stands; stated for the record


class CuredBy(StrEnum):
    """Who can truthfully cure a finding."""

    NOTE = "note"  # the clinician, by completing, amending or signing the record
    CODER = "coder"  # a coder, by supplying a typed fact or accepting the fix
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `sentence` may hold named slots; what fills them is never note text or a name."""

    id: str
    effect: Effect
    sentence: str
    authority: str
    cured_by: CuredBy
    lacks: str | None = None

    def says(self, **slots: object) -> str:
        """The sentence with its slots filled."""
        return self.sentence.format_map(slots)


_RULES: dict[str, Rule] = {}


def rule(
    rule_id: str, effect: Effect, sentence: str, *, authority: str, cured_by: CuredBy, lacks: str | None = None
) -> Rule:
    """Declare a rule and register it under its id.

    Raises:
        ValueError: the id is taken.
    """
    if rule_id in _RULES:
        raise ValueError(f"rule {rule_id} is declared twice")
    _RULES[rule_id] = Rule(rule_id, effect, sentence, authority, cured_by, lacks)
    return _RULES[rule_id]


def registered() -> Mapping[str, Rule]:
    """All rules declared in Python, by id. Documentation elements add theirs: see `Codebook.rules`."""
    return dict(sorted(_RULES.items()))


def families(rules: Mapping[str, Rule]) -> Iterator[tuple[str, list[Rule]]]:
    """The rules grouped by the letters before the dash, in order."""
    grouped: dict[str, list[Rule]] = {}
    for each in rules.values():
        grouped.setdefault(each.id.partition("-")[0], []).append(each)
    yield from grouped.items()
