"""How a run will go, from its first second to its last: planned when it is made, so that looking changes nothing."""

import random
from dataclasses import dataclass, replace
from typing import Any

from pipemon.simulator.habits import Habit, JobHabit, WorkflowHabit

EPOCH = 1_735_689_600  # 2025-01-01: the day the world began; fixed, so that ids never depend on when it is looked at
DAY = 86400

PEOPLE = ("dev-ada", "dev-linus", "dev-grace", "dev-ken", "harbor-bot", "renovate-bot")
SUBJECTS = (
    "login form",
    "price table",
    "cache key",
    "retry loop",
    "docs index",
    "audit log",
    "search box",
    "time zone",
    "csv export",
)
VERBS = ("Fix", "Add", "Remove", "Speed up", "Rename", "Test", "Refactor")
BRANCHES = (
    "feat/login",
    "fix/timeout_(#9350)",
    "deps+pin",
    "feat/csv#2",
    "chore/tidy",
    "topic/a-very-long-branch-name-that-nobody-types",
)


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job as it will go. A copied one (from the attempt before) keeps its old times."""

    name: str
    created_at: int
    started_at: int
    completed_at: int
    conclusion: str
    label: str = "ubuntu-latest"
    index: int = 0
    steps: tuple[tuple[int, str, float], ...] = ()  # (number, name, share of the job's time)


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """An attempt as it will go; `completed_at` None: it goes on until it is ordered to end."""

    started_at: int
    jobs: tuple[PlannedJob, ...]
    conclusion: str
    completed_at: int | None
    actor: str


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run as it will go, with all its attempts."""

    id: int
    repository: str
    workflow: WorkflowHabit
    number: int
    created_at: int
    event: str
    branch: str
    sha: str
    actor: str
    message: str
    attempts: tuple[PlannedAttempt, ...]
    fork: str | None = None
    late_update_seconds: int = 0
    name: str | None = None
    no_commit: bool = False
    pull_requests: tuple[int, ...] = ()
    deleted_at: int | None = None
    pinned_status: str | None = None
    prints: tuple[str, ...] = ()  # what its tests print; none: where they fail, one of the usual reasons


STEPS = (
    (1, "Set up job"),
    (2, "Run actions/checkout@v4"),
    (3, "Build"),
    (4, "Test"),
    (9, "Post Run actions/checkout@v4"),
    (10, "Complete job"),
)


def steps_for(rng: random.Random) -> tuple[tuple[int, str, float], ...]:
    """Return a job's steps with their shares of its time; the numbers jump, as GitHub's do."""
    weights = [1.0, 2.0, 6.0 + 4 * rng.random(), 10.0 + 6 * rng.random(), 0.5, 0.2]
    total = sum(weights)
    return tuple((number, name, weight / total) for (number, name), weight in zip(STEPS, weights, strict=True))


def make_run(
    habit: Habit,
    run_id: int,
    workflow: WorkflowHabit,
    created: int,
    rng: random.Random,
    red: bool = False,
    **pinned: Any,
) -> PlannedRun:
    """Plan a run. `red`: the code is broken, so its last job but copies fails. `pinned` fields stay as they are given."""
    event, branch = rng.choice(workflow.events)
    fork = f"fan-{rng.randrange(20)}/{habit.name}" if event == "pull_request" and rng.random() < habit.forks else None
    if branch == "*":
        branch = "main" if fork and rng.random() < 0.3 else rng.choice(BRANCHES)
    red = red and branch == "main" and fork is None
    actor = rng.choice(PEOPLE)
    kind = rng.random()
    attempts = _attempts(workflow, created, rng, red, kind, actor)
    old = created < EPOCH + 200 * DAY
    run = PlannedRun(
        id=run_id,
        repository=habit.name,
        workflow=workflow,
        number=(created - EPOCH) // 60,
        created_at=created,
        event=event,
        branch=branch,
        sha=f"{rng.getrandbits(160):040x}",
        actor=actor,
        message=f"{rng.choice(VERBS)} the {rng.choice(SUBJECTS)}"
        + ("\n\nWith a longer story." if rng.random() < 0.3 else ""),
        attempts=attempts,
        fork=fork,
        late_update_seconds=7200 if rng.random() < 0.03 else 0,
        name=workflow.path if attempts[0].conclusion == "startup_failure" else workflow.names[0 if old else -1],
        no_commit=rng.random() < 0.005,
        pull_requests=()
        if fork or event != "pull_request"
        else tuple(rng.sample(range(1, 900), rng.choice([1, 1, 1, 2]))),
    )
    return replace(run, **pinned)


