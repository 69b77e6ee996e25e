"""Minutes to units, case by case: what is allowed of a proposal, the arithmetic as a person writes it, and what is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from guardrails import policies, time_units
from guardrails.codebook import Code, Codebook, UnitRule
from guardrails.edit_tables import UnitLimits
from guardrails.policies import Policy, QuarterHourRule
from guardrails.time_units import Counted
from guardrails.verdict import Minutes, Quote
from tests.conftest import DAY

HERE = (Quote("note-1", 0, 5, "hash"),)
UNKNOWN = policies.load("unknown")
BELOW = "UNIT-020 The documented minutes do not reach the first unit of this service. *"
LESS = "UNIT-050 The proposal asks for less than the record states; the line keeps the proposal."


def stated(minutes: int, *contacts: int) -> Minutes:
    return Minutes(minutes=minutes, source="clock", where=HERE, contacts=contacts)


def a_code(book: Codebook, rule: UnitRule, **more: Any) -> Code:
    """A code of no table, counted by a rule."""
    skills = book.find("H2014", DAY)
    assert skills
    return replace(skills, code="X0001", service=None, unit_rule=rule, step_minutes=None, from_minute=None, **more)


@pytest.mark.parametrize(
    ("rule", "more", "minutes", "expected"),
    [
        (UnitRule.EVENT, {}, None, (1, "one per date of service", 1)),
        (UnitRule.PER_MONTH, {}, None, (1, "one per month", 1)),
        (UnitRule.PER_DIEM, {"from": 60}, None, None),
        (UnitRule.PER_DIEM, {"from": 60}, 60, (1, "60 documented minutes, one per date of service from 60", 1)),
        (UnitRule.PER_DIEM, {"from": 60}, 59, (0, "59 documented minutes, one per date of service from 60", 0)),
        (UnitRule.PER_MONTH, {"from": 20}, 25, (1, "25 documented minutes, one per month from 20", 1)),
        (UnitRule.UNDECIDED, {}, 60, None),
        (UnitRule.INSTRUMENT, {}, 60, None),
        (UnitRule.SESSION, {}, None, None),
        (UnitRule.SESSION, {"from": 16}, 16, (1, "16 documented minutes, one session", 1)),
        (UnitRule.SESSION, {"from": 16}, 15, (0, "15 documented minutes, below the first unit", 0)),
        (UnitRule.SESSION, {"from": 16, "to_minute": 37}, 90, (1, "90 documented minutes, one session", 1)),
        (UnitRule.SESSION, {}, 0, (1, "0 documented minutes, one session", 1)),
        (UnitRule.EACH, {"from": 75, "step": 30}, 105, (2, "105 documented minutes, 2 further block(s)", 2)),
        (UnitRule.EACH, {"from": 75, "step": 30}, 74, (0, "74 documented minutes, 0 further block(s)", 0)),
        (UnitRule.EACH, {}, 0, (1, "0 documented minutes, 1 further block(s)", 1)),
        (UnitRule.EACH, {}, 2, (3, "2 documented minutes, 3 further block(s)", 3)),
        (UnitRule.CEIL, {"step": 15}, 31, (3, "31 documented minutes, each 15 begun", 3)),
        (UnitRule.CEIL, {}, 31, (3, "31 documented minutes, each None begun", 3)),
        (UnitRule.CEIL, {"step": 10}, 31, (4, "31 documented minutes, each 10 begun", 4)),
        (UnitRule.FLOOR, {"step": 30}, 119, (3, "119 documented minutes, 3 x 30", 3)),
        (UnitRule.FLOOR, {}, 120, (2, "120 documented minutes, 2 x None", 2)),
        (UnitRule.MIDPOINT15, {}, 23, (2, "23 documented minutes, 2 x 15", 2)),
        (UnitRule.PAYER15, {}, 37, (2, "37 documented minutes, 2 x 15", 2)),
        (UnitRule.PAYER15, {"from": 38}, 37, (0, "37 documented minutes, below the first unit", 0)),
        (UnitRule.PAYER15, {"from": 37}, 37, (2, "37 documented minutes, 2 x 15", 2)),
    ],
)
def test_what_minutes_count(
    rule: UnitRule, more: dict[str, int], minutes: int | None, expected: object, book: Codebook, whole_unit: Policy
) -> None:
    """Units, the arithmetic in words, and the units under the most generous rule."""
    code = a_code(book, rule)
    own = {"from": "from_minute", "step": "step_minutes"}
    code = replace(code, **{own.get(name, name): value for name, value in more.items()})  # type: ignore[arg-type]
    counted = time_units.count(code, None if minutes is None else stated(minutes), whole_unit, book, DAY)
    assert (counted and (counted.units, counted.arithmetic, counted.highest)) == expected
    assert counted is None or counted.code == code


@pytest.mark.parametrize(
    ("policy", "contacts", "expected"),
    [
        ("texas-medicaid-2016", (14, 14), (0, "14 + 14 documented minutes, each apart, 0 x 15", 0)),
        ("texas-medicaid-2016", (20, 40), (3, "20 + 40 documented minutes, each apart, 3 x 15", 3)),
        ("texas-medicaid-2016", (60,), (4, "60 documented minutes, 4 x 15", 4)),
        ("medicaid-whole-unit", (14, 14), (1, "28 documented minutes, 1 x 15", 1)),
        ("unknown", (14, 14), (1, "28 documented minutes, 1 x 15 under the lowest rule", 2)),
        ("unknown", (7,), (0, "7 documented minutes, 0 x 15 under the lowest rule", 1)),
    ],
)
def test_contacts_of_a_day_as_the_payer_counts_them(
    policy: str, contacts: tuple[int, ...], expected: tuple[object, ...], book: Codebook
) -> None:
    """Each apart where the payer says so, and the lowest rule where it is not known."""
    code = book.find("H2014", DAY)
    assert code
    counted = time_units.count(code, stated(sum(contacts), *contacts), policies.load(policy), book, DAY)
    assert counted
    assert (counted.code, counted.units, counted.arithmetic, counted.highest) == (code, *expected)


def test_a_payer_may_count_one_code_in_its_own_way(book: Codebook, whole_unit: Policy) -> None:
    """Its rule and its way with contacts are those of the code."""
    own = policies.CodePolicy(counted=policies.Counted.MID15, aggregate=policies.Aggregate.PER_CONTACT)
    policy = whole_unit.model_copy(update={"codes": {"H2014": own}})
    for name, expected in (
        ("H2014", (2, "14 + 14 documented minutes, each apart, 2 x 15")),
        ("H2017", (1, "28 documented minutes, 1 x 15")),
    ):
        code = book.find(name, DAY)
        assert code
        counted = time_units.count(code, stated(28, 14, 14), policy, book, DAY)
        assert counted
        assert (counted.units, counted.arithmetic) == expected


def test_contacts_of_a_payer_without_a_rule_are_not_told_apart(book: Codebook) -> None:
    """What nobody knows is counted by the lowest rule, over all minutes."""
    code = book.find("H2014", DAY)
    apart = UNKNOWN.model_copy(update={"aggregate": policies.Aggregate.PER_CONTACT})
    assert code
    counted = time_units.count(code, stated(28, 14, 14), apart, book, DAY)
    assert counted
    assert (counted.units, counted.highest) == (1, 2)


def test_a_pool_is_shared_by_two_codes_or_more(book: Codebook) -> None:
    """Each code's part, with the whole beside it; one code alone has no pool."""
    code, other = book.find("H2014", DAY), book.find("H2017", DAY)
    assert code
    assert other
    assert time_units.shares({"H2014": (code, stated(33))}) == {}
    assert time_units.shares({"H2014": (code, stated(33)), "H2017": (other, stated(7))}) == {
        "H2014": Counted(code, 2, "33 of 40 documented minutes, 2 of 3 x 15 pooled", 2),
        "H2017": Counted(other, 1, "7 of 40 documented minutes, 1 of 3 x 15 pooled", 1),
    }


