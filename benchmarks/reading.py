"""Notes read per second, by format: through the child process as in use, and the bare library beside it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO

from defusedxml.ElementTree import fromstring
from pypdf import PdfReader
from selectolax.lexbor import LexborHTMLParser
from striprtf.striprtf import rtf_to_text

from benchmarks.proofs import report, timed
from plugin.ehr import formats
from plugin.ehr.notes import Body, NoteReader
from plugin.settings import Limits
from sandbox import fixtures
from tests import documents


def main() -> None:
    """Measure and print: each rate, and its ratio to the bare library's."""
    logging.disable()
    text = (fixtures.ROOT / "development" / "d90791-evaluation" / "note.txt").read_text(encoding="utf-8")
    lines = [line for line in (text * 3)[:5000].splitlines() if line.strip()]
    print(
        f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}, one core, {datetime.now(UTC):%Y-%m-%d}"
    )
    print(f"one note of {sum(map(len, lines))} characters in each format")
    html, rtf, ccda = documents.html(lines), documents.rtf(lines), documents.ccda(lines)
    pdf = documents.pdf([lines[start : start + 40] for start in range(0, len(lines), 40)])
    rtf_text = rtf.decode("ascii")
    convert: Callable[..., str] = rtf_to_text
    bare: dict[str, tuple[bytes, Callable[[], object]]] = {
        formats.PLAIN: ("\n".join(lines).encode(), lambda: "\n".join(lines).encode().decode()),
        formats.HTML: (html, lambda: LexborHTMLParser(html.decode()).text()),
        formats.RTF: (rtf, lambda: convert(rtf_text)),
        formats.CCDA: (ccda, lambda: "".join(fromstring(ccda).itertext())),
        formats.PDF: (pdf, lambda: [page.extract_text() for page in PdfReader(BytesIO(pdf)).pages]),
    }
    reader = NoteReader(Limits())
    for kind, (data, library) in bare.items():
        body = Body(kind, data)
        reader.text(body)  # the child is running
        ours = report(f"{kind}, read as a note", timed(lambda body=body: reader.text(body)))  # type: ignore[misc]
        beside = report(f"{kind}, bare library", timed(library))
        print(f"{'':<52} {ours / beside:>10.2f} x")
    reader.close()


if __name__ == "__main__":
    main()
