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
    """How a payer counts a "per 15 minutes" code (domain 3.4, 3.5). `POOLED15` is Medicare's 8-minute rule over all of a day's."""

    FLOOR15 = "FLOOR15"
    MID15 = "MID15"
    CEIL15 = "CEIL15"
    POOLED15 = "POOLED15"


class Counted(StrEnum):
    """How a payer counts one code, where it differs from the code's own text (domain 3.2)."""

    EVENT = "EVENT"
    FLOOR15 = "FLOOR15"
    MID15 = "MID15"
    CEIL15 = "CEIL15"
    POOLED15 = "POOLED15"
    FLOOR30 = "FLOOR30"
    FLOOR60 = "FLOOR60"
    PER_DIEM = "PER_DIEM"


class Aggregate(StrEnum):
    """Whether contacts of one day are added before they become units, or each must reach its own (domain OV-07)."""

    DAILY = "daily"
    PER_CONTACT = "per_contact"


class Answer(StrEnum):
    """What a payer does with something that others take: an effect, or nothing at all."""

    ALLOW = "allow"
    WARN = "warn"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def effect(self) -> Effect | None:
        """The effect of a finding; None where there is none to make."""
        return None if self is Answer.ALLOW else Effect(self.value)


class Period(StrEnum):
    """The time over which a cap counts. A year begins with the policy's `year_begins`."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    TWELVE_MONTHS = "twelve_months"
    SIX_MONTHS = "six_months"

    @property
    def words(self) -> str:
        """As in "two units in one day"."""
        return "the payer's year" if self is Period.YEAR else _PERIODS.get(self, self.value.replace("_", " "))


_PERIODS = {Period.DAY: "one day", Period.MONTH: "one month"}


class EncounterMinutes(StrEnum):
    """Whether Encounter.period may stand in for minutes that the note does not state (design: Minutes)."""

    NEVER = "never"
    EVENT_CODES = "event_codes"
    ALL = "all"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


_Code = Annotated[str, Field(pattern=r"^([A-V][0-9]{4}|[0-9]{4}[0-9AFTMU])$")]
_Modifier = Annotated[str, Field(pattern=r"^[0-9A-Z]{2}$")]


class ModifierPolicy(_Model):
    """What a payer says of a code's modifiers: `required` all of them, `any_of` one of them, `allowed` no others.

    `order` are those that stand first on the line, in that order.
    """

    required: tuple[_Modifier, ...] = ()
    any_of: tuple[_Modifier, ...] = ()
    allowed: frozenset[_Modifier] | None = None
    order: tuple[_Modifier, ...] = ()


class CodePolicy(_Model):
    """What a payer says of one code. Minutes and units per date of service.

    `service` is the service that the payer means by the code, where it is not the usual one; `from_minutes` the least
    that reach the first unit; `plan` and `authorization` whether one must be in force.
    """

    covered: bool = True
    service: str | None = None
    counted: Counted | None = None
    aggregate: Aggregate | None = None
    from_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    levels: frozenset[str] | None = None
    modifiers: ModifierPolicy = ModifierPolicy()
    documentation: dict[str, Effect] = {}
    family_without_client: bool = False
    plan: bool | None = None
    authorization: bool = False


class Cap(_Model):
    """The most units of `codes`, counted together, that a payer takes over a period.

    With `modifiers`, only lines that carry one of them count; with `unmodified`, only lines without any program or
    education modifier; `age_below` limits the cap to clients younger than that on the date of service; `by_clinician`
    counts each clinician's lines apart.
    """

    codes: tuple[_Code, ...]
    units: Annotated[int, Field(ge=0, le=100_000)]
    per: Period
    effect: Effect = Effect.WARN
    modifiers: frozenset[_Modifier] = frozenset()
    unmodified: bool = False
    age_below: Annotated[int, Field(ge=1, le=120)] | None = None
    by_clinician: bool = False
    source: str


class NotSameDay(_Model):
    """Codes that the payer does not take beside each other on one date of service; with `modifiers`, only lines that carry one."""

    codes: tuple[_Code, ...]
    beside: tuple[_Code, ...]
    modifiers: frozenset[_Modifier] = frozenset()
    effect: Effect = Effect.HOLD
    source: str


class DiagnosisPolicy(_Model):
    """Which diagnosis a treatment line must point to first, as ICD-10-CM ranges; and what Z codes alone are worth."""

    first: tuple[Annotated[str, Field(pattern=r"^[A-Z][0-9][0-9A-Z](-[A-Z][0-9][0-9A-Z])?$")], ...] = ("F01-F99",)
    z_only: Answer | None = None

    def takes_first(self, code: str) -> bool:
        """Whether a diagnosis may stand first."""
        return any(each[:3] <= code[:3] <= each[-3:] for each in self.first)


class TelehealthPolicy(_Model):
    """What a payer says of services at a distance: sound without picture, and whether the line must carry a modifier."""

    audio_only: Answer = Answer.ALLOW
    modifier: Literal["required", "not_needed", "unknown"] = "unknown"


class Limit(_Model):
    """A number of minutes or days, and what it does to a line beyond it."""

    limit: Annotated[int, Field(ge=1)]
    effect: Effect = Effect.WARN


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
    aggregate: Aggregate = Aggregate.DAILY
    past_midnight: Literal["split", "start"] = "split"
    payer_modifiers: frozenset[_Modifier] = frozenset()
    year_begins: Annotated[int, Field(ge=1, le=12)] = 1
    group_largest: Annotated[int, Field(ge=2, le=100)] = 12
    diagnosis: DiagnosisPolicy = DiagnosisPolicy()
    telehealth: TelehealthPolicy = TelehealthPolicy()
    clinician_day_minutes: Limit = Limit(limit=720)
    signed_within_days: Limit = Limit(limit=7)
    caps: tuple[Cap, ...] = ()
    not_same_day: tuple[NotSameDay, ...] = ()
    codes: dict[_Code, CodePolicy] = {}

    def of(self, code: str) -> CodePolicy:
        """What the payer says of a code; the defaults where it says nothing."""
        return self.codes.get(code, _SILENT)

    def rule_for(self, code: str) -> QuarterHourRule | None:
        """The payer's way of counting a "per 15 minutes" code, or None where it is not known."""
        own = self.of(code).counted
        return QuarterHourRule(own.value) if own and own.value in set(QuarterHourRule) else self.quarter_hour

    def contacts_apart(self, code: str) -> bool:
        """Whether each contact of a day must reach its own unit (Texas: "continuous" minutes)."""
        return (self.of(code).aggregate or self.aggregate) is Aggregate.PER_CONTACT

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
        f"{what}.{number}: {code} is not in the loaded code tables"
        for what, named in (
            ("caps", [cap.codes for cap in policy.caps]),
            ("not_same_day", [(*each.codes, *each.beside) for each in policy.not_same_day]),
        )
        for number, members in enumerate(named)
        for code in members
        if code not in codes
    ]
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
# Are several contacts of one day added before they become units (daily), or must each reach its own (per_contact)?
aggregate = "{based_on.aggregate.value}"
# State-defined modifiers that this payer uses (U1 to U9, UA to UD).
payer_modifiers = []
# The month in which the payer's year begins, for yearly caps.
year_begins = {based_on.year_begins}

