"""What in a visit's FHIR resources identifies people: the surface forms that must not leave in a note's text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from fhir_mappings import views
from fhir_mappings.records import VisitRecord


@dataclass(frozen=True, slots=True, order=True)
class SurfaceForm:
    """One way a note may write an identifier; `kind` names its placeholder. `whole_case` forms match in any case."""

    kind: str
    text: str = field(repr=False)
    any_case: bool = True


def knows_patient(record: VisitRecord) -> bool:
    """Whether the record's Patient could be read and named: without it nobody can say what identifies the client."""
    patient = _read(views.Patient, record.patient)
    return patient is not None and any(n.family or n.given or n.text for n in patient.name)


def identifiers_of(record: VisitRecord) -> tuple[SurfaceForm, ...]:
    """Every surface form of the people and numbers that the record names, longest first.

    Unusable resources are passed over here; the mapping has complained about them, and `knows_patient` says when the
    client's own is among them.
    """
    forms: set[SurfaceForm] = set()
    patient = _read(views.Patient, record.patient)
    if patient is not None:
        forms |= set(_patient(patient))
    for raw in record.others:
        person = _read(views.Practitioner, raw)
        if person is not None:
            for name in person.name:
                forms |= set(_name("CLINICIAN", name))
            forms |= {SurfaceForm("NUMBER", i.value) for i in person.identifier if i.value and len(i.value) >= 4}
            forms |= {SurfaceForm("CONTACT", t.value) for t in person.telecom if t.value}
        relative = _read(views.RelatedPerson, raw)
        if relative is not None:
            for name in relative.name:
                forms |= set(_name("PERSON", name))
            forms |= {SurfaceForm("CONTACT", t.value) for t in relative.telecom if t.value}
        coverage = _read(views.Coverage, raw)
        if coverage is not None:
            numbers = [coverage.subscriber_id, *(i.value for i in coverage.identifier)]
            forms |= {SurfaceForm("MEMBER", n) for n in numbers if n and len(n) >= 4}
    return tuple(sorted((f for f in forms if len(f.text) >= 2), key=lambda f: (-len(f.text), f)))


def _read(view: type[views.R], raw: object) -> views.R | None:
    try:
        return views.read(view, raw)
    except views.UnusableResource:
        return None


def _patient(patient: views.Patient) -> Iterator[SurfaceForm]:
    for name in patient.name:
        yield from _name("CLIENT", name)
    for contact in patient.contact:
        if contact.name:
            yield from _name("PERSON", contact.name)
        yield from (SurfaceForm("CONTACT", t.value) for t in contact.telecom if t.value)
    yield from (SurfaceForm("MRN", i.value) for i in patient.identifier if i.value and len(i.value) >= 3)
    yield from (SurfaceForm("CONTACT", point.value) for point in patient.telecom if point.value)
    for address in patient.address:
        parts = (*address.line, address.text or "", address.postal_code or "")
        yield from (SurfaceForm("ADDRESS", part) for part in parts if len(part) >= 4)
    try:
        born = views.day(patient.birth_date)
    except ValueError:
        born = None
    if born:
        yield from (SurfaceForm("BIRTHDATE", text) for text in date_forms(born))


def date_forms(when: date) -> Iterator[str]:
    """The ways an American note writes a date."""
    m, d, y = when.month, when.day, when.year
    yield when.isoformat()
    for month in {f"{m}", f"{m:02}"}:
        for dom in {f"{d}", f"{d:02}"}:
            yield f"{y}/{month}/{dom}"
            for year in (f"{y}", f"{y % 100:02}"):
                yield from (f"{month}{sep}{dom}{sep}{year}" for sep in "/-.")
    for month in (when.strftime("%B"), when.strftime("%b")):
        yield from (f"{month} {d}{_ordinal(d)}, {y}", f"{d:02}-{month}-{y}", f"{d}-{month}-{y}")
        yield from (f"{month} {d}, {y}", f"{month} {d:02}, {y}", f"{d} {month} {y}", f"{month} {d} {y}")


def _ordinal(day: int) -> str:
    return "th" if 11 <= day % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def _name(kind: str, name: views.HumanName) -> Iterator[SurfaceForm]:
    """Full forms in any case; single words as people write them, for "Grace" is a person and "grace" is a word."""
    given = [g for g in name.given if g]
    family = name.family or ""
    if name.text:
        yield SurfaceForm(kind, name.text)
    for first in given:
        if family:
            yield from (
                SurfaceForm(kind, t)
                for t in (f"{first} {family}", f"{family}, {first}", f"{first[0]}. {family}", f"{first} {family[0]}.")
            )
            yield from (
                SurfaceForm(kind, t, any_case=False) for t in (f"{first[0]}.{family[0]}.", f"{first[0]}. {family[0]}.")
            )
    for text in (*given, family, name.text or ""):
        for word in {text, *re.split(r"[\s,/-]+", text)}:
            if len(word.strip(".")) < 2 or word.casefold() in _PARTICLES:
                continue
            any_case = text == family and len(word) >= 5
            forms = {
                word,
                word.title(),
                word.upper(),
                word.capitalize(),
                _plain(word),
                _plain(word).title(),
                _plain(word).upper(),
            }
            yield from (SurfaceForm(kind, form, any_case=any_case) for form in forms)


def _plain(word: str) -> str:
    """Without accents: what a keyboard without them makes of a name."""
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


_PARTICLES = {
    "de",
    "la",
    "le",
    "van",
    "von",
    "der",
    "den",
    "da",
    "dos",
    "del",
    "mr.",
    "mr",
    "mrs.",
    "mrs",
    "ms.",
    "ms",
    "mx.",
    "dr.",
    "dr",
    "jr",
    "jr.",
    "sr",
    "sr.",
    "ii",
    "iii",
}
