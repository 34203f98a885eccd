"""Applying what was delivered: each delivery through `apply`, marked in the same transaction, tried so many times."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.runs import Job, JobList
from pipemon.github import webhook
from pipemon.github.errors import BadAnswer, GitHubError, LimitReached
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.ingest.deployed import Deployed
from pipemon.ingest.reader import Deps
from pipemon.ingest.told import Told
from pipemon.store import deliveries, repositories, runs
from pipemon.store.deliveries import Waiting
from pipemon.store.engine import DatabaseError
from pipemon.store.repositories import Watched
from pipemon.store.state import LeaseLost

log = telemetry.logger(__name__)

AT_ONCE = 100
# So many share a transaction: a commit costs more than what is in it, and requests wait for it.
TOGETHER = 5
# Between two groups: so long that the hub looks for what has come in, and answers that first.
BREATH_SECONDS = 0.001
MOST_TRIES = 8
LONGEST_PAUSE_SECONDS = 300.0
# A job's delivery often comes before its run's. After this long the run is read by id.
PATIENCE_SECONDS = 3.0
GLANCE_SECONDS = 0.5
# Of unknown runs, in one step: each read takes a call, and the other deliveries wait meanwhile.
MOST_READS = 3
PRUNE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery. Without a result it waits on: for its run, where `wants` names one, or for time."""

    delivery: Waiting
    result: str | None = None
    why: str | None = None
    wants: int | None = None


