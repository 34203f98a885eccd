"""Runs, attempts, jobs and steps of GitHub Actions, and what their words mean (CONTRACT: "Meaning of the words").

Every `*_at` is a Unix second, UTC. Statuses and conclusions are GitHub's own text, kept verbatim: a word that is
not known here is neither failed nor succeeded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FAILED = frozenset({"failure", "timed_out", "startup_failure"})
DECISIVE = FAILED | {"success"}
QUEUED = frozenset({"queued", "pending", "requested"})
RUNNING = frozenset({"in_progress"})

# How far a status has come. Equal ranks are legal back-steps of each other (queued -> waiting -> queued).
STATUS_RANK = {"requested": 0, "queued": 1, "pending": 1, "waiting": 1, "in_progress": 2, "completed": 3}


@dataclass(frozen=True, slots=True)
class Commit:
    """The head commit as a run carries it."""

    message: str | None = None
    author_name: str | None = None
    author_email: str | None = None
    committer_name: str | None = None
    committer_email: str | None = None
    committed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One observation of a workflow run: the state of its attempt `run_attempt` as GitHub told it."""

    id: int
    repository: str
    run_number: int
    run_attempt: int
    workflow_id: int
    status: str
    created_at: int
    updated_at: int
    conclusion: str | None = None
    started_at: int | None = None  # run_started_at: of this attempt, never of the run
    name: str | None = None  # the workflow's name at that time
    title: str | None = None
    path: str | None = None
    event: str | None = None
    branch: str | None = None
    sha: str | None = None
    head_repository: str | None = None  # None: a deleted fork
    actor: str | None = None
    triggering_actor: str | None = None
    commit: Commit | None = None
    pull_requests: tuple[int, ...] = ()
    url: str | None = None  # the page on GitHub
    api_url: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job."""

    name: str
    number: int
    status: str | None = None
    conclusion: str | None = None
    started_at: int | None = None
    completed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job of one attempt of a run."""

    id: int
    run_id: int
    run_attempt: int
    name: str
    status: str
    conclusion: str | None = None
    created_at: int | None = None
    started_at: int | None = None
    completed_at: int | None = None
    runner_name: str | None = None
    runner_group_name: str | None = None
    labels: tuple[str, ...] = ()
    url: str | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class JobList:
    """The jobs of one attempt as one read or delivery told them.

    `complete` says that every page was read: only then does a job's absence or the count mean anything.
    """

    run_id: int
    run_attempt: int
    jobs: tuple[Job, ...]
    complete: bool = False


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """When an attempt really ran (METRICS: "Times"). Seconds; None where unknown, never negative."""

    first_job_at: int | None = None
    completed_at: int | None = None
    duration_seconds: int | None = None
    duration_source: str | None = None  # "jobs", or "updated_at" where the jobs are not known
    queue_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a run as pipemon knows it. `settled_at` is the `updated_at` of the newest read by id.

    An attempt that is known to exist but was never seen has the status "unknown".
    """

    run_id: int
    run_attempt: int
    status: str
    updated_at: int
    conclusion: str | None = None
    started_at: int | None = None
    settled_at: int | None = None
    triggering_actor: str | None = None
    times: AttemptTimes = AttemptTimes()
    jobs_complete: bool = False


def is_failed(conclusion: str | None) -> bool:
    """Whether the conclusion counts as a failure."""
    return conclusion in FAILED


def is_decisive(conclusion: str | None) -> bool:
    """Whether the conclusion enters a rate."""
    return conclusion in DECISIVE


def is_final(status: str, conclusion: str | None) -> bool:
    """Whether an attempt is over for good. One that waits for an approval is `completed` too, and may go on."""
    return status == "completed" and conclusion != "action_required"


def is_completed(status: str) -> bool:
    """Whether the attempt or job is over."""
    return status == "completed"


# GitHub ends a run after 35 days; a longer fallback duration is the clock of a late `updated_at`, not of the run.
LONGEST_RUN_SECONDS = 35 * 86400

# `created_at` and the first job's start have been seen one to two seconds before `run_started_at`.
STAMP_SLACK_SECONDS = 2


def job_really_ran(job: Job, attempt_started_at: int) -> bool:
    """Whether the job's own times belong to this attempt (a rerun copies passed jobs with their old times)."""
    # A job that waits has been seen with a `started_at`: the moment at which it was created.
    if (
        job.conclusion == "skipped"
        or job.started_at is None
        or STATUS_RANK.get(job.status, 2) < STATUS_RANK["in_progress"]
    ):
        return False
    if job.started_at < attempt_started_at - STAMP_SLACK_SECONDS:
        return False
    if job.conclusion == "cancelled" and not job.steps:
        return False
    return job.completed_at is None or job.completed_at >= job.started_at


def attempt_times(attempt: Attempt, created_at: int, jobs: Sequence[Job]) -> AttemptTimes:
    """Return when the attempt ran: to its last job's end where all jobs are known, else up to `updated_at`.

    `created_at` is the run's, for bodies so old that they carry no `run_started_at`.
    """
    started_at = attempt.started_at if attempt.started_at is not None else created_at
    ran = [job for job in jobs if job_really_ran(job, started_at)]
    first_job_at = min((job.started_at for job in ran if job.started_at is not None), default=None)
    queue_seconds = None if first_job_at is None else max(0, first_job_at - started_at)
    if not is_completed(attempt.status):
        return AttemptTimes(first_job_at=first_job_at, queue_seconds=queue_seconds)
    ends = [job.completed_at for job in ran if job.completed_at is not None]
    if ends and attempt.jobs_complete:
        end = max(max(ends), started_at)
        return AttemptTimes(first_job_at, end, end - started_at, "jobs", queue_seconds)
    end = max(attempt.updated_at, started_at)
    if end - started_at > LONGEST_RUN_SECONDS:
        return AttemptTimes(first_job_at, None, None, None, queue_seconds)
    return AttemptTimes(first_job_at, end, end - started_at, "updated_at", queue_seconds)
