"""What may come in a request's body: JSON, small, shallow, uncompressed."""

from flask import Flask, request

from pipemon.api.auth import SIGNATURE
from pipemon.api.errors import refuse
from pipemon.api.origins import is_ours

LARGEST_BYTES = 64 * 1024
DEEPEST = 32


def register(app: Flask) -> None:
    """Check every body before a view reads it."""
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BYTES

    @app.before_request
    def check() -> None:
        if request.url_rule is None:
            return
        if getattr(app.view_functions[request.url_rule.endpoint], "scope", None) == SIGNATURE:
            return  # read, bounded and found right already: it has rules of its own
        too_large = f"The body is larger than {LARGEST_BYTES} bytes."
        if (request.content_length or 0) > LARGEST_BYTES:
            refuse(413, too_large)
        if request.method not in ("POST", "PUT", "PATCH", "DELETE"):
            return
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            refuse(415, "Send the body uncompressed.")
        # Reading stops at the cap; Werkzeug does not say whether a body without a length had come to its end there.
        body = request.get_data(cache=True)
        if request.content_length is None and len(body) >= LARGEST_BYTES:
            refuse(413, too_large)
        if _needs_type(body) and request.mimetype != "application/json":
            refuse(415, "Send JSON, as application/json.")
        if too_deep(body):
            refuse(400, "The JSON is nested too deeply.")


def _needs_type(body: bytes) -> bool:
    """Whether the type must be JSON: a page of another origin can post a form, plain text or nothing without asking.

    A proxy may add the key to whatever it passes on. Nothing, without a type, is taken from our own pages and programs.
    """
    if request.method == "DELETE":
        return bool(body)
    origin = request.headers.get("Origin")
    return bool(body) or bool(request.mimetype) or not (origin is None or is_ours(origin))


def too_deep(body: bytes) -> bool:
    """Whether brackets are open to more than the allowed depth; those inside texts don't count."""
    depth, in_text, escaped = 0, False, False
    for byte in body:
        if in_text:
            escaped, in_text = byte == 0x5C and not escaped, byte != 0x22 or escaped
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            if depth > DEEPEST:
                return True
        elif byte in b"]}":
            depth -= 1
    return False
