"""Files as CMS and a CPT licensee publish them, read whole or refused whole, with the line that is wrong.

HCPCS Level II quarterly (fixed width, or its table as text), NCCI pairs and unit limits (Medicare and Medicaid), add-on codes,
ICD-10-CM order files, and a licensed list of CPT codes. Tables may be tab- or comma-separated; a ZIP may hold one of them.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from guardrails.codebook import Codebook
from guardrails.official import Kind, OfficialCode, OfficialPair, OfficialTable

_MOST_BYTES = 512 * 1024 * 1024
_CODE = re.compile(r"[0-9A-Z]{4}[0-9A-Z]", re.ASCII)
_HCPCS = re.compile(r"[A-V][0-9]{4}", re.ASCII)
_CPT = re.compile(r"[0-9]{4}[0-9AFTMU]", re.ASCII)
_HOLDS_CODE = re.compile(r'(?<![^,"])(?:[A-V][0-9]{4}|[0-9]{4}[0-9AFTMU])(?![^,"])', re.ASCII)
_ICD = re.compile(r"[A-Z][0-9][0-9A-Z][0-9A-Z]{0,4}", re.ASCII)
_NOT_MEDICARE = frozenset({"I", "M", "S"})  # coverage indicators: not payable, non-covered (domain 12)
_FEWEST_KNOWN = 0.9  # of our codes in force that a complete HCPCS file still holds, or has ended


class UnusableTable(ValueError):
    """An official file that is refused as a whole: the message names the file, the line, and what to do."""

    def __init__(self, file: Path, line: int | None, why: str) -> None:
        where = f"{file.name}, line {line}" if line else file.name
        super().__init__(f"{where}: {why}. Nothing was imported; download the file again from its publisher.")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    lines: tuple[str, ...]
    book: Codebook

    def refuse(self, line: int | None, why: str) -> UnusableTable:
        return UnusableTable(self.path, line, why)


def read(
    path: Path, book: Codebook, *, effective: date | None = None, payer: Literal["medicare", "medicaid"] | None = None
) -> OfficialTable:
    """Tell which official file it is, and read it.

    Args:
        path: the file, or a ZIP that holds one text file.
        book: the tables that it will lie over; of pairs and limits only those of its codes are kept.
        effective: the first day for which it counts, where its name does not say.
        payer: whose edits they are, where the name does not say.

    Raises:
        UnusableTable: it is none of the known files, or a line of it is wrong.
    """
    name, text = _text(path)
    file = _File(path, tuple(text.splitlines()), book)
    if not any(line.strip() for line in file.lines):
        raise file.refuse(None, "it is empty")
    kind, parse = _recognized(file)
    begins = effective or _from_name(name)
    if begins is None:
        raise file.refuse(None, "its name does not say from when it counts; give the date with --effective")
    whose = payer or ("medicaid" if re.search(r"medicaid|mcd", name, re.IGNORECASE) else "medicare")
    return parse(file, kind, begins, whose)


def _text(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UnusableTable(path, None, "it is larger than any official table")
        if not zipfile.is_zipfile(path):
            return path.name, _decoded(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith((".txt", ".csv"))]
            members = [
                m for m in members if not re.search(r"readme|layout|record|format|change|delet", m.filename, re.I)
            ]
            if len(members) != 1 or members[0].file_size > _MOST_BYTES:
                raise UnusableTable(path, None, f"the ZIP holds {len(members)} tables; unpack it and import one")
            return f"{path.name}/{members[0].filename}", _decoded(archive.read(members[0]))
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as problem:  # RuntimeError: it is encrypted
        raise UnusableTable(path, None, f"it cannot be read ({type(problem).__name__})") from None


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


_Parse = Callable[[_File, Kind, date, Literal["medicare", "medicaid"]], OfficialTable]


def _recognized(file: _File) -> tuple[Kind, _Parse]:
    """Which file it is, by what stands in it; its name alone proves nothing."""
    head = "\n".join(file.lines[:40]).lower()
    first = next(line for line in file.lines if line.strip())
    if re.match(r"\d{5} [A-Z]\d[0-9A-Z]{1,5} +[01] ", first):
        return "icd10cm", _icd10cm
    if "column 1" in head or re.search(r"^[0-9a-z]{5}\t[0-9a-z]{5}\t(?:\*?\t)?\d{8}\t", head, re.MULTILINE):
        return "pairs", _pairs
    if "mue" in head and "code" in head:
        return "limits", _limits
    if re.search(r"add[- ]?on", head) and "primary" in head:
        return "add-ons", _add_ons
    if _ADD_ON_RECORD.match(first):
        return "add-ons", _add_ons_fixed
    if re.match(r"(?:[A-V]\d{4}|   [0-9A-Z]{2})\d{5}[3478]", first):
        return "hcpcs", _hcpcs_fixed
    if re.search(r"\bhcpc", head) and "recid" in head.replace(" ", ""):
        return "hcpcs", _hcpcs_table
    if any(_CPT_LINE.fullmatch(line) for line in file.lines[:200]):
        return "cpt", _cpt
    raise file.refuse(
        None,
        "it is none of the known files (HCPCS, NCCI pairs, MUE, add-on codes, ICD-10-CM order file, licensed CPT list)",
    )


_MONTHS = {m: n for n, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}


def _from_name(name: str) -> date | None:
    """The first day of the quarter, month or fiscal year that a file's name states."""
    text = name.lower()
    exact = re.search(r"(20\d\d)[-_]?(\d\d)[-_]?(\d\d)", text)
    if exact:
        try:
            return date(int(exact[1]), int(exact[2]), int(exact[3]))
        except ValueError:
            return None
    american = re.search(r"(\d\d)-(\d\d)-(20\d\d)", text)
    if american:
        return date(int(american[3]), int(american[1]), int(american[2])) if int(american[1]) <= 12 else None
    year = re.search(r"20\d\d", text)
    if year is None:
        return None
    if "icd10" in text:  # a fiscal year begins in the October before
        return date(int(year[0]) - 1, 10, 1)
    quarter = re.search(r"q([1-4])", text)
    if quarter:
        return date(int(year[0]), 3 * int(quarter[1]) - 2, 1)
    month = re.search(r"(?<![a-z])(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", text)
    return date(int(year[0]), _MONTHS[month[1]], 1) if month else None


