"""Caps: which lines count toward one, over which days, and what is said of those beyond it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from guardrails import caps
from guardrails.codebook import Codebook
from guardrails.policies import Cap, Policy
from guardrails.rules import Effect
from guardrails.visit import Context, Known, OtherLine
from tests.conftest import DAY, skills
from tests.spec.test_lines_together import examined

BORN = date(2005, 3, 2)  # 21 on the day


def a_cap(per: str = "day", *, codes: str = "H2014", units: int = 4, marks: str = "", **more: object) -> Cap:
    return Cap.model_validate(
        {"codes": codes.split(), "units": units, "per": per, "modifiers": marks.split(), "source": "a manual"} | more
    )


def the_policy(whole_unit: Policy, *own: Cap, year_begins: int = 1) -> Policy:
    return whole_unit.model_copy(update={"caps": own, "year_begins": year_begins})


@pytest.mark.parametrize(
    ("own", "units", "modifiers", "born", "speaks"),
    [
        ([a_cap()], 5, (), None, True),
        ([a_cap()], 4, (), None, False),
        ([a_cap("month")], 5, (), None, False),
        ([a_cap(codes="H2017")], 5, (), None, False),
        ([a_cap("month"), a_cap()], 5, (), None, True),
        ([a_cap(marks="TS")], 5, ("HN",), None, False),
        ([a_cap(marks="TS")], 5, ("HN", "TS"), None, True),
        ([a_cap(unmodified=True), a_cap(marks="TS", units=9)], 5, ("TS",), None, False),
        ([a_cap(unmodified=True), a_cap(marks="TS", units=9)], 5, ("HN",), None, True),
        ([a_cap(age_below=21)], 5, (), BORN, False),
        ([a_cap(age_below=22)], 5, (), BORN, True),
        ([a_cap(age_below=22)], 5, (), None, False),
        ([a_cap()], "5", (), None, False),
    ],
)
def test_a_proposal_alone_beyond_a_days_cap(
    own: list[Cap],
    units: object,
    modifiers: tuple[str, ...],
    born: date | None,
    speaks: bool,
    book: Codebook,
    whole_unit: Policy,
) -> None:
    """Only a day's cap of the code, for its modifiers and ages, and only beyond it; the cap's own effect and source."""
    code = book.find("H2014", DAY)
    assert code
    visit = skills(client_birth_date=born)
    found = list(caps.of_proposal(code, units, modifiers, visit, book, the_policy(whole_unit, *own)))
    said = [(f.rule_id, f.effect, f.message, f.authority) for f in found]
    sentence = "More units than the payer takes in a day (4)."
    assert said == ([("UNIT-041", Effect.WARN, sentence, "a manual")] if speaks else [])


def test_a_proposal_of_a_visit_without_a_date_is_beyond_no_cap(book: Codebook, whole_unit: Policy) -> None:
    """Whom a cap concerns is then not known."""
    code = book.find("H2014", DAY)
    assert code
    visit = skills(date_of_service=None)
    assert not list(caps.of_proposal(code, 5, (), visit, book, the_policy(whole_unit, a_cap())))


@pytest.mark.parametrize(("capped", "speaks"), [("H2014", True), ("H2017", False)])
def test_a_days_cap_that_holds_whoever_pays(capped: str, speaks: bool, book: Codebook, whole_unit: Policy) -> None:
    """The tables' own caps of the code are looked at beside the payer's."""
    code = book.find("H2014", DAY)
    assert code
    mine = replace(book, edits=replace(book.edits, frequencies={capped: (a_cap(codes=capped),)}))
    found = list(caps.of_proposal(code, 5, (), skills(), mine, the_policy(whole_unit)))
    assert [f.rule_id for f in found] == (["UNIT-041"] if speaks else [])


def line(text: str) -> OtherLine:
    """`H2014-TS@b/2026-03-01/2`: a line of another claim; of clinician a and the day where it does not say; "?" is nobody named."""
    what, _, rest = text.partition("/")
    when, _, units = rest.partition("/")
    what, _, who = what.partition("@")
    code, *marks = what.split("-")
    return OtherLine(
        code=code,
        date_of_service=date.fromisoformat(when) if when else DAY,
        units=int(units) if units else None,
        modifiers=tuple(marks),
        clinician_id=None if who == "?" else who or "a",
        visit_id="visit-9",
    )


BY_CLINICIAN = a_cap(by_clinician=True)
WITHOUT = a_cap(unmodified=True)
APART = a_cap(marks="TS", units=99)
SAID = "With this line the client's claims carry more than 4 of H2014 in one day."


@pytest.mark.parametrize(
    ("own", "mine", "elsewhere", "speaks"),
    [
        ([a_cap()], "H2014=4", "", 0),
        ([a_cap()], "H2014=5", "", 0),  # said of the proposal
        ([a_cap()], "H2014=4", "H2014//1", 1),
        ([a_cap()], "H2014=3", "H2014", 0),  # a line that states no units counts as one
        ([a_cap()], "H2014=4", "H2014", 1),
        ([a_cap()], "H2014=2 H2014=3", "", 2),
        ([a_cap()], "H2014=2@a H2014=3@b", "", 2),
        ([BY_CLINICIAN], "H2014=2@a H2014=3@b", "", 0),
        ([BY_CLINICIAN], "H2014=2@a H2014=3@a", "", 2),
        ([BY_CLINICIAN], "H2014=4@a", "H2014@b//1", 0),
        ([BY_CLINICIAN], "H2014=4@a", "H2014@a//1", 1),
        ([BY_CLINICIAN], "H2014=4@a", "H2014@?//1", 1),  # it may be this clinician's
        ([a_cap()], "H2014=4", "H2014/2026-03-01/1", 0),
        ([a_cap()], "H2014=4", "H2017//1", 0),
        ([a_cap(marks="TS")], "H2014=4", "H2014//1", 0),
        ([a_cap(marks="TS")], "H2014-TS=4", "H2014//1", 0),
        ([a_cap(marks="TS")], "H2014-TS=4", "H2014-TS//1", 1),
        ([WITHOUT, APART], "H2014=4", "H2014-TS//1", 0),
        ([WITHOUT, APART], "H2014=4", "H2014//1", 1),
        ([WITHOUT, APART], "H2014-TS=4", "H2014//1", 0),
        (
            [WITHOUT, a_cap(codes="H2017", marks="TS")],
            "H2014-TS=4",
            "H2014//1",
            1,
        ),  # a cap of another code names no kinds
        ([a_cap(age_below=21), a_cap()], "H2014=4", "H2014//1", 1),
    ],
)
def test_lines_beyond_a_cap_together(
    own: list[Cap], mine: str, elsewhere: str, speaks: int, book: Codebook, whole_unit: Policy
) -> None:
    """Lines of this visit and of other claims, of the cap's codes, modifiers and clinician, are counted together."""
    lines = []
    for n, each in enumerate(mine.split()):
        what, _, rest = each.partition("=")
        units, _, who = rest.partition("@")
        one = examined(f"{what}@{who or 'a'}", n, book)
        assert one.line
        lines.append(replace(one, line=replace(one.line, units=int(units))))
    context = Context(today=DAY, client_lines=Known(tuple(line(each) for each in elsewhere.split())))
    visit = skills(client_birth_date=BORN)
    over = list(caps.of_lines(lines, visit, context, book, the_policy(whole_unit, *own)))
    assert [(c.position, f.rule_id, f.effect, f.message) for c, f in over] == [
        (n, "EDIT-080", Effect.WARN, SAID) for n in range(speaks)
    ]


