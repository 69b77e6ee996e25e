"""From a FHIR Bundle to the records of its visits, entry by entry: one bad entry never fails the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fhir_mappings.records import ContextRecord, Found, NoteRecord, VisitRecord
from fhir_mappings.views import Json, UnusableResource, cleaned, is_id, is_type, json_type, objects, reference_of
from guardrails.visit import NotLookedUp

ReadNote = Callable[[Json, Mapping[str, Json]], NoteRecord]
"""Turns a DocumentReference into text; the Binaries of the same Bundle come along by their `Binary/id`."""

_PER_VISIT = {"Encounter", "DocumentReference", "Patient", "Binary", "Claim", "ClaimResponse", "CarePlan", "Consent"}


class UnusableBundle(ValueError):
    """The file is no FHIR Bundle: the message says what it is and what to do."""


def resources_of(bundle: Any) -> tuple[list[Json], list[str]]:
    """The resources of a Bundle and a complaint for each entry without one.

    Raises:
        UnusableBundle: not a JSON object of resourceType Bundle.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        kind = bundle.get("resourceType") if isinstance(bundle, dict) else None
        found = f"a {kind}" if is_type(kind) else json_type(bundle)
        raise UnusableBundle(f"expected a FHIR Bundle, found {found}; export the visit as a Bundle")
    entries = bundle.get("entry")
    if not isinstance(entries, list):
        entries = []
    good: dict[str, Json] = {}
    problems: list[str] = []
    places: dict[str, str] = {}
    twice: set[str] = set()
    for number, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not is_type(resource.get("resourceType")) or not is_id(resource.get("id")):
            problems.append(f"Bundle.entry[{number}]: no resource with resourceType and id; it was left out")
            continue
        place = f"{resource['resourceType']}/{resource['id']}"
        try:
            usable = cleaned(resource)
        except UnusableResource as problem:
            problems.append(f"Bundle.entry[{number}]: {problem}; it was left out")
            continue
        if good.setdefault(place, usable) != usable:
            twice.add(place)
        if isinstance(entry.get("fullUrl"), str):
            places[entry["fullUrl"]] = place
    for place in sorted(twice):
        del good[place]
        problems.append(f"{place}: stands in the Bundle twice and not the same; both were left out, export it once")
    return [_resolved(resource, places) for resource in good.values()], problems


def _resolved(value: Any, places: dict[str, str]) -> Any:
    """The same JSON with references to an entry's fullUrl (`urn:uuid:...`, absolute) as `Type/id`."""
    if isinstance(value, dict):
        return {
            k: places.get(v, v) if k in {"reference", "url"} and isinstance(v, str) else _resolved(v, places)
            for k, v in value.items()
        }
    return [_resolved(each, places) for each in value] if isinstance(value, list) else value


def visits_in(bundle: Any, read_note: ReadNote, *, ehr_id: str, earlier_notes: int = 20) -> Iterator[VisitRecord]:
    """The record of each Encounter in a Bundle; `read_note` turns a DocumentReference into text.

    Of each client's notes from other visits, the latest `earlier_notes` are read too.

    Raises:
        UnusableBundle: see `resources_of`; or it holds no Encounter that can be used.
    """
    resources, problems = resources_of(bundle)
    if not any(r["resourceType"] == "Encounter" for r in resources):
        raise UnusableBundle("; ".join(["the Bundle holds no Encounter", *problems]))
    patients = {f"Patient/{r['id']}": r for r in resources if r["resourceType"] == "Patient"}
    shared = tuple(r for r in resources if r["resourceType"] not in _PER_VISIT)
    binaries = {f"Binary/{r['id']}": r for r in resources if r["resourceType"] == "Binary"}
    for encounter in (r for r in resources if r["resourceType"] == "Encounter"):
        subject = reference_of(encounter.get("subject"))
        documents = [r for r in resources if r["resourceType"] == "DocumentReference"]
        here = f"Encounter/{encounter['id']}"
        mine, moved = of_visit(documents, here)
        foreign = [d for d in mine if not of_client(d, subject)]
        yield VisitRecord(
            ehr_id=ehr_id,
            encounter=encounter,
            patient=patients.get(subject),
            notes=tuple(read_note(d, binaries) for d in mine if d not in foreign),
            others=tuple(r for r in shared if about(r) in (None, subject)),
            context=_context(
                [r for r in resources if about(r) == subject],
                tuple(read_note(d, binaries) for d in earlier_documents(documents, encounter)[:earlier_notes]),
            ),
            problems=(*problems, *moved, *map(another_clients, foreign)),
        )


