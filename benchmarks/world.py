"""A made-up organisation of two years: pushes, their runs with attempts and jobs, why jobs failed, and deployments.

The same size is the same rows. They are tuples in the order of COLUMNS; a moment is a Unix second.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

NOW = 1_760_000_000
DAYS = 730
DAY_SECONDS = 86400
BEGIN = NOW - DAYS * DAY_SECONDS
REPOSITORIES, WORKFLOWS = 50, 300
DEPLOYS_A_DAY = 5
AT_ONCE = 20_000
FIRST_ID = 10_000_000_000
NAMES = tuple(f"octo/repo-{number + 1}" for number in range(REPOSITORIES))

COLUMNS = {
    "workflows": ("id", "repository_id", "name", "path", "named_at"),
    "runs": (
        "id", "repository_id", "workflow_id", "run_number", "name", "title", "path", "event", "branch", "sha",
        "head_repository", "actor", "triggering_actor", "author", "commit_message", "commit_author_name",
        "commit_author_email", "committed_at", "pull_requests", "url", "api_url", "created_at", "run_attempt", "status",
        "conclusion", "started_at", "updated_at", "completed_at", "duration_seconds", "duration_source",
        "queue_seconds",
    ),
    "attempts": (
        "run_id", "run_attempt", "repository_id", "status", "conclusion", "started_at", "updated_at",
        "triggering_actor", "first_job_at", "completed_at", "duration_seconds", "duration_source", "queue_seconds",
        "jobs_complete",
    ),
    "jobs": (
        "id", "run_id", "run_attempt", "repository_id", "name", "status", "conclusion", "created_at", "started_at",
        "completed_at", "runner_name", "runner_group_name", "labels", "url", "steps",
    ),
    "failures": (
        "job_id", "run_id", "repository_id", "completed_at", "state", "due_at", "tries", "step", "step_number",
        "signature", "title", "platform", "lines",
    ),
    "deployments": (
        "id", "repository_id", "environment", "sha", "created_at", "updated_at", "statuses", "state", "deployed_at",
        "failed_at", "finished_at", "statuses_of", "kind", "rule", "evidence", "previous_id", "compared_with",
        "comparison", "commits", "source",
    ),
}  # fmt: skip

ENDS = ["success"] * 80 + ["failure"] * 12 + ["cancelled"] * 6 + ["timed_out", "skipped"]
JOBS = ("lint", "build", "test (3.11)", "test (3.12)")
LABELS = ['["ubuntu-latest"]'] * 8 + ['["macos-14"]', '["self-hosted","linux"]']
FAILED = frozenset({"failure", "timed_out"})

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]


def _steps(*ends: str) -> str:
    names = ("Set up job", "Run actions/checkout@v4", "Run make", "Post Run actions/checkout@v4", "Complete job")
    both = enumerate(zip(names, ends, strict=True), 1)
    each = (f'[{place},"{name}","completed","{end}",%d,%d]' for place, (name, end) in both)
    return f"[{','.join(each)}]"


GOOD, LATE = ("success", "success"), ("skipped", "success")
STEPS = {
    "success": _steps(*GOOD, "success", *GOOD),
    "failure": _steps(*GOOD, "failure", *LATE),
    "timed_out": _steps(*GOOD, "failure", *LATE),
    "cancelled": _steps(*GOOD, "cancelled", *LATE),
    "platform": _steps("failure", "skipped", "skipped", *LATE),
}


def slices(count: int) -> Iterator[Rows]:
    """Yield the rows of so many completed runs, oldest first, in handy portions."""
    rng, numbers = random.Random(1), [0] * (WORKFLOWS + 1)
    yield {"workflows": list(_workflows()), "deployments": list(_deployments(count))}
    for start in range(0, count, AT_ONCE):
        rows: Rows = {name: [] for name in ("runs", "attempts", "jobs", "failures")}
        push: Row = ()
        for number in range(start, min(start + AT_ONCE, count)):
            # A push starts two workflows.
            push = push if number % 2 else _push(number // 2, count, rng)
            _run(rows, number, push, numbers, rng)
        yield rows


def topic_near(days: int, count: int) -> str:
    """Return a branch that was worked on so many days before NOW."""
    return f"topic-{(count - count * days // DAYS) // 800 * 20 + 1}"


def sha_of(push: int) -> str:
    """Return a push's commit."""
    return f"{push * 0x9E3779B97F4A7C15 % 2**64:016x}{push:024x}"


def _workflows() -> Iterator[Row]:
    for number in range(1, WORKFLOWS + 1):
        repository = (number - 1) % REPOSITORIES + 1
        yield number, repository, f"Workflow {number}", f".github/workflows/{number}.yml", BEGIN


def _push(push: int, count: int, rng: random.Random) -> Row:
    """Return (push, repository, branch, event, author, moment, the workflow that it starts first)."""
    draw, repository = rng.random(), 1 + int(rng.random() ** 2 * REPOSITORIES)
    if draw < 0.5:
        branch, event = "main", "push" if draw < 0.42 else "schedule" if draw < 0.47 else "workflow_dispatch"
    elif draw < 0.56:
        branch, event = "develop", "push"
    else:
        # Twenty at a time, each with some ten pushes.
        branch, event = f"topic-{push // 400 * 20 + rng.randrange(20)}", "pull_request" if draw < 0.83 else "push"
    at = BEGIN + push * 2 * DAYS * DAY_SECONDS // count
    return push, repository, branch, event, f"dev-{int(rng.random() ** 2 * 200)}", at, int(rng.random() ** 2 * 5)


