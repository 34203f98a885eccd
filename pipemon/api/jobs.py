"""`/analytics/flaky`, `queue` and `cost`: what a window's jobs tell."""

from typing import Any

from flask import Response

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.csv import AS_CSV, as_asked, columns_of, table_of
from pipemon.api.schemas import jobs as shapes
from pipemon.api.schemas.window import TableArguments, to_window
from pipemon.api.services import services
from pipemon.queries import cost, flaky, queue

bp = Blueprint("jobs", __name__, url_prefix="/api/v1/analytics", description="What jobs tell")


@bp.get("/flaky")
@scope("read")
@bp.takes(shapes.FlakyArguments)
@bp.returns(shapes.Flakiness)
@bp.also(200, **AS_CSV)
def show_flaky(wanted: dict[str, Any]) -> flaky.Flakiness | Response:
    """List the jobs that failed and succeeded on the same commit, the surest first."""
    found = flaky.flakiness(services().db, to_window(wanted))
    return as_asked(wanted, found, shapes.Flakiness, "flaky_jobs", "flaky")


@bp.get("/queue")
@scope("read")
@bp.takes(shapes.QueueArguments)
@bp.returns(shapes.Queues)
@bp.also(200, **AS_CSV)
def show_queue(wanted: dict[str, Any]) -> queue.Queues | Response:
    """Show how long jobs waited for a runner, by the labels that they asked for and by the hour of the day."""
    found = queue.queues(services().db, to_window(wanted))
    if wanted["format"] != "csv":
        return found
    told = shapes.Queues().dump(found)["labels"]
    rows = [{"labels": " ".join(one["labels"]), **hour} for one in told for hour in one["hours"]]
    return table_of(["labels", *columns_of(shapes.HourWaits)], rows, "queue")


@bp.get("/cost")
@scope("read")
@bp.takes(TableArguments)
@bp.returns(shapes.Cost)
@bp.also(200, **AS_CSV)
def show_cost(wanted: dict[str, Any]) -> cost.Cost | Response:
    """Estimate what the jobs cost, and how much of it was for nothing."""
    prices = dict(services().settings.runner_prices)
    return as_asked(wanted, cost.cost(services().db, to_window(wanted), prices), shapes.Cost, "workflows", "cost")
