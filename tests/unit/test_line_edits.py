"""Two lines and what stands beside them: duplicates, minutes, pairs by their dates, the payer's own rules, add-ons."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import pytest

from guardrails import claim_edits, pair_edits, policies
from guardrails.claim_edits import across_lines
from guardrails.codebook import Codebook
from guardrails.edit_tables import Pair, PairTable
from guardrails.examined import Examined
from guardrails.policies import NotSameDay, Policy
from guardrails.rules import Effect
from guardrails.verdict import Minutes, Quote, found
from guardrails.visit import Context, Known, OtherLine
from guardrails.visit_status import UNSIGNED
from tests.conftest import DAY, ZONE, skills
from tests.spec.test_lines_together import examined

ALONE = Context(today=DAY, client_lines=Known(()))
EARLY, LATE = ("14:00", "14:45"), ("14:45", "15:30")


def timed(one: Examined, source: str, *intervals: tuple[str, str]) -> Examined:
    """The line with minutes of that source at these times; without a source, with none."""
    assert one.line
    placed = tuple(
        (datetime.combine(DAY, time.fromisoformat(s), ZONE), datetime.combine(DAY, time.fromisoformat(e), ZONE))
        for s, e in intervals
    )
    minutes = Minutes(minutes=45, source=source, intervals=placed) if source else None
    return replace(one, line=replace(one.line, minutes=minutes))


def said(lines: list[Examined], book: Codebook, policy: Policy, context: Context = ALONE) -> list[str]:
    """`code rule: sentence` of every finding, with its authority where a table or the policy gives it."""
    across = across_lines(lines, skills(), context, book, policy)
    return [f"{lines[p].code.code} {f.rule_id}: {f.message}" for p, findings in across.items() for f in findings]


def test_the_order_of_lines_knows_nothing_of_their_positions_until_the_last(book: Codebook) -> None:
    """What the line is, how it was evidenced, what was found and asked; then only its place."""
    quote = Quote("note-1", 0, 5, "hash")
    one = replace(examined("H2014-HN*", 7, book), asked=("3", "HN"))
    assert one.line
    one = replace(one, line=replace(one.line, units=3, quotes=(quote,)))
    findings = (1, ("NOTE-020",), ("3", "HN"), 7)
    assert claim_edits._order(one) == ("H2014", ("HN",), 3, ("F20.9",), (quote,), *findings)
    assert claim_edits._order(replace(one, line=None)) == ("H2014", (), 0, (), (), *findings)


REPEATED = "H2014 EDIT-021: The same service is proposed on two lines; a modifier alone does not make it two services."
TWICE = "H2014 EDIT-020: The same service is proposed twice for this visit."


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("H2014", "H2014", [TWICE]),
        ("H2014-HN", "H2014-HO", [TWICE]),
        ("H2014@a", "H2014@b", []),
        *(("H2014", f"H2014-{mark}", [REPEATED, REPEATED]) for mark in "76 77 59 XE XP XS XU".split()),
        *((f"H2014-{mark}", "H2014", [REPEATED, REPEATED]) for mark in "76 77".split()),
    ],
)
def test_the_same_service_twice(
    first: str, second: str, expected: list[str], book: Codebook, whole_unit: Policy
) -> None:
    """Refused once, or both held where a modifier says that there were two; two clinicians' are two."""
    assert said([examined(first, 0, book), examined(second, 1, book)], book, whole_unit) == expected


def test_a_line_that_does_not_stand_may_be_the_same_service(book: Codebook, whole_unit: Policy) -> None:
    """Who gave it and when is then not known."""
    nothing = replace(examined("H2014-59", 0, book), line=None)
    assert said([nothing, examined("H2014-59@b", 1, book)], book, whole_unit) == [TWICE]
    other = replace(examined("H0004", 0, book), line=None)
    assert said([other, examined("H2014", 1, book)], book, whole_unit) == []


SAME = "EDIT-010: The same minutes would support {} as well; a minute supports one service."
APART = "EDIT-011: The note does not show that this service and {} took place at different times."