def _quarter_end(begins: date) -> date:
    month = 3 * ((begins.month - 1) // 3) + 3
    return (date(begins.year, month, 28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _day(file: _File, line: int, text: str, what: str) -> date | None:
    """A date as CMS writes it (20260101, 1/1/2026), or none."""
    text = text.strip().strip("*")
    if not text:
        return None
    for pattern in (r"(?P<y>\d{4})-?(?P<m>\d\d)-?(?P<d>\d\d)", r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})"):
        match = re.fullmatch(pattern, text)
        if match:
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"]))
            except ValueError:
                break
    raise file.refuse(line, f"{what} is no date")


def _cells(file: _File) -> Iterator[tuple[int, list[str]]]:
    """Each row's cells, with the line on which it begins."""
    tabbed = sum("\t" in line for line in file.lines[:50]) > sum("," in line for line in file.lines[:50]) / 2
    # in tabbed text a quotation mark is a mark like any other
    for number, row in enumerate(map(_split_at_tabs, file.lines), 1) if tabbed else _comma_separated(file):
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield number, cells


def _split_at_tabs(line: str) -> list[str]:
    cells = map(str.strip, line.split("\t"))
    return [cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells]


def _comma_separated(file: _File) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO("\n".join(file.lines)), strict=True)
    begins = 1
    try:
        for row in reader:
            lines = file.lines[begins - 1 : reader.line_num]
            if len(lines) > 1 and any(_HOLDS_CODE.search(line) for line in lines):  # headings alone run over lines
                raise file.refuse(begins, "a cell of a record holds a line end; a quotation mark is not closed")
            yield begins, row
            begins = reader.line_num + 1
    except csv.Error as problem:
        raise file.refuse(begins, f"it is not comma-separated text ({problem})") from None


def _body(file: _File, is_record: Callable[[Sequence[str]], bool]) -> Iterator[tuple[int, list[str]]]:
    """The records after the headings. A line that is none, once they have begun, makes the file unusable."""
    begun = False
    for number, cells in _cells(file):
        if is_record(cells):
            begun = True
            yield number, cells
        elif begun:
            raise file.refuse(number, f"it is no record of this table ({len(cells)} cells)")
    if not begun:
        raise file.refuse(None, "it holds no record")


# -- HCPCS Level II -------------------------------------------------------------------------------------------------------

_RECORD = 293  # the shortest fixed-width record that still holds its action code


def _hcpcs_fixed(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """The quarterly file in fixed width: code 1-5, record 11, short text 92-119, coverage 230, dates 269-292."""
    records: list[tuple[int, str, str, str, str, str, str]] = []
    for number, line in enumerate(file.lines, 1):
        if not line.strip("\x1a \t"):
            continue
        if line[10:11] in {"4", "8"}:  # more of the long text, not filled to the full width
            records.append((number, line[0:5], line[10], "", "", "", ""))
            continue
        if len(line) < _RECORD - 1:
            raise file.refuse(number, f"the record has {len(line)} characters, expected {_RECORD} or more")
        records.append((number, line[0:5], line[10], line[91:119], line[229], line[268:276], line[284:292]))
    return _hcpcs(file, kind, begins, records)


def _hcpcs_table(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """The quarterly file as a table, whose headings name the columns."""
    rows = list(_cells(file))
    number, headings = rows[0]
    at = {re.sub(r"[^a-z]", "", name.lower()): index for index, name in enumerate(headings)}
    wanted = {
        "code": ("hcpc", "hcpcs", "hcpccode", "hcpcscode"),
        "record": ("recid",),
        "label": ("shortdescription", "shortdesc", "short"),
        "coverage": ("cov", "covcode", "coveragecode"),
        "added": ("adddt", "adddate", "dateadded"),
        "ended": ("termdt", "termdate", "terminationdate"),
    }
    columns = {key: next((at[n] for n in names if n in at), None) for key, names in wanted.items()}
    missing = [key for key, index in columns.items() if index is None]
    if missing:
        raise file.refuse(number, f"no column for {', '.join(missing)}")
    records = []
    for number, cells in rows[1:]:
        if len(cells) < len(headings) - 3:
            raise file.refuse(number, f"it has {len(cells)} cells, the headings {len(headings)}")
        padded = [*cells, *[""] * len(headings)]
        code, record, label, coverage, added, ended = (padded[columns[key] or 0] for key in wanted)
        records.append((number, code, record, label, coverage, added, ended))
    return _hcpcs(file, kind, begins, records)


def _hcpcs(
    file: _File, kind: Kind, begins: date, records: Sequence[tuple[int, str, str, str, str, str, str]]
) -> OfficialTable:
    codes: list[OfficialCode] = []
    modifiers: list[OfficialCode] = []
    for number, raw, record, label, coverage, added, ended in records:
        name = raw.strip().upper()
        if record not in {"3", "4", "7", "8"}:
            raise file.refuse(number, "the record's kind is none of 3, 4, 7, 8")
        if record in {"4", "8"}:  # more of the long text
            continue
        form = _HCPCS if record == "3" else re.compile(r"[0-9A-Z]{2}", re.ASCII)
        if not form.fullmatch(name):
            if record == "3" and _CPT.fullmatch(name):
                continue
            raise file.refuse(number, "no HCPCS Level II code or modifier stands where it must")
        entry = OfficialCode(
            code=name,
            label=label.strip(),
            in_force_from=_day(file, number, added, "the add date"),
            in_force_through=_day(file, number, ended, "the termination date"),
            medicare=coverage.strip().upper() not in _NOT_MEDICARE,
        )
        (codes if record == "3" else modifiers).append(entry)
    _complete(file, begins, {c.code for c in codes})
    return OfficialTable(
        kind=kind,
        effective_from=begins,
        effective_through=_quarter_end(begins),
        source=file.path.name,
        read=len(records),
        codes=tuple(codes),
        modifiers=tuple(modifiers),
    )


def _complete(file: _File, begins: date, held: set[str]) -> None:
    """A file that lacks many codes that were in force is cut off: taking it would end them all."""
    ours = sorted(
        name for name, meanings in file.book.codes.items() if _HCPCS.fullmatch(name) and meanings[-1].in_force(begins)
    )
    missing = [name for name in ours if name not in held]
    if len(missing) > len(ours) * (1 - _FEWEST_KNOWN):
        raise file.refuse(
            len(file.lines), f"it ends early: {len(missing)} codes in force are missing, the first is {missing[0]}"
        )


# -- NCCI -----------------------------------------------------------------------------------------------------------------


def _pairs(file: _File, kind: Kind, begins: date, payer: Literal["medicare", "medicaid"]) -> OfficialTable:
    """Column 1, column 2, (Medicare alone: prior to 1996), effective date, deletion date, modifier indicator, rationale."""
    known, kept, count = file.book.codes, [], 0
    for number, cells in _body(file, lambda c: len(c) >= 5 and bool(_CODE.fullmatch(c[0]) and _CODE.fullmatch(c[1]))):
        count += 1
        first, second = cells[0], cells[1]
        rest = cells[3:] if cells[2] in {"", "*"} else cells[2:]
        if len(rest) < 3 or rest[2] not in {"0", "1", "9"}:
            raise file.refuse(number, "the modifier indicator is none of 0, 1, 9")
        since, until = (
            _day(file, number, rest[0], "the effective date"),
            _day(file, number, rest[1], "the deletion date"),
        )
        if since is None:
            raise file.refuse(number, "the effective date is missing")
        if first in known and second in known:
            kept.append(
                OfficialPair(
                    column_1=first,
                    column_2=second,
                    indicator="0" if rest[2] == "0" else "1" if rest[2] == "1" else "9",
                    in_force_from=since,
                    in_force_through=until,
                )
            )
    return OfficialTable(
        kind=kind,
        payer=payer,
        effective_from=begins,
        effective_through=_quarter_end(begins),
        source=file.path.name,
        read=count,
        pairs=tuple(kept),
    )


def _limits(file: _File, kind: Kind, begins: date, payer: Literal["medicare", "medicaid"]) -> OfficialTable:
    """Code, MUE value, adjudication indicator, rationale."""
    limits: dict[str, int] = {}
    count = 0
    for number, cells in _body(file, lambda c: len(c) >= 2 and bool(_CODE.fullmatch(c[0]))):
        count += 1
        if not re.fullmatch(r"\d{1,6}", cells[1]):
            raise file.refuse(number, "the MUE value is no number")
        if cells[0] in limits:
            raise file.refuse(number, "the code stands in the table twice")
        limits[cells[0]] = int(cells[1])
    return OfficialTable(
        kind=kind,
        payer=payer,
        effective_from=begins,
        effective_through=_quarter_end(begins),
        source=file.path.name,
        read=count,
        limits={code: units for code, units in limits.items() if code in file.book.codes},
    )


def _add_ons(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """Add-on code and primary code, in the columns that the headings name; ended relations are left out."""
    rows = list(_cells(file))
    start, headings = next((n, c) for n, c in rows if any("primary" in cell.lower() for cell in c))
    names = [re.sub(r"\s+", " ", h.lower()) for h in headings]
    add_on = next((i for i, h in enumerate(names) if re.search(r"add[- ]?on", h) and "code" in h), None)
    primary = next((i for i, h in enumerate(names) if "primary" in h), None)
    ended = [i for i, h in enumerate(names) if "del" in h or "term" in h]
    if add_on is None or primary is None:
        raise file.refuse(start, "no column for the add-on code and its primary")
    found: dict[str, set[str]] = {}
    count = 0
    for number, cells in ((n, c) for n, c in rows if n > start):
        count += 1
        if len(cells) <= max(add_on, primary) or not _CODE.fullmatch(cells[add_on]):
            raise file.refuse(number, "it is no record of this table")
        until = [_day(file, number, cells[i], "the deletion date") for i in ended if i < len(cells)]
        if _CODE.fullmatch(cells[primary]) and all(day is None or day >= begins for day in until):
            found.setdefault(cells[add_on], set()).add(cells[primary])
    return _relations(file, kind, begins, count, found)


_ADD_ON_RECORD = re.compile(r"[123](?P<add_on>[0-9A-Z]{5})[ \d]{7}(?P<primary>[0-9A-Z]{5})", re.ASCII)
_ENDS = ((6, 13), (18, 25), (32, 39))  # of the add-on code, of the primary code, of their relation


def _add_ons_fixed(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """The add-on file in fixed width: type 1, add-on 2-6, primary 14-18, dates as year and day of the year."""
    found: dict[str, set[str]] = {}
    count = 0
    for number, line in enumerate(file.lines, 1):
        if not line.strip("\x1a \t"):
            continue
        match = _ADD_ON_RECORD.match(line)
        if match is None:
            raise file.refuse(number, "it is no record of this table")
        count += 1
        until = [_day_of_year(file, number, line[start:end].strip()) for start, end in _ENDS]
        if all(day is None or day >= begins for day in until):
            found.setdefault(match["add_on"], set()).add(match["primary"])
    return _relations(file, kind, begins, count, found)


def _day_of_year(file: _File, line: int, text: str) -> date | None:
    if not text.strip("0"):
        return None
    if not re.fullmatch(r"[12]\d{6}", text) or not 1 <= int(text[4:]) <= 366:
        raise file.refuse(line, "a date is no year and day of the year")
    return date(int(text[:4]), 1, 1) + timedelta(days=int(text[4:]) - 1)


def _relations(file: _File, kind: Kind, begins: date, count: int, found: dict[str, set[str]]) -> OfficialTable:
    for primaries in found.values():
        primaries.discard("CCCCC")  # defined by each contractor
    if not found:
        raise file.refuse(None, "it holds no record")
    known = file.book.codes
    kept = {code: tuple(sorted(p & known.keys())) for code, p in found.items() if code in known and p & known.keys()}
    return OfficialTable(
        kind=kind,
        effective_from=begins,
        effective_through=_quarter_end(begins),
        source=file.path.name,
        read=count,
        primaries=kept,
    )


# -- diagnoses and CPT ----------------------------------------------------------------------------------------------------


def _icd10cm(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """Order number 1-5, code 7-13, billable 15 (0 for a category), texts after; numbers run without a gap."""
    billable: list[str] = []
    categories: list[str] = []
    expected: int | None = None
    for number, line in enumerate(file.lines, 1):
        if not line.strip("\x1a \t"):
            continue
        order, code, flag = line[0:5], line[6:13].strip(), line[14:15]
        if not re.fullmatch(r"\d{5}", order) or not _ICD.fullmatch(code) or flag not in {"0", "1"}:
            raise file.refuse(number, "it is no record of an order file")
        if expected is not None and int(order) != expected:
            raise file.refuse(number, f"order number {order} where {expected:05} must follow")
        expected = int(order) + 1
        (billable if flag == "1" else categories).append(code)
    if len(billable) + len(categories) < len(file.lines) // 2 or not any(c.startswith("Z") for c in billable):
        raise file.refuse(len(file.lines), "it ends before the chapter of Z codes")
    fiscal_year = begins.year + (1 if begins.month >= 10 else 0)
    return OfficialTable(
        kind=kind,
        effective_from=begins,
        effective_through=date(fiscal_year, 9, 30),
        source=file.path.name,
        read=len(billable) + len(categories),
        billable=" ".join(billable),
        categories=" ".join(categories),
    )


_CPT_LINE = re.compile(r"([0-9]{4}[0-9AFTMU])(?:\d\d)?[\s,|]+\"?(.+?)\"?\s*", re.ASCII)


def _cpt(file: _File, kind: Kind, begins: date, _: object) -> OfficialTable:
    """A licensed list: the code, a separator, and the licensee's text, which stays on this machine."""
    codes: dict[str, OfficialCode] = {}
    for number, line in enumerate(file.lines, 1):
        match = _CPT_LINE.fullmatch(line)
        if not line.strip("\x1a \t") or (
            match is None and not codes
        ):  # before the first code stands the licence's notice
            continue
        if match is None:
            raise file.refuse(number, "it is no CPT code with its text")
        codes.setdefault(match[1], OfficialCode(code=match[1], label=match[2], in_force_from=None))
    return OfficialTable(
        kind=kind,
        effective_from=begins,
        effective_through=date(begins.year, 12, 31),
        source=file.path.name,
        read=len(codes),
        codes=tuple(codes.values()),
    )
