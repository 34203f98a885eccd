"""`/pipeline`: how things stand, for a screen on the wall."""

from dataclasses import dataclass
from typing import Any

from pipemon.api.arguments import Blueprint
from pipemon.api.auth import scope
from pipemon.api.schemas import pipeline as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import as_of, moment, services
from pipemon.queries import pipeline, runs
from pipemon.queries.deployments import DeploymentRule
from pipemon.queries.freshness import AsOf, RepositoryFreshness
from pipemon.queries.scope import Scope

bp = Blueprint("pipeline", __name__, url_prefix="/api/v1/pipeline", description="How the pipeline stands")

DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class RateLimit:
    """GitHub's rate limit as it was last told."""

    limit: int | None = None
    remaining: int | None = None
    reset_at: int | None = None


@dataclass(frozen=True, slots=True)
class RepositorySync:
    """How far the reading of one repository has come."""

    name: str
    interval_seconds: int | None
    last_success_at: int | None
    data_state: str


@dataclass(frozen=True, slots=True)
class Sync:
    """How far the reading of all asked repositories has come; its moment is the oldest of theirs."""

    last_success_at: int | None
    lag_seconds: int | None
    rate_limit: RateLimit
    repositories: tuple[RepositorySync, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """What `/pipeline/status` answers."""

    pipeline: pipeline.Status
    sync: Sync


@bp.get("/overview")
@scope("read")
@bp.takes(shapes.OverviewArguments)
@bp.returns(shapes.Overview)
def overview(wanted: dict[str, Any]) -> pipeline.Overview:
    """Show the pipeline's state, its queue, its running builds and newest deployments, and its rates of a window."""
    own, until = services(), as_of(tuple(wanted["repo"]))
    settings = own.settings
    rule = DeploymentRule(settings.deployment_workflows, settings.deployment_branches)
    return pipeline.overview(own.db, _window(wanted, until), rule, until)


@bp.get("/status")
@scope("read")
@bp.takes(shapes.StatusArguments)
@bp.returns(shapes.Status)
def status(wanted: dict[str, Any]) -> Status:
    """Show the pipeline's state by its jobs, and how far the reading of GitHub has come."""
    names = tuple(wanted["repo"])
    until = as_of(names)
    return Status(pipeline.status(services().db, to_scope(names), until), _sync(names, until))


@bp.get("/metrics")
@scope("read")
@bp.takes(shapes.MetricsArguments)
@bp.returns(shapes.Metrics)
def metrics(wanted: dict[str, Any]) -> pipeline.Metrics:
    """Show how the completed builds of a window ended and how long they took."""
    until = as_of(tuple(wanted["repo"]))
    return pipeline.metrics(services().db, _window(wanted, until), wanted["lookback_minutes"] / DAY_MINUTES, until)


@bp.get("/recent")
@scope("read")
@bp.takes(shapes.RecentArguments)
@bp.returns(shapes.Recent)
def recent(wanted: dict[str, Any]) -> runs.Page:
    """List the newest builds."""
    names = tuple(wanted["repo"])
    return runs.page(services().db, runs.Wanted(to_scope(names), per_page=wanted["limit"]), as_of(names))


def _window(wanted: dict[str, Any], until: AsOf) -> Scope:
    created_from = until.timestamp - wanted["lookback_minutes"] * 60
    return to_scope(tuple(wanted["repo"]), created_from=created_from, created_to=until.timestamp)


def _sync(names: tuple[str, ...], until: AsOf) -> Sync:
    now = moment().now
    asked = [one for one in moment().snapshot.repositories if not names or one.name in names]
    read = [one.last_success_at for one in asked if one.last_success_at is not None]
    limits = services().limits()
    limit = RateLimit() if limits is None else RateLimit(limits.limit, limits.remaining, limits.reset_at)
    return Sync(min(read, default=None), until.lag_seconds, limit, tuple(_repository(one, now) for one in asked))


def _repository(one: RepositoryFreshness, now: float) -> RepositorySync:
    return RepositorySync(one.name, one.interval_seconds, one.last_success_at, one.data_state(now))
