"""A2: pages and windows at and beyond their bounds, on a list that has a few rows."""

import itertools
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.rows import a_repository, a_run

PAGES = ["1", "2", "99999", "100000", "100001", "0", "-1", str(2**31), str(2**63), str(10**25)]
SIZES = ["1", "100", "101", "0", "-5", str(2**63)]


@pytest.fixture
def filled(api: Api) -> Api:
    a_repository(api.db)
    for _ in range(3):
        a_run(api.db)
    return api


def test_A2_page_and_size(filled: Api) -> None:
    for page, size in itertools.product(PAGES, SIZES):
        answer = filled.open(f"/api/v1/builds?page={page}&per_page={size}")
        allowed = 1 <= int(page) <= 100_000 and 1 <= int(size) <= 100
        assert answer.status_code == (200 if allowed else 422), (page, size)
        if allowed:
            found = answer.get_json()
            first = (int(page) - 1) * int(size)
            assert len(found["builds"]) == max(0, min(int(size), 3 - first))
            assert found["has_next"] == (first + int(size) < 3)


@pytest.mark.parametrize(
    ("path", "low", "high"),
    [("overview?lookback_minutes", 1, 525_600), ("metrics?lookback_minutes", 60, 525_600), ("recent?limit", 1, 50)],
)
def test_A2_windows(filled: Api, path: str, low: int, high: int) -> None:
    cases: dict[int, bool] = {low: True, high: True, low - 1: False, high + 1: False, -1: False, 2**63: False}
    for value, allowed in cases.items():
        assert filled.open(f"/api/v1/pipeline/{path}={value}").status_code == (200 if allowed else 422), value


def test_A2_many_repositories(filled: Api) -> None:
    assert filled.open("/api/v1/builds?" + "repo=acme/shop-1&" * 200).status_code == 200
    assert filled.open("/api/v1/builds?" + "repo=acme/shop-1&" * 2000).status_code == 414


def test_A2_an_absurd_moment(filled: Api) -> None:
    for value in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-13-01T00:00:00Z", "1", "2025-10-09T08:00:00"):
        answer: Any = filled.open(f"/api/v1/builds?created_from={value}")
        assert answer.status_code == 422, value
