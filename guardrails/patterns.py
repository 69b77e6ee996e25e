"""The patterns that read notes: PCRE2's compiled to machine code, over a note's text folded to ASCII of the same length.

A clause of a note costs microseconds so, a hostile megabyte less than a second; folded, one pattern covers every dash,
quotation mark and blank that an editor may have put in. What was found are offsets, and the same in the note itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pcre2

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_FOLDED = {
    **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
    **dict.fromkeys("‘’‚‛ʼ′＇", "'"),
    **dict.fromkeys("“”„‟«»″＂", '"'),
    **dict.fromkeys("•‣◦▪●·", "*"),
    **dict.fromkeys("\u0085\u2028\u2029", "\n"),
    "×": "x",
    "…": ".",
}


def plain(text: str) -> str:
    """The text in ASCII, a character for a character: letters without their accents, digits as digits, others "~"."""
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda match: _folded(match.group()), text)


def _folded(character: str) -> str:
    known = _FOLDED.get(character)
    if known is None:
        known = _FOLDED[character] = _fold(character)
    return known


def _fold(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind == "Zs":
        return " "
    base = unicodedata.normalize("NFKD", character)[0]
    if base.isascii() and base.isalpha():
        return base
    return ("X" if kind == "Lu" else "x") if character.isalnum() else "~"


def _plain_bytes(text: str) -> bytes:
    return plain(text).encode("ascii")


class Match:
    """A place where a pattern stands: as `re.Match`, for what the rules ask of it."""

    __slots__ = ("_found", "_text")

    def __init__(self, found: pcre2.Match, text: str) -> None:
        self._found, self._text = found, text

    def span(self, group: str | int = 0) -> tuple[int, int]:
        """Start and end of a group; (-1, -1) where it took no part."""
        span: tuple[int, int] = self._found.span(group)
        return span

    def start(self, group: str | int = 0) -> int:
        """Where a group begins."""
        return self.span(group)[0]

    def end(self, group: str | int = 0) -> int:
        """Where a group ends."""
        return self.span(group)[1]

    def __getitem__(self, group: str | int) -> str | Any:
        start, end = self.span(group)
        return self._text[start:end] if start >= 0 else None


class Pattern:
    """A compiled pattern in the syntax of `re`, in ASCII; it looks at text as `plain` folds it.

    Raises `PatternError` where it is no pattern.
    """

    __slots__ = ("_compiled", "flags", "pattern")

    def __init__(self, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self.pattern, self.flags = pattern, flags
        # PCRE2 10.47's shortcut to a match's first characters misses some: (?:ab|cd)[^:]{0,9}: in "cd e:" (test_patterns)
        options = (
            pcre2.NOOPT
            | (pcre2.IGNORECASE if flags & re.IGNORECASE else 0)
            | (pcre2.MULTILINE if flags & re.MULTILINE else 0)
        )
        self._compiled = pcre2.compile(pattern.encode("ascii"), options)

    def search(self, text: str, start: int = 0, end: int | None = None) -> Match | None:
        """The first place at or after `start`."""
        found = self._compiled.search(_plain_bytes(text), start, len(text) if end is None else end)
        return Match(found, text) if found else None

    def match(self, text: str, start: int = 0) -> Match | None:
        """The place that begins at `start`."""
        found = self._compiled.match(_plain_bytes(text), start)
        return Match(found, text) if found else None

    def finditer(self, text: str) -> Iterator[Match]:
        """Every place, left to right, none over another."""
        return (Match(found, text) for found in self._compiled.finditer(_plain_bytes(text)))


PatternError = pcre2.PatternError
