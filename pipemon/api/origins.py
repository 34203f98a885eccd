"""Whose page sends a request: a browser tells, and can't be made to lie by the page."""

from urllib.parse import urlsplit

from flask import request

from pipemon.api.services import services


def is_ours(origin: str) -> bool:
    """Whether a page of this origin is a configured one, or one that this server itself has given out."""
    settings = services().settings
    if origin in settings.allowed_origins:
        return True
    own = {f"{request.scheme}://{request.host}".lower(), (settings.public_url or "").lower().rstrip("/")}
    parts = urlsplit(origin)
    return f"{parts.scheme}://{parts.netloc}".lower() in own
