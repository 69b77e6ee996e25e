"""Notes in the formats that EHRs send, made from plain lines: for tests and for the benchmark of reading."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def html(lines: Sequence[str], extra: str = "") -> bytes:
    """An HTML note, one paragraph a line; `extra` is put at its end as it is."""
    body = "".join(f"<p>{escape(line)}</p>\n" for line in lines)
    return f"<!DOCTYPE html><html><head><title>Note</title></head><body>{body}{extra}</body></html>".encode()


def rtf(lines: Sequence[str], extra: str = "") -> bytes:
    """An RTF note, one paragraph a line; `extra` is RTF put at its end."""

    def encoded(text: str) -> str:
        out = []
        for char in text:
            if char in "\\{}":
                out.append("\\" + char)
            elif ord(char) < 128:
                out.append(char)
            else:
                out.append(f"\\u{ord(char) if ord(char) < 32768 else ord(char) - 65536}?")
        return "".join(out)

    head = r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss\fcharset0 Arial;}}{\colortbl;\red0\green0\blue0;}\pard\f0\fs20 "
    return (head + "\\par\n".join(map(encoded, lines)) + "\\par\n" + extra + "}").encode("ascii")


def ccda(lines: Sequence[str], extra: str = "", *, signature: str = "S") -> bytes:
    """A C-CDA progress note with one section; `extra` is XML put into its narrative."""
    paragraphs = "".join(f"<paragraph>{escape(line)}</paragraph>" for line in lines)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <title>Progress note</title>
  <legalAuthenticator><time value="20260302150500-0500"/><signatureCode code="{signature}"/>
    <assignedEntity><assignedPerson><name><given>Dana</given><family>Whitfield</family><suffix>LCSW</suffix></name></assignedPerson></assignedEntity>
  </legalAuthenticator>
  <component><structuredBody><component><section><title>Session</title>
    <text>{paragraphs}{extra}</text>
  </section></component></structuredBody></component>
</ClinicalDocument>""".encode()


def pdf(pages: Sequence[Sequence[str]], *, mode: int = 0, empty: bytes = b"", annotation: str = "") -> bytes:
    """A PDF with one text object a page; `mode` 3 is invisible text, `empty` is drawn where there are no lines."""
    objects: list[bytes] = []
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    annots = f"/Annots [<< /Type /Annot /Rect [0 0 9 9] {annotation} >>] " if annotation else ""
    for n, lines in enumerate(pages):
        shown = " T* ".join(f"({_pdf_text(line)}) Tj" for line in lines)
        stream = f"BT /F1 10 Tf {mode} Tr 14 TL 50 760 Td {shown} ET".encode("cp1252") if lines else empty
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> {annots}>>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return (
        out
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
            f"startxref\n{len(out)}\n%%EOF\n"
        ).encode()
    )


def _pdf_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
