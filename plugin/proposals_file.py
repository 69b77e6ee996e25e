"""Proposals as a file holds them: a JSON list of `{code, units, modifiers, quotes}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from guardrails.verdict import Proposal, Quoted


class UnusableProposals(ValueError):
    """The file is no list of proposals: the message names the place and what is expected there."""


def read(path: Path) -> tuple[Proposal, ...]:
    """The proposals of a file.

    Raises:
        UnusableProposals: see there.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as problem:
        raise UnusableProposals(f"{path.name}: cannot be read ({problem.strerror})") from None
    except (ValueError, RecursionError):
        raise UnusableProposals(f"{path.name}: not valid JSON") from None
    if not isinstance(content, list):
        raise UnusableProposals(f"{path.name}: expected a list of {{code, units, modifiers, quotes}}")
    try:
        return tuple(proposal(raw, place=f"[{n}]") for n, raw in enumerate(content))
    except UnusableProposals as problem:
        raise UnusableProposals(f"{path.name}: {problem}") from None


def proposal(raw: Any, *, place: str = "proposal") -> Proposal:
    """One proposal. Units stay as they came, so that the rules refuse what is no whole number.

    Raises:
        UnusableProposals: a field is missing or of the wrong kind.
    """
    if not isinstance(raw, dict):
        raise UnusableProposals(f"{place}: expected an object with a code")
    unknown = sorted(raw.keys() - {"code", "units", "modifiers", "quotes", "system", "diagnoses"})
    if unknown:
        raise UnusableProposals(
            f"{place}: unknown field {unknown[0]!r}; known are code, units, modifiers, quotes, system, diagnoses"
        )
    code = raw.get("code")
    if not isinstance(code, str):
        raise UnusableProposals(f'{place}.code: expected text such as "H2014"')
    system = raw.get("system")
    if system is not None and not isinstance(system, str):
        raise UnusableProposals(f"{place}.system: expected the URI of a code system")
    return Proposal(
        code=code,
        units=raw.get("units", 1),
        modifiers=tuple(_texts(raw, "modifiers", place)),
        quotes=tuple(_quote(q, f"{place}.quotes[{n}]") for n, q in enumerate(_list(raw, "quotes", place))),
        system=system,
        diagnoses=tuple(_texts(raw, "diagnoses", place)),
    )


def _list(raw: dict[str, Any], name: str, place: str) -> list[Any]:
    value = raw.get(name, [])
    if not isinstance(value, list):
        raise UnusableProposals(f"{place}.{name}: expected a list")
    return value


def _texts(raw: dict[str, Any], name: str, place: str) -> list[str]:
    values = _list(raw, name, place)
    for n, value in enumerate(values):
        if not isinstance(value, str):
            raise UnusableProposals(f"{place}.{name}[{n}]: expected text")
    return values


def _quote(raw: Any, place: str) -> Quoted:
    """A quote is its words, or `{text, element}` where the proposer says what the words show."""
    if isinstance(raw, str):
        return Quoted(raw)
    if isinstance(raw, dict) and isinstance(raw.get("text"), str) and isinstance(raw.get("element", ""), str):
        return Quoted(raw["text"], raw.get("element"))
    raise UnusableProposals(f'{place}: expected words of the note, or {{"text": ..., "element": ...}}')
