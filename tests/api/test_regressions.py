"""GET /api/v1/analytics/regressions."""

from tests.api.conftest import Api
from tests.queries.test_regressions import fill
from tests.rows import a_repository, a_workflow, bump

PATH = "/api/v1/analytics/regressions"


def test_regressions(api: Api) -> None:
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    fill(api.db)
    bump(api.db)
    found = api.get(PATH)
    one = found["regressions"][0]
    assert (one["workflow"], one["job"], one["measure"], one["unit"]) == ("CI", None, "duration", "seconds")
    assert (one["since"]["build_id"], one["since"]["run_number"], one["until"]) == (1081, 81, None)
    assert one["n_before"] + one["n_after"] == 90
    assert one["absolute"] == round(one["after"] - one["before"], 2)
    assert api.get(one["builds_url"])["total_count"] == 120
    assert "result=decisive" in one["builds_url"]
    assert api.get("/api/v1/analytics/performance")["regressions"] == found["regressions"]


def test_csv(api: Api) -> None:
    a_repository(api.db)
    a_workflow(api.db, 7, "CI")
    fill(api.db)
    bump(api.db)
    names, first, second = api.open(f"{PATH}?format=csv").text.splitlines()
    cells = dict(zip(names.split(","), first.split(","), strict=True))
    assert (cells["measure"], cells["since_build_id"], cells["until_build_id"]) == ("duration", "1081", "")
    assert second