@pytest.mark.parametrize(
    ("per", "begins", "when", "spoken"),
    [
        ("month", 1, "2026-03-31", "one month"),
        ("month", 1, "2026-02-28", ""),
        ("month", 1, "2025-03-02", ""),
        ("year", 1, "2026-01-01", "the payer's year"),
        ("year", 1, "2025-12-31", ""),
        ("year", 3, "2026-03-01", "the payer's year"),
        ("year", 3, "2026-02-28", ""),
        ("year", 4, "2025-04-01", "the payer's year"),
        ("year", 4, "2025-03-31", ""),
        ("twelve_months", 1, "2025-03-03", "twelve months"),
        ("twelve_months", 1, "2025-03-02", ""),
        ("twelve_months", 1, "2026-03-02", "twelve months"),
        ("twelve_months", 1, "2026-03-03", ""),
        ("six_months", 1, "2025-09-02", "six months"),
        ("six_months", 1, "2025-09-01", ""),
    ],
)
def test_other_claims_count_over_the_caps_period(
    per: str, begins: int, when: str, spoken: str, book: Codebook, whole_unit: Policy
) -> None:
    """Each period's first and last day; codes of one cap are named together, and a line waits where the cap blocks."""
    cap = a_cap(per, codes="H2014 H2017", effect="block")
    one = examined("H2014", 0, book)
    assert one.line
    mine = replace(one, line=replace(one.line, units=4))
    context = Context(today=DAY, client_lines=Known((line(f"H2017/{when}/1"),)))
    over = list(caps.of_lines([mine], skills(), context, book, the_policy(whole_unit, cap, year_begins=begins)))
    sentence = f"With this line the client's claims carry more than 4 of H2014 and H2017 in {spoken}."
    assert [(f.effect, f.message, f.authority) for _, f in over] == (
        [(Effect.HOLD, sentence, "a manual")] if spoken else []
    )


def test_a_line_alone_beyond_a_months_cap(book: Codebook, whole_unit: Policy) -> None:
    """The proposal was compared with the day's caps only, so it is said of the line."""
    one = examined("H2014", 0, book)
    assert one.line
    mine = replace(one, line=replace(one.line, units=5))
    over = list(caps.of_lines([mine], skills(), Context(today=DAY), book, the_policy(whole_unit, a_cap("month"))))
    assert [f.rule_id for _, f in over] == ["EDIT-080"]


@pytest.mark.parametrize(
    ("code", "when", "spoken"),
    [
        ("H2018", "2026-03-02", "one day"),
        ("H2018", "2026-03-01", ""),
        ("G0323", "2026-03-20", "one month"),
        ("G0323", "2026-02-28", ""),
        ("H2014", "2026-03-02", ""),
    ],
)
def test_a_day_rate_stands_once_a_day_and_a_monthly_code_once_a_month(
    code: str, when: str, spoken: str, book: Codebook, whole_unit: Policy
) -> None:
    """Whoever bills it; nobody can say which of the two is one too many, so the line waits."""
    context = Context(today=DAY, client_lines=Known((line(f"{code}@b/{when}/1"),)))
    over = list(caps.of_lines([examined(code, 0, book)], skills(), context, book, the_policy(whole_unit)))
    sentence = f"With this line the client's claims carry more than 1 of {code} in {spoken}."
    assert [(f.effect, f.message, f.authority) for _, f in over] == (
        [(Effect.HOLD, sentence, "domain PD-01, PD-06")] if spoken else []
    )
    alone = caps.of_lines([examined(code, 0, book)], skills(), Context(today=DAY), book, the_policy(whole_unit))
    assert not list(alone)
