"""What a coder does to a draft besides its lines: take it up, hold it, ask about it, take an approval back.

None of these looks at the record, so that they work while the EHR does not. What is proved anew is in `desk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from plugin.review import questions
from plugin.review.desk import REASONS, Action, NotDecided
from plugin.review.states import State
from plugin.store.people import Account, Role
from plugin.store.records import Decision, Draft, Outlook
from plugin.store.store import Store


def take_up(store: Store, draft: Draft, account: Account, *, approve_unaccepted: bool) -> Draft:
    """Have a draft: nobody else decides on it for a while. What waits for a coder is in review from now on.

    Raises:
        NotDecided: not a coder.
        Taken: somebody else has it.
    """
    _only_coders(account)
    waits = draft.state in (State.ACCEPTED, State.IN_REVIEW) or (approve_unaccepted and draft.state is State.READY)
    on_hold = draft.state is State.HELD and _last(store, draft) == Action.HOLD
    return store.take_up(draft, account.id, State.IN_REVIEW if waits or on_hold else None)


def hold(store: Store, draft: Draft, account: Account, reason: str, comment: str = "") -> Draft:
    """Set a draft aside until something is there that it waits for."""
    if draft.state is not State.IN_REVIEW:
        raise NotDecided("Only a visit in review can be held.")
    return _move(store, draft, account, Action.HOLD, State.HELD, reason=reason, comment=comment)


def ask(store: Store, draft: Draft, account: Account, rules: Sequence[str]) -> Draft:
    """Ask the clinician about findings.

    Raises:
        NotDecided: none of them can be answered by a clinician, or a question is open already.
    """
    _only_coders(account)
    asked = questions.question(draft.verdicts, rules)
    if asked is None:
        raise NotDecided("Choose a finding that the clinician can answer.")
    if any(q.answered_at is None for q in store.queries.of(draft.id)):
        raise NotDecided("A question about this visit waits for its answer already.")
    moved = _move(store, draft, account, Action.QUERY, State.QUERIED)
    store.queries.ask(moved, account.id, *asked)
    return moved


def answer(store: Store, draft: Draft, account: Account, query_id: int, choice: str, words: str) -> Draft:
    """The clinician's answer; the draft goes back to where it waits for the next person.

    Raises:
        NotDecided: not a clinician, no such answer, or it was answered.
    """
    if not account.may(Role.CLINICIAN, Role.SUPERVISOR):
        raise NotDecided("Only a clinician can answer.")
    if choice not in questions.CHOICES or (choice == "other" and not words.strip()):
        raise NotDecided("Choose an answer; something else needs words.")
    if not store.queries.answer(draft, query_id, account.id, choice, words.strip()[:2000]):
        raise NotDecided("This question was answered already.")
    if draft.state is not State.QUERIED:  # the note changed first, and the draft was made anew
        return draft
    live = [v for v in draft.verdicts.get("verdicts", ()) if v["outcome"] == "ready"]
    accepted = bool(live) and all(v.get("fate") == "accepted" for v in live)
    after = State.ACCEPTED if accepted else State.READY if live else State.HELD
    return _move(store, draft, account, Action.ANSWER, after, owner=False)


def take_back(store: Store, draft: Draft, account: Account) -> Draft:
    """Take an approval back, before it went out."""
    _only_coders(account)
    if draft.state is not State.APPROVED:
        raise NotDecided("It went out already." if draft.state is State.RELEASED else "It is not approved.")
    return _move(store, draft, account, Action.TAKE_BACK, State.IN_REVIEW, owner=False)


def _last(store: Store, draft: Draft) -> str | None:
    """The last thing that a person did to it, besides what they clicked on a card in the EHR."""
    made = [each.action for each in store.decisions(draft.id) if each.action not in _CARDS]
    return made[-1] if made else None


_CARDS = frozenset({Action.CARD_OVERRIDDEN, Action.CARD_ACCEPTED})


def _only_coders(account: Account) -> None:
    if not account.may(Role.CODER, Role.SUPERVISOR):
        raise NotDecided("Only a coder or a supervisor can do this.")


def _move(
    store: Store,
    draft: Draft,
    account: Account,
    action: Action,
    to: State,
    *,
    reason: str | None = None,
    comment: str = "",
    owner: bool = True,
) -> Draft:
    if action not in (Action.ANSWER,):
        _only_coders(account)
    if action in REASONS and reason not in REASONS[action]:
        raise NotDecided("Choose a reason from the list.")
    decision = Decision(
        draft_id=draft.id,
        snapshot_key=draft.snapshot_key,
        revision=draft.revision,
        account_id=account.id,
        person=account.person,
        action=action.value,
        reason=reason,
        comment=comment.strip()[:2000] or None,
        at=datetime.now(UTC),
    )
    as_it_is = Outlook(state=to, incomplete=draft.incomplete, claim=draft.claim, verdicts=draft.verdicts)
    return store.decide(draft, decision, as_it_is, (), owner=owner)
