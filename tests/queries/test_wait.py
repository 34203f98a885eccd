"""The wait for a runner, from waits that were measured."""

from dataclasses import replace
from typing import Any

import pytest

from pipemon.queries.wait import estimated_wait_seconds
from pipemon.store.engine import Database
from tests.builders import T0
from tests.queries.conftest import everything
from tests.rows import a_job, a_repository, a_run, a_workflow


def measured(db: Database, run: dict[str, Any], wait: int, **over: Any) -> None:
    began = over.pop("began", T0 - 500)
    a_job(db, run, **({"created_at": began - wait, "started_at": began, "labels": ["linux"]} | over))


@pytest.fixture
def run(database: Database) -> dict[str, Any]:
    a_repository(database, 1)
    a_repository(database, 2, watched=False)
    return a_run(database, status="in_progress")


def wait(database: Database) -> float | None:
    return estimated_wait_seconds(database, everything(database), T0)


def test_median_of_the_labels_that_are_waited_for(database: Database, run: dict[str, Any]) -> None:
    for seconds in (10, 30, 60, 80):
        measured(database, run, seconds)
    measured(database, run, 9999, labels=["gpu"])
    measured(database, run, 9999, began=T0 - 86401)
    measured(database, run, 9999, conclusion="skipped")
    measured(database, run, 9999, repository_id=2)
    # A rerun's copy of a passed job: created after it had started.
    measured(database, run, -40_000)
    assert wait(database) is None, "nothing waits"
    a_job(database, run, status="queued", labels=["linux"], started_at=None)
    assert wait(database) == 45


def test_nothing_measured_is_unknown(database: Database, run: dict[str, Any]) -> None:
    measured(database, run, 10, labels=["gpu"])
    a_job(database, run, status="queued", labels=["linux"], started_at=None)
    assert wait(database) is None


def test_a_job_that_waits_for_approval_waits_for_no_runner(database: Database, run: dict[str, Any]) -> None:
    measured(database, run, 10)
    a_job(database, run, status="waiting", labels=["linux"], started_at=None)
    assert wait(database) is None


def test_a_start_one_second_before_the_creation_is_no_wait(database: Database, run: dict[str, Any]) -> None:
    measured(database, run, -1)
    a_job(database, run, status="queued", labels=["linux"], started_at=None)
    assert wait(database) == 0


def test_what_waits_in_a_left_out_workflow_or_a_deleted_run_is_no_queue(
    database: Database, run: dict[str, Any]
) -> None:
    measured(database, run, 10)
    gone = a_run(database, status="queued", deleted_at=T0)
    a_job(database, gone, status="queued", labels=["linux"], started_at=None)
    assert wait(database) is None
    a_job(database, run, status="queued", labels=["linux"], started_at=None)
    assert wait(database) == 10
    a_workflow(database, run["workflow_id"], "CI")
    left_out = replace(everything(database), exclude_workflows=["*"])
    assert estimated_wait_seconds(database, left_out, T0) is None
