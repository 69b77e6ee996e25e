"""An HTTP server on loopback that stands in front of another one: what the vendors' doubles and the fault proxy share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

JSON = "application/fhir+json"
PASSED_BACK = ("etag", "last-modified", "location", "content-location", "retry-after", "x-request-id")
_HANGS_AT_MOST_SECONDS = 60


@dataclass
class Incoming:
    """One request as it arrived; `target` is its path with the query."""

    method: str
    target: str
    headers: Message
    body: bytes
    connection: socket

    def wait_until_gone(self) -> None:
        """Let the caller wait until it hangs up, so that whatever its patience is, it ends."""
        self.connection.settimeout(_HANGS_AT_MOST_SECONDS)
        try:
            self.connection.recv(1)
        except OSError:
            return


@dataclass
class Reply:
    """One answer. Of a `torn` one only half of the body comes before the connection is cut."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    torn: bool = False


@contextmanager
def serving(answer: Callable[[Incoming], Reply | None]) -> Iterator[str]:
    """Serve on loopback, yield the address; where there is no answer the connection is cut."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            reply = answer(Incoming(self.command, self.path, self.headers, body, self.connection))
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for header, text in reply.headers.items():
                self.send_header(header, text)
            if reply.body:
                self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if reply.torn:
                self.close_connection = True
            self.wfile.write(reply.body[: len(reply.body) // 2] if reply.torn else reply.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
