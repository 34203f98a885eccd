"""`/webhooks`: what GitHub tells by itself."""

import re
from typing import Any

from flask import request

from pipemon import telemetry
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.errors import RETRY_AFTER_SECONDS, refuse
from pipemon.api.schemas import webhooks as shapes
from pipemon.api.services import services
from pipemon.github.errors import BadAnswer
from pipemon.github.webhook import EVENTS
from pipemon.ingest.intake import Arrival, Full, Receipt

bp = Blueprint("webhooks", __name__, url_prefix="/api/v1/webhooks", description="What GitHub tells by itself")

HEADERS = {
    "X-GitHub-Event": r"[a-z0-9_]{1,64}",
    "X-GitHub-Delivery": r"[A-Za-z0-9-]{1,64}",
    "X-Hub-Signature-256": r"sha256=[0-9a-f]{64}",
}
DESCRIBED: dict[str, Any] = {
    "parameters": [
        {"in": "header", "name": name, "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}
        for name, pattern in HEADERS.items()
    ],
    "requestBody": {
        "required": True,
        "description": "A delivery as GitHub sends it, at most 25 MiB.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
}


@bp.post("/github")
@scope("signature")
@bp.doc(**DESCRIBED)
@bp.returns(shapes.Receipt, 202, description="The delivery is committed: it will be applied, or is of no use here.")
@bp.also(200, shapes.Receipt, description="A delivery with this id was committed before.")
@bp.also(404, description="No webhook secret is set.")
@bp.also(413, description="The body is larger than 25 MiB.")
@bp.also(415, description="The body is not JSON, or compressed.")
def github() -> tuple[Receipt, int]:
    """Take a webhook delivery in. It is answered when it is stored, and applied right behind."""
    event, guid = _header("X-GitHub-Event"), _header("X-GitHub-Delivery")
    own = services()
    try:
        receipt = own.intake.take_in(Arrival(guid, event, request.get_data(cache=True), own.clock()))
    except BadAnswer:
        _count(event, "not JSON")
        refuse(400, "The body is not valid JSON.")
    except Full:
        _count(event, "full")
        refuse(503, "Too many deliveries wait.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    _count(event, receipt.status)
    if receipt.status != "ignored":
        own.wake()
    return receipt, 200 if receipt.status == "repeated" else 202


def _header(name: str) -> str:
    found = request.headers.get(name, "")
    if not re.fullmatch(HEADERS[name], found):
        refuse(400, f"The header {name} is missing or wrong.")
    return found


def _count(event: str, answer: str) -> None:
    # Whoever has the secret could make a series for each word that they think of.
    telemetry.count("webhook_deliveries_total", event=event if event in EVENTS else "other", answer=answer)
