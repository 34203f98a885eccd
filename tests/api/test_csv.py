"""`format=csv` of the tables of /api/v1/analytics, as a spreadsheet takes it."""

import csv
import io

import pytest

from pipemon.api.csv import FORMULA, WHO, table_of
from tests.api.conftest import Api
from tests.rows import T0, a_failure, a_job, a_repository, a_run, a_workflow, bump

BASE = "/api/v1/analytics"
TABLES = {
    "trends": "trends", "mttr": "mttr", "incidents": "incidents", "regressions": "regressions",
    "failures/signatures": "signatures", "workflows/comparison": "comparison", "flaky": "flaky", "queue": "queue",
    "cost": "cost", "dora": "dora",
}  # fmt: skip


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.fixture
def told(api: Api) -> Api:
    """One workflow of an awkward name, red on an awkward branch, with a flaky job."""
    a_repository(api.db)
    a_workflow(api.db, 7, 'Say "hi", twice')
    for number, end in enumerate(("failure", "success", "failure")):
        run = a_run(api.db, conclusion=end, branch="=1+1", run_number=number, created_at=T0 - 9000 + number)
        job = a_job(api.db, run, conclusion=end, steps=[[1, "Test", "completed", end, T0, T0]], labels=["a", "b"])
        if end == "failure":
            a_failure(api.db, run, job)
    bump(api.db)
    return api


@pytest.mark.parametrize("path", TABLES)
def test_every_table_has_its_name_and_its_columns(told: Api, path: str) -> None:
    answer = told.open(f"{BASE}/{path}?format=csv")
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == f"attachment; filename={TABLES[path]}.csv"
    names, *rows = read(answer.text)
    assert answer.text.count("\r\n") == len(rows) + 1
    assert len(names) == len(set(names)) and all(len(row) == len(names) for row in rows)
    assert names[: sum(name in WHO for name in names)] == [name for name in WHO if name in names]
    assert rows or path in ("regressions", "dora")
    for cell in (cell for row in rows for cell in row):
        assert "{" not in cell and cell not in ("True", "False", "None")
        assert not cell.startswith(("=", "+", "@"))


def test_the_words_of_the_answer_are_those_of_the_table(told: Api) -> None:
    names, *rows = read(told.open(f"{BASE}/incidents?format=csv").text)
    found = told.get(f"{BASE}/incidents")["incidents"]
    assert [row[names.index("failure_id")] for row in rows] == [str(one["failure_id"]) for one in found]
    assert (rows[0][names.index("branch")], rows[0][names.index("pull_request")]) == ("'=1+1", "false")
    assert rows[0][names.index("workflow")] == "CI" and rows[0][names.index("recovery_time")] == ""
    names, *rows = read(told.open(f"{BASE}/queue?format=csv").text)
    assert (names[:3], rows[0][:3], len(rows)) == (["labels", "hour", "n"], ["a b", "0", "0"], 24)


@pytest.mark.parametrize("path", TABLES)
def test_an_empty_table_has_the_same_names(told: Api, path: str) -> None:
    full = read(told.open(f"{BASE}/{path}?format=csv").text)[0]
    nothing = "" if path == "dora" else "&branch=nobody"
    names, *rows = read(told.open(f"{BASE}/{path}?format=csv{nothing}").text)
    assert names == full and (path == "trends") == bool(rows)
    assert {"dora": {"environment", "lead_time_minutes_median", "level_lead_time"}}.get(path, set()) <= set(full)


@pytest.mark.parametrize("first", FORMULA)
def test_a_cell_is_no_formula(first: str) -> None:
    (_, (cell,)) = read(table_of(["a"], [{"a": f"{first}cmd"}], "x").get_data(as_text=True))
    assert cell == f"'{first}cmd"


def test_numbers_and_quotes_are_left_as_they_are() -> None:
    rows = [{"a": -1.5, "b": 'say "x",\r\nthen y', "c": ["=1", "two"], "d": None}]
    (_, row) = read(table_of(["a", "b", "c", "d"], rows, "x").get_data(as_text=True))
    assert row == ["-1.5", 'say "x",\r\nthen y', "'=1; two", ""]
