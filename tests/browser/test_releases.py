"""The page of releases in a real browser: preview, release, and the file as a download; readable for everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, expect

from plugin.release import x12
from plugin.settings import EngineSettings, ReviewSettings
from plugin.store.people import Role
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox.ehr import Ehr
from tests.approved import OFFICE
from tests.integration.test_releases_page import FIRST, SECOND, approved

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(ehr: Ehr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Claimwright with a clearinghouse to send to, whose approvals go out at once."""
    quiet = EngineSettings(poll_seconds=None, pump_seconds=0.2, in_web=False)
    folder = tmp_path_factory.mktemp("claimwright")
    settings = ehr.settings(folder, engine=quiet, release=OFFICE, review=ReviewSettings(rest_seconds=0))
    opened = House.open(settings)
    with sandbox_ehr.serving(build(opened), int(ehr.app_url.rpartition(":")[2])):
        yield opened


def test_a_supervisor_previews_releases_and_saves_the_file(context: BrowserContext, ehr: Ehr, house: House) -> None:
    """By the buttons of the page, in light and dark, on a narrow screen too; axe finds nothing to complain of."""
    approved(house, FIRST)
    approved(house, SECOND)
    tab = context.new_page()
    tab.goto(f"{house.url}/sign-in/provider")
    tab.get_by_role("button", name="Ada Fenwick").click()
    house.people.set_roles("sign-in|staff-ada", {Role.SUPERVISOR})
    tab.goto(house.url)
    tab.get_by_role("link", name="Releases").click()
    expect(tab.get_by_text("2 approved drafts are due")).to_be_visible()
    tab.get_by_role("button", name="Preview").click()
    expect(tab.get_by_text("2 drafts with 2 lines would go out now.")).to_be_visible()
    tab.get_by_role("button", name="Release", exact=True).click()
    expect(tab.get_by_role("status")).to_have_text("Batch 1: 2 drafts released.")
    with tab.expect_download() as saving:
        tab.get_by_role("button", name="claimwright-000001.837").click()
    assert saving.value.suggested_filename == "claimwright-000001.837"
    with tab.expect_download() as again:
        tab.get_by_role("button", name="claimwright-000001.837").click()
    assert again.value.path().read_bytes() == saving.value.path().read_bytes()
    assert x12.check(saving.value.path().read_bytes()) == []
    for scheme, width in (("light", 1280), ("dark", 360)):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        tab.set_viewport_size({"width": width, "height": 900})
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
