"""A note's bytes to its text: formats, characters, hidden parts, limits."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

from fhir_mappings import views
from plugin.ehr.formats import UnreadableNote
from plugin.ehr.notes import Body, NoteReader
from plugin.settings import Limits
from tests import documents

LINES = ("Service: Skills training", "Start time: 2:00 PM", "Client said “I’m fine” – progress.")
TEXT = "\n".join(LINES)


@pytest.fixture(scope="module")
def reader() -> Iterator[NoteReader]:
    """One reader for all: its child process is started once."""
    made = NoteReader(Limits(), frozenset({"psychotherapy-file"}))
    yield made
    made.close()


def nowhere(_: views.Attachment) -> Body:
    raise UnreadableNote("it is nowhere")


def document(*attachments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": a} for a in attachments],
    } | changes


def inline(content_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"contentType": content_type, "data": base64.b64encode(data).decode("ascii")} | more


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("text/plain; charset=utf-8", TEXT.encode()),
        ("text/html", documents.html(LINES)),
        ("application/xhtml+xml", documents.html(LINES)),
        ("text/rtf", documents.rtf(LINES)),
        ("application/rtf", documents.rtf(LINES)),
        ("application/cda+xml", documents.ccda(LINES)),
        ("text/xml; charset=utf-8", documents.ccda(LINES)),
        ("application/pdf", documents.pdf([LINES])),
        ("text/plain", documents.rtf(LINES)),
        ("text/plain", documents.pdf([LINES])),
        ("text/plain", documents.html(LINES)),
        ("text/plain", documents.ccda(LINES)),
    ],
)
def test_a_note_reads_the_same_in_every_format(reader: NoteReader, content_type: str, data: bytes) -> None:
    """Line by line what a person sees, also where the server says text/plain of everything."""
    text, remark = reader.text(Body(content_type, data))
    assert remark is None
    assert [line for line in text.splitlines() if line in LINES] == list(LINES)


def test_html_keeps_the_lines_a_person_sees(reader: NoteReader) -> None:
    """Blocks and breaks become lines, cells are kept apart, entities are characters."""
    markup = (
        "<h2>Note</h2><table><tr><th>Time</th><td>2:00 &ndash; 2:45</td></tr></table><p>A<br>B</p><ul><li>one</li></ul>"
    )
    text, _ = reader.text(Body("text/html; charset=utf-8", markup.encode()))
    assert text == "Note\n\nTime\t2:00 – 2:45\n\nA\nB\n\n- one\n"


@pytest.mark.parametrize("tag", ["pre", "div style='white-space: pre-wrap'", "p style='white-space:pre-line'"])
def test_lines_that_html_keeps_are_kept(reader: NoteReader, tag: str) -> None:
    """A plain note wrapped in one element has its own line breaks; elsewhere they are blanks."""
    markup = f"<{tag}>Start: 2:00\n  Stop:   2:45\n<b>Plan:\nnone</b></{tag.split()[0]}><p>A\nB</p>"
    text, _ = reader.text(Body("text/html; charset=utf-8", markup.encode()))
    assert text == "Start: 2:00\nStop: 2:45\nPlan:\nnone\n\nA B\n"


@pytest.mark.parametrize(
    "markup",
    [
        "<script>secret</script>",
        "<style>secret</style>",
        "<p style='display:none'>secret</p>",
        "<p hidden>secret</p>",
        "<span style='font-size:0px'>secret</span>",
        "<div style='position:absolute;left:-9999px'>secret</div>",
        "<div style='max-height:0;overflow:hidden'>secret</div>",
        "<style>.note .x, #y { display : none }</style><div class=note><p class=x>secret</p></div><p id=y>secret</p>",
        "<span style='color:#FFF'>secret</span>",
        "<font color='#ffffff'>secret</font>",
        "<span style='color:#ffffff;background-color:#ffffff'>secret</span>",
        "<span style='color: transparent'>secret</span>",
        *(
            f"<div style='{style}'>secret</div>"
            for style in (
                "left:-99em",
                "position:absolute;right:-9999px",
                "margin-left:-9999px",
                "text-indent:-9999px",
                "opacity:.0",
                "opacity:1%",
                "max-height:.0px",
                "transform:scale(0)",
                "-webkit-transform: translateX(-99em)",
                "clip-path:inset(100%)",
                "clip:rect(1px,1px,1px,1px)",
                "font:0/0 a",
                "font-size:1px",
                "font-size:.01em",
                "zoom:0",
                "display:/**/none",
                "DISPLAY : NONE ! important",
                "mso-hide:all",
                "color:#ffff",
                "color:#fff0",
                "color:#fefefe",
                "color:rgba(0,0,0,0)",
                "color:rgba(255,255,255,1)",
                "color:rgb(255 255 255)",
                "color:rgb(100%, 100%, 100%)",
                "color:hsl(0, 0%, 100%)",
                "color:snow",
                "-webkit-text-fill-color:white",
                "background:#036;color:rgba(255,255,255,0)",
                "background:rgba(0,0,0,.05);color:#fff",
            )
        ),
        "<style>.w{color:#fff}</style><p class=w>secret</p>",
        "<style>@import url(x.css); .w{display:none}</style><p class=w>secret</p>",
        "<style>@charset 'utf-8';\n.w{display:none}</style><p class=w>secret</p>",
        "<style><!-- .w{display:none} --></style><p class=w>secret</p>",
        "<style>/* a */ .w /* b { */ {display:none}</style><p class=w>secret</p>",
        "<style>.w{display:none</style><p class=w>secret</p>",
        "<style>.x,.w{display:none}</style><p class=w>secret</p>",
        "<style>.w.on{display:none} .w{display:block}</style><p class='w on'>secret</p>",
        "<style>.w{color:#fff!important}</style><p class=w style='color:#000'>secret</p>",
        "<style>div{background:#036;color:#fff}</style><div><span style='background:#fff'>secret</span></div>",
        "<div style='visibility:hidden'>secret<p>secret</p></div>",
        "<div style='font-size:0'>secret<b style='font-size:2em'>secret</b></div>",
        "<p bgcolor=black><font color=white>secret</font></p>",
        "<input type=hidden value=secret>",
        "<!-- secret -->",
        "<input><datalist><option>secret</option><option value=secret></datalist>",
        "<dialog>secret</dialog>",
        "<canvas>secret</canvas><audio>secret</audio><video>secret</video>",
        "<noembed>secret</noembed>",
        "<noframes>secret</noframes>",
        "<ruby>a<rp>secret</rp></ruby>",
        "<div hidden><select><option>secret</select><input value=secret></div>",
        "<template>secret</template>",
        "<p aria-hidden='true'>secret</p>",
        "<p title='secret'></p>",
    ],
)
def test_hidden_text_of_html_is_left_out(reader: NoteReader, markup: str) -> None:
    """What the clinician did not see is not the note, and a way to smuggle instructions."""
    text, _ = reader.text(Body("text/html", f"<p>seen</p>{markup}".encode()))
    assert "seen" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "markup",
    [
        "<style>.bar{background:#036} .bar th{color:#fff}</style><table><tr class=bar><th>seen</table>",
        "<body bgcolor=navy text=white>seen",
        "<div style='background:#036'><div style='background:transparent;color:#fff'>seen</div></div>",
        "<div style='color:#fff'><p style='color:#333'>seen</p></div>",
        "<div style='visibility:hidden'><p style='visibility:visible'>seen</p></div>",
        "<div style='font-size:0'><span style='font-size:14px'>seen</span></div>",
        "<p style='margin-left:108.0pt;text-indent:-108.0pt;font:7.0pt \"Times New Roman\"'>seen</p>",
        "<style>.x{display:none} p::before{display:none} a:hover{color:#fff} @media print{.y{display:none}}</style><p>seen</p>",
        "<style>@page WordSection1{margin:1.0in} p.MsoNormal{font-size:11.0pt;color:windowtext}</style><p class=MsoNormal>seen",
        "<style media=print>p{color:#000}</style><p style='width:calc(100% - 9px)'>seen</p>",
        "<p type=hidden>seen</p>",
        "<div style='left:50%;transform:translate(-50%,-50%)'>seen</div>",
        "<p>seen</p><ul><li style='color:#fff'>secret</ul>",
    ],
)
def test_what_a_reader_sees_is_read(reader: NoteReader, markup: str) -> None:
    """White on a bar of the style sheet's, words shown again within what is unseen, and rules that touch no words here."""
    assert reader.text(Body("text/html", markup.encode()))[0].strip() == "seen"


