"""The language model's every outcome, from a loopback server that speaks its protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrails.codebook import Codebook
from plugin.proposers.baseline import Baseline
from plugin.proposers.model import Model
from plugin.proposers.protocol import Answer as Proposed
from plugin.proposers.protocol import InvalidReply, ModelMisconfigured, ModelRefused, ModelUnavailable, ProposerError
from plugin.settings import Limits, ModelSettings
from prompts import ProposalRequest, SentNote, elements_of
from tests.conftest import DAY, SKILLS
from tests.scripted import Answer, ScriptedServer

REPLY = {
    "lines": [
        {
            "code": "H2014",
            "units": 3,
            "modifiers": [],
            "quotes": [{"note": "note-1", "element": "time", "text": "Start time: 2:00 PM"}],
        }
    ],
    "nothing_because": None,
}


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
    )


def completion(content: object = REPLY, **changes: Any) -> Answer:
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


def failing(status: int, **headers: str) -> Answer:
    return Answer(
        status, {"error": {"message": "Ostrava said no", "type": "x", "code": None}}, headers, "application/json"
    )


def ask(
    scripted: ScriptedServer, request: ProposalRequest, *answers: Answer, waits: list[float] | None = None
) -> Proposed:
    scripted.script(*answers)
    settings = ModelSettings(name="m", base_url=scripted.base.replace("/fhir", "/v1"))
    return Model(settings, Limits(model_seconds=2), sleep=(waits if waits is not None else []).append).propose(request)


def test_a_good_reply_is_read_with_what_it_cost(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """One request; the reply and its tokens come back."""
    answer = ask(scripted, request_of, completion())
    assert [line.code for line in answer.reply.lines] == ["H2014"]
    assert (answer.input_tokens, answer.output_tokens, answer.cached_tokens) == (900, 60, 768)
    assert len(scripted.requests) == 1


def test_the_schema_closes_the_lists(scripted: ScriptedServer, request_of: ProposalRequest) -> None:
    """Strict JSON schema; codes, notes and elements are those of the request; fixed part first; temperature 0."""
    ask(scripted, request_of, completion())
    sent = json.loads(scripted.requests[0].body)
    schema = json.dumps(sent["response_format"]["json_schema"])
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert '["H0032", "H2014"]' in schema or '["H2014", "H0032"]' in schema
    assert '"note-1"' in schema
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0
    assert "H2014" not in sent["messages"][0]["content"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (completion(None, message={"refusal": "I cannot help"}), ModelRefused),
        (completion(None), InvalidReply),
        (completion(REPLY, finish_reason="length"), InvalidReply),
        (completion(REPLY, finish_reason="content_filter"), ModelRefused),
        (completion("```json\n{}\n```"), InvalidReply),
        (completion({"lines": [{**REPLY["lines"][0], "code": "90837"}], "nothing_because": None}), InvalidReply),  # type: ignore[index]
        (completion({"lines": [{**REPLY["lines"][0], "units": "three"}], "nothing_because": None}), InvalidReply),  # type: ignore[index]
        (Answer(200, b"<html>proxy</html>", content_type="text/html"), ModelUnavailable),
        (Answer(200, {"choices": []}, content_type="application/json"), InvalidReply),
        (failing(400), ModelMisconfigured),
        (failing(401), ModelMisconfigured),
        (failing(403), ModelMisconfigured),
        (failing(404), ModelMisconfigured),
        (failing(422), ModelMisconfigured),
    ],
)
def test_each_bad_outcome_has_its_error(
    scripted: ScriptedServer, request_of: ProposalRequest, answer: Answer, kind: type[ProposerError]
) -> None:
    """Refusals, cut or empty answers, wrong schemas, proxies' pages, settings: one request, one clear error, no text of theirs."""
    with pytest.raises(kind) as problem:
        ask(scripted, request_of, answer)
    assert len(scripted.requests) == 1
    assert "Ostrava" not in str(problem.value)


@pytest.mark.parametrize(
    "answer", [failing(429), failing(500), failing(503), failing(409), failing(408), Answer(drop=True)]
)
def test_passing_failures_are_retried_in_one_layer(
    scripted: ScriptedServer, request_of: ProposalRequest, answer: Answer
) -> None:
    """Two failures, then success: three requests, not nine."""
    waits: list[float] = []
    assert ask(scripted, request_of, answer, answer, completion(), waits=waits).reply.lines
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
    ask(scripted, request_of, failing(429, **{"retry-after": "9"}), completion(), waits=waits)
    assert waits == [9.0]


def test_the_baseline_answers_the_same_question(book: Codebook, request_of: ProposalRequest) -> None:
    """One protocol: the extractor reads the service line and the times, and quotes them."""
    (line,) = Baseline(book).propose(request_of).reply.lines
    assert (line.code, line.units, line.modifiers) == ("H2014", 3, ["HN"])
    note = request_of.notes[0].text
    assert all(q.text in note for q in line.quotes)
