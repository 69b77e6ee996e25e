"""Where a visit stands, and the one table of allowed moves. The store asks it before every step."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a visit's draft stands. The first and the last have no draft yet, or none that could be read anew."""

    NEW = "new"
    HELD = "held"
    READY = "ready"
    NOTHING = "nothing"
    ACCEPTED = "accepted"
    IN_REVIEW = "in review"
    QUERIED = "query sent"
    APPROVED = "approved"
    RELEASED = "released"
    RETURNED = "returned"
    NOT_BILLABLE = "not billable"
    WITHDRAWN = "withdrawn"
    CHANGED_ELSEWHERE = "changed elsewhere"
    FAILED = "failed"


MEANING: dict[State, str] = {
    State.NEW: "found, not coded yet",
    State.HELD: "something is lacking that the clinician or a coder can truthfully supply; or a coder put it on hold",
    State.READY: "lines stand and wait for the clinician",
    State.NOTHING: "no code stands for this visit",
    State.ACCEPTED: "the clinician accepted its lines; it waits for a coder",
    State.IN_REVIEW: "a coder has it",
    State.QUERIED: "a coder asked the clinician and waits for the answer",
    State.APPROVED: "a coder approved it; it goes out with the next release",
    State.RELEASED: "it went out with a release",
    State.RETURNED: "a coder gave it back to the clinician",
    State.NOT_BILLABLE: "a person decided that the visit is not to be billed",
    State.WITHDRAWN: "no line is left; what was written is withdrawn",
    State.CHANGED_ELSEWHERE: "somebody else changed the Claim in the EHR; it is left as it is, and a person decides",
    State.FAILED: "it could not be read or coded; the reason and the next try are shown",
}

_MADE = frozenset({State.READY, State.HELD, State.NOTHING, State.WITHDRAWN})
_BY_PEOPLE = frozenset({State.ACCEPTED, State.NOT_BILLABLE, State.RETURNED, State.QUERIED, State.IN_REVIEW})
_OPEN = _MADE | _BY_PEOPLE | {State.CHANGED_ELSEWHERE}

MOVES: dict[State, frozenset[State]] = {
    State.NEW: _MADE | {State.FAILED},
    State.FAILED: _MADE | {State.NEW},
    State.READY: _OPEN,
    State.HELD: _OPEN,
    State.NOTHING: _OPEN,
    State.WITHDRAWN: _MADE | {State.ACCEPTED, State.NOT_BILLABLE, State.CHANGED_ELSEWHERE},
    State.RETURNED: _OPEN,
    State.ACCEPTED: _OPEN,
    State.IN_REVIEW: _OPEN | {State.APPROVED},
    State.QUERIED: _OPEN,
    State.APPROVED: frozenset({State.IN_REVIEW, State.RELEASED, State.HELD, State.CHANGED_ELSEWHERE}),
    State.RELEASED: frozenset(),
    State.NOT_BILLABLE: _MADE | {State.IN_REVIEW, State.CHANGED_ELSEWHERE},
    State.CHANGED_ELSEWHERE: _MADE | {State.ACCEPTED, State.IN_REVIEW, State.NOT_BILLABLE},
}
"""From where to where. What is not here does not happen; staying where one is always may."""

DECIDED = frozenset(
    {
        State.ACCEPTED,
        State.IN_REVIEW,
        State.APPROVED,
        State.RELEASED,
        State.NOT_BILLABLE,
        State.CHANGED_ELSEWHERE,
    }
)
"""A person's word: a changed record flags these and never makes them anew."""

FOR_CLINICIAN = frozenset({State.READY, State.HELD, State.WITHDRAWN, State.RETURNED, State.QUERIED})
"""What waits for the clinician."""

FOR_CODER = frozenset({State.ACCEPTED, State.IN_REVIEW})
"""What waits for a coder."""


class NotAllowed(Exception):
    """A step that the table of moves does not have."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(f"from {before.value} there is no way to {after.value}")


def step(before: State, after: State) -> State:
    """The state after, if the table allows it.

    Raises:
        NotAllowed: it does not.
    """
    if after is not before and after not in MOVES[before]:
        raise NotAllowed(before, after)
    return after
