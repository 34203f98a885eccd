"""The WebSocket on the real gunicorn: what happens on GitHub reaches a client, once and in order, whatever comes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipemon.simulator import Simulator
from tests.flows.service import Service
from tests.live.client import Client

SHOP = "octo-harbor/shop"


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url:
        yield world, url


@pytest.fixture
def service(sim: tuple[Simulator, str], tmp_path: Path) -> Iterator[Service]:
    started = Service(tmp_path, sim[1], SHOP)
    yield started
    started.kill()


def subscribed(service: Service, **asked: Any) -> tuple[Client, Any]:
    client = Client(service.port)
    client.say(type="subscribe", events=["builds"], **asked)
    return client, client.hear(kind="subscription_confirmed")


def hear_until(client: Client, event: str) -> list[Any]:
    """Return the messages up to the first that tells of this event."""
    heard = []
    while (message := client.hear(20)) is not None:
        heard.append(message)
        if message.get("event") == event:
            return heard
    raise AssertionError(f"{event} never came: {heard}")


def test_a_build_s_life_is_told_as_it_happens(sim: tuple[Simulator, str], service: Service) -> None:
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    client, confirmed = subscribed(service)
    assert confirmed["events"] == ["builds"]
    (run_id,) = sim[0].add_runs(SHOP, seconds=0, branch="main")
    started = hear_until(client, "build_started")
    sim[0].order("finish", SHOP, run=run_id, conclusion="failure")
    told = [message for message in started + hear_until(client, "build_failed") if message["type"] == "build_update"]
    ids = [message["id"] for message in told]
    assert ids == sorted(set(ids))
    assert {message["data"]["build_id"] for message in told} == {run_id}
    # The same as the log says.
    logged = service.get(f"/api/v1/events?after={ids[0] - 1}").json()["events"]
    by_id = {event["id"]: event for event in logged}
    for message in told:
        event = by_id[message["id"]]
        assert (message["event"], message["data"]) == (event["type"], event["data"])
        assert message["timestamp"] == event["recorded_at"]


def test_R1_a_client_that_comes_back_after_a_restart_misses_nothing(
    sim: tuple[Simulator, str], service: Service
) -> None:
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    client, confirmed = subscribed(service)
    sim[0].add_runs(SHOP, count=3, seconds=0)
    first = client.hear(20, kind="build_update")
    client.close()
    service.kill()
    sim[0].add_runs(SHOP, count=3, seconds=0)
    service.start()
    service.wait_for(lambda: service.get("/api/v1/builds").json()["total_count"] == 6)
    again, _ = subscribed(service, last_event_id=first["id"], epoch=confirmed["epoch"])
    end = service.get("/api/v1/events?after=0&limit=1000").json()
    wanted = [event["id"] for event in end["events"] if event["topic"] == "builds" and event["id"] > first["id"]]
    heard = [again.hear(kind="build_update")["id"] for _ in wanted]
    assert heard == wanted


def test_D11_a_stop_says_goodbye_with_a_code_and_in_time(sim: tuple[Simulator, str], service: Service) -> None:
    service.start()
    service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
    clients = [subscribed(service)[0] for _ in range(20)]
    assert service.stop() == 0
    assert [client.wait_for_close() for client in clients] == [1012] * 20


def test_M4_a_foreign_origin_is_refused_before_the_handshake(sim: tuple[Simulator, str], service: Service) -> None:
    service.settings["ALLOWED_ORIGINS"] = "https://dash.example.com"
    service.start()
    own = f"http://127.0.0.1:{service.port}"
    for origin, status in (
        ("https://dash.example.com", 101),
        (own, 101),
        ("https://evil.example.com", 403),
        ("https://dash.example.com.evil.example", 403),
        ("http://dash.example.com", 403),
        ("null", 403),
        ("", 403),
    ):
        client = Client(service.port, {"Origin": origin})
        assert client.status == status, origin
        client.close()
    assert Client(service.port).status == 101


def test_where_reads_need_a_key_so_does_the_socket(sim: tuple[Simulator, str], service: Service) -> None:
    import hashlib

    key = "pmk_" + "k" * 40
    service.settings |= {"HOST": "0.0.0.0", "API_KEYS": f"dash:read:{hashlib.sha256(key.encode()).hexdigest()}"}
    service.start()
    assert Client(service.port, {"Authorization": "Bearer wrong"}).status == 401
    assert Client(service.port, query=f"?key={key}").status in (401, 422)
    told = Client(service.port, {"Authorization": f"Bearer {key}"})
    told.say(type="subscribe", events=["builds"])
    assert told.hear()["type"] == "subscription_confirmed"
    silent = Client(service.port)
    silent.say(type="subscribe", events=["builds"])
    assert silent.hear()["error"]["type"] == "unauthorized"
    wrong = Client(service.port)
    wrong.say(type="auth", key="pmk_nobody")
    assert wrong.wait_for_close() == 4401
    late = Client(service.port)
    late.say(type="auth", key=key)
    assert late.hear() == {"type": "authenticated", "caller": "dash"}
    late.say(type="subscribe", events=["builds"])
    assert late.hear()["type"] == "subscription_confirmed"
    ticket = requests.post(
        f"{service.url}/api/v1/live/ticket", json={}, headers={"Authorization": f"Bearer {key}"}, timeout=10
    ).json()["ticket"]
    for expected in ("authenticated", "error"):
        client = Client(service.port)
        client.say(type="auth", ticket=ticket)
        assert client.hear()["type"] == expected, "a ticket is good for one use"
    assert silent.wait_for_close() == 4401
    assert ticket not in service.log() and key not in service.log()
