"""The official tables that a site imported, kept beside the store, and the codebook with them over the packaged ones."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from guardrails import codebook
from guardrails.codebook import Codebook, CodebookError
from guardrails.official import OfficialTable, overlay
from plugin.settings import Settings

_TABLE: TypeAdapter[OfficialTable] = TypeAdapter(OfficialTable)


def book_of(settings: Settings) -> Codebook:
    """The codebook of a site: the packaged tables, and what it imported over them.

    Raises:
        CodebookError: an imported table cannot be read any more.
    """
    return overlay(codebook.load(), imported(settings))


def imported(settings: Settings) -> list[OfficialTable]:
    """The imported tables in the order of their names.

    Raises:
        CodebookError: one of them is damaged.
    """
    found = []
    for file in sorted(settings.tables.glob("*.json")) if settings.tables.is_dir() else ():
        try:
            found.append(_TABLE.validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            raise CodebookError(
                f"{file.name}: the imported table is damaged: remove it and import the file again"
            ) from None
    return found


def keep(settings: Settings, table: OfficialTable) -> Path:
    """Keep a table; one of the same kind, payer and date is replaced."""
    settings.tables.mkdir(parents=True, exist_ok=True)
    file = settings.tables / f"{table.name}.json"
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(_TABLE.dump_json(table))
    unfinished.replace(file)
    return file
