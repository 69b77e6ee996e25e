"""The edge cases of domain 8, each with our one outcome: a visit, what is proposed, what becomes of it and by which rules.

A row of `edge_cases.csv`:

- `note`: a complete note of `notes/` or `tests/conftest.py` with its times; several notes by `&`.
- `but`: changes of its text, `old -> new`, several by `;`. A `|` is a line break.
- `visit`: changes of the visit, of the note (`note.status`) and of what surrounds them (`lines`, `plans`, `busy`, ...).
- `proposed`: code, units, modifiers, with `quote=`, `dx=`, `system=` where they matter (`_` is a blank). The first is judged.
- `payer`: a packaged policy, or one of `policies/`.
- `rules`: exactly the rules that speak.
- `shown_by`: the test that shows a case which lies outside the rules.
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from guardrails import Proposal, check, policies
from guardrails.codebook import CPT_SYSTEM, Codebook
from guardrails.policies import Policy
from guardrails.verdict import Quoted
from guardrails.visit import (
    BusyTime,
    Clinician,
    Context,
    Coverage,
    DatedRecord,
    Diagnosis,
    EarlierNote,
    Known,
    Note,
    NoteRole,
    NoteStatus,
    OtherLine,
    OtherVisit,
    Visit,
    VisitStatus,
)
from tests.conftest import BACHELOR, LCSW, PLAN, PSYCHIATRIST, SKILLS, THERAPY, ZONE, a_note, a_visit
from tests.spec.test_tables import rows

HERE = Path(__file__).parent
NURSE = Clinician(id="prac-nurse", level="RN")
NURSE_PRACTITIONER = Clinician(id="prac-np", level="QHP")
PSYCHOLOGIST = Clinician(id="prac-psychologist", level="LP", education_modifier="HP")
PEOPLE: dict[str, Clinician] = {
    "physician": PSYCHIATRIST,
    "bachelor": BACHELOR,
    "lcsw": LCSW,
    "nurse": NURSE,
    "np": NURSE_PRACTITIONER,
    "psychologist": PSYCHOLOGIST,
    "unknown": Clinician(id="prac-unknown"),
}
WROTE = {"skills": BACHELOR, "therapy": LCSW, "plan": LCSW} | {
    "psychiatry": PSYCHIATRIST,
    "months": PSYCHIATRIST,
    "testing": PSYCHOLOGIST,
    "nursing": NURSE,
    "linkage": BACHELOR,
    "drove": BACHELOR,
    "day": BACHELOR,
    "movies": BACHELOR,
    "rehab": BACHELOR,
    "behavioral": BACHELOR,
}
TEXTS = {"skills": SKILLS, "therapy": THERAPY, "plan": PLAN}
TABLE = rows("edge_cases")
NONE_FOUND: Known[Any] = Known(())


def _text(kind: str, times: list[str]) -> str:
    text = TEXTS.get(kind) or (HERE / "notes" / f"{kind}.txt").read_text(encoding="utf-8")
    start, stop = (t.replace("_", " ") for t in (times or ["2:00_PM", "2:45_PM"]))
    return text.replace("{start}", start).replace("{stop}", stop)


def _changed(text: str, but: str, case: str) -> str:
    for change in filter(None, but.split(";")):
        old, _, new = (part.strip().replace("|", "\n") for part in change.partition("->"))
        assert old in text, f"{case}: the note does not hold what is to be changed"
        text = text.replace(old, new)
    return text


def _settings(row: dict[str, str]) -> dict[str, str]:
    pairs = (change.strip().partition("=") for change in row["visit"].split(";") if change.strip())
    return {name: value for name, _, value in pairs}


def _at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), ZONE)


def case_of(row: dict[str, str]) -> tuple[Visit, Context]:
    """The row's visit and what surrounds it."""
    said = _settings(row)
    day = date.fromisoformat(said.pop("date_of_service", "2026-03-02"))
    kinds = [part.split() for part in row["note"].split("&")]
    author = PEOPLE[said.pop("by")] if "by" in said else None
    notes = []
    for number, (kind, *times) in enumerate(kinds, 1):
        text = _changed(_text(kind, times), row["but"] if number == 1 else "", row["case"])
        notes.append(a_note(text, author=author or WROTE.get(kind, LCSW), note_id=f"note-{number}"))
    notes[0] = _note(notes[0], said)
    if "addendum" in said:
        text = said.pop("addendum").replace("|", "\n")
        base = notes[0]
        notes.append(replace(base, id="note-9", text=text, role=NoteRole.ADDENDUM, continues=base.id))
    shift = timedelta(days=(day - date(2026, 3, 2)).days)
    visit = a_visit(*notes, date_of_service=day)
    assert visit.starts
    assert visit.ends
    visit = replace(visit, starts=visit.starts + shift, ends=visit.ends + shift)
    context = _context(said, day, visit, rendering=notes[0].author)
    return replace(visit, **{name: _value(name, value, day) for name, value in said.items()}), context


def _note(note: Note, said: dict[str, str]) -> Note:
    changes: dict[str, Any] = {}
    for name in [n for n in said if n.startswith("note.")]:
        value = said.pop(name)
        field = name.removeprefix("note.")
        if field == "signed_at":
            changes[field] = datetime.fromisoformat(value).replace(tzinfo=ZONE)
        else:
            changes[field] = NoteStatus(value) if field == "status" else frozenset(value.split())
    return replace(note, **changes)


