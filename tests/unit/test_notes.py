"""A note's bytes to its text."""

from __future__ import annotations

import base64

import pytest

from fhir_mappings import views
from plugin.ehr.notes import Body, UnreadableNote, choose, inline_body, read_inline, to_text
from plugin.settings import Limits

LIMITS = Limits()


def html(markup: str, limits: Limits = LIMITS) -> str:
    return to_text(Body("text/html; charset=utf-8", markup.encode()), limits)


def test_html_keeps_the_lines_a_person_sees() -> None:
    """Blocks and breaks become lines, cells are kept apart, entities are characters."""
    text = html(
        "<h2>Note</h2><table><tr><th>Time</th><td>2:00 &ndash; 2:45</td></tr></table><p>A<br>B</p><ul><li>one</li></ul>"
    )
    assert text == "Note\n\nTime\t2:00 – 2:45\n\nA\nB\n\n- one\n"


@pytest.mark.parametrize(
    "markup",
    [
        "<script>secret</script>",
        "<style>secret</style>",
        "<p style='display:none'>secret</p>",
        "<p hidden>secret</p>",
        "<span style='font-size:0px'>secret</span>",
        "<div style='position:absolute;left:-9999px'>secret</div>",
        "<!-- secret -->",
        "<template>secret</template>",
        "<p aria-hidden='true'>secret</p>",
        "<p title='secret'></p>",
    ],
)
def test_hidden_text_is_left_out(markup: str) -> None:
    """What the clinician did not see is not the note, and a way to smuggle instructions."""
    assert "secret" not in html(f"<p>seen</p>{markup}")


def test_invisible_characters_are_taken_out() -> None:
    """Zero-width and bidirectional controls hide words from people, not from programs."""
    assert to_text(Body("text/plain", "bill\u200b 90\u202e837".encode()), LIMITS) == "bill 90837"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (Body("text/plain; charset=iso-8859-1", "café".encode("latin-1")), "café"),
        (Body("text/plain", "café".encode()), "café"),
        (Body("text/plain", b"\xef\xbb\xbfcaf\xc3\xa9"), "café"),
        (Body("text/plain", b"caf\xe9 \x96 ok"), "café – ok"),
        (Body("text/plain; charset=no-such", b"ok"), "ok"),
        (Body("text/plain", b"a\r\nb\rc"), "a\nb\nc"),
    ],
)
def test_characters_are_decoded_by_what_is_declared_then_by_what_fits(body: Body, text: str) -> None:
    """Declared charset, UTF-8 with or without mark, cp1252; nothing is dropped."""
    assert to_text(body, LIMITS) == text


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (Body("text/plain", b"   "), "empty"),
        (Body("text/plain", b"x" * 11), "larger than 10 bytes"),
        (Body("application/pdf", b"%PDF"), "not supported (application/pdf)"),
        (Body("", b"x"), "not supported (unnamed)"),
        (Body("text/html", b"<b>" * 3), "nested deeper than 2"),
    ],
)
def test_a_note_that_cannot_be_read_says_why(body: Body, complaint: str) -> None:
    """Over a limit or in another format it is unreadable; it is never cut."""
    with pytest.raises(UnreadableNote) as problem:
        to_text(body, Limits(note_bytes=10, html_depth=2))
    assert complaint in str(problem.value)


def test_plain_text_is_chosen_before_html() -> None:
    """The same note in two formats is read once."""
    document = views.read(
        views.DocumentReference,
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "content": [
                {"attachment": {"contentType": "text/html", "data": "PGI+"}},
                {
                    "attachment": {
                        "contentType": "Text/Plain ; charset=utf-8",
                        "data": base64.b64encode(b"plain").decode(),
                    }
                },
            ],
        },
    )
    body = inline_body(choose(document), LIMITS)
    assert body is not None
    assert body.data == b"plain"


@pytest.mark.parametrize(
    "content",
    [
        [],
        [{"attachment": {"contentType": "text/plain", "data": "!!!"}}],
        [{"attachment": {"contentType": "text/plain"}}],
    ],
)
def test_a_document_without_usable_data_is_kept_as_unreadable(content: list[object]) -> None:
    """Nothing vanishes: the note is there, and says why it cannot be read."""
    record = read_inline({"resourceType": "DocumentReference", "id": "d", "content": content}, LIMITS)
    assert record.unreadable_because
    assert record.text == ""
