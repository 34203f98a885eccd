"""Whether GitHub's deliveries tell what changes in a repository: then polling only has to reconcile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipemon import telemetry
from pipemon.domain.merge import status_rank
from pipemon.domain.runs import Run
from pipemon.store import runs
from pipemon.store.engine import Database

log = telemetry.logger(__name__)

# Deliveries of both kinds within this time are trusted: a change that none tells ends it at once.
TRUST_SECONDS = 3600.0
# After such a change it takes this long without another.
MISTRUST_SECONDS = 600.0
# GitHub's deliveries come some seconds after the change.
LATE_SECONDS = 30
NEEDED = ("workflow_run", "workflow_job")
NEVER = float("-inf")


@dataclass(slots=True)
class _Memory:
    run_at: float = NEVER
    job_at: float = NEVER
    missed_at: float = NEVER


class Told:
    """Remembers, per repository, when deliveries came and when one was missing; lost at a restart without harm."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._memories: dict[int, _Memory] = {}
        self._moved: set[int] = set()
        self.behind_seconds = 0.0  # how old the oldest delivery is that waits to be applied

    def note(self, repository_id: int, event: str) -> None:
        """Note that a delivery of this event was applied."""
        self._moved.add(repository_id)
        memory = self._memories.setdefault(repository_id, _Memory())
        if event == "workflow_run":
            memory.run_at = self._clock()
        elif event == "workflow_job":
            memory.job_at = self._clock()

    def take_moved(self) -> set[int]:
        """Return the repositories of which deliveries were applied since the last call."""
        moved, self._moved = self._moved, set()
        return moved

    def misses(self, db: Database, repository_id: int, seen: Sequence[Run], as_of: int) -> bool:
        """Whether a read shows a change that a delivery should have told: then none is relied on for a while."""
        with db.read() as conn:
            stored = runs.load_runs(conn, [run.id for run in seen])
        if not any(is_untold(run, stored.get(run.id), as_of, self.behind_seconds) for run in seen):
            return False
        log.info("a delivery is missing", repository_id=repository_id)
        self._memories.setdefault(repository_id, _Memory()).missed_at = self._clock()
        return True

    def holds(self, repository_id: int) -> bool:
        """Whether deliveries can be relied on: runs and jobs are told, and nothing was missing lately."""
        memory = self._memories.get(repository_id)
        if memory is None:
            return False
        now = self._clock()
        return now - min(memory.run_at, memory.job_at) < TRUST_SECONDS and now - memory.missed_at >= MISTRUST_SECONDS


def is_untold(seen: Run, stored: Run | None, as_of: int, behind_seconds: float = 0.0) -> bool:
    """Whether what a read shows of a run should have been told by a delivery before now, and was not.

    A run that waits or queues again is never told: only its beginning, its start and its end are.
    """
    if seen.updated_at > as_of - LATE_SECONDS - behind_seconds:
        return False
    if stored is None:
        return True
    rank = status_rank(seen.status)
    return rank >= 2 and (seen.run_attempt, rank) > (stored.run_attempt, status_rank(stored.status))