def _value(name: str, value: str, day: date) -> Any:
    match name:
        case "diagnoses":
            return tuple(Diagnosis(code=c, condition_id=f"c{n}", rank=n) for n, c in enumerate(value.split(), 1))
        case "client_birth_date" | "client_deceased":
            return date.fromisoformat(value)
        case "starts" | "ends":
            ahead, _, clock = value.rpartition("+")
            return _at(day + timedelta(days=int(ahead or 0)), clock) if value != "none" else None
        case "status":
            return VisitStatus(value)
        case "labels":
            return frozenset(value.split())
        case "further_coverages":
            return (Coverage(id="coverage-2", payer=value),)
        case "client_names":
            return tuple(value.split(","))
        case _:
            return value


def _context(said: dict[str, str], day: date, visit: Visit, rendering: Clinician | None) -> Context:
    me = rendering.id if rendering else ""
    lines = [_line(each, day, me) for each in said.pop("lines", "").split()]
    busy = [each.split("-") for each in said.pop("busy", "").split()]
    plans, authorizations = said.pop("plans", None), said.pop("authorizations", None)
    same_day = [each.split("-") for each in said.pop("same_day", "").split()]
    copied = said.pop("earlier", None)
    earlier = tuple(EarlierNote(id="earlier-1", text_hash=n.text_hash) for n in visit.notes) if copied else ()
    scopes: dict[str, Any] = {} if plans is None else {"plans": _dated(plans)}
    if authorizations is not None:
        scopes["authorizations"] = _dated(authorizations)
    return Context(
        today=max(day, date(2026, 3, 2)) + timedelta(days=7)
        if "today" not in said
        else date.fromisoformat(said.pop("today")),
        client_lines=Known(tuple(lines)),
        clinician_day=Known(
            tuple(BusyTime(clinician_id=me, starts=_at(day, start), ends=_at(day, end)) for start, end in busy)
        ),
        same_day_visits=Known(
            tuple(
                OtherVisit(id="visit-2", starts=_at(day, s), ends=_at(day, e), clinician_ids=("other",))
                for s, e in same_day
            )
        ),
        earlier_notes=Known(earlier),
        disclosure_basis=said.pop("basis", None),
        **scopes,
    )


def _dated(text: str) -> Known[DatedRecord]:
    if text == "none":
        return NONE_FOUND
    dates, _, codes = text.partition(":")
    start, _, end = dates.partition("..")
    return Known(
        (
            DatedRecord(
                id="CarePlan/1",
                in_force_from=date.fromisoformat(start),
                in_force_through=date.fromisoformat(end),
                codes=frozenset(codes.split(",")) if codes else frozenset(),
            ),
        )
    )


def _line(text: str, day: date, me: str) -> OtherLine:
    """`90791-XE@b/2026-02-01/2`: a line of another claim; of the same clinician, date and one unit where it does not say."""
    what, _, when = text.partition("/")
    when, _, units = when.partition("/")
    what, _, who = what.partition("@")
    code, *modifiers = what.split("-")
    return OtherLine(
        code=code,
        date_of_service=date.fromisoformat(when) if when else day,
        units=int(units or 1),
        modifiers=tuple(modifiers),
        clinician_id=who or me,
        visit_id="visit-9",
    )


def proposal_of(text: str) -> Proposal:
    """`H2014 3 HN quote=Signed_by dx=F20.9 system=cpt`."""
    code, units, *rest = text.split()
    marks = tuple(word for word in rest if "=" not in word)
    said = dict(word.split("=", 1) for word in rest if "=" in word)
    return Proposal(
        code=code.replace("_", " "),
        units=int(units) if re.fullmatch(r"-?\d+", units) else float(units) if "." in units else units,
        modifiers=marks,
        quotes=tuple(Quoted(q.replace("_", " ")) for q in said.get("quote", "Signed_by").split("|")),
        diagnoses=tuple(filter(None, said.get("dx", "").split(","))),
        system=CPT_SYSTEM if said.get("system") == "cpt" else None,
    )


def policy_of(name: str) -> Policy:
    """A packaged policy, or one that only these tables use."""
    own = HERE / "policies" / f"{name}.toml"
    return policies.read(own) if own.is_file() else policies.load(name)


@pytest.mark.cpt
@pytest.mark.parametrize("row", [r for r in TABLE if not r["shown_by"]], ids=lambda r: r["case"])
def test_each_edge_case_has_its_one_outcome(row: dict[str, str], book: Codebook) -> None:
    """The outcome, the lower value that fits, and exactly the rules that speak."""
    visit, context = case_of(row)
    proposals = [proposal_of(each) for each in row["proposed"].split("+")]
    verdicts = check(visit, context, proposals, (), book, policy_of(row["payer"]))
    verdict = verdicts.verdicts[0]
    said = " ".join(sorted({f.rule_id for f in (*verdict.findings, *verdicts.findings)}))
    assert (verdict.outcome.value, said) == (row["outcome"], row["rules"])
    assert (f"{verdict.fix.code} x {verdict.fix.units}" if verdict.fix else "") == row["fix"]


def test_every_case_of_the_authority_has_a_row() -> None:
    """135 cases and the 12 review cases of domain 8, none left out."""
    listed = {re.match(r"X-[TDEIR]\d\d|.*", row["case"])[0] for row in TABLE}  # type: ignore[index]
    wanted = {
        f"X-{letter}{n:02}"
        for letter, count in zip("TDEIR", (40, 30, 50, 15, 12), strict=True)
        for n in range(1, count + 1)
    }
    assert not wanted - listed


@pytest.mark.parametrize("row", [r for r in TABLE if r["shown_by"]], ids=lambda r: r["case"])
def test_what_lies_outside_the_rules_names_a_test_that_exists(row: dict[str, str]) -> None:
    """A case about the model, the reader or the store is shown elsewhere, by a test of that name."""
    file, _, name = row["shown_by"].partition("::")
    tree = ast.parse((HERE.parent / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
