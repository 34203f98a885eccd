"""What a running pipemon really says on its socket is what it says that it says, to the last field."""

import hashlib
from pathlib import Path
from typing import Any

import jsonschema

from pipemon.simulator import Simulator
from tests.api.test_asyncapi import strict
from tests.flows.service import Service
from tests.live.client import Client
from tests.notify.inbox import Inbox

SHOP = "octo-harbor/shop"
KEY = "pmk_" + "k" * 40


def test_every_message_of_a_living_service_is_as_described(tmp_path: Path) -> None:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url, Inbox() as inbox:
        slack = {"SLACK_WEBHOOK_URL": inbox.url, "OUTBOUND_ALLOW": "127.0.0.1"}
        settings = slack | {"API_KEYS": f"dash:read:{hashlib.sha256(KEY.encode()).hexdigest()}"}
        service = Service(tmp_path, url, SHOP, settings).start()
        try:
            service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
            document = service.get("/asyncapi.json").json()
            heard = listen(world, service, document)
        finally:
            service.kill()
    components = strict(document["components"])
    for message in heard:
        schema = components["messages"][message["type"]]["payload"] | {"components": components}
        jsonschema.validate(message, schema)
    events = {message["event"] for message in heard if "event" in message}
    assert {"build_queued", "build_failed", "pipeline_updated", "analytics_updated"} <= events


def listen(world: Simulator, service: Service, document: Any) -> list[Any]:
    """Return what a client hears that says all there is to say, until every described answer was among it."""
    wanted = set(document["components"]["messages"]) - {"auth", "subscribe", "unsubscribe", "ping"}
    client = Client(service.port)
    client.say(type="auth", key=KEY)
    client.say(type="ping")
    client.say(type="dance")
    topics = ["pipeline", "builds", "analytics", "notifications"]
    client.say(type="subscribe", events=topics, last_event_id=10**9, epoch="another")
    heard = [client.hear() for _ in range(5)]
    for run_id in world.add_runs(SHOP, count=2, seconds=0, branch="main", event="push"):
        world.order("finish", SHOP, run=run_id, conclusion="failure")
    while (message := client.hear(15)) is not None:
        heard.append(message)
        if (
            wanted - {"subscription_confirmed"} <= {told["type"] for told in heard}
            and message["type"] != "build_update"
        ):
            break
    client.say(type="unsubscribe", events=topics[:3])
    heard.append(client.hear(kind="subscription_confirmed"))
    assert {told["type"] for told in heard} == wanted
    return heard
