"""Seconds from text to verdicts for notes made to be slow: one shape repeated to a million characters, and to the longest
that is read. Slower than a second is a defect; the worst is printed last.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from guardrails import Proposal, Quoted, check, codebook, documentation, policies
from guardrails.codebook import Codebook
from guardrails.visit import Context, Note, NoteSet, Visit
from guardrails.visit_status import LONGEST_READ
from tests.conftest import LCSW, a_note, a_visit
from tests.matching import strings
from tests.unit.test_patterns import everywhere

A_MILLION = 1_000_000
SHAPES = {
    "an instrument": "PHQ-9 ",
    "an instrument with its score": "PHQ-9: 12. ",
    "clock times": "2:00 PM - 2:45 PM\n",
    "clock times and lengths": "Session 2:00 PM to 2:45 PM, 45 minutes. ",
    "ranges that are no times": "1-1 ",
    "stop words without a time": "out: 1 ",
    "start times": "Start time: 2:00 PM\n",
    "lengths": "45 minutes ",
    "dates": "03/02/2026 ",
    "dates of service": "DOS: 1/1/26 ",
    "a service's name": "individual psychotherapy ",
    "short names of services": "MST ",
    "service lines": "Service: skills training\n",
    "services to come": "individual therapy weekly\n",
    "blanks": " ",
    "lines": "\n",
    "headings": "Goal:\n",
    "headings in a line": "Goal: Goal: Goal: ",
    "the shortest headings": "A\n",
    "headings with nothing under them": "Plan: N/A\n",
    "a client's name": "Wendell ",
    "a client": "pt was ",
    "what was denied": "no safety plan was made. ",
    "who did not come": "last no-show ",
    "contacts to come": "next video session ",
    "uncertain diagnoses": "GAD? ",
    "words in a row": "via a a a ",
    "decision making": "MDM low ",
    "quotation marks": '" 2:00 PM ',
    "beyond ASCII": "é–",
    "one letter": "a",
    "digits": "1:",
    "an hour before blanks": "9" + " " * 1200,
    "an hour and a half of the day before blanks": "9 am" + " " * 1200,
    "a label before blanks": "Start time" + " " * 1200,
    "an end before blanks": "end of session" + " " * 1200,
    "a number before blanks": "forty" + " " * 1200,
    "a client before blanks": "client" + " " * 1200,
    "a session before blanks": "session" + " " * 1200,
    "in before blanks": "in" + " " * 1200,
    "signatures": "/s/ A",
    "signatures without a name": "/es/ ",
    "signatures of clients": "client signed by Dana ",
}
ASKED = (("H2014", "90834", "96127"), ("90791", "T1017", "99214"))


def main() -> None:
    """Measure and print."""
    book = codebook.load()
    seconds(book, "a note", 1000)  # the patterns are compiled
    print(f"{'shape':<34} {'a million characters':>22} {f'{LONGEST_READ:,}, the longest read':>30}   seconds")
    worst = (0.0, "")
    for name, shape in (*SHAPES.items(), *made()):
        whole, read = seconds(book, shape, A_MILLION), seconds(book, shape, LONGEST_READ)
        worst = max(worst, (whole, name), (read, name))
        if name in SHAPES:
            print(f"{name:<34} {whole:>22.2f} {read:>30.2f}")
    print(
        f"the worst of these, and of a string made to match each pattern of the rules: {worst[0]:.2f} s ({worst[1]!r})"
    )


def made() -> Iterator[tuple[str, str]]:
    """For every pattern a string that it matches, on a line of its own or among others."""
    chance = random.Random(3)
    for pattern in everywhere().values():
        for text in strings(pattern.pattern, pattern.flags, 1, chance):
            yield text, text + chance.choice((" ", ". ", "\n"))


def seconds(book: Codebook, shape: str, length: int) -> float:
    """The slower of two sets of proposals on a new visit whose note is the shape repeated to a length."""
    policy, context, slowest = policies.load("medicaid-whole-unit"), Context(today=date(2026, 3, 9)), 0.0
    end = "\nSigned by Dana Whitfield, LCSW"
    text = (shape * (length // len(shape) + 1))[: length - len(end)] + end
    for codes in ASKED:
        visit = _visit(a_note(text, author=LCSW))
        proposals = [Proposal(code, quotes=(Quoted("Signed by"),)) for code in codes]
        started = time.perf_counter()
        check(visit, context, proposals, (), book, policy)
        slowest = max(slowest, time.perf_counter() - started)
    unsigned = text.removesuffix(end)
    started = time.perf_counter()
    documentation.has_signature(unsigned)
    documentation.signed_at(unsigned, None)
    return max(slowest, time.perf_counter() - started)


def _visit(note: Note) -> Visit:
    return replace(a_visit(note, client_names=("Wendell", "Ostrava"), place_of_service="10"), notes=NoteSet((note,)))


if __name__ == "__main__":
    main()
