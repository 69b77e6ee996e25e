"""What a person decides: guarded by the rules, on the record as it stands, kept with who and why, and written to the EHR."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import pytest

from plugin.review.states import State
from plugin.settings import AcceptBy
from plugin.store.records import Draft
from plugin.web.house import House
from sandbox.ehr import Ehr
from tests.visitors import Visitor, hidden

Json = dict[str, Any]


def draft_of(house: House, visit: str) -> Draft:
    """The visit's one draft."""
    (draft,) = house.store.drafts(encounter_id=visit)
    return draft


def claim_of(ehr: Ehr, visit: str, tag: str | None = None) -> Json | None:
    """The visit's Claim on the server, once it carries a review tag; past the app and its door."""
    deadline = time.monotonic() + 20
    while True:
        found = httpx.get(f"{ehr.upstream}/Claim", params={"encounter": f"Encounter/{visit}"}).json().get("entry", [])
        claims = [e["resource"] for e in found]
        if claims and (tag is None or tag in {t["code"] for t in claims[0]["meta"].get("tag", ())}):
            assert len(claims) == 1
            return dict(claims[0])
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)


def lines_of(claim: Json) -> list[tuple[str, int, list[str]]]:
    """Code, units and modifiers of a Claim's items."""
    return [
        (
            i["productOrService"]["coding"][0]["code"],
            int(i["quantity"]["value"]),
            [m["coding"][0]["code"] for m in i.get("modifier", ())],
        )
        for i in claim["item"]
    ]


def verifiers(ehr: Ehr, claim: Json) -> list[str]:
    """Who the Provenance of a Claim's present version names as having verified it; waits for it a little."""
    target = f"Claim/{claim['id']}/_history/{claim['meta']['versionId']}"
    for _ in range(100):
        found = (
            httpx.get(f"{ehr.upstream}/Provenance", params={"target": f"Claim/{claim['id']}"}).json().get("entry", [])
        )
        named = [
            a["who"]["reference"]
            for e in found
            if any(t["reference"].endswith(target) for t in e["resource"]["target"])
            for a in e["resource"]["agent"]
            if a["type"]["coding"][0]["code"] == "verifier"
        ]
        if named:
            return named
        time.sleep(0.1)
    return []


def test_one_click_accepts_and_the_claim_names_the_person(ehr: Ehr, house: House) -> None:
    """The Claim on the server carries exactly the accepted lines, stays a draft, and its Provenance says who accepted."""
    visit, visitor = "h2014-45-minutes", Visitor(house)
    page = visitor.launch(ehr, visit)
    answer = visitor.post(f"{page.url}/accept", hidden(page, "accept", "p0"))
    assert answer.status_code == 303
    claim = claim_of(ehr, visit, "accepted")
    assert claim is not None
    assert claim["status"] == "draft"
    assert lines_of(claim) == [("H2014", 3, ["HN"])]
    assert verifiers(ehr, claim) == ["Practitioner/prac-bachelor"]
    after = visitor.get(str(page.url))
    assert "accepted" in after.text
    assert "/accept" not in after.text
    assert draft_of(house, visit).state is State.ACCEPTED


def test_units_above_the_documented_minutes_are_refused(ehr: Ehr, house: House) -> None:
    """The edit is not saved, the page says what the rules say, and what was typed is still there."""
    visit, visitor = "h0034-medication-30-minutes", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lcsw")
    before = draft_of(house, visit)
    wish = hidden(page, "edit", "p0") | {"code": "H0034", "units": "4", "modifiers": "", "reason": "miscounted"}
    answer = visitor.post(f"{page.url}/edit", wish)
    assert answer.status_code == 422
    assert "the record supports 2" in answer.text
    assert 'value="4"' in answer.text
    assert draft_of(house, visit) == before


def test_an_edit_within_the_record_is_saved_and_goes_to_the_claim(ehr: Ehr, house: House) -> None:
    """Fewer units with a reason: the old line is kept and shown as replaced, the Claim has the new one."""
    visit, visitor = "h2019-behavioral-60-minutes", Visitor(house)
    page = visitor.launch(ehr, visit)
    wish = hidden(page, "edit", "p0") | {"code": "H2019", "units": "2", "modifiers": "HN", "reason": "miscounted"}
    assert visitor.post(f"{page.url}/edit", wish).status_code == 303
    page = visitor.get(str(page.url))
    assert "H2019 x 4" in page.text
    assert visitor.post(f"{page.url}/accept", hidden(page, "accept", "d1")).status_code == 303
    claim = claim_of(ehr, visit, "accepted")
    assert claim is not None
    assert lines_of(claim) == [("H2019", 2, ["HN"])]


