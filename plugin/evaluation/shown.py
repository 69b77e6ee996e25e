"""A scoreboard as people read it: a terminal table, Markdown for the documentation, a page with plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

Board = dict[str, Any]  # a scoreboard as JSON, so that one from elsewhere is shown like our own
_COLUMNS = (
    "proposer",
    "half",
    "visits",
    "exact",
    "over-coded",
    "under-coded",
    "held",
    "precision",
    "recall",
    "F1",
    "units exact",
    "modifiers exact",
    "quotes verified",
)


def _share(of: Board) -> str:
    low, high = of["interval"]
    return f"{of['share']:.0%} ({low:.0%}-{high:.0%})" if of["of"] else "-"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def row(board: Board) -> list[str]:
    """One proposer on one half, after the rules and, in brackets, before them."""
    after, before = board["after"], board["before"]
    not_run = sum(board["not_run"].values())

    def both(name: str) -> str:
        if name not in after:  # kept from a run that did not count it
            return "not counted"
        return f"{_share(after[name])} [{before[name]['share']:.0%}]"

    def found(name: str) -> str:
        return f"{_ratio(after['all_codes'][name])} [{_ratio(before['all_codes'][name])}]"

    return [
        board["proposer"],
        board["half"],
        f"{board['visits']}" + (f" ({not_run} not run)" if not_run else ""),
        both("exact"),
        both("over_coded"),
        both("under_coded"),
        _share(board["held"]),
        found("precision"),
        found("recall"),
        found("f1"),
        both("units_exact"),
        both("modifiers_exact"),
        _share(board["quotes_verified"]),
    ]


def table(boards: Sequence[Board]) -> Table:
    """For a terminal."""
    grid = Table(*_COLUMNS, title="after the rules (95 % interval) [before them]", title_justify="left")
    for board in boards:
        grid.add_row(*row(board))
    return grid


def codes(board: Board) -> Table:
    """Each code of one board, for a terminal."""
    grid = Table(
        "code",
        "right",
        "wrong",
        "missed",
        "precision",
        "recall",
        "F1",
        title=f"codes, {board['half']}",
        title_justify="left",
    )
    for code, found in board["after"]["codes"].items():
        counts = (found["right"], found["wrong"], found["missed"])
        grid.add_row(code, *map(str, counts), *(_ratio(found[n]) for n in ("precision", "recall", "f1")))
    return grid


def sentences(board: Board) -> Iterator[str]:
    """What a table has no room for."""
    audit = ", ".join(f"{kind} {s['count']} of {s['of']}" for kind, s in board["audit"].items())
    yield f"{board['half']}: of the audit's failures caught: {audit}"
    stands = board["right_stands"]
    yield f"{board['half']}: right proposals that stand: {stands['count']} of {stands['of']}"
    listed = board["listed"]
    yield f"{board['half']}: right codes on the closed list that is asked about: {listed['count']} of {listed['of']}"
    if board["requests"]:
        yield (
            f"{board['half']}: {board['requests']} requests, {board['input_tokens']:,} tokens in ({board['cached_tokens']:,} cached), "
            f"{board['output_tokens']:,} out, {board['cents']:.2f} cents, median {board['median_seconds']:.1f} s, "
            f"slowest {board['slowest_seconds']:.1f} s"
        )
    for why, count in board["not_run"].items():
        yield f"{board['half']}: {count} visits not run: {why}"


def markdown(boards: Sequence[Board]) -> str:
    """Rows for the documentation."""
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    lines += [f"| {' | '.join(row(board))} |" for board in boards]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a plot, its lengths in per cent of the whole."""

    label: str
    before: float
    after: float
    low: float
    high: float


def page(boards: Sequence[Board]) -> str:
    """A page of its own, plots included; it fetches nothing.

    Raises:
        ImportError: the extra `web` is not installed.
    """
    import jinja2

    template = (Path(__file__).parent / "scoreboard.html").read_text(encoding="utf-8")
    made = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    shown = [(board, list(_bars(board)), list(sentences(board))) for board in boards]
    return made.render(boards=shown, columns=_COLUMNS, row=row, ratio=_ratio)


def _bars(board: Board) -> Iterator[Bar]:
    for label, name in (("exact", "exact"), ("over-coded", "over_coded"), ("under-coded", "under_coded")):
        after = board["after"][name]
        low, high = after["interval"]
        yield Bar(label, board["before"][name]["share"] * 100, after["share"] * 100, low * 100, high * 100)
