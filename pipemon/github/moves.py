"""Where renamed repositories went: GitHub answers 301 for the old name for ever, and each such answer costs a call."""

import re
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

REMEMBERED_SECONDS = 3600.0
MOST_MOVES = 1000
PERMANENT = frozenset({301, 308})
REPOSITORY_PATH = re.compile(r"/repos/[^/]+/[^/]+|/repositories/\d+")


def is_below(url: str, api_url: str) -> bool:
    """Whether the address is one of this API: same scheme, host and port, no credentials, below its path."""
    try:
        found, api = urlsplit(url), urlsplit(api_url)
        same = (found.scheme, found.hostname, found.port) == (api.scheme, api.hostname, api.port)
    except ValueError:
        return False
    plain = "@" not in found.netloc and "\\" not in url and url.isascii() and url.isprintable() and " " not in url
    return (
        same and plain and f"{found.path}/".startswith(api.path.rstrip("/") + "/") and ".." not in found.path.split("/")
    )


class Moves:
    """Remembers for an hour (a name may be given to another repository) under which address a repository answers."""

    def __init__(self, api_url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api_url = api_url
        self._monotonic = monotonic
        self._moved: dict[str, tuple[str, float]] = {}

    def target(self, url: str, status: int, location: str) -> str | None:
        """Return where a redirect leads, None where that is not this API; a permanent one is remembered."""
        try:
            target = urljoin(url, location)
        except ValueError:
            return None
        if not is_below(target, self._api_url):
            return None
        old, rest = self._parts(url)
        new, new_rest = self._parts(target)
        if status in PERMANENT and old and new and rest == new_rest:
            if len(self._moved) >= MOST_MOVES:
                self._moved.clear()
            self._moved[old] = (new, self._monotonic() + REMEMBERED_SECONDS)
        return target

    def current(self, url: str) -> str:
        """Return the address under which the repository in that address answered last."""
        old, rest = self._parts(url)
        new, until = self._moved.get(old, ("", 0.0))
        return f"{self._api_url}{new}{rest}" if new and self._monotonic() < until else url

    def _parts(self, url: str) -> tuple[str, str]:
        """Return the part of the path that names the repository, and all that follows."""
        below = url.removeprefix(self._api_url)
        found = REPOSITORY_PATH.match(below)
        return (found.group(), below[found.end() :]) if found else ("", below)
