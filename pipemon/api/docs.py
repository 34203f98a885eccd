"""What is sent as it lies in `static`: the browser client, and the documentation's pages.

The pages are vendored viewers of /openapi.json, which work with no internet under a strict policy.
"""

from pathlib import Path

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from pipemon.api.auth import scope

STATIC = Path(__file__).parents[1] / "static"
# Scripts are ours alone. Both viewers write styles into the page, and Redoc searches in a worker made of a blob.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
# A vendored folder carries its version in its name, so its files never change.
CACHE_SECONDS = {"vendor": 31_536_000, "docs": 300, "client": 300}
# Not the machine's own table: a browser runs no module under a type that some host made up.
MIMETYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
# What there is to send: a name that is not here is a 404, whatever it spells.
FILES = {str(path.relative_to(STATIC)): path for path in STATIC.rglob("*") if path.is_file()}

bp = Blueprint("docs", __name__)


@bp.get("/docs")
@scope("read")
def swagger() -> Response:
    """Show the API in Swagger UI."""
    return _page("swagger.html")


@bp.get("/redoc")
@scope("read")
def redoc() -> Response:
    """Show the API in Redoc."""
    return _page("redoc.html")


@bp.get("/static/<path:name>")
@scope("none")
def file(name: str) -> Response:
    """Send a file of the pages, one of the vendored viewers, or the client for browsers."""
    if name not in FILES:
        raise NotFound
    sent = Response(FILES[name].read_bytes(), mimetype=MIMETYPES.get(FILES[name].suffix, "text/plain"))
    sent.cache_control.public = True
    sent.cache_control.max_age = CACHE_SECONDS[name.partition("/")[0]]
    return sent


def _page(name: str) -> Response:
    page = Response(FILES[f"docs/{name}"].read_bytes(), mimetype="text/html")
    page.headers["Content-Security-Policy"] = CSP
    page.headers["Cache-Control"] = "private, no-cache"
    return page
