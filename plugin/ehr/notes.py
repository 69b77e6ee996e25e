"""A note's attachment to plain text: decoded under the limits, HTML without scripts, styles and hidden parts.

A note over a limit is unreadable and holds its visit; it is never cut (design: Limits).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from fhir_mappings import views
from fhir_mappings.views import Json
from fhir_mappings.visits import NoteRecord
from guardrails.visit import PSYCHOTHERAPY_NOTE_LABELS
from plugin.settings import Limits

EXTRACTOR_VERSION = "notes-1"

_PREFERENCE = ("text/plain", "text/html", "application/xhtml+xml")
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^>]*?(/?)>")
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_BLOCK = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tr",
        "ul",
    ]
)
_LEFT_OUT = frozenset(["script", "style", "template", "noscript", "head", "title", "iframe", "object", "svg", "math"])
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])|(?:left|top|text-indent)\s*:\s*-\d{3,}",
    re.IGNORECASE,
)
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad]")


class UnreadableNote(ValueError):
    """Why a note cannot be read, in words for a person; never any of its text."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of one attachment and what they are said to be."""

    content_type: str
    data: bytes = field(repr=False)


def is_psychotherapy_note(document: views.DocumentReference) -> bool:
    """Labelled as one, by whatever spelling of the code system: not even its attachment is looked at (PV-01)."""
    codings = [*document.meta.security, *(c for concept in document.security_label for c in concept.coding)]
    return any(c.code in PSYCHOTHERAPY_NOTE_LABELS for c in codings)


def choose(document: views.DocumentReference) -> views.Attachment:
    """The attachment to read: the same note may come in several formats, and plain text is the surest.

    Raises:
        UnreadableNote: there is no attachment, or none in a format that can be read.
    """
    attachments = [c.attachment for c in document.content]
    if not attachments:
        raise UnreadableNote("it has no attachment")
    for kind in _PREFERENCE:
        for each in attachments:
            if media_type(each.content_type) == kind:
                return each
    kinds = ", ".join(sorted({media_type(a.content_type) or "unnamed" for a in attachments}))
    raise UnreadableNote(f"its format is not supported ({kinds})")


def media_type(content_type: str | None) -> str:
    """The type without its parameters, lower case."""
    return (content_type or "").split(";")[0].strip().lower()


def inline_body(attachment: views.Attachment, limits: Limits) -> Body | None:
    """The attachment's inline data, or None where it is elsewhere.

    Raises:
        UnreadableNote: the data is not base64 or over the limit.
    """
    if attachment.data is None:
        return None
    if len(attachment.data) * 3 // 4 > limits.note_bytes:
        raise UnreadableNote(f"it is larger than {limits.note_bytes} bytes")
    try:
        return Body(attachment.content_type or "", base64.b64decode(re.sub(r"\s+", "", attachment.data), validate=True))
    except (binascii.Error, ValueError):
        raise UnreadableNote("its data is not base64") from None


def to_text(body: Body, limits: Limits) -> str:
    """Plain text of a note, with the line structure that a person sees.

    Raises:
        UnreadableNote: over a limit, undecodable, empty, or in a format that is not supported.
    """
    if len(body.data) > limits.note_bytes:
        raise UnreadableNote(f"it is larger than {limits.note_bytes} bytes")
    kind = media_type(body.content_type)
    text = _decode(body)
    if kind in {"text/html", "application/xhtml+xml"}:
        text = _html_to_text(text, limits)
    elif kind != "text/plain":
        raise UnreadableNote(f"its format is not supported ({kind or 'unnamed'})")
    text = _INVISIBLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    if not text.strip():
        raise UnreadableNote("it is empty")
    return text


def _decode(body: Body) -> str:
    """By the declared charset, else UTF-8 (with BOM), else cp1252; never dropping what does not decode."""
    declared = _CHARSET.search(body.content_type)
    for charset in ([declared[1]] if declared else []) + ["utf-8-sig", "cp1252"]:
        try:
            return body.data.decode(charset)
        except (UnicodeError, LookupError):
            continue
    raise UnreadableNote("its characters cannot be decoded")


def _depth(markup: str) -> int:
    """The deepest nesting of elements, by one linear scan: deep documents are refused before the parser sees them."""
    depth = deepest = 0
    for match in _TAG.finditer(markup):
        if match[2].lower() in _VOID or match[3]:
            continue
        depth += -1 if match[1] else 1
        deepest = max(deepest, depth)
    return deepest


def _html_to_text(markup: str, limits: Limits) -> str:
    if len(markup) > limits.html_characters:
        raise UnreadableNote(f"its HTML is longer than {limits.html_characters} characters")
    if _depth(markup) > limits.html_depth:
        raise UnreadableNote(f"its HTML is nested deeper than {limits.html_depth}")
    root = LexborHTMLParser(markup).body
    parts: list[str] = []
    if root is not None:
        _walk(root, parts)
    text = "".join(parts)
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r" *\t *", "\t", re.sub(r" +", " ", text)))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _walk(node: LexborNode, parts: list[str]) -> None:
    for child in node.iter(include_text=True):
        name = (child.tag or "").lower()
        if name == "-text":
            parts.append(re.sub(r"\s+", " ", child.text_content or ""))
        elif name in _LEFT_OUT or name.startswith("-") or _is_hidden(child):
            continue
        elif name == "br":
            parts.append("\n")
        elif name in {"td", "th"}:
            _walk(child, parts)
            parts.append("\t")
        else:
            if name in _BLOCK:
                parts.append("\n")
            if name == "li":
                parts.append("- ")
            _walk(child, parts)
            if name in _BLOCK:
                parts.append("\n")


def _is_hidden(node: LexborNode) -> bool:
    """Hidden text is no part of what the clinician saw and signed, and a way to smuggle instructions."""
    attributes = node.attributes
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    return bool(_HIDDEN_STYLE.search(attributes.get("style") or ""))


def read_inline(document: Json, limits: Limits) -> NoteRecord:
    """A NoteRecord from a DocumentReference that holds its own data (a Bundle); unreadable ones say why."""
    try:
        seen = views.read(views.DocumentReference, document)
        if is_psychotherapy_note(seen):
            return NoteRecord(document)
        body = inline_body(choose(seen), limits)
        if body is None:
            raise UnreadableNote("its text is not in the Bundle")
        return NoteRecord(document, to_text(body, limits))
    except views.UnusableResource as problem:
        return NoteRecord(document, unreadable_because=problem.problem)
    except UnreadableNote as problem:
        return NoteRecord(document, unreadable_because=str(problem))
