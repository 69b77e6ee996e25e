"""A second, naive implementation written from the published rules alone agrees with ours (a small run of it)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import claim_edits, codebook, policies, time_units
from guardrails.policies import QuarterHourRule
from guardrails.verdict import Minutes
from tests.conftest import DAY
from tests.oracle import compare
from tests.oracle import naive_units as naive

MINUTES = range(1500)
POLICY = policies.load("medicaid-whole-unit")
BOOK = codebook.load()
BASES = {
    "96130": (60, 60),
    "96132": (60, 60),
    "96116": (60, 60),
    "96136": (30, 30),
    "96138": (30, 30),
    "96112": (60, 30),
    "96158": (30, 15),
    "96164": (30, 15),
    "96202": (60, 15),
}
ADD_ONS = {
    "96130": "96131",
    "96132": "96133",
    "96116": "96121",
    "96136": "96137",
    "96138": "96139",
    "96112": "96113",
    "96158": "96159",
    "96164": "96165",
    "96202": "96203",
}


def counted(code: str, minutes: int) -> time_units.Counted:
    """What the tables and rules make of minutes for a code."""
    meaning = BOOK.find(code, DAY)
    assert meaning is not None
    result = time_units.count(meaning, Minutes(minutes=minutes, source="clock"), POLICY, BOOK, DAY)
    assert result is not None
    return result


def test_quarter_hours_agree_for_a_whole_day() -> None:
    """Whole, midpoint and ceiling rules, minute by minute."""
    for m in MINUTES:
        assert time_units.quarter_hours(m, QuarterHourRule.FLOOR15) == naive.floor15(m)
        assert time_units.quarter_hours(m, QuarterHourRule.MID15) == naive.mid15(m)
        assert time_units.quarter_hours(m, QuarterHourRule.CEIL15) == naive.ceil15(m)
        assert time_units.tenths_of_hour(m) == naive.tenths_of_hour(m)
        assert time_units.whole(m, 60) == naive.floor_n(m, 60)


def test_psychotherapy_rungs_agree_for_a_whole_day() -> None:
    """From any rung of either ladder, the minutes lead to the same code."""
    for m in MINUTES:
        for start in ("90832", "90834", "90837"):
            reached = counted(start, m)
            assert (reached.code.code if reached.units else None) == naive.psychotherapy(m)
        for start in ("90833", "90836", "90838"):
            reached = counted(start, m)
            assert (reached.code.code if reached.units else None) == naive.psychotherapy_with_em(m)
        assert counted("90847", m).units == naive.family_psychotherapy(m)


def test_crisis_blocks_agree_for_a_whole_day() -> None:
    """90839 and 90840."""
    for m in MINUTES:
        assert (counted("90839", m).units, counted("90840", m).units) == naive.crisis(m)


@pytest.mark.parametrize("base", sorted(BASES))
def test_midpoint_families_agree_for_a_whole_day(base: str) -> None:
    """Base unit and add-on units of each timed family."""
    for m in MINUTES:
        assert (counted(base, m).units, counted(ADD_ONS[base], m).units) == naive.midpoint_family(m, *BASES[base])


@given(st.dictionaries(st.sampled_from(["97110", "97140", "97530", "H2014"]), st.integers(0, 240), min_size=1))
def test_pooling_agrees(minutes: dict[str, int]) -> None:
    """CMS 8-minute rule over random pools."""
    assert time_units.pooled(minutes) == naive.cms8_pooled(minutes)


@pytest.mark.cpt
def test_edits_agree_on_random_sets_of_lines() -> None:
    """Duplicates, ladders, overlaps, pairs, same-day rules, add-ons, other claims, unit limits: `make oracle` is the long run."""
    tally = compare.run(6_000, seed=20_000_000)
    assert tally.differ == []
    assert min(tally.outcomes.values()) > 500


@pytest.mark.cpt
@pytest.mark.parametrize("name", ["_clash", "_identical", "_add_on", "_already_claimed"])
def test_a_broken_edit_does_not_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any edit that is switched off makes the two differ."""
    silent: object = {"_add_on": [], "_identical": False}.get(name)
    monkeypatch.setattr(claim_edits, name, lambda *_: silent)
    assert compare.run(1_500, seed=20_000_000).differ
