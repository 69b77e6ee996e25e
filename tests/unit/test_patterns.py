"""The patterns that read notes: the same places as the standard library's engine finds, in the note's own offsets."""

from __future__ import annotations

import random
import re
from itertools import chain

import pytest

from guardrails import codebook, documentation, reading, time_words
from guardrails.patterns import Pattern, PatternError, plain
from sandbox import fixtures
from tests.matching import strings


def everywhere() -> dict[str, Pattern]:
    """Every pattern of the rules and tables, by its own text and flags."""
    book = codebook.load()
    modules = (vars(module).values() for module in (reading, time_words, documentation))
    values = chain(
        *modules,
        book.services.values(),
        book.instruments.values(),
        (words for _, words in book.diagnosis_words),
        (words for element in book.elements.values() for words in element.words),
        (element.titled for element in book.elements.values()),
    )
    return {f"{v.flags}{v.pattern}": v for v in values if isinstance(v, Pattern)}


def notes() -> list[str]:
    """Every note on file, folded; and each once more with its lines shuffled and its letters' case turned."""
    files = [*fixtures.ROOT.rglob("note*.txt"), *(fixtures.ROOT.parent / "tests" / "spec" / "notes").glob("*.txt")]
    texts = [plain(path.read_text(encoding="utf-8")) for path in sorted(files) if "held_back" not in path.parts]
    chance = random.Random(4)
    turned = []
    for text in texts:
        lines = text.swapcase().splitlines()
        chance.shuffle(lines)
        turned.append("\n".join(lines))
    return [*texts, *turned]


def test_every_pattern_finds_what_the_standard_engine_finds() -> None:
    """Two engines agree on every place of every pattern in all notes, so that neither's defects decide about a bill."""
    found = everywhere()
    assert len(found) > 250
    whole = "\n\n".join(notes())
    for pattern in found.values():
        expected = [m.span() for m in re.compile(pattern.pattern, pattern.flags).finditer(whole)]
        assert [m.span() for m in pattern.finditer(whole)] == expected, pattern.pattern


def test_what_is_passed_over_holds_no_beginning() -> None:
    """From every place of strings made to match a pattern, in the middle of words too: what the standard engine finds."""
    chance = random.Random(3)
    for pattern in everywhere().values():
        standard = re.compile(pattern.pattern, pattern.flags | re.ASCII)
        for made in strings(pattern.pattern, pattern.flags, 2, chance):
            text = f"a{made}b {made}"
            for start in range(len(text) + 1):
                found, expected = pattern.search(text, start), standard.search(text, start)
                assert (found and found.span()) == (expected and expected.span()), (pattern.pattern, text, start)
            at_once, expected = pattern.match(made), standard.match(made)
            assert (at_once and at_once.span()) == (expected and expected.span()), (pattern.pattern, made)


def test_alternatives_before_a_run_of_other_characters() -> None:
    """The shape that PCRE2 10.47 misses with its start optimizations on."""
    assert Pattern(r"(?:skill|focus)[^.\n:]{0,60}:").search("focus of today: using")


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("2:00–2:45 pm", "2:00-2:45 pm"),
        ("“Fine,” he said; it’s so", '"Fine," he said; it\'s so'),
        ("Zoë Ñuñez", "Zoe Nunez"),
        ("٤٥ minutes", "45 minutes"),
        ("a\u00a0b\u2028c", "a b\nc"),
        ("½ 字 \U0001f600", "x x ~"),
    ],
)
def test_folding_keeps_every_offset(text: str, folded: str) -> None:
    """A character becomes one ASCII character, so that a place in the folded text is the same place in the note."""
    assert plain(text) == folded
    assert len(folded) == len(text)


def test_text_beyond_ascii_is_folded_before_it_is_looked_at() -> None:
    """A quote with a curly mark in it is looked at like any other, and its place is given in the quote itself."""
    found = Pattern(r"client's (?P<what>goal)").search("“Zoë” restated the client’s goal")
    assert found is not None
    assert (found["what"], found.span()) == ("goal", (19, 32))


def test_a_text_that_exhausts_the_stack_is_still_read() -> None:
    """Places before and after a run of fifty thousand words are found, where the compiled code alone would give up."""
    video = Pattern(r"\b(?:via|by) (?:(?:secure|a) )*(?:zoom|video)\b")
    run = "via " + "a " * 50_000
    text = f"via zoom. {run}. by video. {run}zoom"
    assert [text[slice(*m.span())][-5:] for m in video.finditer(text)] == [" zoom", "video", " zoom"]
    assert video.search(run) is None
    assert video.match(f"{run}zoom") is not None


def test_what_is_no_pattern_is_refused() -> None:
    """A table's broken pattern is an error at loading, not a silence at reading."""
    with pytest.raises(PatternError):
        Pattern("(open")
