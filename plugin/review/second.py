"""A second coder looks at approvals that chance picked, so that people can see how far coders agree."""

from __future__ import annotations

from plugin.review import coder
from plugin.review.desk import NotDecided
from plugin.review.states import State
from plugin.store.people import Account, Role
from plugin.store.records import Draft
from plugin.store.store import Store


def after_approval(store: Store, draft: Draft, account: Account, share: float) -> None:
    """Let chance say whether an approval gets a second look; `draft` is as it was approved."""
    if draft.state is State.APPROVED:
        store.second_looks.pick(draft, account.id, share)


def waiting(store: Store, account: Account) -> list[str]:
    """Drafts that wait for this coder's look, the longest waiting first."""
    return store.second_looks.waiting(account.id) if account.may(Role.CODER, Role.SUPERVISOR) else []


def waits_for(store: Store, draft: Draft, account: Account) -> bool:
    """Whether a draft waits for this coder's look."""
    return account.may(Role.CODER, Role.SUPERVISOR) and store.second_looks.waits_for(draft, account.id)


def looked(store: Store, draft: Draft, account: Account, *, agreed: bool) -> None:
    """What the second coder says. Where they would not approve it, the approval is taken back if it did not go out yet.

    It is taken back first: should the process die in between, the look is asked for again, and nothing goes out.

    Raises:
        NotDecided: not a coder, they approved it themselves, or somebody looked already.
        Overtaken: somebody else was faster.
    """
    if not waits_for(store, draft, account):
        raise NotDecided("This visit does not wait for your second look.")
    if not agreed and draft.state is State.APPROVED:
        coder.take_back(store, draft, account)
    if not store.second_looks.looked(draft, draft.version, account.id, agreed):
        raise NotDecided("Somebody else looked at this visit already.")
