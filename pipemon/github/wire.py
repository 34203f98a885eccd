"""What happens below the cache: the token is added there and nowhere else, and every answer's limits are read."""

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse

from pipemon.github import parse, verdict
from pipemon.github.adapter import TimedAdapter
from pipemon.github.auth import TokenSource
from pipemon.github.budget import Gate
from pipemon.github.clock import parse_http_date
from pipemon.github.errors import LimitReached
from pipemon.github.timed import Patience

# All that the cache needs of an answer's headers. Whatever else it kept (the date, the count of calls left) would
# change with each 304 and have the whole body written again; Vary would only make it doubt our own requests.
KEPT_HEADERS = ("ETag", "Link", "Content-Type")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came from GitHub. Header names are in lower case; the body is unzipped."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    date: int | None
    message: str = ""  # the reason that an error answer gives
    limit: LimitReached | None = None
    tries: int = 1
    seconds: float = 0.0


class Call(requests.PreparedRequest):
    """A request that brings home, beside what a cache makes of it, the answer as it came.

    `for_cache` says that the response goes through the cache, which gets the body packed; else it gets none.
    """

    answer: Answer | None = None
    for_cache = False


class GitHubAdapter(TimedAdapter):
    """Signs what is sent to GitHub and reports every answer to the gate. To be mounted on GitHub's address only."""

    def __init__(self, tokens: TokenSource, gate: Gate, patience: Patience) -> None:
        super().__init__(patience)
        self._tokens = tokens
        self._gate = gate

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Return the answer as a cache may see it: no token, no header that changes each time, the body packed."""
        if not isinstance(request, Call):
            raise TypeError("only a Call is sent to GitHub")
        signed = request.copy()
        token = self._tokens.current()
        if token:
            signed.headers["Authorization"] = f"Bearer {token}"
        started = time.monotonic()
        response, body = self.exchange(signed, **options)
        request.answer = self._observed(response, body, time.monotonic() - started)
        return _stripped(response, request, request.answer)

    def _observed(self, response: requests.Response, body: bytes, seconds: float) -> Answer:
        status, headers = response.status_code, verdict.lowered(response.headers)
        message = parse.message(body) if status >= 400 else ""
        limit = self._gate.observe(status, headers, message, seconds)
        retries = getattr(response.raw, "retries", None)
        tries = 1 + len(retries.history) if retries is not None else 1
        return Answer(status, headers, body, parse_http_date(headers.get("date")), message, limit, tries, seconds)


def _stripped(response: requests.Response, call: Call, answer: Answer) -> requests.Response:
    """Return the response without all that isn't to be kept; that of a 304 must not change what is kept."""
    whole = answer.status == 200
    kept = {name: answer.headers[name.lower()] for name in KEPT_HEADERS if whole and name.lower() in answer.headers}
    response.headers = CaseInsensitiveDict(kept)
    response.request = call
    response._content = pack(answer.body) if whole and call.for_cache else b""
    response._content_consumed = True  # type: ignore[attr-defined]
    response.raw = HTTPResponse(body=b"", status=answer.status, preload_content=False, request_url=call.url)
    return response


def pack(body: bytes) -> bytes:
    """Return the body as the cache keeps it: a tenth of the size, so that a 304 hardly touches it, and checksummed."""
    return zlib.compress(body, 1)


def unpack(packed: bytes, largest: int) -> bytes | None:
    """Return the body of a packed one; None where it was damaged."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(packed, largest)
    except zlib.error:
        return None
    return body if unpacker.eof else None
