"""What the look through a note for literals leaves out is nothing: every pattern finds what it finds without it."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import Any

import pytest

from guardrails import codebook, prefilter, time_words
from guardrails.patterns import Folded, Pattern, Sieve
from guardrails.reading import Reading
from guardrails.time_statements import Crowded, times_and_stops
from guardrails.time_words import SIEVE
from tests.conftest import a_note
from tests.matching import strings
from tests.unit.test_patterns import everywhere, notes

BOOK = codebook.load()
NAMES = ("Wendell", "Wendell Ostrava", "Client Name")
READ = [name for name, value in vars(Reading).items() if not name.startswith("_") and not callable(value)]


@cache
def whole() -> Sieve:
    """All patterns at once, as a note is looked through."""
    return Sieve(everywhere().values())


def generated() -> list[tuple[Pattern, str]]:
    """For each pattern, strings that it matches, alone and among other words."""
    chance = random.Random(11)
    made = []
    for pattern in everywhere().values():
        for text in strings(pattern.pattern, pattern.flags, 12, chance):
            made += [(pattern, text), (pattern, f"{chance.choice('a .(_9')}{text}{chance.choice('b ,)_0')}")]
    return made


def places(pattern: Pattern, text: Folded) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(text)]


def test_no_pattern_is_ruled_out_that_stands_in_a_note() -> None:
    """For every pattern and every note on file, looked through first and not: the same places."""
    for text in notes():
        sifted, plain = whole().fold(text), Folded(text)
        ruled_out = [pattern for pattern in whole().patterns if sifted.ruled_out & pattern.bit]
        assert [p.pattern for p in ruled_out if places(p, plain)] == []


def test_no_pattern_is_ruled_out_by_a_string_made_to_match_it() -> None:
    """The same for strings made from each pattern's own syntax, which go where no note on file goes."""
    made = generated()
    assert len({pattern.bit for pattern, _ in made}) > 0.95 * len(whole().patterns)
    for pattern, text in made:
        expected = [m.span() for m in re.compile(pattern.pattern, pattern.flags | re.ASCII).finditer(text)]
        assert places(pattern, whole().fold(text)) == expected, (pattern.pattern, text)


def test_a_word_over_the_edge_of_what_is_looked_at_at_once_is_seen() -> None:
    """A long text is looked through in pieces, and its words are seen wherever the pieces meet."""
    pattern = Pattern(r"\bmet with peers\b")
    for blanks in range(65_536 - 20, 65_536 + 5):
        assert places(pattern, Sieve([pattern]).fold(" " * blanks + "met with peers")) == [(blanks, blanks + 14)]


def test_most_patterns_are_ruled_out_in_a_note() -> None:
    """What the look is for: in the middle of the notes on file it leaves fewer than half of the patterns to try."""
    left = sorted(len(whole().patterns) - whole().fold(text).ruled_out.bit_count() for text in notes())
    assert left[len(left) // 2] < len(whole().patterns) / 2


def test_a_reading_is_the_same_without_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that rules ask of a note, also where its words are cut, joined or stand for the client's name."""
    texts = [*notes(), *(_shaken(text, seed) for seed, text in enumerate(notes()))]
    sifted = [_everything(text) for text in texts]
    monkeypatch.setattr(prefilter.Index, "ruled_out", lambda *_: 0)
    for text, expected in zip(texts, sifted, strict=True):
        assert _everything(text) == expected


@pytest.mark.parametrize(
    "text", [f"zmet {'y ' * 78}10:00-10:45", "About x 9:00 - 9:30held with Dana", "xmet9:00 - 9:30"]
)
def test_a_clause_that_cuts_a_word_is_looked_at_anew(text: str) -> None:
    """ "9:30held": no word "held" stands in the text, and one stands beside the time, as a person reads it."""
    assert times_and_stops(SIEVE.fold(text)) == times_and_stops(Folded(text))


def _everything(text: str) -> dict[str, Any]:
    reading = Reading(a_note(text), BOOK, NAMES)
    found = {name: getattr(reading, name) for name in READ}
    return {name: dict(value) if hasattr(value, "keys") else value for name, value in found.items()}


def _shaken(text: str, seed: int) -> str:
    """The text with blanks left out or put in, and names in it: words are joined, cut and called otherwise."""
    chance = random.Random(seed)
    for _ in range(40):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(("", " ", "Wendell ", "\n", "9:00 am")) + text[at + chance.choice((0, 1)) :]
    return text


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [
        (r"\bskills? (?:group|session)\b", {"skill group", "skill session", "skills group", "skills session"}),
        (r"\b(?:pt|ct)\s+(?:\w+ )?absent\b", {"absent"}),
        (r"\bMST\b|multi-?systemic therapy", {" mst ", "multisystemic therapy", "multi systemic therapy"}),
        (r"(?<=\bbetween )\d", {"between"}),
        (r"\d+|week", None),
        (r"(?:never)?", None),
        (r"\w+ed\b", {"ed "}),
        (r"a\bb", set()),
    ],
)
def test_what_a_pattern_needs(pattern: str, needs: set[str] | None) -> None:
    """A boundary is a blank, as is every mark; a part that may be left out asks for nothing."""
    assert prefilter.shape(pattern, re.IGNORECASE).needs == needs


