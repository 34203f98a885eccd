"""The headers of every answer, of every status: what a browser may do with it."""

from collections.abc import Collection, Mapping
from typing import Any

Headers = list[tuple[str, str]]

METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key, X-Request-ID"
EXPOSED = "ETag, Link, Location, Retry-After, X-Request-ID, X-Pipemon-Demo"
PREFLIGHT_SECONDS = "600"
YEAR_SECONDS = 31_536_000

# Our pages (documentation, dashboard) send a policy of their own, and it is kept.
CSP = "default-src 'none'; frame-ancestors 'none'"


def complete(status: int, sent: Headers, environ: Mapping[str, Any], origins: Collection[str]) -> Headers:
    """Return the headers of an answer with all that must stand on it."""
    names = {name.lower() for name, _ in sent}
    if status >= 400:
        sent = [(name, value) for name, value in sent if name.lower() != "cache-control"]
    found = [
        *sent,
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-site"),
        ("Vary", "Origin"),
    ]
    if "content-security-policy" not in names:
        found.append(("Content-Security-Policy", CSP))
    if status >= 400 or "cache-control" not in names:
        found.append(("Cache-Control", "no-store"))
    if environ.get("wsgi.url_scheme") == "https":
        found.append(("Strict-Transport-Security", f"max-age={YEAR_SECONDS}"))
    return found + cors(environ, origins)


def cors(environ: Mapping[str, Any], origins: Collection[str]) -> Headers:
    """Return what lets a page of an allowed origin read the answer; nothing for any other, `null` included."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is None or origin not in origins or origin == "null":
        return []
    return [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]


def preflight(environ: Mapping[str, Any], origins: Collection[str]) -> Headers | None:
    """Return the answer's headers where the request is an allowed origin's preflight, else None."""
    is_preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    if not is_preflight or not cors(environ, origins):
        return None
    return [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", PREFLIGHT_SECONDS),
        ("Content-Length", "0"),
    ]
