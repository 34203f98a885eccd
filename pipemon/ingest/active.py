"""Runs under way are read by id: lists go stale, and a run that vanishes must be told from one that is hidden."""

from collections.abc import Callable

from pipemon import telemetry
from pipemon.domain.runs import JobList
from pipemon.github.errors import BadAnswer, Gone, NotFound, Refused
from pipemon.ingest.apply import Batch, Sighting
from pipemon.ingest.reader import Deps, etag_of
from pipemon.store import runs
from pipemon.store.repositories import Watched
from pipemon.store.runs import Unfinished

log = telemetry.logger(__name__)

# Of one repository in one go; the one read longest ago comes first, so that each has its turn.
MOST_READS = 20


class ActiveRuns:
    """Reads unfinished runs, and their jobs, by id at a bounded rate."""

    def __init__(self, deps: Deps, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._clock = clock
        self._read_at: dict[int, float] = {}

    def read(self, repo: Watched, detail_seconds: float) -> None:
        """Read those of the repository's unfinished runs that were not read for `detail_seconds`."""
        with self._deps.db.read() as conn:
            unfinished = runs.list_unfinished(conn, repo.id)
        now = self._clock()
        due = [run for run in unfinished if now - self._read_at.get(run.run_id, float("-inf")) >= detail_seconds]
        for run in sorted(due, key=lambda run: self._read_at.get(run.run_id, 0.0))[:MOST_READS]:
            # Before the reading: one that can't be read must not come first again.
            self._read_at[run.run_id] = now
            try:
                self._read_one(repo, run)
            except (BadAnswer, Refused) as error:
                log.warning("run not read", repository=repo.name, run=run.run_id, error=str(error))
        if len(self._read_at) > 10 * MOST_READS:
            self._read_at = {
                run_id: at for run_id, at in self._read_at.items() if now - at < 10 * detail_seconds + 3600
            }

    def suspect(self, repo: Watched, run_id: int) -> None:
        """Read a run that a list did not show: that proves nothing (G14), only an answer by its own address does."""
        try:
            found = self._deps.github.run(repo.name, run_id).run
        except (NotFound, Gone):
            self._deps.apply(Batch(repo.id, repo.live_since, missing=(run_id,)))
            return
        if found is not None:
            self._deps.apply(Batch(repo.id, repo.live_since, runs=(Sighting(found, by_id=True),)))

    def _read_one(self, repo: Watched, known: Unfinished) -> None:
        key = f"{repo.name}/runs/{known.run_id}"
        jobs_key = f"{key}/attempts/{known.run_attempt}/jobs"
        applied = self._deps.applied_etags([key, jobs_key])
        # A run under suspicion is read whole: a 304 alone would not take the suspicion back.
        etag = applied.get(key) if known.missing_since is None else None
        try:
            answer = self._deps.github.run(repo.name, known.run_id, applied_etag=etag)
            batch = Batch(repo.id, repo.live_since, etags=etag_of(key, answer.etag))
            if answer.run is not None:
                batch = Batch(repo.id, repo.live_since, runs=(Sighting(answer.run, by_id=True),), etags=batch.etags)
                self._deps.apply(batch)
        except (NotFound, Gone):
            self._not_found(repo, known)
            return
        if known.status != "completed":
            self._read_jobs(repo, known, jobs_key, applied.get(jobs_key))

    def _read_jobs(self, repo: Watched, known: Unfinished, key: str, etag: str | None) -> None:
        """Read the jobs of the attempt under way; a run that has just been queued may have none to show yet."""
        try:
            answer = self._deps.github.jobs(repo.name, known.run_id, known.run_attempt, live=True, applied_etag=etag)
        except (NotFound, Gone):
            return
        if not answer.unchanged:
            jobs = answer.jobs or JobList(known.run_id, known.run_attempt, ())
            self._deps.apply(Batch(repo.id, repo.live_since, jobs=(jobs,), etags=etag_of(key, answer.etag)))

    def _not_found(self, repo: Watched, known: Unfinished) -> None:
        """Suspect it at the first 404; set the tombstone at the second, while the repository itself answers (I9)."""
        if known.missing_since is None:
            self._deps.apply(Batch(repo.id, repo.live_since, missing=(known.run_id,)))
            return
        self._deps.github.repository(repo.name)
        log.info("run is gone on GitHub", repository=repo.name, run=known.run_id)
        self._deps.apply(Batch(repo.id, repo.live_since, gone=(known.run_id,)))
