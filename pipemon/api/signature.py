"""The guard of routes that GitHub calls: its signature over the bytes of the body stands in a key's place."""

import threading

import gevent
from flask import request

from pipemon.api.errors import refuse
from pipemon.api.services import services
from pipemon.github import webhook

# Larger bodies are read a few at a time, so that whoever has no secret can't fill the memory with them.
LARGE_BYTES = 1024 * 1024
MOST_LARGE = 4
RETRY_AFTER_SECONDS = 10

_large = threading.BoundedSemaphore(MOST_LARGE)


def check() -> None:
    """Let a signed delivery pass; end the request with 404 (no secret is set), 413, 415, 401, or 503 (too many)."""
    secrets = services().settings.github_webhook_secret
    if not secrets:
        refuse(404, "There are no webhooks here: GITHUB_WEBHOOK_SECRET is not set.")
    if (request.content_length or 0) > webhook.LARGEST_BYTES:
        _refuse_size()
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        refuse(415, "Send the body uncompressed.")
    if request.mimetype != "application/json":
        refuse(415, "Send JSON: on GitHub, choose the content type application/json for this webhook.")
    # WSGI hands headers over as Latin-1, whatever was in them.
    signature = request.environ.get("HTTP_X_HUB_SIGNATURE_256", "").encode("latin-1", "replace")
    if not webhook.may_be_signed(signature) or not _holds(signature):
        refuse(401, "The signature is missing or wrong.", headers={"WWW-Authenticate": "X-Hub-Signature-256"})


def _holds(signature: bytes) -> bool:
    """Read the body, bounded, and check it; large ones are summed up in a native thread, off the hub."""
    secrets = services().settings.github_webhook_secret
    request.max_content_length = webhook.LARGEST_BYTES
    length = request.content_length
    if length is not None and length <= LARGE_BYTES:
        return webhook.is_signed(request.get_data(cache=True), signature, secrets)
    if not _large.acquire(blocking=False):
        refuse(503, "Other large bodies are being read.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    try:
        body = request.get_data(cache=True)
        if length is None and len(body) >= webhook.LARGEST_BYTES:
            _refuse_size()
        found: bool = gevent.get_hub().threadpool.apply(webhook.is_signed, (body, signature, secrets))
        return found
    finally:
        _large.release()


def _refuse_size() -> None:
    refuse(413, f"The body is larger than {webhook.LARGEST_BYTES} bytes.")
