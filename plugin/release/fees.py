"""A site's fee schedule: a CSV of its own prices, dated. Our rules never read it: a price decides nothing but an amount.

Columns: `code`, `modifiers` (blank or `HN HQ`; a row counts for lines that have them all), `cents` or `dollars` (of one
unit), `from`, `through` (dates, blank is open), and `payer` (the id that claims carry, blank is everybody), which may be left out.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import combinations
from pathlib import Path

from fhir_mappings.professional import Line

_CODE = re.compile(r"[0-9A-Z]{5}", re.ASCII)
_MODIFIER = re.compile(r"[0-9A-Z]{2}", re.ASCII)
_PRICES = ("cents", "dollars")
_NEEDED = ("code", "modifiers", "from", "through")
_MOST_CENTS = 10_000_000


class UnusableFees(ValueError):
    """A fee schedule that cannot be used: every message names the file, the row, the column and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """One row: what one unit costs, in cents, from and through which dates of service."""

    row: int
    code: str
    modifiers: frozenset[str]
    cents: int
    starts: date
    ends: date
    payer: str

    def fits(self, line: Line, on: date, payer: str | None) -> bool:
        """Whether it speaks of that line, there and then."""
        return self.modifiers <= set(line.modifiers) and self.payer in ("", payer) and self.starts <= on <= self.ends

    @property
    def specificity(self) -> tuple[bool, int]:
        """A payer's own row goes before everybody's, then the one with more modifiers."""
        return bool(self.payer), len(self.modifiers)

    def overlaps(self, other: Fee) -> bool:
        """Whether both would be meant for the same line."""
        same = (self.code, self.modifiers, self.payer) == (other.code, other.modifiers, other.payer)
        return same and self.starts <= other.ends and other.starts <= self.ends


class Fees:
    """The prices of a site."""

    def __init__(self, rows: Iterable[Fee]) -> None:
        self.rows = tuple(rows)
        self._by_code: dict[str, list[Fee]] = defaultdict(list)
        for row in self.rows:
            self._by_code[row.code].append(row)

    def charge(self, line: Line, on: date, payer: str | None = None) -> int | None:
        """What a line costs in cents, all its units together, by the most specific row; None where no row fits.

        Where two rows fit equally well and differ, there is no price: nothing is chosen for being higher or lower.
        """
        fitting = [fee for fee in self._by_code.get(line.code, ()) if fee.fits(line, on, payer)]
        best = max((fee.specificity for fee in fitting), default=None)
        prices = {fee.cents for fee in fitting if fee.specificity == best}
        return prices.pop() * line.units if len(prices) == 1 else None


def read(path: Path) -> Fees:
    """The fee schedule of a file.

    Raises:
        UnusableFees: it cannot be read, or rows are wrong: all of them are named, no value is shown.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            named = [(name or "").strip().casefold() for name in table.fieldnames or ()]
            table.fieldnames = named
            price = _price_column(path, named)
            held = [(table.line_num, row) for row in table if _holds(row)]
    except OSError as problem:
        raise UnusableFees(f"{path.name}: cannot be read ({problem.strerror}); set release.fees_file") from None
    except (UnicodeDecodeError, csv.Error):
        raise UnusableFees(f"{path.name}: not a CSV file in UTF-8; save it as one") from None
    wrong = [f"row {n}: more cells than columns; put a price with a comma in quotes" for n, row in held if None in row]
    rows = [(n, {k: v for k, v in row.items() if k}) for n, row in held if None not in row]
    fees = [fee for n, row in rows if (fee := _fee(n, row, price, wrong)) is not None]
    wrong += _overlapping(fees)
    if not held:
        wrong.append("no row; write a price for each code")
    if wrong:
        raise UnusableFees("; ".join(f"{path.name}: {each}" for each in wrong))
    return Fees(fees)


def _price_column(path: Path, named: list[str]) -> str:
    prices = [name for name in _PRICES if name in named]
    if len(prices) != 1:
        raise UnusableFees(f"{path.name}: row 1: name one column `cents` or `dollars`, the price of one unit")
    lacking = [name for name in _NEEDED if name not in named]
    unknown = [n for n, name in enumerate(named, 1) if name not in (*_NEEDED, *_PRICES, "payer")]
    if lacking:
        raise UnusableFees(f"{path.name}: row 1: the column `{lacking[0]}` is missing; add it")
    if unknown or len(set(named)) < len(named):
        where = f"column {unknown[0]} has a name that is not known" if unknown else "two columns have the same name"
        raise UnusableFees(f"{path.name}: row 1: {where}; take it out")
    return prices[0]


def _holds(row: Mapping[str, object]) -> bool:
    return any(value for value in row.values())


def _fee(n: int, row: Mapping[str, str | None], price: str, wrong: list[str]) -> Fee | None:
    """One row, or None and what is wrong with it."""
    cells = {name: (value or "").strip() for name, value in row.items() if not isinstance(value, list)}
    before = len(wrong)

    def complain(column: str, what: str) -> None:
        wrong.append(f"row {n}: {column}: {what}")

    code = cells["code"].upper()
    if not _CODE.fullmatch(code):
        complain("code", "a CPT or HCPCS code of five characters is needed")
    modifiers = re.split(r"[\s,;:]+", cells["modifiers"].upper()) if cells["modifiers"] else []
    if len(modifiers) > 4 or len(set(modifiers)) < len(modifiers) or not all(map(_MODIFIER.fullmatch, modifiers)):
        complain("modifiers", "write at most four different ones of two characters, with blanks between them")
    cents = _cents(cells[price], price)
    if cents is None:
        complain(price, "a price above 0 is needed, such as " + ("2550" if price == "cents" else "25.50"))
    days = {}
    for column, open_end in (("from", date.min), ("through", date.max)):
        try:
            days[column] = date.fromisoformat(cells[column]) if cells[column] else open_end
        except ValueError:
            complain(column, "write the date as YYYY-MM-DD, or leave it blank")
    if len(days) == 2 and days["through"] < days["from"]:
        complain("through", "it lies before `from`; correct one of them")
    if len(wrong) > before or cents is None:
        return None
    return Fee(
        row=n,
        code=code,
        modifiers=frozenset(modifiers),
        cents=cents,
        starts=days["from"],
        ends=days["through"],
        payer=cells.get("payer", ""),
    )


def _cents(text: str, column: str) -> int | None:
    if column == "dollars":
        text = text.removeprefix("$").replace(",", "") if re.fullmatch(r"\$?\d{1,3}(,\d{3})*(\.\d+)?", text) else text
    try:
        amount = Decimal(text) * (100 if column == "dollars" else 1)
    except InvalidOperation:
        return None
    whole = amount.is_finite() and amount == amount.to_integral_value() and 0 < amount <= _MOST_CENTS
    return int(amount) if whole else None


def _overlapping(fees: list[Fee]) -> Iterator[str]:
    groups: dict[object, list[Fee]] = defaultdict(list)
    for fee in fees:
        groups[fee.code, fee.modifiers, fee.payer].append(fee)
    for group in groups.values():
        for one, two in combinations(group, 2):
            if one.overlaps(two):
                yield f"row {two.row}: from: it overlaps row {one.row} for the same service; end one before the other begins"
