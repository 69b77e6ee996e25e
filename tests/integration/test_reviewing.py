"""The coders' queue over HTTP: claiming, deciding on the record as it stands, questions and answers, taking back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from plugin import pipeline
from plugin.review.desk import Action
from plugin.review.states import State
from plugin.settings import ReviewSettings
from plugin.store.people import Role
from plugin.store.queue import Filter
from plugin.web.house import House
from sandbox.ehr import Ehr
from tests.integration.test_deciding import addendum, claim_of, draft_of
from tests.visitors import Visitor, hidden

CLEAN = "h2014-45-minutes"


@pytest.fixture
def ines(ehr: Ehr, house: House) -> Iterator[Visitor]:
    """A coder."""
    visitor = Visitor(house)
    visitor.sign_in(house, ehr, "staff-ines", Role.CODER)
    yield visitor
    for item in house.store.queue.page(Filter(), most=500):
        house.store.queue.put_back(item.id, "sign-in|staff-ines")


@pytest.fixture
def bo(ehr: Ehr, house: House) -> Visitor:
    """Another coder."""
    visitor = Visitor(house)
    visitor.sign_in(house, ehr, "staff-bo", Role.CODER)
    return visitor


def accepted(ehr: Ehr, house: House, visit: str, person: str = "prac-bachelor") -> str:
    """A visit whose lines its clinician accepted; the draft's id."""
    clinician = Visitor(house)
    page = clinician.launch(ehr, visit, person)
    answer = clinician.post(f"{page.url}/accept", hidden(page, "accept", "p0"))
    assert answer.status_code == 303
    return draft_of(house, visit).id


def state_of(house: House, draft_id: str) -> State:
    draft = house.store.draft(draft_id)
    assert draft is not None
    return draft.state


def answered_a_card(house: House, draft_id: str) -> None:
    """Feedback of the EHR: somebody dismissed our card of the visit."""
    draft = house.store.draft(draft_id)
    assert draft is not None
    house.store.card("card-of-reviewing", draft, None)
    action = Action.CARD_OVERRIDDEN.value
    assert house.store.card_feedback(draft.ehr_id, "card-of-reviewing", action, None, datetime.now(UTC))


def act(visitor: Visitor, draft_id: str, action: str, **more: Any) -> Any:
    """Open an item and do something with what its page shows."""
    page = visitor.get(f"/queue/item/{draft_id}")
    assert page.status_code == 200
    return visitor.post(f"/queue/item/{draft_id}/{action}", hidden(page, action) | more)


def test_an_accepted_visit_waits_in_the_queue_and_is_approved(ehr: Ehr, house: House, ines: Visitor) -> None:
    """It is listed, opening it claims it, approving it moves it on; the Claim stays a draft; who did what is kept."""
    draft_id = accepted(ehr, house, CLEAN)
    listed = ines.get("/queue")
    assert CLEAN in listed.text
    assert state_of(house, draft_id) is State.ACCEPTED
    page = ines.get(f"/queue/item/{draft_id}")
    assert "All lines stand" in page.text
    assert state_of(house, draft_id) is State.IN_REVIEW
    assert act(ines, draft_id, "approve").status_code == 303
    assert state_of(house, draft_id) is State.APPROVED
    claim = claim_of(ehr, CLEAN, "accepted")
    assert claim is not None
    assert claim["status"] == "draft"
    kinds = [e.kind for e in house.store.audit.entries(draft_id)]
    assert kinds.count("decided") == 2
    assert "note read" in kinds
    assert house.store.audit.verify().broken is None

    back = act(ines, draft_id, "take-back")
    assert back.status_code == 303
    assert state_of(house, draft_id) is State.IN_REVIEW


def test_two_coders_never_decide_the_same_draft(ehr: Ehr, house: House, ines: Visitor, bo: Visitor) -> None:
    """The second sees who has it, and what they send anyway changes nothing; put back, it is theirs to take."""
    draft_id = accepted(ehr, house, "p90834-52-minutes", "prac-lcsw")
    first = ines.get(f"/queue/item/{draft_id}")
    second = bo.get(f"/queue/item/{draft_id}")
    assert "Ines Calloway has this item" in second.text
    assert "/approve" not in second.text
    forced = bo.post(f"/queue/item/{draft_id}/approve", hidden(first, "approve"))
    assert forced.status_code == 409
    assert state_of(house, draft_id) is State.IN_REVIEW
    ines.post(f"/queue/item/{draft_id}/put-back", hidden(first, "put-back"))
    assert act(bo, draft_id, "approve").status_code == 303
    assert state_of(house, draft_id) is State.APPROVED


