"""`/analytics/overview` and `/analytics/dora`: what a window's builds and deployments come to."""

from typing import Any

from flask import Response

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.csv import AS_CSV, columns_of, table_of
from pipemon.api.schemas import delivery as shapes
from pipemon.api.schemas.analytics import AnalyticsOverview
from pipemon.api.schemas.window import WeekArguments, to_window
from pipemon.api.services import services
from pipemon.queries import delivery, overview
from pipemon.queries.delivery import Delivers

bp = Blueprint("delivery", __name__, url_prefix="/api/v1/analytics", description="The four keys of delivery")

LEAD_NAMES = {"n": "lead_time_n", "median": "lead_time_minutes_median", "p90": "lead_time_minutes_p90"}
LEVEL_NAMES = {name: f"level_{name}" for name in shapes.Level().dump_fields}


def delivers() -> Delivers:
    """Return what the settings say of deployments."""
    settings = services().settings
    return Delivers(settings.production_environments, settings.backfill_days)


@bp.get("/overview")
@scope("read")
@bp.takes(WeekArguments)
@bp.returns(AnalyticsOverview)
def show_overview(wanted: dict[str, Any]) -> overview.FullOverview:
    """Show the numbers of a window, beside those of the window before."""
    return overview.overview(services().db, to_window(wanted), delivers())


@bp.get("/dora")
@scope("read")
@bp.takes(shapes.DoraArguments)
@bp.returns(shapes.Dora)
@bp.also(200, **AS_CSV)
def dora(wanted: dict[str, Any]) -> delivery.Delivery | Response:
    """Show the four keys of production, and of each environment with the evidence for every failure."""
    found = delivery.delivery(services().db, to_window(wanted), delivers(), wanted["environment"])
    if wanted["format"] != "csv":
        return found
    names = [*columns_of(shapes.EnvironmentKeys), *LEAD_NAMES.values(), *LEVEL_NAMES.values()]
    return table_of(names, map(_flat, shapes.Dora().dump(found)["environments"]), "dora")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return an environment's row with one value a cell."""
    lead, level = row["lead_time_minutes"] or {}, row["dora_level"] or {}
    times = {name: lead.get(part) for part, name in LEAD_NAMES.items()}
    return row | times | {name: level.get(part) for part, name in LEVEL_NAMES.items()}