@pytest.mark.parametrize(
    ("mine", "theirs", "rule"),
    [
        (("clock", EARLY), ("clock", EARLY), SAME),
        (("clock", EARLY), ("clock", ("14:44", "15:00")), SAME),
        (("clock", EARLY), ("clock", LATE), None),
        (("clock", LATE), ("clock", EARLY), None),
        (("clock", EARLY), ("clock", LATE, ("14:00", "14:01")), SAME),
        (("period", EARLY), ("clock", LATE), APART),
        (("clock", EARLY), ("period", LATE), APART),
        (("stated",), ("clock", LATE), APART),
        (("clock", EARLY), ("stated",), APART),
        (("stated",), ("stated",), APART),
        (("",), ("clock", LATE), APART),
        (("clock", EARLY), ("",), APART),
    ],
)
def test_two_services_and_their_minutes(
    mine: tuple[str], theirs: tuple[str], rule: str | None, book: Codebook, whole_unit: Policy
) -> None:
    """At times that the note states and that do not meet, else both wait; two clinicians have minutes of their own."""
    first, second = timed(examined("H0004", 0, book), *mine), timed(examined("H2014", 1, book), *theirs)
    expected = [f"H0004 {rule.format('H2014')}", f"H2014 {rule.format('H0004')}"] if rule else []
    assert said([first, second], book, whole_unit) == expected
    assert second.line
    elsewhere = replace(second, line=replace(second.line, rendering_id="b"))
    assert not [each for each in said([first, elsewhere], book, whole_unit) if "EDIT-013" not in each]


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("90836", "99214", False),
        ("90836", "H0004", True),
        ("90840", "90839", False),
        ("G2213", "99214", False),
        ("H2014", "H0004", True),
        ("H2014", "H2018", False),
        ("H2014", "96127", False),
        ("H2014", "90785", False),
        ("H2014", "G2078", False),
        ("H2014", "H0031", True),
        ("H2014", "99484", False),
        ("H2014", "99492", False),
        ("H2014", "G0534", False),
    ],
)
def test_which_lines_share_minutes(first: str, second: str, clash: bool, book: Codebook) -> None:
    """An add-on shares its primary's; what has no minutes of its own takes nobody's."""
    a, b = (timed(examined(code, 0, book), "clock", EARLY) for code in (first, second))
    assert (claim_edits._clash(a, b) is not None) is clash
    assert (claim_edits._clash(b, a) is not None) is clash


NOT_TAKEN = "The payer does not take H2014 and {} for one client on one date."


def claimed(code: str, on: date = DAY, visit: str = "visit-9", **more: object) -> OtherLine:
    return replace(OtherLine(code=code, date_of_service=on, units=1, clinician_id="b", visit_id=visit), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "elsewhere", "marks", "others"),
    [
        ("H2014 H0004", [], "", ["H0004"]),
        ("H2014 H0004 H0038", [], "", ["H0004", "H0038"]),
        ("H0004 H0038", [], "", []),
        ("H2014 H0031", [], "", []),
        ("H2014-HN H0004", [], "HQ", []),
        ("H2014-HN-HQ H0004", [], "HQ", ["H0004"]),
        ("H0004-HQ H2014", [], "HQ", []),
        ("H2014-HN H2014-HQ H0004", [], "HQ", ["H0004"]),
        ("H2014", [claimed("H0004")], "", ["H0004"]),
        ("H2014", [claimed("H0038"), claimed("H0004"), claimed("H0004", clinician_id="c")], "", ["H0004", "H0038"]),
        ("H2014", [claimed("H0004", DAY - timedelta(days=1))], "", []),
        ("H2014", [claimed("H0031")], "", []),
        ("H2014", [claimed("H0004", visit="visit-1")], "", []),
    ],
)
def test_codes_that_a_payer_does_not_take_beside_each_other(
    lines: str, elsewhere: list[OtherLine], marks: str, others: list[str], book: Codebook, whole_unit: Policy
) -> None:
    """On this visit, whoever rendered them, or on another claim of the date; with the effect and source of the policy."""
    rule = NotSameDay(
        codes=("H2014",),
        beside=("H0004", "H0038"),
        modifiers=frozenset(marks.split()),
        effect=Effect.WARN,
        source="a manual",
    )
    first = NotSameDay(codes=("H2017",), beside=("H0004", "H0038"), source="another")
    policy = whole_unit.model_copy(update={"not_same_day": (first, rule)})
    mine = [replace(examined(f"{t}@{n}", n, book)) for n, t in enumerate(lines.split())]
    context = Context(today=DAY, client_lines=Known(tuple(elsewhere)))
    across = across_lines(mine, skills(), context, book, policy)
    found_here = [(mine[p].code.code, f.effect, f.authority, f.message) for p, fs in across.items() for f in fs]
    assert found_here == [("H2014", Effect.WARN, "a manual", NOT_TAKEN.format(other)) for other in others]


