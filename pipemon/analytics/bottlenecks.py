"""What a run's jobs and steps cost it: which lie on its critical path, and what it would win without one."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipemon.analytics.critical_path import Span, critical_path

SKIPPED = ("skipped", "cancelled")


@dataclass(frozen=True, slots=True)
class JobRun:
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
class StepShare:
    """The steps of one name in one job. `critical`: the seconds of those whose job was on the critical path."""

    workflow_id: int
    job: str
    name: str
    n: int = 0
    seconds: int = 0
    critical: int = 0


@dataclass(slots=True)
class Shares:
    """What was found over some runs. `path_seconds` sums the jobs of the critical paths, by workflow."""

    jobs: dict[tuple[int, str], JobShare] = field(default_factory=dict)
    steps: dict[tuple[int, str, str], StepShare] = field(default_factory=dict)
    path_seconds: dict[int, int] = field(default_factory=dict)
    runs: int = 0


def exclusive_seconds(spans: Sequence[Span], without: Span) -> int:
    """Return what the run would win if that job took no time at all.

    Each job waits for all that had ended before it began, and then as long as it did: what it does not need is
    among them, so that no more is promised than would come true.
    """
    return _length(spans, None) - _length(spans, without)


def _length(spans: Sequence[Span], without: Span | None) -> int:
    by_start = sorted(spans, key=lambda span: (span.started_at, span.completed_at))
    by_end = sorted(range(len(by_start)), key=lambda place: by_start[place].completed_at)
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


def shares(runs: Iterable[Sequence[JobRun]]) -> Shares:
    """Return what the jobs and steps of these runs, each with all of its jobs, took and held up."""
    found = Shares()
    for run in runs:
        spans = [Span(job.name, job.started_at, job.completed_at) for job in run]
        path = {id(span) for span in critical_path(spans)}
        found.runs += 1
        for job, span in zip(run, spans, strict=True):
            _add(found, job, spans, span, id(span) in path)
    return found


def _add(found: Shares, job: JobRun, spans: Sequence[Span], span: Span, on_path: bool) -> None:
    key = (job.workflow_id, job.name)
    own = found.jobs.setdefault(key, JobShare(*key))
    seconds = job.completed_at - job.started_at
    own.n += 1
    own.seconds += seconds
    if on_path:
        own.critical += 1
        own.exclusive += exclusive_seconds(spans, span)
        found.path_seconds[job.workflow_id] = found.path_seconds.get(job.workflow_id, 0) + seconds
    for name, took in step_times(job.steps):
        step = found.steps.setdefault((*key, name), StepShare(*key, name))
        step.n += 1
        step.seconds += took
        step.critical += took if on_path else 0


def step_times(text: str) -> list[tuple[str, int]]:
    """Return names and seconds of the stored steps that ran and of which both times are known; never negative."""
    return [
        (name, max(0, completed_at - started_at))
        for _, name, _, conclusion, started_at, completed_at in json.loads(text)
        if conclusion not in SKIPPED and started_at is not None and completed_at is not None
    ]


def first_failed(text: str) -> str | None:
    """Return the name of the first stored step that failed; None where none did."""
    steps = sorted(json.loads(text), key=lambda step: int(step[0]))
    return next((name for _, name, _, end, _, _ in steps if end in ("failure", "timed_out")), None)
