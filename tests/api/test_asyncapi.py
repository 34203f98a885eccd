"""The description of the WebSocket: whole, in step with the protocol, with examples that are as described."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from pipemon.domain import diff
from pipemon.domain.deployments import Verdict
from pipemon.domain.events import TYPES, Event
from pipemon.domain.runs import Attempt, AttemptTimes
from pipemon.domain.times import format_time
from pipemon.github.budget import Limits
from pipemon.ingest import deployed, movements, vigil
from pipemon.live import hub, protocol, session, socket
from pipemon.live.protocol import Misunderstood
from pipemon.notify.outbox import event_of
from pipemon.store import tickets
from pipemon.store.notifications import Claimed
from tests.api.conftest import Api
from tests.builders import T0, a_deployment, a_job, a_run, a_step
from tests.live.test_protocol import WRONG

DOCS = (Path(__file__).parents[2] / "docs" / "events.md").read_text().split("## By WebSocket")[1]
SAID = {"auth", "subscribe", "unsubscribe", "ping"}


@pytest.fixture
def document(api: Api) -> Any:
    return api.get("/asyncapi.json")


def validate(document: Any, body: Any, name: str) -> None:
    schema = document["components"]["messages"][name]["payload"] | {"components": document["components"]}
    jsonschema.validate(body, schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def strict(schema: Any) -> Any:
    """Return the schema without room for a field that it does not name."""
    if isinstance(schema, list):
        return [strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(inner) for name, inner in schema.items()}
    return found | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_it_has_what_asyncapi_asks_for(document: Any) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    for server in document["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for reference in references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        for through in (operation, operation.get("reply", operation)):
            assert all(one["$ref"].startswith("#/channels/live/messages/") for one in through["messages"])
    for message in document["components"]["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])
        jsonschema.Draft7Validator.check_schema(message["payload"])


def test_every_message_is_said_in_some_operation(document: Any) -> None:
    used = {reference.rpartition("/")[2] for reference in references(document["operations"]) if "messages" in reference}
    assert used == set(document["channels"]["live"]["messages"]) == set(document["components"]["messages"])


def test_the_examples_are_as_described_and_no_other_message_s(document: Any) -> None:
    messages = document["components"]["messages"]
    for name, message in messages.items():
        assert message["examples"], name
        for example in message["examples"]:
            fits = []
            for other in messages:
                try:
                    validate(document, example["payload"], other)
                except jsonschema.ValidationError:
                    continue
                fits.append(other)
            assert fits == [name]


def test_the_protocol_takes_the_examples(document: Any) -> None:
    messages = document["components"]["messages"]
    assert set(protocol._READERS) == SAID
    for name in SAID:
        for example in messages[name]["examples"]:
            protocol.parse(json.dumps(example["payload"]))


@pytest.mark.parametrize(("field", "message"), WRONG)
def test_what_the_protocol_refuses_is_not_as_described(document: Any, field: str, message: Any) -> None:
    with pytest.raises(Misunderstood):
        protocol.parse(json.dumps(message))
    for name in SAID:
        with pytest.raises(jsonschema.ValidationError):
            validate(document, message, name)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe", "events": ["builds"], "repositories": None, "branches": [], "last_event_id": None},
        {"type": "subscribe", "events": ["builds"], "last_event_id": protocol.LARGEST_ID, "epoch": None},
        {"type": "subscribe", "events": ["notifications"], "branches": ["x" * protocol.LONGEST_NAME]},
        {"type": "auth", "key": "k", "ticket": None},
        {"type": "ping", "more": 1},
    ],
)
def test_what_the_protocol_takes_is_as_described(document: Any, message: Any) -> None:
    protocol.parse(json.dumps(message))
    validate(document, message, message["type"])


def test_every_event_is_told_by_one_message(document: Any) -> None:
    messages = document["components"]["messages"]
    told = [
        name
        for update in protocol.UPDATES.values()
        if update in messages
        for name in messages[update]["payload"]["properties"]["event"]["enum"]
    ]
    assert sorted(told) == sorted(TYPES)


def every_event() -> Iterator[Event]:
    """One at least of each type, as the code makes them; with what may be unknown once known, once not."""
    for run in (a_run(), a_run(name=None, branch=None, commit=None, actor=None, triggering_actor=None)):
        queued = Attempt(run.id, 1, "queued", T0, started_at=T0)
        for status in ("waiting", "in_progress", "dreaming"):
            yield from diff.run_events(run, queued, replace(queued, status=status, updated_at=T0 + 5), 0)
        for conclusion in ("success", "failure", "timed_out", "cancelled", "skipped", "neutral"):
            times = AttemptTimes(T0 + 5, T0 + 60, 55, "jobs", 5)
            ended = replace(queued, status="completed", conclusion=conclusion, times=times)
            yield from diff.run_events(run, None, ended, 0)
            yield from diff.run_events(run, replace(ended, conclusion="action_required"), ended, 0)
        for steps in ((), (a_step(conclusion="failure"),)):
            failed = diff.job_event(run, None, a_job(run, conclusion="failure", steps=steps), 0)
            assert failed is not None
            yield failed
        yield diff.progress_event(run, queued, 1, 3, T0)
        late = {"running_seconds": 900, "p99_seconds": 300}
        yield diff.standing_event(run, queued, "build_overdue", T0, late)
        waits = {"queued_seconds": 900, "labels": ["gpu"], "job": "test"}
        yield diff.standing_event(run, queued, "build_queued_too_long", T0, waits)
        yield diff.standing_event(run, queued, "build_still_failing", T0, {"since": format_time(T0), "failures": 2})
        yield diff.standing_event(run, queued, "build_recovered", T0, {"since": format_time(T0)})
        yield diff.deleted_event(run, T0)
        yield diff.restored_event(run, T0)
        yield diff.pipeline_event(list(diff.run_events(run, None, queued, 0)), 1, 2, T0)
    yield movements._event("octo/shop", 5, 2, T0)
    yield from vigil._budget(Limits("t", 5000, 900, T0 + 600), T0)
    for rule_id, group in ((1, "1|slack|octo/shop|7|main"), (None, None)):
        claimed = Claimed(3, rule_id, "slack", "{}", 1, False, group)
        yield event_of("notification_sent", claimed, "sent", T0)
        yield event_of("notification_failed", claimed, "failed", T0)
    undone = Verdict("rollback", "deployed_before", {"previous_deployment": 6, "previous_commit": "abc"}, 6)
    for one in (a_deployment("failure", "success"), a_deployment("failure", "success", ref=None, creator=None)):
        yield from deployed._ends("octo/shop", None, one, 0)
        yield deployed._rollback_event(("octo/shop", 0), one, T0, undone)


def test_every_event_that_the_code_makes_is_as_described_to_the_last_field(document: Any) -> None:
    made = list(every_event())
    assert {event.type for event in made} == set(TYPES)
    whole = {"components": strict(document["components"])}
    for place, event in enumerate(made, 1):
        row = SimpleNamespace(
            id=place, type=event.type, topic=event.topic, repository=event.repository, occurred_at=event.occurred_at,
            recorded_at=T0 + 0.5, historic=event.historic, data=json.dumps(event.data),
        )  # fmt: skip
        told = json.loads(protocol.update(row))
        validate(whole, told, told["type"])


def test_every_close_code_is_described(document: Any) -> None:
    codes = {value for name, value in vars(socket).items() if name.isupper() and isinstance(value, int)}
    codes = {code for code in codes if 1000 <= code < 5000}
    assert {str(code) for code in codes} | {"1007"} == set(document["channels"]["live"]["x-close-codes"])


@pytest.mark.parametrize(
    ("settings", "server"),
    [
        ({"port": 8123}, {"host": "127.0.0.1:8123", "protocol": "ws"}),
        ({"public_url": "https://ci.example.com/pipemon/", "allow_anonymous_read": True},
         {"host": "ci.example.com", "protocol": "wss", "pathname": "/pipemon"}),
    ],
)  # fmt: skip
def test_it_says_where_the_server_is(make_api: Any, settings: Any, server: Any) -> None:
    assert make_api(**settings).get("/asyncapi.json")["servers"]["pipemon"] == server


def test_it_says_that_a_key_is_needed_where_one_is(make_api: Any) -> None:
    closed = make_api(host="0.0.0.0").get("/asyncapi.json", key="reader")
    assert [one["$ref"].rpartition("/")[2] for one in closed["servers"]["pipemon"]["security"]] == ["bearer", "apiKey"]
    assert (
        "security"
        not in make_api(host="0.0.0.0", allow_anonymous_read=True).get("/asyncapi.json")["servers"]["pipemon"]
    )


def test_the_page_for_people_has_every_message_and_every_close_code(document: Any) -> None:
    for name in document["components"]["messages"]:
        assert re.search(rf'[`"]{name}[`"]', DOCS), name
    told = {code for row in re.findall(r"^\| ([\d, ]+) \|", DOCS, re.MULTILINE) for code in row.split(", ")}
    assert told | {"1000"} == set(document["channels"]["live"]["x-close-codes"])


def test_its_messages_are_as_described(document: Any) -> None:
    shown = [json.loads(found) for found in re.findall(r"`(\{\"type\".*?\})`", DOCS)]
    assert {message["type"] for message in shown} >= SAID
    for message in shown:
        validate(document, message, message["type"])


def test_its_numbers_are_the_code_s() -> None:
    assert f"{socket.MESSAGE_BYTES // 1024} KiB" in DOCS
    assert f"more than {session.BURST} at once, or {session.RATE:g} a second" in DOCS
    assert f"within {session.AUTH_SECONDS:g} s" in DOCS
    assert f"pings every {hub.PING_SECONDS} s" in DOCS
    assert tickets.TICKET_SECONDS == 60 and "within a minute" in DOCS
