"""Requests written down for a model that is not reachable from here, and its answers read back: OpenAI's Batch format, JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import prompts
from guardrails import stopped
from guardrails.codebook import Codebook
from plugin import pipeline, privacy
from plugin.evaluation import benchmark
from plugin.evaluation.benchmark import Fixture, UnusableBenchmark
from plugin.evaluation.scores import understood_of
from plugin.proposers.protocol import Answer, InvalidReply, ModelRefused, ModelUnavailable
from plugin.settings import Limits
from prompts import ProposalRequest, ReplySize, judged_model, reply_of

Json = dict[str, Any]


def requests(root: Path, half: str, model: str, book: Codebook, limits: Limits) -> Iterator[Json]:
    """A request a visit for which a model would be asked; `custom_id` is the visit's name."""
    from plugin.proposers.model import strict_form  # the SDK takes a second to import, for this alone

    size = ReplySize(limits.reply_quotes, limits.reply_quote_characters)
    for fixture in benchmark.load(root, half):
        request = request_of(root, fixture, book)
        if request is None:
            continue
        form = judged_model(request, size)
        yield {
            "custom_id": fixture.name,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": model,
                "messages": prompts.messages(request),
                "temperature": 0,
                "seed": 1,
                "max_completion_tokens": limits.model_output_tokens,
                "response_format": strict_form(form),
            },
        }


def request_of(root: Path, fixture: Fixture, book: Codebook) -> ProposalRequest | None:
    """What a model is asked about a visit; None where nothing is to be asked."""
    site, understood = understood_of(root, fixture, book)
    if stopped(understood.visit, understood.context):
        return None
    try:
        outgoing = privacy.open_gate(understood.visit, understood.context, understood.forms, site.settings.ehr, None)
    except privacy.Closed:
        return None
    return pipeline.request_of(understood, outgoing, book)


class Replayed:
    """The recorded answer to one visit's request, or what went wrong with it."""

    host = None

    def __init__(self, name: str, record: Json, size: ReplySize) -> None:
        self.name, self._record, self._size = name, record, size

    def propose(self, request: ProposalRequest) -> Answer:
        """Read the answer as if it had just come.

        Raises:
            ProposerError: it failed there, was refused, or does not follow the form.
        """
        response = self._record.get("response") or {}
        if self._record.get("error") or response.get("status_code") != 200:
            raise ModelUnavailable("the recorded request failed")
        body = response.get("body") or {}
        try:
            message = body["choices"][0]["message"]
            if message.get("refusal"):
                raise ModelRefused("the model declined to answer")
            form: type[BaseModel] = judged_model(request, self._size)
            judged = form.model_validate_json(message["content"])
            used = body.get("usage") or {}
            return Answer(
                reply=reply_of(judged.model_dump(), request),
                requests=1,
                input_tokens=int(used.get("prompt_tokens") or 0),
                cached_tokens=int((used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
                output_tokens=int(used.get("completion_tokens") or 0),
            )
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise InvalidReply("the recorded answer does not follow the schema") from None


def answers(path: Path) -> dict[str, Json]:
    """The recorded answers of a file, by visit.

    Raises:
        UnusableBenchmark: it cannot be read, or a line is no record.
    """
    found: dict[str, Json] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # an answer may hold what else ends a line: U+2028, U+0085
    except (OSError, ValueError):
        raise UnusableBenchmark(f"{path.name}: cannot be read") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found[str(record["custom_id"])] = record
            _model_of(record)  # its response and its body are objects, or absent
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UnusableBenchmark(
                f"{path.name}, line {number}: no record of the Batch format (custom_id, response, body)"
            ) from None
    if not found:
        raise UnusableBenchmark(f"{path.name}: it holds no answer")
    return found


def model_of(found: dict[str, Json]) -> str:
    """The model that answered, as its answers name it."""
    named = {_model_of(record) for record in found.values()} - {""}
    return ", ".join(sorted(named)) or "recorded model"


def _model_of(record: Json) -> str:
    return str(((record.get("response") or {}).get("body") or {}).get("model") or "")
