"""Small plots as SVG, drawn on the server: attributes and classes only, so that the policy on styles stands.

Each says in words what it shows and goes beside the table that holds its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from plugin.review.figures import Share

_WIDE, _LEFT, _ROW = 360, 130, 22
_SHOWN = 18  # letters of a label


def days(name: str, title: str, description: str, values: Sequence[tuple[str, int]], most: int) -> Markup:
    """A column for each day; `most` is the height of the scale, so that plots beside each other can be compared."""
    high, top, low = 100, 14, 114
    width = _WIDE / max(1, len(values))
    drawn = [_TEXT.format(x=0, y=11, anchor="start", text=f"{most}")]
    for n, (_, value) in enumerate(values):
        height = high * value / most if most else 0.0
        drawn.append(_COLUMN.format(x=_n(n * width), y=_n(low - height), w=_n(width * 0.8), h=_n(height)))
    drawn.append(_LINE.format(kind="axis", x1=0, y1=top, x2=_WIDE, y2=top))
    drawn.append(_LINE.format(kind="axis", x1=0, y1=low, x2=_WIDE, y2=low))
    if values:
        drawn.append(_TEXT.format(x=0, y=low + 14, anchor="start", text=values[0][0]))
        drawn.append(_TEXT.format(x=_WIDE, y=low + 14, anchor="end", text=values[-1][0]))
    return _plot(name, title, description, low + 20, drawn)


def counted(name: str, title: str, description: str, values: Sequence[tuple[str, int]]) -> Markup:
    """A bar for each count, with its label before it and its number after it."""
    most = max((value for _, value in values), default=0)
    room = _WIDE - _LEFT - 45
    drawn = []
    for n, (label, value) in enumerate(values):
        y, width = n * _ROW, room * value / most if most else 0.0
        drawn.append(_TEXT.format(x=0, y=y + 15, anchor="start", text=_short(label)))
        drawn.append(_COLUMN.format(x=_LEFT, y=y + 4, w=_n(width), h=_ROW - 8))
        drawn.append(_TEXT.format(x=_n(_LEFT + width + 5), y=y + 15, anchor="start", text=value))
    return _plot(name, title, description, len(values) * _ROW + 4, drawn)


def intervals(name: str, title: str, description: str, values: Sequence[tuple[str, Share]]) -> Markup:
    """A dot for each share and a line for where the true one may lie; nothing is drawn of nothing."""
    room, low = _WIDE - _LEFT - 15, len(values) * _ROW
    drawn = []
    for percent in (0, 50, 100):
        x = _n(_LEFT + room * percent / 100)
        drawn.append(_LINE.format(kind="axis", x1=x, y1=0, x2=x, y2=low))
        drawn.append(_TEXT.format(x=x, y=low + 14, anchor="middle", text=f"{percent}%"))
    for n, (label, share) in enumerate(values):
        y = n * _ROW + _ROW / 2
        drawn.append(_TEXT.format(x=0, y=_n(y + 4), anchor="start", text=_short(label)))
        if share.value is not None:
            start, end = (_n(_LEFT + room * each) for each in share.interval)
            drawn.append(_LINE.format(kind="span", x1=start, y1=_n(y), x2=end, y2=_n(y)))
            drawn.append(_DOT.format(x=_n(_LEFT + room * share.value), y=_n(y)))
    return _plot(name, title, description, low + 20, drawn)


_TEXT = Markup('<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')
_COLUMN = Markup('<rect class="column" x="{x}" y="{y}" width="{w}" height="{h}"/>')
_LINE = Markup('<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
_DOT = Markup('<circle class="dot" cx="{x}" cy="{y}" r="4"/>')
_PLOT = Markup(
    '<svg class="plot" viewBox="0 0 {wide} {high}" role="img" aria-labelledby="{name}-title {name}-desc">'
    '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{drawn}</svg>'
)


def _plot(name: str, title: str, description: str, high: int, drawn: Iterable[Markup]) -> Markup:
    return _PLOT.format(
        wide=_WIDE, high=high, name=name, title=title, description=description, drawn=Markup("").join(drawn)
    )


def _short(label: str) -> str:
    """The end of a long label: ids differ there."""
    return label if len(label) <= _SHOWN else f"…{label[1 - _SHOWN :]}"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