class Deliveries:
    """Applies the stored deliveries in the order of their arrival. Its clock is GitHub's."""

    def __init__(self, deps: Deps, told: Told, news_max_age_seconds: int = 3600) -> None:
        self._deps = deps
        self._told = told
        self._news_max_age = news_max_age_seconds
        self._prune_at = 0.0

    def step(self) -> int:
        """Apply those that are due, up to a hundred; return how many came to a result."""
        now = self._deps.github.time()
        with self._deps.db.read() as conn:
            depth = deliveries.depth(conn)
            waiting = deliveries.list_waiting(conn, now, AT_ONCE) if depth.count else []
            watched = {repo.id: repo for repo in repositories.list_watched(conn)} if waiting else {}
        telemetry.gauge("webhook_deliveries_waiting", depth.count)
        self._told.behind_seconds = now - waiting[0].received_at if waiting else 0.0
        outcomes: list[Outcome] = []
        for group in _groups(waiting):
            outcomes += self._apply(group, watched)
            time.sleep(BREATH_SECONDS)
        if any(outcome.wants for outcome in outcomes):
            self._read_wanted(outcomes, watched)
        self._prune(now)
        return sum(outcome.result is not None for outcome in outcomes)

    def _apply(self, group: Sequence[Waiting], watched: Mapping[int, Watched]) -> list[Outcome]:
        """Apply a group in one transaction; where one of it fails, each in its own."""

        def work(conn: Connection) -> list[Outcome]:
            self._deps.guard(conn)
            return [self._apply_one(conn, one, watched.get(one.repository_id)) for one in group]

        try:
            outcomes = self._deps.db.transact(work)
        except LeaseLost:
            raise
        except Exception as error:
            if _is_the_databases(error):
                raise
            if len(group) > 1:
                return [outcome for one in group for outcome in self._apply([one], watched)]
            return [self._failed(group[0], error)]
        for outcome in outcomes:
            self._tell(outcome)
        return outcomes

    def _apply_one(self, conn: Connection, delivery: Waiting, repo: Watched | None) -> Outcome:
        """Apply one delivery and mark it, in this transaction."""
        now = self._deps.github.time()
        body = deliveries.get_body(conn, delivery.id)
        if body is None:  # another process was faster, or there is nothing to wait for
            deliveries.finish(conn, delivery.id, "failed", now, "its body is lost")
            return Outcome(delivery)
        if repo is None:
            return self._finish(conn, delivery, "ignored", "this repository is not watched any more")
        told = webhook.read(delivery.event, body, repo.name)
        if told.deployment is not None:
            seen = told.deployment
            moment = max(seen.updated_at, *(status.created_at for status in seen.statuses), 0)
            batch = Batch(repo.id, self._live_since(repo, moment), deployed=Deployed((seen,)))
            apply(conn, batch, self._deps.github.time())
            return self._finish(conn, delivery, "applied")
        run_id = told.run.id if told.run else told.job.run_id if told.job else 0
        standing = runs.get_standing(conn, run_id)
        if standing == "deleted":
            # It may be an old delivery that was sent again: only GitHub itself, asked by id, brings a run back.
            return self._finish(conn, delivery, "ignored", "this run is gone on GitHub, which was asked by id, twice")
        if told.run:
            batch = Batch(repo.id, self._live_since(repo, told.run.updated_at), runs=(Sighting(told.run),))
        elif told.job and standing == "known":
            jobs = JobList(run_id, told.job.run_attempt, (told.job,))
            batch = Batch(repo.id, self._live_since(repo, _moment(told.job)), jobs=(jobs,), jobs_by_id=False)
        elif now - delivery.received_at >= PATIENCE_SECONDS:
            return Outcome(delivery, wants=run_id)
        else:
            until = min(delivery.received_at + PATIENCE_SECONDS, now + GLANCE_SECONDS)
            deliveries.postpone(conn, delivery.id, until, "its run is not known yet", tried=False)
            return Outcome(delivery)
        apply(conn, batch, self._deps.github.time())
        return self._finish(conn, delivery, "applied")

    def _finish(self, conn: Connection, delivery: Waiting, result: str, why: str | None = None) -> Outcome:
        deliveries.finish(conn, delivery.id, result, self._deps.github.time(), why)
        return Outcome(delivery, result, why)

    def _live_since(self, repo: Watched, moment: int) -> int | None:
        """Return since when what happened is news; a delivery of long ago, sent again, tells none."""
        return None if moment < self._deps.github.now() - self._news_max_age else repo.live_since

    def _tell(self, outcome: Outcome) -> None:
        if outcome.result is None:
            return
        delivery = outcome.delivery
        telemetry.count("webhook_results_total", event=delivery.event, result=outcome.result)
        if outcome.result == "applied":
            self._told.note(delivery.repository_id, delivery.event)
            delay = self._deps.github.time() - delivery.received_at
            telemetry.observe("webhook_delay_seconds", max(0.0, delay))

    def _failed(self, delivery: Waiting, error: Exception) -> Outcome:
        """Leave a delivery that failed for later; set it aside where later would be no better."""
        if isinstance(error, BadAnswer) or delivery.tries + 1 >= MOST_TRIES:
            return self._set_aside(delivery, error)
        now = self._deps.github.time()
        limit = error.until if isinstance(error, LimitReached) else None
        due_at = float(limit) if limit is not None else now + min(2.0**delivery.tries, LONGEST_PAUSE_SECONDS)

        def work(conn: Connection) -> None:
            self._deps.guard(conn)
            deliveries.postpone(conn, delivery.id, max(due_at, now + 1), _text(error), tried=limit is None)

        self._deps.db.transact(work)
        return Outcome(delivery, why=_text(error))

    def _set_aside(self, delivery: Waiting, error: Exception) -> Outcome:
        def work(conn: Connection) -> Outcome:
            self._deps.guard(conn)
            return self._finish(conn, delivery, "failed", _text(error))

        outcome = self._deps.db.transact(work)
        # What is no GitHubError is a mistake of ours: the log needs its traceback.
        trace = None if isinstance(error, GitHubError) else error
        log.warning("delivery set aside", delivery=delivery.id, kind=delivery.event, why=outcome.why, exc_info=trace)
        self._tell(outcome)
        return outcome

    def _read_wanted(self, outcomes: Sequence[Outcome], watched: Mapping[int, Watched]) -> None:
        """Read the runs of jobs that were told before them, by id; the jobs follow in the next step."""
        wanted: dict[int, list[Waiting]] = {}
        for outcome in outcomes:
            if outcome.wants is not None:
                wanted.setdefault(outcome.wants, []).append(outcome.delivery)
        with self._deps.db.read() as conn:  # it may have been told meanwhile
            unknown = [run_id for run_id in wanted if runs.get_standing(conn, run_id) == "unknown"]
        for run_id in unknown[:MOST_READS]:
            waiting = wanted[run_id]
            repo = watched[waiting[0].repository_id]
            try:
                answer = self._deps.github.run(repo.name, run_id)
            except GitHubError as error:
                for delivery in waiting:
                    self._failed(delivery, error)
                continue
            if answer.run is not None:
                self._deps.apply(
                    Batch(
                        repo.id, self._live_since(repo, answer.run.updated_at), runs=(Sighting(answer.run, by_id=True),)
                    )
                )

    def _prune(self, now: float) -> None:
        if now < self._prune_at:
            return
        self._prune_at = now + PRUNE_SECONDS

        def work(conn: Connection) -> int:
            self._deps.guard(conn)
            return deliveries.prune(conn, now)

        self._deps.db.transact(work)


def _moment(job: Job) -> int:
    """Return the last moment that a job tells of itself."""
    return max(job.completed_at or 0, job.started_at or 0, job.created_at or 0)


def _groups(waiting: Sequence[Waiting]) -> Iterator[Sequence[Waiting]]:
    return (waiting[start : start + TOGETHER] for start in range(0, len(waiting), TOGETHER))


def _is_the_databases(error: Exception) -> bool:
    """Whether the database is busy, full or gone: that says nothing of the delivery. A value it refuses does."""
    return isinstance(error, DatabaseError) and type(error) is not DatabaseError


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500] if not isinstance(error, GitHubError) else str(error)[:500]