def test_a_payers_own_rule_holds_where_other_claims_were_not_looked_up(book: Codebook, whole_unit: Policy) -> None:
    """Of the visit's own lines it can still speak."""
    rule = NotSameDay(codes=("H2014",), beside=("H0004",), source="a manual")
    policy = whole_unit.model_copy(update={"not_same_day": (rule,)})
    lines = [examined("H2014@a", 0, book), examined("H0004@b", 1, book)]
    assert said(lines, book, policy, Context(today=DAY)) == [f"H2014 EDIT-072: {NOT_TAKEN.format('H0004')}"]


def test_each_line_of_other_claims_is_looked_at(book: Codebook, whole_unit: Policy) -> None:
    """What one of them says, or does not, ends nothing."""
    table = with_pairs(book, a_pair("H0004>H2014"))
    others = (claimed("H0004", clinician_id="a"), claimed("H2017", clinician_id="a"))
    context = Context(today=DAY, client_lines=Known(others))
    mine = [examined("H2014", 0, book)]
    assert [each[:14] for each in said(mine, table, whole_unit, context)] == ["H2014 EDIT-064", "H2014 EDIT-071"]
    context = Context(today=DAY, client_lines=Known((claimed("H2017"), claimed("T1015"))))
    assert [each[:14] for each in said(mine, book, whole_unit, context)] == ["H2014 EDIT-070"]


def test_the_order_of_other_claims_lines(book: Codebook) -> None:
    """By what they are; what is not stated comes first."""
    assert pair_edits._by_code(claimed("H2014", units=2)) == ("H2014", DAY, (), 2, "visit-9")
    assert pair_edits._by_code(claimed("H2014", units=None, visit_id=None)) == ("H2014", DAY, (), 0, "")


def test_a_line_that_does_not_stand_takes_no_part(book: Codebook, whole_unit: Policy) -> None:
    """It is held for what it lacks; a payer's own rule is asked of lines."""
    rule = NotSameDay(codes=("H2014",), beside=("H0004",), source="a manual")
    policy = whole_unit.model_copy(update={"not_same_day": (rule,)})
    lines = [replace(examined("H2014", 0, book), line=None), examined("H0004@b", 1, book)]
    assert said(lines, book, policy) == []


def with_pairs(book: Codebook, *pairs: Pair, kind: str = "medicaid") -> Codebook:
    table = PairTable("a table", kind, {(p.column_1, p.column_2): p for p in pairs})
    return replace(book, edits=replace(book.edits, pair_tables=(*book.edits.pair_tables, table)))


def a_pair(text: str) -> Pair:
    """`H0004>H2014`, or `H0004~H2014` where a modifier may help."""
    first, mark, second = text[:5], text[5], text[6:]
    return Pair(first, second, never=mark == ">")


STANDS = "EDIT-060: {0} is not billed beside {1} for one client, clinician and date, under any modifier; {1} stands."
OPEN = "EDIT-061: {} and {} are not billed together for one client, clinician and date; which of them stands is open."


CIRCLE = ["H0004", "H2014", "H0031"]


