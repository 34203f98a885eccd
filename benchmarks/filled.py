"""A database with so many made-up runs, written by the store's own functions."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipemon.domain.runs import Attempt, AttemptTimes, Commit, Job, Run, Step
from pipemon.store import events, repositories, runs
from pipemon.store.engine import Database
from pipemon.store.repositories import PollOutcome
from pipemon.store.upgrade import upgrade

BATCH = 1000
ENDS = ["success"] * 80 + ["failure"] * 12 + ["cancelled"] * 6 + ["skipped"] * 2
BRANCHES = ["main"] * 5 + [f"topic-{n}" for n in range(20)]
STEPS = tuple(Step(f"step {n}", n, "completed", "success", None, None) for n in range(1, 7))


def made_up(number: int, created: int, rng: random.Random, repository: str) -> tuple[Run, Attempt, list[Job]]:
    """Return a completed run of one of thirty workflows, its attempt, and its two jobs."""
    seconds, end = rng.randint(30, 900), rng.choice(ENDS)
    run_id, workflow = 10_000_000_000 + number, rng.randrange(30)
    times = AttemptTimes(created + 5, created + seconds, seconds, "jobs", 5)
    run = Run(
        run_id, repository, number, 1, 1000 + workflow, "completed", created, created + seconds + 2, end, created,
        f"workflow {workflow}", "Fix the price table", f".github/workflows/{workflow}.yml", "push",
        rng.choice(BRANCHES), f"{number:040x}", repository, "dev-ada", "dev-ada",
        Commit("Fix the price table", "Dev Ada", "dev-ada@example.com", "GitHub", "noreply@example.com", created),
        (), f"https://github.example/{repository}/actions/runs/{run_id}", f"https://api.github.example/{run_id}",
    )  # fmt: skip
    attempt = Attempt(run_id, 1, "completed", run.updated_at, end, created, run.updated_at, "dev-ada", times, True)
    jobs = [
        Job(run_id * 10 + n, run_id, 1, f"job {n}", "completed", end, created, created + 5, created + seconds,
            "GitHub Actions 1", "GitHub Actions", ("ubuntu-latest",), None, STEPS)
        for n in range(2)
    ]  # fmt: skip
    return run, attempt, jobs


def fill(db: Database, count: int, now: int, names: tuple[str, ...] = ("octo/shop", "octo/api")) -> None:
    """Store so many runs of the last ninety days, newest last, as if they had been read."""
    rng = random.Random(1)
    db.transact(lambda conn: repositories.watch(conn, names))
    with db.read() as conn:
        watched = repositories.list_watched(conn)
    for start in range(0, count, BATCH):
        repo = watched[start // BATCH % len(watched)]
        made = [
            made_up(n, now - int((count - n) * 90 * 86400 / count), rng, repo.name)
            for n in range(start, min(start + BATCH, count))
        ]
        db.transact(lambda conn, repo=repo, made=made: _store(conn, repo.id, made))  # type: ignore[misc]
    for repo in watched:
        outcome = PollOutcome(repo.id, now, 60, now + 10**9)
        db.transact(lambda conn, outcome=outcome: repositories.record_success(conn, outcome, now))  # type: ignore[misc]


def _store(conn: object, repository_id: int, made: list[tuple[Run, Attempt, list[Job]]]) -> None:
    runs.put_runs(conn, repository_id, {run.id: (run, attempt) for run, attempt, _ in made})  # type: ignore[arg-type]
    runs.put_attempts(conn, repository_id, [attempt for _, attempt, _ in made])  # type: ignore[arg-type]
    runs.put_jobs(conn, repository_id, [job for _, _, jobs in made for job in jobs])  # type: ignore[arg-type]
    runs.put_workflows(conn, repository_id, [run for run, _, _ in made])  # type: ignore[arg-type]
    events.bump_revision(conn)  # type: ignore[arg-type]


@contextmanager
def filled_folder(count: int, now: int) -> Iterator[Path]:
    """Give a data folder whose database holds so many runs; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pipemon-bench-"))
    try:
        db = Database(f"sqlite:///{folder / 'pipemon.sqlite3'}")
        upgrade(db)
        fill(db, count, now)
        db.close()
        yield folder
    finally:
        shutil.rmtree(folder)
