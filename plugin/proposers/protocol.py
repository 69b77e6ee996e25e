"""What a proposer is: something that, asked about a visit, proposes proposals. And all the ways it can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from prompts import ProposalRequest, Reply


@dataclass(slots=True, kw_only=True)
class Spent:
    """What asking took, answered or not: requests that went out, tokens as the host counts them, seconds."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0


class ProposerError(Exception):
    """No proposals could be had. A visit then waits; nothing else takes the proposer's place."""

    spent: Spent | None = None
    """What it took all the same, where the proposer counts."""


class ModelUnavailable(ProposerError):
    """The model is down, throttled or too slow, also after retries: try again later."""


class ModelMisconfigured(ProposerError):
    """Address, key, model name or a feature is wrong: a person must change a setting."""


class ModelRefused(ProposerError):
    """The model declined, or its host filtered the request or the answer."""


class InvalidReply(ProposerError):
    """The model answered, but not in the form asked for (cut off, empty, not the schema)."""


class TooLong(ProposerError):
    """The visit's notes are more than the model takes at once. They are not cut."""


class OverLimit(ProposerError):
    """A limit on requests to the model is reached; the message says which, and until when."""


@dataclass(slots=True, kw_only=True)
class Answer(Spent):
    """A proposer's answer: the reply to keep under the snapshot, and what it cost."""

    reply: Reply = field(repr=False)


class Proposer(Protocol):
    """Asked which of some codes a visit's notes support. `name` goes into the snapshot and the draft's Device."""

    @property
    def name(self) -> str:
        """Which proposer and version, such as `baseline-1` or the model's name."""

    @property
    def host(self) -> str | None:
        """Where note text goes, or None where it stays in this process."""

    def propose(self, request: ProposalRequest) -> Answer:
        """Answer a request.

        Raises:
            ProposerError: see the classes above.
        """
