"""What a run's jobs and steps cost it: which lie on its critical path, and what it would win without one."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipemon.analytics.critical_path import Timed, critical_path

Sums = defaultdict[str, int]
SKIPPED = ("skipped", "cancelled")
# The steps of so many jobs are read at a stretch: quicker than one by one, and no other thread waits long.
AT_ONCE = 100


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

    `steps` has, by workflow and job, and in each by the step's name, how many there were, their seconds, and those
    of which the job was on the critical path: few objects, for there may be ten thousand steps.
    """

    jobs: dict[tuple[int, str], JobShare] = field(default_factory=dict)
    steps: dict[tuple[int, str], tuple[Sums, Sums, Sums]] = field(default_factory=dict)
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


def exclusive_seconds(spans: Sequence[Timed], without: Timed) -> int:
    """Return what the run would win if that job took no time at all.

    What it does not need is among what it waits for, so that no more is promised than would come true.
    """
    order = _Order(spans)
    return order.length() - order.length(without)


def shares(runs: Iterable[Sequence[JobRun]]) -> Shares:
    """Return what the jobs and steps of these runs, each with all of its jobs, took and held up."""
    found = Shares()
    told: list[tuple[JobRun, bool]] = []
    for run in runs:
        path, order = {id(job) for job in critical_path(run)}, _Order(run)
        whole = order.length()
        found.runs += 1
        for job in run:
            is_critical = id(job) in path
            _add(found, job, whole - order.length(job) if is_critical else None)
            told.append((job, is_critical))
    for place in range(0, len(told), AT_ONCE):
        _add_steps(found, told[place : place + AT_ONCE])
    return found


def _add(found: Shares, job: JobRun, exclusive: int | None) -> None:
    """Add a job; `exclusive` is what the run would win without it, None where it is not on the critical path."""
    key = (job.workflow_id, job.name)
    if (own := found.jobs.get(key)) is None:
        own = found.jobs[key] = JobShare(*key)
        found.steps[key] = (defaultdict(int), defaultdict(int), defaultdict(int))
    seconds = job.completed_at - job.started_at
    own.n += 1
    own.seconds += seconds
    if exclusive is not None:
        own.critical += 1
        own.exclusive += exclusive
        found.path_seconds[job.workflow_id] = found.path_seconds.get(job.workflow_id, 0) + seconds


def _add_steps(found: Shares, told: Sequence[tuple[JobRun, bool]]) -> None:
    """Add the steps of these jobs that ran and of which both times are known; none lasted less than nothing."""
    read = json.loads(f"[{','.join(job.steps for job, _ in told)}]")
    for (job, is_critical), steps in zip(told, read, strict=True):
        n, took, critical = found.steps[job.workflow_id, job.name]
        for _, name, _, conclusion, started_at, completed_at in steps:
            if started_at is None or completed_at is None or conclusion in SKIPPED:
                continue
            lasted = completed_at - started_at if completed_at > started_at else 0
            n[name] += 1
            took[name] += lasted
            if is_critical:
                critical[name] += lasted


def first_failed(text: str) -> str | None:
    """Return the name of the first stored step that failed; None where none did."""
    failed = [step for step in json.loads(text) if step[3] in ("failure", "timed_out")]
    return str(min(failed, key=lambda step: int(step[0]))[1]) if failed else None
