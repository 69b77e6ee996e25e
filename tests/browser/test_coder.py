"""The coders' queue in a real browser: by keyboard alone, two coders at once, many at once, questions, a restart in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from plugin.review.states import State
from plugin.settings import EngineSettings
from plugin.store.people import Role
from plugin.store.queue import Filter
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox import server
from sandbox.ehr import Ehr
from tests.browser.conftest import be, launch_url
from tests.integration.test_deciding import draft_of
from tests.integration.test_reviewing import accepted, state_of
from tests.visitors import Visitor

pytestmark = pytest.mark.browser


def coder(context: BrowserContext, ehr: Ehr, house: House, name: str, account: str) -> Page:
    """A coder signed in, with the queue open."""
    tab = context.new_page()
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(f"{house.url}/sign-in/provider")
    tab.get_by_role("button", name=name).click()
    house.people.set_roles(f"sign-in|{account}", {Role.CODER})
    tab.goto(f"{house.url}/queue")
    return tab


@pytest.fixture
def ines(context: BrowserContext, ehr: Ehr, house: House) -> Iterator[Page]:
    """Ines, with the queue open."""
    yield coder(context, ehr, house, "Ines Calloway", "staff-ines")
    for item in house.store.queue.page(Filter(), most=500):
        house.store.queue.put_back(item.id, "sign-in|staff-ines")


def test_the_whole_path_by_keyboard(ines: Page, ehr: Ehr, house: House) -> None:
    """From the list: two keys approve a clean draft, and the next one is there; return and hold ask why; typing is typing."""
    first = accepted(ehr, house, "h2014-45-minutes")
    second = accepted(ehr, house, "rtf-note")
    third = accepted(ehr, house, "utc-evening")
    ines.goto(f"{house.url}/queue?order=date of service")
    order = [row.inner_text() for row in ines.locator("tr[data-item] a").all()]
    by_visit = {"h2014-45-minutes": first, "rtf-note": second, "utc-evening": third}
    assert set(order) == set(by_visit)
    ines.keyboard.press("j")
    ines.keyboard.press("Enter")
    expect(ines.get_by_role("heading", name="What goes out")).to_be_visible()
    ines.keyboard.press("a")
    expect(ines.get_by_text("Approved. This is the next one.")).to_be_visible()
    assert state_of(house, by_visit[order[0]]) is State.APPROVED

    ines.keyboard.press("h")
    expect(ines.get_by_label("Why").and_(ines.locator(":focus"))).to_be_visible()
    ines.keyboard.press("a")  # typed into the list of reasons: nothing is approved by that
    assert state_of(house, by_visit[order[1]]) is State.IN_REVIEW
    ines.locator(":focus").select_option("authorization")
    ines.get_by_role("button", name="Put it on hold").press("Enter")
    expect(ines.get_by_text("On hold. This is the next one.")).to_be_visible()
    assert state_of(house, by_visit[order[1]]) is State.HELD

    ines.locator("body").press("?")
    expect(ines.get_by_role("dialog", name="Keys")).to_be_visible()
    ines.keyboard.press("Escape")
    ines.keyboard.press("e")
    expect(ines.locator("article input[name=code]:focus")).to_be_visible()
    ines.locator("main").focus()
    ines.keyboard.press("r")
    ines.locator(":focus").select_option("documentation")
    ines.get_by_role("button", name="Send it back").press("Enter")
    expect(ines).to_have_url(f"{house.url}/queue?order=date+of+service")
    assert state_of(house, by_visit[order[2]]) is State.RETURNED


def test_a_key_that_is_held_down_decides_once(ines: Page, ehr: Ehr, house: House) -> None:
    """The next visit is shown, and nobody has read it: what the keyboard repeats does nothing there."""
    ids = [accepted(ehr, house, visit, "prac-lcsw") for visit in ("f90847-family", "html-hidden-text")]
    ines.goto(f"{house.url}/queue?order=date of service")
    ines.locator("tr[data-item] a").first.click()
    expect(ines.get_by_role("heading", name="What goes out")).to_be_visible()
    ines.keyboard.down("a")
    expect(ines.get_by_text("Approved. This is the next one.")).to_be_visible()
    for _ in range(3):
        ines.keyboard.down("a")  # as a keyboard repeats it
    expect(ines.get_by_role("button", name="Approve")).to_be_visible()
    ines.keyboard.up("a")
    assert [state_of(house, i) for i in ids].count(State.APPROVED) == 1
    ines.keyboard.press("a")
    expect(ines.get_by_role("navigation", name="States")).to_be_visible()
    assert [state_of(house, i) for i in ids] == [State.APPROVED] * 2


def test_two_coders_at_once(ines: Page, chromium: Browser, ehr: Ehr, house: House) -> None:
    """The second sees that the first has it and finds no button; when the first is done, the second sees what was decided."""
    draft_id = accepted(ehr, house, "p90834-52-minutes", "prac-lpc")
    other = chromium.new_context()
    bo = coder(other, ehr, house, "Bo Larrabee", "staff-bo")
    ines.goto(f"{house.url}/queue/item/{draft_id}")
    bo.goto(f"{house.url}/queue/item/{draft_id}")
    expect(bo.get_by_text("Ines Calloway has this item")).to_be_visible()
    expect(bo.get_by_role("button", name="Approve")).to_have_count(0)
    bo.keyboard.press("a")
    assert state_of(house, draft_id) is State.IN_REVIEW
    ines.keyboard.press("a")
    expect(ines.get_by_role("navigation", name="States")).to_be_visible()
    bo.reload()
    expect(bo.locator(".bar .tag")).to_have_text("approved")
    other.close()


def test_many_at_once_and_taken_back(ines: Page, ehr: Ehr, house: House) -> None:
    """Chosen by key, shown in a preview, approved together; one of them is taken back before it goes out."""
    ids = [
        accepted(ehr, house, "replaced-note"),
        accepted(ehr, house, "h0004-30-minutes", "prac-lpc"),
    ]
    ines.goto(f"{house.url}/queue?clean=yes")
    for _ in ids:
        ines.keyboard.press("j")
        ines.keyboard.press("x")
    ines.get_by_role("button", name="Preview approval of the chosen").click()
    ines.get_by_role("button", name="Approve these 2").click()
    expect(ines.get_by_role("status")).to_contain_text("2 approved")
    assert [state_of(house, i) for i in ids] == [State.APPROVED, State.APPROVED]
    ines.get_by_role("link", name=ids[0]).click()
    ines.get_by_role("button", name="Take the approval back").click()
    expect(ines.get_by_text("The approval is taken back.")).to_be_visible()
    assert state_of(house, ids[0]) is State.IN_REVIEW


def test_a_question_and_its_answer(ines: Page, chromium: Browser, ehr: Ehr, house: House) -> None:
    """Asked by key; the clinician reads it in the chart and answers; the coder reads the answer on the item."""
    visit = "h2014-no-stop-time"
    Visitor(house).launch(ehr, visit)
    draft_id = draft_of(house, visit).id
    ines.goto(f"{house.url}/queue/item/{draft_id}")
    ines.keyboard.press("q")
    ines.get_by_role("button", name="Ask", exact=True).click()
    expect(
        ines.get_by_text("The clinician is asked.").or_(ines.get_by_role("navigation", name="States"))
    ).to_be_visible()
    assert state_of(house, draft_id) is State.QUERIED
    theirs = chromium.new_context()
    tab = theirs.new_page()
    be(tab, ehr, "prac-bachelor")
    tab.goto(launch_url(ehr, visit))
    tab.get_by_label("I am unable to determine this").check()
    tab.get_by_role("button", name="Answer").click()
    expect(tab.get_by_text("Answered. It goes back to the coder.")).to_be_visible()
    theirs.close()
    ines.goto(f"{house.url}/queue/item/{draft_id}")
    expect(ines.get_by_role("article", name="Question of Ines Calloway")).to_contain_text(
        "I am unable to determine this"
    )


def test_the_next_item_is_read_ahead(ines: Page, ehr: Ehr, house: House) -> None:
    """While one item is looked at, the browser has the next one read."""
    accepted(ehr, house, "t1007-sud-plan", "prac-licdc")
    accepted(ehr, house, "h0001-sud-assessment", "prac-licdc")
    ines.goto(f"{house.url}/queue?order=deadline")
    with ines.expect_response(lambda answer: answer.url.endswith("/ahead")) as ahead:
        ines.locator("tr[data-item] a").first.click()
    assert ahead.value.status == 204


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_everybody_can_use_it(chromium: Browser, ehr: Ehr, house: House, width: int, scheme: str) -> None:
    """axe finds nothing on the queue and on the review, narrow and wide, light and dark; nothing needs sideways scrolling."""
    draft_id = accepted(ehr, house, "h0031-complete", "prac-lcsw") if width == 360 and scheme == "light" else None
    draft_id = draft_id or draft_of(house, "h0031-complete").id
    context = chromium.new_context(color_scheme="dark" if scheme == "dark" else "light")
    tab = coder(context, ehr, house, "Ines Calloway", "staff-ines")
    tab.set_viewport_size({"width": width, "height": 900})
    for address in ("/queue?state=all", f"/queue/item/{draft_id}"):
        tab.goto(house.url + address)
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
        assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()


def test_a_restart_in_the_middle_of_a_review(chromium: Browser, ehr: Ehr, tmp_path: Path) -> None:
    """The server is stopped and started while a page is open: the person is still signed in, has the item, and approves it."""
    port, visit = server.free_port(), "h2014-unknown-payer"
    context = chromium.new_context()
    with sandbox_ehr.in_front(ehr.upstream, f"http://localhost:{port}") as own:
        settings = own.settings(tmp_path, engine=EngineSettings(in_web=False))  # the module's own engine runs already
        first = House.open(settings)
        with sandbox_ehr.serving(build(first), port):
            draft_id = accepted(own, first, visit)
            tab = coder(context, own, first, "Ines Calloway", "staff-ines")
            tab.goto(f"{first.url}/queue/item/{draft_id}")
            expect(tab.get_by_role("button", name="Approve")).to_be_visible()
        second = House.open(settings)
        with sandbox_ehr.serving(build(second), port):
            tab.get_by_role("button", name="Approve").click()
            expect(tab.get_by_role("navigation", name="States")).to_be_visible()
            draft = second.store.draft(draft_id)
            assert draft is not None
            assert draft.state is State.APPROVED
    context.close()
