"""The patterns that read notes: PCRE2's compiled to machine code, over a note's text folded to ASCII of the same length.

About ten times as fast as `re` on a clause (`make bench`), whose syntax they have. Folded, one pattern covers every dash,
quotation mark and blank that an editor may have put in; the offsets are those of the note itself. A text that exhausts the
machine code's stack is looked at by `re`, so that no note is an exception.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache, reduce
from itertools import chain, count
from operator import or_
from typing import Any, NamedTuple

import pcre2
from pcre2 import _cy as engine  # its Python layer's own checks take five times as long as looking through a clause

from guardrails.prefilter import Index, Shape, shape

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

    __slots__ = ("_found", "_of", "_span", "_text")

    def __init__(self, found: Any, of: _Compiled, text: Folded) -> None:
        self._found, self._of, self._text = found, of, text
        self._span: tuple[int, int] = _span(found, text.data, 0)

    def span(self, group: str | int = 0) -> tuple[int, int]:
        """Start and end of a group; (-1, -1) where it took no part."""
        if group == 0:
            return self._span
        number = self._of.groups[group] if isinstance(group, str) else group
        span: tuple[int, int] = _span(self._found, self._text.data, number)
        return span

    def start(self) -> int:
        """Where it begins."""
        return self._span[0]

    def end(self) -> int:
        """Where it ends."""
        return self._span[1]

    def __getitem__(self, group: str | int) -> str | Any:
        start, end = self.span(group) if group else self._span
        return self._text.text[start:end] if start >= 0 else None


class _PatientMatch(Match):
    """The same of a match by `re`."""

    __slots__ = ()

    def __init__(self, found: re.Match[str], text: Folded) -> None:
        self._found, self._text = found, text
        self._span = found.span()

    def span(self, group: str | int = 0) -> tuple[int, int]:
        """Start and end of a group; (-1, -1) where it took no part."""
        span: tuple[int, int] = self._found.span(group)
        return span


_FAR = 1024  # characters without a digit between two parts of a text
_BEFORE_DIGIT, _AFTER_DIGIT, _PADDING = 600, 64, b" " * 16
_DIGITS = bytes.maketrans(b"123456789\t\n\v\f\r,;|/", b"000000000         ")


class Folded:
    """A text as patterns look at it, folded once for all of them: `data` has a byte a character of `text`.

    `ruled_out` are the bits of the patterns that cannot stand in it.
    """

    __slots__ = ("_near_digits", "data", "ruled_out", "text")

    def __init__(self, text: str, ruled_out: int = 0) -> None:
        self.text = text if text.isascii() else plain(text)
        self.data, self.ruled_out = self.text.encode("ascii"), ruled_out
        self._near_digits: list[tuple[int, int]] | None = None

    @property
    def near_digits(self) -> list[tuple[int, int]]:
        """The parts of the text near a digit: a note tells most of its story without one.

        A pattern may be looked for in these alone if each of its matches has a digit, begins at most 300 characters before
        its last, and has at most 40 behind it; not counting runs of blanks and of , ; | /, of which it may hold twenty.
        """
        if self._near_digits is None:
            self._near_digits = _near_digits(self.data) if len(self.data) > _FAR else [(0, len(self.data))]
        return self._near_digits


def _near_digits(data: bytes) -> list[tuple[int, int]]:
    digits, end = data.translate(_DIGITS), len(data)
    parts, begun, at = [], 0, 0
    while end - at > _FAR:
        last = digits.rfind(b"0", at, at + _FAR)
        if last >= 0:
            at = last + 1
            continue
        following = digits.find(b"0", at + _FAR)
        if following < 0:
            following = end + _BEFORE_DIGIT
        if digits.find(_PADDING, at, following) < 0:  # else a time may reach over it
            parts.append((begun, at + _AFTER_DIGIT))
            begun = following - _BEFORE_DIGIT
        at = following + 1
    return parts if begun >= end else [*parts, (begun, end)]


class Sieve:
    """Patterns that are looked for in one text after another: one pass over a text rules most of them out."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self.patterns = tuple(patterns)

    @cached_property
    def _index(self) -> Index:
        return Index((pattern.bit, pattern.shape.needs) for pattern in self.patterns)

    def fold(self, text: str) -> Folded:
        """The text, and which of the patterns can stand nowhere in it."""
        folded = Folded(text)
        folded.ruled_out = self._index.ruled_out(folded.data)
        return folded

    def refold(self, folded: Folded, text: str, changed: Iterable[tuple[int, int]]) -> Folded:
        """A folded text with some spans changed, all of whole words: what could not stand in it can only stand over those."""
        anew, reach = Folded(text), self._index.longest
        over = [anew.data[max(0, start - reach) : end + reach] for start, end in changed]
        anew.ruled_out = folded.ruled_out & self._index.ruled_out(b"\n".join(over))
        return anew


