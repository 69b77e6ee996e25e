"""A few thousand of the inputs of `make fuzz`, on every run: no exception, no line that must not stand, no order that matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from guardrails import claim_edits, evidence, time_units
from guardrails.time_units import Allowed
from tests.fuzz import rules

INPUTS = 4_000


@pytest.mark.cpt
def test_nothing_stands_that_must_not() -> None:
    """Mutated notes, strange proposals, every packaged policy."""
    tally = rules.run(INPUTS, seed=5_000_000)
    assert tally.defects == []
    assert tally.outcomes["ready"] > 10


@pytest.mark.cpt
@pytest.mark.parametrize(
    ("module", "name", "broken", "said"),
    [
        (
            time_units,
            "allow",
            lambda real: lambda *a, **k: _doubled(real(*a, **k)),
            "units above the",
        ),
        (
            evidence,
            "find",
            lambda _: lambda *_: (0, 5),
            "evidence that does not stand",
        ),
        (claim_edits, "_order", lambda _: lambda c: (c.position,), "the order of proposals mattered"),
    ],
    ids=["units", "evidence", "order"],
)
def test_the_fuzzer_sees_a_rule_that_is_broken_on_purpose(
    module: object, name: str, broken: Callable[[object], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line over its minutes, a quote that stands nowhere, an answer by order: each is found."""
    monkeypatch.setattr(module, name, broken(getattr(module, name)))
    assert any(said in defect for defect in rules.run(INPUTS, seed=5_000_000).defects)


def _doubled(allowed: Allowed) -> Allowed:
    return replace(allowed, units=allowed.units * 2)