def test_lines_that_a_style_sheet_keeps_are_kept(reader: NoteReader) -> None:
    """Whether a line ends may be said there too."""
    markup = b"<style>.note{white-space:pre-wrap}</style><div class=note>A\nB</div>"
    assert reader.text(Body("text/html", markup))[0] == "A\nB\n"


@pytest.mark.parametrize(
    "markup",
    [
        "<style>@media print{.w{display:none}}</style><p class=w>words</p>",
        "<style>@media (max-width:1px){.w{color:#fff}}</style><p class=w>words</p>",
        "<style media=print>.w{display:none}</style><p class=w>words</p>",
        "<style>.w{display:none} .w.on{display:block}</style><p class='w on'>words</p>",
        "<style>.w.on{display:block} .w{display:none}</style><p class='w on'>words</p>",
        "<style>.w{color:#fff} .on{color:#000}</style><p class='w on'>words</p>",
        "<style>.w{display:none}</style><p class=w style='display:block'>words</p>",
        "<style>.w{display:block!important}</style><p class=w style='display:none'>words</p>",
        "<p hidden style='display:block'>words</p>",
        "<style>.w:nonsense{display:none}</style><p class=w>words</p>",
        "<style>.w:not(:visited){display:none}</style><p class=w>words</p>",
        "<style>@keyframes k{100%{opacity:0}} .w{animation:k 0s forwards}</style><p class=w>words</p>",
        "<style>.a{.w{display:none}}</style><p class=a><b class=w>words</b></p>",
        "<style>:root{--c:#fff} .w{color:var(--c)}</style><p class=w>words</p>",
        "<p style='left:calc(0px - 9999px)'>words</p>",
        "<p style='dis\\70 lay:none'>words</p>",
        "<p style='color:#fff;background:url(x.png)'>words</p>",
        "<p style='color:#fff;background:no-such'>words</p>",
        "<table><tr><td style='width:0'>words</td></tr></table>",
        "<p style='color:rgb(from white r g b)'>words</p>",
    ],
)
def test_words_that_are_hidden_on_a_condition_make_a_note_unreadable(reader: NoteReader, markup: str) -> None:
    """In print alone, under a selector that we do not know, or hidden and shown again: a person looks."""
    with pytest.raises(UnreadableNote, match="shows and hides words in a way that only a person can follow"):
        reader.text(Body("text/html", markup.encode()))


