"""Somebody with a browser, as plain HTTP: keeps cookies, goes where it is sent, fills in forms."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from plugin.store.people import Role
from plugin.web.house import House
from sandbox.ehr import Ehr
from sandbox.ehr.authorization import Launch


class Visitor:
    """One browser. Secure cookies go to loopback, as in Chromium; `frame` tells what a cross-site page would send."""

    def __init__(self, house: House) -> None:
        self.url = house.url
        self.cookies: dict[str, str] = {}
        self._http = httpx.Client(timeout=60, follow_redirects=False)

    def get(self, url: str) -> httpx.Response:
        """One request, nothing followed."""
        return self._kept(self._http.get(self._full(url), headers=self._headers()))

    def post(self, url: str, form: dict[str, Any], **headers: str) -> httpx.Response:
        """A form, sent from a page of ours unless the headers say otherwise."""
        sent = {"Sec-Fetch-Site": "same-origin"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self._kept(self._http.post(self._full(url), data=form, headers=self._headers() | sent))

    def follow(self, url: str) -> httpx.Response:
        """Go where a GET leads in the end."""
        answer = self.get(url)
        for _ in range(10):
            if not answer.has_redirect_location:
                return answer
            url = str(httpx.URL(self._full(url)).join(answer.headers["location"]))
            answer = self.get(url)
        raise AssertionError("redirected in a circle")

    def launch(self, ehr: Ehr, visit: str, person: str = "prac-bachelor") -> httpx.Response:
        """Launch Claimwright in a chart of the EHR and wait until the visit was looked at; the page."""
        start = self._http.get(f"{ehr.url}/chart/{visit}/launch", headers={"Cookie": f"sandbox-person={person}"})
        return self.settled(self.follow(start.headers["location"]))

    def launch_at(self, ehr: Ehr, visit: str, patient: str, person: str = "prac-bachelor") -> httpx.Response:
        """The same for a visit of a patient whose id does not follow from it."""
        handle = ehr.authorization.launch(Launch(person, patient, visit))
        return self.settled(self.follow(f"/launch?{urlencode({'iss': ehr.base, 'launch': handle})}"))

    def sign_in(self, house: House, ehr: Ehr, person: str, *roles: Role) -> str:
        """Sign in outside the EHR as one of its staff, with these roles; the account."""
        where = self.get("/sign-in/provider").headers["location"]
        back = httpx.get(f"{ehr.issuer}/authorize", params=query_of(where) | {"person": person}).headers["location"]
        self.follow(back)
        account = f"sign-in|{person}"
        house.people.set_roles(account, roles)
        return account

    def settled(self, page: httpx.Response) -> httpx.Response:
        """The page of a visit once its coding is done."""
        path = urlsplit(str(page.url)).path
        while "data-progress" in page.text:
            self._http.get(self._full(f"{path}/progress"), headers=self._headers())
            page = self.get(path)
        return page

    def _full(self, url: str) -> str:
        return url if "://" in url else self.url + url

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]
        return answer


def hidden(page: httpx.Response, action: str, key: str | None = None) -> dict[str, Any]:
    """The hidden fields of a form by its action, for one line where a key is given."""
    for form in re.findall(rf'<form method="post" action="[^"]*/{action}".*?</form>', page.text, re.DOTALL):
        fields: dict[str, Any] = {}
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form):
            fields.setdefault(name, unescape(value))
        if key is None or fields.get("key") == key:
            return fields
    raise AssertionError(f"no form {action} on the page")


def query_of(url: str) -> dict[str, str]:
    """The query of an address, each name once."""
    return {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
