"""`/events`: the event log for those who follow it without a socket."""

from typing import Any

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.schemas import events as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import as_of, services
from pipemon.queries import events

bp = Blueprint("events", __name__, url_prefix="/api/v1/events", description="What happened, in order")


@bp.get("")
@scope("read")
@bp.takes(shapes.EventsArguments)
@bp.returns(shapes.EventPage)
def index(wanted: dict[str, Any]) -> events.EventPage:
    """List events in the order of their ids; ask again after `last_event_id` to follow the log without a gap."""
    names = tuple(wanted["repo"])
    asked = to_scope(names).repositories.values()
    return events.list_after(services().db, wanted["after"], wanted["limit"], wanted["types"], asked, as_of(names))
