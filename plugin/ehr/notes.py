"""From a DocumentReference to a note's text, or to why there is none: which attachment, its bytes, its characters.

A note over a limit is unreadable and holds its visit; it is never cut (design: Limits). Of a psychotherapy note not even
the attachment is fetched (domain PV-01).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import mimetypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fhir_mappings import views
from fhir_mappings.records import NoteRecord
from fhir_mappings.views import Json
from guardrails.visit import PSYCHOTHERAPY_NOTE_LABELS
from plugin.ehr import formats
from plugin.ehr.extractor import Extractor, extractor
from plugin.ehr.formats import UnreadableNote
from plugin.settings import Limits

EXTRACTOR_VERSION = "notes-4"
"""Raise it when the same bytes give another text: drafts made before are then made anew."""

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad\U000e0000-\U000e007f]")
_MEDIA_TYPES = {*mimetypes.MimeTypes().types_map_inv[True], "unnamed", "application/dicom", "text/rtf", "text/xml"}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one attachment, what they are said to be, and the labels of the Binary that held them."""

    content_type: str
    data: bytes = field(repr=False)
    labels: frozenset[str] = frozenset()


Fetch = Callable[[views.Attachment], Body]
"""Gets an attachment that is not inline; raises `UnreadableNote` where it is not to be had."""


class NoteReader:
    """Reads notes under the limits. `psychotherapy_types` are the document types that a site keeps such notes under."""

    def __init__(self, limits: Limits, psychotherapy_types: frozenset[str] = frozenset()) -> None:
        self._limits = limits
        self._psychotherapy_types = psychotherapy_types
        self._extractor: Extractor = extractor(
            limits.model_dump(), seconds=limits.extract_seconds, memory_bytes=limits.extract_memory_bytes
        )

    def record(self, document: Json, fetch: Fetch) -> NoteRecord:
        """The note, from the first of its attachments that can be read; the surest format first."""
        try:
            seen = views.read(views.DocumentReference, document)
        except views.UnusableResource as problem:
            return NoteRecord(document, unreadable_because=problem.problem)
        if self._is_psychotherapy_note(seen):
            return NoteRecord(document, labels=PSYCHOTHERAPY_NOTE_LABELS)
        reasons: list[str] = []
        labels: frozenset[str] = frozenset()
        try:
            attachments = by_preference(seen)
        except UnreadableNote as problem:
            return NoteRecord(document, unreadable_because=str(problem))
        for attachment in attachments:
            try:
                body = self._body(attachment, fetch)
                labels |= body.labels
                if labels & PSYCHOTHERAPY_NOTE_LABELS:
                    return NoteRecord(document, labels=labels)
                text, remark = self.text(body)
                remarks = [r for r in (remark, _hash_remark(attachment, body)) if r]
                return NoteRecord(document, text, labels=labels, remarks=tuple(remarks))
            except UnreadableNote as problem:
                reasons.append(str(problem))
        return NoteRecord(document, unreadable_because="; ".join(dict.fromkeys(reasons)), labels=labels)

    def text(self, body: Body) -> tuple[str, str | None]:
        """Plain text of a note with the lines that a person sees, and a remark where its characters were guessed.

        Raises:
            UnreadableNote: over a limit, undecodable, empty, or in a format that is not supported.
        """
        if len(body.data) > self._limits.note_bytes:
            raise UnreadableNote(f"it is larger than {self._limits.note_bytes} bytes")
        declared = formats.format_of(body.content_type)
        if declared is None:
            raise UnreadableNote(_not_supported([body.content_type]))
        kind = (formats.sniffed(body.data) or declared) if declared == formats.PLAIN else declared
        if kind == formats.PLAIN:  # decoding alone cannot hang: no child is needed
            text, remark = formats.decode(body.data, body.content_type)
        else:
            text, remark = self._extractor.text(kind, body.data, body.content_type)
        text = _INVISIBLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
        text = _CONTROL.sub(" ", text)
        if not text.strip():
            raise UnreadableNote("it is empty")
        if len(text) > self._limits.note_characters:
            raise UnreadableNote(f"it is longer than {self._limits.note_characters} characters")
        return text, remark

    def close(self) -> None:
        """End the extractor's child process."""
        self._extractor.close()

    def _body(self, attachment: views.Attachment, fetch: Fetch) -> Body:
        if attachment.data is None:
            if attachment.size is not None and attachment.size > self._limits.note_bytes:
                raise UnreadableNote(f"it is larger than {self._limits.note_bytes} bytes")
            return fetch(attachment)
        return Body(attachment.content_type or "", _unpacked(attachment.data, self._limits))

    def _is_psychotherapy_note(self, document: views.DocumentReference) -> bool:
        """Labelled as one by whatever spelling of the code system, or of a type that the site keeps them under."""
        labels = [*document.meta.security, *(c for concept in document.security_label for c in concept.coding)]
        types = [*document.type.coding, *(c for concept in document.category for c in concept.coding)]
        return any(c.code in PSYCHOTHERAPY_NOTE_LABELS for c in labels) or any(
            c.code in self._psychotherapy_types for c in types
        )


