"""The formats a note comes in, each to the plain text that a person would see. Runs in a child process (`extractor`).

What is hidden from a reader, or struck out, is no part of what the clinician signed, and a way to smuggle instructions: it is
left out.
What cannot be read in full is not read at all; nothing is ever cut.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from plugin.ehr import looks

PLAIN = "text/plain"
HTML = "text/html"
RTF = "text/rtf"
CCDA = "application/cda+xml"
PDF = "application/pdf"

SUREST_FIRST = (PLAIN, HTML, RTF, CCDA, PDF)
"""The same note may come in several formats; the earlier one loses less on its way to text (fhir 2.5)."""

_SAME_AS = {
    "application/xhtml+xml": HTML,
    "application/rtf": RTF,
    "text/richtext": RTF,
    "application/xml": CCDA,
    "text/xml": CCDA,
    "application/hl7-cda+xml": CCDA,
    "application/x-pdf": PDF,
}


_NAMES = {PLAIN: "text", HTML: "HTML", RTF: "RTF", CCDA: "XML", PDF: "PDF"}


class UnreadableNote(ValueError):
    """Why a note cannot be read, in words for a person; never any of its text."""


@dataclass(frozen=True, slots=True)
class FormatLimits:
    """What is read at most, by format: bytes, characters, levels, pages."""

    html_characters: int
    html_depth: int
    rtf_bytes: int
    ccda_bytes: int
    pdf_bytes: int
    pdf_pages: int


def format_of(content_type: str) -> str | None:
    """The format that a content type names, or None where it is none we read."""
    media_type = content_type.split(";")[0].strip().lower()
    known = _SAME_AS.get(media_type, media_type)
    return known if known in SUREST_FIRST else None


def sniffed(data: bytes) -> str | None:
    """The format that the bytes themselves declare: many servers send everything as text/plain."""
    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"%pdf-"):
        return PDF
    if start.startswith(b"{\\rtf"):
        return RTF
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    if start.startswith((b"<clinicaldocument", b"<?xml")) and b"clinicaldocument" in start:
        return CCDA
    return None


_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
_WINDOWS = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}
"""What is called ISO-8859-1 is Windows-1252 nearly always (WHATWG reads it so): the former has control characters there."""
_META_CHARSET = re.compile(rb"<meta[^>]{0,100}charset=[\"']?([\w-]+)", re.IGNORECASE)


def decode(data: bytes, content_type: str) -> tuple[str, str | None]:
    """Characters by byte order mark, declared charset, UTF-8, else Windows-1252: with a remark where that was a guess.

    Raises:
        UnreadableNote: none of them decodes every byte.
    """
    for mark, charset in _BOMS:
        if data.startswith(mark):
            return _decoded(data, charset), None
    declared = _CHARSET.search(content_type)
    meta = _META_CHARSET.search(data[:2048])
    names = [declared[1]] if declared else [meta[1].decode("ascii")] if meta else []
    for charset in [*names, "utf-8"]:
        try:
            text = data.decode(charset)
            return (text.translate(_WINDOWS) if codecs.lookup(charset).name == "iso8859-1" else text), None
        except (UnicodeError, LookupError, ValueError):
            continue
    return _decoded(data, "cp1252"), "its characters were taken as Windows-1252, for its charset is not declared"


def _decoded(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except UnicodeError:
        raise UnreadableNote("its characters cannot be decoded") from None


def to_text(kind: str, data: bytes, content_type: str, limits: FormatLimits) -> tuple[str, str | None]:
    """The text of a note in one of the formats, and a remark where its characters were guessed.

    Raises:
        UnreadableNote: over a limit, damaged, protected, or with parts that cannot be read.
    """
    try:
        if kind in (PLAIN, HTML):
            text, remark = decode(data, content_type)
            return (_html(text, limits) if kind == HTML else text), remark
        readers: dict[str, Callable[[bytes, FormatLimits], str]] = {RTF: _rtf, CCDA: _ccda, PDF: _pdf}
        return readers[kind](data, limits), None
    except (UnreadableNote, RecursionError, MemoryError, ImportError):  # the last where a library has no room to load
        raise
    except Exception:  # the libraries raise many kinds for damaged files, and their words may quote the note
        raise UnreadableNote(f"its {_NAMES[kind]} is damaged") from None


# --- HTML ---

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
_LEFT_OUT = frozenset(
    """script style template noscript head title iframe object svg math del s strike datalist canvas audio video noembed
    noframes rp""".split()
)
_SAYS_NOTHING = frozenset(["hidden", "button", "submit", "reset", "image"])
_TICKED = frozenset(["checkbox", "radio"])


def _depth(markup: str, void: frozenset[str]) -> int:
    """The deepest nesting of elements, by one linear scan: deep documents are refused before the parser sees them."""
    depth = deepest = 0
    for match in _TAG.finditer(markup):
        if match[2].lower() in void or match[3]:
            continue
        depth += -1 if match[1] else 1
        deepest = max(deepest, depth)
    return deepest


def _html(markup: str, limits: FormatLimits) -> str:
    from selectolax.lexbor import LexborHTMLParser

    if len(markup) > limits.html_characters:
        raise UnreadableNote(f"its HTML is longer than {limits.html_characters} characters")
    if _depth(markup, _VOID) > limits.html_depth:
        raise UnreadableNote(f"its HTML is nested deeper than {limits.html_depth}")
    parser = LexborHTMLParser(markup)
    parts: list[str] = []
    try:
        looks.apply_style_sheets(parser)
        if parser.root is not None:
            _walk(parser.root.parent, parts, looks.Look())
    except looks.Unclear:
        raise UnreadableNote("its HTML shows and hides words in a way that only a person can follow") from None
    return _tidy("".join(parts))


def _walk(node: Any, parts: list[str], look: looks.Look) -> None:
    for child in node.iter(include_text=True):
        name = (child.tag or "").lower()
        if name == "-text":
            words = re.sub(r"[^\S\n]+" if look.lines_kept else r"\s+", " ", child.text_content or "")
            if not words.strip() or look.shows():
                parts.append(words)
            continue
        if name in _LEFT_OUT or name.startswith("-"):
            continue
        attributes = child.attributes
        inner = looks.within(name, attributes, look)
        if inner is None:
            continue
        if _is_filled(name, attributes) and inner.shows():
            raise UnreadableNote("its HTML is a filled form, whose fields are not part of its text")
        if name == "br" or name in _BLOCK:
            parts.append("\n")
        if name == "li" and inner.shows():
            parts.append("- ")
        _walk(child, parts, inner)
        if name in {"td", "th"}:
            parts.append("\t")
        if name in _BLOCK:
            parts.append("\n")


def _is_filled(name: str, attributes: dict[str, str | None]) -> bool:
    """Whether a field says something that is no text: a choice, a value, or by a tick what the words beside it are worth.

    A text area is none, for what it says stands in it as text.
    """
    kind = (attributes.get("type") or "").lower()
    if name != "input" or kind in _SAYS_NOTHING:
        return name == "select"
    return kind in _TICKED or bool((attributes.get("value") or "").strip())


def _tidy(text: str) -> str:
    """Runs of blanks to one, no blanks at line ends, at most one empty line."""
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r" *\t *", "\t", re.sub(r" +", " ", text)))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


# --- RTF ---

_RTF_TOKEN = re.compile(r"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'[0-9a-fA-F]{2}|\\.|[{}]|[^\\{}]+|\\", re.DOTALL)
_RTF_BINARY = re.compile(rb"\\bin(\d{1,9})[ ]?")
_RTF_CODEPAGE = re.compile(rb"\\ansicpg(\d{3,5})")
_RTF_CELL = re.compile(r"\\(?:nest)?cell(?![a-zA-Z])")
_RTF_HIDES = re.compile(r"\\(?:v|deleted|striked?)(?![a-zA-Z])")


def _rtf(data: bytes, limits: FormatLimits) -> str:
    from striprtf.striprtf import rtf_to_text

    if len(data) > limits.rtf_bytes:
        raise UnreadableNote(f"its RTF is larger than {limits.rtf_bytes} bytes")
    data = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not data.startswith(b"{\\rtf"):
        raise UnreadableNote("it is said to be RTF and is not")
    if not data.rstrip(b" \t\r\n\0").endswith(b"}"):
        raise UnreadableNote("its RTF is cut off")
    page = _RTF_CODEPAGE.search(data)
    codepage = f"cp{int(page[1])}" if page else "cp1252"
    try:
        source = _without_binary(data).decode("utf-8" if codepage == "cp65001" else codepage, "surrogateescape")
        convert: Callable[..., str] = rtf_to_text  # untyped there
        text = str(convert(_RTF_CELL.sub(r"\\tab", _without_hidden(source)), encoding=codepage, errors="strict"))
        text.encode("utf-8")
    except (UnicodeError, LookupError):
        raise UnreadableNote("its characters cannot be decoded") from None
    return _tidy(text)


def _without_binary(data: bytes) -> bytes:
    """Raw picture bytes after `\\binN` taken out: they may hold braces."""
    parts, position = [], 0
    while (match := _RTF_BINARY.search(data, position)) is not None:
        parts.append(data[position : match.start()])
        position = match.end() + int(match[1])
    return b"".join([*parts, data[position:]])


def _without_hidden(source: str) -> str:
    """The same RTF without its hidden (`\\v`), deleted (`\\deleted`) and struck (`\\strike`) runs, which are not the note."""
    if not _RTF_HIDES.search(source):
        return source
    kept: list[str] = []
    state: set[str] = set()
    outer: list[set[str]] = []
    for match in _RTF_TOKEN.finditer(source):
        piece, word = match[0], match[1]
        if piece == "{":
            outer.append(set(state))
        elif piece == "}":
            state = outer.pop() if outer else set()
        elif word in {"v", "deleted", "strike", "striked"}:
            (state.discard if match[2] == "0" else state.add)(word)
            continue
        elif word == "plain":
            state &= {"deleted"}
        elif state and (word in {None, "u"} or word in _RTF_SIGNS):
            continue  # characters; other control words stay, for they shape what follows
        kept.append(piece)
    return "".join(kept)


_RTF_SIGNS = frozenset(
    ["tab", "emdash", "endash", "emspace", "enspace", "bullet", "lquote", "rquote", "ldblquote", "rdblquote"]
)


# --- C-CDA ---

_CDA = "{urn:hl7-org:v3}"
_LINES = frozenset({"paragraph", "list", "item", "table", "tr", "caption", "title", "section"})


def _ccda(data: bytes, limits: FormatLimits) -> str:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if len(data) > limits.ccda_bytes:
        raise UnreadableNote(f"its XML is larger than {limits.ccda_bytes} bytes")
    if _depth(data.decode("latin-1"), frozenset()) > limits.html_depth:
        raise UnreadableNote(f"its XML is nested deeper than {limits.html_depth}")
    try:
        root = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as problem:
        dangerous = isinstance(problem, DefusedXmlException)
        raise UnreadableNote("its XML declares entities" if dangerous else "its XML is damaged") from None
    if root.tag != f"{_CDA}ClinicalDocument":
        raise UnreadableNote("its XML is no clinical document (C-CDA)")
    parts = [_said(root.find(f"{_CDA}title")), "\n"]
    unstructured = root.find(f"{_CDA}component/{_CDA}nonXMLBody/{_CDA}text")
    if unstructured is not None:
        parts.append(_unstructured(unstructured, limits))
    for section in root.iterfind(f"{_CDA}component/{_CDA}structuredBody/{_CDA}component/{_CDA}section"):
        _section(section, parts)
    parts += _attested(root)
    return _tidy("".join(parts).translate(_WINDOWS))


def _section(section: Element, parts: list[str]) -> None:
    """A section's title and narrative, which is the part that a person reads and attests; entries are not read."""
    parts += ["\n\n", _said(section.find(f"{_CDA}title")), "\n"]
    narrative = section.find(f"{_CDA}text")
    if narrative is not None:
        _narrative(narrative, parts)
    for inner in section.iterfind(f"{_CDA}component/{_CDA}section"):
        _section(inner, parts)


