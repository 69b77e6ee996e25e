"""A real Chromium in front of the real pages: the sandbox EHR on 127.0.0.1 frames Claimwright on localhost, another site."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from plugin.web.house import House
from sandbox.ehr import Ehr

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks",  # an answer that a test gives has no address, hence counts as far away
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a Chromium these tests are skipped by name, and in CI they fail."""
    if CHROMIUM is None and not os.environ.get("CI"):
        for item in items:
            if "tests/browser" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="no Chromium here: apt-get install chromium"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for the run."""
    assert CHROMIUM is not None, "CI needs Chromium: apt-get install chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, house: House) -> Iterator[BrowserContext]:
    """A browser of somebody's own, with nothing in it."""
    made = chromium.new_context(viewport={"width": 1280, "height": 900})
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Page]:
    """A tab of it; a script error on a page of ours fails the test."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []


def launch_url(ehr: Ehr, visit: str) -> str:
    """Where the EHR launches Claimwright in a visit's chart."""
    return f"{ehr.url}/chart/{visit}/launch"


def be(page: Page, ehr: Ehr, person: str) -> None:
    """Be somebody in the EHR from now on."""
    page.context.add_cookies([{"name": "sandbox-person", "value": person, "url": ehr.url}])
