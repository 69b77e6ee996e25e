"""Bring a database to the newest tables. Safe to call at every start; nothing is done where nothing is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

_PATIENCE = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds
_ALEMBIC = threading.Lock()  # it keeps what it works on in globals


def to_head(engine: Engine) -> None:
    """Run the migrations that this database has not seen. Where another process is just doing it, wait for that."""
    for patience in (*_PATIENCE, None):
        try:
            with _ALEMBIC, _transaction(engine) as connection:
                command.upgrade(configuration(connection), "head")
            return
        except (OperationalError, ProgrammingError, IntegrityError):
            if patience is None:
                raise
            time.sleep(patience)


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction. SQLite alters a table by dropping it for a new one, which its check of references must not see."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection  # without beginning: within a transaction it is ignored
        unchecked = engine.dialect.name == "sqlite"
        if unchecked:
            driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            if unchecked:
                driver.execute("PRAGMA foreign_keys=ON")


def at_head(engine: Engine) -> bool:
    """Whether a database has the newest tables."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == _head()


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(configuration(None)).get_current_head()


def configuration(connection: object) -> Config:
    """Alembic's configuration for one connection, without any file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
