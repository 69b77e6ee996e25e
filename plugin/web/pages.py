"""Pages: templates that escape everything, and the note with its evidence marked, cut so that marks never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from plugin.web.areas import open_to

_HERE = Path(__file__).parent
STATIC = _HERE / "static"

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page. Every page says who is signed in, if anybody is, and where else they may go."""
    values.setdefault("signed_in", None)
    values.setdefault("launch", None)
    values["areas"] = open_to(values["signed_in"].account) if values["signed_in"] else []
    return HTMLResponse(_templates.get_template(template).render(request=request, **values), status_code=status)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a note's text, and the lines that it is evidence of; `starts` are those whose first mark begins here."""

    text: str = field(repr=False)
    keys: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()


def pieces(text: str, spans: Mapping[str, Iterable[tuple[int, int]]]) -> list[Piece]:
    """A note's text cut at every edge of every span. Nothing is lost and nothing stands twice."""
    cuts = {0, len(text)}
    kept: list[tuple[int, int, str]] = []
    for key, places in spans.items():
        for start, end in places:
            if 0 <= start < end <= len(text):
                kept.append((start, end, key))
                cuts |= {start, end}
    order = sorted(cuts)
    seen: set[str] = set()
    made = []
    for start, end in pairwise(order):
        keys = tuple(sorted({k for s, e, k in kept if s <= start and end <= e}))
        made.append(Piece(text[start:end], keys, tuple(k for k in keys if k not in seen)))
        seen |= set(keys)
    return made


def local(when: datetime | None, zone: ZoneInfo | None) -> str:
    """An instant in the facility's time, with its zone's short name."""
    return "" if when is None else when.astimezone(zone).strftime("%m/%d/%Y %I:%M %p %Z") if zone else when.isoformat()


def asks(authority: str | None) -> str:
    """Who asks, as a clinician knows them: the references to our own rule collection are for docs/rules.md."""
    parts = (p.strip() for p in (authority or "").split(";"))
    return "; ".join(p for p in parts if not p.startswith(("domain ", "design", "fhir ")))


_templates.filters |= {"local": local, "asks": asks}