def test_an_edit_needs_a_reason_from_the_list(ehr: Ehr, house: House) -> None:
    """Without one, or with one of their own making, nothing is saved."""
    visit, visitor = "h0004-30-minutes", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lpc")
    wish = hidden(page, "edit", "p0") | {"code": "H0004", "units": "1", "modifiers": "HO"}
    for reason in ({}, {"reason": "because"}):
        answer = visitor.post(f"{page.url}/edit", wish | reason)
        assert answer.status_code == 422
        assert "Choose a reason" in answer.text


@pytest.mark.parametrize("units", ["0", "-1", "2.5", "three", "99999", "1e3", ""])
def test_units_that_are_none_are_refused(ehr: Ehr, house: House, units: str) -> None:
    """What is no count of whole units never becomes a line."""
    visit, visitor = "h0004-30-minutes", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lpc")
    before = draft_of(house, visit).version
    wish = hidden(page, "edit", "p0") | {"code": "H0004", "units": units, "modifiers": "HO", "reason": "other"}
    assert visitor.post(f"{page.url}/edit", wish).status_code == 422
    assert draft_of(house, visit).version == before


def test_another_code_is_guarded_too(ehr: Ehr, house: House) -> None:
    """An assessment cannot be made of a counselling note; an unknown code is unknown."""
    visit, visitor = "h0004-30-minutes", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lpc")
    for code in ("H0031", "X9999", "90837"):
        wish = hidden(page, "edit", "p0") | {"code": code, "units": "1", "modifiers": "HO", "reason": "another-service"}
        assert visitor.post(f"{page.url}/edit", wish).status_code == 422


def test_a_code_added_by_hand_stands_on_the_note(ehr: Ehr, house: House) -> None:
    """Rejected, then asked for by hand with the same words: it stands; what the note does not show is refused."""
    visit, visitor = "h0032-complete", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lpc")
    reject = hidden(page, "reject", "p0") | {"reason": "other"}
    assert visitor.post(f"{page.url}/reject", reject).status_code == 303
    page = visitor.get(str(page.url))
    assert "H0032 x 1" in page.text
    add = hidden(page, "add") | {"units": "1", "modifiers": "HO", "reason": "missed"}
    assert visitor.post(f"{page.url}/add", add | {"code": "H2014"}).status_code == 422
    assert visitor.post(f"{page.url}/add", add | {"code": "H0032"}).status_code == 303
    page = visitor.get(str(page.url))
    assert "added a line" in page.text
    assert visitor.post(f"{page.url}/bill", hidden(page, "accept", "d2")).status_code == 303
    claim = claim_of(ehr, visit, "accepted")
    assert claim is not None
    assert [code for code, _, _ in lines_of(claim)] == ["H0032"]


def test_a_quote_that_stands_nowhere_adds_nothing(ehr: Ehr, house: House) -> None:
    """A person's own words are proved like a model's."""
    visit, visitor = "h0031-complete", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lcsw")
    add = hidden(page, "add") | {"code": "H0031", "units": "1", "modifiers": "HO", "reason": "missed"}
    answer = visitor.post(f"{page.url}/add", add | {"words": "the client flew to the moon"})
    assert answer.status_code == 422
    assert "do not stand in any note" in answer.text


def test_a_fix_is_taken_with_one_click(ehr: Ehr, house: House) -> None:
    """The lower value beside a held line; after it the line is ready."""
    visit, visitor = "dst-spring-night", Visitor(house)
    page = visitor.launch(ehr, visit)
    assert "Use H2014 × 3" in page.text
    assert visitor.post(f"{page.url}/edit", hidden(page, "edit", "p0")).status_code == 303
    page = visitor.get(str(page.url))
    assert visitor.post(f"{page.url}/accept", hidden(page, "accept", "d1")).status_code == 303
    claim = claim_of(ehr, visit, "accepted")
    assert claim is not None
    assert [(c, u) for c, u, _ in lines_of(claim)] == [("H2014", 3)]


def test_a_held_line_cannot_be_accepted(ehr: Ehr, house: House) -> None:
    """Not by the page, and not by a form made up for it."""
    visit, visitor = "h2014-no-stop-time", Visitor(house)
    page = visitor.launch(ehr, visit)
    assert "/accept" not in page.text
    forged = hidden(page, "not-billable") | {"key": "p0"}
    answer = visitor.post(f"{page.url}/accept", forged)
    assert answer.status_code == 422
    assert draft_of(house, visit).state is State.HELD
    assert visitor.post(f"{page.url}/bill", forged).status_code == 422