def test_who_read_for_long_decides_all_the_same(ehr: Ehr, house: House, ines: Visitor, bo: Visitor) -> None:
    """The lock ran out while the page was open: it is taken again by deciding, unless somebody else has it by now."""
    draft_id = accepted(ehr, house, "html-hidden-text", "prac-lcsw")
    page = ines.get(f"/queue/item/{draft_id}")
    house.store.queue.put_back(draft_id, "sign-in|staff-ines")  # as after a quarter of an hour
    bo.get(f"/queue/item/{draft_id}")
    late = ines.post(f"/queue/item/{draft_id}/approve", hidden(page, "approve"))
    assert late.status_code == 409
    assert "Bo Larrabee has this item now. Nothing was decided." in late.text
    assert state_of(house, draft_id) is State.IN_REVIEW
    house.store.queue.put_back(draft_id, "sign-in|staff-bo")
    assert ines.post(f"/queue/item/{draft_id}/approve", hidden(page, "approve")).status_code == 303
    assert state_of(house, draft_id) is State.APPROVED


def test_what_no_clinician_accepted_is_not_approved(ehr: Ehr, house: House, ines: Visitor) -> None:
    """By default a coder may look at it, and there is no button; what they send anyway is refused."""
    visit = "h2017-rehabilitation"
    Visitor(house).launch(ehr, visit)
    draft_id = draft_of(house, visit).id
    page = ines.get(f"/queue/item/{draft_id}")
    assert "/approve" not in page.text
    answer = ines.post(f"/queue/item/{draft_id}/approve", hidden(page, "put-back"))
    assert answer.status_code == 422
    assert state_of(house, draft_id) is State.READY


