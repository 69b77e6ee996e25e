"""The language model behind any OpenAI-compatible server: one request a visit, a closed form of answer, one retry layer.

The form is a strict schema; a server that takes none, or does not keep to it, is asked for plain JSON, which is validated here
and may be repaired once. The SDK's own retries are off; tenacity repeats what is transient within a total time budget. Every other outcome is a
typed `ProposerError` (see stack: a refusal, a cut answer, a filter, HTML with status 200, ...).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import openai
import tenacity
from openai import OpenAI
from openai.lib._pydantic import to_strict_json_schema  # what its `parse` sends, which hides what a broken answer took
from pydantic import BaseModel, ValidationError

from plugin.proposers.protocol import (
    Answer,
    InvalidReply,
    ModelMisconfigured,
    ModelRefused,
    ModelUnavailable,
    ProposerError,
    Spent,
    TooLong,
)
from plugin.settings import AnswerForm, Limits, ModelSettings
from prompts import ProposalRequest, Reply, ReplySize, judged_model, messages, reply_of

_DEFAULT_BASE = "https://api.openai.com/v1"
_TRANSIENT_STATUS = {408, 409, 425, 429}
_ATTEMPTS = 4
_ANY_JSON = {"type": "json_object"}
_CHARACTERS_A_TOKEN = 3.2  # a careful guess for English notes with numbers; the host counts exactly


class Model:
    """A model by name at a base URL. Asks at temperature 0 for the closed lists of the request, nothing else."""

    def __init__(self, settings: ModelSettings, limits: Limits, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = settings.name
        self._limits = limits
        self._size = ReplySize(limits.reply_quotes, limits.reply_quote_characters)
        self._context, self._form = settings.context_tokens, settings.form
        self._takes_schema = settings.form is not AnswerForm.JSON
        self._sleep = sleep
        self._client = OpenAI(
            base_url=settings.base_url,
            # local servers take any key, and the SDK insists on one
            api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
            max_retries=0,
            timeout=limits.model_seconds,
        )
        self.host = urlsplit(settings.base_url or _DEFAULT_BASE).hostname

    def propose(self, request: ProposalRequest) -> Answer:
        """Ask the model.

        Raises:
            ProposerError: unavailable after retries, misconfigured, refused, too long, or a reply not in the form asked for.
        """
        spent, started = Spent(), time.monotonic()
        try:
            reply = self._patiently(request, spent)
        except ProposerError as problem:
            problem.spent = spent
            raise
        spent.seconds = time.monotonic() - started
        return Answer(reply=reply, **asdict(spent))

    def _patiently(self, request: ProposalRequest, spent: Spent) -> Reply:
        guess = sum(len(m["content"]) for m in messages(request)) / _CHARACTERS_A_TOKEN
        if guess + self._limits.model_output_tokens > self._context:
            raise TooLong(
                f"the notes are about {guess:,.0f} tokens with the question, and the model takes {self._context:,} with its answer; "
                "they are not cut: a person codes this visit, or set a model with more room (model.context_tokens)"
            )
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(_ATTEMPTS) | tenacity.stop_before_delay(self._limits.model_total_seconds),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, request, spent)
        except ProposerError:
            raise
        except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as problem:
            raise ModelUnavailable(f"the model did not answer ({type(problem).__name__}); the visit waits") from None
        except openai.APIStatusError as problem:
            if problem.status_code in _TRANSIENT_STATUS:
                raise ModelUnavailable(f"the model's host answered {problem.status_code}; the visit waits") from None
            hint = {401: "check the key", 403: "the key may not use this model", 404: "check model name and base URL"}
            raise ModelMisconfigured(
                f"the model's host answered {problem.status_code}: {hint.get(problem.status_code, 'it does not take the request')}"
            ) from None
        except ValidationError:
            raise InvalidReply("the model's answer does not follow the schema") from None
        except openai.OpenAIError as problem:
            raise ModelUnavailable(f"the model could not be used ({type(problem).__name__})") from None
        except (AttributeError, TypeError, ValueError):
            raise ModelUnavailable(
                "the model's host answered with something that is no chat completion (a proxy's page?)"
            ) from None

    def _ask(self, request: ProposalRequest, spent: Spent) -> Reply:
        """By the strict schema where the server takes one; in the form `auto` by plain JSON where it does not."""
        form = judged_model(request, self._size)
        if self._takes_schema:
            try:
                text = self._complete(messages(request), strict_form(form), spent)
                if not text:
                    raise InvalidReply("the model's answer is empty")
                return _reply(request, form, text)
            except (openai.BadRequestError, openai.UnprocessableEntityError, ValidationError):
                if self._form is not AnswerForm.AUTO:
                    raise
        reply = self._in_json(request, form, spent)
        self._takes_schema = False  # found out once; the next visit asks this way at once
        return reply

    def _in_json(self, request: ProposalRequest, form: type[BaseModel], spent: Spent) -> Reply:
        """Plain JSON, validated here. What is wrong is said once, by its place, and may be repaired once."""
        talk = messages(request)
        schema = json.dumps(form.model_json_schema())
        talk[1] = talk[1] | {
            "content": f"{talk[1]['content']}\nAnswer with one JSON object of this schema, and nothing else:\n{schema}"
        }
        for last in (False, True):
            text = self._complete(talk, _ANY_JSON, spent)
            try:
                return _reply(request, form, _unfenced(text))
            except ValidationError as problem:
                if last:
                    raise InvalidReply("the model's answer does not follow the schema, also after one repair") from None
                wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['type']}" for e in problem.errors()[:20])
                repair = (
                    f"\nAn answer before did not follow the schema ({wrong}). Answer with the one JSON object alone."
                )
                talk[1] = talk[1] | {"content": talk[1]["content"] + repair}  # not its own words: they passed no gate
        raise AssertionError("the second answer was returned or refused")

    def _complete(self, talk: list[dict[str, str]], form: dict[str, Any], spent: Spent) -> str:
        """One request: the text of its answer. What it took is added to `spent` before anybody looks at the answer."""
        spent.requests += 1
        try:
            completion = self._client.chat.completions.create(**self._body(talk) | {"response_format": form})
        except openai.APIStatusError as problem:  # of this note, and no setting: asked another way it would be the same
            if problem.code == "context_length_exceeded":
                raise TooLong(
                    "the notes are more than the model takes, says its host; they are not cut: a person codes this visit, "
                    "or set a model with more room"
                ) from None
            if problem.code == "content_filter":
                raise ModelRefused("the model's host filtered the request") from None
            raise
        if used := completion.usage:
            spent.input_tokens += used.prompt_tokens or 0
            spent.output_tokens += used.completion_tokens or 0
            spent.cached_tokens += (used.prompt_tokens_details and used.prompt_tokens_details.cached_tokens) or 0
        if not completion.choices:
            raise InvalidReply("the model's answer holds no choice")
        choice = completion.choices[0]
        if choice.finish_reason == "length":
            raise InvalidReply(
                "the model's answer was cut off; raise model_output_tokens or use a model with more room"
            )
        if choice.finish_reason == "content_filter":
            raise ModelRefused("the model's host filtered the answer")
        if choice.message.refusal:
            raise ModelRefused("the model declined to answer")
        return choice.message.content or ""

    def _body(self, talk: list[dict[str, str]]) -> dict[str, Any]:
        return {
            "model": self.name,
            "messages": talk,
            "temperature": 0,
            "seed": 1,
            "max_completion_tokens": self._limits.model_output_tokens,
        }


def strict_form(form: type[BaseModel]) -> dict[str, Any]:
    """A form as the `response_format` of a request that must be answered in it."""
    schema = {"name": form.__name__, "strict": True, "schema": to_strict_json_schema(form)}
    return {"type": "json_schema", "json_schema": schema}


def _reply(request: ProposalRequest, form: type[BaseModel], text: str) -> Reply:
    return reply_of(form.model_validate_json(text).model_dump(), request)


def _unfenced(text: str) -> str:
    """The JSON alone, where a model put a fence around it."""
    match = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    return match[1] if match else text


def _is_transient(problem: BaseException) -> bool:
    if isinstance(problem, (openai.RateLimitError, openai.APIConnectionError, openai.InternalServerError)):
        return True
    return isinstance(problem, openai.APIStatusError) and problem.status_code in _TRANSIENT_STATUS


def _wait(state: tenacity.RetryCallState) -> float:
    """What the host asks for in Retry-After, else exponential backoff with jitter; seconds."""
    problem = state.outcome.exception() if state.outcome else None
    if isinstance(problem, openai.APIStatusError):
        asked = problem.response.headers.get("retry-after", "")
        if asked.isdigit():
            return float(asked)
    return tenacity.wait_exponential_jitter(multiplier=0.5, max=20)(state)