class Named(dict[str, "Pattern"]):
    """Patterns by name, of which a text's sieve tells at once which can stand in it."""

    def __init__(self, patterns: Iterable[tuple[str, Pattern]]) -> None:
        super().__init__(patterns)
        self._names = {pattern.bit: name for name, pattern in self.items()}
        self._bits = reduce(or_, self._names, 0)

    def possible(self, folded: Folded) -> Iterator[str]:
        """The names of those that can stand in a text, in their order."""
        left = self._bits & ~folded.ruled_out
        while left:
            bit = left & -left
            left ^= bit
            yield self._names[bit]


_numbers = count()
_match, _span, _CONTEXT = engine.match, engine.match_substring_span_bynumber, engine.create_match_context()
_ANCHORED = int(engine.MatchOption.ANCHORED)


class _Compiled(NamedTuple):
    """A pattern's machine code, and the numbers of its named groups."""

    code: Any
    groups: dict[str, int]


class Pattern:
    """A compiled pattern in the syntax of `re`, in ASCII; it looks at text as `plain` folds it.

    Raises `PatternError` where it is no pattern.
    """

    def __init__(self, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self.pattern, self.flags = pattern, flags
        self.bit = 1 << next(_numbers)
        # PCRE2 10.47's shortcut to a match's first characters misses some: (?:skill|focus)[^:]{0,6}: in "focus of:"
        self._options = int(
            pcre2.NOOPT
            | (pcre2.IGNORECASE if flags & re.IGNORECASE else 0)
            | (pcre2.MULTILINE if flags & re.MULTILINE else 0)
        )
        engine.compile(pattern.encode("ascii"), self._options)

    @cached_property
    def shape(self) -> Shape:
        """What its syntax says of where it can stand."""
        return shape(self.pattern, self.flags)

    @cached_property
    def _compiled(self) -> _Compiled:
        """In machine code, made when first needed.

        A place that it cannot begin at is left after one look at its character, for the next at which it can.
        """
        pattern, begins = f"(?:{self.pattern})", self.shape.begins
        if begins:
            first = "".join(f"\\x{ord(c):02x}" for c in sorted(begins))
            leap = {"line": r"[^\n]++", "word": r"\w*+\W*+"}.get(self.shape.heads or "", f"[^{first}]++")
            pattern = f"(?=[{first}]){pattern}|{leap}(*SKIP)(*F)"
        code = engine.compile(pattern.encode("ascii"), self._options)
        engine.jit_compile(code)
        return _Compiled(code, engine.pattern_name_dict(code))

    @cached_property
    def _patient(self) -> re.Pattern[str]:
        return re.compile(self.pattern, self.flags | re.ASCII)

    def search(self, text: str | Folded, start: int = 0, end: int | None = None) -> Match | None:
        """The first place at or after `start`."""
        folded = text if isinstance(text, Folded) else Folded(text)
        if folded.ruled_out & self.bit:
            return None
        return self._search(folded, start, len(folded.data) if end is None else end)

    def _search(self, folded: Folded, start: int, end: int, options: int = 0) -> Match | None:
        """`start` and `end` lie in the text."""
        compiled = self._compiled
        try:
            found, _, _ = _match(compiled.code, folded.data, end, start, _CONTEXT, options)
        except pcre2.LibraryError:
            look = self._patient.match if options else self._patient.search
            patient = look(folded.text, start, end)
            return _PatientMatch(patient, folded) if patient else None
        return Match(found, compiled, folded) if found is not None else None

    def match(self, text: str | Folded) -> Match | None:
        """The place that begins where the text does."""
        folded = text if isinstance(text, Folded) else Folded(text)
        if folded.ruled_out & self.bit:
            return None
        return self._search(folded, 0, len(folded.data), _ANCHORED)

    def near_digits(self, folded: Folded) -> Iterator[Match]:
        """Every place, of a pattern that can only stand in `Folded.near_digits`."""
        if folded.ruled_out & self.bit:
            return iter(())
        parts = folded.near_digits
        if len(parts) == 1:
            return self._places(folded, *parts[0])
        return chain.from_iterable([self._places(folded, *part) for part in parts])

    def finditer(self, text: str | Folded, start: int = 0, end: int | None = None) -> Iterator[Match]:
        """Every place, left to right, none over another."""
        folded = text if isinstance(text, Folded) else Folded(text)
        if folded.ruled_out & self.bit:
            return iter(())
        return self._places(folded, start, len(folded.data) if end is None else end)

    def texts(self, folded: Folded) -> list[str]:
        """What stands at every place."""
        text, found, at, end = folded.text, [], 0, len(folded.data)
        if self.shape.begins is None or folded.ruled_out & self.bit:
            return [match[0] for match in self.finditer(folded)]
        while (match := self._search(folded, at, end)) is not None:
            start, at = match.span()
            found.append(text[start:at])
        return found

    def _places(self, folded: Folded, start: int, end: int) -> Iterator[Match]:
        if self.shape.begins is None:  # it may be empty, and what comes after an empty place is not for us to decide
            yield from (_PatientMatch(found, folded) for found in self._patient.finditer(folded.text, start, end))
            return
        while (match := self._search(folded, start, end)) is not None:
            yield match
            start = match.end()


PatternError = pcre2.PatternError