@pytest.mark.parametrize(
    ("pattern", "begins"),
    [(r"\b(?:skill|Focus)", "sSfF"), (r"(?<!\d)[0-2]x", "012"), (r"x?", None), (r".", None), (r"(?:a|)b", "aAbB")],
)
def test_what_a_pattern_begins_with(pattern: str, begins: str | None) -> None:
    """Either case, whatever the flags say: a part of a pattern may have its own."""
    assert prefilter.shape(pattern).begins == (frozenset(begins) if begins else None)


@pytest.mark.parametrize(
    ("pattern", "heads"),
    [
        (r"\b(?:skill|Focus)", "word"),
        (r"(?<![\w.:/-])(?=\d)\d+ min", "word"),
        (r"(?<![\d.])\d", None),
        (r"\b(?:skill|#1)", None),
        (r"\bpt\b|client", None),
        (r"(?:\bpt|\bct)\b", "word"),
        (r"^[ \t]*client", "line"),
        (r"\b\s*x?", None),
    ],
)
def test_where_a_pattern_can_only_begin(pattern: str, heads: str | None) -> None:
    """What is not the beginning of a word or line is passed over only where no match begins in the middle of one."""
    assert prefilter.shape(pattern).heads == heads


def test_what_needs_a_digit_is_found_near_digits() -> None:
    """Strings made to match the patterns that are looked for near digits only, far apart in a long text and padded."""
    chance, story = random.Random(5), "He told of the week at home and of how he slept. " * 30
    near = [time_words.RANGE, time_words.BETWEEN, time_words.MILITARY_RANGE, time_words.IN_OUT]
    near += [time_words.IN_OUT_MILITARY, time_words.START, time_words.STOP]
    near += [time_words.LABELLED_NUMBER]
    for pattern in near:
        for text in strings(pattern.pattern, pattern.flags, 40, chance):
            padded = text.replace(" ", " " * chance.choice((1, 15, 16, 700)))
            parts = [chance.choice(("", story, "3 ", "(")) for _ in range(4)]
            for made in ((text + "; ").join(parts), (padded + " ").join(parts), story + padded):
                folded = Folded(made)
                assert [m.span() for m in pattern.near_digits(folded)] == places(pattern, folded), (
                    pattern.pattern,
                    made,
                )


def test_a_story_without_digits_is_not_looked_at() -> None:
    """Of ten thousand characters with two numbers in them, those around the numbers."""
    story = "He told of the week. " * 160
    assert Folded(f"{story}2:00 PM{story}45 min{story}").near_digits == [(0, 64), (2760, 3428), (6127, 6793)]


def test_more_that_looks_like_a_time_than_a_visit_can_have_is_for_a_person() -> None:
    """A thousand ranges that are no times are not looked at one by one; the reading says that it is crowded."""
    with pytest.raises(Crowded):
        times_and_stops(SIEVE.fold("1-1 " * 1200))
    assert Reading(a_note("Session 2:00 PM - 2:45 PM\n" + "1-1 " * 1200), BOOK).crowded
    assert not Reading(a_note("Session 2:00 PM - 2:45 PM\n" + "1-1 " * 800), BOOK).crowded
