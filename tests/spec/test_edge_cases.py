"""The edge cases of domain 8, each with our one outcome: a visit, what is proposed, what becomes of it and by which rules.

`note` names a complete note of `tests/conftest.py` with its times; `but` changes the note's text (`old -> new`, several by
`;`), `visit` the visit. The first proposal of a row is judged.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from guardrails import check, policies
from guardrails.codebook import Codebook
from guardrails.visit import Clinician, Context, Diagnosis, Known, Visit
from tests.conftest import BACHELOR, LCSW, PLAN, PSYCHIATRIST, SKILLS, THERAPY, a_note, a_visit, asked
from tests.spec.test_tables import rows

NOTES = {"skills": (SKILLS, BACHELOR), "therapy": (THERAPY, LCSW), "plan": (PLAN, LCSW)}
PEOPLE: dict[str, Clinician] = {"physician": PSYCHIATRIST, "bachelor": BACHELOR, "lcsw": LCSW}
TABLE = rows("edge_cases")


def visit_of(row: dict[str, str]) -> Visit:
    """The row's visit."""
    kind, *times = row["note"].split()
    text, author = NOTES[kind]
    start, stop = (t.replace("_", " ") for t in (times or ["2:00_PM", "2:45_PM"]))
    text = text.format(start=start, stop=stop)
    for change in filter(None, row["but"].split(";")):
        old, _, new = change.partition("->")
        assert old.strip() in text, f"{row['case']}: the note does not hold what is to be changed"
        text = text.replace(old.strip(), new.strip())
    changes: dict[str, Any] = {}
    for change in filter(None, row["visit"].split(";")):
        name, _, value = change.strip().partition("=")
        if name == "diagnoses":
            codes = value.split()
            changes[name] = tuple(Diagnosis(code=c, condition_id=f"c{n}", rank=n) for n, c in enumerate(codes, 1))
        elif name == "by":
            author = PEOPLE[value]
        elif name.endswith(("date", "_of_service")) and name != "place_of_service":
            changes[name] = date.fromisoformat(value)
        else:
            changes[name] = value
    return replace(a_visit(a_note(text, author=author)), **changes)


@pytest.mark.cpt
@pytest.mark.parametrize("row", TABLE, ids=lambda r: r["case"])
def test_each_edge_case_has_its_one_outcome(row: dict[str, str], book: Codebook) -> None:
    """The outcome, the units of the line that would stand, and exactly the rules that speak."""
    visit = visit_of(row)
    proposals = []
    for each in row["proposed"].split("+"):
        code, units, *modifiers = each.split()
        proposals.append(asked(code, int(units), modifiers=tuple(modifiers)))
    context = Context(today=date(2026, 3, 9), client_lines=Known(()))
    verdicts = check(visit, context, proposals, (), book, policies.load(row["payer"]))
    verdict = verdicts.verdicts[0]
    said = " ".join(sorted({f.rule_id for f in (*verdict.findings, *verdicts.findings)}))
    assert (verdict.outcome.value, said) == (row["outcome"], row["rules"])
    assert (verdict.fix.units if verdict.fix else "") == (int(row["fix"]) if row["fix"] else "")
