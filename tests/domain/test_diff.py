"""Which events a change is."""

from dataclasses import replace

from pipemon.domain.diff import job_event, run_events
from pipemon.domain.runs import Attempt, AttemptTimes, Job, Step
from tests.domain.test_merge import BASE, T0

QUEUED = Attempt(BASE.id, 1, "queued", T0, started_at=T0)
RUNNING = replace(QUEUED, status="in_progress", updated_at=T0 + 4)
FAILED = replace(QUEUED, status="completed", conclusion="failure", updated_at=T0 + 90)


def types(before: Attempt | None, after: Attempt, live_since: int | None = 0) -> list[str]:
    return [event.type for event in run_events(BASE, before, after, live_since)]


def test_each_step_is_one_event() -> None:
    assert types(None, QUEUED) == ["build_queued"]
    assert types(QUEUED, RUNNING) == ["build_started"]
    assert types(RUNNING, FAILED) == ["build_failed"]
    assert types(FAILED, FAILED) == []


def test_steps_nobody_saw_are_inferred_and_said_so() -> None:
    events = list(run_events(BASE, None, FAILED, 0))
    assert [event.type for event in events] == ["build_queued", "build_started", "build_failed"]
    assert [event.data.get("inferred", False) for event in events] == [True, True, False]


def test_what_never_ran_is_not_said_to_have_started() -> None:
    assert types(None, replace(FAILED, conclusion="startup_failure")) == ["build_failed"]
    assert types(None, replace(FAILED, conclusion="cancelled")) == ["build_queued", "build_cancelled"]
    assert types(None, replace(FAILED, conclusion="skipped")) == ["build_skipped"]


def test_an_unknown_word_is_neither_good_nor_bad() -> None:
    assert types(RUNNING, replace(FAILED, conclusion="exploded")) == ["build_completed"]
    assert types(QUEUED, replace(RUNNING, status="dreaming")) == ["build_updated"]


def test_history_is_marked_and_not_padded() -> None:
    events = list(run_events(BASE, None, FAILED, None))
    assert [(event.type, event.historic) for event in events] == [("build_failed", True)]
    assert [event.historic for event in run_events(BASE, RUNNING, FAILED, T0 + 91)] == [True]
    assert [event.historic for event in run_events(BASE, RUNNING, FAILED, T0 + 90)] == [False]


def test_the_end_is_when_the_last_job_ended() -> None:
    ended = replace(FAILED, times=AttemptTimes(completed_at=T0 + 60, duration_seconds=60))
    (event,) = run_events(BASE, RUNNING, ended, 0)
    assert event.occurred_at == T0 + 60


def test_a_back_step_is_an_event_of_its_own() -> None:
    (back,) = run_events(BASE, RUNNING, replace(QUEUED, updated_at=T0 + 30), 0)
    (first,) = run_events(BASE, None, QUEUED, 0)
    assert back.type == first.type == "build_queued"
    assert back.dedupe_key != first.dedupe_key


def test_job_failed_once_with_its_step() -> None:
    steps = (Step("Checkout", 1, "completed", "success"), Step("Test", 2, "completed", "failure"))
    job = Job(5, BASE.id, 1, "unit", "completed", "failure", completed_at=T0 + 50, steps=steps)
    event = job_event(BASE, None, job, 0)
    assert event is not None
    assert (event.type, event.data["failed_step"]) == ("job_failed", "Test")
    assert job_event(BASE, job, job, 0) is None
    assert job_event(BASE, None, replace(job, conclusion="cancelled"), 0) is None
