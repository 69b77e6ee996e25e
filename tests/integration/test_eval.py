"""The benchmark: what a run counts, what leaves as a request, what comes back as an answer; and what was not run says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import prompts
from guardrails import codebook
from guardrails.codebook import Codebook
from plugin.cli import main
from plugin.evaluation import benchmark, exchange, scores
from plugin.evaluation.benchmark import Fixture
from plugin.evaluation.scores import Retrieval, Share, over
from plugin.proposers.baseline import Baseline
from plugin.proposers.protocol import Answer, InvalidReply
from plugin.settings import Limits
from prompts import ProposalRequest, Reply
from sandbox import fixtures

Json = dict[str, Any]


@pytest.fixture(scope="module")
def tables() -> Codebook:
    """All tables."""
    return codebook.load()


def test_an_interval_is_wilsons() -> None:
    """Against published values: 0 of 20, 10 of 20, 1 of 100."""
    assert [round(edge, 3) for edge in Share(0, 20).interval] == [0.0, 0.161]
    assert [round(edge, 3) for edge in Share(10, 20).interval] == [0.299, 0.701]
    assert [round(edge, 3) for edge in Share(1, 100).interval] == [0.002, 0.054]
    assert Share(0, 0).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("lines", "gold", "beyond"),
    [
        ([("H2014", 3, ())], [("H2014", 3, ())], False),
        ([("H2014", 4, ())], [("H2014", 3, ())], True),
        ([("H2014", 2, ())], [("H2014", 3, ())], False),
        ([("H2014", 3, ()), ("H2014", 1, ())], [("H2014", 3, ())], True),
        ([("90837", 1, ())], [("90834", 1, ())], True),
        ([], [("H2014", 3, ())], False),
        ([("H2014", "three", ())], [("H2014", 3, ())], True),
    ],
)
def test_over_coded_is_what_is_beyond_what_is_right(lines: Any, gold: Any, beyond: bool) -> None:
    """A further line, another code, more units, or units that are none."""
    assert over(lines, gold) is beyond


def test_other_modifiers_are_a_figure_of_their_own(tables: Codebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gold code with other modifiers than gold's is not exact, neither over- nor under-coded, and is counted as what it is."""
    visit = fixtures.load_one(fixtures.ROOT / "development" / "h2014-45-minutes")
    gold = tuple(g | {"modifiers": ["HO"]} for g in visit.gold)
    monkeypatch.setattr(benchmark, "load", lambda *_: iter([replace(visit, gold=gold)]))
    after = board(tables, lambda _: Baseline(tables)).after
    assert [s.count for s in (after.exact, after.over_coded, after.under_coded, after.units_exact)] == [0, 0, 0, 1]
    assert after.modifiers_exact == Share(0, 1)


