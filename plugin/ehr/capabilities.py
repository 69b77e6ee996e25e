"""What a server says it can do, from its CapabilityStatement. Believed only until an answer contradicts it."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_mappings.views import Json, objects


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Interactions and search parameters by resource type."""

    interactions: dict[str, frozenset[str]]
    searches: dict[str, frozenset[str]]
    conditional_create: frozenset[str]

    def offers(self, kind: str, interaction: str) -> bool:
        """Whether the server lists the interaction (`read`, `create`, `update`, `search-type`) for a type."""
        return interaction in self.interactions.get(kind, frozenset())

    def searches_by(self, kind: str, parameter: str) -> bool:
        """Whether the server lists the search parameter for a type."""
        return parameter in self.searches.get(kind, frozenset())


def read_capabilities(statement: Json) -> Capabilities:
    """The parts of a CapabilityStatement that we act on. Missing parts count as not offered."""
    interactions: dict[str, frozenset[str]] = {}
    searches: dict[str, frozenset[str]] = {}
    conditional = set()
    for rest in objects(statement.get("rest")):
        for resource in objects(rest.get("resource")):
            kind = str(resource.get("type"))
            interactions[kind] = frozenset(str(i.get("code")) for i in objects(resource.get("interaction")))
            searches[kind] = frozenset(str(p.get("name")) for p in objects(resource.get("searchParam")))
            if resource.get("conditionalCreate"):
                conditional.add(kind)
    return Capabilities(interactions, searches, frozenset(conditional))
