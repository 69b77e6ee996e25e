"""What our processes log, on standard error: as text, or one JSON object a line. Ids, never anybody's data.

Of an exception its kind and the places in the code are logged: its message may quote what it stumbled over.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any

from plugin.settings import LogForm

IDS = ("ehr", "encounter", "draft", "batch", "worker")
"""What a record may carry besides its message (`extra`)."""


class _Plain(logging.Formatter):
    """Time, level, logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and one for each place where an exception went through."""
        said = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {_one_line(record)}{' ' if said else ''}{said}"
        return "\n    ".join((line, *_where(record)))


class _Json(logging.Formatter):
    """The same as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        said: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _one_line(record),
        }
        said |= _ids(record)
        if where := _where(record):
            said["error"], *said["where"] = where
        return json.dumps(said, ensure_ascii=False)


def set_up(form: LogForm) -> None:
    """Log like that from now on: what we do, and what libraries warn of."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("claimwright").setLevel(logging.INFO)


def formatter(form: LogForm) -> logging.Formatter:
    """How a record becomes text."""
    return _Json() if form is LogForm.JSON else _Plain()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _one_line(record: logging.LogRecord) -> str:
    return " ".join(record.getMessage().splitlines())


def _ids(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(vars(record)[name]) for name in IDS if vars(record).get(name) is not None}


def _where(record: logging.LogRecord) -> list[str]:
    """The kind of an exception, and the places that it came through, the innermost first."""
    if not record.exc_info or record.exc_info[0] is None:
        return []
    kind, _, trace = record.exc_info
    places = [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(trace, limit=-12)]
    return [kind.__name__, *reversed(places)]
