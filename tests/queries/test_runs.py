"""Lists and single runs, on both engines."""

from typing import Any

import pytest

from pipemon.queries import detail, runs
from pipemon.queries.runs import SORTS, Wanted
from pipemon.store.engine import Database
from pipemon.store.schema import attempts
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.worlds import make_world
from tests.rows import a_job, a_repository, a_run, a_workflow, put

Row = dict[str, Any]


def has_text(row: Row, text: str) -> bool:
    return any(text.lower() in (row[name] or "").lower() for name in ("name", "branch", "commit_message"))


FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda row: True),
    ({"branch": "main"}, lambda row: row["branch"] == "main"),
    ({"status": "queued"}, lambda row: row["status"] == "queued"),
    ({"conclusion": "failure"}, lambda row: row["conclusion"] == "failure"),
    ({"outcome": "failure", "conclusion": "success"}, lambda row: False),
    ({"event": "schedule"}, lambda row: row["event"] == "schedule"),
    ({"actor": "cat"}, lambda row: row["actor"] == "cat"),
    ({"sha": f"{2:040x}"}, lambda row: row["sha"] == f"{2:040x}"),
    ({"sha": "0000"}, lambda row: True),
    ({"sha": "f000"}, lambda row: False),
    ({"workflow": "Deploy site"}, lambda row: row["workflow_id"] == 8),
    ({"workflow": "w9.yml"}, lambda row: row["workflow_id"] == 9),
    ({"workflow": ".github/workflows/w9.yml"}, lambda row: row["workflow_id"] == 9),
    ({"workflow": "7"}, lambda row: row["workflow_id"] == 7),
    ({"workflow": "no such"}, lambda row: False),
    ({"created_from": T0 - 9999, "created_to": T0 - 500}, lambda row: T0 - 9999 <= row["created_at"] < T0 - 500),
    ({"text": "DOOR"}, lambda row: has_text(row, "door")),
    # A3: the wildcards of LIKE are letters like any other.
    ({"text": "%"}, lambda row: has_text(row, "%")),
    ({"text": "_"}, lambda row: has_text(row, "_")),
    ({"text": "a_b"}, lambda row: has_text(row, "a_b")),
    ({"text": "\\"}, lambda row: has_text(row, "\\")),
    ({"text": "/"}, lambda row: has_text(row, "/")),
    ({"text": "' OR 1=1 --"}, lambda row: False),
    ({"exclude_workflows": ("CI", "*shift")}, lambda row: row["workflow_id"] in (8, 10)),
    ({"exclude_workflows": ("night % s?ift",)}, lambda row: row["workflow_id"] != 9),
    ({"exclude_workflows": ("%",)}, lambda row: True),
    ({"exclude_workflows": ("w8.yml",)}, lambda row: row["workflow_id"] != 8),
    ({"exclude_workflows": ("workflows*",)}, lambda row: True),
]


def test_A3_every_filter_equals_the_slow_way(database: Database) -> None:
    world = make_world(database, 5)
    for filters, keeps in FILTERS:
        page = runs.page(database, Wanted(everything(database, **filters), per_page=1000), NOW)
        expected = {row["id"] for row in world.kept() if keeps(row)}
        assert {run.id for run in page.builds} == expected, filters
        assert page.total_count == len(expected), filters


@pytest.mark.parametrize("sign", ["", "-"])
def test_every_order_has_all_runs_and_unknown_last(database: Database, sign: str) -> None:
    make_world(database, 6)
    for name, column in SORTS.items():
        found: list[Any] = []
        for number in range(1, 5):
            page = runs.page(database, Wanted(everything(database), number, 70, sign + name), NOW)
            found += page.builds
            assert page.has_next == (number * 70 < page.total_count)
        assert len({run.id for run in found}) == len(found) == page.total_count, name
        if name in ("started_at", "updated_at", "run_number"):
            values = [getattr(run, column.name) for run in found]
            assert values == sorted(values, reverse=sign == "-")
        if name == "duration":
            ended = [run.duration_seconds for run in found if run.status == "completed"]
            known = [value for value in ended if value is not None]
            assert ended == sorted(known, reverse=sign == "-") + [None] * (len(ended) - len(known))


