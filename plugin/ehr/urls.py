"""Which URLs may be called: those under the configured FHIR base and no others (fhir 2.6).

Servers put URLs into what they answer (next links, attachment and Location URLs); following one elsewhere would send
our token there.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from plugin.ehr.errors import UnsafeUrl

_PORTS = {"http": 80, "https": 443}
_LONGEST = 8192


def resolve(base: str, url: str, trusted: Iterable[str] = ()) -> str:
    """The absolute URL that `url` means under `base`.

    `trusted` are other addresses under which the same server writes links to itself; such a link is rewritten to the
    base, and nothing is ever sent there.

    Raises:
        UnsafeUrl: it leads to another scheme, host, port or path, or is written to look as if it did not.
    """
    refused = UnsafeUrl("a link leads outside the EHR's base; it was not followed")
    if not url or len(url) > _LONGEST or url.startswith("//") or not url.isprintable() or "\\" in url or " " in url:
        raise refused
    for other in trusted:
        inner = other.rstrip("/") + "/"
        if url.startswith(inner):
            url = base.rstrip("/") + "/" + url.removeprefix(inner)
            break
    home = urlsplit(base.rstrip("/") + "/")
    try:
        given = urlsplit(url)
        if given.scheme or given.netloc:
            full = urlsplit(url)
        elif url.startswith("/"):
            full = urlsplit(f"{home.scheme}://{home.netloc}{url}")
        else:
            full = urlsplit(urljoin(home.geturl(), url))
        same_place = _place(full) == _place(home)
    except ValueError:
        raise refused from None
    path = _decoded(full.path)
    if (
        not same_place
        or "@" in full.netloc
        or full.fragment
        or "\\" in path
        or any(part in (".", "..") for part in path.split("/"))
        or not (path + "/").startswith(home.path)
    ):
        raise refused
    return full.geturl()


def _place(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme, (url.hostname or "").lower(), url.port or _PORTS.get(url.scheme)


def _decoded(path: str) -> str:
    """The path with percent-encoding taken off, also where it was put on twice."""
    for _ in range(3):
        once = unquote(path)
        if once == path:
            break
        path = once
    return path