def _run(rows: Rows, number: int, push: Row, numbers: list[int], rng: random.Random) -> None:
    """Add a run of a push: one in twenty was tried twice, since it had failed."""
    commit, repository, branch, event, who, at, place = push
    key, workflow = FIRST_ID + number, repository + REPOSITORIES * (place + number % 2)
    numbers[workflow] += 1
    end, name = rng.choice(ENDS), f"octo/repo-{repository}"
    again = end in FAILED and rng.random() < 0.35
    started, done, tries = at, at, 2 if again else 1
    for attempt in range(1, tries + 1):
        if attempt == 2:
            started, end = done + rng.randint(300, 3600), "success" if rng.random() < 0.7 else "failure"
        queued = 1 + int(rng.expovariate(0.08))
        seconds = queued + 20 + int((60 + workflow * 37 % 900) * rng.lognormvariate(0, 0.35))
        done = started + seconds
        times = (done, seconds, "jobs", queued)
        rows["attempts"].append((key, attempt, repository, "completed", end, started, done + 2, who, started + queued,
                                 *times, 1))  # fmt: skip
        _jobs(rows, (key, attempt, repository, workflow), (started, queued, seconds), end, rng)
    rows["runs"].append((
        key, repository, workflow, numbers[workflow], f"Workflow {workflow}", f"Mend door {commit}",
        f".github/workflows/{workflow}.yml", event, branch, sha_of(commit), name, who, who, who, f"Mend door {commit}",
        f"Dev {who[4:]}", f"{who}@example.com", at - 60, f"[{commit % 900}]" if event == "pull_request" else "[]",
        f"https://github.example/{name}/actions/runs/{key}",
        f"https://api.github.example/repos/{name}/actions/runs/{key}", at, tries, "completed", end, started, done + 2,
        *times,
    ))  # fmt: skip


def _jobs(rows: Rows, of: Row, times: tuple[int, int, int], end: str, rng: random.Random) -> None:
    """Add an attempt's four jobs: two at once, then two more; where the build fails, the tests are skipped."""
    key, attempt, repository, workflow = of
    at, queued, seconds = times
    half = (queued + seconds) // 2
    red = rng.randrange(1, 4) if end in FAILED else None
    for place, name in enumerate(JOBS):
        own, created = end if end == "skipped" else "success", at if place < 2 else at + half
        started, done = created + (queued if place < 2 else queued // 4), at + (half if place < 2 else seconds)
        if place == red:
            own = end
        elif end == "cancelled" and place > 1:
            own = "cancelled"
        elif red == 1 and place > 1:
            own = "skipped"
        elif attempt == 2 and place < 2:
            # A rerun copies what has passed, with its old times.
            started, done = started - 3600, done - 3600
        steps, job_id = "[]", key * 8 + attempt * 4 - 4 + place
        if own == "skipped":
            started = done = created
        else:
            lost = own == "failure" and rng.random() < 0.03
            a, b, c, d = started, started + 2, started + 4, done - 1
            steps = STEPS["platform" if lost else own] % (a, b, b, c, c, d, d, d, d, done)
            if own in FAILED:
                rows["failures"].append(_failure(job_id, key, repository, workflow, done, lost, rng))
        labels, runner = LABELS[(workflow + place) % 10], f"GitHub Actions {job_id % 1000}"
        rows["jobs"].append((
            job_id, key, attempt, repository, name, "completed", own, created, started, done, runner, "GitHub Actions",
            labels, f"https://github.example/octo/repo-{repository}/actions/runs/{key}/job/{job_id}", steps,
        ))  # fmt: skip


def _failure(job: int, run: int, repository: int, workflow: int, at: int, lost: bool, rng: random.Random) -> Row:
    kind = workflow * 7 % 100 + int(rng.random() ** 3 * 200)
    known = ("read", f"{kind:016x}", f"error: door {kind} does not open") if rng.random() < 0.95 else ("expired",)
    state, signature, title = (*known, None, None)[:3]
    lines = f'[[120,"{at}","error","error: door {kind} does not open in tests/test_door.py"]]'
    step = ("Set up job", 1) if lost else ("Run make", 3)
    return job, run, repository, at, state, at, 1, *step, signature, title, int(lost), lines


def _deployments(count: int) -> Iterator[Row]:
    """Yield each repository's deployments to production, with three commits each; one in twelve fails."""
    rng = random.Random(2)
    for repository in range(1, REPOSITORIES + 1):
        before, sha_before = None, None
        for number in range(DAYS * DEPLOYS_A_DAY):
            key, at = repository * 1_000_000 + number, BEGIN + number * DAY_SECONDS // DEPLOYS_A_DAY + repository
            failed, done = rng.random() < 0.08, at + 30 + rng.randrange(300)
            sha, state = sha_of((at - BEGIN) * (count // 2) // (DAYS * DAY_SECONDS)), "failure" if failed else "success"
            commits = json.dumps([
                [f"{key:039x}{n}", at - rng.randint(600, 90_000), "Mend a door", "dev", False] for n in range(3)
            ])  # fmt: skip
            statuses = json.dumps([[key, "in_progress", at, None], [key + 1, state, done, None]])
            times = (None, done, done) if failed else (done, None, done)
            yield (key, repository, "production", sha, at, done, statuses, state, *times, done,
                   "first" if before is None else "change", "new_commit", "{}", before, sha_before,
                   "unreadable" if before is None else "ahead", commits, "github")  # fmt: skip
            if not failed:
                before, sha_before = key, sha
