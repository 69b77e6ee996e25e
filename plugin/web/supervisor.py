"""The supervisor's page: how the work flows, how far people agree with what is proposed, and the same tables as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from functools import cached_property
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from plugin.release.table import inert
from plugin.review import figures
from plugin.review.figures import AGES, DUE, By, Rates, Share, Waiting, Window
from plugin.review.states import MEANING
from plugin.store.people import SignedIn
from plugin.store.store import Store
from plugin.web import plots
from plugin.web.areas import FIGURES
from plugin.web.guards import within
from plugin.web.house import House
from plugin.web.pages import page

Cell = str | int | float | Share | None

_MOST_ROWS = 50
_MOST_DRAWN = 15
_SLOT = re.compile(r"\{[^{}]*\}")
_GROUPS = {
    By.CODE: "By code",
    By.CLINICIAN: "By clinician",
    By.PAYER: "By payer",
    By.MODEL: "By model",
    By.PROMPT: "By version of the prompt",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page, and of a CSV file; a share makes one cell here and five columns there."""

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    drawn: tuple[Markup, ...] = ()
    left_out: int = 0


@within(FIGURES)
def supervisor(request: Request, house: House, session: SignedIn) -> Response:
    """All the tables of a window of days."""
    window, problem = _window(request, house)
    sheet = Sheet(house, window)
    return page(
        request,
        "supervisor.html",
        signed_in=session,
        window=window,
        problem=problem,
        query=urlencode({"from": window.first.isoformat(), "to": window.last.isoformat()}),
        share=house.settings.review.second_review_share,
        sections=[(title, [sheet.shown(name) for name in names]) for title, names in SECTIONS],
        is_share=lambda cell: isinstance(cell, Share),
    )


@within(FIGURES)
def table(request: Request, house: House, session: SignedIn) -> Response:
    """One of the tables, whole, as CSV."""
    name = request.path_params["table"]
    if name not in BUILDERS:
        return page(
            request,
            "message.html",
            status=404,
            signed_in=session,
            title="There is no such table",
            advice="Go back and try again.",
        )
    window, _ = _window(request, house)
    named = f"claimwright-{name}-{window.first.isoformat()}-{window.last.isoformat()}.csv"
    return Response(
        as_csv(BUILDERS[name](Sheet(house, window))),
        media_type="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{named}"'},
    )


def as_csv(made: Table) -> bytes:
    """A table in UTF-8, every cell quoted and none of them a formula."""
    shares = [n for n, _ in enumerate(made.columns) if any(isinstance(row[n], Share) for row in made.rows)]
    head: list[str] = []
    for n, column in enumerate(made.columns):
        head += [f"{column}{part}" for part in ("", " of", " share", " from", " to")] if n in shares else [column]
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(map(inert, head))
    for row in made.rows:
        writer.writerow(inert(text) for cell in row for text in _cells(cell))
    return out.getvalue().encode("utf-8")


def _cells(cell: Cell) -> tuple[str, ...]:
    match cell:
        case None:
            return ("",)
        case Share():
            low, high = cell.interval
            share = "" if cell.value is None else f"{cell.value:.4f}"
            return str(cell.count), str(cell.of), share, f"{low:.4f}", f"{high:.4f}"
        case float():
            return (f"{cell:.2f}",)
        case _:
            return (str(cell),)


# --- the tables ---