def _narrative(node: Element, parts: list[str]) -> None:
    if node.text:
        parts.append(re.sub(r"\s+", " ", node.text))
    for child in node:
        name = child.tag.removeprefix(_CDA) if isinstance(child.tag, str) else ""
        if name == "br":
            parts.append("\n")
        elif name and name != "renderMultiMedia" and child.get("revised") != "delete":
            if name in _LINES:
                parts.append("\n")
            if name == "item":
                parts.append("- ")
            _narrative(child, parts)
            parts.append("\t" if name in {"td", "th"} else "\n" if name in _LINES else "")
        if child.tail:
            parts.append(re.sub(r"\s+", " ", child.tail))


def _unstructured(text: Element, limits: FormatLimits) -> str:
    media_type, said = text.get("mediaType") or PLAIN, text.text or ""
    kind, packed = format_of(media_type), text.get("representation") == "B64"
    try:
        data = base64.b64decode("".join(said.split()), validate=True) if packed else said.encode()
    except (binascii.Error, ValueError):
        raise UnreadableNote("its unstructured body is not base64") from None
    if kind == PLAIN:
        kind = sniffed(data) or kind
    if len(text) or kind is None or kind == CCDA or (kind == PDF and not packed):  # such as a reference to a file
        raise UnreadableNote("its unstructured body is elsewhere or in a format that is not supported")
    return to_text(kind, data, media_type if packed else f"{kind}; charset=utf-8", limits)[0]