def test_a_visit_that_is_not_billable_withdraws_its_claim(ehr: Ehr, house: House) -> None:
    """With a reason; the Claim that was written is marked as not to be used; it can be taken back."""
    visit, visitor = "p90832-16-minutes", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lcsw")
    assert claim_of(ehr, visit, "unreviewed") is not None
    form = hidden(page, "not-billable") | {"reason": "grant"}
    assert visitor.post(f"{page.url}/not-billable", form).status_code == 303
    assert draft_of(house, visit).state is State.NOT_BILLABLE
    for _ in range(100):
        claim = claim_of(ehr, visit)
        if claim is not None and claim["status"] == "entered-in-error":
            break
        time.sleep(0.1)
    assert claim is not None
    assert claim["status"] == "entered-in-error"
    page = visitor.get(str(page.url))
    assert visitor.post(f"{page.url}/reopen", hidden(page, "reopen") | {"reason": "mistake"}).status_code == 303
    assert draft_of(house, visit).state is State.READY


def test_two_clinicians_at_once_and_the_second_sees_what_the_first_did(ehr: Ehr, house: House) -> None:
    """Nothing of the second's is decided; the page names the first and what they did."""
    visit = "p90837-53-minutes"
    first, second = Visitor(house), Visitor(house)
    mine = first.launch(ehr, visit, "prac-lcsw")
    yours = second.launch(ehr, visit, "prac-psychiatrist")
    assert first.post(f"{mine.url}/accept", hidden(mine, "accept", "p0")).status_code == 303
    late = second.post(f"{yours.url}/reject", hidden(yours, "reject", "p0") | {"reason": "not-given"})
    assert late.status_code == 409
    assert "Dana Whitfield was faster" in late.text
    assert [d.action for d in house.store.decisions(draft_of(house, visit).id)] == ["accept"]


def addendum(ehr: Ehr, visit: str, text: str, person: str = "prac-bachelor") -> None:
    """Somebody signs an addendum in the EHR."""
    answer = httpx.post(
        f"{ehr.url}/chart/{visit}/addendum", data={"text": text}, headers={"Cookie": f"sandbox-person={person}"}
    )
    assert answer.status_code == 303


def test_a_note_that_changed_after_it_was_read_is_not_accepted(ehr: Ehr, house: House) -> None:
    """The decision is refused, and the page shows the visit as it is now."""
    visit, visitor = "rtf-note", Visitor(house)
    page = visitor.launch(ehr, visit)
    addendum(ehr, visit, "The client asked to move the next visit.")
    answer = visitor.post(f"{page.url}/accept", hidden(page, "accept", "p0"))
    assert answer.status_code in (200, 409)
    assert draft_of(house, visit).decided is False
    page = visitor.settled(visitor.get(str(page.url)))
    assert "move the next visit" in page.text
    assert visitor.post(f"{page.url}/accept", hidden(page, "accept", "p0")).status_code == 303


def test_an_addendum_cures_a_held_visit(ehr: Ehr, house: House) -> None:
    """Held for its stop time; the addendum states it; read again it stands and is accepted."""
    visit, visitor = "h2014-no-stop-time", Visitor(house)
    page = visitor.launch(ehr, visit)
    assert "start time without a stop time" in page.text
    addendum(ehr, visit, "Stop time: 10:15 AM")
    page = visitor.settled(visitor.get(str(page.url)))
    assert visitor.post(f"{page.url}/accept", hidden(page, "accept", "p0")).status_code == 303
    assert claim_of(ehr, visit, "accepted") is not None


def test_a_record_that_changes_after_acceptance_is_flagged_and_reopened(ehr: Ehr, house: House) -> None:
    """What was decided stays as it was until a person reopens it; then it is read anew."""
    visit, visitor = "amended-note", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-lpc")
    assert visitor.post(f"{page.url}/bill", hidden(page, "accept", "p0")).status_code == 303
    decided = draft_of(house, visit)
    addendum(ehr, visit, "A further remark.", "prac-lpc")
    page = visitor.get(str(page.url))
    assert "changed after this visit was decided" in page.text
    assert draft_of(house, visit).claim == decided.claim
    assert visitor.post(f"{page.url}/reopen", hidden(page, "reopen")).status_code == 303
    page = visitor.settled(visitor.get(str(page.url)))
    assert draft_of(house, visit).decided is False
    assert "/accept" in page.text


