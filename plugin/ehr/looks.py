"""Which words of an HTML note a reader sees: by what its elements and its own style sheets say of how they look.

This is no browser. Where one would have to be asked (what is computed, holds in print alone, or hides and shows the same
words) nothing is guessed: `Unclear`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


class Unclear(Exception):
    """Whether words are seen cannot be said."""


@dataclass(frozen=True, slots=True)
class Look:
    """What an element inherits of how words look."""

    unseen_by: frozenset[str] = frozenset()
    pale: bool = False
    """Not to be seen on white."""
    backed: bool | None = False
    """Whether pale words are seen on what lies behind them; None where nobody can say."""
    lines_kept: bool = False

    def shows(self) -> bool:
        """Whether words are seen.

        Raises:
            Unclear: they are pale, and what lies behind them is a picture or a light shade.
        """
        if self.pale and self.backed is None and not self.unseen_by:
            raise Unclear
        return not self.unseen_by and bool(self.backed or not self.pale)


# --- what hides: each on its declaration's value ---

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]*|%)")
_PIXELS = {"": 1.0, "px": 1.0, "pt": 1.33, "mm": 3.8, "cm": 38.0, "in": 96.0}
_LETTER = 16.0  # pixels; em, rem and the units that are like them


def _size(value: str, whole: float) -> float:
    """A length in pixels, about, where 100% is `whole`; NaN where it is none."""
    match = _NUMBER.fullmatch(value)
    if match is None:
        return float("nan")
    return float(match[1]) * (whole / 100 if match[2] == "%" else _PIXELS.get(match[2], _LETTER))


def _away(limit: float, whole: float = 1000) -> Callable[[str], bool]:
    """Moved so far to the left or up that nobody sees it."""
    return lambda value: any(_size(part, whole) <= -limit for part in re.split(r"[\s,]+", value))


_ZERO = r"[+-]?(?:0+\.?0*|\.0+)(?:px|%)?\s*"
_SCALED_AWAY = re.compile(rf"scale\w*\((?:[^)]*,)?\s*{_ZERO}[,)]|matrix\(\s*{_ZERO},\s*{_ZERO},")
_TRANSLATED = re.compile(r"translate\w*\(\s*([^)]*?)\s*\)")
_CLIPPED_AWAY = re.compile(
    r"rect\(\s*[01](?:px)?(?:[\s,]+[01](?:px)?){3}\s*\)|inset\(\s*[5-9]\d(?:\.\d+)?%|inset\([^)]*\d{3}(?:\.\d+)?%"
    rf"|(?:circle|ellipse)\(\s*{_ZERO}[)a]|polygon\([0\s,px%]*\)"
)
_FADED = re.compile(rf"opacity\(\s*{_ZERO}\)")

_SIZES = ("width", "height", "max-width", "max-height")
_HIDES: dict[str, Callable[[str], bool]] = {
    "display": lambda value: value == "none",
    "visibility": lambda value: value in {"hidden", "collapse"},
    "content-visibility": lambda value: value == "hidden",
    "mso-hide": lambda value: value == "all",
    "text-decoration": lambda value: "line-through" in value,
    "text-decoration-line": lambda value: "line-through" in value,
    "color": lambda value: _colour(value)[1] < 0.1,
    "opacity": lambda value: _size(value, 1) < 0.1,
    "filter": lambda value: bool(_FADED.search(value)),
    "zoom": lambda value: _size(value, 1) < 0.1,
    "scale": lambda value: _size(value, 1) == 0,
    "transform": lambda value: (
        bool(_SCALED_AWAY.search(value)) or any(map(_away(100, 100), _TRANSLATED.findall(value)))
    ),
    "font-size": lambda value: _size(value, _LETTER) < 4,
    **dict.fromkeys(_SIZES, lambda value: _size(value, 1000) == 0),
    **dict.fromkeys(["left", "right", "top", "bottom", "inset"], _away(100)),
    "translate": _away(100, 100),
    **dict.fromkeys(["text-indent", "margin", "margin-left", "margin-top"], _away(300)),  # less may hang an indent
    **dict.fromkeys(["clip", "clip-path"], lambda value: bool(_CLIPPED_AWAY.search(value))),
}
_INHERITED = frozenset(["visibility", "font-size", "color"])
_BEHIND = frozenset(["background", "background-color", "background-image"])
_TELLING = frozenset([*_HIDES, *_BEHIND, "white-space"])
_INHERITS = frozenset(["", "inherit", "unset", "currentcolor"])
_COMPUTED = re.compile(
    r"(?<![\w-])(?:var|env|attr|calc|min|max|clamp|color|color-mix|light-dark|lab|lch|oklab|oklch|hwb)\(|\(\s*from\s"
)
_FONT_SIZE = re.compile(r"(?:^|\s)(0|[\d.]+(?:[a-z]{2,4}|%))(?=\s*/|\s)")
_OF_ITS_PARENT = re.compile(r"(?:(?<!r)em|ex|ch|%|smaller|larger)$")

# --- colours ---

_PALE, _DARK = 230, 200  # of 255: lighter than the one is unseen on white, darker than the other backs white words
_COLOURS = {
    **dict.fromkeys(
        """white snow ivory floralwhite ghostwhite whitesmoke mintcream azure aliceblue honeydew lavenderblush seashell linen
        oldlace lightyellow lightgoldenrodyellow cornsilk beige lemonchiffon papayawhip blanchedalmond antiquewhite bisque
        lavender mistyrose lightcyan canvas window""".split(),
        (255.0, 1.0),
    ),
    **dict.fromkeys(
        """black navy darkblue mediumblue blue midnightblue royalblue steelblue dodgerblue slateblue darkslateblue teal darkcyan
        green darkgreen forestgreen seagreen darkolivegreen olive olivedrab maroon darkred red firebrick crimson brown sienna
        saddlebrown chocolate purple indigo darkmagenta rebeccapurple gray grey dimgray dimgrey slategray slategrey
        darkslategray darkslategrey darkgray darkgrey silver orange darkorange orangered tomato""".split(),
        (0.0, 1.0),
    ),
    "transparent": (255.0, 0.0),
}
_NO_COLOUR = (float("nan"), 1.0)


def _colour(value: str) -> tuple[float, float]:
    """How light a colour is on white paper (NaN where it is none that we know), and how opaque."""
    if value in _COLOURS:
        return _COLOURS[value]
    if re.fullmatch(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", value):
        digits = value[1:] if len(value) > 5 else "".join(2 * c for c in value[1:])
        parts = [int(digits[n : n + 2], 16) / 255 for n in range(0, len(digits), 2)]
    elif match := re.fullmatch(r"(rgb|hsl)a?\((.*)\)", value):
        said = re.findall(r"(\d+\.?\d*|\.\d+)[a-z]*(%?)", match[2])
        whole = 1 if match[1] == "hsl" else 255
        parts = [float(n) / (100 if of else whole if at < 3 else 1) for at, (n, of) in enumerate(said)]
        if match[1] == "hsl":
            parts[:3] = parts[2:3] * 3
    else:
        return _NO_COLOUR
    if len(parts) < 3:
        return _NO_COLOUR
    opaque = parts[3] if len(parts) > 3 else 1.0
    return 255 * ((0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2]) * opaque + 1 - opaque), opaque


def _backs(value: str, inherited: bool | None) -> bool | None:
    """Whether pale words are seen on such a background."""
    if value in {*_INHERITS, "none", "initial"}:
        return inherited
    known = [c for c in map(_colour, re.findall(r"[^\s(]+(?:\([^)]*\))?", value)) if c[0] >= 0]
    if len(known) != 1 or "url(" in value or "gradient(" in value:
        return None
    (light, opaque), *_ = known
    if opaque < 0.1:
        return inherited
    return True if light < _DARK else False if light >= _PALE else None


# --- elements ---

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!--|-->", re.DOTALL)
_PREFIX = re.compile(r"^\s*-(?:webkit|moz|ms|o)-")
_WEIGHT = re.compile(r"!\s*important")
_TABLE = frozenset(["table", "thead", "tbody", "tfoot", "tr", "td", "th"])
_ATTRIBUTES = (
    ("color", "color", frozenset(["font"])),
    ("color", "text", frozenset(["body"])),
    ("background", "bgcolor", frozenset(["body", *_TABLE])),
)


def _declared(style: str) -> Iterator[tuple[str, str]]:
    """Names and values, in small letters, without comments, prefixes and weights."""
    for each in _COMMENT.sub(" ", style).lower().split(";"):
        before, colon, after = each.partition(":")
        name, value = _PREFIX.sub("", before).strip(), _WEIGHT.sub("", after).strip()
        if name == "font":
            size = _FONT_SIZE.search(value)
            yield "font-size", size[1] if size else ""
        elif colon:
            yield "color" if name == "text-fill-color" else name, value


def within(name: str, attributes: dict[str, str | None], outside: Look) -> Look | None:
    """How words look in an element, or None where it is hidden with all that is in it.

    Raises:
        Unclear: see the module.
    """
    style: list[tuple[str, str]] = []
    for means, attribute, elements in _ATTRIBUTES:
        if name in elements and (value := (attributes.get(attribute) or "").strip().lower()):
            style.append((means, f"#{value}" if re.fullmatch("[0-9a-f]{6}", value) else value))
    if {"hidden", "popover"} & attributes.keys() or attributes.get("aria-hidden") == "true":
        style.append(("display", "none"))
    if name == "dialog" and "open" not in attributes:
        style.append(("display", "none"))
    if name in {"pre", "textarea"}:
        style.append(("white-space", "pre"))
    style += _declared(attributes.get("style") or "")
    if name in _TABLE and any(each in _SIZES and _HIDES[each](value) for each, value in style):
        raise Unclear  # a cell grows with its words, or not
    return _look(style, outside)


def _look(style: list[tuple[str, str]], outside: Look) -> Look | None:
    unseen, hidden_by = set(outside.unseen_by), set[str]()
    pales, backed, kept = [outside.pale], outside.backed, outside.lines_kept
    for name, value in style:
        if "\\" in name:
            raise Unclear
        if name == "white-space":
            kept = value.startswith(("pre", "break-spaces"))
        elif name in _BEHIND and (name, value) != ("background-image", "none"):
            backed = _backs(value, outside.backed)
        if name not in _HIDES or value in _INHERITS:
            continue
        if "\\" in value or (_COMPUTED.search(value) and name not in _SIZES):
            raise Unclear
        if name == "color":
            pales.append(_colour(value)[0] >= _PALE)
        if _HIDES[name](value):
            hidden_by.add(name)
        elif name in hidden_by:
            raise Unclear
        elif not (name == "font-size" and _OF_ITS_PARENT.search(value)):
            unseen.discard(name)
    if any(pales[1:]) and not pales[-1] and not backed:
        raise Unclear
    if hidden_by - _INHERITED:
        return None
    return Look(frozenset(unseen | hidden_by), pales[-1], backed, kept)


# --- style sheets ---

_TO_BRACE = re.compile(r"([^{}]*)([{}])")
_NO_ELEMENT = re.compile(r"[^(]*(?::(?:before|after|visited|target)\b|::(?:-|selection|placeholder|marker))[^(]*")


@dataclass(frozen=True, slots=True)
class _Rule:
    selector: str
    told: str
    important: bool
    conditional: bool

    def could_hide(self) -> bool:
        look = _look([*_declared(self.told)], Look())
        return look is None or not look.shows()

    def weight(self) -> tuple[int, int, int]:
        """About what CSS calls specificity."""
        kinds = (r"#", r"[.\[:]", r"(?:^|[\s>+~])[a-zA-Z]")
        ids, classes, tags = (len(re.findall(kind, self.selector)) for kind in kinds)
        return ids, classes, tags


def apply_style_sheets(parser: Any) -> None:
    """Write what the document's own style sheets say of an element into its own style, the weightiest last.

    Raises:
        Unclear: what hides stands under a condition (print, a width), or under a selector that we do not know.
    """
    rules = sorted((rule for sheet in parser.css("style") for rule in _rules(sheet)), key=_Rule.weight)
    for rule in reversed(rules):  # each is written before what is said already
        try:
            nodes = parser.css(rule.selector)
        except Exception:  # selectolax raises its own kinds for selectors it does not know
            if not _NO_ELEMENT.fullmatch(rule.selector) and rule.could_hide():
                raise Unclear from None
            continue
        if nodes and rule.conditional and rule.could_hide():
            raise Unclear
        for node in nodes:
            own = node.attributes.get("style") or ""
            node.attrs["style"] = f"{own};{rule.told}" if rule.important else f"{rule.told};{own}"


def _rules(sheet: Any) -> Iterator[_Rule]:
    """What a style sheet tells of its elements, one rule a selector."""
    elsewhere = (sheet.attributes.get("media") or "all").strip().lower() not in {"all", "screen"}
    outer: list[str] = []
    for text, brace in _TO_BRACE.findall(_COMMENT.sub(" ", sheet.text() or "") + "}"):  # the end closes a rule
        style, _, selectors = text.rpartition(";") if brace == "{" else (text, "", "")
        conditional = elsewhere or len(outer) > 1
        told = ";".join(
            f"{name}:{'?' if conditional and name in _BEHIND else value}"
            for name, value in _declared(style)
            if name in _TELLING or "\\" in name
        )
        if outer and told:
            moving = any("keyframes" in each for each in outer[:-1])  # what it moves may be anything
            each = ["*"] if moving else [outer[-1]] if "(" in outer[-1] else outer[-1].split(",")
            for selector in each:
                yield _Rule(selector.strip(), told, "!" in style, conditional)
        if brace == "{":
            outer.append(selectors)
        elif outer:
            outer.pop()
