"""The tables of what codes do to each other: NCCI pairs, unit limits of a date of service, same-day rules for H and T codes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable

from guardrails.policies import Cap, Period
from guardrails.rules import Effect

OFFICE_AND_OTHER_VISITS = "E/M"
"""Stands in a table for every evaluation-and-management code."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An NCCI pair: where both are reported, column 1 is paid. `never` is indicator 0: no modifier helps (domain 6.1)."""

    column_1: str
    column_2: str
    never: bool


@dataclass(frozen=True, slots=True)
class SameDay:
    """Two codes that one clinician does not usually bill for one client within a `day` or a `month` (domain 6.2)."""

    effect: Effect
    within: str
    because: str


@dataclass(frozen=True, slots=True)
class EditTables:
    """Build it with `read`. `frequencies` hold whoever pays (domain 3.10). Lookups are by code; `E/M` in a table stands for every evaluation-and-management code."""

    pairs: Mapping[tuple[str, str], Pair] = field(repr=False)
    same_day: Mapping[tuple[str, str], SameDay] = field(repr=False)
    unit_limits: Mapping[tuple[str, str], int] = field(repr=False)
    frequencies: tuple[Cap, ...] = field(repr=False)

    def pair(self, code: str, other: str) -> Pair | None:
        """The pair of two codes, whichever of them is in column 1."""
        return self.pairs.get((code, other)) or self.pairs.get((other, code))

    def same(self, code: str, other: str) -> SameDay | None:
        """What is said of two codes on one date or in one month."""
        return self.same_day.get((code, other)) or self.same_day.get((other, code))

    def limit(self, code: str, payer_kind: str) -> int | None:
        """The units of one date of service that this kind of payer allows on a line, where a table says (domain 6.4)."""
        return self.unit_limits.get((code, payer_kind))


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
        (first, second): SameDay(Effect(row["effect"]), row["within"], row["because"])
        for _, row in _rows(folders, "same_day.csv")
        for first in codes(row["first"])
        for second in codes(row["second"])
    }
    limits = {(row["code"], row["payer_kind"]): int(row["units"]) for _, row in _rows(folders, "unit_limits.csv")}
    frequencies = tuple(
        Cap(
            codes=(row["code"],),
            units=int(row["units"]),
            per=Period(row["per"]),
            effect=Effect(row["effect"]),
            source=row["source"],
        )
        for _, row in _rows(folders, "frequencies.csv")
    )
    return EditTables(pairs=pairs, same_day=same_day, unit_limits=limits, frequencies=frequencies)


def _rows(folders: Sequence[Traversable], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    for folder in folders:
        if (folder / name).is_file():
            with (folder / name).open("r", encoding="utf-8") as lines:
                for number, row in enumerate(csv.DictReader(lines), start=2):
                    yield f"{folder.name}/{name}, line {number}", row
