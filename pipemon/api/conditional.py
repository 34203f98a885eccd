"""Answers that need no view: an ETag is a function of revision, time bucket, question and caller, so it costs no query.

Ten thousand dashboards that ask the same cost what one costs: the first makes the bytes, the others get them, or 304.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.http import parse_etags
from werkzeug.test import run_wsgi_app

from pipemon.api.auth import UnknownKey, identify
from pipemon.api.services import Moment, Services
from pipemon.domain.times import bucket_start
from pipemon.store.engine import DatabaseError

PREFIX = "/api/v1/"
EVENTS = "/api/v1/events"
CACHE_BYTES = 32 * 1024 * 1024
LARGEST_ENTRY = 2 * 1024 * 1024
# Whoever asks for what another request is making just now waits this long for it, then makes it alone.
PATIENCE_SECONDS = 10.0

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by whom as far as answers differ. `tag` is the ETag of its answer now."""

    key: str
    tag: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished answer."""

    tag: str
    route: str
    headers: Headers
    body: bytes


class Cache:
    """The newest answer to each question, least recently asked ones dropped at a total size in bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._size = 0

    def get(self, question: Question) -> Entry | None:
        """Return the answer if it is still true."""
        entry = self._entries.get(question.key)
        if entry is None or entry.tag != question.tag:
            return None
        self._entries.move_to_end(question.key)
        return entry

    def route(self, question: Question) -> str:
        """Return the route of the question, where any answer to it is known."""
        entry = self._entries.get(question.key)
        return "none" if entry is None else entry.route

    def put(self, question: Question, entry: Entry) -> None:
        """Keep the answer; it takes the place of older ones."""
        old = self._entries.pop(question.key, None)
        self._size += _cost(question.key, entry) - (_cost(question.key, old) if old else 0)
        self._entries[question.key] = entry
        while self._size > self._capacity:
            key, dropped = self._entries.popitem(last=False)
            self._size -= _cost(key, dropped)


def _cost(key: str, entry: Entry) -> int:
    return len(key) + len(entry.body) + 1000  # about what the headers and the bookkeeping take


class Conditional:
    """Stands before Flask: adds ETags to its answers, keeps them, and gives them out again while they are true."""

    def __init__(self, inner: Any, services: Services) -> None:
        self._inner = inner
        self._services = services
        self._cache = Cache(CACHE_BYTES)
        self._flights: dict[str, threading.Event] = {}

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Answer one request."""
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or not environ["PATH_INFO"].startswith(PREFIX):
            return self._pass_on(environ, start)
        question = self._question(environ)
        if question is None:
            return self._pass_on(environ, start)
        if holds(environ.get("HTTP_IF_NONE_MATCH"), question.tag):
            environ["pipemon.facts"] |= {"cached": True, "route": self._cache.route(question)}
            start("304 Not Modified", [("ETag", question.tag), ("Cache-Control", "private, no-cache")])
            return []
        entry = self._cache.get(question) or self._wait(question)
        if entry is not None:
            environ["pipemon.facts"]["cached"] = True
            return self._give(entry, environ, start)
        return self._make(question, environ, start)

    def _pass_on(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._inner(environ, start)
        return answer

    def _question(self, environ: dict[str, Any]) -> Question | None:
        """Return what is asked; None where the caller may not read, or nothing can be said without the views."""
        try:
            caller = identify(environ, self._services.settings)
            if not caller.may("read"):
                return None
            moment = Moment(self._services.snapshots.current(), self._services.clock())
        except (UnknownKey, DatabaseError):
            return None
        environ["pipemon.moment"] = moment
        environ["pipemon.facts"]["caller"] = caller.name
        path = environ["PATH_INFO"].removesuffix("/")
        query = "&".join(sorted(part for part in environ["QUERY_STRING"].split("&") if not part.startswith("_")))
        key = f"{caller.sees} {path}?{query}"
        return Question(key, _tag(moment, key, path, query))

    def _wait(self, question: Question) -> Entry | None:
        """Return the answer that another request is making of the very same question, once it is there."""
        flight = self._flights.get(question.key)
        if flight is None:
            return None
        flight.wait(PATIENCE_SECONDS)
        return self._cache.get(question)

    def _make(self, question: Question, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Let Flask answer, and keep what may be kept."""
        flight = self._flights[question.key] = threading.Event()
        try:
            body, status, sent = run_wsgi_app(self._inner, environ | {"REQUEST_METHOD": "GET"})
            if not _may_be_kept(status, dict(sent)):
                start(status, list(sent))
                return _without_body(body) if environ["REQUEST_METHOD"] == "HEAD" else body
            kept = [(name, value) for name, value in sent if name.lower() not in ("etag", "cache-control")]
            kept += [("ETag", question.tag), ("Cache-Control", "private, no-cache")]
            entry = Entry(question.tag, environ["pipemon.facts"].get("route", "none"), kept, b"".join(body))
            if len(entry.body) <= LARGEST_ENTRY:
                self._cache.put(question, entry)
        finally:
            if self._flights.get(question.key) is flight:
                del self._flights[question.key]
            flight.set()
        return self._give(entry, environ, start)

    def _give(self, entry: Entry, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        environ["pipemon.facts"]["route"] = entry.route
        start("200 OK", list(entry.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [entry.body]


def _without_body(body: Iterable[bytes]) -> list[bytes]:
    """Return no body, having let the view's stream know that nobody reads it."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return []


def holds(sent: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names this ETag."""
    # `*` would hold for any answer, the refusals that are not found out yet included.
    if sent is None or sent.strip() == "*":
        return False
    return sent == tag or parse_etags(sent).contains_weak(tag[3:-1])


def _tag(moment: Moment, key: str, path: str, query: str) -> str:
    names = _repositories(moment, query)
    as_of = moment.as_of(path, names)
    bucket = bucket_start(moment.now, moment.bucket_seconds(path, names))
    # The log also grows by events that no other answer shows.
    log = moment.snapshot.last_id if path == EVENTS else None
    parts = (moment.snapshot.epoch, moment.snapshot.revision, log, bucket, as_of.timestamp, as_of.data_state, key)
    digest = hashlib.blake2b("\n".join(map(str, parts)).encode("utf-8", "replace"), digest_size=16)
    return f'W/"{digest.hexdigest()}"'


def _repositories(moment: Moment, query: str) -> tuple[str, ...]:
    """Return the watched repositories that the query names. A name that is none of them is the view's 422."""
    if "repo=" not in query:
        return ()
    asked = {value.lower() for name, value in parse_qsl(query) if name == "repo"}
    return tuple(name for name in moment.snapshot.names().values() if name.lower() in asked)


def _may_be_kept(status: str, sent: dict[str, str]) -> bool:
    return (
        status.startswith("200")
        and sent.get("Content-Type", "").startswith("application/json")
        and "no-store" not in sent.get("Cache-Control", "")
    )
