"""The language model's every outcome, from a loopback server that speaks its protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from guardrails.codebook import Codebook
from plugin.proposers.baseline import Baseline
from plugin.proposers.model import Model
from plugin.proposers.protocol import Answer as Proposed
from plugin.proposers.protocol import (
    InvalidReply,
    ModelMisconfigured,
    ModelRefused,
    ModelUnavailable,
    ProposerError,
    TooLong,
)
from plugin.settings import Limits, ModelSettings
from prompts import ProposalRequest, SentNote, elements_of, reply_of, requirements_of
from tests.conftest import DAY, SKILLS
from tests.scripted import Answer, ScriptedServer

TIME = {"note": "note-1", "shows": "time", "text": "Start time: 2:00 PM"}
NO = {"given": "no", "units": 0, "modifiers": [], "quotes": []}


def judged(request: ProposalRequest, **changes: Any) -> dict[str, Any]:
    """A model's whole answer: H2014 is given, everything else is not; changed by part."""
    shown: dict[str, Any] = {e: {"shown": False, "note": None, "text": None} for e, _ in request.elements}
    shown["S01"] = {"shown": True, "note": "note-1", "text": "Skill taught: budgeting with envelopes."}
    given = {"given": "yes", "units": 3, "modifiers": [], "quotes": [TIME]}
    codes = {c.code: (given if c.code == "H2014" else NO) for c in request.codes}
    return {"codes": codes, "elements": shown, "missed": None, "nothing_because": None} | changes


@pytest.fixture
def request_of(book: Codebook) -> ProposalRequest:
    """A request about one skills-training note."""
    codes = tuple(c for c in (book.find("H2014", DAY), book.find("H0032", DAY)) if c)
    return ProposalRequest(
        notes=(SentNote("note-1", SKILLS.format(start="2:00 PM", stop="2:45 PM")),),
        codes=codes,
        elements=elements_of(codes, book),
        level="BA",
        education_modifier="HN",
        payer_kind="medicaid",
        requires=requirements_of(codes, book),
    )


def completion(content: object, **changes: Any) -> Answer:
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text} | changes.pop("message", {})
    choice = {"index": 0, "finish_reason": "stop", "message": message} | changes
    usage = {
        "prompt_tokens": 900,
        "completion_tokens": 60,
        "total_tokens": 960,
        "prompt_tokens_details": {"cached_tokens": 768},
    }
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Answer(200, body, content_type="application/json")


def failing(status: int, code: str | None = None, **headers: str) -> Answer:
    error = {"message": "Ostrava said no", "type": "x", "code": code}
    return Answer(status, {"error": error}, headers, "application/json")


def ask(
    scripted: ScriptedServer,
    request: ProposalRequest,
    *answers: Answer,
    waits: list[float] | None = None,
    **settings_: Any,
) -> Proposed:
    scripted.script(*answers)
    settings = ModelSettings(name="m", base_url=scripted.base.replace("/fhir", "/v1"), **settings_)
    return Model(settings, Limits(model_seconds=2), sleep=(waits if waits is not None else []).append).propose(request)


def good(request: ProposalRequest) -> Answer:
    """An answer as it should be."""
    return completion(judged(request))


