"""Text as the X12 basic character set has it: what a professional claim file may carry of a name or an address."""

from __future__ import annotations

import unicodedata

_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"&'()+,-./;?=")
"""The basic set without `*`, `:`, `~` and `^`, which our files use as delimiters."""
_SPELT = str.maketrans(
    {
        "Ł": "L",
        "ł": "l",
        "Ø": "O",
        "ø": "o",
        "Đ": "D",
        "đ": "d",
        "Ð": "D",
        "ð": "d",
        "Þ": "Th",
        "þ": "th",
        "Æ": "Ae",
        "æ": "ae",
        "Œ": "Oe",
        "œ": "oe",
        "ı": "i",
        **dict.fromkeys("\u2018\u2019\u02bc\u2032\u00b4`", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)


def basic(text: str) -> str:
    """The text in capitals without accents; what the set does not have becomes a blank, and blanks fold.

    Nothing remains of a text in another script: its owner has to spell it in Latin letters.
    """
    plain = unicodedata.normalize("NFKD", text.translate(_SPELT)).upper()
    kept = (c if c in _ALLOWED else " " for c in plain if unicodedata.category(c) not in ("Mn", "Cf"))
    return " ".join("".join(kept).split())


def says_something(text: str | None) -> bool:
    """Whether a letter or figure remains of it in a file."""
    return any(c.isalnum() for c in basic(text or ""))
