"""Reading with complaints: what can be used is used, what cannot is named with its resource and field, never its value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from fhir_mappings import views
from fhir_mappings.views import Json, UnusableResource

T = TypeVar("T")
V = TypeVar("V", bound=views.Resource)


class Complaints:
    """Collects, in order, what of a visit's record was unusable."""

    def __init__(self, said: Iterable[str] = ()) -> None:
        self.said = list(said)

    def add(self, complaint: str) -> None:
        """One more, unless it was said already."""
        if complaint not in self.said:
            self.said.append(complaint)

    def read(self, view: type[V], raw: Json | None) -> V | None:
        """A view of a resource, or None and a complaint; and one for each field that leads to another server."""
        if raw is None:
            return None
        try:
            seen = views.read(view, raw)
        except UnusableResource as problem:
            self.add(str(problem))
            return None
        self.elsewhere(seen)
        return seen

    def elsewhere(self, seen: views.Resource) -> None:
        """Say which fields lead to another server: what they name is used for nothing (fhir 2.6)."""
        for field in views.elsewhere(seen):
            self.add(f"{seen.resource_type}/{seen.id}: {field}: refers to another server; what it names was not used")

    def by_id(self, view: type[V], raws: Iterable[Json]) -> dict[str, V]:
        """The usable resources by id."""
        seen = (self.read(view, raw) for raw in raws)
        return {each.id: each for each in seen if each is not None}

    def field(
        self, resource: views.Resource, name: str, text: str | None, parse: Callable[[str | None], T]
    ) -> T | None:
        """A date or time of a resource, or None and a complaint."""
        try:
            return parse(text)
        except ValueError as problem:
            what = "a time without an offset" if "offset" in str(problem) else "not a FHIR date or dateTime"
            self.add(f"{resource.resource_type}/{resource.id}: {name}: {what}; correct it in the EHR")
            return None
