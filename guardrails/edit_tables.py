"""The tables of what codes do to each other: NCCI pairs, unit limits of a date of service, same-day rules for H and T codes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources.abc import Traversable

from guardrails.policies import Cap, Period
from guardrails.rules import Effect

OFFICE_AND_OTHER_VISITS = "E/M"
"""Stands in a table for every evaluation-and-management code."""


PACKAGED_PAIRS = "NCCI practitioner pairs of 2024-07-01"
PACKAGED_LIMITS = "Medicare practitioner MUE table of 2024-07-01"


@dataclass(frozen=True, slots=True)
class Pair:
    """An NCCI pair: where both are reported, column 1 is paid. `never` is indicator 0: no modifier helps (domain 6.1)."""

    column_1: str
    column_2: str
    never: bool
    in_force_from: date | None = None
    in_force_through: date | None = None

    def in_force(self, on: date) -> bool:
        """Whether the pair applies to services of that date."""
        return (self.in_force_from is None or self.in_force_from <= on) and (
            self.in_force_through is None or on <= self.in_force_through
        )


@dataclass(frozen=True, slots=True)
class PairTable:
    """The pairs of one payer kind, as of one file; `name` is what findings call it."""

    name: str
    payer_kind: str
    pairs: Mapping[tuple[str, str], Pair] = field(repr=False)

    def get(self, column_1: str, column_2: str, on: date) -> Pair | None:
        """The pair with these columns, where it applies on a date."""
        pair = self.pairs.get((column_1, column_2))
        return pair if pair is not None and pair.in_force(on) else None

    def either(self, code: str, other: str, on: date) -> Pair | None:
        """The pair of two codes, whichever of them is in column 1."""
        return self.get(code, other, on) or self.get(other, code, on)


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """The units that a payer kind takes on one line of a date of service (MUE), as of one file (domain 6.4)."""

    name: str
    payer_kind: str
    effective_from: date | None
    units: Mapping[str, int] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SameDay:
    """Two codes that one clinician, or `any`, does not usually bill for one client within a `day` or a `month` (domain 6.2)."""

    effect: Effect
    within: str
    because: str
    any_clinician: bool


@dataclass(frozen=True, slots=True)
class EditTables:
    """Build it with `read`. `frequencies` hold whoever pays (domain 3.10), by their one code. Lookups are by code; `E/M` in a table stands for every evaluation-and-management code.

    `pair_tables` and `limit_tables` stand in the order of their dates, the packaged ones first.
    """

    pair_tables: tuple[PairTable, ...] = field(repr=False)
    same_day: Mapping[tuple[str, str], SameDay] = field(repr=False)
    limit_tables: tuple[UnitLimits, ...] = field(repr=False)
    frequencies: Mapping[str, tuple[Cap, ...]] = field(repr=False)

    def pairs_for(self, payer_kind: str) -> PairTable:
        """The newest pairs for a kind of payer. Medicaid has tables of its own; without one, and for others, Medicare's speak."""
        own = [t for t in self.pair_tables if t.payer_kind == payer_kind]
        return own[-1] if own else [t for t in self.pair_tables if t.payer_kind == "medicare"][-1]

    def same(self, code: str, other: str) -> SameDay | None:
        """What is said of two codes on one date or in one month."""
        return self.same_day.get((code, other)) or self.same_day.get((other, code))

    def limit(self, code: str, payer_kind: str, on: date) -> tuple[int, str] | None:
        """The units of one date of service that this kind of payer takes on a line, and the table that says so."""
        for table in reversed(self.limit_tables):
            if table.payer_kind == payer_kind and (table.effective_from is None or table.effective_from <= on):
                return (table.units[code], table.name) if code in table.units else None
        return None


def read(folders: Sequence[Traversable], visits: frozenset[str]) -> EditTables:
    """The tables of the data folders, each of which may hold a part. `visits` are the codes that `E/M` stands for.

    Raises:
        ValueError: a line cannot be used; its file and number are named.
    """

    def codes(text: str) -> Iterator[str]:
        for word in text.split():
            yield from sorted(visits) if word == OFFICE_AND_OTHER_VISITS else (word,)

    pairs: dict[tuple[str, str], Pair] = {}
    for where, row in _rows(folders, "pairs.csv"):
        if row["indicator"] not in {"0", "1"}:
            raise ValueError(f"{where}: indicator {row['indicator']!r}, expected 0 or 1")
        for first in codes(row["column_1"]):
            for second in codes(row["column_2"]):
                if (second, first) in pairs:
                    raise ValueError(f"{where}: {first} and {second} stand in the table the other way round as well")
                pairs[first, second] = Pair(first, second, never=row["indicator"] == "0")
    same_day = {
        (first, second): SameDay(Effect(row["effect"]), row["within"], row["because"], row["clinicians"] == "any")
        for _, row in _rows(folders, "same_day.csv")
        for first in codes(row["first"])
        for second in codes(row["second"])
    }
    limits: dict[str, dict[str, int]] = {}
    for _, row in _rows(folders, "unit_limits.csv"):
        limits.setdefault(row["payer_kind"], {})[row["code"]] = int(row["units"])
    frequencies: dict[str, tuple[Cap, ...]] = {}
    for _, row in _rows(folders, "frequencies.csv"):
        cap = Cap(
            codes=(row["code"],),
            units=int(row["units"]),
            per=Period(row["per"]),
            effect=Effect(row["effect"]),
            source=row["source"],
        )
        frequencies[row["code"]] = (*frequencies.get(row["code"], ()), cap)
    return EditTables(
        pair_tables=(PairTable(PACKAGED_PAIRS, "medicare", pairs),),
        same_day=same_day,
        limit_tables=tuple(UnitLimits(PACKAGED_LIMITS, kind, None, units) for kind, units in limits.items()),
        frequencies=frequencies,
    )


def _rows(folders: Sequence[Traversable], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    for folder in folders:
        if (folder / name).is_file():
            with (folder / name).open("r", encoding="utf-8") as lines:
                for number, row in enumerate(csv.DictReader(lines), start=2):
                    yield f"{folder.name}/{name}, line {number}", row