def _attested(root: Element) -> Iterator[str]:
    """The signatures in the header, as every rendering of a C-CDA shows them."""
    for role in ("legalAuthenticator", "authenticator"):
        for signer in root.iterfind(f"{_CDA}{role}"):
            code = signer.find(f"{_CDA}signatureCode")
            name = signer.find(f"{_CDA}assignedEntity/{_CDA}assignedPerson/{_CDA}name")
            if code is None or code.get("code") != "S" or name is None:
                continue
            words = [" ".join((part or "").split()) for part in name.itertext()]
            time = signer.find(f"{_CDA}time")
            yield f"\n\nElectronically signed by {' '.join(w for w in words if w)}{_when(time)}\n"


def _when(time: Element | None) -> str:
    match = re.match(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d))?", (time.get("value") or "") if time is not None else "")
    if match is None:
        return ""
    return f" on {match[2]}/{match[3]}/{match[1]}" + (f" at {match[4]}:{match[5]}" if match[4] else "")


def _said(node: Element | None) -> str:
    return " ".join("".join(node.itertext()).split()) if node is not None else ""


# --- PDF ---

_NO_WORDS = frozenset(["/Link", "/Widget", "/Popup"])
"""Annotations that say nothing of their own: a form's fields are asked for by their values, a pop-up has a parent."""


