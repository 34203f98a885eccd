"""THE write path: poll, webhook and backfill all end here, in one transaction each.

It reads what is stored, merges the observations into it (order-free, domain.merge), writes what changed, appends the
events that the change is (domain.diff) and marks the answers' ETags as applied. Nothing else writes a run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from pipemon.domain import diff, merge
from pipemon.domain.coverage import Range
from pipemon.domain.events import Event
from pipemon.domain.runs import FAILED, Attempt, Job, JobList, Run, attempt_times, is_completed
from pipemon.ingest import deployed, rolled
from pipemon.ingest.deployed import Deployed
from pipemon.store import coverage, events, failures, runs, state
from pipemon.turns import Stretch

# A job may lag behind its run for a while; after this long its state in a complete list is what will stay.
SETTLED_AFTER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Sighting:
    """One observation of a run. `by_id`: read by its own address, which settles ties."""

    run: Run
    by_id: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one answer or delivery told of one repository.

    `live_since` is the moment from which on what happened is news; None: all of it is history. `missing` are runs
    answered 404 by id for the first time, `gone` those confirmed. `etags` are applied together with the rest.
    """

    repository_id: int
    live_since: int | None = None
    runs: tuple[Sighting, ...] = ()
    jobs: tuple[JobList, ...] = ()
    jobs_by_id: bool = True  # read as a list; False: told by a delivery
    asked: frozenset[tuple[int, int]] = frozenset()  # attempts asked for by their own address: no more will be known
    missing: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    etags: Mapping[str, str] = field(default_factory=dict)
    covered: Range | None = None
    deployed: Deployed = field(default_factory=Deployed)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed. `news` counts the events appended."""

    runs: int = 0
    jobs: int = 0
    news: int = 0
    deployments: int = 0


class _Known:
    """What is stored of the runs that a batch touches, and what becomes of it."""

    def __init__(self, conn: Connection, batch: Batch) -> None:
        ids = {sighting.run.id for sighting in batch.runs} | {jobs.run_id for jobs in batch.jobs}
        ids |= {*batch.gone, *batch.missing}
        self.runs = runs.load_runs(conn, ids)
        self.attempts = runs.load_attempts(conn, ids)
        self.marks = runs.load_marks(conn, ids)
        self.runs_before = dict(self.runs)
        self.attempts_before = dict(self.all_attempts())
        self.jobs: dict[tuple[int, int], dict[int, Job]] = {}
        self.jobs_before: dict[int, Job] = {}
        self.touched: set[int] = set()

    def load_jobs(self, conn: Connection, listed: set[int]) -> None:
        """Load the jobs of the runs whose jobs were read or whose attempts have changed: no others can change."""
        moved = {key[0] for key, attempt in self.all_attempts() if self.attempts_before.get(key) != attempt}
        self.jobs = runs.load_jobs(conn, listed | moved)
        self.jobs_before = {job.id: job for jobs in self.jobs.values() for job in jobs.values()}
        self.touched = listed | moved

    def changed_jobs(self) -> list[Job]:
        return [job for by_id in self.jobs.values() for job in by_id.values() if self.jobs_before.get(job.id) != job]

    def all_attempts(self) -> list[tuple[tuple[int, int], Attempt]]:
        return [((run_id, n), attempt) for run_id, by_n in self.attempts.items() for n, attempt in sorted(by_n.items())]


def apply(conn: Connection, batch: Batch, recorded_at: float) -> Applied:
    """Bring one batch into the database; return what changed. Raises nothing on strange data: parsing is done before.

    `recorded_at` is GitHub's time now, with its fraction. Applying a batch again changes nothing.
    """
    now = int(recorded_at)
    events.lock(conn)
    stretch = Stretch()
    known = _Known(conn, batch)
    _merge_runs(known, batch)
    stretch.rest()
    known.load_jobs(conn, {listed.run_id for listed in batch.jobs})
    _merge_jobs(known, batch)
    _set_times(known, batch, now)
    stretch.rest()
    place = events.position(conn).last_id
    news = [*_run_news(known, batch, now, place), *_job_news(known, batch.live_since)]
    news += _set_marks(conn, known, batch, now)
    stretch.rest()
    jobs = known.changed_jobs()
    applied = _write(conn, known, jobs, batch, now, stretch)
    worked = {job.run_id for job in jobs}
    was, after = (known.runs_before, known.attempts_before), (known.runs, dict(known.all_attempts()))
    rolled.follow(conn, batch.repository_id, was, after, {*known.marks, *batch.gone}, worked)
    news += _pipeline_news(conn, news, batch.repository_id, now)
    if not batch.deployed.is_empty:
        count, told = deployed.take_in(conn, batch.repository_id, batch.deployed, batch.live_since)
        applied, news = replace(applied, deployments=count), news + told
    stretch.rest()
    count = events.append(conn, news, recorded_at)
    if batch.etags:
        state.mark_applied(conn, batch.etags, now)
    if batch.covered is not None:
        coverage.cover(conn, batch.repository_id, batch.covered)
    if count or applied.runs or applied.jobs or applied.deployments or batch.gone:
        events.bump_revision(conn)
    return replace(applied, news=count)


def tell(conn: Connection, follow: Callable[[int], list[Event]], recorded_at: float) -> int:
    """Append events that follow from others in the log, and change no run; return how many were new.

    `follow` gets the log's last id, and nothing is appended between its look and its word.
    """
    events.lock(conn)
    return events.append(conn, follow(events.position(conn).last_id), recorded_at)


def _merge_runs(known: _Known, batch: Batch) -> None:
    for sighting in batch.runs:
        run_id = sighting.run.id
        attempts = known.attempts.get(run_id, {})
        merged, after = merge.merge_run(known.runs.get(run_id), attempts, sighting.run, sighting.by_id)
        known.runs[run_id], known.attempts[run_id] = merged, after


def _merge_jobs(known: _Known, batch: Batch) -> None:
    for listed in batch.jobs:
        jobs = known.jobs.setdefault((listed.run_id, listed.run_attempt), {})
        for job in listed.jobs:
            jobs[job.id] = merge.merge_job(jobs.get(job.id), job, batch.jobs_by_id)


def _set_times(known: _Known, batch: Batch, now: int) -> None:
    """Work out when each touched attempt ran, and whether its jobs are known to the end."""
    complete = {(listed.run_id, listed.run_attempt) for listed in batch.jobs if listed.complete}
    for (run_id, number), attempt in known.all_attempts():
        if run_id not in known.runs or run_id not in known.touched:
            continue
        jobs = list(known.jobs.get((run_id, number), {}).values())
        if (run_id, number) in complete and not attempt.jobs_complete:
            superseded = attempt.run_attempt < known.runs[run_id].run_attempt
            # That of another attempt alone is not enough: where its end was not read, it must still be.
            over = is_completed(attempt.status) or (superseded and (run_id, number) in batch.asked)
            attempt = replace(attempt, jobs_complete=over and _are_settled(attempt, jobs, now))
        times = attempt_times(attempt, known.runs[run_id].created_at, jobs)
        known.attempts[run_id][number] = replace(attempt, times=times)


def _are_settled(attempt: Attempt, jobs: list[Job], now: int) -> bool:
    return all(is_completed(job.status) for job in jobs) or now - attempt.updated_at > SETTLED_AFTER_SECONDS


def _run_news(known: _Known, batch: Batch, now: int, place: int) -> list[Event]:
    """Return what happened to the attempts; a list shows the newest first, and the log tells in the order of time."""
    steps: list[list[Event]] = []
    for (run_id, number), after in known.all_attempts():
        if run_id not in known.runs:
            continue
        run, before = known.runs[run_id], known.attempts_before.get((run_id, number))
        news = list(diff.run_events(run, before, after, batch.live_since, place))
        if batch.live_since is not None and after.status == "in_progress":
            news += _progress(known, run, after, now)
        if news:
            steps.append(news)
    steps.sort(key=lambda news: news[-1].occurred_at)
    return [event for news in steps for event in news]


def _progress(known: _Known, run: Run, attempt: Attempt, now: int) -> list[Event]:
    """Return the progress event where a job has ended since."""
    jobs = known.jobs.get((run.id, attempt.run_attempt), {})
    done = sum(is_completed(job.status) for job in jobs.values())
    was = sum(is_completed(known.jobs_before[id_].status) for id_ in jobs if id_ in known.jobs_before)
    return [diff.progress_event(run, attempt, done, len(jobs), now)] if done != was else []


def _job_news(known: _Known, live_since: int | None) -> list[Event]:
    found = []
    for (run_id, _), jobs in known.jobs.items():
        for job in jobs.values():
            if run_id in known.runs and known.jobs_before.get(job.id) != job:
                event = diff.job_event(known.runs[run_id], known.jobs_before.get(job.id), job, live_since)
                found.append(event)
    return [event for event in found if event is not None]


def _pipeline_news(conn: Connection, news: list[Event], repository_id: int, now: int) -> list[Event]:
    """Return the event of the repository's pipeline having moved, where the log does not know yet why."""
    live = events.fresh(conn, [event for event in news if diff.moves_pipeline(event)])
    return [diff.pipeline_event(live, *runs.count_active(conn, repository_id), now)] if live else []


