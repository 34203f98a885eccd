"""How pipemon itself is, part by part: what `/health` shows, and what it tells people of itself."""

from collections.abc import Callable, Mapping
from typing import Any

from pipemon.api.channels import channel_status
from pipemon.background import Background
from pipemon.github.client import GitHub
from pipemon.notify.channel import Channel
from pipemon.store import deployments, notifications, repositories
from pipemon.store.engine import Database
from pipemon.store.engine import DatabaseError as StoreError

# A round takes seconds.
STILL_SECONDS = 120


def make_health(
    db: Database,
    github: GitHub,
    background: Background,
    channels: Mapping[str, Channel],
    told_age_seconds: Callable[[], float | None] = lambda: None,
) -> Callable[[], dict[str, dict[str, str | None]]]:
    """Return the function that says, per part, how it is and why. `told_age_seconds`: since people were told last."""

    def health() -> dict[str, dict[str, str | None]]:
        try:
            with db.read() as conn:
                watched, closed = repositories.list_errors(conn), deployments.list_troubles(conn)
                known = {row.name: row for row in notifications.list_channels(conn)}
        except StoreError as error:
            return _blind(str(error))
        return {
            "database": {"state": "healthy", "cause": None},
            "github": _github_health(github, watched, closed),
            "scheduler": _scheduler_health(background, told_age_seconds()),
            "slack": _slack_health(known, channels),
        }

    return health


def trouble_in(health: Mapping[str, Mapping[str, str | None]]) -> str | None:
    """Return why nothing new is seen, None while all is read as planned."""
    parts = (health[name] for name in ("github", "scheduler"))
    return next((part["cause"] or part["state"] for part in parts if part["state"] not in ("healthy", "unknown")), None)


def _slack_health(known: Mapping[str, Any], channels: Mapping[str, Channel]) -> dict[str, str | None]:
    state = channel_status(known, channels, "slack")
    causes = [
        f"{name}: {row.disabled_why or row.last_error}" for name, row in sorted(known.items()) if name in channels
    ]
    return {"state": state, "cause": "; ".join(causes) if state in ("degraded", "unhealthy") else None}


def _blind(why: str) -> dict[str, dict[str, str | None]]:
    """Return what can be said while the database can't be read."""
    found: dict[str, dict[str, str | None]] = {"database": {"state": "unhealthy", "cause": why}}
    for name in ("github", "scheduler", "slack"):
        found[name] = {"state": "unknown", "cause": "the database can't be read"}
    return found


def _github_health(
    github: GitHub, watched: list[tuple[str, str | None]], closed: list[tuple[str, str]]
) -> dict[str, str | None]:
    failing = [(name, error) for name, error in watched if error is not None]
    if github.trouble is not None:
        return {"state": "degraded", "cause": github.trouble}
    if not failing:
        # Runs stand in for deployments: nothing is wrong, but somebody may want to know.
        why = f"deployments of {len(closed)} repositories not read; {closed[0][0]}: {closed[0][1]}" if closed else None
        return {"state": "healthy", "cause": why}
    name, error = failing[0]
    return {"state": "degraded", "cause": f"{len(failing)} of {len(watched)} repositories not read; {name}: {error}"}


def _scheduler_health(background: Background, told_age: float | None) -> dict[str, str | None]:
    age = background.tick_age_seconds()
    if age is None:
        return {"state": "healthy", "cause": None if background.leads else "another process reads GitHub"}
    if age > STILL_SECONDS:
        return {"state": "degraded", "cause": f"the last round of reading ended {round(age)} s ago"}
    if background.leads and told_age is not None and told_age > STILL_SECONDS:
        return {"state": "degraded", "cause": f"nobody is told anything: the last round ended {round(told_age)} s ago"}
    return {"state": "healthy", "cause": None}