@pytest.mark.parametrize(
    "field",
    [
        "<select><option>30 minutes<option selected>45 minutes</select>",
        "<input value='2:45 PM'>",
        "<input type=text value='2:45 PM'>",
        "<input type=checkbox checked> Client was seen alone",
        "<input type=checkbox> Client was seen alone",
        "<input type=RADIO value=1> Client was seen alone",
    ],
)
def test_a_filled_form_in_html_is_not_read(reader: NoteReader, field: str) -> None:
    """What was chosen, typed or ticked is no part of the text, and what was not would become evidence."""
    with pytest.raises(UnreadableNote, match="its HTML is a filled form, whose fields are not part of its text"):
        reader.text(Body("text/html", documents.html(LINES, field)))


def test_fields_that_say_nothing_stop_no_note(reader: NoteReader) -> None:
    """A hidden or empty field, a button; what stands in a text area is text, and an open dialog is seen."""
    fields = (
        "<input type=hidden value=x><input type=submit value=Save><input type=text value=''><input>"
        "<input type=reset value=x><input type=button value=x><textarea>Stop: 2:45\nTotal: 45</textarea><dialog open>seen</dialog>"
    )
    text, _ = reader.text(Body("text/html", documents.html(LINES, fields)))
    assert "Stop: 2:45\nTotal: 45" in text
    assert "seen" in text