def test_instruments_count_one_each(book: Codebook) -> None:
    """However often a note names one."""
    code = a_code(book, UnitRule.INSTRUMENT)
    assert time_units.instruments(code, {"PHQ", "GAD"}) == Counted(code, 2, "2 scored instrument(s)", 2)


def allowed(code: Code, proposed: object, minutes: Minutes | None, policy: Policy, book: Codebook, **more: Any) -> Any:
    """Units, arithmetic, what is said (`*`: with its place in the note), and the lower value that fits."""
    result = time_units.allow(code, proposed, minutes, policy, book, DAY, **more)
    said = [f"{f.rule_id} {f.message}{' *' if f.where == HERE else ''}" for f in result.findings]
    fix = None if result.fix is None else f"{result.fix.code} x {result.fix.units}"
    return result.units, result.arithmetic, said, fix


NO_COUNT = (0, "", ["UNIT-010 Units must be a whole number of at least 1."], None)


def too_many(cap: int) -> tuple[object, ...]:
    return (0, "", [f"UNIT-040 More units than a day has room for ({cap})."], None)


@pytest.mark.parametrize(
    ("rule", "proposed", "minutes", "expected"),
    [
        (UnitRule.PAYER15, 0, 45, NO_COUNT),
        (UnitRule.PAYER15, True, 45, NO_COUNT),
        (UnitRule.PAYER15, 1.0, 45, NO_COUNT),
        (UnitRule.PAYER15, "1", 45, NO_COUNT),
        (UnitRule.PAYER15, 97, 1440, too_many(96)),
        (UnitRule.PAYER15, 96, 1440, (96, "1440 documented minutes, 96 x 15", [], None)),
        (UnitRule.CEIL, 97, 1440, too_many(96)),
        (UnitRule.MIDPOINT15, 97, 1440, too_many(96)),
        (UnitRule.FLOOR, 25, 1440, too_many(24)),
        (UnitRule.EACH, 49, 1440, too_many(48)),
        (UnitRule.SESSION, 1441, 60, too_many(1440)),
        (
            UnitRule.SESSION,
            1440,
            60,
            (
                1,
                "60 documented minutes, one session",
                ["UNIT-032 X0001 is billed once per session; proposed 1440 units."],
                "X0001 x 1",
            ),
        ),
        (
            UnitRule.UNDECIDED,
            1,
            60,
            (
                0,
                "",
                ["UNIT-070 How X0001 is counted is not in the loaded tables; a person must decide."],
                None,
            ),
        ),
        (UnitRule.PAYER15, 1, None, (0, "", [], None)),
        (UnitRule.INSTRUMENT, 1, None, (0, "", [], None)),
        (UnitRule.PAYER15, 3, 45, (3, "45 documented minutes, 3 x 15", [], None)),
        (UnitRule.PAYER15, 1, 45, (1, "45 documented minutes, 3 x 15", [LESS], None)),
        (
            UnitRule.PAYER15,
            4,
            45,
            (
                3,
                "45 documented minutes, 3 x 15",
                ["UNIT-030 Proposed 4 units; the record supports 3 (45 documented minutes, 3 x 15). *"],
                "X0001 x 3",
            ),
        ),
        (UnitRule.PAYER15, 1, 14, (0, "14 documented minutes, 0 x 15", [BELOW], None)),
        (UnitRule.MIDPOINT15, 1, 7, (0, "7 documented minutes, 0 x 15", [BELOW], None)),
    ],
)
def test_what_is_allowed_of_a_proposal(
    rule: UnitRule, proposed: object, minutes: int | None, expected: object, book: Codebook, whole_unit: Policy
) -> None:
    """Never above the proposal, the record or the day; what is lower is kept."""
    code = a_code(book, rule)
    assert allowed(code, proposed, None if minutes is None else stated(minutes), whole_unit, book) == expected


