"""GitHub's payloads into domain records: pure, and the only place that knows their shape.

A required field (an id, a status, a moment of creation) that is missing or of another kind raises BadAnswer, and so
the answer is rejected as a unit. Everything else may be missing, null, empty or new: it becomes None. A status that
is not known here is kept verbatim.
"""

from dataclasses import dataclass
from functools import partial

from pipemon.domain.repositories import Repository
from pipemon.domain.runs import Commit, Job, Run, Step
from pipemon.github.errors import BadAnswer
from pipemon.github.fields import (
    Document,
    address,
    an_id,
    an_object,
    clean,
    count,
    document,
    every,
    is_id,
    items,
    moment,
    part,
    text,
    word,
)

LONGEST_MESSAGE = 10_000
LONGEST_ERROR = 256 * 1024
MOST_PULL_REQUESTS = 100
MOST_LABELS = 100
MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class RunsPage:
    """One page of a list of runs. `total_count` may exceed what GitHub lets anybody read."""

    runs: tuple[Run, ...]
    total_count: int


@dataclass(frozen=True, slots=True)
class JobsPage:
    """One page of an attempt's jobs."""

    jobs: tuple[Job, ...]
    total_count: int


def runs_page(payload: object, repository: str) -> RunsPage:
    """Return the page with all its runs; raises BadAnswer if any of them can't be believed."""
    page = an_object(payload, "a list of runs")
    runs = every(page, "workflow_runs", partial(run, repository=repository))
    return RunsPage(runs, max(count(page, "total_count", "a list of runs", len(runs)), len(runs)))


def jobs_page(payload: object, run_id: int, run_attempt: int) -> JobsPage:
    """Return the page with all its jobs; raises BadAnswer if one of them can't be believed or is another run's."""
    page = an_object(payload, "a list of jobs")
    jobs = every(page, "jobs", partial(job, run_attempt=run_attempt))
    for found in jobs:
        if found.run_id != run_id or found.run_attempt != run_attempt:
            raise BadAnswer(f"job {found.id} in the list of run {run_id} is another run's or attempt's")
    return JobsPage(jobs, max(count(page, "total_count", "a list of jobs", len(jobs)), len(jobs)))


def run(payload: object, repository: str) -> Run:
    """Return one observation of a run of that repository (`owner/name`; empty: the one that the body names)."""
    body = an_object(payload, "a run")
    run_id = an_id(body, "id", "a run")
    what = f"run {run_id}"
    created_at = moment(body, "created_at")
    if created_at is None:
        raise BadAnswer(f"{what} has no usable created_at")
    updated_at = moment(body, "updated_at")
    if updated_at is None and body.get("updated_at") is not None:
        raise BadAnswer(f"{what} has no usable updated_at")
    status, conclusion = _state(body, what)
    return Run(
        id=run_id,
        repository=repository or text(part(body, "repository"), "full_name") or "",
        run_number=count(body, "run_number", what, 0),
        # Bodies of 2020 have no run_attempt.
        run_attempt=count(body, "run_attempt", what, 1, least=1),
        workflow_id=an_id(body, "workflow_id", what),
        status=status,
        conclusion=conclusion,
        created_at=created_at,
        updated_at=created_at if updated_at is None else updated_at,
        started_at=moment(body, "run_started_at"),
        name=text(body, "name"),
        title=text(body, "display_title"),
        path=text(body, "path"),
        event=text(body, "event"),
        branch=text(body, "head_branch"),
        sha=text(body, "head_sha"),
        head_repository=text(part(body, "head_repository"), "full_name"),
        actor=text(part(body, "actor"), "login"),
        triggering_actor=text(part(body, "triggering_actor"), "login"),
        commit=_commit(part(body, "head_commit")),
        pull_requests=_pull_requests(body),
        url=address(body, "html_url"),
        api_url=address(body, "url"),
    )


