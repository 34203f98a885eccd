"""`/audit`: every write and every refusal, begun before anything is done."""

import time
from collections import deque
from typing import Any

from flask import Flask, Response, request

from pipemon import telemetry
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import READING, scope
from pipemon.api.schemas import audit as shapes
from pipemon.api.services import services
from pipemon.queries import audit as queries
from pipemon.queries.audit import AuditPage
from pipemon.store import audit
from pipemon.store.engine import DatabaseError

log = telemetry.logger(__name__)

bp = Blueprint("audit", __name__, url_prefix="/api/v1/audit", description="Who did what")

# Anybody can be refused, and as often as they like: so many a minute are recorded one by one, the rest counted.
MOST_REFUSALS_A_MINUTE = 60
REFUSED = (401, 403)


@bp.get("")
@scope("admin")
@bp.takes(shapes.AuditArguments)
@bp.returns(shapes.AuditPage)
def index(wanted: dict[str, Any]) -> tuple[AuditPage, dict[str, str]]:
    """List who wrote or was refused what, newest first."""
    own = services()
    page = queries.list_before(
        own.db, wanted["before"], wanted["limit"], wanted["caller"], wanted["outcome"], int(own.clock())
    )
    return page, {"Cache-Control": "no-store"}


def register(app: Flask) -> None:
    """Record every write of a route that takes operate or admin, and every refusal of a key."""
    recent: deque[float] = deque(maxlen=MOST_REFUSALS_A_MINUTE)

    @app.before_request
    def begin() -> None:
        if request.method not in READING and _scope(app) in ("operate", "admin"):
            # Before anything is done: where it can't be recorded, it is not done.
            request.environ["pipemon.facts"]["audit"] = services().db.transact(lambda conn: audit.begin(conn, _entry()))

    @app.after_request
    def close(answer: Response) -> Response:
        facts = request.environ["pipemon.facts"]
        begun = facts.get("audit")
        if begun is None:
            if answer.status_code not in REFUSED or _scope(app) in (None, "none", "signature"):
                return answer
            if not _has_room(recent):
                telemetry.count("audit_refusals_left_out_total")
                return answer
        _close(begun, answer.status_code, facts.get("problem"))
        return answer


def _scope(app: Flask) -> str | None:
    rule = request.url_rule
    return None if rule is None else getattr(app.view_functions[rule.endpoint], "scope", None)


def _entry() -> audit.Entry:
    environ = request.environ
    return audit.Entry(
        int(services().clock()),
        environ["pipemon.facts"].get("caller") or "unknown",
        request.remote_addr,
        request.method,
        request.path,
        environ["pipemon.request_id"],
    )


def _has_room(recent: "deque[float]") -> bool:
    now = time.monotonic()
    if len(recent) == recent.maxlen and now - recent[0] < 60:
        return False
    recent.append(now)
    return True


def _close(begun: int | None, status: int, why: str | None) -> None:
    outcome = "done" if status < 400 else "failed" if status >= 500 else "refused"

    def work(conn: Any) -> None:
        row = begun if begun is not None else audit.begin(conn, _entry())
        audit.close(conn, row, outcome, status, why)

    try:
        services().db.transact(work)
    except DatabaseError as error:
        # What was done can't be taken back; its row stays begun, and the log has the rest.
        log.error("not recorded in the audit", audit=begun, outcome=outcome, status=status, cause=str(error))