def _pdf(data: bytes, limits: FormatLimits) -> str:
    from pypdf import PdfReader

    if len(data) > limits.pdf_bytes:
        raise UnreadableNote(f"its PDF is larger than {limits.pdf_bytes} bytes")

    pictures: set[int] = set()

    def shown(operator: bytes, operand: Any, *_: Any) -> None:
        if operator == b"INLINE IMAGE":
            pictures.add(len(pages))
        if operator == b"Tr" and operand and operand[0] == 3:
            raise UnreadableNote("its PDF holds invisible text (such as a scan's recognised words)")

    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableNote("its PDF is protected by a password")
    if len(reader.pages) > limits.pdf_pages:
        raise UnreadableNote(f"its PDF has more than {limits.pdf_pages} pages")
    if any(field.get("/V") not in (None, "", "/Off") for field in (reader.get_fields() or {}).values()):
        raise UnreadableNote("its PDF is a filled form, whose fields are not part of its text")
    pages: list[str] = []
    for page in reader.pages:
        if any(note.get_object().get("/Subtype") not in _NO_WORDS for note in page.annotations or ()):
            raise UnreadableNote(
                "its PDF is annotated, and what is written or struck out there is not part of its text"
            )
        if (page.get("/Resources") or {}).get("/XObject"):
            pictures.add(len(pages))
        pages.append(page.extract_text(visitor_operand_before=shown))
    empty = {number for number, words in enumerate(pages) if not words.strip()}
    if len(empty) == len(pages) or empty & pictures:
        raise UnreadableNote("a page of its PDF has no text: it is a scan, which only a person can read")
    return _tidy("\n\n".join(pages))
