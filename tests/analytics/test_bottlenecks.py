"""What a run would win without a job: stories, then random runs the slow way."""

import json
import random

import pytest

from pipemon.analytics.bottlenecks import JobRun, first_failed, parts, shares
from pipemon.analytics.critical_path import Span, critical_path

STORIES = [
    # jobs as name: start, end -> what the run wins without each
    ({"build": (0, 100)}, {"build": 100}),
    ({"build": (0, 100), "test": (100, 160)}, {"build": 100, "test": 60}),
    ({"build": (0, 100), "lint": (0, 90), "test": (100, 160)}, {"build": 10, "lint": 0, "test": 60}),
    ({"build": (0, 100), "test": (105, 160)}, {"build": 100, "test": 55}),
    ({"a": (0, 50), "b": (0, 50)}, {"a": 0, "b": 0}),
    ({"a": (0, 10), "b": (10, 10), "c": (10, 20)}, {"a": 10, "b": 0, "c": 10}),
]


@pytest.mark.parametrize(("told", "wins"), STORIES)
def test_stories(told: dict[str, tuple[int, int]], wins: dict[str, int]) -> None:
    run = [JobRun(7, 1, name, *times, "[]") for name, times in told.items()]
    assert {name: exclusive or 0 for _, name, _, exclusive, *_ in parts(run)} == wins


def a_run(rng: random.Random) -> list[Span]:
    return [
        Span(f"j{number}", start := rng.randrange(60), start + rng.randrange(1, 40))
        for number in range(rng.randrange(1, 12))
    ]


def slow_length(spans: list[Span], without: Span | None) -> int:
    """Start each job as soon as all that it followed are over, and its own wait is."""
    begin = min(span.started_at for span in spans)

    def end_of(span: Span) -> int:
        before = [other for other in spans if other.completed_at <= span.started_at]
        ready = max((end_of(other) for other in before), default=begin)
        waited = span.started_at - max((other.completed_at for other in before), default=begin)
        return ready + waited + (0 if span is without else span.completed_at - span.started_at)

    return max(map(end_of, spans)) - begin


@pytest.mark.parametrize("seed", range(150))
def test_random_runs_equal_the_slow_way(seed: int) -> None:
    spans = a_run(random.Random(seed))
    path = critical_path(spans)
    told = parts([JobRun(7, 1, span.name, span.started_at, span.completed_at, "[]") for span in spans])
    for span, (_, name, seconds, exclusive, *_) in zip(spans, told, strict=True):
        assert (name, seconds) == (span.name, span.completed_at - span.started_at)
        assert (exclusive is not None) == (span in path)
        assert (exclusive or 0) == slow_length(spans, None) - slow_length(spans, span)
        assert 0 <= (exclusive or 0) <= seconds


def job(run_id: int, name: str, begin: int, end: int, *steps: tuple[str, int, str]) -> JobRun:
    stored = [[place, step, "completed", how, begin, begin + took] for place, (step, took, how) in enumerate(steps, 1)]
    return JobRun(7, run_id, name, begin, end, json.dumps(stored))


def test_shares_over_runs() -> None:
    first = [
        job(1, "build", 0, 100, ("Compile", 90, "success"), ("Clean", 5, "skipped")),
        job(1, "lint", 0, 30, ("Lint", 30, "success")),
    ]
    second = [job(2, "build", 0, 20, ("Compile", 10, "success")), job(2, "lint", 0, 50, ("Lint", 50, "failure"))]
    found = shares(map(parts, [first, second]))
    build, lint = found.jobs[7, "build"], found.jobs[7, "lint"]
    assert (build.n, build.seconds, build.critical, build.exclusive) == (2, 120, 1, 70)
    assert (lint.n, lint.seconds, lint.critical, lint.exclusive) == (2, 80, 1, 30)
    assert found.path_seconds == {7: 150}
    assert found.steps[7, "build"] == {"Compile": (2, 100, 90)}


def test_steps_as_github_tells_them() -> None:
    told = [[1, "a", "completed", "success", 10, 5], [2, "b", "completed", "success", None, 9], [3, "c", "completed",
             "cancelled", 1, 9], [4, "d", "in_progress", None, 1, None]]  # fmt: skip
    assert shares([parts([JobRun(7, 1, "build", 0, 10, json.dumps(told))])]).steps[7, "build"] == {"a": (1, 0, 0)}
    late = [[21, "Post", "completed", "failure", 1, 2], [2, "Test", "completed", "timed_out", 1, 2]]
    assert first_failed(json.dumps(late)) == "Test"
    assert first_failed("[]") is None
