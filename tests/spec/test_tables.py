"""The spec tables: what domain 3.3 to 3.5 say, cell by cell, and what a note's time statements mean."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from guardrails import policies, time_units
from guardrails.codebook import Codebook
from guardrails.policies import Policy, QuarterHourRule
from guardrails.rules import Effect
from guardrails.time_statements import ClockRange, TimeStatement, read_times
from guardrails.verdict import Minutes
from tests.conftest import DAY

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / f"{name}.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.cpt
@pytest.mark.parametrize("row", rows("psychotherapy"), ids=lambda r: r["minutes"])
def test_psychotherapy_minutes_reach_their_rung(row: dict[str, str], book: Codebook, whole_unit: Policy) -> None:
    """Domain 3.3: each boundary minute is the code of its range, below 16 none."""
    code = book.find("90834", DAY)
    assert code is not None
    counted = time_units.count(code, Minutes(minutes=int(row["minutes"]), source="clock"), whole_unit, book, DAY)
    assert counted is not None
    assert (counted.code.code if counted.units else "") == row["code"]


@pytest.mark.parametrize("row", rows("quarter_hours"), ids=lambda r: r["minutes"])
def test_quarter_hours_as_each_payer_counts_them(row: dict[str, str]) -> None:
    """Domain 3.5: the same minutes, three rules."""
    for by in QuarterHourRule:
        assert time_units.quarter_hours(int(row["minutes"]), by) == int(row[by.value.lower()])


@pytest.mark.parametrize("row", rows("pooled"), ids=lambda r: r["minutes"])
def test_pooled_minutes_are_allocated_as_cms_does(row: dict[str, str]) -> None:
    """Domain 3.4: the worked examples."""
    minutes = {c: int(m) for c, m in (p.split(":") for p in row["minutes"].split())}
    assert time_units.pooled(minutes) == {c: int(u) for c, u in (p.split(":") for p in row["units"].split())}


@pytest.mark.cpt
@pytest.mark.parametrize("row", rows("add_ons"), ids=lambda r: r["code"])
def test_add_on_units_begin_where_the_family_says(row: dict[str, str], book: Codebook, whole_unit: Policy) -> None:
    """Domain 3.3: first and further add-on units of each family."""
    code = book.find(row["code"], DAY)
    assert code is not None
    assert code.from_minute == int(row["first"])
    for pair in row["minutes_to_units"].split():
        minutes, units = map(int, pair.split(":"))
        counted = time_units.count(code, Minutes(minutes=minutes, source="clock"), whole_unit, book, DAY)
        assert counted is not None
        assert counted.units == units, pair


@pytest.mark.parametrize("row", rows("time_statements"), ids=lambda r: r["text"])
def test_a_notes_words_about_time_are_read_as_meant(row: dict[str, str]) -> None:
    """Session times, interruptions, time that never counts, and time that is about something else."""
    text = row["text"].replace(" / ", "\n")
    found = read_times(text)
    assert "; ".join(map(_shown, found)) == row["expected"]
    for statement in found:
        assert any(c.isdigit() or c.isalpha() for c in text[statement.span[0] : statement.span[1]])


def _shown(statement: TimeStatement) -> str:
    if isinstance(statement, ClockRange):
        assert statement.end is not None
        return f"{statement.role.value} {_clock(statement.start)}-{_clock(statement.end)}"
    return f"{statement.role.value} {statement.minutes}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("name", "units", "payer", "expected"),
    [
        ("90840", 4, "medicare", ["UNIT-042"]),
        ("90840", 3, "medicare", []),
        ("90840", 4, "unknown", []),
        ("90882", 1, "medicare", ["UNIT-042"]),
        ("90882", 1, "unknown", []),
    ],
)
def test_medicares_limit_of_units_refuses_the_line(
    name: str, units: int, payer: str, expected: list[str], book: Codebook
) -> None:
    """Domain 6.4: the whole line would be denied; other payers have limits of their own."""
    code = book.find(name, DAY)
    assert code is not None
    minutes = Minutes(minutes=210, source="clock")
    allowed = time_units.allow(code, units, minutes, policies.load(payer), book, DAY)
    assert [f.rule_id for f in allowed.findings if f.effect is Effect.BLOCK] == expected
