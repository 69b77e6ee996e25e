"""The parts of the product beyond one visit's page, and whose they are: what a page's head links to, and a guard asks."""

from __future__ import annotations

from dataclasses import dataclass

from plugin.store.people import Account, Role


@dataclass(frozen=True, slots=True)
class Area:
    """A part with pages of its own. `whose` names its people, as a refusal does."""

    path: str
    title: str
    roles: frozenset[Role]
    whose: str


QUEUE = Area("/queue", "Queue", frozenset({Role.CODER, Role.SUPERVISOR}), "coders")
RELEASES = Area("/releases", "Releases", frozenset({Role.SUPERVISOR, Role.ADMIN}), "supervisors and administrators")
FIGURES = Area("/supervisor", "Figures", frozenset({Role.SUPERVISOR, Role.ADMIN}), "supervisors and administrators")
ADMINISTRATION = Area("/admin", "Administration", frozenset({Role.ADMIN}), "administrators")


def open_to(account: Account) -> list[Area]:
    """The areas that an account may enter, in the order of a day's work."""
    return [area for area in (QUEUE, RELEASES, FIGURES, ADMINISTRATION) if account.may(*area.roles)]
