"""What is asked of other hosts: no redirect followed, no proxy or credentials from around us, all of it bounded."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import requests
from requests.exceptions import ConnectTimeout, ReadTimeout, RequestException, SSLError
from urllib3.exceptions import HTTPError

from pipemon.domain.addresses import Allowed, Forbidden, check_url
from pipemon.outbound.connections import CheckedAdapter

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
PIECE_BYTES = 64 * 1024
# With these, nothing was sent.
UNSENT = ("no connection", "TLS failed")


class OutboundError(Exception):
    """A call that brought no usable answer; the text is one line fit for people, without any part of the address."""


class NotReached(OutboundError):
    """No connection was made: nothing of the request was sent."""


@dataclass(slots=True)
class Stream:
    """An answer that is being read. It must be closed; whoever reads it gets OutboundError where it breaks."""

    status: int
    headers: Mapping[str, str]
    _response: requests.Response = field(repr=False)
    _deadline: float = field(repr=False, default=0.0)
    _open: bool = field(repr=False, default=True)

    @property
    def length(self) -> int | None:
        """The bytes that it says to have."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def pieces(self, most: int) -> Iterator[bytes]:
        """Yield its bytes as they were sent; raises OutboundError beyond `most`, or when the time is over."""
        size = 0
        try:
            while piece := self._response.raw.read(PIECE_BYTES, decode_content=False):
                size += len(piece)
                if size > most:
                    raise OutboundError("the answer is larger than it may be")
                if time.monotonic() > self._deadline:
                    raise OutboundError("the answer took too long")
                yield piece
        except (HTTPError, OSError) as error:
            raise OutboundError(f"the answer broke off ({type(error).__name__})") from None
        if self.length is not None and size < self.length:
            raise OutboundError("the answer was cut short")

    def close(self) -> bool:
        """Give the connection up; return whether it still was open."""
        was_open, self._open = self._open, False
        self._response.close()
        return was_open


class Outbound:
    """Calls to public hosts, and to those that `allowed` names."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    def get(self, url: str, seconds: float) -> Stream:
        """Return the answer to a GET, not read yet; it must be read within so many seconds. Raises OutboundError."""
        return self.send("GET", url, seconds)

    def send(
        self, method: str, url: str, seconds: float, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Stream:
        """Return the answer to a request. Raises OutboundError, and Forbidden where the host must not be called."""
        check_url(url, self._allowed)
        with requests.Session() as session:
            session.trust_env = False
            adapter = CheckedAdapter(self._allowed)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            sent = {"User-Agent": "pipemon", "Accept-Encoding": "identity", **(headers or {})}
            request = requests.Request(method, url, headers=sent, data=body).prepare()
            # The very text that is sent is the one that was looked at.
            check_url(str(request.url), self._allowed)
            try:
                response = session.send(
                    request, stream=True, allow_redirects=False, timeout=(CONNECT_SECONDS, min(READ_SECONDS, seconds))
                )
            except Forbidden:
                raise
            except (RequestException, HTTPError, OSError) as error:
                kind = _kind(error)
                raise (NotReached if kind in UNSENT else OutboundError)(f"it can't be reached ({kind})") from None
        named = {name.lower(): value for name, value in response.headers.items()}
        return Stream(response.status_code, named, response, time.monotonic() + seconds)


def _kind(error: BaseException) -> str:
    """Return what went wrong without the address, which requests' own texts repeat."""
    text = repr(error)
    if isinstance(error, SSLError):
        return "TLS failed"
    if isinstance(error, ConnectTimeout) or "NewConnectionError" in text or "NameResolutionError" in text:
        return "no connection"
    return "no answer in time" if isinstance(error, ReadTimeout) else "the connection was cut"
