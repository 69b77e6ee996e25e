"""The DocumentReferences of a visit to its NoteSet: which stands, which was replaced, which is the same note again.

Superseded text is never evidence. Each note, an addendum too, stands on its own signature (domain 4.8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from fhir_mappings import views
from fhir_mappings.clinicians import Clinicians
from fhir_mappings.complaints import Complaints
from fhir_mappings.records import NoteRecord
from guardrails.documentation import has_signature, signed_at
from guardrails.visit import (
    PART_2_NOTE_TYPES,
    PSYCHOTHERAPY_NOTE_LABELS,
    Clinician,
    Note,
    NoteRole,
    NoteSet,
    NoteStatus,
)

_STATUSES = {"current", "superseded", "entered-in-error"}
_SIGNED = {"final", "amended", None}
_CLINICAL = ("Practitioner", "PractitionerRole")
_Document = tuple[views.DocumentReference, NoteRecord]


def note_set(
    records: Sequence[NoteRecord],
    clinicians: Clinicians,
    performer: Clinician | None,
    zone: ZoneInfo | None,
    complaints: Complaints,
) -> NoteSet:
    """The notes in the order of their dates; what cannot be understood is kept as unreadable."""
    read = [(complaints.read(views.DocumentReference, r.document), r) for r in records]
    documents = sorted(
        ((d, r) for d, r in read if d is not None),
        key=lambda each: (bool({"appends", "signs"} & _relations(each[0])), each[0].date or "", each[0].id),
    )
    for document, record in documents:
        for remark in record.remarks:
            complaints.add(f"DocumentReference/{document.id}: {remark}; compare it with the EHR")
    links = _Links(documents)
    notes = []
    for document, record in documents:
        author, signed = _author(document, links.signatures.get(document.id, ()), clinicians, performer)
        status, why = _status(document, record, links, signed)
        notes.append(_note(document, record, status, why, author, zone))
    unusable = (_unusable(r) for d, r in read if d is None)
    return NoteSet((*notes, *unusable))


def labels_of(codings: Iterable[views.Coding]) -> frozenset[str]:
    """Every label's code, whatever spelling of the system it comes under: an unknown one must reach a person."""
    return frozenset(c.code for c in codings if c.code)


class _Links:
    """What the documents' `relatesTo` say about each other."""

    def __init__(self, documents: Sequence[_Document]) -> None:
        standing = {d.id: (d, r) for d, r in documents if "entered-in-error" not in (d.status, d.doc_status)}
        successors: dict[str, set[str]] = {}
        for logical_id, (document, _) in standing.items():
            for target in _targets(document, "replaces"):
                successors.setdefault(target, set()).add(logical_id)
        self.replaced = frozenset(successors)
        self.circular = frozenset(n for n in successors if _reaches(n, n, successors))
        self.signatures: dict[str, tuple[views.Reference, ...]] = {}
        for document, _ in standing.values():
            for target in _targets(document, "signs") if document.doc_status in _SIGNED else ():
                self.signatures[target] = (*self.signatures.get(target, ()), *document.author)
        self.renditions = self._renditions(standing)

    def _renditions(self, standing: Mapping[str, _Document]) -> frozenset[str]:
        """Documents that are another one's words again: transformed from it, at the same URL, or the same text by the same author."""
        again: set[str] = set()
        seen: set[tuple[object, ...]] = set()
        signed_first = sorted(standing.items(), key=lambda each: each[1][0].doc_status not in _SIGNED)
        for logical_id, (document, record) in signed_first:
            if logical_id in self.replaced or document.status != "current":
                continue
            originals = (standing.get(t) for t in _targets(document, "transforms") if t != logical_id)
            if any(o is not None and o[1].text and o[0].status == "current" for o in originals):
                again.add(logical_id)
                continue
            keys: list[tuple[object, ...]] = [("url", c.attachment.url) for c in document.content if c.attachment.url]
            if record.text:
                keys.append(("text", record.text, tuple(a.reference for a in document.author)))
            if seen.intersection(keys):
                again.add(logical_id)
            seen.update(keys)
        return frozenset(again)


