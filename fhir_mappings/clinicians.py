"""Practitioner and PractitionerRole to the person who renders, writes or signs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_mappings import views
from guardrails.codebook import Codebook
from guardrails.visit import Clinician


class Clinicians:
    """The clinicians that a record names, by whatever reference it names them."""

    def __init__(
        self,
        practitioners: dict[str, views.Practitioner],
        roles: dict[str, views.PractitionerRole],
        codebook: Codebook,
    ) -> None:
        self._practitioners, self._roles, self._codebook = practitioners, roles, codebook

    def of(self, reference: views.Reference) -> Clinician | None:
        """The clinician of a Practitioner or PractitionerRole reference; level unknown where the person is not in the record."""
        role = self._roles.get(reference.id_of("PractitionerRole") or "")
        practitioner_id = reference.id_of("Practitioner") or (role.practitioner.id_of("Practitioner") if role else None)
        if practitioner_id is None:
            return None
        person = self._practitioners.get(practitioner_id)
        if person is None:
            return Clinician(id=practitioner_id, claim_reference=f"Practitioner/{practitioner_id}")
        texts = [q.code.text or "" for q in person.qualification]
        texts += [c.code or "" for q in person.qualification for c in q.code.coding]
        texts += [suffix for name in person.name for suffix in name.suffix]
        credentials = [c for c in map(self._codebook.credential, texts) if c is not None]
        best = self._codebook.credential("; ".join(texts)) if credentials else None
        return Clinician(
            id=practitioner_id,
            name=_full_name(person.name),
            level=best.level if best else None,
            physician=best.physician if best else False,
            education_modifier=best.education_modifier if best else None,
            claim_reference=f"Practitioner/{practitioner_id}",
        )

    def first(self, references: Iterable[views.Reference]) -> Clinician | None:
        """The first of several references that is a clinician's."""
        return next((c for c in map(self.of, references) if c is not None), None)


def primary(participants: Sequence[views.Participant]) -> views.Reference | None:
    """Who renders: the primary performer (PPRF), else the only clinician; None where nobody says which of several."""
    people = [p for p in participants if p.individual.id_of("Practitioner", "PractitionerRole")]
    performers = [p for p in people if any(c.code == "PPRF" for t in p.type for c in t.coding)]
    chosen = performers or (people if len(people) == 1 else [])
    return chosen[0].individual if chosen else None


def _full_name(names: list[views.HumanName]) -> str:
    if not names:
        return ""
    return names[0].text or " ".join([*names[0].given, names[0].family or ""]).strip()