class Sheet:
    """The tables of one window, each made when it is asked for."""

    def __init__(self, house: House, window: Window) -> None:
        self._house, self._store, self._window = house, house.store, window

    def shown(self, name: str) -> Table:
        """A table as the page shows it: of a long one the rows with most behind them, in their order."""
        whole = BUILDERS[name](self)
        if len(whole.rows) <= _MOST_ROWS or name == "throughput":
            return whole
        weight = sorted(range(len(whole.rows)), key=lambda n: (-_weight(whole.rows[n]), n))[:_MOST_ROWS]
        return Table(
            whole.name,
            whole.title,
            whole.note,
            whole.columns,
            [whole.rows[n] for n in sorted(weight)],
            whole.drawn,
            len(whole.rows) - _MOST_ROWS,
        )

    def throughput(self) -> Table:
        """Drafts of each day."""
        made = figures.throughput(self._store, self._window)
        steps = {
            "Proved": [(d.day.isoformat(), d.proved) for d in made],
            "Accepted": [(d.day.isoformat(), d.accepted) for d in made],
            "Approved": [(d.day.isoformat(), d.approved) for d in made],
            "Released": [(d.day.isoformat(), d.released) for d in made],
        }
        most = max((n for values in steps.values() for _, n in values), default=0)
        return Table(
            "throughput",
            "Drafts a day",
            "Proved and accepted for the first time; approved, unless that was taken back; released.",
            ("day", "proved", "accepted", "approved", "released"),
            [(d.day.isoformat(), d.proved, d.accepted, d.approved, d.released) for d in made],
            tuple(
                plots.days(
                    f"plot-{step.lower()}",
                    f"{step} a day",
                    f"{sum(n for _, n in values)} drafts in all, at most {max((n for _, n in values), default=0)} a day.",
                    values,
                    most,
                )
                for step, values in steps.items()
            ),
        )

    def turnaround(self) -> Table:
        """Hours from step to step."""
        return Table(
            "turnaround",
            "Turnaround",
            "Hours from one step to the next, of the drafts whose later step was in these days: "
            "half took no longer than the median, nine of ten no longer than the last column says.",
            ("from", "to", "drafts", "median hours", "hours of nine in ten"),
            [(t.before.value, t.after.value, t.count, t.median, t.p90) for t in figures.turnaround(*self._asked)],
        )

    def rates(self, by: By) -> Table:
        """Shares of one grouping."""
        made = self._rates[by]
        drawn = sorted(sorted(made, key=lambda r: -r.accepted.of)[:_MOST_DRAWN], key=lambda r: r.group)
        return Table(
            f"by-{by.value}",
            _GROUPS[by],
            "",
            (by.value, "accepted as proposed", "edited or corrected", "set aside", "sent back"),
            [_rates(rate) for rate in made],
            (
                plots.intervals(
                    f"plot-by-{by.value}",
                    f"Accepted as proposed, by {by.value}",
                    "A dot for each share, a line for its interval; the numbers are in the table.",
                    [(rate.group, rate.accepted) for rate in drawn],
                ),
            )
            if made
            else (),
        )

    def findings(self) -> Table:
        """Rules by how many drafts they say something of."""
        rules = self._house.works.codebook.rules()
        made = figures.findings(*self._asked)
        return Table(
            "findings",
            "Findings most often raised",
            "Of the drafts first proved in these days, as they stand now: on how many of them a rule has something to say.",
            ("rule", "what it says", "drafts"),
            [(r.rule, _SLOT.sub("…", rules[r.rule].sentence) if r.rule in rules else "", r.drafts) for r in made],
            (
                plots.counted(
                    "plot-findings",
                    "Drafts by finding",
                    "A bar for each of the rules raised most often; the numbers are in the table.",
                    [(r.rule, r.drafts.count) for r in made[:_MOST_DRAWN]],
                ),
            )
            if made
            else (),
        )

    def age(self) -> Table:
        """Open items by their days in their state."""
        return self._open(
            "age", "Open items by how long they have been so", "Days in their state", AGES, lambda w: w.by_age
        )

    def deadline(self) -> Table:
        """Open items by the days until they must be filed."""
        return self._open(
            "deadline",
            "Open items by the deadline for filing",
            "Days until the deadline",
            DUE,
            lambda w: w.by_deadline,
        )

    def second_looks(self) -> Table:
        """How far coders agree."""
        made = figures.agreement(*self._asked)
        return Table(
            "second-looks",
            "Second looks",
            "Approvals that chance picked for another coder, looked at in these days.",
            ("agreed", "waiting now"),
            [(made.agreed, made.waiting)],
        )

    @cached_property
    def _rates(self) -> dict[By, list[Rates]]:
        return figures.rates(*self._asked)

    @cached_property
    def _waiting(self) -> list[Waiting]:
        return [w for w in figures.ageing(self._store, zone=self._window.zone) if w.count]

    @property
    def _asked(self) -> tuple[Store, Window]:
        return self._store, self._window

    def _open(
        self, name: str, title: str, what: str, buckets: tuple[str, ...], of: Callable[[Waiting], tuple[int, ...]]
    ) -> Table:
        totals = [sum(of(w)[n] for w in self._waiting) for n in range(len(buckets))]
        return Table(
            name,
            title,
            f"{what}, at this moment.",
            ("state", "meaning", *buckets, "all"),
            [(w.state.value, MEANING[w.state], *of(w), w.count) for w in self._waiting],
            (
                plots.counted(
                    f"plot-{name}",
                    title,
                    f"{sum(totals)} items in all; by state they are in the table.",
                    list(zip(buckets, totals, strict=True)),
                ),
            )
            if self._waiting
            else (),
        )


def _rates(rate: Rates) -> tuple[Cell, ...]:
    return rate.group, rate.accepted, rate.edited, rate.set_aside, rate.sent_back


def _weight(row: tuple[Cell, ...]) -> int:
    return max((cell.of if len(row) == 5 else cell.count for cell in row if isinstance(cell, Share)), default=0)


def _grouped(by: By) -> Callable[[Sheet], Table]:
    return lambda sheet: sheet.rates(by)


BUILDERS: dict[str, Callable[[Sheet], Table]] = {
    "throughput": Sheet.throughput,
    "turnaround": Sheet.turnaround,
    **{f"by-{by.value}": _grouped(by) for by in By},
    "findings": Sheet.findings,
    "age": Sheet.age,
    "deadline": Sheet.deadline,
    "second-looks": Sheet.second_looks,
}
SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("What waits", ("age", "deadline")),
    ("How the work flows", ("throughput", "turnaround")),
    ("What people made of what was proposed", tuple(f"by-{by.value}" for by in By)),
    ("What the rules say", ("findings",)),
    ("How far coders agree", ("second-looks",)),
)


# --- when ---


def _window(request: Request, house: House) -> tuple[Window, str | None]:
    """The days asked for, and what is wrong with how they were."""
    said = {name: request.query_params.get(name, "").strip() for name in ("from", "to")}
    read = {name: _day(text) for name, text in said.items()}
    window = Window.of(read["from"], read["to"], _zone(house))
    if any(said[name] and read[name] is None for name in said):
        return window, "A day is written as 2026-03-31; what was no day was left out."
    asked = (read["from"] or window.first, read["to"] or window.last)
    if asked != (window.first, window.last):
        return window, "The days were cut: they do not run backwards, and are a year at most."
    return window, None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _zone(house: House) -> tzinfo:
    named = next((ehr.zone for ehr in house.settings.ehrs if ehr.zone), None)
    return ZoneInfo(named) if named else UTC