def _context(of_client: Sequence[Json], earlier_notes: tuple[NoteRecord, ...]) -> ContextRecord:
    """What the Bundle itself holds around a visit. A kind of resource that it does not hold was not looked up."""

    def held(*kinds: str) -> Found:
        found = tuple(r for r in of_client if r["resourceType"] in kinds)
        return found or NotLookedUp("the Bundle holds none")

    return ContextRecord(
        encounters=held("Encounter"),
        claims=held("Claim"),
        plans=held("CarePlan"),
        authorizations=held("ClaimResponse"),
        consents=held("Consent"),
        earlier_notes=earlier_notes or NotLookedUp("the Bundle holds none"),
    )


def earlier_documents(documents: Sequence[Json], encounter: Json) -> list[Json]:
    """The same client's documents of other visits that are not dated after this one's start, the latest first."""
    here, subject = f"Encounter/{encounter.get('id')}", reference_of(encounter.get("subject"))
    period = encounter.get("period")
    until = str(period.get("start") or "") if isinstance(period, dict) else ""
    earlier = [
        d
        for d in documents
        if reference_of(d.get("subject")) == subject
        and here not in encounters_of(d)
        and d.get("status") == "current"
        and (not until or str(d.get("date") or "")[:10] <= until[:10])
    ]
    return sorted(earlier, key=lambda d: (str(d.get("date") or ""), str(d.get("id"))), reverse=True)


def of_client(document: Json, subject: str) -> bool:
    """Whether a document is about this client, as far as document and visit say whom they are about."""
    return not subject or reference_of(document.get("subject")) in ("", subject)


def another_clients(document: Json) -> str:
    """What is said of a document that names the visit and another client."""
    logical_id = document.get("id")
    named = f"DocumentReference/{logical_id}" if is_id(logical_id) else "A DocumentReference without id"
    return f"{named}: subject: another client than the visit's; it was not used, correct it in the EHR"


def of_visit(documents: Sequence[Json], encounter: str) -> tuple[list[Json], list[str]]:
    """The documents of a visit (`Encounter/id`), and what is said of those of its own that were replaced elsewhere.

    A correction or addendum that names no visit belongs to that of the note it replaces or continues (fhir 2.2, 2.3); a
    note that was replaced by another visit's is none of this one any more.
    """
    mine = {str(d.get("id")): d for d in documents if encounter in encounters_of(d)}
    of_none: dict[str, list[Json]] = {}
    moved: set[str] = set()
    for document in documents:
        visits = encounters_of(document)
        if "entered-in-error" in (document.get("status"), document.get("docStatus")) or encounter in visits:
            continue
        for target in _targets(document, "replaces") if visits else _targets(document, "replaces", "appends"):
            if visits:
                moved.add(target)
            else:
                of_none.setdefault(target, []).append(document)
    queue = list(mine)
    for logical_id in queue:
        for document in of_none.get(logical_id, ()):
            if str(document.get("id")) not in mine:
                mine[str(document.get("id"))] = document
                queue.append(str(document.get("id")))
    said = [
        f"DocumentReference/{each}: was replaced by a note of another visit; it was not used"
        for each in sorted(moved & mine.keys())
    ]
    return [d for logical_id, d in mine.items() if logical_id not in moved], said


def _targets(document: Json, *codes: str) -> set[str]:
    """The ids of the documents to which this one says it stands in one of those relations."""
    relations = [r for r in objects(document.get("relatesTo")) if r.get("code") in codes]
    targets = (reference_of(r.get("target")).partition("/") for r in relations)
    return {logical_id for kind, _, logical_id in targets if kind == "DocumentReference"}


def encounters_of(document: Json) -> set[str]:
    """The encounters that a DocumentReference's context names, as `Encounter/id`."""
    context = document.get("context")
    listed = context.get("encounter") if isinstance(context, dict) else None
    return {reference_of(each) for each in objects(listed)}


def about(resource: Json) -> str | None:
    """The patient whom a Condition, Coverage or Account is about; None for resources that are about nobody."""
    for key in ("subject", "beneficiary", "patient"):
        if key in resource:
            named = resource[key]
            return reference_of(named[0] if isinstance(named, list) and named else named)
    return None