@pytest.mark.parametrize(
    ("proposed", "minutes", "expected"),
    [
        (1, 7, (0, "7 documented minutes, 0 x 15 under the lowest rule", [BELOW], None)),
        (
            1,
            8,
            (
                0,
                "8 documented minutes, 0 x 15 under the lowest rule",
                [
                    "UNIT-021 The documented minutes reach a unit under some payers' rules and not under the lowest; "
                    "the payer's rule is not known. *"
                ],
                None,
            ),
        ),
        (1, 15, (1, "15 documented minutes, 1 x 15 under the lowest rule", [], None)),
        (1, 16, (1, "16 documented minutes, 1 x 15 under the lowest rule", [], None)),
        (
            2,
            16,
            (
                1,
                "16 documented minutes, 1 x 15 under the lowest rule",
                ["UNIT-060 The payer's unit rule is not known: proposed 2, 1 under the lowest rule. *"],
                None,
            ),
        ),
        (
            3,
            16,
            (
                1,
                "16 documented minutes, 1 x 15 under the lowest rule",
                [
                    "UNIT-030 Proposed 3 units; the record supports 1 (16 documented minutes, 1 x 15 under the lowest "
                    "rule). *"
                ],
                "H2014 x 1",
            ),
        ),
    ],
)
def test_what_is_allowed_where_the_payers_rule_is_not_known(
    proposed: int, minutes: int, expected: object, book: Codebook
) -> None:
    """The lowest rule gives the units; only the midpoint makes of too few a question."""
    code = book.find("H2014", DAY)
    assert code
    assert allowed(code, proposed, stated(minutes), UNKNOWN, book) == expected


