"""The page of releases over HTTP: what is due, the preview, the release, its report, and its file again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from plugin import pipeline
from plugin.release import x12
from plugin.review import coder, desk
from plugin.review.states import State
from plugin.settings import EngineSettings, ReviewSettings
from plugin.store.audit import Event
from plugin.store.people import Role
from plugin.store.records import Draft
from plugin.web import releases_page
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox.ehr import Ehr
from tests.approved import OFFICE, SUPERVISOR, changed, patient_of
from tests.visitors import Visitor

FIRST, SECOND = "h2014-45-minutes", "h0004-30-minutes"


@pytest.fixture(scope="module")
def house(ehr: Ehr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Claimwright with a clearinghouse to send to, whose approvals go out at once."""
    quiet = EngineSettings(poll_seconds=None, pump_seconds=0.2, in_web=False)
    folder = tmp_path_factory.mktemp("claimwright")
    settings = ehr.settings(folder, engine=quiet, release=OFFICE, review=ReviewSettings(rest_seconds=0))
    opened = House.open(settings)
    with sandbox_ehr.serving(build(opened), int(ehr.app_url.rpartition(":")[2])):
        yield opened


@pytest.fixture
def supervisor(ehr: Ehr, house: House) -> Visitor:
    """Somebody who may release."""
    visitor = Visitor(house)
    visitor.sign_in(house, ehr, "staff-ines", Role.SUPERVISOR)
    return visitor


def approved(house: House, visit: str) -> Draft:
    """A visit, coded, accepted and approved."""
    with house.ehrs.unattended_site("sandbox") as (site, _):
        draft = pipeline.code_visit(site, visit).draft
        assert draft is not None
        desk.sit(site, house.store, *pipeline.look(site, visit), draft).accept(SUPERVISOR)
        accepted = house.store.draft(draft.id)
        assert accepted is not None
        taken = coder.take_up(house.store, accepted, SUPERVISOR, approve_unaccepted=False)
        return desk.sit(site, house.store, *pipeline.look(site, visit), taken).approve(SUPERVISOR)


def test_what_is_due_is_previewed_released_and_downloaded(ehr: Ehr, house: House, supervisor: Visitor) -> None:
    """The preview names what would stay and why; the release lets the other go; the file comes as it is kept, audited."""
    assert "/releases" in supervisor.get("/").text
    one, two = approved(house, FIRST), approved(house, SECOND)
    assert "2 approved drafts are due" in supervisor.get("/releases").text
    patient = patient_of(ehr.upstream, SECOND)
    address = [{"line": ["1 Example Street"], "city": "Dayton", "state": "OH", "postalCode": "45402"}]
    changed(ehr.upstream, "Patient", patient, address=None)
    seen = supervisor.post("/releases/preview", {"form": "837p"})
    assert seen.status_code == 200
    assert "1 draft with 1 line would go out now." in seen.text
    assert f"Patient/{patient}: address" in seen.text
    assert "No fee schedule is set" in seen.text
    assert house.store.releases.batches() == []

    answer = supervisor.post("/releases/release", {"form": "837p"})
    assert answer.status_code == 303
    after = supervisor.get(answer.headers["location"])
    assert "Batch 1: 1 draft released, 1 stayed" in after.text
    assert house.store.draft(one.id).state is State.RELEASED  # type: ignore[union-attr]
    assert house.store.draft(two.id).state is State.APPROVED  # type: ignore[union-attr]

    file = supervisor.post("/releases/1/file", {})
    assert file.status_code == 200
    assert file.headers["content-disposition"] == 'attachment; filename="claimwright-000001.837"'
    assert file.headers["cache-control"] == "no-store"
    assert x12.check(file.content) == []
    assert supervisor.post("/releases/1/file", {}).content == file.content
    again = [e for e in house.store.audit.entries("batch/1") if e.kind == Event.ISSUED_AGAIN]
    assert [e.actor for e in again] == ["sign-in|staff-ines"] * 2

    changed(ehr.upstream, "Patient", patient, address=address)
    assert supervisor.post("/releases/release", {"form": "csv"}).status_code == 303
    assert supervisor.post("/releases/2/file", {}).headers["content-type"].startswith("text/csv")


def test_nothing_due_says_so_and_a_file_that_is_none_is_not_found(supervisor: Visitor, house: House) -> None:
    """A release of nothing makes no batch."""
    before = len(house.store.releases.batches())
    answer = supervisor.post("/releases/release", {"form": "837p"})
    assert answer.status_code == 422
    assert "Nothing went out" in answer.text
    assert len(house.store.releases.batches()) == before
    assert supervisor.post("/releases/99/file", {}).status_code == 404
    assert supervisor.get("/releases?done=x").status_code == 200


def test_what_is_wrong_with_the_settings_or_the_file_is_shown(
    ehr: Ehr, house: House, supervisor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is missing is named; a file that would not be valid goes nowhere."""
    approved(house, "p90834-52-minutes")
    monkeypatch.setattr(x12, "check", lambda _: ["segment 12: N403 is missing"])
    for action in ("preview", "release"):
        answer = supervisor.post(f"/releases/{action}", {"form": "837p"})
        assert "the file would not be valid: segment 12: N403 is missing" in answer.text
    monkeypatch.setattr(house, "settings", house.settings.model_copy(update={"release": None}))
    for action in ("preview", "release"):
        answer = supervisor.post(f"/releases/{action}", {"form": "837p"})
        assert answer.status_code == 422
        assert "release: set who sends" in answer.text


def test_only_supervisors_and_administrators_release(ehr: Ehr, house: House) -> None:
    """A coder sees no link and no page, whatever they post; who is not signed in is sent to sign in; nothing from elsewhere."""
    coder_there, nobody = Visitor(house), Visitor(house)
    coder_there.sign_in(house, ehr, "staff-bo", Role.CODER)
    assert "/releases" not in coder_there.get("/").text
    assert coder_there.get("/releases").status_code == 403
    before = len(house.store.releases.batches())
    for path in ("preview", "release", "1/file"):
        assert coder_there.post(f"/releases/{path}", {"form": "csv"}).status_code == 403
        assert nobody.post(f"/releases/{path}", {"form": "csv"}).headers["location"] == "/sign-in"
        foreign = coder_there.post(f"/releases/{path}", {"form": "csv"}, Sec_Fetch_Site="cross-site")
        assert foreign.status_code == 403
    assert len(house.store.releases.batches()) == before


def test_a_page_takes_so_many_at_once(
    ehr: Ehr, house: House, supervisor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than that is said; the rest is due still."""
    due = len(house.store.releases.due(timedelta(0)))
    approved(house, "h2019-behavioral-60-minutes")
    monkeypatch.setattr(releases_page, "MOST", due)
    assert "claimwright release" in supervisor.get("/releases").text
    assert supervisor.post("/releases/release", {"form": "csv"}).status_code == 303
    assert len(house.store.releases.due(timedelta(0))) == 1
