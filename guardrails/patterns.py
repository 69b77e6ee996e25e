"""The patterns that read notes: PCRE2's compiled to machine code, over a note's text folded to ASCII of the same length.

About ten times as fast as `re` on a clause (`make bench`), whose syntax they have. Folded, one pattern covers every dash,
quotation mark and blank that an editor may have put in; the offsets are those of the note itself. A text that exhausts the
machine code's stack is looked at by `re`, so that no note is an exception.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property, lru_cache
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


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    known = _FOLDED.get(character)
    if known is not None:
        return known
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind == "Zs":
        return " "
    base = unicodedata.normalize("NFKD", character)[0]
    if base.isascii() and base.isalpha():
        return base
    return ("X" if kind == "Lu" else "x") if character.isalnum() else "~"


class Match:
    """A place where a pattern stands: as `re.Match`, for what the rules ask of it."""

    __slots__ = ("_found", "_text")

    def __init__(self, found: pcre2.Match | re.Match[str], text: str) -> None:
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

    def __init__(self, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self.pattern, self.flags = pattern, flags
        # PCRE2 10.47's shortcut to a match's first characters misses some: (?:skill|focus)[^:]{0,6}: in "focus of:"
        options = (
            pcre2.NOOPT
            | (pcre2.IGNORECASE if flags & re.IGNORECASE else 0)
            | (pcre2.MULTILINE if flags & re.MULTILINE else 0)
        )
        self._compiled = pcre2.compile(pattern.encode("ascii"), options)

    @cached_property
    def _patient(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self.flags | re.ASCII)

    def search(self, text: str, start: int = 0, end: int | None = None) -> Match | None:
        """The first place at or after `start`."""
        text, end = plain(text), len(text) if end is None else end
        try:
            found = self._compiled.search(text.encode("ascii"), start, end)
        except pcre2.LibraryError:
            found = self._patient.search(text, start, end)
        return Match(found, text) if found else None

    def match(self, text: str) -> Match | None:
        """The place that begins where the text does."""
        text = plain(text)
        try:
            found = self._compiled.match(text.encode("ascii"))
        except pcre2.LibraryError:
            found = self._patient.match(text)
        return Match(found, text) if found else None

    def finditer(self, text: str) -> Iterator[Match]:
        """Every place, left to right, none over another."""
        text, end = plain(text), 0
        try:
            for found in self._compiled.finditer(text.encode("ascii")):
                yield Match(found, text)
                end = found.end()
        except pcre2.LibraryError:
            yield from (Match(found, text) for found in self._patient.finditer(text, end))


PatternError = pcre2.PatternError
