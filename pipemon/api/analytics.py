"""`/analytics`: numbers of a window of days, each with what it counted, what it left out, and the builds behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from pipemon.analytics.definition import Definition
from pipemon.analytics.definitions import DEFINITIONS
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.csv import AS_CSV, as_asked, columns_of, table_of
from pipemon.api.schemas import analytics as shapes
from pipemon.api.schemas import regressions as shifts
from pipemon.api.schemas import tables
from pipemon.api.schemas import window as arguments
from pipemon.api.schemas.failures import Signatures
from pipemon.api.schemas.window import to_window
from pipemon.api.services import services
from pipemon.domain.times import format_time
from pipemon.queries import analytics, recoveries, regressions, whole
from pipemon.queries import signatures as reasons

bp = Blueprint("analytics", __name__, url_prefix="/api/v1/analytics", description="Numbers that can be explained")

MARK_NAMES = ("since_build_id", "since_commit_sha", "until_build_id", "until_commit_sha")
TREND_NAMES = ["timestamp", "n", "success_rate", "failure_rate", "average_duration_minutes"]


@dataclass(frozen=True, slots=True)
class DefinitionList:
    """What `/analytics/definitions` answers."""

    definitions: Sequence[Definition]


@bp.get("/definitions")
@scope("read")
@bp.returns(shapes.DefinitionList)
def definitions() -> DefinitionList:
    """List what each number means."""
    return DefinitionList(DEFINITIONS)


@bp.get("/trends")
@scope("read")
@bp.takes(arguments.TrendTableArguments)
@bp.returns(shapes.Trends)
@bp.also(200, **AS_CSV)
def trends(wanted: dict[str, Any]) -> analytics.Trends | Response:
    """Show how rates and durations went, by hour, day or week."""
    found = analytics.trends(services().db, to_window(wanted))
    if wanted["format"] != "csv":
        return found
    lines = zip(found.success, found.failure, found.duration, strict=True)
    rows = ((format_time(a.timestamp), a.n, a.value, b.value, c.value) for a, b, c in lines)
    return table_of(TREND_NAMES, (dict(zip(TREND_NAMES, row, strict=True)) for row in rows), "trends")


@bp.get("/mttr")
@scope("read")
@bp.takes(arguments.ZonedTableArguments)
@bp.returns(tables.Recovery)
@bp.also(200, **AS_CSV)
def mttr(wanted: dict[str, Any]) -> recoveries.Recoveries | Response:
    """Show how soon red branches recovered, and which are red."""
    found = recoveries.recovery(services().db, to_window(wanted))
    return as_asked(wanted, found, tables.Recovery, "failure_incidents", "mttr")


@bp.get("/incidents")
@scope("read")
@bp.takes(arguments.TableArguments)
@bp.returns(tables.IncidentList)
@bp.also(200, **AS_CSV)
def incidents(wanted: dict[str, Any]) -> recoveries.Recoveries | Response:
    """List the red streaks that recovered in the window, and those that began in it and are open."""
    found = recoveries.recovery(services().db, to_window(wanted))
    return as_asked(wanted, found, tables.IncidentList, "incidents", "incidents")


@bp.get("/performance")
@scope("read")
@bp.takes(arguments.ZonedArguments)
@bp.returns(tables.Performance)
def performance(wanted: dict[str, Any]) -> whole.WholePerformance:
    """Show how long builds took and waited, and what took longest."""
    return whole.performance(services().db, to_window(wanted))


@bp.get("/regressions")
@scope("read")
@bp.takes(arguments.TableArguments)
@bp.returns(shifts.Regressions)
@bp.also(200, **AS_CSV)
def show_regressions(wanted: dict[str, Any]) -> regressions.Regressions | Response:
    """List workflows and jobs that became slower, waited longer or failed more often, from which run on."""
    found = regressions.regressions(services().db, to_window(wanted))
    if wanted["format"] != "csv":
        return found
    rows = shifts.Regressions().dump(found)["regressions"]
    told = ({**row, **_marks(row)} for row in rows)
    return table_of([*columns_of(shifts.Regression), *MARK_NAMES], told, "regressions")


def _marks(row: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{end}_{name}": (row[end] or {}).get(name) for end in ("since", "until") for name in ("build_id", "commit_sha")
    }


@bp.get("/failures")
@scope("read")
@bp.takes(arguments.ZonedArguments)
@bp.returns(tables.Failures)
def failures(wanted: dict[str, Any]) -> whole.WholeFailures:
    """Show what failed: by branch, by author, by job."""
    return whole.failures(services().db, to_window(wanted))


@bp.get("/failures/signatures")
@scope("read")
@bp.takes(arguments.TableArguments)
@bp.returns(Signatures)
@bp.also(200, **AS_CSV)
def signatures(wanted: dict[str, Any]) -> reasons.Signatures | Response:
    """Show why jobs failed: grouped by the errors in their logs, the most frequent first."""
    found = reasons.signatures(services().db, to_window(wanted))
    return as_asked(wanted, found, Signatures, "signatures", "signatures")


@bp.get("/workflows/comparison")
@scope("read")
@bp.takes(arguments.TableArguments)
@bp.returns(tables.Comparison)
@bp.also(200, **AS_CSV)
def comparison(wanted: dict[str, Any]) -> whole.BilledComparison | Response:
    """Show the workflows side by side."""
    found = whole.compare(services().db, to_window(wanted), dict(services().settings.runner_prices))
    return as_asked(wanted, found, tables.Comparison, "workflows", "comparison")