# [diagnosis]
# first = ["F01-F99"]             # what a treatment line must point to first
# z_only = "hold"                 # allow, warn, hold or block: Z codes alone on a treatment line

# [telehealth]
# audio_only = "hold"             # allow, warn, hold or block
# modifier = "required"           # required, not_needed or unknown

# [clinician_day_minutes]         # one clinician's minutes with clients in a day
# limit = 720
# effect = "warn"

# [signed_within_days]            # days from the service to the signature
# limit = 7
# effect = "warn"

# What differs for one code. Remove the # where the payer says so.
# [codes.H2014]
# covered = true
# counted = "MID15"               # {", ".join(each.value for each in Counted)}
# aggregate = "per_contact"
# from_minutes = 15               # the least that reach the first unit
# levels = ["LP", "AL", "BA"]     # who may give it
# documentation = {{ S05 = "block", S12 = "hold" }}
# family_without_client = true    # may be given to the family on the client's behalf
# plan = true                     # a plan must be in force on the date of service
# authorization = true            # and an authorization
# [codes.H2014.modifiers]
# required = ["HN"]               # all of these
# any_of = ["HM", "HN", "HO"]     # one of these
# allowed = ["HN", "HQ"]          # no others
# order = ["HO", "HQ"]            # these first, in this order

# Codes counted together, over a day, month, year, twelve_months or six_months.
# [[caps]]
# codes = ["H2014", "H2017"]
# units = 16
# per = "day"
# effect = "block"
# source = "the manual's chapter"

# [[not_same_day]]
# codes = ["H2010"]
# beside = ["H0031"]
# effect = "hold"
# source = "the manual's chapter"
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
