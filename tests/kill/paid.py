"""An OpenAI-compatible server on loopback that is paid for every answer and keeps the receipts. It answers as the baseline."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from guardrails.codebook import Codebook
from plugin.proposers.baseline import Baseline
from prompts import ProposalRequest, ReplySize, SentNote
from tests.kill.worker import RECEIPT

_DAY = date(2026, 3, 2)
_SIZE = ReplySize()


@dataclass(frozen=True)
class Receipt:
    """One answer that was paid for, and whether the reply of its snapshot stood in the store already."""

    snapshot: str
    committed: bool


class PaidModel:
    """Serves until the end of the `with`. `committed` says whether a snapshot's reply is in the store."""

    def __init__(self, book: Codebook, committed: Callable[[str], bool]) -> None:
        self.receipts: list[Receipt] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
                snapshot = self.headers[RECEIPT]
                outer.receipts.append(Receipt(snapshot, committed(snapshot)))
                answer = json.dumps(_completion(asked, book)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Whoever asked was killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> PaidModel:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _completion(asked: dict[str, Any], book: Codebook) -> dict[str, Any]:
    """What the baseline proposes, in the form that the request asks for."""
    form = asked["response_format"]["json_schema"]["schema"]["$defs"]
    *_, modifiers, _, _, notes = asked["messages"][1]["content"].splitlines()
    supported = json.loads(modifiers.partition(": ")[2])
    request = ProposalRequest(
        notes=tuple(SentNote(n["note"], n["text"]) for n in json.loads(notes)),
        codes=tuple(c for code in form["Codes"]["required"] if (c := book.find(code, _DAY))),
        elements=(),
        level=None,
        education_modifier=supported[0] if supported else None,
        payer_kind="medicaid" if supported else "commercial",
    )
    codes: dict[str, Any] = {
        code: {"given": "no", "units": 0, "modifiers": [], "quotes": []} for code in form["Codes"]["required"]
    }
    elements: dict[str, Any] = {e: {"shown": False, "note": None, "text": None} for e in form["Elements"]["required"]}
    for line in Baseline(book).propose(request).reply.lines:
        own = [q for q in line.quotes if q.element in {"service", "time"}]
        codes[line.code] = {
            "given": "yes",
            "units": line.units,
            "modifiers": line.modifiers,
            "quotes": [{"note": q.note, "shows": q.element, "text": q.text} for q in own[: _SIZE.quotes]],
        }
        for quote in line.quotes:
            if quote.element in elements:
                elements[quote.element] = {"shown": True, "note": quote.note, "text": quote.text}
    judged = {"codes": codes, "elements": elements, "missed": None, "nothing_because": None}
    message = {"role": "assistant", "content": json.dumps(judged)}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960},
    }
