"""What is logged: lines to read or JSON, ids beside the message, of an exception its kind and its places alone."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from plugin import logs
from plugin.settings import LogForm


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    """A record as a logger makes it; within an exception, with it."""
    failed = sys.exc_info() if sys.exc_info()[0] else None
    made = logging.LogRecord("claimwright", logging.WARNING, "flow.py", 1, message, arguments, failed)
    vars(made).update(extra)
    return made


def test_a_json_line_holds_time_level_logger_message_and_ids() -> None:
    """One object a line, however many lines the message has."""
    line = logs.formatter(LogForm.JSON).format(record("it\nwaits: %s", "EHR", encounter="e1", draft=None, name2="x"))
    said = json.loads(line)
    assert "\n" not in line
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "warning", "logger": "claimwright", "message": "it waits: EHR", "encounter": "e1"}


def test_a_text_line_holds_the_same() -> None:
    """The ids stand behind the message."""
    line = logs.formatter(LogForm.TEXT).format(record("it waits", ehr="a", encounter="e1"))
    assert line.endswith("WARNING claimwright: it waits ehr=a encounter=e1")


@pytest.mark.parametrize("form", LogForm)
def test_the_words_of_an_exception_are_not_logged(form: LogForm) -> None:
    """Its message may quote a note: its kind and where it came through are there, its words are not."""
    try:
        raise ValueError("Jane Example said so")
    except ValueError:
        line = logs.formatter(form).format(record("a step failed"))
    assert "Jane" not in line
    assert "ValueError" in line
    assert "test_logs.py" in line


def test_libraries_are_heard_only_when_they_warn() -> None:
    """What we do is logged; an HTTP client's every request, with its address, is not."""
    root, ours = logging.getLogger(), logging.getLogger("claimwright")
    before = root.handlers, root.level, ours.level
    try:
        logs.set_up(LogForm.JSON)
        assert logging.getLogger("httpx").getEffectiveLevel() == logging.WARNING
        assert ours.isEnabledFor(logging.INFO)
        assert len(root.handlers) == 1
    finally:
        root.handlers, root.level, ours.level = before
