"""A child process that turns a note's bytes to text, and that can be killed: no hostile file hangs or starves the plugin.

One child, one note at a time; started with the first note that needs it, anew after one that had to be killed. It has no
environment of ours, hence no keys, and its memory is limited.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe

from plugin.ehr.formats import FormatLimits, UnreadableNote, to_text

_TOO_COMPLEX = "it is too complex to be read within the limit on memory"


class Extractor:
    """Owns the child. Safe to share between threads; the child ends with it."""

    def __init__(self, limits: FormatLimits, *, seconds: float, memory_bytes: int) -> None:
        self._limits, self._seconds, self._memory = limits, seconds, memory_bytes
        self._lock = threading.Lock()
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None
        self._finalizer: weakref.finalize[..., Extractor] | None = None

    def text(self, kind: str, data: bytes, content_type: str) -> tuple[str, str | None]:
        """The text of one note, and a remark where its characters were guessed.

        Raises:
            UnreadableNote: it cannot be read, takes too long, or the child died of it.
        """
        with self._lock:
            connection = self._running()
            try:
                connection.send((kind, data, content_type, self._limits))
                if not connection.poll(self._seconds):
                    self._kill()
                    raise UnreadableNote(f"it takes longer than {self._seconds:g} seconds to read")
                answer = connection.recv()
            except (EOFError, OSError):
                self._kill()
                raise UnreadableNote(_TOO_COMPLEX) from None
        if isinstance(answer, UnreadableNote):
            raise answer
        text, remark = answer
        return text, remark

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._kill()

    def _running(self) -> Connection:
        if self._child is None or self._child[0].poll() is not None:
            self._kill()
            ours, theirs = Pipe()
            environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LANG") if key in os.environ}
            command = [sys.executable, "-m", "plugin.ehr.extractor", str(theirs.fileno()), str(self._memory)]
            child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libraries complain with the file's own words
            )
            theirs.close()
            self._child = child, ours
            self._finalizer = weakref.finalize(self, _end, child, ours)
        return self._child[1]

    def _kill(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._child = None


def _end(child: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    child.kill()
    child.wait()


def extractor(limits: Mapping[str, int], *, seconds: float, memory_bytes: int) -> Extractor:
    """An extractor under limits given by name."""
    names = FormatLimits.__dataclass_fields__
    return Extractor(
        FormatLimits(**{k: v for k, v in limits.items() if k in names}), seconds=seconds, memory_bytes=memory_bytes
    )


def _serve(connection: Connection) -> None:
    """Read notes until the parent is gone."""
    while True:
        try:
            kind, data, content_type, limits = connection.recv()
        except EOFError:
            return
        answer: tuple[str, str | None] | UnreadableNote
        try:
            answer = to_text(kind, data, content_type, limits)
        except UnreadableNote as problem:
            answer = problem
        except (RecursionError, MemoryError, ImportError):
            answer = UnreadableNote(_TOO_COMPLEX)
        connection.send(answer)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
    sys.setrecursionlimit(20_000)
    _serve(Connection(int(sys.argv[1])))
