"""Payer policy: a dated, typed overlay on the national rules, written in TOML.

A policy says how a payer counts, caps and asks for documentation; a value without a source and a date cannot block.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
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
        PolicyError: not TOML, or a field is missing, unknown or of the wrong kind; all of them are named.
    """
    try:
        return Policy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise PolicyError(f"{name}: not TOML: {problem}") from problem
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors(include_input=False))
        raise PolicyError(f"{name}: {wrong}") from problem


def load(name: str) -> Policy:
    """A packaged policy by name: `unknown`, `medicaid-whole-unit`, `medicaid-midpoint`, `medicare`.

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


def packaged() -> Iterator[str]:
    """The names of the packaged policies."""
    return iter(
        sorted(
            entry.name.removesuffix(".toml")
            for entry in (files("guardrails") / "data" / "policies").iterdir()
            if entry.name.endswith(".toml")
        )
    )
