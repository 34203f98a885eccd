"""How far a running build has come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipemon.queries import progress
from pipemon.queries.progress import PastRun, Progress, estimate
from pipemon.store.engine import Database
from tests.builders import T0
from tests.rows import a_job, a_repository, a_run

STEADY = [PastRun(100), PastRun(110), PastRun(90)]
# Two kinds of builds: with the first job done after 10 s they take 60 s, else 300 s.
TWO_KINDS = [PastRun(60, (10, 60))] * 3 + [PastRun(300, (50, 300))] * 5


@pytest.mark.parametrize(
    ("history", "elapsed", "jobs", "expected"),
    [
        ([], 50, 1, Progress()),
        (STEADY, 0, None, Progress(0.0, T0 + 100, T0 + 108, False)),
        (STEADY, 50, None, Progress(50.0, T0 + 50, T0 + 58, False)),
        # At 95 s the one that took 90 says nothing any more.
        (STEADY, 95, None, Progress(90.5, T0 + 10, T0 + 14, False)),
        (STEADY, 500, None, Progress(99.0, None, None, True)),
        (TWO_KINDS, 20, 1, Progress(33.3, T0 + 40, T0 + 40, False)),
        (TWO_KINDS, 20, 0, Progress(6.7, T0 + 280, T0 + 280, False)),
        # No earlier build had as many jobs done by then: all that were older count.
        (TWO_KINDS, 20, 7, Progress(6.7, T0 + 280, T0 + 280, False)),
    ],
)
def test_estimate(history: list[PastRun], elapsed: int, jobs: int | None, expected: Progress) -> None:
    assert estimate(history, elapsed, jobs, T0) == expected


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(0, 2000))
def test_progress_is_never_over_99_before_the_end(durations: list[int], elapsed: int) -> None:
    found = estimate([PastRun(duration) for duration in durations], elapsed, None, T0)
    assert found.percent is not None and 0 <= found.percent <= 99
    assert found.eta is None or found.eta >= T0


def test_history_is_the_workflow_s_own(database: Database) -> None:
    a_repository(database)
    run = a_run(database, duration_seconds=120)
    a_job(database, run)
    a_job(database, run, run_attempt=9)
    a_run(database, duration_seconds=80, conclusion="failure")
    a_run(database, duration_seconds=5, conclusion="cancelled")
    a_run(database, duration_seconds=None)
    a_run(database, duration_seconds=7, deleted_at=T0)
    a_run(database, duration_seconds=30, workflow_id=8)
    found = progress.histories(database, [7, 8, 9])
    assert sorted(found[7], key=lambda past: past.duration_seconds) == [PastRun(80), PastRun(120, (120,))]
    assert found[8] == [PastRun(30)]
    assert found[9] == []
