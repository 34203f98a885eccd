"""What a run's jobs and steps cost it: which lie on its critical path, and what it would win without one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from pipemon.analytics.critical_path import Timed, critical_path

# How many steps there were, their seconds, and those of which the job was on the critical path.
StepShare: TypeAlias = tuple[int, int, int]
SKIPPED = ("skipped", "cancelled")

# A job as it counts: its workflow, name and seconds, what its run would win if it took no time at all (None where it
# is not on the critical path), and the names and the seconds of the steps that ran.
JobPart: TypeAlias = tuple[int, str, int, int | None, tuple[str, ...], tuple[int, ...]]


class JobRun(NamedTuple):
    """One job of a run's latest attempt that really ran. `steps` is its JSON as it is stored."""

    workflow_id: int
    run_id: int
    name: str
    started_at: int
    completed_at: int
    steps: str


@dataclass(slots=True)
class JobShare:
    """The jobs of one name in one workflow. Seconds are sums over `n` runs; `critical`: so often on the path."""

    workflow_id: int
    name: str
    n: int = 0
    seconds: int = 0
    critical: int = 0
    exclusive: int = 0


@dataclass(slots=True)
class Shares:
    """What was found over some runs. `path_seconds` sums the jobs of the critical paths, by workflow.

    `steps` has them by workflow and job, and in each by the step's name.
    """

    jobs: dict[tuple[int, str], JobShare] = field(default_factory=dict)
    steps: dict[tuple[int, str], dict[str, StepShare]] = field(default_factory=dict)
    path_seconds: dict[int, int] = field(default_factory=dict)
    runs: int = 0


class _Order:
    """A run's jobs in the order of their starts and of their ends."""

    def __init__(self, spans: Sequence[Timed]) -> None:
        self._by_start = sorted(spans, key=lambda span: (span.started_at, span.completed_at))
        self._by_end = sorted(range(len(spans)), key=lambda place: self._by_start[place].completed_at)

    def length(self, without: Timed | None = None) -> int:
        """Return how long the run is, or would be if that job took no time at all.

        Each job waits for all that had ended before it began, and then as long as it did.
        """
        by_start, by_end = self._by_start, self._by_end
        first = by_start[0].started_at
        ends: list[int] = []
        place, ready, was_ready = 0, first, first
        for number, span in enumerate(by_start):
            while place < number and by_start[by_end[place]].completed_at <= span.started_at and by_end[place] < number:
                ready = max(ready, ends[by_end[place]])
                was_ready = max(was_ready, by_start[by_end[place]].completed_at)
                place += 1
            took = 0 if span is without else span.completed_at - span.started_at
            ends.append(ready + span.started_at - was_ready + took)
        return max(ends) - first


def parts(run: Sequence[JobRun]) -> tuple[JobPart, ...]:
    """Return what each job of one run, all of them given, took and held up.

    What a job does not need is among what it waits for, so that no more is promised than would come true.
    """
    path, order = {id(job) for job in critical_path(run)}, _Order(run)
    whole = order.length()
    steps = json.loads(f"[{','.join(job.steps for job in run)}]")
    return tuple(
        (
            job.workflow_id, job.name, job.completed_at - job.started_at,
            whole - order.length(job) if id(job) in path else None, *_that_ran(own),
        )
        for job, own in zip(run, steps, strict=True)
    )  # fmt: skip


def _that_ran(steps: Sequence[Sequence[Any]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return names and seconds of the steps that ran and whose times are known; none lasted less than nothing."""
    ran = [
        (name, completed_at - started_at if completed_at > started_at else 0)
        for _, name, _, conclusion, started_at, completed_at in steps
        if started_at is not None and completed_at is not None and conclusion not in SKIPPED
    ]
    return tuple(name for name, _ in ran), tuple(seconds for _, seconds in ran)


def shares(runs: Iterable[Sequence[JobPart]]) -> Shares:
    """Return what the jobs and steps of these runs took and held up."""
    found = Shares()
    alike: dict[tuple[int, str, tuple[str, ...], bool], list[tuple[int, ...]]] = {}
    for run in runs:
        found.runs += 1
        for workflow_id, name, seconds, exclusive, steps, lasted in run:
            own = found.jobs.get((workflow_id, name))
            if own is None:
                own = found.jobs[workflow_id, name] = JobShare(workflow_id, name)
            own.n += 1
            own.seconds += seconds
            if exclusive is not None:
                own.critical += 1
                own.exclusive += exclusive
                found.path_seconds[workflow_id] = found.path_seconds.get(workflow_id, 0) + seconds
            alike.setdefault((workflow_id, name, steps, exclusive is not None), []).append(lasted)
    for (workflow_id, name, steps, is_critical), rows in alike.items():
        _add_steps(found.steps.setdefault((workflow_id, name), {}), steps, rows, is_critical)
    return found


def _add_steps(
    found: dict[str, StepShare], names: Sequence[str], rows: Sequence[tuple[int, ...]], is_critical: bool
) -> None:
    """Add the steps of jobs that had the same ones: most jobs of one name do, and are added up at once."""
    for name, seconds in zip(names, map(sum, zip(*rows, strict=True)), strict=True):
        n, took, critical = found.get(name, (0, 0, 0))
        found[name] = (n + len(rows), took + seconds, critical + seconds * is_critical)


def first_failed(text: str) -> str | None:
    """Return the name of the first stored step that failed; None where none did."""
    failed = [step for step in json.loads(text) if step[3] in ("failure", "timed_out")]
    return str(min(failed, key=lambda step: int(step[0]))[1]) if failed else None