def by_preference(document: views.DocumentReference) -> list[views.Attachment]:
    """The attachments in formats that can be read, the surest first: the same note may come in several.

    Raises:
        UnreadableNote: there is no attachment, or none in such a format.
    """
    attachments = [c.attachment for c in document.content]
    if not attachments:
        raise UnreadableNote("it has no attachment")
    known = [(formats.format_of(a.content_type or ""), a) for a in attachments]
    readable = sorted(
        ((formats.SUREST_FIRST.index(kind), n) for n, (kind, _) in enumerate(known) if kind is not None),
    )
    if not readable:
        raise UnreadableNote(_not_supported([a.content_type for a in attachments]))
    return [attachments[n] for _, n in readable]


def binary_body(attachment: views.Attachment, content_type: str, data: bytes, limits: Limits) -> Body:
    """What an attachment's URL answered: a Binary resource as JSON, or raw bytes, by what the answer says it is.

    Raises:
        UnreadableNote: it is JSON and no Binary with data.
    """
    if "json" not in content_type:
        return Body(attachment.content_type or content_type, data)
    try:
        return binary_of(attachment, json.loads(data), limits)
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, UnreadableNote):
            raise
        raise UnreadableNote("its attachment is no Binary with data") from None


def binary_of(attachment: views.Attachment, resource: Json, limits: Limits) -> Body:
    """The body that a Binary resource holds, with the labels of that resource.

    Raises:
        UnreadableNote: it is no Binary with data.
    """
    try:
        binary = views.read(views.Binary, resource)
    except views.UnusableResource as problem:
        raise UnreadableNote(f"its Binary cannot be used ({problem.problem})") from None
    labels = frozenset(c.code for c in binary.meta.security if c.code)
    if binary.data is None:
        raise UnreadableNote("its attachment is no Binary with data")
    return Body(attachment.content_type or binary.content_type or "", _unpacked(binary.data, limits), labels)


def _unpacked(data: str, limits: Limits) -> bytes:
    if len(data) * 3 // 4 > limits.note_bytes:
        raise UnreadableNote(f"it is larger than {limits.note_bytes} bytes")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableNote("its data is not base64") from None


def _hash_remark(attachment: views.Attachment, body: Body) -> str | None:
    """A hash that does not match is only remarked upon: servers compute it over many things (fhir 2.5)."""
    if attachment.hash is None:
        return None
    digest = base64.b64encode(hashlib.sha1(body.data, usedforsecurity=False).digest()).decode("ascii")
    return None if digest == attachment.hash.strip() else "its bytes do not have the hash that the EHR states"


def _not_supported(content_types: Sequence[str | None]) -> str:
    kinds = sorted({(t or "").split(";")[0].strip().lower() or "unnamed" for t in content_types})
    shown = sorted({k if k in _MEDIA_TYPES else "unusual" for k in kinds})
    return f"its format is not supported ({', '.join(shown)})"