STRUCK = [
    ("text/html", "<p>Stop: <del>2:45</del> <ins>2:15</ins> PM</p>"),
    ("text/html", "<p>Stop: <s>2:45</s> 2:15 PM</p>"),
    ("text/html", "<p>Stop: <strike><b>2:45</b></strike> 2:15 PM</p>"),
    ("text/html", "<p>Stop: <span style='text-decoration: red line-through'>2:45</span> 2:15 PM</p>"),
    ("text/html", "<p>Stop: <span style='text-decoration-line:underline line-through'>2:45</span> 2:15 PM</p>"),
    ("text/html", "<style>.cut{text-decoration:line-through}</style><p>Stop: <u class=cut>2:45</u> 2:15 PM</p>"),
    ("text/xml", "<paragraph>Stop: <content revised='delete'>2:45</content> 2:15 PM</paragraph>"),
    ("text/xml", "<paragraph>Stop: <content revised='delete'><sub>2:45</sub></content> 2:15 PM</paragraph>"),
    ("text/rtf", r"Stop: {\strike 2:45} 2:15 PM\par"),
    ("text/rtf", r"Stop: \strike 2:45\strike0  2:15 PM\par"),
    ("text/rtf", r"Stop: {\striked1 2:45\striked0  2:15 PM}\par"),
    ("text/rtf", r"Stop: \b\strike 2:45 \plain 2:15 PM\par"),
]


@pytest.mark.parametrize(("kind", "passage"), STRUCK)
def test_a_passage_that_is_struck_out_is_left_out(reader: NoteReader, kind: str, passage: str) -> None:
    """A stop time that was corrected is not read in its first form, and what stands after it is."""
    made = {"text/html": documents.html, "text/xml": documents.ccda, "text/rtf": documents.rtf}[kind](LINES, passage)
    assert "Stop: 2:15 PM\n" in reader.text(Body(kind, made))[0]


def test_deleted_words_of_rtf_stay_deleted_where_their_look_is_plain(reader: NoteReader) -> None:
    """A plain font ends what is hidden or struck; the mark of a deletion is no matter of the font."""
    data = documents.rtf(LINES, r"{\deleted\plain secret}\par")
    assert "secret" not in reader.text(Body("text/rtf", data))[0]


def test_white_words_on_a_coloured_bar_are_seen(reader: NoteReader) -> None:
    """White on a background of its own is a heading, not a trick."""
    markup = "<table><tr style='background:#036'><td style='color:white'>PROGRESS NOTE</td></tr></table>"
    assert "PROGRESS NOTE" in reader.text(Body("text/html", markup.encode()))[0]


@pytest.mark.parametrize(
    "extra",
    [
        r"{\v secret}",
        r"\v secret\v0 ",
        r"{\v\b secret \'73ecret}",
        r"{\deleted secret}",
        r"{\*\comment secret}",
        r"{\info{\title secret}}",
        r"{\pict\wmetafile8 736563726574}",
    ],
)
def test_hidden_text_of_rtf_is_left_out(reader: NoteReader, extra: str) -> None:
    """Hidden and deleted runs, comments and properties are not what was signed."""
    text, _ = reader.text(Body("text/rtf", documents.rtf(LINES, extra + r"seen\par")))
    assert "seen" in text
    assert "secret" not in text


