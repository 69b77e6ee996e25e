"""All that is said of each edge case, word for word, to be read as a set: `said.txt`, written by `make docs`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from guardrails import Finding, Verdict, check
from guardrails.codebook import Codebook
from guardrails.verdict import Quote
from guardrails.visit import Context, Known, OtherLine, Visit
from tests.conftest import DAY
from tests.spec import test_lines_together
from tests.spec.test_edge_cases import TABLE, case_of, policy_of, proposal_of
from tests.spec.test_lines_together import NONE_ELSEWHERE

FILE = Path(__file__).with_name("said.txt")


def everything(book: Codebook) -> str:
    """Each case with its verdicts: lines with their arithmetic, findings with the words of the note that they point to."""
    return "\n".join(line for part in PARTS for line in part(book)) + "\n"


def on_file() -> list[str]:
    """The parts as they stand in the file: each begins at the margin."""
    return re.split(r"\n(?! )", FILE.read_text(encoding="utf-8").removesuffix("\n"))


def _beside(row: dict[str, str], book: Codebook) -> Iterator[str]:
    """What is said of lines beside each other (`lines_together.csv`)."""
    yield f"{row['lines']} ({row['payer']})"
    for code, finding in test_lines_together.across(row["lines"].split(), row["payer"], book, NONE_ELSEWHERE):
        yield f"  {code}: {_finding(finding, None)}"


def _claimed(line: str, other: OtherLine, book: Codebook) -> Iterator[str]:
    """What is said of a line beside another claim's."""
    context = Context(today=DAY, client_lines=Known((other,)))
    marks = "".join(f"-{m}" for m in other.modifiers)
    yield f"{line} beside a claim's {other.code}{marks}@{other.clinician_id} of {other.date_of_service} (medicare)"
    for code, finding in test_lines_together.across([line], "medicare", book, context):
        yield f"  {code}: {_finding(finding, None)}"


def _case(row: dict[str, str], book: Codebook) -> Iterator[str]:
    """What is said of an edge case (`edge_cases.csv`)."""
    visit, context = case_of(row)
    proposals = [proposal_of(each) for each in row["proposed"].split("+")]
    verdicts = check(visit, context, proposals, (), book, policy_of(row["payer"]))
    yield f"{row['case']} ({row['payer']})"
    for finding in verdicts.findings:
        yield f"  {_finding(finding, visit)}"
    for verdict in verdicts.verdicts:
        yield f"  {verdict.proposal.code} x {_short(verdict.proposal.units)} is {verdict.outcome.value}"
        yield from (f"    {line}" for line in _details(verdict, visit))


def _details(verdict: Verdict, visit: Visit) -> Iterator[str]:
    line = verdict.line
    if line is not None:
        marks = f"{' '.join(line.modifiers) or 'no modifier'}, {' '.join(line.diagnoses) or 'no diagnosis'}"
        yield f"line {line.id}: {line.units} ({line.arithmetic}), {marks}, by {line.rendering_id}, at {line.place_of_service}"
        if line.minutes is not None:
            minutes = line.minutes
            placed = ", ".join(f"{start:%d %H:%M}-{end:%d %H:%M}" for start, end in minutes.intervals)
            yield (
                f"  {minutes.minutes} minutes, {minutes.source}, less {minutes.subtracted}, in {minutes.contacts}, "
                f"{placed or 'not placed'}: {_places(minutes.where, visit)}"
            )
    if verdict.fix is not None:
        yield f"fits: {verdict.fix.code} x {verdict.fix.units}"
    yield from (_finding(finding, visit) for finding in verdict.findings)


def _finding(finding: Finding, visit: Visit | None) -> str:
    lacks = f", lacks {finding.lacks}" if finding.lacks else ""
    return (
        f"{finding.rule_id} {finding.effect.value}, cured by {finding.cured_by.value}{lacks}: {finding.message} "
        f"[{finding.authority}]{_places(finding.where, visit)}"
    )


def _places(where: tuple[Quote, ...], visit: Visit | None) -> str:
    texts = {note.id: note.text for note in visit.notes} if visit else {}
    return "".join(f" <{texts[q.note_id][q.start : q.end]!r}>" for q in where)


def _short(units: object) -> str:
    return str(units) if len(str(units)) < 20 else "(a number of many digits)"


PARTS: list[Callable[[Codebook], Iterator[str]]] = [
    *(partial(_case, row) for row in TABLE if not row["shown_by"]),
    *(partial(_beside, row) for row in test_lines_together.TABLE),
    *(partial(_claimed, line, other) for line, other, _ in test_lines_together.ELSEWHERE),
]
"""The file's parts, each made on its own."""