def _set_marks(conn: Connection, known: _Known, batch: Batch, now: int) -> list[Event]:
    """Set and take back the marks of runs that GitHub no longer knows (I9: the caller has confirmed `gone`)."""
    seen = {sighting.run.id for sighting in batch.runs}
    back = seen & known.marks.keys()
    gone = [run_id for run_id in batch.gone if run_id in known.runs]
    if back:
        runs.mark_missing(conn, back, None)
    if batch.missing:
        runs.mark_missing(conn, [run_id for run_id in batch.missing if run_id not in known.marks], now)
    if gone:
        runs.mark_deleted(conn, gone, now)
    news = [diff.restored_event(known.runs[run_id], now) for run_id in back if known.marks[run_id][1] is not None]
    return news + [diff.deleted_event(known.runs[run_id], now) for run_id in gone]


def _write(conn: Connection, known: _Known, jobs: list[Job], batch: Batch, now: int, stretch: Stretch) -> Applied:
    """Write the rows that differ from what was stored."""
    attempts = {key: attempt for key, attempt in known.all_attempts() if known.attempts_before.get(key) != attempt}
    touched = {run_id for run_id, _ in attempts} | {
        run_id for run_id, run in known.runs.items() if known.runs_before.get(run_id) != run
    }
    changed = {}
    for run_id in touched & known.runs.keys():
        run = known.runs[run_id]
        changed[run_id] = (run, known.attempts[run_id][run.run_attempt])
    runs.put_runs(conn, batch.repository_id, changed)
    stretch.rest()
    runs.put_attempts(conn, batch.repository_id, attempts.values())
    stretch.rest()
    runs.put_jobs(conn, batch.repository_id, jobs)
    stretch.rest()
    failures.want(conn, batch.repository_id, [job for job in jobs if job.conclusion in FAILED], now)
    if changed:
        runs.put_workflows(conn, batch.repository_id, [run for run, _ in changed.values()])
    return Applied(len(changed), len(jobs))