def test_words_after_raw_picture_bytes_are_kept(reader: NoteReader) -> None:
    """Raw bytes in a picture may hold braces; what follows is still part of the note."""
    data = documents.rtf(LINES, "PICTURE" + r"after\par").replace(b"PICTURE", rb"{\pict\bin4 }}}{}")
    assert "after" in reader.text(Body("text/rtf", data))[0]


def test_the_cells_of_an_rtf_table_are_kept_apart(reader: NoteReader) -> None:
    """A cell ends with a tab, a row with a line; a bar in the words stays a bar."""
    row = r"\trowd\cellx100\cellx200 Start\cell 2:00|PM\cell\row "
    assert "Start\t2:00|PM\n" in reader.text(Body("text/rtf", documents.rtf(LINES, row)))[0]


def test_a_clinical_document_gives_its_narrative_and_its_signature(reader: NoteReader) -> None:
    """Sections, lists and tables as a person sees them, comments not, and the header's signature as renderings show it."""
    extra = "<list><item>one</item></list><table><tr><th>Start</th><td>2:00 PM</td></tr></table><!-- secret -->"
    text, _ = reader.text(Body("application/xml", documents.ccda(LINES, extra)))
    assert text.startswith("Progress note\n\nSession\n")
    assert "- one\n" in text
    assert "Start\t2:00 PM\n" in text
    assert "secret" not in text
    assert text.endswith("Electronically signed by Dana Whitfield LCSW on 03/02/2026 at 15:05\n")


def test_a_clinical_document_that_awaits_its_signature_has_none(reader: NoteReader) -> None:
    """signatureCode X means that a signature is still required."""
    assert "signed by" not in reader.text(Body("text/xml", documents.ccda(LINES, signature="X")))[0]


def unstructured(text: str) -> Body:
    return Body(
        "application/cda+xml",
        f'<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody>{text}</nonXMLBody></component></ClinicalDocument>'.encode(),
    )


def test_an_unstructured_clinical_document_is_read_in_its_own_format(reader: NoteReader) -> None:
    """Many EHRs wrap an RTF or PDF in a C-CDA."""
    inner = base64.b64encode(documents.rtf(LINES)).decode("ascii")
    wrapped = unstructured(f'<text mediaType="text/rtf" representation="B64">{inner}</text>')
    assert LINES[1] in reader.text(wrapped)[0]


@pytest.mark.parametrize(
    ("media_type", "inner"),
    [
        ('mediaType="text/html"', "<p hidden>secret</p><p>seen – all</p>"),
        ('mediaType="text/html; charset=iso-8859-1"', "<p hidden>secret</p><p>seen – all</p>"),
        ('mediaType="text/rtf"', r"{\rtf1\ansi {\v secret}seen \endash  all}"),
        ("", r"{\rtf1\ansi {\v secret}seen \endash  all}"),
        ("", "<html><p hidden>secret</p>seen – all</html>"),
        ('mediaType="text/plain"', "seen – all"),
    ],
)
def test_an_unstructured_body_that_is_not_packed_is_read_in_its_format_too(
    reader: NoteReader, media_type: str, inner: str
) -> None:
    """Markup written out in the document is a note in that format: what it hides is left out."""
    assert reader.text(unstructured(f"<text {media_type}>{escape(inner)}</text>"))[0] == "seen – all\n"


@pytest.mark.parametrize(
    "text",
    [
        "<text>Start 2:00 PM.<br/>Client left after ten minutes.</text>",
        "<text mediaType='text/plain'>Start 2:00 PM.<reference value='note.pdf'/></text>",
        "<text mediaType='application/pdf'>%PDF-1.4</text>",
        "<text>%PDF-1.4</text>",
        "<text mediaType='image/png'>x</text>",
    ],
)
def test_an_unstructured_body_that_cannot_be_read_in_full_is_not_read(reader: NoteReader, text: str) -> None:
    """It is never cut at what stands within it, and bytes are no words."""
    with pytest.raises(UnreadableNote, match="its unstructured body is elsewhere or in a format that is not supported"):
        reader.text(unstructured(text))


