"""A second coder's look: picked by chance, given once and by somebody else; a disagreement takes the approval back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from plugin.review import coder, second
from plugin.review.desk import Action, NotDecided
from plugin.review.states import State
from plugin.settings import Settings
from plugin.snapshot import Snapshot
from plugin.store.people import Account, Role
from plugin.store.records import Decision, Draft, NewDraft, Outlook
from plugin.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a real SQLite file."""
    opened = Store.open(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def account(name: str, role: Role = Role.CODER) -> Account:
    """Somebody of the staff."""
    return Account(id=name, person=None, name=name, roles=frozenset({role}), seen_at=datetime.now(UTC))


ANN, BEN = account("ann"), account("ben")


def accepted(store: Store, name: str) -> Draft:
    """A draft that waits for a coder."""
    kept = store.keep_snapshot(Snapshot(name.ljust(64, "0"), date(2026, 3, 2), {}), "test", name)
    new = NewDraft(
        id=name,
        ehr_id="test",
        encounter_id=name,
        billing_provider="o",
        payer="p",
        state=State.ACCEPTED,
        incomplete=False,
        claim={"resourceType": "Claim"},
        verdicts={"verdicts": []},
    )
    return store.save(new, kept, ())


def approved(store: Store, draft: Draft, by: Account = ANN, claim: dict[str, str] | None = None) -> Draft:
    """The draft after that coder approved it; with a claim, after they changed it too."""
    mine = coder.take_up(store, draft, by, approve_unaccepted=False)
    decision = Decision(
        draft_id=mine.id,
        snapshot_key=mine.snapshot_key,
        revision=mine.revision,
        account_id=by.id,
        person=None,
        action=Action.APPROVE.value,
        at=datetime.now(UTC),
    )
    outlook = Outlook(state=State.APPROVED, incomplete=False, claim=claim or mine.claim, verdicts=mine.verdicts)
    after = store.decide(mine, decision, outlook, ())
    store.queue.put_back(mine.id, by.id)
    return after


def picked(store: Store, name: str = "v1") -> Draft:
    """A draft approved by Ann that chance picked."""
    draft = approved(store, accepted(store, name))
    second.after_approval(store, draft, ANN, 1.0)
    return draft


def test_chance_picks_the_share_that_is_set(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of a share of nothing, all of a share of one, and of a quarter those whose number falls below it."""
    second.after_approval(store, approved(store, accepted(store, "none")), ANN, 0.0)
    assert second.waiting(store, BEN) == []
    second.after_approval(store, approved(store, accepted(store, "all")), ANN, 1.0)
    numbers = iter([0.2, 0.25, 0.9, 0.0])
    monkeypatch.setattr("plugin.store.second_looks._CHANCE", type("Told", (), {"random": lambda _: next(numbers)})())
    for name in ("a", "b", "c", "d"):
        second.after_approval(store, approved(store, accepted(store, name)), ANN, 0.25)
    assert second.waiting(store, BEN) == ["all", "a", "d"]


def test_only_another_coder_looks(store: Store) -> None:
    """Not who approved it, not a clinician; the first of two others only."""
    draft = picked(store)
    clinician, cleo = account("cy", Role.CLINICIAN), account("cleo", Role.SUPERVISOR)
    assert (second.waiting(store, ANN), second.waiting(store, clinician)) == ([], [])
    for nobody in (ANN, clinician):
        assert not second.waits_for(store, draft, nobody)
        with pytest.raises(NotDecided, match="does not wait"):
            second.looked(store, draft, nobody, agreed=True)
    assert second.waits_for(store, draft, BEN)
    second.looked(store, draft, BEN, agreed=True)
    assert second.waiting(store, cleo) == []
    with pytest.raises(NotDecided, match="does not wait"):
        second.looked(store, draft, cleo, agreed=False)
    assert not store.second_looks.looked(draft, draft.version, cleo.id, False)
    kept = store.draft(draft.id)
    assert kept is not None
    assert kept.state is State.APPROVED


def test_a_disagreement_takes_the_approval_back(store: Store) -> None:
    """The draft is in review again, the history says who took it back, and it does not go out."""
    draft = picked(store)
    second.looked(store, draft, BEN, agreed=False)
    kept = store.draft(draft.id)
    assert kept is not None
    assert kept.state is State.IN_REVIEW
    assert [(d.action, d.account_id) for d in store.decisions(draft.id)][-1] == ("take back", "ben")
    kinds = [(e.kind, e.actor) for e in store.audit.entries(draft.id)]
    assert kinds[-3:] == [("picked for another look", "claimwright"), ("decided", "ben"), ("looked at again", "ben")]


def test_a_released_draft_is_looked_at_and_stays_released(store: Store) -> None:
    """What went out cannot be taken back; that they disagree is kept."""
    draft = picked(store)
    store.releases.release(1, [draft], "csv", "ann", {}, b"file")
    released = store.draft(draft.id)
    assert released is not None
    assert second.waiting(store, BEN) == [draft.id]
    second.looked(store, released, BEN, agreed=False)
    after = store.draft(draft.id)
    assert after is not None
    assert after.state is State.RELEASED
    assert second.waiting(store, BEN) == []


def test_an_approval_taken_back_waits_for_nobody_and_does_not_escape(store: Store) -> None:
    """Approved again, by whomever and changed or not, the pick stands without another draw; the new approver cannot look."""
    draft = picked(store)
    back = coder.take_back(store, draft, ANN)
    assert second.waiting(store, BEN) == []
    again = approved(store, back, BEN, {"resourceType": "Claim", "id": "changed"})
    assert again.version == draft.version + 1
    second.after_approval(store, again, BEN, 0.0)
    assert (second.waiting(store, ANN), second.waiting(store, BEN)) == ([draft.id], [])
    assert store.second_looks.count() == 1


def test_what_was_looked_at_is_not_drawn_again_as_it_is(store: Store) -> None:
    """After a disagreement the same version, approved once more, does not wait; another version may be picked."""
    draft = picked(store)
    second.looked(store, draft, BEN, agreed=False)
    back = store.draft(draft.id)
    assert back is not None
    same = approved(store, back)
    second.after_approval(store, same, ANN, 1.0)
    assert second.waiting(store, BEN) == []
    other = approved(store, coder.take_back(store, same, ANN), ANN, {"resourceType": "Claim", "id": "other"})
    second.after_approval(store, other, ANN, 1.0)
    assert second.waiting(store, BEN) == [draft.id]
