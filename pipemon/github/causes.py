"""Why a call brought no answer, in words for /health: one cause for each of the many wrappings of the libraries."""

import http.client
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions as u3

# The first that fits any link of the chain wins: what is more telling stands first.
WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((u3.NameResolutionError, socket.gaierror), "its name was not found (DNS)"),
    ((ssl.SSLCertVerificationError,), "its TLS certificate was not accepted"),
    ((u3.SSLError, ssl.SSLError, requests.exceptions.SSLError), "TLS failed"),
    ((u3.ProxyError, requests.exceptions.ProxyError), "the proxy did not pass the call on"),
    ((ConnectionRefusedError,), "the connection was refused"),
    # Not urllib3's own ConnectTimeoutError: whatever keeps a connection from being made counts as one there.
    ((requests.exceptions.ConnectTimeout,), "no connection was made in time"),
    ((u3.ReadTimeoutError, requests.exceptions.ReadTimeout, TimeoutError), "no whole answer came in time"),
    ((ConnectionError, http.client.HTTPException, u3.ProtocolError), "the connection was cut"),
)
# With these, no byte of the request was sent.
NEVER_SENT = frozenset(words for types, words in WORDS if types[0] in (
    u3.NameResolutionError, ssl.SSLCertVerificationError, ConnectionRefusedError, requests.exceptions.ConnectTimeout
))  # fmt: skip
MOST_LINKS = 50


def cause_in_words(error: BaseException) -> str:
    """Return what went wrong, without any address or header in it."""
    links = list(chain(error))
    for types, words in WORDS:
        if any(isinstance(link, types) for link in links):
            return words
    for link in links:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return type(error).__name__


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it wraps."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MOST_LINKS:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        waiting += [part for part in inner if isinstance(part, BaseException)]