def test_windows_characters_of_a_clinical_document_are_kept(reader: NoteReader) -> None:
    """XML that says ISO-8859-1 has Windows dashes in it like anything else that says so."""
    data = documents.ccda(["2:00 DASH 2:45"]).replace(b"UTF-8", b"ISO-8859-1").replace(b"DASH", b"\x96")
    assert "2:00 – 2:45\n" in reader.text(Body("text/xml", data))[0]


def test_a_pdf_with_an_empty_page_links_and_a_picture_beside_its_words_is_read(reader: NoteReader) -> None:
    """A logo, a link and a blank last page take nothing from what is said."""
    logo = b"BI /W 1 /H 1 /CS /G /BPC 8 ID \xff EI BT /F1 10 Tf 50 760 Td (seen) Tj ET"
    data = documents.pdf([LINES, []], empty=logo, annotation="/Subtype /Link")
    assert "seen" in reader.text(Body("application/pdf", data))[0]
    assert LINES[0] in reader.text(Body("application/pdf", documents.pdf([LINES, []])))[0]


def test_invisible_and_control_characters_are_taken_out(reader: NoteReader) -> None:
    """Zero-width, bidirectional and tag characters hide words from people, not from programs; NUL breaks databases."""
    assert reader.text(Body("text/plain", "bill\u200b 90\u202e837\U000e0041\x00.".encode()))[0] == "bill 90837 ."


@pytest.mark.parametrize(
    ("body", "text", "guessed"),
    [
        (Body("text/plain; charset=iso-8859-1", "café".encode("latin-1")), "café", False),
        (Body("text/plain", "café".encode()), "café", False),
        (Body("text/plain", b"\xef\xbb\xbfcaf\xc3\xa9"), "café", False),
        (Body("text/plain; charset=iso-8859-1", b"\xef\xbb\xbfcaf\xc3\xa9"), "café", False),
        (Body("text/plain", "café".encode("utf-16")), "café", False),
        (Body("text/html", b"<meta charset=iso-8859-1><p>caf\xe9"), "café\n", False),
        (Body("text/plain", b"caf\xe9 \x96 ok"), "café – ok", True),
        (Body("text/plain; charset=iso-8859-1", b"2:00 \x96 2:45, \x93fine\x94"), "2:00 – 2:45, “fine”", False),
        (Body("text/plain; charset=latin-1", b"\x96 caf\xe9 \x81"), "– café  ", False),
        (Body("text/plain; charset=l1", b"\x96"), "–", False),
        (Body("text/html", b"<meta charset=iso-8859-1><p>2:00 \x96 2:45"), "2:00 – 2:45\n", False),
        (Body("text/plain; charset=us-ascii", b"2:00 \x96 2:45"), "2:00 – 2:45", True),
        (Body("text/plain; charset=us-ascii", "2:00 – 2:45".encode()), "2:00 – 2:45", False),
        (Body("text/plain; charset=no-such", b"ok"), "ok", False),
        (Body("text/plain", b"a\r\nb\rc"), "a\nb\nc", False),
    ],
)
def test_characters_are_decoded_by_what_is_declared_then_by_what_fits(
    reader: NoteReader, body: Body, text: str, guessed: bool
) -> None:
    """Byte order mark, declared charset, UTF-8, then Windows-1252 with a remark; nothing is dropped."""
    read, remark = reader.text(body)
    assert (read, remark is not None) == (text, guessed)


