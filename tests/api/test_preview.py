"""POST /notifications/rules/preview: what a draft rule would have told, and nothing is told by it."""

from typing import Any

import gevent
import pytest
import sqlalchemy as sa

from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.store.schema_notifications import notifications
from tests.api.conftest import Api
from tests.builders import T0, a_run
from tests.rows import a_repository

PATH = "/api/v1/notifications/rules/preview"
RED = {"trigger_events": ["build_failed"], "conditions": [{"type": "branch", "value": "main"}]}


def end(api: Api, number: int, at: int, conclusion: str, branch: str = "main") -> None:
    times = {"created_at": at - 60, "started_at": at - 60, "updated_at": at}
    run = a_run(id=number, run_number=number, repository="acme/shop-1", head_repository="acme/shop-1", event="push",
                branch=branch, conclusion=conclusion, **times)  # fmt: skip
    api.db.transact(lambda conn: apply(conn, Batch(1, live_since=None, runs=(Sighting(run),)), at))


@pytest.fixture
def told(make_api: Any) -> Api:
    """Main breaks, fails twice more within the interval, once later, is repaired; a topic fails too."""
    api: Api = make_api()
    a_repository(api.db)
    story = [(1, "failure"), (100, "failure"), (200, "failure"), (5000, "failure"), (6000, "success")]
    for number, (after, conclusion) in enumerate(story, start=1):
        end(api, number, T0 - 9000 + after, conclusion)
    end(api, 90, T0 - 1000, "failure", "topic")
    return api


def ask(api: Api, body: Any, key: str | None = "reader") -> Any:
    return api.open(PATH, "POST", key, json=body)


def test_messages_as_the_dispatch_would_group_them(told: Api) -> None:
    found = ask(told, RED).get_json()
    assert [(one["kind"], one["represents"]) for one in found["messages"]] == [
        ("opener", 1), ("summary", 2), ("summary", 1), ("recovery", 1),
    ]  # fmt: skip
    assert (found["messages_count"], found["events_represented"]) == (4, 5)
    assert found["messages"][0]["title"] == "CI failed on main"
    # The summary comes at the end of the interval.
    assert found["messages"][1]["at"] == "2025-10-09T06:38:21Z"


def test_nothing_is_sent_or_stored(told: Api) -> None:
    ask(told, RED)
    with told.db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(notifications)).scalar_one() == 0


def test_quiet_hours_count(told: Api) -> None:
    """The story lasts from 06:23 to 08:03."""
    evening = ask(told, RED | {"quiet_hours": {"from": "06:00", "to": "07:30"}}).get_json()["messages"]
    assert [(one["kind"], one["represents"], one["at"][11:16]) for one in evening] == [
        ("opener", 3, "07:30"), ("summary", 1, "07:46"), ("recovery", 1, "08:03"),
    ]  # fmt: skip
    assert ask(told, RED | {"quiet_hours": {"from": "06:00", "to": "09:00"}}).get_json()["messages_count"] == 0


def test_conditions_count(told: Api) -> None:
    third = {"trigger_events": ["build_failed"], "conditions": [{"type": "consecutive_failures", "value": 3}]}
    assert ask(told, third).get_json()["messages_count"] == 3  # the third, the fourth, the repair
    none = {"trigger_events": ["build_failed"], "conditions": [{"type": "branch", "value": "release/*"}]}
    assert ask(told, none).get_json()["messages"] == []


@pytest.mark.parametrize(
    "body", [{}, {"trigger_events": ["no_such"]}, {**RED, "days": 31}, {**RED, "days": "7"}, {**RED, "more": 1}]
)
def test_a_wrong_draft_is_422(told: Api, body: Any) -> None:
    assert ask(told, body).status_code == 422


def test_without_a_key_is_401(told: Api) -> None:
    assert ask(told, RED, key=None).status_code == 401


def test_S10_others_have_their_turn_meanwhile(told: Api) -> None:
    """Timers too: by one of them gunicorn knows that its worker lives."""
    for number in range(100, 200):
        end(told, number, T0 - 800 + number, "failure")
    ticks = []

    def tick() -> None:
        while True:
            gevent.sleep(0.001)
            ticks.append(1)

    ticker = gevent.spawn(tick)
    gevent.sleep(0)
    try:
        found = ask(told, RED).get_json()
    finally:
        ticker.kill()
    assert found["events_looked_at"] >= 100
    assert len(ticks) >= 5


def test_a_branch_that_flaps_and_a_summary_that_was_to_come_are_told_as_the_dispatch_would(told: Api) -> None:
    for number in range(10):
        for offset, conclusion in ((1, "failure"), (2, "failure"), (3, "success")):
            end(told, 300 + 3 * number + offset, T0 - 800 + 30 * number + 5 * offset, conclusion, "flaps")
    rule = RED | {"conditions": [{"type": "branch", "value": "flaps"}]}
    found = ask(told, rule).get_json()["messages"]
    assert [(one["kind"], one["represents"]) for one in found] == [("opener", 1), ("recovery", 2)] * 3