def test_a_record_that_lacks_its_time_counts_as_time_and_its_code_as_right(
    tables: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TH01 is psychotherapy's time; the service that took place is no wrong code for want of gold, also with other units."""
    visit = fixtures.load_one(fixtures.ROOT / "development" / "p90834-no-time")
    other_units = replace(visit.cases[0], name="two units")
    monkeypatch.setattr(benchmark, "load", lambda *_: iter([replace(visit, cases=(*visit.cases, other_units))]))
    assert board(tables, lambda _: None).audit == {"time": Share(1, 1)}


def test_precision_and_recall_say_nothing_where_there_is_nothing() -> None:
    """None, and not zero or one."""
    assert (Retrieval().precision, Retrieval().recall, Retrieval().f1) == (None, None, None)
    assert Retrieval(right=3, wrong=1, missed=2).f1 == pytest.approx(2 * 3 / 9)


def board(tables: Codebook, proposer_for: Callable[[Fixture], Any], **more: Any) -> scores.Scoreboard:
    """A run over the development half."""
    return scores.run(fixtures.ROOT, "development", proposer_for, name="x", prompt=None, book=tables, **more)


def test_a_proposer_that_bills_everything_is_caught(tables: Codebook) -> None:
    """Before the rules every visit asked about is over-coded; after them few lines stand and nearly none is beyond what is right."""

    class Greedy:
        name, host = "greedy", None

        def propose(self, request: ProposalRequest) -> Answer:
            words = request.notes[0].text.strip().split("\n")[0]
            quote = prompts.ReplyQuote(note=request.notes[0].id, element="service", text=words)
            lines = [prompts.ReplyLine(code=c.code, units=24, modifiers=[], quotes=[quote]) for c in request.codes]
            return Answer(reply=Reply(lines=lines, nothing_because=None))

    found = board(tables, lambda _: Greedy())
    assert found.before.over_coded.share > 0.8
    assert found.after.over_coded.count <= 2


def test_what_was_not_run_says_so_and_counts_nowhere(tables: Codebook) -> None:
    """Every tenth visit is run; the others are counted apart."""
    baseline = Baseline(tables)
    found = board(tables, lambda _: baseline, only=11)
    assert found.visits + found.not_run["not run"] == 109
    assert 9 <= found.visits <= 11
    assert found.before.exact.of == found.after.exact.of == found.visits


@pytest.mark.parametrize("half", fixtures.HALVES)
def test_the_closed_list_holds_the_right_codes(tables: Codebook, half: str) -> None:
    """Recall is favoured: of the gold codes of both halves at least nineteen in twenty are asked about."""
    found = scores.run(fixtures.ROOT, half, lambda _: None, name="x", prompt=None, book=tables).listed
    assert found.of > 70
    assert found.count >= 0.95 * found.of


def test_requests_and_answers_go_round(tables: Codebook, tmp_path: Path) -> None:
    """Every request in the Batch format, its answer scored as if a model had been asked; the missing are not run, the bad are named."""
    requests = list(exchange.requests(fixtures.ROOT, "development", "some-model", tables, Limits()))
    assert {r["url"] for r in requests} == {"/v1/chat/completions"}
    assert len({r["custom_id"] for r in requests}) == len(requests) > 80
    text = json.dumps(requests)
    assert "Ostrava" not in text
    assert "RB-104417" not in text
    answers = tmp_path / "answers.jsonl"
    good = _answer(next(r for r in requests if r["custom_id"] == "h2014-45-minutes"), tables)
    bad = {"custom_id": "p90834-52-minutes", "response": {"status_code": 200, "body": {"choices": []}}}
    failed = {"custom_id": "h0031-complete", "error": {"code": "x"}}
    answers.write_text("\n".join(json.dumps(each) for each in (good, bad, failed)))
    found = CliRunner().invoke(
        main, ["eval", "--fixtures", str(fixtures.ROOT), "--half", "development", "--replay", str(answers), "--json"]
    )
    assert found.exit_code == 0, found.output
    (shown,) = json.loads(found.output)
    assert shown["proposer"] == "some-model"
    assert shown["visits"] == 1 + 109 - len(requests)  # and those about which nothing is to be asked
    assert shown["not_run"]["InvalidReply"] == 1
    assert shown["not_run"]["ModelUnavailable"] == 1
    assert shown["not_run"]["not run"] == len(requests) - 3
    assert "h2014-45-minutes" not in shown["wrong"]
    assert shown["input_tokens"] == 1000


def _answer(request: Json, tables: Codebook) -> Json:
    """What a good model answers about the plain skills visit."""
    schema = request["body"]["response_format"]["json_schema"]["schema"]["$defs"]
    no = {"given": "no", "units": 0, "modifiers": [], "quotes": []}
    codes = dict.fromkeys(schema["Codes"]["required"], no)
    quotes = [{"note": "note-1", "shows": "time", "text": t} for t in ("Start time: 2:00 PM", "Stop time: 2:45 PM")]
    codes["H2014"] = {"given": "yes", "units": 3, "modifiers": ["HN"], "quotes": quotes}
    elements = {e: {"shown": False, "note": None, "text": None} for e in schema["Elements"]["required"]}
    judged = {"codes": codes, "elements": elements, "missed": None, "nothing_because": None}
    body = {
        "model": "some-model",
        "choices": [{"message": {"content": json.dumps(judged)}}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 300},
    }
    return {"custom_id": request["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "line 1: no record"),
        ('{"id": 1}', "custom_id"),
        ("", "holds no answer"),
        ('{"custom_id": "a"}\n{"custom_id": "b", "response": "late"}', "line 2: no record"),
        ('{"custom_id": "a", "response": {"status_code": 200, "body": "late"}}', "line 1: no record"),
    ],
)
def test_a_file_that_is_no_answers_is_refused_by_line(tmp_path: Path, content: str, said: str) -> None:
    """The line is named, and what is expected there."""
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    found = CliRunner().invoke(main, ["eval", "--fixtures", str(fixtures.ROOT), "--replay", str(path)])
    assert found.exit_code == 2
    assert said in found.output


def test_an_answer_may_hold_any_mark_that_is_text(tmp_path: Path) -> None:
    """A raw U+2028 or U+0085 within an answer ends no line of the file."""
    path = tmp_path / "answers.jsonl"
    record = {"custom_id": "a", "response": {"body": {"choices": [{"message": {"content": "one\u2028two\x85three"}}]}}}
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    assert exchange.answers(path) == {"a": record}


@pytest.mark.parametrize(
    "body", [{"choices": [{"message": "late"}]}, {"choices": "late"}, {"choices": [{"message": {"content": 7}}]}]
)
def test_a_recorded_answer_in_another_shape_is_no_answer(tables: Codebook, body: Json) -> None:
    """Whatever stands where the message should: the visit counts as answered in no usable form."""
    visit = fixtures.load_one(fixtures.ROOT / "development" / "h2014-45-minutes")
    request = exchange.request_of(fixtures.ROOT, visit, tables)
    assert request is not None
    replayed = exchange.Replayed("m", {"response": {"status_code": 200, "body": body}}, prompts.ReplySize())
    with pytest.raises(InvalidReply):
        replayed.propose(request)


def test_a_page_that_cannot_be_written_is_said_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is not there: exit code 2, and nothing was asked in vain."""
    asked: list[object] = []
    monkeypatch.setattr(scores, "run", lambda *_, **__: asked.append(1))
    page = tmp_path / "nowhere" / "board.html"
    found = CliRunner().invoke(main, ["eval", "--fixtures", str(fixtures.ROOT), "--html", str(page)])
    assert (found.exit_code, asked) == (2, [])
    assert "board.html: cannot be written" in found.output


def test_a_folder_without_a_benchmark_says_so(tmp_path: Path) -> None:
    """Exit code 2 and the option to set."""
    found = CliRunner().invoke(main, ["eval", "--fixtures", str(tmp_path)])
    assert found.exit_code == 2
    assert "--fixtures" in found.output


def test_the_page_holds_the_scores_and_fetches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file with its plots: no script, no address."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    page, requests = tmp_path / "board.html", tmp_path / "requests.jsonl"
    run = CliRunner().invoke(main, ["eval", "--fixtures", str(fixtures.ROOT), "--only", "5", "--html", str(page)])
    assert run.exit_code == 0, run.output
    text = page.read_text()
    assert "over-coded" in text
    assert "<svg" in text
    assert "http" not in text
    assert "<script" not in text
    wrote = CliRunner().invoke(main, ["eval", "--fixtures", str(fixtures.ROOT), "--requests", str(requests)])
    assert wrote.exit_code == 0
    assert len(requests.read_text().splitlines()) > 150
