"""Requests whose answers end, in time and in bytes, and that are tried again where that may help."""

import http.client
import time
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse, ProxyManager, Retry
from urllib3.exceptions import DecodeError, HTTPError, MaxRetryError, ReadTimeoutError, ResponseError

from pipemon.github.causes import cause_in_words, chain
from pipemon.github.errors import BadAnswer, GitHubError, Unreachable
from pipemon.github.timed import Patience, TooLarge, timed_pools

PIECE_BYTES = 64 * 1024
# Unchanging headers: they are part of what an ETag stands for.
HEADERS = {
    "Accept": "application/vnd.github+json",
    "Accept-Encoding": "gzip",
    "User-Agent": "pipemon",
    "X-GitHub-Api-Version": "2022-11-28",
}


def surroundings(url: str) -> dict[str, Any]:
    """Return the proxies and certificates that the process's surroundings name for this address, as requests does.

    Nothing else is taken from there: a .netrc would put its own credentials in place of our token.
    """
    with requests.Session() as session:
        return dict(session.merge_environment_settings(url, {}, None, None, None))


class _Retry(Retry):
    """Tries again what may pass (no connection, a cut, a 5xx), but not after `until` and not what timed out."""

    until = float("inf")

    def new(self, **changes: Any) -> Self:
        retry = super().new(**changes)
        retry.until = self.until
        return retry

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError) or time.monotonic() >= self.until:
            raise MaxRetryError(_pool, url or "", error or ResponseError("no time left to try again"))
        return super().increment(method, url, response, error, _pool, _stacktrace)


class TimedAdapter(HTTPAdapter):
    """Sends requests whose answers are bounded in time and size, and reads each answer whole."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = timed_pools(self.patience)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, ProxyManager):  # the one for SOCKS has connections of its own
            manager.pool_classes_by_scheme = timed_pools(self.patience)
        return manager

    def exchange(self, request: requests.PreparedRequest, **options: Any) -> tuple[requests.Response, bytes]:
        """Return the response and its unzipped body; raises Unreachable or BadAnswer."""
        retry = _Retry(
            total=2,
            connect=2,
            backoff_factor=0.3,
            backoff_jitter=0.3,
            status_forcelist=[500, 502, 503, 504],
            allowed_methods={"GET", "HEAD"},
            # A Retry-After would be slept through inside the call, for hours: the gate obeys it instead.
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        retry.until = time.monotonic() + self.patience.total_seconds
        self.max_retries = retry
        options |= {"stream": True, "timeout": (self.patience.connect_seconds, self.patience.read_seconds)}
        try:
            response = super().send(request, **options)
            return response, self._read(response.raw)
        except (TooLarge, requests.RequestException, HTTPError, OSError) as error:
            raise _told(error) from None

    def _read(self, raw: HTTPResponse) -> bytes:
        pieces, size = [], 0
        try:
            while piece := raw.read(PIECE_BYTES, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > self.patience.largest_body:
                    raise TooLarge
        except BaseException:
            raw.close()
            raise
        raw.release_conn()
        return b"".join(pieces)


def _told(error: Exception) -> GitHubError:
    """Return the error in the words of this room."""
    links = list(chain(error))
    if any(isinstance(link, TooLarge) for link in links):
        return BadAnswer("GitHub's answer is too large")
    if any(isinstance(link, http.client.IncompleteRead) for link in links):
        return BadAnswer("GitHub's answer was cut short")
    if any(isinstance(link, DecodeError) for link in links):
        return BadAnswer("GitHub's answer is not zipped as it says")
    return Unreachable(cause_in_words(error))
