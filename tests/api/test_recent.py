"""GET /api/v1/pipeline/recent"""

import pytest

from tests.api.conftest import Api
from tests.rows import T0, a_repository, a_run

PATH = "/api/v1/pipeline/recent"


def test_happy(api: Api) -> None:
    a_repository(api.db)
    old = a_run(api.db, created_at=T0 - 9000)
    new = a_run(api.db, created_at=T0 - 100)
    found = api.get(PATH)
    assert [one["id"] for one in found["activities"]] == [new["id"], old["id"]]
    assert found["total_count"] == 2
    assert found["activities"][0] == {
        "id": new["id"],
        "name": "CI",
        "status": "completed",
        "conclusion": "success",
        "branch": "main",
        "commit_sha": "0123456",
        "commit_message": "Mend the door",
        "author": "Ada Octo",
        "started_at": "2025-10-09T08:51:40Z",
        "updated_at": "2025-10-09T08:53:40Z",
        "duration_seconds": 120,
        "url": new["url"],
        "repository": "acme/shop-1",
    }


def test_limit(api: Api) -> None:
    a_repository(api.db)
    for _ in range(12):
        a_run(api.db)
    assert len(api.get(PATH)["activities"]) == 10
    found = api.get(f"{PATH}?limit=3")
    assert (len(found["activities"]), found["total_count"]) == (3, 12)


def test_empty(api: Api) -> None:
    a_repository(api.db)
    assert (api.get(PATH)["activities"], api.get(PATH)["total_count"]) == ([], 0)


@pytest.mark.parametrize("limit", ["0", "51", "ten"])
def test_wrong_input(api: Api, limit: str) -> None:
    assert api.open(f"{PATH}?limit={limit}").status_code == 422
