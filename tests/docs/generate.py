"""`make docs`: write what is generated in the documentation anew: docs/rules.md, docs/demo.svg, the model card, the tables in
the README and in docs/operations.md."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from guardrails import codebook, policies, policy_words
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.rules import families
from plugin import pipeline, site
from plugin.evaluation import scores, shown
from plugin.proposers.baseline import Baseline
from plugin.review.states import MEANING, MOVES, State
from sandbox import demo, fixtures, server
from tests.docs import model_card
from tests.spec import said

ROOT = Path(__file__).resolve().parent.parent.parent
SCOREBOARD = ROOT / "docs" / "scoreboard"
_TITLES = {
    "AUTH": "Authorization",
    "CODE": "May the code stand on this visit?",
    "DOC": "Does the record show what the service must show?",
    "DX": "Diagnoses",
    "EDIT": "What lines do to each other",
    "EVID": "Do the quoted words stand in the note?",
    "ASK": "What is asked for",
    "FACT": "Facts supplied outside the note",
    "MOD": "Modifiers",
    "NOTE": "The notes",
    "PAYER": "Who pays",
    "PLACE": "Place of service",
    "PLAN": "The plan in force",
    "PRIV": "Privacy",
    "TIME": "Which minutes count?",
    "UNIT": "Minutes to units",
    "VISIT": "The visit",
}


def _policy(policy: Policy, book: Codebook) -> list[str]:
    """One payer's policy, in its sentences."""
    through = f" through {policy.effective_through}" if policy.effective_through else ""
    lines = [
        f"### {policy.payer} (`{policy.id}`)",
        "",
        f"In force from {policy.effective_from}{through}. {policy.source}.",
        "",
    ]
    for code in policy_words.spoken_of(policy):
        for entry in book.codes.get(code, ())[-1:]:
            said = policy_words.of_code(policy, entry, book.elements)
            lines.append(
                f"- {code}: {' '.join(' '.join([c.text, f'({c.source})'] if c.source else [c.text]) for c in said)}"
            )
    return [*lines, f"- Every line: {' '.join(clause.text for clause in policy_words.of_every_line(policy))}"]


