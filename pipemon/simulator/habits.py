"""What kinds of repositories there are in the made-up world, and how each behaves."""

from dataclasses import dataclass

OWNER = "octo-harbor"


@dataclass(frozen=True, slots=True)
class JobHabit:
    """A job: how long it takes (seconds, shortest and longest), how often it fails alone, and what runs before it."""

    name: str
    seconds: tuple[int, int]
    fails: float = 0.02
    needs: tuple[str, ...] = ()
    legs: int = 1
    label: str = "ubuntu-latest"


@dataclass(frozen=True, slots=True)
class WorkflowHabit:
    """A workflow: its names over time (a rename after half a year), its file, its jobs, who starts it and how often."""

    id: int
    names: tuple[str, ...]
    path: str
    jobs: tuple[JobHabit, ...]
    per_day: float
    events: tuple[tuple[str, str], ...] = (("push", "main"),)  # (event, branch; "*" is a topic branch)
    at_hour: int | None = None  # a nightly cron


@dataclass(frozen=True, slots=True)
class Habit:
    """A repository: its workflows, and how trouble comes to it (chance that a red streak starts, its longest length)."""

    name: str
    github_id: int
    workflows: tuple[WorkflowHabit, ...]
    streak: float = 0.04
    longest_streak: int = 5
    forks: float = 0.0
    private: bool = False


LINT = JobHabit("lint", (20, 60))
UNIT = JobHabit("unit", (40, 160), 0.04, ("lint",))
BOTH = (("push", "main"), ("pull_request", "*"), ("pull_request", "*"), ("push", "*"))

MONOREPO = Habit(
    "mono", 7001,
    (
        WorkflowHabit(
            91001, ("Build", "Build and test"), ".github/workflows/build.yml",
            (LINT, UNIT, JobHabit("e2e / browser", (60, 300), 0.05, ("unit",)), JobHabit("package", (30, 90), 0.01, ("unit",))),
            18, BOTH,
        ),
        WorkflowHabit(
            91002, ("Matrix",), ".github/workflows/matrix.yml",
            (JobHabit("test", (30, 240), 0.001, legs=256),), 0.05, (("workflow_dispatch", "main"),),
        ),
        WorkflowHabit(91003, ("Docs",), ".github/workflows/docs.yml", (JobHabit("docs", (20, 50)),), 8, BOTH),
    ),
)  # fmt: skip
LIBRARY = Habit(
    "quiet-lib", 7002,
    (
        WorkflowHabit(92001, ("Nightly",), ".github/workflows/nightly.yml",
                      (LINT, JobHabit("nightly", (120, 360), 0.08, ("lint",))), 1, (("schedule", "main"),), at_hour=3),
        WorkflowHabit(92002, ("CI",), ".github/workflows/ci.yml", (LINT, UNIT), 1.5, BOTH),
    ),
)  # fmt: skip
SERVICE = Habit(
    "shop", 7003,
    (
        WorkflowHabit(93001, ("CI",), ".github/workflows/ci.yml", (LINT, UNIT), 10, BOTH),
        WorkflowHabit(
            93002, ("Deploy",), ".github/workflows/deploy.yml",
            (JobHabit("build image", (40, 80)), JobHabit("deploy staging", (20, 60), 0.03, ("build image",)),
             JobHabit("deploy production", (20, 60), 0.04, ("deploy staging",), label="self-hosted")),
            6,
        ),
    ),
    private=True,
)  # fmt: skip
FORKED = Habit(
    "open-tool", 7004,
    (WorkflowHabit(94001, ("Tests",), ".github/workflows/tests.yml", (LINT, JobHabit("test", (60, 200), 0.06, legs=4)), 9, BOTH),),
    forks=0.5,
)  # fmt: skip
TWINS = Habit(
    "twins", 7005,
    (
        WorkflowHabit(95001, ("CI",), ".github/workflows/ci.yml", (LINT, UNIT), 4, BOTH),
        WorkflowHabit(95002, ("CI",), ".github/workflows/ci-windows.yml", (JobHabit("windows", (90, 280), 0.05, label="windows-latest"),), 4, BOTH),
    ),
)  # fmt: skip

HABITS = (MONOREPO, LIBRARY, SERVICE, FORKED, TWINS)
SIZES: dict[str, tuple[tuple[Habit, ...], float]] = {
    "demo": (HABITS, 1.0),
    "test": ((SERVICE, TWINS), 0.5),
    "empty": ((SERVICE, TWINS, FORKED), 0.0),
}


def plain(number: int) -> Habit:
    """Return the n-th of any number of like repositories, for benchmarks."""
    ids = 100_000 + number * 10
    workflow = WorkflowHabit(ids, ("CI",), ".github/workflows/ci.yml", (LINT, UNIT), 1.0, BOTH)
    return Habit(f"repo-{number:03d}", 8000 + number, (workflow,))
