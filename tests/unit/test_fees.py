"""The fee schedule: dated, the most specific row wins, cents are whole, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from plugin.release import fees
from plugin.release.fees import Fees, UnusableFees
from tests.released import professional

DAY = date(2026, 3, 2)
LINE = professional().lines[0]  # H2014-HN, 3 units


def schedule(folder: Path, text: str) -> Fees:
    """The schedule of a file with this text."""
    path = folder / "fees.csv"
    path.write_text(text, encoding="utf-8")
    return fees.read(path)


def refused(folder: Path, text: str) -> str:
    """Why it is not taken."""
    with pytest.raises(UnusableFees) as problem:
        schedule(folder, text)
    return str(problem.value)


def test_a_line_costs_its_units(tmp_path: Path) -> None:
    """Three units at 25.75 are 77.25, whether the column is cents or dollars."""
    cents = schedule(tmp_path, "code,modifiers,cents,from,through\nH2014,,2575,,\n")
    dollars = schedule(tmp_path, "code,modifiers,dollars,from,through,payer\nh2014,,25.75,,,\n")
    assert cents.charge(LINE, DAY) == dollars.charge(LINE, DAY) == 7725
    assert dollars.charge(LINE, DAY, "ANY") == 7725


def test_a_price_has_its_dates(tmp_path: Path) -> None:
    """Both ends count; a day that no row covers has no price."""
    made = schedule(
        tmp_path,
        "code,modifiers,cents,from,through\nH2014,,100,2026-01-01,2026-02-28\nH2014,,200,2026-03-02,2026-12-31\n",
    )
    assert made.charge(LINE, date(2026, 2, 28)) == 300
    assert made.charge(LINE, date(2026, 3, 1)) is None
    assert made.charge(LINE, DAY) == 600
    assert made.charge(LINE, date(2027, 1, 1)) is None


def test_the_most_specific_row_wins(tmp_path: Path) -> None:
    """A payer's own row before everybody's, a row with the line's modifier before one without; others do not fit."""
    made = schedule(
        tmp_path,
        "code,modifiers,cents,from,through,payer\n"
        "H2014,,100,,,\nH2014,HN,200,,,\nH2014,HN HQ,400,,,\nH2014,,300,,,EXAMPLE-MEDICAID\nH2014,HN,350,,,OTHER\n",
    )
    assert made.charge(LINE, DAY) == 600
    assert made.charge(LINE, DAY, "EXAMPLE-MEDICAID") == 900
    assert made.charge(LINE, DAY, "OTHER") == 1050


def test_two_rows_that_fit_equally_well_are_no_price(tmp_path: Path) -> None:
    """Nothing is chosen for being higher or lower."""
    made = schedule(tmp_path, "code,modifiers,cents,from,through\nH2014,HN,200,,\nH2014,HQ,300,,\n")
    assert made.charge(replace(LINE, modifiers=("HN", "HQ")), DAY) is None
    assert made.charge(replace(LINE, code="H0004"), DAY) is None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("H201,,1.00,,", "row 2: code"),
        ("H2014,HN H,1.00,,", "row 2: modifiers"),
        ("H2014,HN HN,1.00,,", "row 2: modifiers"),
        ("H2014,,1.005,,", "row 2: dollars"),
        ("H2014,,0,,", "row 2: dollars"),
        ("H2014,,-5,,", "row 2: dollars"),
        ("H2014,,NaN,,", "row 2: dollars"),
        ("H2014,,secret,,", "row 2: dollars"),
        ("H2014,,1.00,03/02/2026,", "row 2: from: write the date as YYYY-MM-DD"),
        ("H2014,,1.00,,2026-02-30", "row 2: through"),
        ("H2014,,1.00,2026-03-02,2026-03-01", "row 2: through: it lies before"),
        ("H2014,,1.00,,\nH2014,,2.00,2026-01-01,", "row 3: from: it overlaps row 2"),
        ("", "no row"),
        ("H2014,,2026-01-01,,1,250.00", "row 2: more cells than columns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    """Row, column and what to do; never the value."""
    told = refused(tmp_path, f"code,modifiers,dollars,from,through\n{row}\n")
    assert told.startswith("fees.csv: ")
    assert said in told
    assert "secret" not in told


def test_all_wrong_rows_are_named_at_once(tmp_path: Path) -> None:
    """A schedule is corrected in one go."""
    told = refused(tmp_path, "code,modifiers,cents,from,through\nH2,,5.5,,\nH2014,,1,,x\n")
    assert [place in told for place in ("row 2: code", "row 2: cents", "row 3: through")] == [True] * 3


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("code,modifiers,from,through", "one column `cents` or `dollars`"),
        ("code,modifiers,cents,dollars,from,through", "one column `cents` or `dollars`"),
        ("code,cents,from,through", "the column `modifiers` is missing"),
        ("code,modifiers,cents,from,through,price", "column 6 has a name that is not known"),
        ("code,modifiers,cents,from,through,code", "two columns have the same name"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: str, said: str) -> None:
    """Which column, and what to do."""
    assert said in refused(tmp_path, f"{header}\n")


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    """With a byte order mark, thousands, a dollar sign and blank rows at the end."""
    made = schedule(tmp_path, '\ufeffCode,Modifiers,Dollars,From,Through\nH2014,HN,"$1,000.50",,\n,,,,\n')
    assert made.charge(LINE, DAY) == 300150


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is not there, and one that is no text."""
    with pytest.raises(UnusableFees, match=r"none\.csv: cannot be read"):
        fees.read(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"code\xff\xfe")
    with pytest.raises(UnusableFees, match="UTF-8"):
        fees.read(tmp_path / "binary.csv")
