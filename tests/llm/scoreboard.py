"""`make eval-llm`: the small local model's rows of the scoreboard, on some visits of each half, and on some attacks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import prompts
from guardrails import codebook
from plugin.evaluation import scores, shown
from sandbox import fixtures
from tests.attack.run import Tally, ask, attacks, clean_visits
from tests.llm import small_model

KEPT = Path(__file__).parents[2] / "docs" / "scoreboard" / "smollm2-135m.json"


def main() -> None:
    """Run, keep, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.llm.scoreboard", description=__doc__)
    parser.add_argument("--only", type=int, default=12, help="visits of each half")
    parser.add_argument("--attacks", type=int, default=17)
    asked = parser.parse_args()
    book = codebook.load()
    with small_model.running() as model:
        boards = [
            scores.run(
                fixtures.ROOT,
                half,
                lambda _: model,
                name=small_model.NAME,
                prompt=prompts.version(),
                book=book,
                only=asked.only,
                watch=lambda fixture: print(".", end="", flush=True),
            ).as_json()
            for half in fixtures.HALVES
        ]
        KEPT.write_text(json.dumps(boards, indent=1) + "\n", encoding="utf-8")
        print("\n" + shown.markdown(boards))
        for board in boards:
            print("\n".join(shown.sentences(board)))
        tally = Tally()
        for visit, made in attacks(clean_visits(book), asked.attacks, 1):
            ask(visit, made, model, book, tally)
        print(
            f"attacks: {sum(tally.notes.values())} notes, {tally.proposals} proposals, {len(tally.successes)} succeeded, "
            f"no answer: {dict(tally.failed)}"
        )


if __name__ == "__main__":
    main()
