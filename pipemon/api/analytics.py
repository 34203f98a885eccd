"""`/analytics`: numbers of a window of days, each with what it counted, what it left out, and the builds behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipemon.analytics.definitions import DEFINITIONS, Definition
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.schemas import analytics as shapes
from pipemon.api.schemas import window as arguments
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import as_of, services
from pipemon.queries import analytics
from pipemon.queries.window import DAY_SECONDS, UTC, Window

bp = Blueprint("analytics", __name__, url_prefix="/api/v1/analytics", description="Numbers that can be explained")


@dataclass(frozen=True, slots=True)
class DefinitionList:
    """What `/analytics/definitions` answers."""

    definitions: Sequence[Definition]


def to_window(wanted: Mapping[str, Any]) -> Window:
    """Return the window that the arguments of `WindowArguments` ask for, up to now."""
    names = tuple(wanted["repo"])
    until, days = as_of(names), wanted["lookback_days"]
    asked = to_scope(
        names,
        created_from=until.timestamp - days * DAY_SECONDS,
        created_to=until.timestamp,
        pull_requests=wanted["include_pull_requests"],
        **{name: wanted[name] for name in ("branch", "workflow", "event")},
    )
    return Window(asked, days, until, wanted.get("tz") or UTC, wanted.get("granularity") or "daily")


@bp.get("/definitions")
@scope("read")
@bp.returns(shapes.DefinitionList)
def definitions() -> DefinitionList:
    """List what each number means."""
    return DefinitionList(DEFINITIONS)


@bp.get("/overview")
@scope("read")
@bp.takes(arguments.WeekArguments)
@bp.returns(shapes.AnalyticsOverview)
def overview(wanted: dict[str, Any]) -> analytics.Overview:
    """Show the numbers of a window, beside those of the window before."""
    return analytics.overview(services().db, to_window(wanted))


@bp.get("/trends")
@scope("read")
@bp.takes(arguments.TrendArguments)
@bp.returns(shapes.Trends)
def trends(wanted: dict[str, Any]) -> analytics.Trends:
    """Show how rates and durations went, by hour, day or week."""
    return analytics.trends(services().db, to_window(wanted))