@pytest.mark.parametrize(
    ("pairs", "lines", "expected"),
    [
        ("H0004>H2014", "H0004 H2014", ["H2014 " + STANDS.format("H2014", "H0004")]),
        ("H2014>H0004", "H0004 H2014", ["H0004 " + STANDS.format("H0004", "H2014")]),
        ("H0004>H2014", "H0004@a H2014@b", []),
        ("H0004>H2014", "H0004 H0031", []),
        (
            "H0004>H2014",
            "H0004* H2014",
            ["H2014 " + OPEN.format("H2014", "H0004"), "H0004 " + OPEN.format("H0004", "H2014")],
        ),
        (
            "H0004>H2014 H2014>H0031",
            "H0004 H0031 H2014",
            ["H2014 " + STANDS.format("H2014", "H0004")],
        ),
        (
            "H0004>H2014 H2014>H0031 H0031>H0004",
            "H0004 H0031 H2014",
            [f"{c} {STANDS.format(c, other)}" for c, other in zip(CIRCLE, CIRCLE[2:] + CIRCLE[:2], strict=True)],
        ),
    ],
)
def test_which_of_a_pair_stands(
    pairs: str, lines: str, expected: list[str], book: Codebook, whole_unit: Policy
) -> None:
    """The first column's, where it is complete and no pair refuses it in turn; in a circle, which no table holds, none."""
    table = with_pairs(book, *(a_pair(each) for each in pairs.split()))
    mine = [
        timed(examined(t, n, book), "clock", (f"{8 + n:02}:00", f"{8 + n:02}:45")) for n, t in enumerate(lines.split())
    ]
    assert sorted(said(mine, table, whole_unit)) == sorted(expected)


@pytest.mark.parametrize(("shift", "speaks"), [(0, True), (1, False)])
def test_a_pair_holds_from_its_date(shift: int, speaks: bool, book: Codebook, whole_unit: Policy) -> None:
    """On this visit and beside another claim; where it speaks, the same-day rule of the two is silent."""
    pair = Pair("H2017", "H2014", never=True, in_force_from=DAY + timedelta(days=shift))
    table = with_pairs(book, pair)
    lines = [timed(examined("H2014", 0, book), "clock", EARLY), timed(examined("H2017", 1, book), "clock", LATE)]
    rules = {each.split(":")[0] for each in said(lines, table, whole_unit)}
    assert rules == ({"H2014 EDIT-060"} if speaks else {"H2014 EDIT-071", "H2017 EDIT-071"})
    context = Context(today=DAY, client_lines=Known((claimed("H2017", clinician_id="a"),)))
    rules = {each.split(":")[0] for each in said(lines[:1], table, whole_unit, context)}
    assert rules == ({"H2014 EDIT-064"} if speaks else {"H2014 EDIT-071"})
    context = Context(today=DAY, client_lines=Known((claimed("H2017"),)))
    rules = {each.split(":")[0] for each in said(lines[:1], table, whole_unit, context)}
    assert rules == ({"H2014 EDIT-065"} if speaks else set())


@pytest.mark.parametrize(
    ("line", "elsewhere", "expected"),
    [
        (
            "G0018",
            None,
            "EDIT-041: G0018 is an add-on; its primary is not on this visit, and other claims were not looked up.",
        ),
        ("G0018", [], "EDIT-040: G0018 is an add-on and none of its primary codes is billed with it."),
        ("G0018", [claimed("G0017")], "EDIT-040: G0018 is an add-on and none of its primary codes is billed with it."),
        ("G0018", [claimed("G0017", clinician_id="a")], None),
        ("G0018", [claimed("G0017", clinician_id=None)], None),
        ("G0018", [claimed("G0017", DAY - timedelta(days=1), clinician_id="a")], "EDIT-040: "),
        ("G0022", [claimed("G0019", date(2026, 3, 31), clinician_id="a")], None),
        (
            "G0022",
            [claimed("G0019", date(2026, 2, 28), clinician_id="a")],
            "EDIT-043: G0022 is an add-on whose primary may",
        ),
        ("G0022", [claimed("G0019", date(2025, 3, 2), clinician_id="a")], "EDIT-043: "),
    ],
)
def test_an_add_on_asks_for_its_primary(
    line: str, elsewhere: list[OtherLine] | None, expected: str | None, book: Codebook, whole_unit: Policy
) -> None:
    """On another claim of the same clinician and date, or of the month where the code is monthly."""
    context = Context(today=DAY) if elsewhere is None else Context(today=DAY, client_lines=Known(tuple(elsewhere)))
    mine = [each for each in said([examined(line, 0, book)], book, whole_unit, context) if "EDIT-080" not in each]
    assert [each.startswith(f"{line} {expected}") for each in mine] == ([] if expected is None else [True])