def test_a_good_reply_is_read_with_what_it_cost(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """One request; a line for the one code that is given, with its own passage and those of the elements it must show."""
    answer = ask(scripted, request_of, good(request_of))
    (line,) = answer.reply.lines
    assert (line.code, line.units, line.unsure) == ("H2014", 3, False)
    assert [(q.element, q.note) for q in line.quotes] == [("time", "note-1"), ("S01", "note-1")]
    assert (answer.requests, answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (1, 900, 60, 768)
    assert len(scripted.requests) == 1


def test_the_schema_asks_for_a_judgement_of_everything(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """Strict JSON schema; every code and element must be judged, no other can be; what never changes comes first; temperature 0."""
    ask(scripted, request_of, good(request_of))
    sent = json.loads(scripted.requests[0].body)
    form = sent["response_format"]["json_schema"]
    assert form["strict"] is True
    parts = form["schema"]["$defs"]
    assert set(parts["Codes"]["required"]) == {c.code for c in request_of.codes}
    assert set(parts["Elements"]["required"]) == {e for e, _ in request_of.elements}
    assert parts["Codes"]["additionalProperties"] is parts["Elements"]["additionalProperties"] is False
    assert '"note-1"' in json.dumps(form)
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0
    assert "H2014" not in sent["messages"][0]["content"]


def test_the_question_names_no_price_and_no_target(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """No money, no mix, no hint at a higher code; "no" is said to be as good an answer as "yes"."""
    ask(scripted, request_of, good(request_of))
    said = " ".join(m["content"] for m in json.loads(scripted.requests[0].body)["messages"]).lower()
    assert not re.search(r"[$€]|\b(?:rate|reimburse|revenue|maximi[sz]e|highest|upcod|percent of|target mix)\w*", said)
    assert '"no" is as good an answer as "yes"' in said


def test_unsure_is_kept_and_held(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """A model that abstains makes a line that only a person can release."""
    unsure = {"given": "unsure", "units": 3, "modifiers": [], "quotes": [TIME]}
    answer = ask(scripted, request_of, completion(judged(request_of, codes={"H2014": unsure, "H0032": NO})))
    assert [(line.code, line.unsure) for line in answer.reply.lines] == [("H2014", True)]


def test_a_code_that_the_list_misses_is_kept_as_unsure(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """One may be named, with its passage; the rules say what it is."""
    missed = {"code": "T1016", "note": "note-1", "text": "Next session: phone bill."}
    answer = ask(scripted, request_of, completion(judged(request_of, missed=missed)))
    assert [(line.code, line.unsure) for line in answer.reply.lines] == [("H2014", False), ("T1016", True)]


def test_an_element_s_passage_goes_only_with_lines_of_its_own_note(book: Codebook, request_of: ProposalRequest) -> None:
    """Two clinicians' notes: what one shows is no evidence for the other's line."""
    two = replace(request_of, notes=(*request_of.notes, SentNote("note-2", "Other words.")))
    said = judged(two)
    said["elements"]["S02"] = {"shown": True, "note": "note-2", "text": "Other words."}
    (line,) = reply_of(said, two).lines
    assert {q.note for q in line.quotes} == {"note-1"}


def test_a_server_without_schemas_is_asked_for_json(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """It refuses the schema; plain JSON, also in a fence, is validated here; the next visit asks that way at once."""
    fenced = completion(f"```json\n{json.dumps(judged(request_of))}\n```")
    scripted.script(failing(400), fenced, fenced)
    model = Model(ModelSettings(name="m", base_url=scripted.base.replace("/fhir", "/v1")), Limits(model_seconds=2))
    assert model.propose(request_of).requests == 2
    assert model.propose(request_of).requests == 1
    asked = [json.loads(r.body)["response_format"]["type"] for r in scripted.requests]
    assert asked == ["json_schema", "json_object", "json_object"]


def test_json_may_be_repaired_once(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """What is wrong is named by its place; after a second wrong answer nothing more is asked."""
    broken = completion(json.dumps(judged(request_of) | {"codes": {"H2014": NO}}))
    answer = ask(scripted, request_of, broken, good(request_of), form="json")
    assert answer.requests == 2
    assert "codes.H0032: missing" in json.loads(scripted.requests[1].body)["messages"][-1]["content"]
    with pytest.raises(InvalidReply, match="after one repair"):
        ask(scripted, request_of, broken, form="json")
    assert len(scripted.requests) == 4


def test_notes_longer_than_the_model_takes_are_not_cut(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """Eight thousand words go in one request; what is more than the model takes goes nowhere, and the visit says so."""
    words = "The client spoke about the week. " * 1400
    long = replace(request_of, notes=(SentNote("note-1", words), SentNote("note-2", words)))
    answer = completion(judged(long))
    assert ask(scripted, long, answer).reply.lines
    assert all(n["text"] == words for n in json.loads(_user(scripted).split("\n")[-1]))
    before = len(scripted.requests)
    with pytest.raises(TooLong, match="not cut"):
        ask(scripted, long, answer, context_tokens=8192)
    assert len(scripted.requests) == before


def _user(scripted: ScriptedServer) -> str:
    return str(json.loads(scripted.requests[-1].body)["messages"][1]["content"])


BAD: list[tuple[Callable[[ProposalRequest], Answer], type[ProposerError]]] = [
    (lambda _: completion(None, message={"refusal": "I cannot help"}), ModelRefused),
    (lambda _: completion(None), InvalidReply),
    (lambda r: completion(judged(r), finish_reason="length"), InvalidReply),
    (lambda r: completion(judged(r), finish_reason="content_filter"), ModelRefused),
    (lambda _: completion("```json\n{}\n```"), InvalidReply),
    (lambda r: completion(judged(r, codes={"H2014": NO, "90837": NO})), InvalidReply),
    (lambda r: completion(judged(r, codes={"H2014": NO | {"units": "three"}, "H0032": NO})), InvalidReply),
    (lambda _: Answer(200, b"<html>proxy</html>", content_type="text/html"), ModelUnavailable),
    (lambda _: Answer(200, {"choices": []}, content_type="application/json"), InvalidReply),
    (lambda _: failing(400, "context_length_exceeded"), TooLong),
    (lambda _: failing(400, "content_filter"), ModelRefused),
    *((lambda _, s=status: failing(s), ModelMisconfigured) for status in (400, 401, 403, 404, 422)),
]


@pytest.mark.parametrize(("answer", "kind"), BAD)
def test_each_bad_outcome_has_its_error(
    scripted: ScriptedServer,
    request_of: ProposalRequest,
    answer: Callable[[ProposalRequest], Answer],
    kind: type[ProposerError],
) -> None:
    """Refusals, cut or empty answers, wrong schemas, proxies' pages, settings: one request, one clear error, no text of theirs."""
    with pytest.raises(kind) as problem:
        ask(scripted, request_of, answer(request_of), form="strict")
    assert len(scripted.requests) == 1
    assert "Ostrava" not in str(problem.value)


@pytest.mark.parametrize(
    ("form", "answer", "kind"),
    [
        ("auto", failing(400, "context_length_exceeded"), TooLong),
        ("auto", failing(400, "content_filter"), ModelRefused),
        ("json", failing(400, "context_length_exceeded"), TooLong),
        ("json", failing(400, "content_filter"), ModelRefused),
        ("json", completion("", finish_reason="content_filter"), ModelRefused),
    ],
)
def test_what_is_wrong_with_the_note_is_not_asked_again(
    scripted: ScriptedServer, request_of: ProposalRequest, form: str, answer: Answer, kind: type[ProposerError]
) -> None:
    """Too long, or filtered: no setting mends it and no other form of answer, so the note leaves once."""
    with pytest.raises(kind):
        ask(scripted, request_of, answer, form=form)
    assert len(scripted.requests) == 1


BROKEN = completion("{}")


@pytest.mark.parametrize(
    ("form", "answers", "requests", "answered"),
    [
        ("json", [BROKEN, BROKEN], 2, 2),
        ("json", [completion("{", finish_reason="length")], 1, 1),
        ("strict", [completion("{", finish_reason="length")], 1, 1),
        ("strict", [BROKEN], 1, 1),
        ("auto", [BROKEN, completion("", finish_reason="content_filter")], 2, 2),
        ("auto", [failing(503)] * 4, 4, 0),
        ("auto", [failing(400), BROKEN, failing(401)], 3, 1),
    ],
)
def test_what_a_failure_took_is_counted(
    scripted: ScriptedServer,
    request_of: ProposalRequest,
    form: str,
    answers: list[Answer],
    requests: int,
    answered: int,
) -> None:
    """Every request that went out and the tokens of every answer, also of one that nobody can use."""
    with pytest.raises(ProposerError) as problem:
        ask(scripted, request_of, *answers, form=form)
    spent = problem.value.spent
    assert spent is not None
    assert len(scripted.requests) == spent.requests == requests
    assert (spent.input_tokens, spent.output_tokens, spent.cached_tokens) == (
        900 * answered,
        60 * answered,
        768 * answered,
    )


@pytest.mark.parametrize(
    ("before", "requests", "tokens"), [([failing(429)] * 2, 3, 900), ([BROKEN], 2, 1800), ([failing(400)], 2, 900)]
)
def test_an_answer_counts_what_went_before_it(
    scripted: ScriptedServer, request_of: ProposalRequest, before: list[Answer], requests: int, tokens: int
) -> None:
    """Tries that were throttled or refused, and an answer that broke the schema."""
    answer = ask(scripted, request_of, *before, good(request_of))
    assert (answer.requests, answer.input_tokens) == (requests, tokens)


@pytest.mark.parametrize(
    "answer", [failing(429), failing(500), failing(503), failing(409), failing(408), Answer(drop=True)]
)
def test_passing_failures_are_retried_in_one_layer(
    scripted: ScriptedServer, request_of: ProposalRequest, answer: Answer
) -> None:
    """Two failures, then success: three requests, not nine."""
    waits: list[float] = []
    assert ask(scripted, request_of, answer, answer, good(request_of), waits=waits).reply.lines
    assert len(scripted.requests) == 3
    assert len(waits) == 2


def test_a_model_that_stays_down_makes_the_visit_wait(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """Four tries, then `ModelUnavailable`; nothing takes its place (X-I12)."""
    with pytest.raises(ModelUnavailable):
        ask(scripted, request_of, failing(503))
    assert len(scripted.requests) == 4


def test_a_429_waits_as_long_as_the_host_asks(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """Retry-After in seconds."""
    waits: list[float] = []
    ask(scripted, request_of, failing(429, **{"retry-after": "9"}), good(request_of), waits=waits)
    assert waits == [9.0]


def test_the_baseline_answers_the_same_question(book: Codebook, request_of: ProposalRequest) -> None:
    """One protocol: the extractor reads the service line and the times, and quotes them."""
    (line,) = Baseline(book).propose(request_of).reply.lines
    assert (line.code, line.units, line.modifiers) == ("H2014", 3, ["HN"])
    note = request_of.notes[0].text
    assert all(q.text in note for q in line.quotes)
