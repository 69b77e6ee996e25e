"""The language model behind any OpenAI-compatible server: one request a visit, a strict schema, one retry layer.

The SDK's own retries are off; tenacity repeats what is transient within a total time budget. Every other outcome is a
typed `ProposerError` (see stack: a refusal, a cut answer, a filter, HTML with status 200, ...).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import openai
import tenacity
from openai import OpenAI
from pydantic import ValidationError

from plugin.proposers.protocol import (
    Answer,
    InvalidReply,
    ModelMisconfigured,
    ModelRefused,
    ModelUnavailable,
    ProposerError,
)
from plugin.settings import Limits, ModelSettings
from prompts import ProposalRequest, Reply, ReplySize, reply_model, system_prompt, user_prompt

_DEFAULT_BASE = "https://api.openai.com/v1"
_TRANSIENT_STATUS = {408, 409, 425, 429}
_ATTEMPTS = 4


class Model:
    """A model by name at a base URL. Asks at temperature 0 for the closed lists of the request, nothing else."""

    def __init__(self, settings: ModelSettings, limits: Limits, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = settings.name
        self._limits = limits
        self._size = ReplySize(limits.reply_lines, limits.reply_quotes, limits.reply_quote_characters)
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
            ProposerError: unavailable after retries, misconfigured, refused, or a reply not in the form asked for.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(_ATTEMPTS) | tenacity.stop_before_delay(self._limits.model_total_seconds),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, request)
        except ProposerError:
            raise
        except openai.LengthFinishReasonError:
            raise InvalidReply(
                "the model's answer was cut off; raise model_output_tokens or use a model with more room"
            ) from None
        except openai.ContentFilterFinishReasonError:
            raise ModelRefused("the model's host filtered the answer") from None
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

    def _ask(self, request: ProposalRequest) -> Answer:
        completion = self._client.chat.completions.parse(
            model=self.name,
            messages=[
                {"role": "system", "content": system_prompt()},
                {"role": "user", "content": user_prompt(request)},
            ],
            response_format=reply_model(request, self._size),
            temperature=0,
            seed=1,
            max_completion_tokens=self._limits.model_output_tokens,
        )
        if not completion.choices:
            raise InvalidReply("the model's answer holds no choice")
        message = completion.choices[0].message
        if message.refusal:
            raise ModelRefused("the model declined to answer")
        if message.parsed is None:
            raise InvalidReply("the model's answer is empty")
        usage = completion.usage
        details = usage.prompt_tokens_details if usage else None
        return Answer(
            reply=Reply.model_validate(message.parsed.model_dump()),
            input_tokens=usage.prompt_tokens if usage else 0,
            output_tokens=usage.completion_tokens if usage else 0,
            cached_tokens=(details.cached_tokens or 0) if details else 0,
        )


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