def test_an_add_on_that_does_not_stand_takes_anybodys_primary(book: Codebook, whole_unit: Policy) -> None:
    """Who gave it is then not known."""
    context = Context(today=DAY, client_lines=Known((claimed("G0017"),)))
    assert said([replace(examined("G0018", 0, book), line=None)], book, whole_unit, context) == []


@pytest.mark.cpt
@pytest.mark.parametrize(("days", "stands"), [(0, True), (90, True), (91, False), (-1, False)])
def test_testing_is_one_episode_of_ninety_days(days: int, stands: bool, book: Codebook, whole_unit: Policy) -> None:
    """The base of a testing add-on stands on the same date or up to ninety days before."""
    for name in ("96137", "96131"):
        base = "96130" if name == "96131" else "96136"
        context = Context(today=DAY, client_lines=Known((claimed(base, DAY - timedelta(days=days), clinician_id="a"),)))
        assert (said([examined(name, 0, book)], book, whole_unit, context) == []) is stands


@pytest.mark.parametrize("beside", ["G0017*", "G0017"])
def test_an_add_on_falls_with_its_primary(beside: str, book: Codebook, whole_unit: Policy) -> None:
    """A primary that is held holds it; one that stands is enough."""
    lines = [examined("G0018", 0, book), examined(beside, 1, book)]
    fails = ["G0018 EDIT-042: G0018 is an add-on and its primary does not stand."]
    assert said(lines, book, whole_unit) == (fails if beside.endswith("*") else [])


@pytest.mark.parametrize(
    ("other", "speaks"),
    [
        (claimed("H2014", clinician_id="a"), "EDIT-050"),
        (claimed("H2014", clinician_id=None), "EDIT-051"),
        (replace(claimed("H2014", clinician_id=None), visit_id=None), "EDIT-051"),
        (claimed("H2014"), ""),
        (claimed("H2017", clinician_id="a"), ""),
        (claimed("H2017", clinician_id=None), ""),
        (claimed("H2014", DAY - timedelta(days=1), clinician_id="a"), ""),
        (claimed("H2014", DAY - timedelta(days=1), clinician_id=None), ""),
        (claimed("H2014", visit="visit-1", clinician_id="a"), ""),
        (claimed("H2014", visit="visit-1", clinician_id=None), ""),
    ],
)
def test_a_service_that_is_claimed_already(other: OtherLine, speaks: str, book: Codebook, whole_unit: Policy) -> None:
    """The same clinician's of the same date, on another visit; whoever's it is if the claim does not say, a person looks."""
    context = Context(today=DAY, client_lines=Known((other,)))
    rules = {each.split(":")[0] for each in said([examined("H2014", 0, book)], book, whole_unit, context)}
    assert {rule for rule in rules if "EDIT-05" in rule} == ({f"H2014 {speaks}"} if speaks else set())
    nothing = replace(examined("H2014", 0, book), line=None)
    assert said([nothing], book, whole_unit, context) == []


def test_what_was_rejected_on_its_own_takes_no_part(book: Codebook) -> None:
    """It asks for nothing, and nothing is asked of it."""
    refused = replace(examined("H2014", 0, book), findings=(found(UNSIGNED, effect=Effect.BLOCK),))
    assert said([refused, examined("H2014", 1, book)], book, policies.load("unknown")) == []
