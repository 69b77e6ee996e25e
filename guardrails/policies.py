"""Payer policy: a dated, typed overlay on the national rules, written in TOML.

A policy says how a payer counts, caps and asks for documentation; a value without a source and a date cannot block.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guardrails.rules import Effect


class PolicyError(ValueError):
    """A policy file cannot be used: the message names the file, the field and what is wrong."""


class QuarterHourRule(StrEnum):
    """How a payer counts a "per 15 minutes" code (domain 3.5)."""

    FLOOR15 = "FLOOR15"
    MID15 = "MID15"
    CEIL15 = "CEIL15"


class EncounterMinutes(StrEnum):
    """Whether Encounter.period may stand in for minutes that the note does not state (design: Minutes)."""

    NEVER = "never"
    EVENT_CODES = "event_codes"
    ALL = "all"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class CodePolicy(_Model):
    """What a payer says of one code. Units and minutes per date of service."""

    covered: bool = True
    quarter_hour: QuarterHourRule | None = None
    max_units: Annotated[int, Field(ge=1, le=96)] | None = None
    levels: frozenset[str] | None = None
    modifiers_required: tuple[str, ...] = ()
    documentation: dict[str, Effect] = {}


class Policy(_Model):
    """One payer's policy over one period.

    `quarter_hour` None means the payer's rule is unknown: the lowest applies and the line says so. Minutes are whole.
    """

    id: str
    payer: str
    source: str
    effective_from: date
    effective_through: date | None = None
    kind: Literal["medicare", "medicaid", "commercial", "unknown"]
    quarter_hour: QuarterHourRule | None = None
    encounter_minutes: EncounterMinutes = EncounterMinutes.EVENT_CODES
    period_tolerance_minutes: Annotated[int, Field(ge=0, le=60)] = 5
    payer_modifiers: frozenset[str] = frozenset()
    codes: dict[str, CodePolicy] = {}

    def of(self, code: str) -> CodePolicy:
        """What the payer says of a code; the defaults where it says nothing."""
        return self.codes.get(code, _SILENT)

    def rule_for(self, code: str) -> QuarterHourRule | None:
        """The payer's way of counting a "per 15 minutes" code, or None where it is not known."""
        return self.of(code).quarter_hour or self.quarter_hour

    def covers(self, on: date) -> bool:
        """Whether the policy is in force on a date of service."""
        return self.effective_from <= on and (self.effective_through is None or on <= self.effective_through)


_SILENT = CodePolicy()


def parse(text: str, *, name: str) -> Policy:
    """A policy from TOML text.

    Raises:
        PolicyError: not TOML, or a field is missing, unknown or of the wrong kind; all of them are named with their lines.
    """
    try:
        return Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise PolicyError(f"{name}: not TOML: {problem}") from problem
    except ValidationError as problem:
        wrong = "; ".join(
            f"line {_line_of(text, e['loc'])}: {'.'.join(map(str, e['loc']))}: {e['msg']}"
            for e in problem.errors(include_input=False)
        )
        raise PolicyError(f"{name}: {wrong}") from problem


def _line_of(text: str, place: Sequence[int | str]) -> int:
    """The line on which a field stands; of a field that is missing, the line that opens its table (1 for the top)."""
    tables, key = [str(p) for p in place[:-1]], str(place[-1])
    here: list[str] = []
    opened = 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r"\s*\[\[?([^\]]+)\]\]?\s*(?:#.*)?", line)
        if header:
            here = [part.strip().strip("\"'") for part in header[1].split(".")]
            if here == tables[: len(here)] or here == [*tables, key]:
                opened = number
            if here == [*tables, key]:
                return number
        assigned = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*=", line)
        if assigned and [*here, assigned[1]] == [*tables, key][: len(here) + 1] and len(here) <= len(tables):
            return number
    return opened


def load(name: str) -> Policy:
    """A packaged policy by name; `packaged` lists them.

    Raises:
        PolicyError: no policy of that name is packaged.
    """
    source = files("guardrails") / "data" / "policies" / f"{name}.toml"
    if not source.is_file():
        raise PolicyError(f"no packaged policy {name!r}; there are: {', '.join(packaged())}")
    return parse(source.read_text(encoding="utf-8"), name=f"{name}.toml")


def read(path: Path) -> Policy:
    """A site's own policy file.

    Raises:
        PolicyError: it cannot be read or used.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), name=path.name)
    except (OSError, UnicodeDecodeError) as problem:
        raise PolicyError(f"{path.name}: cannot be read: {problem}") from problem


def unknown_names(policy: Policy, codes: Collection[str], elements: Collection[str]) -> tuple[str, ...]:
    """Codes and documentation elements that a policy speaks of and the tables do not know: mostly slips of the pen."""
    strange = [f"codes.{code}: not in the loaded code tables" for code in policy.codes if code not in codes]
    strange += [
        f"codes.{code}.documentation.{element}: no such documentation element"
        for code, each in policy.codes.items()
        for element in each.documentation
        if element not in elements
    ]
    return tuple(strange)


def scaffold(name: str, based_on: Policy) -> str:
    """A commented policy to fill in; as it stands it says what `based_on` says of all codes."""
    rules = ", ".join(each.value for each in QuarterHourRule)
    minutes = ", ".join(each.value for each in EncounterMinutes)
    counted = (
        f'quarter_hour = "{based_on.quarter_hour.value}"' if based_on.quarter_hour else '# quarter_hour = "FLOOR15"'
    )
    return f'''# A payer's policy. A value without a source and a date cannot block: name the manual and its edition.
id = "{name}"
payer = "the payer's name as your staff know it"
source = "the manual or bulletin, with its date"
effective_from = {based_on.effective_from.isoformat()}
# effective_through = 2026-12-31
kind = "{based_on.kind}"  # medicare, medicaid, commercial, unknown

# How "per 15 minutes" codes are counted: {rules}. Left out: the lowest rule applies and each line says so.
{counted}
# May the EHR's visit period stand in for minutes that the note does not state: {minutes}.
encounter_minutes = "{based_on.encounter_minutes.value}"
# How far the note's times may lie outside the visit's period in the EHR, minutes.
period_tolerance_minutes = {based_on.period_tolerance_minutes}
# State-defined modifiers that this payer uses (U1 to U9, UA to UD).
payer_modifiers = []

# What differs for one code. Remove the # where the payer says so.
# [codes.H2014]
# covered = true
# quarter_hour = "MID15"
# max_units = 16                  # of one date of service
# levels = ["LP", "AL", "BA"]     # who may give it
# modifiers_required = ["HN"]
# documentation = {{ S05 = "block", S12 = "hold" }}
'''


def packaged() -> Iterator[str]:
    """The names of the packaged policies."""
    return iter(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in (files("guardrails") / "data" / "policies").iterdir()
            if entry.name.endswith(".toml")
        )
    )
