"""GET /api/v1/pipeline/metrics"""

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_repository, a_run

PATH = "/api/v1/pipeline/metrics"


def test_happy(api: Api) -> None:
    a_repository(api.db)
    for seconds in (60, 120, 300):
        a_run(api.db, duration_seconds=seconds)
    a_run(api.db, duration_seconds=600, conclusion="timed_out")
    a_run(api.db, duration_seconds=1, conclusion="cancelled")
    a_run(api.db, status="in_progress")
    found = api.get(PATH)
    assert (found["total_runs"], found["success_count"], found["failure_count"]) == (5, 3, 1)
    assert (found["success_rate"], found["n"], found["builds_per_day"]) == (75.0, 4, 5.0)
    assert (found["fastest_build_minutes"], found["slowest_build_minutes"]) == (1.0, 10.0)
    assert (found["average_duration_minutes"], found["median_duration_minutes"]) == (4.5, 3.5)
    assert found["p95_duration_minutes"] == 9.25
    assert api.get(f"{PATH}?lookback_minutes=2880")["builds_per_day"] == 2.5


def test_empty(api: Api) -> None:
    a_repository(api.db)
    found = api.get(PATH)
    zeros = ("average_duration_minutes", "fastest_build_minutes", "slowest_build_minutes", "builds_per_day", "n")
    assert [found[name] for name in zeros] == [0] * len(zeros)
    assert (found["median_duration_minutes"], found["p95_duration_minutes"]) == (None, None)


def test_its_bucket_is_a_minute_whatever_runs(api: Api) -> None:
    a_repository(api.db)
    a_run(api.db, status="in_progress")
    api.clock.now = T0 + 15
    assert api.get(PATH)["timestamp"] == "2025-10-09T08:53:00Z"
    assert api.get("/api/v1/pipeline/overview")["timestamp"] == "2025-10-09T08:53:35Z"


@pytest.mark.parametrize("minutes", ["59", "525601", "-1", "60.0", "1e3", "٦٠", "1_000", "%2060"])
def test_wrong_input(api: Api, minutes: str) -> None:
    assert api.open(f"{PATH}?lookback_minutes={minutes}").status_code == 422