def test_a_code_not_in_quarter_hours_is_never_open_between_payers(book: Codebook) -> None:
    """Its own text counts it, whoever pays."""
    code = a_code(book, UnitRule.FLOOR)
    assert allowed(code, 1, stated(45), UNKNOWN, book) == (0, "45 documented minutes, 0 x None", [BELOW], None)


def test_a_day_rate_below_its_minutes_waits_unless_the_payer_named_them(book: Codebook, whole_unit: Policy) -> None:
    """Where the least minutes are only usual, a person decides; where the payer names them, they are not reached."""
    code = replace(a_code(book, UnitRule.PER_DIEM), from_minute=60)
    waits = "UNIT-022 X0001 usually stands for at least 60 minutes of a day or month, and the record states fewer. *"
    arithmetic = "59 documented minutes, one per date of service from 60"
    assert allowed(code, 1, stated(59), whole_unit, book) == (0, arithmetic, [waits], None)
    named = whole_unit.model_copy(update={"codes": {"X0001": policies.CodePolicy(from_minutes=60)}})
    assert allowed(code, 1, stated(59), named, book) == (0, arithmetic, [BELOW], None)
    session = replace(code, unit_rule=UnitRule.SESSION)
    assert allowed(session, 1, stated(59), whole_unit, book)[2] == [BELOW]


def test_a_share_of_a_pool_stands_for_the_minutes(book: Codebook, whole_unit: Policy) -> None:
    """The pool has given the code its units, whatever its own minutes are."""
    code = a_code(book, UnitRule.PAYER15)
    assert allowed(code, 2, stated(20), whole_unit, book, share=Counted(code, 2, "2 of 3", 2)) == (
        2,
        "2 of 3",
        [],
        None,
    )
    none = Counted(code, 0, "0 of 1", 0)
    assert allowed(code, 1, stated(8), whole_unit, book, share=none) == (0, "0 of 1", [BELOW], None)
    assert allowed(code, 1, None, whole_unit, book, share=none)[2] == [BELOW.removesuffix(" *")]
    generous = Counted(code, 0, "0 of 1", 1)
    assert allowed(code, 1, stated(8), whole_unit, book, share=generous)[2][0].startswith("UNIT-021")
    assert allowed(code, 1, stated(7), whole_unit, book, share=generous)[2] == [BELOW]
    assert allowed(code, 1, None, whole_unit, book, share=generous)[2] == [BELOW.removesuffix(" *")]


