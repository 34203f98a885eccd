"""What the views need, wired by `app`, and the moment of the request that is being answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from flask import current_app, request

from config import Settings
from pipemon.ingest.intake import Intake
from pipemon.queries import freshness
from pipemon.queries.freshness import AsOf, Snapshot
from pipemon.store.engine import Database, DatabaseBusy

Health = Mapping[str, Mapping[str, str | None]]

# Where nothing refreshes the snapshot, a request does so itself when it is older than this.
MAX_AGE_SECONDS = 1.0
# These tell of a window alone: nothing in them moves between two minutes.
WINDOW_ONLY = ("/api/v1/pipeline/metrics", "/api/v1/analytics")


class SnapshotSource:
    """The newest known snapshot of the database, shared by all requests. `monotonic` measures its age."""

    def __init__(self, read: Callable[[], Snapshot], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._held: Snapshot | None = None
        self._read_at = 0.0

    def current(self) -> Snapshot:
        """Return the snapshot; no older than a second, unless the database is locked right now."""
        if self._held is not None and self._monotonic() - self._read_at < MAX_AGE_SECONDS:
            return self._held
        try:
            return self.refresh()
        except DatabaseBusy:
            if self._held is None:
                raise
            return self._held

    def refresh(self) -> Snapshot:
        """Read the snapshot anew and return it; what has not changed stays the same object."""
        found = self._read()
        self._read_at = self._monotonic()
        if self._held is None or not (found.equals(self._held) or _is_older(found, self._held)):
            self._held = found
        return self._held


def _is_older(found: Snapshot, held: Snapshot) -> bool:
    """Whether a read that began earlier ended later: who was just told of something must not be answered from it."""
    return found.epoch == held.epoch and (found.revision, found.last_id) < (held.revision, held.last_id)


@dataclass(frozen=True, slots=True)
class Services:
    """What `app` hands to the HTTP doors.

    `clock` is GitHub's time in Unix seconds. `health` tells each part's state (healthy, degraded, unhealthy,
    not_configured, unknown) and its cause; `limits` GitHub's rate limit as it was last told.
    """

    settings: Settings
    db: Database
    clock: Callable[[], float]
    snapshots: SnapshotSource
    health: Callable[[], Health]
    limits: Callable[[], Any]
    github: Any = None
    performer: Any = None  # of actions
    logs: Any = None  # where GitHub keeps them
    outbound: Any = None  # calls to other hosts
    notify: Any = None  # the channels, and the bell of the outbox
    wake: Callable[[], None] = lambda: None  # called when a delivery is committed
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "intake", Intake(self.db))


def services() -> Services:
    """Return the services of the current application."""
    return cast(Services, current_app.extensions["pipemon"])


@dataclass(frozen=True, slots=True)
class Moment:
    """The snapshot and the time that one request is answered for, so that its ETag and its body agree."""

    snapshot: Snapshot
    now: float

    def bucket_seconds(self, path: str, names: tuple[str, ...]) -> int:
        """Return the length of the time buckets of this path's answers about these repositories (none: all)."""
        return 5 if freshness.reach(self.snapshot, names).running and not path.startswith(WINDOW_ONLY) else 60

    def as_of(self, path: str, names: tuple[str, ...]) -> AsOf:
        """Return up to when an answer of this path about these repositories is true."""
        return freshness.as_of(self.snapshot, names, self.bucket_seconds(path, names), self.now)


def moment() -> Moment:
    """Return the moment of the current request."""
    found = request.environ.get("pipemon.moment")
    if found is None:
        own = services()
        found = request.environ["pipemon.moment"] = Moment(own.snapshots.current(), own.clock())
    return cast(Moment, found)


def as_of(names: tuple[str, ...] = ()) -> AsOf:
    """Return up to when the current request's answer about these repositories is true."""
    return moment().as_of(request.path.removesuffix("/"), names)
