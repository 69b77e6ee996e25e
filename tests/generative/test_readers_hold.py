"""A small run of the fuzzer; `make fuzz` is the long one."""

from __future__ import annotations

from tests.fuzz.readers import READERS, run


def test_readers_read_or_refuse_by_name() -> None:
    """Whatever comes in: a result, or one of our own errors; every reader both reads and refuses something."""
    tally = run(4000, seed=10_000_000)
    assert tally.defects == []
    assert set(tally.read) == set(READERS)
    assert set(tally.refused) >= set(READERS) - {"CapabilityStatement", "plain text", "privacy gate"}
