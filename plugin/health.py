"""Whether a process can do its work: its database answers and is up to date, and its engine runs where it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from plugin.store.store import Store

if TYPE_CHECKING:
    from plugin.flow import Flow


def checks(store: Store, flow: Flow | None, *, engine_wanted: bool) -> dict[str, bool]:
    """Each thing that it needs, and whether it is so. Nothing else is said: anybody may ask."""
    try:
        answers, at_head = True, store.at_head()
    except SQLAlchemyError:
        answers = at_head = False
    return {
        "database": answers,
        "migrations": at_head,
        "engine": not engine_wanted or (flow is not None and flow.alive),
    }
