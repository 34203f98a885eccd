"""GET /, /health, /metrics"""

from typing import Any

import pytest

from pipemon.store.engine import DatabaseBusy, DatabaseUnusable
from tests.api.conftest import Api
from tests.rows import T0, a_repository


def test_root(api: Api) -> None:
    found = api.get("/")
    assert (found["version"], found["docs"]) == ("0.1.0", "/docs")


def test_healthy(api: Api) -> None:
    a_repository(api.db)
    found = api.get("/health")
    assert (found["status"], found["data_state"], found["service"]) == ("healthy", "fresh", "pipemon")
    assert found["checks"] == {
        "database": "healthy",
        "github": "healthy",
        "scheduler": "healthy",
        "slack": "not_configured",
    }


@pytest.mark.parametrize("word", ["degraded", "unhealthy", "unknown", "marvellous"])
def test_one_bad_part_degrades_the_whole(api: Api, word: str) -> None:
    a_repository(api.db)
    api.health["github"] = {"state": word, "cause": "token expired"}
    found = api.get("/health")
    assert (found["status"], found["causes"]) == ("degraded", {"github": "token expired"})


def test_stale_data_is_never_shown_as_healthy(api: Api) -> None:
    a_repository(api.db, due_by=T0 - 1)
    assert api.get("/health")["status"] == "degraded"
    api.health.clear()
    assert set(api.get("/health")["checks"].values()) == {"unknown"}


def test_causes_are_for_those_who_may_read(make_api: Any) -> None:
    api: Api = make_api(host="0.0.0.0", allow_anonymous_read=False)
    api.health["github"] = {"state": "degraded", "cause": "token expired"}
    assert api.get("/health")["causes"] is None
    assert api.get("/health", headers={"X-API-Key": "wrong"})["causes"] is None
    assert api.get("/health", key="reader")["causes"] == {"github": "token expired"}


@pytest.mark.parametrize("error", [DatabaseUnusable("gone"), DatabaseBusy("locked")])
def test_503_when_the_database_cannot_be_read(api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(self: object) -> None:
        raise error

    monkeypatch.setattr(Api, "_read", fail)
    api.services.snapshots._read = fail.__get__(api)
    answer = api.open("/health")
    assert answer.status_code == 503
    assert (answer.get_json()["status"], answer.get_json()["checks"]["database"]) == ("unhealthy", "unhealthy")


def test_503_when_the_health_check_says_so(api: Api) -> None:
    api.health["database"] = {"state": "unhealthy", "cause": "corrupt"}
    answer = api.open("/health")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "unhealthy")


def test_metrics(api: Api) -> None:
    api.get("/api/v1/builds")
    api.open("/api/v1/builds/77").close()  # a request is counted when its answer is at its end
    answer = api.open("/metrics")
    assert answer.content_type.startswith("text/plain")
    text = answer.get_data(as_text=True)
    assert 'route="/api/v1/builds",status="200"' in text
    assert 'route="/api/v1/builds/<id:build_id>",status="404"' in text
    assert "builds/77" not in text