def test_an_unsigned_note_shows_only_what_it_lacks(ehr: Ehr, house: House) -> None:
    """No code, no units, no Claim; after it is signed in the EHR the visit is coded."""
    visit, visitor = "h2014-no-stop-time", Visitor(house)
    record = httpx.get(f"{ehr.upstream}/Encounter/{visit}").json()
    note = httpx.get(f"{ehr.upstream}/DocumentReference/{visit}-note").json()
    fresh = "before-signing"
    patient = f"{visit}-patient"
    text = base64.b64decode(note["content"][0]["attachment"]["data"]).decode().replace("Client response", "Remarks")
    changed = note | {
        "id": f"{fresh}-note",
        "docStatus": "preliminary",
        "context": {"encounter": [{"reference": f"Encounter/{fresh}"}]},
        "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}],
    }
    changed.pop("authenticator", None)
    for resource in (record | {"id": fresh, "status": "in-progress"}, changed):
        url = f"{ehr.upstream}/{resource['resourceType']}/{resource['id']}"
        httpx.put(url, json=resource).raise_for_status()
    page = visitor.launch_at(ehr, fresh, patient)
    assert "Before you sign" in page.text
    assert "start time without a stop time" in page.text
    assert "H2014" not in page.text
    assert house.store.drafts(encounter_id=fresh) == []
    httpx.post(f"{ehr.url}/chart/{fresh}/sign", headers={"Cookie": "sandbox-person=prac-bachelor"})
    page = visitor.settled(visitor.get(str(page.url)))
    assert "H2014" in page.text


def test_only_the_author_where_the_site_says_so(ehr: Ehr, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """With accept_by = author a colleague may look and not decide."""
    web = house.settings.web.model_copy(update={"accept_by": AcceptBy.AUTHOR})
    settings = house.settings.model_copy(update={"web": web})
    monkeypatch.setattr(house, "settings", settings)
    works = type(house.works)(**(vars(house.works) | {"settings": settings}))
    monkeypatch.setattr(house, "works", works)
    monkeypatch.setattr(house.ehrs, "works", works)
    visit = "p90834-52-minutes"
    colleague, author = Visitor(house), Visitor(house)
    page = colleague.launch(ehr, visit, "prac-peer")
    refused = colleague.post(f"{page.url}/accept", hidden(page, "accept", "p0"))
    assert refused.status_code == 422
    assert "Only who wrote the note" in refused.text
    page = author.launch(ehr, visit, "prac-lpc")
    assert author.post(f"{page.url}/accept", hidden(page, "accept", "p0")).status_code == 303


def test_a_launch_of_one_client_opens_no_other_s_visit(ehr: Ehr, house: House) -> None:
    """A visit's id typed into the form of another chart is refused by the EHR's door, and by us without it."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, "h2014-45-minutes")
    opened = visitor.post(f"{page.url}/open", {"encounter": "h0031-complete"})
    answer = visitor.settled(visitor.follow(opened.headers["location"]))
    assert answer.status_code in (403, 503)
    assert "H0031" not in answer.text


def test_a_visit_that_the_token_could_read_is_still_another_client_s(ehr: Ehr, house: House) -> None:
    """Whatever an EHR lets through, the page shows the launched client's visits only."""
    visitor = Visitor(house)
    visitor.launch(ehr, "h0031-complete", "prac-lcsw")
    session = house.people.session(visitor.cookies["claimwright"], house.settings.web)
    assert session is not None
    (launch, *_) = house.people.launches(session.id)
    mixed = house.people.launched(
        session.id, "sandbox", patient_id="somebody-else", encounter_id="h0031-complete", tokens_of=launch.id
    )
    answer = visitor.get(f"/v/{mixed.id}")
    assert answer.status_code == 403
    assert "another client" in answer.text
    assert "H0031" not in answer.text


def test_two_charts_in_two_tabs_never_mix(ehr: Ehr, house: House) -> None:
    """A decision on one page, sent to the other's address, decides nothing."""
    visitor = Visitor(house)
    one = visitor.launch(ehr, "several-formats", "prac-tech")
    two = visitor.launch(ehr, "h2017-rehabilitation", "prac-tech")
    assert "signed_in" not in one.text
    crossed = visitor.post(f"{two.url}/accept", hidden(one, "accept", "p0"))
    assert crossed.status_code == 409
    assert not draft_of(house, "several-formats").decided
    assert not draft_of(house, "h2017-rehabilitation").decided
    assert visitor.post(f"{one.url}/accept", hidden(one, "accept", "p0")).status_code == 303


def test_a_comment_is_sealed_with_the_visit(ehr: Ehr, house: House) -> None:
    """A person's own words about a decision may name somebody: they are not in clear in any column."""
    visit, visitor = "p90845-psychoanalysis", Visitor(house)
    page = visitor.launch(ehr, visit, "prac-analyst")
    form = hidden(page, "reject", "p0") | {"reason": "other", "comment": "ask Philippa about it"}
    assert visitor.post(f"{page.url}/reject", form).status_code == 303
    (decision,) = house.store.decisions(draft_of(house, visit).id)
    assert decision.reason == "other"
    with house.store._engine.connect() as connection:
        rows = connection.exec_driver_sql("select * from decision where comment is not null").fetchall()
    assert rows
    assert b"Philippa" not in repr(rows).encode()