@pytest.mark.parametrize(
    ("content_type", "data", "complaint"),
    [
        ("text/plain", b"   ", "it is empty"),
        ("text/plain", b"x" * 5001, "it is larger than 5000 bytes"),
        ("text/plain", b"x" * 501, "it is longer than 500 characters"),
        ("text/plain", b"\x81\xfe", "its characters cannot be decoded"),
        ("image/png", b"x", "its format is not supported (image/png)"),
        ("Mary Jane note", b"x", "its format is not supported (unusual)"),
        ("", b"x", "its format is not supported (unnamed)"),
        ("text/html", b"<b>" * 101, "its HTML is nested deeper than 100"),
        ("text/html", b"<p>" + b"x" * 3000, "its HTML is longer than 3000 characters"),
        ("text/rtf", b"{\\rtf1 " + b"x" * 3000 + b"}", "its RTF is larger than 3000 bytes"),
        ("text/rtf", b"plain words", "it is said to be RTF and is not"),
        ("text/rtf", b"{\\rtf1 cut off", "its RTF is cut off"),
        ("text/rtf", b"{\\rtf1\\ansicpg932 \\'81}", "its characters cannot be decoded"),
        ("text/xml", b"<ClinicalDocument>", "its XML is damaged"),
        ("text/xml", b"<a/>", "its XML is no clinical document (C-CDA)"),
        ("text/xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "its XML declares entities"),
        ("text/xml", b"<a>" * 101 + b"</a>" * 101, "its XML is nested deeper than 100"),
        ("text/xml", b"<a>" + b"x" * 3000 + b"</a>", "its XML is larger than 3000 bytes"),
        ("application/pdf", b"%PDF-1.4 and no more", "its PDF is damaged"),
        (
            "application/pdf",
            documents.pdf([[]]),
            "a page of its PDF has no text: it is a scan, which only a person can read",
        ),
        (
            "application/pdf",
            documents.pdf([["a"], []], empty=b"BI /W 1 /H 1 /CS /G /BPC 8 ID \xff EI"),
            "a page of its PDF has no text: it is a scan, which only a person can read",
        ),
        *(
            (
                "application/pdf",
                documents.pdf([["a"]], annotation=f"/Subtype /{kind} /Contents (VOID)"),
                "its PDF is annotated, and what is written or struck out there is not part of its text",
            )
            for kind in ("FreeText", "StrikeOut", "Stamp", "Text")
        ),
        ("application/pdf", documents.pdf([["a"]] * 4), "its PDF has more than 3 pages"),
        (
            "application/pdf",
            documents.pdf([["a"]], mode=3),
            "its PDF holds invisible text (such as a scan's recognised words)",
        ),
        ("application/pdf", documents.pdf([["a"]]) + b" " * 3000, "its PDF is larger than 3000 bytes"),
    ],
)
def test_a_note_that_cannot_be_read_says_why(content_type: str, data: bytes, complaint: str) -> None:
    """Over a limit, damaged or in another format it is unreadable; it is never cut."""
    limits = Limits(
        note_bytes=5000,
        note_characters=500,
        html_depth=100,
        html_characters=3000,
        rtf_bytes=3000,
        ccda_bytes=3000,
        pdf_bytes=3000,
        pdf_pages=3,
    )
    with pytest.raises(UnreadableNote) as problem:
        NoteReader(limits).text(Body(content_type, data))
    assert str(problem.value) == complaint


def test_a_note_that_takes_too_long_is_given_up_and_the_next_is_read() -> None:
    """The child process is killed and another one started: nothing hangs."""
    reader = NoteReader(Limits(extract_seconds=0.0))
    with pytest.raises(UnreadableNote, match="it takes longer than 0 seconds to read"):
        reader.text(Body("text/html", documents.html(LINES)))
    patient = NoteReader(Limits())
    assert LINES[0] in patient.text(Body("text/html", documents.html(LINES)))[0]


def test_a_child_that_dies_makes_one_note_unreadable(reader: NoteReader) -> None:
    """Too little memory ends the child, not the plugin; the same reader works on once there is enough."""
    starved = NoteReader(Limits(extract_memory_bytes=1024 * 1024))
    with pytest.raises(UnreadableNote, match="too complex to be read within the limit on memory"):
        starved.text(Body("text/html", documents.html(LINES)))
    child = reader._extractor._running() and reader._extractor._child
    assert child
    child[0].kill()
    child[0].wait()
    assert LINES[0] in reader.text(Body("text/html", documents.html(LINES)))[0]


def test_the_surest_format_is_read_and_the_next_where_it_fails(reader: NoteReader) -> None:
    """The same note in several formats is read once, from the first that can be read."""
    both = document(
        inline("application/pdf", b"%PDF"), inline("text/html", b"<p>html"), inline("Text/Plain ; x=y", b"plain")
    )
    assert reader.record(both, nowhere).text == "plain"
    broken = document({"contentType": "text/plain", "url": "Binary/gone"}, inline("text/html", b"<p>html"))
    assert reader.record(broken, nowhere).text == "html\n"
    none = document({"contentType": "text/plain", "url": "Binary/gone"}, inline("application/pdf", b"x"))
    assert reader.record(none, nowhere).unreadable_because == "it is nowhere; its PDF is damaged"


@pytest.mark.parametrize(
    ("attachments", "because"),
    [
        ([], "it has no attachment"),
        ([{"contentType": "text/plain", "data": "!!!"}], "its data is not base64"),
        ([{"contentType": "text/plain"}], "it is nowhere"),
        ([{"contentType": "text/plain", "url": "Binary/1", "size": 10**9}], "it is larger than 10485760 bytes"),
        ([{"contentType": "text/plain", "data": "A" * 14 * 2**20}], "it is larger than 10485760 bytes"),
        ([{"contentType": "video/mp4"}, {}], "its format is not supported (unnamed, video/mp4)"),
    ],
)
def test_a_document_without_usable_data_is_kept_as_unreadable(
    reader: NoteReader, attachments: list[dict[str, Any]], because: str
) -> None:
    """Nothing vanishes: the note is there, and says why it cannot be read."""
    record = reader.record(document(*attachments), nowhere)
    assert (record.text, record.unreadable_because) == ("", because)


@pytest.mark.parametrize(
    "changes",
    [
        {"securityLabel": [{"coding": [{"code": "PSYTHPN"}]}]},
        {"meta": {"security": [{"code": "HIPAAPsyNotes"}]}},
        {"type": {"coding": [{"code": "psychotherapy-file"}]}},
        {"category": [{"coding": [{"code": "psychotherapy-file"}]}]},
    ],
)
def test_of_a_psychotherapy_note_not_even_the_attachment_is_touched(
    reader: NoteReader, changes: dict[str, Any]
) -> None:
    """By its label or by the type that the site keeps such notes under (PV-01)."""

    def touched(_: views.Attachment) -> Body:
        raise AssertionError("the attachment was fetched")

    record = reader.record(document({"contentType": "text/plain", "url": "Binary/1"}, **changes), touched)
    assert record.text == ""
    assert "PSYTHPN" in record.labels


def test_a_label_on_the_binary_counts_like_one_on_the_document(reader: NoteReader) -> None:
    """Its text is not used, and the label is kept."""
    record = reader.record(
        document({"contentType": "text/plain", "url": "Binary/1"}),
        lambda _: Body("text/plain", b"secret", frozenset({"PSYTHPN"})),
    )
    assert (record.text, record.labels) == ("", frozenset({"PSYTHPN"}))


def test_a_hash_that_does_not_match_is_remarked_upon(reader: NoteReader) -> None:
    """Servers compute it over many things, so the note is read all the same."""
    right = base64.b64encode(hashlib.sha1(b"words").digest()).decode("ascii")
    assert reader.record(document(inline("text/plain", b"words", hash=right)), nowhere).remarks == ()
    wrong = reader.record(document(inline("text/plain", b"words", hash="x")), nowhere)
    assert wrong.remarks == ("its bytes do not have the hash that the EHR states",)
    assert wrong.text == "words"
