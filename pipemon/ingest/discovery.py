"""Watching all that an owner has: the list is read anew each hour."""

from collections.abc import Callable

from pipemon import telemetry
from pipemon.github.errors import GitHubError
from pipemon.ingest.reader import Deps
from pipemon.store import repositories

log = telemetry.logger(__name__)

DISCOVER_SECONDS = 3600
AGAIN_SECONDS = 60


class Discovery:
    """Finds the repositories of an owner (None: of nobody). `clock` gives seconds for intervals."""

    def __init__(self, deps: Deps, owner: str | None, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._owner = owner
        self._clock = clock
        self._due_at = 0.0

    def step(self) -> None:
        """Watch all that the owner has now, if it is time; where GitHub can't say, those of before stay watched."""
        if self._owner is None or self._clock() < self._due_at:
            return
        try:
            names = [repo.name for repo in self._deps.github.owned_repositories(self._owner)]
        except GitHubError as error:
            log.warning("repositories not listed", owner=self._owner, error=str(error))
            self._due_at = self._clock() + AGAIN_SECONDS
            return
        self._due_at = self._clock() + DISCOVER_SECONDS
        if not names:
            # A token that lost its rights is shown an empty list, and no error.
            log.warning("no repository is listed, those of before stay watched", owner=self._owner)
            return
        self._deps.transact(lambda conn: repositories.watch(conn, names))