def rules_page() -> str:
    """docs/rules.md: every rule, from the register."""
    book = codebook.load()
    lines = [
        "# Rules",
        "",
        "Generated from the register of rules by `make docs`; a test fails when this page is stale. Effects: *block* rejects a",
        "line, *hold* keeps it until the record or a fact cures it, *fix* holds it beside a lower value that a person may accept,",
        "*warn* lets it stand with a word. Authorities named `domain n` are sections of the project's rule collection, which names its",
        "sources; a payer's policy can make a documentation element harder or softer.",
    ]
    for family, members in families(book.rules()):
        lines += [
            "",
            f"## {_TITLES[family]}",
            "",
            "| rule | effect | says | cured by | authority |",
            "|---|---|---|---|---|",
        ]
        lines += [f"| {r.id} | {r.effect.value} | {r.sentence} | {r.cured_by.value} | {r.authority} |" for r in members]
    lines += ["", "## What each service must document", "", "Elements by service; those in parentheses only warn.", ""]
    lines += ["| service | elements |", "|---|---|"]
    for service, required in sorted(book.requirements.items()):
        shown = [e if effect == "hold" else f"({e})" for e, effect in required.items()]
        lines.append(f"| {service.replace('_', ' ')} | {' '.join(shown)} |")
    lines += [
        "",
        "## What the packaged payer policies say",
        "",
        "As `claimwright policy show NAME` says it, and a coder reads beside a line.",
    ]
    for name in policies.packaged():
        lines += ["", *_policy(policies.load(name), book)]
    lines += [
        "",
        "## Codes that are mistaken for each other",
        "",
        "| code | often really | told apart by |",
        "|---|---|---|",
    ]
    lines += [
        f"| {code} | {other} | {by} |"
        for code, others in sorted(book.look_alikes.items())
        for other, by in others.items()
    ]
    lines += [
        "",
        "## Lines beside each other, by example",
        "",
        "Each row is a test (`tests/spec/lines_together.csv`): `*` marks a line that its note does not yet support, `@b` another",
        "clinician, `-59` a modifier. The lines lie at different times of one day.",
        "",
        "| lines | payer | findings | why |",
        "|---|---|---|---|",
    ]
    with (ROOT / "tests" / "spec" / "lines_together.csv").open(encoding="utf-8", newline="") as table:
        lines += [
            f"| {r['lines']} | {r['payer']} | {r['says'] or 'none'} | {r['why']} |" for r in csv.DictReader(table)
        ]
    lines += [
        "",
        "## Edge cases",
        "",
        "Each row is a test (`tests/spec/edge_cases.csv`): a complete note with these times, what is changed, what is proposed, and our",
        "one outcome. The last column is what the rule collection asks for, with why ours differs where it does.",
        "",
        "| case | note | changed | proposed | payer | outcome | rules | asked for |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with (ROOT / "tests" / "spec" / "edge_cases.csv").open(encoding="utf-8", newline="") as table:
        for r in csv.DictReader(table):
            changed = "; ".join(filter(None, (r["but"], r["visit"]))).replace("|", " / ")
            cells = (
                r["case"],
                r["note"].replace("_", " "),
                changed,
                r["proposed"].replace("_", " ").replace("|", " / "),
                r["payer"],
                r["outcome"],
                r["rules"],
                r["domain"] or f"shown by {r['shown_by']}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def states_table() -> str:
    """Where a visit can stand, and where it can go from there, from the table that the store asks."""
    lines = ["| state | means | from there to |", "|---|---|---|"]
    for state in State:
        onward = ", ".join(after.value for after in State if after in MOVES[state] and after is not state)
        lines.append(f"| {state.value} | {MEANING[state]} | {onward or 'nowhere'} |")
    return "\n".join(lines)


def demo_rows(base: str, data_dir: Path) -> list[demo.Row]:
    """The demo's rows, from the server at `base` with a fresh store."""
    rows = []
    with site.ehr_site(server.settings_at(base, data_dir)) as (live, _):
        for fixture in fixtures.load("development"):
            rows += demo.rows_of(pipeline.code_visit(live, fixture.name), fixture.name)
    return rows


def demo_markdown(rows: list[demo.Row]) -> str:
    """The rows as the README shows them."""
    lines = ["| visit | proposed | proved line | units | outcome | why |", "|---|---|---|---|---|---|"]
    lines += [f"| {r.visit} | {r.proposed} | {r.proved} | {r.units} | {r.outcome} | {r.why} |" for r in rows]
    return "\n".join(lines)


def baseline_boards() -> list[dict[str, Any]]:
    """The baseline's scoreboards as they are today, without what depends on the machine."""
    book = codebook.load()
    baseline = Baseline(book)
    made = [
        scores.run(fixtures.ROOT, half, lambda _: baseline, name=baseline.name, prompt=None, book=book)
        for half in fixtures.HALVES
    ]
    return [board.as_json() | {"median_seconds": 0.0, "slowest_seconds": 0.0} for board in made]


def kept_boards() -> list[dict[str, Any]]:
    """Every scoreboard on file, the baseline's first."""
    files = sorted(SCOREBOARD.glob("*.json"), key=lambda p: (p.stem != "baseline", p.stem))
    return [board for path in files for board in json.loads(path.read_text(encoding="utf-8"))]


def between(text: str, mark: str) -> str:
    """What stands between a pair of marks in a page."""
    match = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", text, re.DOTALL)
    if match is None:
        raise ValueError(f"the page has no part marked {mark}")
    return match[1]


def replaced(text: str, mark: str, content: str) -> str:
    """The page with what stands between a pair of marks replaced."""
    start, end = f"<!-- {mark} -->\n", f"\n<!-- /{mark} -->"
    before, _, rest = text.partition(start)
    return before + start + content + end + rest.partition(end)[2]


def _picture(rows: list[demo.Row]) -> str:
    """The demo's table as a terminal draws it; without the web font that rich would load."""
    console = Console(record=True, width=150, file=io.StringIO(), force_terminal=True)
    console.print("$ make demo")
    console.print(demo.table(rows, colour=True))
    svg = console.export_svg(title="make demo", unique_id="demo")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def main() -> None:
    """Write all of it."""
    (ROOT / "docs" / "rules.md").write_text(rules_page(), encoding="utf-8")
    said.FILE.write_text(said.everything(codebook.load()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder) / "ehr") as base:
        server.load_fixtures(base)
        rows = demo_rows(base, Path(folder) / "store")
    (ROOT / "docs" / "demo.svg").write_text(_picture(rows), encoding="utf-8")
    operations = ROOT / "docs" / "operations.md"
    operations.write_text(replaced(operations.read_text(encoding="utf-8"), "states", states_table()), encoding="utf-8")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    page = replaced(page, "demo", demo_markdown(rows))
    (SCOREBOARD / "baseline.json").write_text(json.dumps(baseline_boards(), indent=1) + "\n", encoding="utf-8")
    page = replaced(page, "scores", shown.markdown(kept_boards()))
    (ROOT / "docs" / "model-card.md").write_text(model_card.page(kept_boards()), encoding="utf-8")
    (ROOT / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
