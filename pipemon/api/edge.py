"""The outermost door: what holds for every request, whether Flask or the cache answers it."""

import re
import time
from collections.abc import Collection, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import gevent
from werkzeug.wsgi import ClosingIterator

from pipemon import telemetry
from pipemon.api import headers
from pipemon.api.errors import BROKEN, Problem
from pipemon.api.services import Services

log = telemetry.logger(__name__)

LONGEST_URL = 4096


class Edge:
    """Gives each request an id, checks its Host and length, completes its answer's headers, counts and logs it."""

    def __init__(self, inner: Any, services: Services) -> None:
        self._inner = inner
        self._services = services

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        # With keep-alive, gevent would serve a busy connection's next request before everybody else's first.
        gevent.sleep(0)
        began = time.perf_counter()
        request_id = environ["pipemon.request_id"] = _request_id(environ.get("HTTP_X_REQUEST_ID"))
        telemetry.request_id.set(request_id)
        # What the doors behind this one learn of the request; shared, since some of them copy the environ.
        environ["pipemon.facts"] = {}
        origins = self._services.settings.allowed_origins
        said = [500]

        def start(status: str, sent: headers.Headers, exc_info: Any = None) -> Any:
            said[0] = int(status[:3])
            whole = headers.complete(said[0], sent, environ, origins)
            whole.append(("X-Request-ID", request_id))
            if self._services.settings.demo:
                whole.append(("X-Pipemon-Demo", "true"))
            return start_response(status, whole, exc_info)

        body = self._answer(environ, start, origins)
        # A page's bytes are on their way already; a stream is counted when it ends.
        if isinstance(body, list):
            _record(environ, said[0], began)
            return body
        return ClosingIterator(body, lambda: _record(environ, said[0], began))

    def _answer(self, environ: dict[str, Any], start: Any, origins: Collection[str]) -> Iterable[bytes]:
        try:
            problem = self._problem(environ)
            if problem is not None:
                return self._refuse(problem, environ, start)
            allowed = headers.preflight(environ, origins)
            if allowed is not None:
                start("204 No Content", allowed)
                return []
            answer: Iterable[bytes] = self._inner(environ, start)
        except StopIteration:
            raise  # how the WebSocket tells gunicorn that the socket is in other hands now
        except Exception as error:
            # Flask answers its own; this is a guard or the cache that failed, and then nobody gets through.
            log.error("unexpected error before the views", exc_info=error)
            return self._refuse(Problem(500, BROKEN, {}), environ, start)
        return answer

    def _refuse(self, problem: Problem, environ: dict[str, Any], start: Any) -> list[bytes]:
        body = problem.body(_path(environ), environ["pipemon.request_id"], self._services.clock())
        start(
            f"{problem.status} {HTTPStatus(problem.status).phrase}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _problem(self, environ: dict[str, Any]) -> Problem | None:
        """Return what keeps the request from going on."""
        if len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")) > LONGEST_URL:
            return Problem(414, f"The address is longer than {LONGEST_URL} characters.", {})
        if environ.get("PATH_INFO", "").startswith("//"):
            return Problem(404, "Not Found.", {})
        if not is_allowed_host(environ.get("HTTP_HOST"), self._services.settings.allowed_hosts):
            return Problem(400, "This Host is not served here (ALLOWED_HOSTS).", {})
        return None


@lru_cache(maxsize=512)
def is_allowed_host(host: str | None, allowed: tuple[str, ...]) -> bool:
    """Whether the Host header, its port left aside, is one of the allowed names.

    A page of a foreign name that resolves to our address (DNS rebinding) sends that name.
    """
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", host or "")
    if found is None:
        return False
    names = {name.lower().strip("[]") for name in allowed}
    return "*" in names or found[1].lower().strip("[]").removesuffix(".") in names


def _request_id(sent: str | None) -> str:
    return sent if sent and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", sent) else uuid4().hex


def _path(environ: dict[str, Any]) -> str:
    return str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")


def _record(environ: dict[str, Any], status: int, began: float) -> None:
    """Count and log the request. Labels are route templates: paths would make a series for each id."""
    method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in headers.METHODS else "other"
    facts = environ["pipemon.facts"]
    route = facts.get("route", "none")
    seconds = time.perf_counter() - began
    telemetry.count("http_requests_total", method=method, route=route, status=status)
    telemetry.observe("http_request_seconds", seconds, route=route)
    # A kept answer costs less than a line about it would: ten thousand dashboards must not fill the log.
    # Nor is what probes and scrapers ask all day.
    quiet = facts.get("cached") or route in ("/health", "/metrics")
    write = log.debug if quiet and status < 400 else log.info
    write(
        "request",
        method=method,
        path=_path(environ)[:500],
        route=route,
        status=status,
        milliseconds=round(seconds * 1000, 2),
        caller=facts.get("caller"),
        cached=facts.get("cached", False),
    )
