"""Bring a database to the newest tables. Safe to call at every start; nothing is done where nothing is due."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def to_head(engine: Engine) -> None:
    """Run the migrations that this database has not seen."""
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "head")


def configuration(connection: object) -> Config:
    """Alembic's configuration for one connection, without any file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