def _relations(document: views.DocumentReference) -> set[str | None]:
    return {relation.code for relation in document.relates_to}


def _targets(document: views.DocumentReference, code: str) -> list[str]:
    ids = (r.target.id_of("DocumentReference") for r in document.relates_to if r.code == code)
    return [each for each in ids if each]


def _reaches(start: str, goal: str, successors: Mapping[str, set[str]]) -> bool:
    queue, seen = list(successors.get(start, ())), set()
    while queue:
        here = queue.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            queue += successors.get(here, ())
    return False


def _author(
    document: views.DocumentReference,
    signatures: Sequence[views.Reference],
    clinicians: Clinicians,
    performer: Clinician | None,
) -> tuple[Clinician | None, bool]:
    """Who wrote the note, and whether the EHR says that this person signed it, in it or in a document that signs it.

    A scribe writes, the clinician who did the work signs: then the signer counts as author. A signature by anybody else,
    an organization, the client, or somebody of whom nothing can be read, is none of the author's (domain 4.8).
    """
    author = clinicians.first(document.author)
    written_by = {each.reference for each in document.author}
    for signature in (document.authenticator, *signatures):
        if signature is None or not signature.reference:
            continue
        signer = clinicians.of(signature)
        if signer is None:
            if author is None and signature.reference in written_by and signature.id_of(*_CLINICAL):
                return None, True  # whoever it is, it is the same
            continue
        if author is None or signer.id == author.id:
            return author or signer, True
        if performer is not None and signer.id == performer.id:
            return signer, True
    return author, False


def _status(
    document: views.DocumentReference, record: NoteRecord, links: _Links, signed: bool
) -> tuple[NoteStatus, str | None]:
    """Domain 4.8. A final note without its author as authenticator counts as signed only if its text carries the signature."""
    if "entered-in-error" in (document.status, document.doc_status):
        return NoteStatus.ENTERED_IN_ERROR, None
    if document.status not in _STATUSES:
        return NoteStatus.UNREADABLE, "its status is none that FHIR knows"
    if document.id in links.circular:
        return NoteStatus.UNREADABLE, "it and another note say that they replace each other"
    if document.status == "superseded" or document.id in links.replaced:
        return NoteStatus.SUPERSEDED, None
    if document.id in links.renditions:
        return NoteStatus.RENDITION, None
    if document.doc_status not in _SIGNED:
        return NoteStatus.UNSIGNED, None
    if record.unreadable_because:
        return NoteStatus.UNREADABLE, record.unreadable_because
    if signed or (document.doc_status and has_signature(record.text)):
        return NoteStatus.SIGNED, None
    return NoteStatus.UNSIGNED, None


def _note(
    document: views.DocumentReference,
    record: NoteRecord,
    status: NoteStatus,
    why: str | None,
    author: Clinician | None,
    zone: ZoneInfo | None,
) -> Note:
    relations = _relations(document)
    role = NoteRole.BASE
    if "replaces" in relations:
        role = NoteRole.REPLACEMENT
    elif "appends" in relations:
        role = NoteRole.ADDENDUM
    types = [c.code for c in document.type.coding if c.code]
    labels = record.labels | labels_of(document.meta.security)
    labels |= labels_of(c for concept in document.security_label for c in concept.coding)
    if PART_2_NOTE_TYPES.intersection(types):
        labels |= {"SUD"}
    hidden = bool(labels & PSYCHOTHERAPY_NOTE_LABELS)
    return Note(
        id=document.id,
        version=document.meta.version_id or "",
        text="" if hidden else record.text,
        status=status,
        role=role,
        author=author,
        signed_at=None if hidden else signed_at(record.text, zone),
        type_code=next(iter(types), None),
        continues=next(iter(_targets(document, "appends")), None),
        labels=labels,
        unreadable_because=why,
    )


def _unusable(record: NoteRecord) -> Note:
    """A document that cannot be understood is kept as unreadable: it may replace or correct the others."""
    logical_id = record.document.get("id")
    return Note(
        id=logical_id if views.is_id(logical_id) else "without-id",
        version="",
        text="",
        status=NoteStatus.UNREADABLE,
        unreadable_because="its DocumentReference cannot be used",
    )
