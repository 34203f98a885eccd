"""When an attempt really ran (METRICS: "Times"), with the oddities of GITHUB-DATA."""

from dataclasses import replace

from pipemon.domain.runs import Attempt, AttemptTimes, Job, Step, attempt_times

T0 = 1_760_000_000
ATTEMPT = Attempt(1, 2, "completed", T0 + 9000, "success", started_at=T0, jobs_complete=True)
JOB = Job(1, 1, 2, "build", "completed", "success", created_at=T0, started_at=T0 + 5, completed_at=T0 + 65)


def times(*jobs: Job, attempt: Attempt = ATTEMPT) -> AttemptTimes:
    return attempt_times(attempt, T0, jobs)


def test_to_the_last_job_not_to_updated_at() -> None:
    found = times(JOB, replace(JOB, id=2, completed_at=T0 + 30))
    assert found == AttemptTimes(T0 + 5, T0 + 65, 65, "jobs", 5)


def test_copied_jobs_of_a_rerun_do_not_count() -> None:
    copied = replace(JOB, id=2, started_at=T0 - 40_000, completed_at=T0 - 39_000)
    assert times(JOB, copied).queue_seconds == 5
    assert times(copied).duration_source == "updated_at"


def test_skipped_reversed_and_never_started_jobs_do_not_count() -> None:
    skipped = replace(JOB, id=2, conclusion="skipped", completed_at=T0 + 500)
    reversed_ = replace(JOB, id=3, started_at=T0 + 700, completed_at=T0 + 690)
    cancelled = replace(JOB, id=4, conclusion="cancelled", steps=(), completed_at=T0 + 800)
    assert times(JOB, skipped, reversed_, cancelled).duration_seconds == 65
    really = replace(cancelled, steps=(Step("Checkout", 1),))
    assert times(JOB, really).duration_seconds == 800


def test_a_second_before_the_attempt_is_the_clock_not_a_copy() -> None:
    assert times(replace(JOB, started_at=T0 - 1)).queue_seconds == 0


def test_fallback_says_so_and_is_null_beyond_35_days() -> None:
    assert times() == AttemptTimes(None, T0 + 9000, 9000, "updated_at", None)
    assert times(JOB, attempt=replace(ATTEMPT, jobs_complete=False)).duration_source == "updated_at"
    late = replace(ATTEMPT, updated_at=T0 + 400 * 86400)
    assert times(attempt=late) == AttemptTimes()


def test_a_waiting_jobs_start_is_none() -> None:
    running = replace(ATTEMPT, status="in_progress")
    waiting = replace(JOB, status="queued", conclusion=None, started_at=T0, completed_at=None)
    assert times(waiting, attempt=running).queue_seconds is None
    assert times(JOB, replace(waiting, id=2), attempt=running).queue_seconds == 5


def test_nothing_is_negative() -> None:
    early = replace(ATTEMPT, updated_at=T0 - 1)
    assert times(attempt=early).duration_seconds == 0


def test_running_attempt_has_a_queue_time_and_no_end() -> None:
    running = replace(ATTEMPT, status="in_progress")
    assert times(replace(JOB, status="in_progress", completed_at=None), attempt=running) == AttemptTimes(
        T0 + 5, None, None, None, 5
    )