def test_no_scored_instrument_has_a_finding_of_its_own(book: Codebook, whole_unit: Policy) -> None:
    """Units say nothing where none is counted; one more than are scored comes down."""
    code = a_code(book, UnitRule.INSTRUMENT)
    none = time_units.instruments(code, ())
    assert allowed(code, 1, None, whole_unit, book, share=none) == (0, "", [], None)
    one = time_units.instruments(code, {"PHQ"})
    many = "UNIT-030 Proposed 2 units; the record supports 1 (1 scored instrument(s))."
    assert allowed(code, 2, None, whole_unit, book, share=one) == (1, "1 scored instrument(s)", [many], "X0001 x 1")


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("code", "proposed", "minutes", "expected"),
    [
        ("90837", 1, 60, (1, "60 documented minutes, one session", [], None)),
        (
            "90837",
            1,
            45,
            (
                1,
                "45 documented minutes, one session",
                ["UNIT-031 The documented minutes are those of 90834, not of the proposed 90837. *"],
                "90834 x 1",
            ),
        ),
        (
            "90837",
            2,
            45,
            (
                1,
                "45 documented minutes, one session",
                [
                    "UNIT-031 The documented minutes are those of 90834, not of the proposed 90837. *",
                    "UNIT-032 90837 is billed once per session; proposed 2 units.",
                ],
                "90834 x 1",
            ),
        ),
        ("90832", 1, 60, (1, "60 documented minutes", [LESS], None)),
        (
            "90832",
            2,
            60,
            (
                1,
                "60 documented minutes",
                [LESS, "UNIT-032 90832 is billed once per session; proposed 2 units."],
                "90832 x 1",
            ),
        ),
        ("90839", 1, 74, (1, "74 documented minutes, one session", [], None)),
        ("90840", 1, 74, (0, "74 documented minutes, 0 further block(s)", [BELOW], None)),
        (
            "90840",
            1,
            75,
            (
                1,
                "75 documented minutes, 1 further block(s)",
                [
                    "UNIT-033 Sources disagree whether a further block of crisis psychotherapy begins at 75 minutes or "
                    "one later."
                ],
                None,
            ),
        ),
        ("90840", 1, 76, (1, "76 documented minutes, 1 further block(s)", [], None)),
        ("96131", 1, 91, (1, "91 documented minutes, 1 further block(s)", [], None)),
    ],
)
def test_what_is_allowed_of_a_ladder(
    code: str, proposed: int, minutes: int, expected: object, book: Codebook, whole_unit: Policy
) -> None:
    """A lower rung is the fix, a higher one is never named, and the first minute of a further crisis block is said."""
    meaning = book.find(code, DAY)
    assert meaning
    assert allowed(meaning, proposed, stated(minutes), whole_unit, book) == expected


def test_the_payers_limit_holds_from_its_tables_date(book: Codebook, whole_unit: Policy) -> None:
    """Beyond it nothing is allowed."""
    code = book.find("H2014", DAY)
    assert code
    beyond = "UNIT-042 More units than the payer takes on one line of this code (2); the whole line would be denied."
    for begins, expected in (
        (DAY, (0, "", [beyond], None)),
        (DAY + timedelta(days=1), (3, "45 documented minutes, 3 x 15", [], None)),
    ):
        table = UnitLimits("a table", "medicaid", begins, {"H2014": 2})
        limited = replace(book, edits=replace(book.edits, limit_tables=(table,)))
        assert allowed(code, 3, stated(45), whole_unit, limited) == expected


@pytest.mark.cpt
def test_the_payers_limit_of_a_line(book: Codebook) -> None:
    """Beyond it the whole line would be denied, as the loaded table says; of a single service too many units are a fix."""
    crisis, alone = book.find("90840", DAY), book.find("90834", DAY)
    assert crisis
    assert alone
    medicare = policies.load("medicare")
    found = time_units.allow(crisis, 4, stated(180), medicare, book, DAY).findings
    said = "More units than the payer takes on one line of this code (3); the whole line would be denied."
    table = "Medicare practitioner MUE table of 2024-07-01; domain 6.4"
    assert [(f.message, f.authority) for f in found] == [(said, table)]
    assert allowed(crisis, 3, stated(180), medicare, book)[:2] == (3, "180 documented minutes, 4 further block(s)")
    assert allowed(alone, 3, stated(45), medicare, book)[3] == "90834 x 1"


@pytest.mark.parametrize(
    ("minutes", "whole", "midpoint", "ceiling", "tenths"),
    [(0, 0, 0, 0, 0), (1, 0, 0, 1, 0), (3, 0, 0, 1, 0), (4, 0, 0, 1, 1), (8, 0, 1, 1, 1), (15, 1, 1, 1, 2)],
)
def test_the_ways_of_counting(minutes: int, whole: int, midpoint: int, ceiling: int, tenths: int) -> None:
    """Each at the minutes where the next unit begins."""
    counted = (
        time_units.whole(minutes),
        time_units.midpoint15(minutes),
        time_units.ceiling(minutes),
        time_units.tenths_of_hour(minutes),
    )
    assert counted == (whole, midpoint, ceiling, tenths)
    assert time_units.quarter_hours(minutes, QuarterHourRule.POOLED15) == midpoint