def test_where_the_site_lets_them_coders_approve_what_nobody_accepted(
    ehr: Ehr, house: House, ines: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With review.approve_unaccepted a draft that stands can be taken up and approved."""
    settings = house.settings.model_copy(update={"review": ReviewSettings(approve_unaccepted=True)})
    works = type(house.works)(**(vars(house.works) | {"settings": settings}))
    for owner in (house, house.ehrs):
        monkeypatch.setattr(owner, "settings", settings)
        monkeypatch.setattr(owner, "works", works)
    visit = "h2014-group-60-minutes"
    Visitor(house).launch(ehr, visit)
    draft_id = draft_of(house, visit).id
    assert act(ines, draft_id, "approve").status_code == 303
    assert state_of(house, draft_id) is State.APPROVED


def test_a_correction_below_what_was_accepted_stays_accepted(ehr: Ehr, house: House, ines: Visitor) -> None:
    """A coder lowers the units with a reason: kept with who and why, and it can be approved; above the record it is refused."""
    visit = "h2019-behavioral-60-minutes"
    draft_id = accepted(ehr, house, visit, "prac-lcsw")
    page = ines.get(f"/queue/item/{draft_id}")
    fields = hidden(page, "edit", "p0")
    line = next(v["line"] for v in draft_of(house, visit).verdicts["verdicts"] if v["line"])
    wish = {"code": line["code"], "modifiers": " ".join(line["modifiers"]), "diagnosis": line["diagnoses"]}
    too_much = ines.post(f"/queue/item/{draft_id}/edit", fields | wish | {"units": 99, "reason": "miscounted"})
    assert too_much.status_code == 422
    fewer = ines.post(
        f"/queue/item/{draft_id}/edit", fields | wish | {"units": line["units"] - 1, "reason": "miscounted"}
    )
    assert fewer.status_code == 303

    assert house.store.decisions(draft_id)[-1].action == "correct"
    assert act(ines, draft_id, "approve").status_code == 303
    assert state_of(house, draft_id) is State.APPROVED


def test_sent_back_it_waits_for_the_clinician_with_the_reason(ehr: Ehr, house: House, ines: Visitor) -> None:
    """Their acceptance no longer counts; their page says why; they accept again and it is back in the queue."""
    visit = "rtf-note"
    draft_id = accepted(ehr, house, visit)
    answer = act(ines, draft_id, "send-back", reason="documentation", comment="Please look at the goal")
    assert answer.status_code == 303
    assert state_of(house, draft_id) is State.RETURNED
    clinician = Visitor(house)
    page = clinician.launch(ehr, visit)
    assert "The note lacks something" in page.text
    assert "Please look at the goal" in page.text
    clinician.post(f"{page.url}/accept", hidden(page, "accept", "p0"))
    assert state_of(house, draft_id) is State.ACCEPTED


def test_on_hold_it_leaves_the_list_and_can_be_taken_up_again(ehr: Ehr, house: House, ines: Visitor) -> None:
    """Held by a coder, with a reason; whoever opens it next has it in review again."""
    draft_id = accepted(ehr, house, "utc-evening")
    assert act(ines, draft_id, "hold", reason="authorization").status_code == 303
    assert state_of(house, draft_id) is State.HELD
    answered_a_card(house, draft_id)  # which is no decision about the visit
    ines.get(f"/queue/item/{draft_id}")
    assert state_of(house, draft_id) is State.IN_REVIEW


def test_a_question_goes_to_the_clinician_and_its_answer_comes_back(ehr: Ehr, house: House, ines: Visitor) -> None:
    """Built from the finding, it always offers "unable to determine"; the answer stands on the item, once."""
    visit = "h2014-no-stop-time"
    Visitor(house).launch(ehr, visit)
    draft = draft_of(house, visit)
    rules = {f["rule"] for v in draft.verdicts["verdicts"] for f in v["findings"]}
    answer = act(ines, draft.id, "query", rule=sorted(rules))
    assert answer.status_code == 303
    assert state_of(house, draft.id) is State.QUERIED
    again = ines.get(f"/queue/item/{draft.id}")
    assert "waits for the clinician" in again.text

    clinician = Visitor(house)
    page = clinician.launch(ehr, visit)
    assert "I am unable to determine this" in page.text
    assert "$" not in page.text
    form = hidden(page, "answer") | {"choice": "unable"}
    assert clinician.post(f"{page.url}/answer", form).status_code == 303
    assert state_of(house, draft.id) is State.HELD
    assert "I am unable to determine this" in ines.get(f"/queue/item/{draft.id}").text
    assert clinician.post(f"{page.url}/answer", form | {"choice": "stands"}).status_code == 409


def test_nothing_is_approved_on_a_record_that_changed(ehr: Ehr, house: House, ines: Visitor) -> None:
    """An addendum after the page was read: nothing is decided, the draft is flagged, and reopening reads it anew."""
    visit = "p90837-53-minutes"
    draft_id = accepted(ehr, house, visit, "prac-lcsw")
    page = ines.get(f"/queue/item/{draft_id}")
    addendum(ehr, visit, "Addendum: the client called back.", "prac-psychologist")
    answer = ines.post(f"/queue/item/{draft_id}/approve", hidden(page, "approve"))
    assert answer.status_code == 409
    assert "record changed" in answer.text
    flagged = house.store.draft(draft_id)
    assert flagged is not None
    assert flagged.changed_since
    assert flagged.state is State.IN_REVIEW
    assert act(ines, draft_id, "reopen").status_code == 303
    assert state_of(house, draft_id) in (State.READY, State.HELD)


def test_many_are_approved_at_once_after_a_preview(ehr: Ehr, house: House, ines: Visitor) -> None:
    """Only clean accepted ones are in the preview; one that changed in between stays and says why."""
    first = accepted(ehr, house, "replaced-note")
    other = accepted(ehr, house, "h0004-30-minutes", "prac-lcsw")
    held = "h2014-no-stop-time"
    Visitor(house).launch(ehr, held)
    preview = ines.post("/queue/bulk", {"item": [first, other, draft_of(house, held).id]})
    assert "Approve these 2" in preview.text
    seen = [f"{i}@{house.store.draft(i).revision}" for i in (first, other)]  # type: ignore[union-attr]
    seen[1] = f"{other}@1"
    done = ines.post("/queue/bulk/approve", {"seen": seen})
    assert "1 approved" in done.text
    assert "after the preview" in done.text
    assert state_of(house, first) is State.APPROVED
    assert state_of(house, other) is State.ACCEPTED


def test_only_coders_see_the_queue(ehr: Ehr, house: House) -> None:
    """A clinician's session is refused, nobody's goes to sign in."""
    clinician = Visitor(house)
    clinician.launch(ehr, CLEAN)
    assert clinician.get("/queue").status_code == 403
    assert Visitor(house).get("/queue").status_code == 303


def test_read_ahead_claims_nothing(ehr: Ehr, house: House, ines: Visitor, bo: Visitor) -> None:
    """The next item is read while this one is looked at; it stays free for others."""
    draft_id = accepted(ehr, house, "h2027-psychoeducation-family", "prac-lcsw")
    assert ines.get(f"/queue/item/{draft_id}/ahead").status_code == 204
    item = house.store.queue.item(draft_id)
    assert item is not None
    assert item.owner is None
    assert "has this item" not in bo.get(f"/queue/item/{draft_id}").text


def test_what_was_read_ahead_is_for_showing_only(ehr: Ehr, house: House, ines: Visitor, monkeypatch: Any) -> None:
    """Shown from what was read ahead, but approved on the record as it is at that moment."""
    draft_id = accepted(ehr, house, "h2033-mst-60-minutes", "prac-lcsw")
    ines.get(f"/queue/item/{draft_id}/ahead")
    looks: list[str] = []
    look = pipeline.look

    def counted(site: Any, encounter_id: str) -> Any:
        looks.append(encounter_id)
        return look(site, encounter_id)

    monkeypatch.setattr(pipeline, "look", counted)
    page = ines.get(f"/queue/item/{draft_id}")
    assert looks == []
    ines.post(f"/queue/item/{draft_id}/approve", hidden(page, "approve"))
    assert looks == ["h2033-mst-60-minutes"]
