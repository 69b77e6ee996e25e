"""What lines do to each other, as a biller reads it: `*` marks a line that its note does not yet support, `@b` another
clinician. The lines lie at different times, so that only the codes are judged."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import permutations

import pytest

from guardrails import policies
from guardrails.claim_edits import across_lines
from guardrails.codebook import Codebook
from guardrails.examined import Examined
from guardrails.verdict import Finding, Minutes, ServiceLine, found
from guardrails.visit import Context, Known, OtherLine
from guardrails.visit_status import UNSIGNED
from tests.conftest import DAY, ZONE, skills
from tests.spec.test_tables import rows

TABLE = rows("lines_together")
PAYERS = {"medicare": "medicare", "medicaid": "medicaid-whole-unit", "unknown": "unknown"}
INCOMPLETE = found(UNSIGNED)


def a_line(code: str, on: date, modifiers: tuple[str, ...] = (), *, who: str | None) -> OtherLine:
    return OtherLine(code=code, date_of_service=on, units=1, modifiers=modifiers, clinician_id=who)


def examined(text: str, position: int, book: Codebook) -> Examined:
    """`90834-59*@b`: a code, its modifiers, whether it is held on its own account, its clinician."""
    text, _, clinician = text.partition("@")
    name, *modifiers = text.rstrip("*").split("-")
    code = book.find(name, DAY)
    assert code is not None, name
    start = datetime(2026, 3, 2, 6, tzinfo=ZONE) + timedelta(hours=position)
    line = ServiceLine(
        id="",
        code=name,
        system=code.system,
        units=1,
        modifiers=tuple(modifiers),
        diagnoses=("F20.9",),
        date_of_service=DAY,
        place_of_service="53",
        rendering_id=clinician or "a",
        minutes=Minutes(minutes=45, source="clock", intervals=((start, start + timedelta(minutes=45)),)),
        arithmetic="",
        quotes=(),
    )
    return Examined(position, code, line, (INCOMPLETE,) if text.endswith("*") else ())


def across(texts: list[str], payer: str, book: Codebook, context: Context) -> list[tuple[str, Finding]]:
    """Every finding with the code that it falls on."""
    lines = [examined(t, n, book) for n, t in enumerate(texts)]
    found_on = across_lines(lines, skills(), context, book, policies.load(PAYERS[payer]))
    return [(lines[p].code.code, f) for p, findings in found_on.items() for f in findings]


def said(texts: list[str], payer: str, book: Codebook, context: Context) -> list[str]:
    """`code rule` of every finding, in a fixed order."""
    return sorted(f"{code} {f.rule_id}" for code, f in across(texts, payer, book, context))


NONE_ELSEWHERE = Context(today=DAY, client_lines=Known(()))


@pytest.mark.cpt
@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r['lines']}-{r['payer']}")
def test_which_lines_stand_beside_each_other(row: dict[str, str], book: Codebook) -> None:
    """The table's findings and no others, in whatever order the lines are proposed."""
    expected = sorted(each.strip() for each in row["says"].split(";") if each.strip())
    for order in permutations(row["lines"].split()):
        assert said(list(order), row["payer"], book, NONE_ELSEWHERE) == expected


ELSEWHERE = [
    ("90837", a_line("90791", DAY, who="a"), ["90837 EDIT-064"]),
    ("90791", a_line("90837", DAY, who="a"), ["90791 EDIT-064"]),
    ("90837", a_line("90791", DAY, who="b"), ["90837 EDIT-065"]),
    ("90837", a_line("90791", DAY, who=None), ["90837 EDIT-064"]),
    ("90837", a_line("90791", DAY - timedelta(days=1), who="a"), []),
    ("90834", a_line("90847", DAY, who="a"), ["90834 EDIT-064"]),
    ("90834", a_line("90847", DAY, ("XE",), who="a"), []),
    ("99484", a_line("99492", DAY - timedelta(days=1), who="a"), ["99484 EDIT-070"]),
    ("99484", a_line("99492", DAY - timedelta(days=9), who="a"), []),
    ("H0031", a_line("90791", DAY, who="a"), ["H0031 EDIT-070"]),
    ("G0444", a_line("G0444", DAY - timedelta(days=364), who="b"), ["G0444 EDIT-080"]),
    ("G0444", a_line("G0444", DAY - timedelta(days=365), who="b"), []),
]


@pytest.mark.cpt
@pytest.mark.parametrize(("line", "elsewhere", "expected"), ELSEWHERE)
def test_lines_of_other_claims_count_too(line: str, elsewhere: OtherLine, expected: list[str], book: Codebook) -> None:
    """The same clinician's lines of the same date, or the same month where the rule is monthly."""
    context = Context(today=DAY, client_lines=Known((elsewhere,)))
    assert said([line], "medicare", book, context) == expected