def _attempts(
    workflow: WorkflowHabit, created: int, rng: random.Random, red: bool, kind: float, actor: str
) -> tuple[PlannedAttempt, ...]:
    start = created - (1 if kind > 0.97 else 0)  # `created_at` has been seen a second after `run_started_at`
    if kind < 0.02:
        odd = rng.choice(["startup_failure", "action_required", "skipped", "neutral", "stale", "cancelled"])
        return (PlannedAttempt(start, (), odd, start + rng.randint(1, 20), actor),)
    found = [
        plan_attempt(workflow, start, rng, red, actor, cancelled=0.02 <= kind < 0.05, timed_out=0.05 <= kind < 0.055)
    ]
    while found[-1].conclusion == "failure" and not red and len(found) < 7 and rng.random() < 0.6:
        again = (found[-1].completed_at or start) + rng.randint(60, 900)
        found.append(rerun_failed(workflow, found[-1], again, rng, rng.choice(PEOPLE)))
    return tuple(found)


def plan_attempt(
    workflow: WorkflowHabit,
    start: int,
    rng: random.Random,
    red: bool,
    actor: str,
    cancelled: bool = False,
    timed_out: bool = False,
) -> PlannedAttempt:
    """Plan an attempt from scratch: jobs in the order of their needs, each waiting some seconds for a runner."""
    ends: dict[str, int] = {}
    failed: set[str] = set()
    jobs: list[PlannedJob] = []
    for habit in workflow.jobs:
        ready = max((ends[name] for name in habit.needs), default=start)
        doomed = red and habit is workflow.jobs[-1]
        for leg in range(habit.legs):
            job = _job(habit, leg, len(jobs), ready, rng, bool(failed & set(habit.needs)), doomed)
            jobs.append(job)
            ends[habit.name] = max(ends.get(habit.name, 0), job.completed_at)
            if job.conclusion in ("failure", "skipped"):
                failed.add(habit.name)
    conclusion = "failure" if failed else "success"
    end = max(job.completed_at for job in jobs)
    if timed_out:
        last = max(range(len(jobs)), key=lambda i: jobs[i].completed_at)
        jobs[last] = replace(jobs[last], conclusion="timed_out", completed_at=end + 300)
        conclusion, end = "timed_out", end + 300
    attempt = PlannedAttempt(start, tuple(jobs), conclusion, end + 2, actor)
    return cut_short(attempt, start + rng.randint(0, 40), "cancelled") if cancelled else attempt


def _job(
    habit: JobHabit, leg: int, index: int, ready: int, rng: random.Random, skipped: bool, doomed: bool
) -> PlannedJob:
    name = habit.name if habit.legs == 1 else f"{habit.name} ({leg}, {'linux' if leg % 2 else 'mac'})"
    if skipped:  # skipped jobs come with reversed times
        return PlannedJob(name, ready, ready + 1, ready, "skipped", "", index)
    begin = ready + rng.choice([2, 3, 4, 5, 8, 30])
    end = begin + rng.randint(*habit.seconds)
    conclusion = "failure" if doomed or rng.random() < habit.fails else "success"
    return PlannedJob(name, ready, begin, end, conclusion, habit.label, index, steps_for(rng))


def rerun_failed(
    workflow: WorkflowHabit, before: PlannedAttempt, start: int, rng: random.Random, actor: str
) -> PlannedAttempt:
    """Plan a rerun of the failed jobs: what had passed is copied, with a new id, a new creation and its old times."""
    jobs = []
    for job in before.jobs:
        if job.conclusion == "success":
            jobs.append(replace(job, created_at=start))
            continue
        begin = start + rng.choice([2, 5, 9])
        conclusion = "success" if rng.random() < 0.7 else "failure"
        length = max(20, job.completed_at - job.started_at)
        jobs.append(replace(job, created_at=start, started_at=begin, completed_at=begin + length, conclusion=conclusion,
                            label=job.label or "ubuntu-latest", steps=job.steps or steps_for(rng)))  # fmt: skip
    failed = any(job.conclusion == "failure" for job in jobs)
    end = max((job.completed_at for job in jobs), default=start) + 2
    return PlannedAttempt(start, tuple(jobs), "failure" if failed else "success", max(end, start + 3), actor)


def cut_short(attempt: PlannedAttempt, at: int, conclusion: str) -> PlannedAttempt:
    """End an attempt at a moment: what runs is cut, what waits never starts."""
    jobs = []
    for job in attempt.jobs:
        if job.completed_at <= at:
            jobs.append(job)
        elif job.started_at <= at:
            jobs.append(replace(job, completed_at=at, conclusion=conclusion))
        else:
            jobs.append(replace(job, started_at=at, completed_at=at, conclusion="cancelled", steps=(), label=""))
    return replace(attempt, jobs=tuple(jobs), conclusion=conclusion, completed_at=at + 1)
