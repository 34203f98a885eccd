"""The root, `/health`, `/metrics` and the description of this interface."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Response, current_app, request

from pipemon import VERSION, telemetry
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import UnknownKey, identify, scope
from pipemon.api.schemas import system as shapes
from pipemon.api.services import Health, services
from pipemon.queries import freshness
from pipemon.store.engine import DatabaseError

bp = Blueprint("system", __name__, description="The service itself")

PARTS = ("database", "github", "scheduler", "slack")
NOTHING: Mapping[str, str | None] = {"state": "unknown", "cause": None}


@dataclass(frozen=True, slots=True)
class Root:
    """What the root answers."""

    message: str = "pipemon watches GitHub Actions pipelines"
    version: str = VERSION
    status: str = "running"
    docs: str = "/docs"
    dashboard: str | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """The state of each part, in one word."""

    database: str
    github: str
    scheduler: str
    slack: str


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What `/health` answers. `causes` is None to those who may not read."""

    status: str
    checks: Checks
    causes: dict[str, str] | None
    timestamp: int
    data_state: str
    service: str = "pipemon"
    version: str = VERSION


@bp.get("/")
@scope("none")
@bp.returns(shapes.Root)
def root() -> Root:
    """Say what this is."""
    return Root()


@bp.get("/health")
@scope("none")
@bp.returns(shapes.Health)
@bp.also(503, shapes.Health, description="The database can't be used.")
def health() -> tuple[HealthAnswer, int]:
    """Say how each part is; why, to those who may read. 503 only where the database can't be used."""
    states = services().health()
    words = {name: str(states.get(name, NOTHING)["state"]) for name in PARTS}
    usable = words["database"] != "unhealthy"
    data_state = _data_state() if usable else "never"
    if data_state is None:
        usable, words["database"], data_state = False, "unhealthy", "never"
    answer = HealthAnswer(
        status=_overall(words, data_state) if usable else "unhealthy",
        checks=Checks(**words),
        causes=_causes(states) if _may_read() else None,
        timestamp=int(services().clock()),
        data_state=data_state,
    )
    return answer, 200 if usable else 503


@bp.get("/metrics")
@scope("read")
@bp.returns({"type": "string"}, content_type="text/plain", description="Prometheus' text format.")
def metrics() -> Response:
    """Show pipemon's own numbers, for Prometheus."""
    return Response(telemetry.metrics_text(), content_type="text/plain; version=0.0.4; charset=utf-8")


@bp.get("/openapi.json")
@scope("read")
@bp.returns({"type": "object"}, description="This document.")
def openapi() -> Response:
    """Show the description of this interface (OpenAPI 3.1)."""
    return _document("pipemon.openapi")


@bp.get("/asyncapi.json")
@scope("read")
@bp.returns({"type": "object"}, description="The WebSocket's description.")
def asyncapi() -> Response:
    """Show the description of the WebSocket `/ws` (AsyncAPI 3.0)."""
    return _document("pipemon.asyncapi")


def _document(name: str) -> Response:
    headers = {"Cache-Control": "private, no-cache"}
    return Response(current_app.extensions[name], headers=headers, content_type="application/json")


def _data_state() -> str | None:
    """Return how far the data can be trusted; None where the database can't be read."""
    try:
        snapshot = services().snapshots.refresh()
    except DatabaseError:
        return None
    return freshness.as_of(snapshot, (), 60, services().clock()).data_state


def _overall(words: Mapping[str, str], data_state: str) -> str:
    """Return healthy only where every part is, and the data is as new as planned: unknown is never shown as green."""
    good = all(word in ("healthy", "not_configured") for word in words.values())
    return "healthy" if good and data_state == "fresh" else "degraded"


def _causes(states: Health) -> dict[str, str]:
    return {name: cause for name in PARTS if (cause := states.get(name, NOTHING)["cause"]) is not None}


def _may_read() -> bool:
    try:
        return identify(request.environ, services().settings).may("read")
    except UnknownKey:
        return False
