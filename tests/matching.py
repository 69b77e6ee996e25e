"""Strings that a pattern matches, made at random from its own syntax: what a note would have to say for it to speak up."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from importlib import import_module
from typing import Any

_parser: Any = import_module("re._parser")
_op: Any = import_module("re._constants")
_PRINTABLE = string.ascii_letters + string.digits + " .,:;-/()'\"\n"


def strings(pattern: str, flags: int, count: int, chance: random.Random) -> Iterator[str]:
    """Strings in which the pattern stands, at most `count`; fewer where what stands around it keeps most of them from it."""
    parts, compiled = _parser.parse(pattern, flags), re.compile(pattern, flags | re.ASCII)
    for _ in range(count * 20):
        made = _made(parts, chance)
        if compiled.search(made):
            yield made if chance.random() < 0.5 or not flags & re.IGNORECASE else made.swapcase()
            count -= 1
        if not count:
            return


def _made(parts: Any, chance: random.Random) -> str:
    return "".join(_part(kind, what, chance) for kind, what in parts)


def _part(kind: Any, what: Any, chance: random.Random) -> str:
    if kind is _op.LITERAL:
        return chr(what)
    if kind is _op.NOT_LITERAL:
        return chance.choice(_PRINTABLE.replace(chr(what), ""))
    if kind is _op.ANY:
        return chance.choice(_PRINTABLE.replace("\n", ""))
    if kind is _op.IN:
        allowed = re.compile(_class(what), re.ASCII)
        return chance.choice([c for c in map(chr, range(9, 127)) if allowed.fullmatch(c)])
    if kind is _op.SUBPATTERN:
        return _made(what[3], chance)
    if kind is _op.ATOMIC_GROUP:
        return _made(what, chance)
    if kind is _op.BRANCH:
        return _made(chance.choice(what[1]), chance)
    if kind in (_op.MAX_REPEAT, _op.MIN_REPEAT, _op.POSSESSIVE_REPEAT):
        least, most, inside = what
        return "".join(_made(inside, chance) for _ in range(chance.randint(least, min(int(most), least + 3))))
    if kind is _op.ASSERT and what[0] < 0:  # what must stand before it
        return _made(what[1], chance)
    return ""


def _class(items: Any) -> str:
    inside = ""
    for kind, what in items:
        if kind is _op.NEGATE:
            inside += "^"
        elif kind is _op.LITERAL:
            inside += re.escape(chr(what))
        elif kind is _op.RANGE:
            inside += f"{re.escape(chr(what[0]))}-{re.escape(chr(what[1]))}"
        else:
            name = str(what).removeprefix("CATEGORY_")
            letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}[name.removeprefix("NOT_")]
            inside += "\\" + (letter.upper() if name.startswith("NOT_") else letter)
    return f"[{inside}]"
