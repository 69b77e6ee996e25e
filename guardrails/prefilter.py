"""Which of many patterns can stand in a text at all: one pass over it, for words of which each pattern needs one.

From a pattern's own syntax follows a set of literals, one of which stands in whatever it matches: `\\bskills? (?:group|session)`
needs " skill". All literals of all patterns are looked for at once (Aho and Corasick's automaton), in lower case and with a
blank for whatever is no letter, digit or underscore, so that a blank also stands for a boundary. Nothing is guessed: a part of
a pattern that is not understood asks for nothing, and a pattern that asks for nothing is always tried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from operator import or_
from typing import Any

from ahocorasick_rs import AhoCorasick

_parser: Any = import_module("re._parser")  # the standard library's own reader of patterns; it has no public name
_op: Any = import_module("re._constants")
_LITERAL: Any = _op.LITERAL

Literals = frozenset[str]
_MOST = 64  # literals of one part of a pattern; a part with more asks for nothing
_MOST_REPEATS = 3
_LONG = 5  # letters of a word that is looked for without its boundaries, so that several patterns share it
_ASCII = frozenset(map(chr, range(128)))
_EMPTY: Literals = frozenset({""})
_EDGE = "\ue000"  # in a literal: a boundary of a word; no pattern holds the character itself
_BOUNDARY: Literals = frozenset({_EDGE})
_PLAIN = "".join([c.lower() if c.isalnum() or c == "_" else " " for c in map(chr, range(128))]).encode().ljust(256)
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Shape:
    """What a pattern's syntax says of its matches.

    `needs` are literals, as `Index` looks for them, of which every match holds one or has one beside it; None where none
    follow.
    `begins` are the ASCII characters that a match can begin with; None where it can be empty or begin with any.
    `heads` is what a match can only begin at the beginning of: a "line" or a "word"; None where neither is said.
    """

    needs: Literals | None
    begins: frozenset[str] | None
    heads: str | None


def shape(pattern: str, flags: int = 0) -> Shape:
    """The shape of a pattern in the syntax of `re`."""
    parts = _parser.parse(pattern, flags)
    needs = _rarer(*_literals(parts))
    first, can_be_empty = _first(parts)
    first = frozenset([c for f in first for c in (f.lower(), f.upper())])  # whatever case a part of it ignores
    begins = None if can_be_empty or first >= _ASCII else first
    heads = _heads(parts)
    return Shape(needs and _sought(needs), begins, heads if begins and (heads == "line" or begins <= _WORD) else None)


def _sought(literals: Literals) -> Literals:
    """As they stand in a text whose every mark is a blank; without those that hold another: where "skills" is, "skill" is."""
    kept: list[str] = []
    plain = {each.strip() if len(each.strip()) >= _LONG else each for each in map(_plain, literals) if each is not None}
    for each in sorted(plain, key=len):
        if not any(other in each for other in kept):
            kept.append(each)
    return frozenset(kept)


def _plain(literal: str) -> str | None:
    """A literal with a blank for every mark, and for a boundary where it begins or ends; None for what can stand nowhere."""
    text, edge, in_word = "", False, None
    for each in literal:
        if each == _EDGE:
            edge = True
            continue
        of_word = each.isalnum() or each == "_"
        if edge and in_word is None:
            text = " " if of_word else ""  # else a letter stands before it, and nobody knows which
        elif edge and in_word == of_word:
            return None
        text += each if of_word else " "
        edge, in_word = False, of_word
    return text + " " if edge and in_word else text


def _literals(parts: Iterable[tuple[Any, Any]]) -> tuple[Literals | None, Literals | None]:
    """All texts that a sequence can match, where they are few; and literals of which each of its matches holds one."""
    run, word, whole, held = _EMPTY, "", True, None
    for kind, what in parts:
        if kind is _LITERAL:
            word += chr(what).lower()
            continue
        if word:
            run, word = frozenset([each + word for each in run]), ""
        exact, inside = _part(kind, what)
        if inside is not None:
            held = _rarer(held, inside)
        joined = _joined(run, exact) if exact is not None else None
        if joined is None:
            held, whole = _rarer(held, run), False
            joined = exact or _EMPTY
        run = joined
    if word:
        run = frozenset([each + word for each in run])
    return (run if whole else None), _rarer(held, run)


def _part(kind: Any, what: Any) -> tuple[Literals | None, Literals | None]:
    if kind is _op.IN:
        characters = {c.lower() for c in _members(what)}
        return (frozenset(characters) if len(characters) <= 4 else None), None
    if kind is _op.AT or kind is _op.ASSERT_NOT:
        return (_BOUNDARY if what is _op.AT_BOUNDARY else _EMPTY), None
    if kind is _op.ASSERT:  # takes up no room, and yet must stand there
        return _EMPTY, _rarer(*_literals(what[1]))
    if kind is _op.SUBPATTERN:
        return _literals(what[3])
    if kind is _op.ATOMIC_GROUP:
        return _literals(what)
    if kind is _op.BRANCH:
        return _either([_literals(each) for each in what[1]])
    if kind in (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT):
        return _repeated(*what)
    return None, None


def _either(branches: Sequence[tuple[Literals | None, Literals | None]]) -> tuple[Literals | None, Literals | None]:
    exacts = [exact for exact, _ in branches if exact is not None]
    helds = [held for held in (_rarer(*each) for each in branches) if held is not None]
    exact = frozenset().union(*exacts) if len(exacts) == len(branches) else None
    held = frozenset().union(*helds) if len(helds) == len(branches) else None
    return (exact if exact is None or len(exact) <= _MOST else None), held


def _repeated(least: int, most: Any, parts: Any) -> tuple[Literals | None, Literals | None]:
    once, inside = _literals(parts)
    held = _rarer(once, inside) if least else None
    if once is None or most is _op.MAXREPEAT or most > _MOST_REPEATS:
        return None, held
    so_far: Literals | None = _EMPTY
    every = _EMPTY if least == 0 else frozenset()
    for times in range(1, most + 1):
        so_far = _joined(so_far, once) if so_far is not None else None
        if so_far is None:
            return None, held
        every = every | so_far if times >= least else every
    return every, held


def _joined(first: Literals, then: Literals) -> Literals | None:
    if then is _EMPTY:
        return first
    if len(first) * len(then) > _MOST:
        return None
    return frozenset([a + b for a in first for b in then])


def _rarer(*choices: Literals | None) -> Literals | None:
    """The set that a text is less likely to hold one of, by length alone; an empty literal stands everywhere."""
    asked = [choice for choice in choices if choice and "" not in choice and _EDGE not in choice]
    return min(asked, key=_commonness, default=None) if len(asked) != 1 else asked[0]


def _commonness(literals: Literals) -> float:
    return sum([math.pow(0.06, len(each) - 0.7 * each.count(_EDGE)) for each in literals])


def _first(parts: Iterable[tuple[Any, Any]]) -> tuple[frozenset[str], bool]:
    """The characters that a sequence can begin with, and whether it can be empty."""
    first: frozenset[str] = frozenset()
    for kind, what in parts:
        begins, can_be_empty = _begins(kind, what)
        first |= begins
        if not can_be_empty:
            return first, False
    return first, True


def _begins(kind: Any, what: Any) -> tuple[frozenset[str], bool]:
    if kind is _op.LITERAL:
        return frozenset({chr(what)}), False
    if kind is _op.IN:
        return _members(what), False
    if kind in (_op.AT, _op.ASSERT, _op.ASSERT_NOT):
        return frozenset(), True
    if kind is _op.SUBPATTERN:
        return _first(what[3])
    if kind is _op.ATOMIC_GROUP:
        return _first(what)
    if kind is _op.BRANCH:
        each = [_first(branch) for branch in what[1]]
        return frozenset().union(*(begins for begins, _ in each)), any(empty for _, empty in each)
    if kind in (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT):
        begins, can_be_empty = _first(what[2])
        return begins, can_be_empty or what[0] == 0
    return _ASCII, kind not in (_op.ANY, _op.NOT_LITERAL)


def _heads(parts: Iterable[tuple[Any, Any]]) -> str | None:
    """What a sequence can only begin at: the beginning of a "line", or a "word" where it begins with a letter of one."""
    for kind, what in parts:
        found: str | None = None
        if kind is _op.AT:
            found = {_op.AT_BEGINNING: "line", _op.AT_BOUNDARY: "word"}.get(what)
        elif kind is _op.ASSERT_NOT and what[0] < 0:  # not behind a letter
            found = "word" if _begins_one(what[1]) >= _WORD else None
        elif kind is _op.SUBPATTERN:
            found = _heads(what[3])
        elif kind is _op.BRANCH:
            each = {_heads(branch) for branch in what[1]}
            found = each.pop() if len(each) == 1 else None
        if found or kind not in (_op.AT, _op.ASSERT, _op.ASSERT_NOT):
            return found
    return None


def _begins_one(parts: Sequence[tuple[Any, Any]]) -> frozenset[str]:
    """The characters of a part that is one of a class of them; none where it is anything else."""
    return _members(parts[0][1]) if len(parts) == 1 and parts[0][0] is _op.IN else frozenset()


_CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
_MEMBERS = {name: frozenset(c for c in _ASCII if re.match(inside, c, re.ASCII)) for name, inside in _CATEGORIES.items()}
_WORD = _MEMBERS["WORD"]


def _members(items: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    """The ASCII characters of a class in square brackets."""
    inside: set[str] = set()
    negated = False
    for kind, what in items:
        if kind is _op.NEGATE:
            negated = True
        elif kind is _op.LITERAL:
            inside.add(chr(what))
        elif kind is _op.RANGE:
            inside |= {chr(c) for c in range(what[0], what[1] + 1)}
        else:  # a category: its name ends in DIGIT, SPACE or WORD, before which NOT may stand
            *before, name = str(what).split("_")
            inside |= _ASCII - _MEMBERS[name] if "NOT" in before else _MEMBERS[name]
    return _ASCII - inside if negated else frozenset(inside & _ASCII)


class Index:
    """Patterns, each a bit, by the literals they need."""

    def __init__(self, needs: Iterable[tuple[int, Literals | None]]) -> None:
        sought: dict[str, int] = {}
        self._sifted = 0
        for bit, literals in needs:
            if literals and all(map(_telling, literals)):
                self._sifted |= bit
                for each in literals:
                    sought[each] = sought.get(each, 0) | bit
        self._possible = sought
        self.longest = max(map(len, sought), default=1)
        self._automaton = AhoCorasick(sought, store_patterns=True)  # what it finds are these very strings, made once

    def ruled_out(self, text: bytes) -> int:
        """The bits of the patterns that can stand nowhere in an ASCII text, nor in a part of it that cuts no word in two."""
        words, found = f" {text.translate(_PLAIN).decode('ascii')} ", set()
        for start in range(0, len(words), _CHUNK):  # a hostile text's many places are not all kept at once
            part = words[start : start + _CHUNK + self.longest]
            found.update(self._automaton.find_matches_as_strings(part, overlapping=True))
        return self._sifted & ~reduce(or_, map(self._possible.__getitem__, found), 0)


def _telling(literal: str) -> bool:
    """Whether it is worth looking for: nearly every text holds "in"."""
    word = literal.strip()
    if len(word) > 2:
        return True
    return len(word) == 2 and (not _RARE.isdisjoint(word) or (len(literal) == 4 and word not in _EVERYWHERE))


_RARE = frozenset("bfgjkpqvwxyz0123456789")
_EVERYWHERE = frozenset("am an as at be by do go he if in is it me my no of on or so to up us we".split())
