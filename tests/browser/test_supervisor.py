"""The supervisor's page in a real browser: readable narrow and wide, light and dark, by keyboard and by axe's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from plugin.store.people import Role
from plugin.web.house import House
from sandbox.ehr import Ehr
from tests.browser.conftest import be
from tests.browser.test_clinician import _fine, opened

pytestmark = pytest.mark.browser


@pytest.fixture
def supervisors(tab: Page, ehr: Ehr, house: House) -> Page:
    """The page of somebody who supervises, after visits of which one was accepted and others wait."""
    be(tab, ehr, "prac-lcsw")
    for visit in ("p90834-times-disagree", "h0031-complete", "p90837-53-minutes"):
        page = opened(tab, ehr, visit)
    accept = page.get_by_role("button", name="Accept")
    if accept.count():
        accept.first.click()
        expect(page.locator(".notice.good")).to_contain_text("Accepted")
    for account in house.people.accounts():
        if account.person == "Practitioner/prac-lcsw":
            house.people.set_roles(account.id, {Role.CLINICIAN, Role.SUPERVISOR})
    tab.goto(house.url)
    tab.get_by_role("link", name="Figures").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("Figures from")
    return tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_figures_break_no_rule_of_axe(supervisors: Page, scheme: Any, width: int) -> None:
    """Every table and plot, folded out; nothing runs over the edge and no style or script is refused."""
    refused: list[str] = []
    supervisors.on("console", lambda said: refused.append(said.text) if said.type == "error" else None)
    supervisors.emulate_media(color_scheme=scheme)
    supervisors.set_viewport_size({"width": width, "height": 900})
    supervisors.reload()
    supervisors.get_by_text("Day by day").click()
    expect(supervisors.get_by_role("img", name="Accepted as proposed, by code")).to_be_visible()
    _fine(supervisors)
    assert refused == []


def test_a_window_is_chosen_and_its_table_downloaded(supervisors: Page, tmp_path: Path) -> None:
    """The form keeps the days in the address; the file holds what the table shows."""
    supervisors.get_by_label("From").fill("2026-01-01")
    supervisors.get_by_label("To").fill("2026-01-31")
    supervisors.get_by_role("button", name="Show").click()
    expect(supervisors.get_by_role("heading", level=1)).to_have_text("Figures from 2026-01-01 to 2026-01-31")
    with supervisors.expect_download() as saved:
        supervisors.get_by_role("link", name="Download as CSV (Drafts a day)").click()
    assert saved.value.suggested_filename == "claimwright-throughput-2026-01-01-2026-01-31.csv"
    saved.value.save_as(tmp_path / "figures.csv")
    assert (tmp_path / "figures.csv").read_text().startswith('"day","proved"')
