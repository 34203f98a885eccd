"""A bare WSGI application that sends the bytes of a file: what gunicorn itself costs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BODY = Path(os.environ["BARE_BODY"]).read_bytes() if "BARE_BODY" in os.environ else b""


def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    """Send it."""
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]