def _state(body: Document, what: str) -> tuple[str, str | None]:
    """Return status and conclusion. The schema lets a status be null: it is then over if it has a conclusion."""
    status = word(body, "status", what)
    conclusion = word(body, "conclusion", what) if "conclusion" in body else None
    return status or ("completed" if conclusion else "unknown"), conclusion


def _commit(body: Document) -> Commit | None:
    author, committer = part(body, "author"), part(body, "committer")
    commit = Commit(
        message=text(body, "message", LONGEST_MESSAGE),
        author_name=text(author, "name"),
        author_email=text(author, "email"),
        committer_name=text(committer, "name"),
        committer_email=text(committer, "email"),
        committed_at=moment(body, "timestamp"),
    )
    return None if commit == Commit() else commit


def _pull_requests(body: Document) -> tuple[int, ...]:
    numbers = [found.get("number") for found in items(body, "pull_requests", MOST_PULL_REQUESTS)]
    return tuple(number for number in numbers if isinstance(number, int) and is_id(number))


def job(payload: object, run_attempt: int = 1) -> Job:
    """Return one job with its steps. `run_attempt` stands in where the body, an old one, doesn't tell it."""
    body = an_object(payload, "a job")
    job_id = an_id(body, "id", "a job")
    what = f"job {job_id}"
    status, conclusion = _state(body, what)
    labels = body.get("labels")
    return Job(
        id=job_id,
        run_id=an_id(body, "run_id", what),
        run_attempt=count(body, "run_attempt", what, run_attempt, least=1),
        name=text(body, "name") or "",
        status=status,
        conclusion=conclusion,
        created_at=moment(body, "created_at"),
        started_at=moment(body, "started_at"),
        completed_at=moment(body, "completed_at"),
        runner_name=text(body, "runner_name"),
        runner_group_name=text(body, "runner_group_name"),
        labels=tuple(clean(label) for label in labels[:MOST_LABELS] if isinstance(label, str))
        if isinstance(labels, list)
        else (),
        url=address(body, "html_url"),
        steps=tuple(_step(found, place) for place, found in enumerate(items(body, "steps", MOST_STEPS), start=1)),
    )


def _step(body: Document, place: int) -> Step:
    """Return a step; its number jumps in real data, and only where it is unusable its place stands in."""
    number = body.get("number")
    return Step(
        name=text(body, "name") or "",
        number=number if isinstance(number, int) and is_id(number) and number < 2**31 else place,
        status=text(body, "status", 100),
        conclusion=text(body, "conclusion", 100),
        started_at=moment(body, "started_at"),
        completed_at=moment(body, "completed_at"),
    )


def repository(payload: object) -> Repository:
    """Return a repository under the name that it has now."""
    body = an_object(payload, "a repository")
    name = text(body, "full_name")
    if name is None or name.count("/") != 1:
        raise BadAnswer("a repository has no usable full_name")
    return Repository(
        github_id=an_id(body, "id", f"repository {name}"),
        name=name,
        default_branch=text(body, "default_branch") or "main",
        private=body.get("private") is True,
        archived=body.get("archived") is True,
        fork=body.get("fork") is True,
    )


def that_run(payload: object, repository: str, run_id: int, run_attempt: int | None = None) -> Run:
    """Return the run that was asked for by id (and attempt); raises BadAnswer where it is another one."""
    found = run(payload, repository)
    if found.id != run_id or run_attempt not in (None, found.run_attempt):
        raise BadAnswer(f"asked for run {run_id}, GitHub told run {found.id}, attempt {found.run_attempt}")
    return found


def repositories_page(payload: object) -> tuple[Repository, ...]:
    """Return a page of repositories: a plain list, or wrapped in an object as an installation's is."""
    page = payload if isinstance(payload, dict) else {"repositories": payload}
    return every(page, "repositories", repository)


def message(body: bytes) -> str:
    """Return the reason that an error answer gives, as one line; empty where it gives none."""
    try:
        payload = document(body[:LONGEST_ERROR])
    except BadAnswer:
        return ""
    return " ".join((text(payload, "message") or "").split()) if isinstance(payload, dict) else ""
