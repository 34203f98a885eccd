"""What a client may say, and what it is told when it says something else."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipemon.live import protocol
from pipemon.live.protocol import Auth, Misunderstood, Ping, Subscribe, Unsubscribe


def parse(**message: Any) -> Any:
    return protocol.parse(json.dumps(message))


def test_every_message() -> None:
    asked = parse(type="subscribe", events=["builds", "builds", "pipeline"])
    assert asked == Subscribe(("builds", "pipeline"))
    full = parse(
        type="subscribe", events=["builds"], repositories=["Acme/Shop"], branches=["Main"], last_event_id=7, epoch="e"
    )
    assert full == Subscribe(("builds",), frozenset({"acme/shop"}), frozenset({"Main"}), 7, "e")
    assert parse(type="unsubscribe", events=["builds"]) == Unsubscribe(("builds",))
    assert parse(type="ping") == Ping()
    assert parse(type="auth", key="k") == Auth("k")
    assert parse(type="auth", ticket="t") == Auth(None, "t")


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_filter_filters_nothing(empty: Any) -> None:
    assert parse(type="subscribe", events=["builds"], repositories=empty, branches=empty) == Subscribe(("builds",))


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("type", {}),
    ("type", {"type": 5}),
    ("type", {"type": ["subscribe"]}),
    ("type", {"type": "destroy"}),
    ("events", {"type": "subscribe"}),
    ("events", {"type": "subscribe", "events": []}),
    ("events", {"type": "subscribe", "events": "builds"}),
    ("events", {"type": "subscribe", "events": ["builds", "sheep"]}),
    ("events", {"type": "subscribe", "events": [["builds"]]}),
    ("events", {"type": "unsubscribe", "events": [None]}),
    ("last_event_id", {"type": "subscribe", "events": ["builds"], "last_event_id": "7"}),
    ("last_event_id", {"type": "subscribe", "events": ["builds"], "last_event_id": -1}),
    ("last_event_id", {"type": "subscribe", "events": ["builds"], "last_event_id": True}),
    ("last_event_id", {"type": "subscribe", "events": ["builds"], "last_event_id": 2**63}),
    ("last_event_id", {"type": "subscribe", "events": ["builds"], "last_event_id": 1.5}),
    ("epoch", {"type": "subscribe", "events": ["builds"], "epoch": 5}),
    ("repositories", {"type": "subscribe", "events": ["builds"], "repositories": "acme/shop"}),
    ("repositories", {"type": "subscribe", "events": ["builds"], "repositories": [""]}),
    ("branches", {"type": "subscribe", "events": ["builds"], "branches": ["x" * 256]}),
    ("branches", {"type": "subscribe", "events": ["builds"], "branches": ["x"] * 501}),
    ("key", {"type": "auth"}),
    ("key", {"type": "auth", "key": "a", "ticket": "b"}),
    ("key", {"type": "auth", "key": 5}),
]


@pytest.mark.parametrize(("field", "message"), WRONG)
def test_a_wrong_field_is_named(field: str, message: dict[str, Any]) -> None:
    with pytest.raises(Misunderstood) as wrong:
        parse(**message)
    assert list(wrong.value.details) == [field]


@pytest.mark.parametrize(
    "text", ["", "no", "5", "[]", "null", '{"type": NaN}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}"]
)
def test_what_is_no_json_object_is_told_so(text: str) -> None:
    with pytest.raises(Misunderstood) as wrong:
        protocol.parse(text)
    assert wrong.value.kind == "bad_request"


FIELDS = st.sampled_from(["type", "events", "repositories", "branches", "last_event_id", "epoch", "key", "ticket"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner), max_leaves=20))
def test_R7_nothing_that_is_said_raises_anything_else(value: Any) -> None:
    body = value if isinstance(value, dict) else {"type": "subscribe", "events": value}
    try:
        protocol.parse(json.dumps(body))
    except Misunderstood:
        pass


def test_an_update_carries_the_log_s_own_data() -> None:
    row = SimpleNamespace(
        id=5, type="build_failed", topic="builds", repository="acme/shop", occurred_at=1_760_000_000,
        recorded_at=1_760_000_001.25, historic=False, data='{"build_id":1,"branch":"main"}',
    )  # fmt: skip
    assert json.loads(protocol.update(row)) == {
        "type": "build_update", "id": 5, "event": "build_failed", "repository": "acme/shop",
        "occurred_at": "2025-10-09T08:53:20Z", "historic": False, "timestamp": "2025-10-09T08:53:21.250Z",
        "data": {"build_id": 1, "branch": "main"},
    }  # fmt: skip
    assert protocol.branches_of(row.data) == {"main"}
    assert protocol.branches_of('{"branches":["a","b"]}') == {"a", "b"}
    assert protocol.branches_of('{"branch":null}') is None
