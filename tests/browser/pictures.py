"""`make pictures`: the screenshots in docs/pictures/, taken of the sandbox as it is."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from plugin import pipeline, site
from plugin.settings import EngineSettings, Settings
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox import server, staging
from sandbox.ehr import Ehr
from tests.browser.conftest import ARGUMENTS, CHROMIUM, be, launch_url

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
_SHOWN = re.compile("What the visit supports|Before you sign")


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with _running() as (ehr, browser):
        _in_the_ehr(ehr, browser)
        _page(ehr, browser, "held", "dst-spring-night", "prac-bachelor")
        _unsign(ehr, "h2014-skill-not-named")
        _page(ehr, browser, "before-signing", "h2014-skill-not-named", "prac-bachelor")
        _queue(ehr, browser)
        _page(ehr, browser, "narrow-dark", "p90837-53-minutes", "prac-lcsw", width=360, scheme="dark")


@contextmanager
def _running() -> Iterator[tuple[Ehr, Browser]]:
    port = server.free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox_ehr.running(Path(folder) / "ehr", f"http://localhost:{port}") as ehr,
        sandbox_ehr.serving(build(house := House.open(_settings(ehr, folder))), port),
        sync_playwright() as play,
    ):
        with site.ehr_site(house.settings) as (live, reader):
            for visit in reader.finished():
                pipeline.code_visit(live, visit)
            assert live.store is not None
            staging.stage(live, live.store, ehr.upstream, house.ehrs.unattended_site)
        yield ehr, play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


def _settings(ehr: Ehr, folder: str) -> Settings:
    return ehr.settings(Path(folder) / "claimwright", engine=EngineSettings(poll_seconds=None))


def _unsign(ehr: Ehr, visit: str) -> None:
    """The visit's note as it was before its author signed it."""
    url = f"{ehr.upstream}/DocumentReference/{visit}-note"
    note = httpx.get(url).json()
    note.pop("authenticator", None)
    httpx.put(url, json=note | {"docStatus": "preliminary"}).raise_for_status()


def _in_the_ehr(ehr: Ehr, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1240, "height": 1180})
    be(page, ehr, "prac-bachelor")
    page.goto(f"{ehr.url}/chart/h2014-45-minutes?open=1")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name=_SHOWN).wait_for()
    frame.get_by_role("article", name=re.compile("H2014")).focus()
    _keep(page, "in-the-ehr")


def _page(
    ehr: Ehr, browser: Browser, name: str, visit: str, person: str, *, width: int = 1240, scheme: str = "light"
) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": 860}, color_scheme="dark" if scheme == "dark" else "light"
    )
    be(page, ehr, person)
    page.goto(launch_url(ehr, visit))
    page.get_by_role("heading", name=_SHOWN).wait_for()
    _keep(page, name)


def _queue(ehr: Ehr, browser: Browser) -> None:
    """The coders' queue with drafts in every state, and one of them in review."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(f"{ehr.app_url}/sign-in/provider")
    page.get_by_role("button", name="Ines Calloway").click()
    page.goto(f"{ehr.app_url}/queue?state=all&order=age")
    page.screenshot(path=FOLDER / "queue.png", animations="disabled")
    page.goto(f"{ehr.app_url}/queue")
    page.get_by_role("link", name="h0031-complete").click()
    page.get_by_role("heading", name="What goes out").wait_for()
    _keep(page, "review")


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    page.close()


if __name__ == "__main__":
    main()