@pytest.mark.parametrize(
    ("over", "as_of", "expected"),
    [
        ({}, T0, 120),
        ({"status": "in_progress"}, T0 - 3500, 100),
        # `as_of` lies before the run's last observation, or before its start: never less than was seen, never negative.
        ({"status": "in_progress"}, T0 - 3599, 5),
        ({"status": "in_progress", "updated_at": T0 - 9999}, T0 - 9999, 0),
        ({"status": "queued"}, T0, None),
    ],
)
def test_duration_shown(database: Database, over: Row, as_of: int, expected: int | None) -> None:
    a_repository(database)
    a_run(database, **over)
    now = type(NOW)(as_of, "fresh", 0)
    assert runs.page(database, Wanted(everything(database)), now).builds[0].duration_seconds == expected


def get(database: Database, run: Row, **filters: Any) -> detail.RunDetail | None:
    with database.read() as conn:
        return detail.get(conn, everything(database, **filters), run["id"], lambda name: T0)


def test_one_run(database: Database) -> None:
    a_repository(database)
    run = a_run(database, run_attempt=2, started_at=T0 - 1000, pull_requests="[12, 13]")
    put(
        database,
        attempts,
        {
            "run_id": run["id"], "run_attempt": 1, "repository_id": 1, "status": "completed", "conclusion": "failure",
            "started_at": T0 - 3600, "updated_at": T0, "duration_seconds": 33, "jobs_complete": True,
        },
    )  # fmt: skip
    a_job(database, run, name="build", started_at=T0 - 990, completed_at=T0 - 900)
    a_job(database, run, name="test", created_at=T0 - 900, started_at=T0 - 880, completed_at=T0 - 800)
    # Copied by the rerun from attempt 1: its new `created_at` is no queue time, and it held up nothing.
    a_job(database, run, name="lint", created_at=T0 - 1000, started_at=T0 - 3500, completed_at=T0 - 3400)
    a_job(database, run, name="old", run_attempt=1)
    found = get(database, run)
    assert found is not None
    assert [(job.job.name, job.queue_seconds) for job in found.jobs] == [("build", 10), ("test", 20), ("lint", None)]
    assert found.critical_path == ("build", "test")
    assert [(one.run_attempt, one.conclusion) for one in found.attempts] == [(1, "failure"), (2, "success")]
    assert found.pull_requests == (12, 13)
    assert found.commit_url == f"https://github.com/acme/shop-1/commit/{run['sha']}"
    assert found.cancel_url == f"{run['api_url']}/cancel"


def test_a_running_run_has_no_critical_path_yet(database: Database) -> None:
    a_repository(database)
    run = a_run(database, status="in_progress")
    a_job(database, run)
    found = get(database, run)
    assert found is not None and found.critical_path == () and found.duration_seconds == 3600


def test_bare_run(database: Database) -> None:
    a_repository(database)
    nothing = dict.fromkeys(("name", "title", "sha", "url", "api_url", "branch", "author", "actor"))
    run = a_run(database, **nothing)
    found = get(database, run)
    assert found is not None
    assert (found.commit_url, found.cancel_url, found.rerun_url) == (None, None, None)
    assert (found.run.shown_name, found.run.began_at) == (".github/workflows/ci.yml", run["started_at"])


def test_a_run_outside_of_the_scope_is_none(database: Database) -> None:
    a_repository(database)
    a_repository(database, 2, watched=False)
    a_workflow(database, 7, "CI")
    assert get(database, a_run(database, repository_id=2)) is None
    assert get(database, a_run(database, deleted_at=T0)) is None
    assert get(database, a_run(database), exclude_workflows=("ci",)) is None
    assert get(database, {"id": 5}) is None
