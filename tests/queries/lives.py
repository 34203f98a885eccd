"""Random histories of runs, taken in by the write path, for a reference that knows only what GitHub told."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pipemon.domain.coverage import Range
from pipemon.domain.repositories import Repository
from pipemon.domain.runs import Commit, Job, JobList, Run, Step
from pipemon.domain.signatures import Signature
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.store import failures, repositories
from pipemon.store.engine import Database
from pipemon.store.failures import Explained
from pipemon.store.repositories import PollOutcome
from pipemon.store.schema import repositories as table
from tests.builders import a_job, a_run

DAY = 86400
# Berlin's and Lord Howe's clocks changed within the thirty days before.
END = 1_761_729_200  # 2025-10-29T09:13:20Z
FAILED = ("failure", "timed_out", "startup_failure")
WATCHED = ("acme/alpha", "acme/beta")
EXCLUDED = ("exclu*", "hidden.y?l")
# id: repository, name, file. Two workflows of one repository share a name; number 12 is renamed on its way.
WORKFLOWS = {
    11: ("acme/alpha", "CI", "ci.yml"),
    12: ("acme/alpha", "Ship 100% of it", "ship_it.yml"),
    13: ("acme/alpha", "CI", "ci-again.yml"),
    14: ("acme/alpha", "Excluded one", "x.yml"),
    15: ("acme/alpha", "Plain", "hidden.yml"),
    21: ("acme/beta", "CI", "ci.yml"),
    22: ("acme/beta", "1200", "twelve.yml"),
    31: ("acme/unseen", "CI", "ci.yml"),
}
ENDS = ("success",) * 6 + ("failure",) * 3 + ("timed_out", "startup_failure", "cancelled", "cancelled")
ODD_ENDS = ("skipped", "neutral", "stale", "action_required", "new_word", None)
EVENTS = ("push", "push", "push", "schedule", "pull_request", "pull_request_target", None)
BRANCHES = ("main", "main", "main", "trunk", "feature/a_b", "feature/aXb", "=1+1", "Main", None)
LABELS = (("ubuntu-latest",), ("self-hosted", "linux"), ("linux", "self-hosted"), ("ubuntu-24.04-arm",), ("own",), ())
JOBS = ("build", "test (3.11, Ünï)", "test (3.12)", "deploy")


@dataclass
class Life:
    """One run as it was told: the newest observation of each attempt, and the jobs of those that were listed."""

    tries: dict[int, Run]
    jobs: dict[int, tuple[Job, ...]] = field(default_factory=dict)
    gone: bool = False

    @property
    def run(self) -> Run:
        """The latest attempt."""
        return self.tries[max(self.tries)]


@dataclass
class History:
    """Everything that was told, and what was read in the logs of failed jobs: (signature, platform) by job."""

    lives: dict[int, Life] = field(default_factory=dict)
    said: dict[int, tuple[str, bool]] = field(default_factory=dict)


def watch(db: Database, names: Sequence[str] = (*WATCHED, "acme/unseen")) -> None:
    """Watch the repositories; the second has another name and another default branch on GitHub."""

    def work(conn: sa.Connection) -> None:
        repositories.watch(conn, names)
        for number, (key, name) in enumerate(_ids(conn).items()):
            found = Repository(70 + number, "acme/Renamed" if name == "acme/beta" else name, ("main", "trunk")[key % 2])
            repositories.identify(conn, key, found)
            repositories.record_success(conn, PollOutcome(key, END + DAY, 30, END + 2 * DAY), END + DAY)

    db.transact(work)


def _ids(conn: sa.Connection) -> dict[int, str]:
    return dict(conn.execute(sa.select(table.c.id, table.c.name).order_by(table.c.id)).all())


def new_life(rng: random.Random, number: int, begin: int, edges: Sequence[int] = ()) -> Life:
    """Return a run that was created between `begin` and END, or just there on one of the edges."""
    key = rng.choice(list(WORKFLOWS))
    repository, name, file = WORKFLOWS[key]
    at = rng.choice(edges) if edges and rng.random() < 0.3 else rng.randrange(begin, END)
    renamed = key == 12 and at < END - 9 * DAY
    author = rng.choice([Commit("Mend it", "Ada", committed_at=at), Commit("Mend it", None), None])
    first = a_run(
        id=40_000 + number,
        repository=repository,
        workflow_id=key,
        run_number=at // 600 + number % 3,
        name="Old name" if renamed else name,
        path=f".github/workflows/{file}",
        event=rng.choice(EVENTS),
        branch=rng.choice(BRANCHES),
        sha=None if rng.random() < 0.05 else f"{rng.randrange(12):040x}",
        head_repository=rng.choice([repository, repository, "eve/fork", None]),
        actor=rng.choice(["octo", "cat", None]),
        commit=author,
        created_at=at,
    )
    life = Life({})
    again(rng, life, first, rng.choice([1, 1, 1, 1, 2, 3]), skips=rng.random() < 0.2)
    return life


def again(rng: random.Random, life: Life, run: Run, count: int, *, skips: bool = False) -> None:
    """Give the run so many more attempts; where one is skipped, nobody saw it."""
    begin = max(life.tries, default=0)
    at = run.created_at if not life.tries else life.run.updated_at + 60
    for number in range(begin + 1, begin + count + 1):
        is_last = number == begin + count
        over = not is_last or rng.random() > 0.06
        end = rng.choice(ENDS if rng.random() > 0.15 else ODD_ENDS) if over else None
        status = "completed" if over else rng.choice(["queued", "in_progress", "waiting", "pending", "requested"])
        long = 40 * DAY if rng.random() < 0.04 else rng.randrange(1, 5000)
        tried = replace(
            run, run_attempt=number, status=status, conclusion=end, started_at=at + rng.choice([-1, 0, 0, 30]),
            updated_at=at + long,
        )  # fmt: skip
        if is_last or not skips:
            life.tries[number] = tried
            if rng.random() > 0.15:
                life.jobs[number] = tuple(_jobs(rng, life, tried))
        at += rng.randrange(100, 9000)


def _jobs(rng: random.Random, life: Life, run: Run) -> list[Job]:
    earlier = life.jobs.get(run.run_attempt - 1, ())
    found = []
    for place, name in enumerate(JOBS[: rng.randrange(5)]):
        job = _job(rng, run, name, run.id * 100 + run.run_attempt * 10 + place)
        passed = [one for one in earlier if one.name == name and one.conclusion == "success"]
        if passed and rng.random() < 0.7:  # GitHub copies it: a new id and creation, its old times
            times = {"started_at": passed[0].started_at, "completed_at": passed[0].completed_at}
            job = replace(passed[0], id=job.id, run_attempt=run.run_attempt, created_at=run.started_at, **times)
        found.append(job)
    return found


def _job(rng: random.Random, run: Run, name: str, key: int) -> Job:
    made = (run.started_at or 0) + rng.choice([-3, 0, 0, 200])
    begun = made + rng.choice([-2, -1, 0, 5, rng.randrange(900)])
    over = run.status == "completed" or rng.random() < 0.5
    end = rng.choice(ENDS if rng.random() > 0.15 else ODD_ENDS[:3]) if over else None
    took = rng.choice([-1, 0, 1, 59, 60, 61, rng.randrange(5000)])
    return a_job(
        run,
        id=key,
        name=name,
        status="completed" if over else rng.choice(["queued", "in_progress"]),
        conclusion=end,
        created_at=None if rng.random() < 0.05 else made,
        started_at=None if rng.random() < 0.05 else begun,
        completed_at=begun + took if over else None,
        runner_name=rng.choice(["GitHub Actions 1", "", None]),
        labels=rng.choice(LABELS),
        steps=_steps(rng, end),
    )


def _steps(rng: random.Random, end: str | None) -> tuple[Step, ...]:
    good = Step("Set up job", 1, "completed", "success")
    own = Step("Test", 2, "completed", end)
    lost = Step('Say "completed","failure",', 2, "completed", "cancelled")
    set_up = Step("Set up job", 1, "completed", "failure")
    return rng.choice([(good, own), (good, own), (good, lost), (set_up, own), ()])


def take_in(db: Database, rng: random.Random, told: Sequence[Life]) -> None:
    """Bring the lives into the database by the write path, in small batches out of order."""
    with db.read() as conn:
        ids = {name: key for key, name in _ids(conn).items()}
    for name in sorted({life.run.repository for life in told}):
        own = [life for life in told if life.run.repository == name]
        rng.shuffle(own)
        for place in range(0, len(own), 40):
            some = own[place : place + 40]
            seen = tuple(Sighting(run) for life in some for run in life.tries.values())
            jobs = tuple(JobList(life.run.id, n, found, True) for life in some for n, found in life.jobs.items())
            gone = tuple(life.run.id for life in some if life.gone)
            # A run is gone when GitHub has not known it twice.
            for batch in (
                Batch(ids[name], None, seen, jobs),
                Batch(ids[name], None, missing=gone),
                Batch(ids[name], None, gone=gone),
            ):
                db.transact(lambda conn, batch=batch: apply(conn, batch, END))  # type: ignore[misc]


def cover(db: Database, name: str, begin: int, end: int) -> None:
    """Note that the repository's history of this stretch was read."""
    with db.read() as conn:
        key = next(key for key, known in _ids(conn).items() if known == name)
    db.transact(lambda conn: apply(conn, Batch(key, None, covered=Range(begin, end)), END))


def read_logs(db: Database, rng: random.Random, history: History, share: float = 0.6) -> None:
    """Read the logs of a share of the failed jobs whose logs are asked for."""
    with db.read() as conn:
        wanted = [one.job_id for one in failures.list_wanted(conn, END + DAY, 100_000)]
    for job_id in wanted:
        if rng.random() < share:
            word, platform = rng.choice([("a" * 16, False), ("b" * 16, False), ("c" * 16, True)])
            history.said[job_id] = (word, platform)
            said = Explained(Signature(word, f"It broke: {word[0]}", platform), None, ())
            db.transact(lambda conn, job_id=job_id, said=said: failures.explain(conn, job_id, said))  # type: ignore[misc]


def tell(db: Database, seed: int, days: int, size: int = 260, edges: Sequence[int] = ()) -> History:
    """Store a random history of so many days; return what was told."""
    rng = random.Random(seed)
    watch(db)
    lives = [new_life(rng, number, END - days * DAY, edges) for number in range(size)]
    for life in lives:
        life.gone = rng.random() < 0.05
    take_in(db, rng, lives)
    db.transact(lambda conn: repositories.watch(conn, WATCHED))
    history = History({life.run.id: life for life in lives})
    read_logs(db, rng, history)
    return history
