"""A line on its way through the check, before it is known how it gets on with the visit's other lines."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.codebook import Code
from guardrails.verdict import Finding, Outcome, ServiceLine, outcome_of


@dataclass(frozen=True, slots=True)
class Examined:
    """A line and its findings, before it is known how it gets on with the others.

    `asked` is what was proposed, as text that can be ordered: where nothing else tells two lines apart, it does, and not
    the order in which they came.
    """

    position: int
    code: Code
    line: ServiceLine | None
    findings: tuple[Finding, ...]
    asked: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Not rejected on its own account."""
        return outcome_of(self.findings) is not Outcome.REJECTED
