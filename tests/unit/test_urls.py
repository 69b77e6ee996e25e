"""Which links are followed: those under the FHIR base, however they are written."""

from __future__ import annotations

import pytest

from plugin.ehr.errors import UnsafeUrl
from plugin.ehr.urls import resolve

BASE = "https://ehr.example/api/R4"


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("Patient/1", f"{BASE}/Patient/1"),
        (f"{BASE}/Patient/1", f"{BASE}/Patient/1"),
        (f"{BASE}?_getpages=abc", f"{BASE}?_getpages=abc"),
        ("/api/R4/Binary/1", f"{BASE}/Binary/1"),
        ("https://EHR.example:443/api/R4/Binary/1", "https://EHR.example:443/api/R4/Binary/1"),
        ("Binary/a%20b", f"{BASE}/Binary/a%20b"),
    ],
)
def test_links_under_the_base_are_followed(url: str, full: str) -> None:
    """Relative, absolute, server-relative, with the default port."""
    assert resolve(BASE, url) == full


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example/api/R4/Patient/1",
        "http://ehr.example/api/R4/Patient/1",
        "//evil.example/x",
        "https://ehr.example@evil.example/api/R4/x",
        "https://user:pw@ehr.example/api/R4/x",
        "https://@ehr.example/api/R4/x",
        "https://ehr.example:8443/api/R4/x",
        "https://ehr.example/api/R4evil/x",
        "https://ehr.example/other",
        "../admin",
        "Patient/../../admin",
        "%2e%2e/admin",
        "%252e%252e/admin",
        "Patient/1#x",
        "\\\\evil.example\\x",
        "Patient/1\nHost: evil",
        "http://169.254.169.254/latest",
        "https://ehr.example:port/api/R4/x",
        "https://[::1/api/R4",
    ],
)
def test_links_elsewhere_are_not(url: str) -> None:
    """Other hosts, schemes, ports and paths, and the tricks that hide them; the complaint does not repeat the link."""
    with pytest.raises(UnsafeUrl) as refused:
        resolve(BASE, url)
    assert "evil" not in str(refused.value)
