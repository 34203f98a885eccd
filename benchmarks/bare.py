"""A bare WSGI application that sends what two files hold, a body and headers: what gunicorn itself costs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BODY = Path(os.environ["BARE_BODY"]).read_bytes() if "BARE_BODY" in os.environ else b""
HEADERS = [tuple(pair) for pair in json.loads(os.environ.get("BARE_HEADERS", "[]"))]


def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Send it."""
    start("200 OK", HEADERS)
    return [BODY]
