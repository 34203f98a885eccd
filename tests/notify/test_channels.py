"""Which channels the settings make."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from config import Settings
from pipemon.app import channels_of
from pipemon.domain.addresses import Allowed
from pipemon.notify.message import Message
from pipemon.outbound.client import Outbound
from tests.notify.inbox import Inbox


def made(tmp_path: Path, **environ: str) -> dict[str, Any]:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path), **environ}, env_file=None)
    return channels_of(settings, Outbound(Allowed.of(["127.0.0.1"])))


def test_each_address_makes_the_channel_that_it_is_of(tmp_path: Path) -> None:
    named = {"ops": "https://hooks.slack.com/services/T/B/x", "pager": "https://example.com/h"}
    found = made(tmp_path, SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T/B/y", CHANNELS=json.dumps(named))
    assert {name: channel.kind for name, channel in found.items()} == {
        "slack": "slack", "slack_analytics": "slack", "ops": "slack", "pager": "webhook",
    }  # fmt: skip
    assert made(tmp_path) == {}


def test_a_message_to_any_address_is_json_and_signed(tmp_path: Path) -> None:
    with Inbox() as inbox:
        found = made(tmp_path, CHANNELS=json.dumps({"pager": inbox.url}), CHANNEL_SIGNING_SECRET="s3cret")
        outcome = found["pager"].send(Message("CI failed", "text", "bad", (("Commit", "abc <b>"),), "https://x", 0))
    assert outcome.kind == "sent"
    (post,) = inbox.posts
    assert (post["title"], post["severity"], post["facts"]) == (
        "CI failed",
        "bad",
        [{"name": "Commit", "value": "abc <b>"}],
    )
    assert post["occurred_at"] == "1970-01-01T00:00:00Z"
    signed = dict(part.split("=") for part in inbox.headers[0]["X-Pipemon-Signature"].split(","))
    digest = hmac.new(b"s3cret", f"{signed['t']}.".encode() + inbox.bodies[0], hashlib.sha256).hexdigest()
    assert signed["v1"] == digest
