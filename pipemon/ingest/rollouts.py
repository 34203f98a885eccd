"""Reading deployments: one conditional list per repository, then the statuses and commits of those that have moved."""

from collections.abc import Callable
from dataclasses import replace

from pipemon import telemetry
from pipemon.domain.deployments import Deploying, Deployment
from pipemon.github.deployments import DeploymentsPage
from pipemon.github.errors import BadAnswer, Gone, NotFound, PermissionMissing
from pipemon.ingest.apply import Batch
from pipemon.ingest.deployed import Deployed
from pipemon.ingest.reader import Deps, etag_of
from pipemon.store import deployments, stand_ins
from pipemon.store.repositories import Watched

log = telemetry.logger(__name__)

ACTIVE_SECONDS = 30.0
IDLE_SECONDS = 300.0
# There is more to read than one turn may take.
MORE_SECONDS = 5.0
# A token that may not read deployments is asked again after this long: somebody may have mended it.
FORBIDDEN_SECONDS = 3600.0
STATUSES_AT_ONCE = 10
COMMITS_AT_ONCE = 5
MOST_PAGES = 20
STAND_INS_AT_ONCE = 500


class Rollouts:
    """Reads the deployments of the watched repositories, each in its time. `clock` gives seconds for intervals."""

    def __init__(
        self, deps: Deps, clock: Callable[[], float], backfill_days: int = 90, deploying: Deploying = Deploying()
    ) -> None:
        self._deps = deps
        self._deploying = deploying
        self._clock = clock
        self._backfill_days = backfill_days
        self._due_at: dict[int, float] = {}

    def read(self, repo: Watched, active: bool) -> None:
        """Read a repository's deployments if they are due. Raises GitHubError, save where it concerns these alone."""
        if self._clock() < self._due_at.get(repo.id, 0.0):
            return
        try:
            more = self._read(repo)
        except (PermissionMissing, NotFound, Gone) as error:
            # Runs are read by another permission: what they tell of deployments stands in.
            log.warning("deployments not read", repository=repo.name, error=str(error))
            why = str(error)
            self._deps.transact(lambda conn: deployments.record_trouble(conn, repo.id, why))
            pause = FORBIDDEN_SECONDS
        except BadAnswer as error:
            log.warning("deployments not read", repository=repo.name, error=str(error))
            pause = IDLE_SECONDS
        else:
            pause = MORE_SECONDS if more else ACTIVE_SECONDS if active else IDLE_SECONDS
        self._due_at[repo.id] = self._clock() + pause
        self._stand_in(repo)

    def _stand_in(self, repo: Watched) -> None:
        """Let runs that deploy stand in where GitHub knows of no deployments; once it does, forget them."""
        with self._deps.db.read() as conn:
            has_own, standing = stand_ins.has_own(conn, repo.id), stand_ins.count(conn, repo.id)
            wanted = [] if has_own else stand_ins.list_missing(conn, repo.id, self._deploying, STAND_INS_AT_ONCE)
        if has_own and standing:
            self._deps.transact(lambda conn: stand_ins.drop(conn, repo.id))
        if wanted:
            self._apply(repo, Deployed(tuple(wanted)))

    def _read(self, repo: Watched) -> bool:
        """Read what is new; return whether there is more."""
        self._read_list(repo)
        with self._deps.db.read() as conn:
            wanting = deployments.list_wanting_statuses(conn, repo.id, STATUSES_AT_ONCE)
        for one in wanting:
            self._read_statuses(repo, one)
        with self._deps.db.read() as conn:
            uncompared = deployments.list_uncompared(conn, repo.id, COMMITS_AT_ONCE)
        for pair in uncompared:
            found = self._deps.github.deployments.compare(repo.name, pair.base, pair.head)
            self._apply(repo, Deployed(comparisons={pair.id: found}))
        return len(wanting) == STATUSES_AT_ONCE or len(uncompared) == COMMITS_AT_ONCE

    def _read_list(self, repo: Watched) -> None:
        key = f"{repo.name}/deployments"
        with self._deps.db.read() as conn:
            filled_at = deployments.get_read(conn, repo.id)
        known = self._deps.applied_etags([key]).get(key) if filled_at is not None else None
        page = self._deps.github.deployments.newest(repo.name, applied_etag=known)
        if page.unchanged:
            return
        for older in reversed(self._older(page, filled_at)):
            self._apply(repo, Deployed(older.deployments))
        # The first page comes last: its ETag says that everything behind it is stored too.
        batch = Batch(repo.id, repo.live_since, deployed=Deployed(page.deployments), etags=etag_of(key, page.etag))
        self._deps.apply(batch)
        as_of = page.as_of
        self._deps.transact(lambda conn: deployments.record_read(conn, repo.id, as_of, filled_at is None))

    def _older(self, first: DeploymentsPage, filled_at: int | None) -> list[DeploymentsPage]:
        """Return the pages behind the first, back to what is known, or as far as history is wanted."""
        since = filled_at
        if since is None:
            since = first.as_of - self._backfill_days * 86_400 if self._backfill_days else 0
        pages = [first]
        while pages[-1].next_url is not None and len(pages) < MOST_PAGES:
            oldest = min((one.created_at for one in pages[-1].deployments), default=0)
            if oldest < since or (filled_at is not None and self._knows_all(pages[-1])):
                break
            pages.append(self._deps.github.deployments.at(pages[-1].next_url))
        return pages[1:]

    def _knows_all(self, page: DeploymentsPage) -> bool:
        ids = {one.id for one in page.deployments}
        with self._deps.db.read() as conn:
            return deployments.load(conn, ids).keys() == ids

    def _read_statuses(self, repo: Watched, one: Deployment) -> None:
        statuses = self._deps.github.deployments.statuses(repo.name, one.id)
        # Another status may come within the second in which these were read.
        settled = one.updated_at if one.updated_at < self._deps.github.now() - 2 else one.updated_at - 1
        self._apply(repo, Deployed((replace(one, statuses=statuses),), read={one.id: settled}))

    def _apply(self, repo: Watched, told: Deployed) -> None:
        # What is history follows from when it happened, not from who reads it.
        self._deps.apply(Batch(repo.id, repo.live_since, deployed=told))
