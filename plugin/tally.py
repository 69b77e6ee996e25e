"""What this process counted since it started, for `plugin.metrics`: plain numbers, so that counting needs no library."""

from __future__ import annotations

import threading
from collections import Counter

from guardrails import Verdicts

_lock = threading.Lock()
_outcomes: Counter[str] = Counter()
_findings: Counter[tuple[str, str]] = Counter()


def proved(verdicts: Verdicts) -> None:
    """A visit's proposals were proved: how each came out, and what the rules said."""
    said = [f for v in verdicts.verdicts for f in v.findings] + list(verdicts.findings)
    with _lock:
        _outcomes.update(v.outcome.value for v in verdicts.verdicts)
        _findings.update((f.rule_id, f.effect.value) for f in said)


def outcomes() -> dict[str, int]:
    """Proposals by what became of them."""
    with _lock:
        return dict(_outcomes)


def findings() -> dict[tuple[str, str], int]:
    """Findings by rule and effect."""
    with _lock:
        return dict(_findings)
