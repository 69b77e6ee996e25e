"""What people read, pinned: no sentence, place or arithmetic changes unseen, and none is long or leading."""

from __future__ import annotations

import re

import pytest

from guardrails.codebook import Codebook
from guardrails.rules import Rule, registered
from tests.spec import said

ON_FILE = said.on_file()


@pytest.mark.cpt
@pytest.mark.parametrize("number", range(len(said.PARTS)))
def test_what_is_said_of_every_edge_case_is_on_file(number: int, book: Codebook) -> None:
    """Each change of words, places or arithmetic shows in `said.txt`, where a person reads it (`make docs` writes it)."""
    assert "\n".join(said.PARTS[number](book)) == "".join(ON_FILE[number : number + 1])


def test_nothing_else_is_on_file() -> None:
    """One part for each case."""
    assert len(ON_FILE) == len(said.PARTS)


@pytest.mark.parametrize("rule", registered().values(), ids=lambda rule: rule.id)
def test_a_sentence_is_short_and_plain(rule: Rule) -> None:
    """A sentence of at most 170 characters that ends in a full stop, shouts nothing, blames nobody and speaks of no money."""
    assert len(rule.sentence) <= 170
    assert rule.sentence.endswith(".")
    assert not re.search(
        r"!|\b(?:you|your|please|invalid|illegal|fraud|reimburse\w*|revenue|higher|maximi[sz]e\w*)\b", rule.sentence
    )
