"""Which channels the settings make."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from config import Settings, SettingsError
from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.notify.channels.email import Server
from pipemon.notify.message import Message
from pipemon.outbound.client import Outbound
from pipemon.reaching import channels_of
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


MAIL = {"SMTP_URL": "smtps://ada:hush@mail.example.com", "EMAIL_FROM": "builds@example.com"}


def test_mail_goes_to_those_who_are_named(tmp_path: Path) -> None:
    named = {"managers": "mailto:boss@example.com,cto@example.com"}
    found = made(tmp_path, **MAIL, EMAIL_TO="ada@example.com", CHANNELS=json.dumps(named))
    assert {name: (channel.kind, channel.to) for name, channel in found.items()} == {
        "email": ("email", ("ada@example.com",)),
        "managers": ("email", ("boss@example.com", "cto@example.com")),
    }
    own = found["email"].server
    assert (own.host, own.port, own.wrapped, own.clear, own.user) == ("mail.example.com", 465, True, False, "ada")
    assert Server.of(Secret("smtp://mail.example.com"), "x@y").clear is False
    assert Server.of(Secret("smtp://mail.example.com?tls=no"), "x@y").clear is True


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SMTP_URL": MAIL["SMTP_URL"]}, "EMAIL_FROM"),
        ({**MAIL}, "EMAIL_TO"),
        ({"EMAIL_TO": "ada@example.com"}, "SMTP_URL"),
        ({"CHANNELS": '{"boss": "mailto:boss@example.com"}'}, "SMTP_URL"),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, "SLACK_CHANNEL"),
        ({"SLACK_CHANNEL": "#builds"}, "SLACK_BOT_TOKEN"),
        ({"CHANNELS": '{"me": "apprise:syslog://"}'}, "CHANNELS"),
        ({"CHANNELS": '{"me": "apprise:nonsense://x"}'}, "CHANNELS"),
    ],
)
def test_half_a_channel_stops_the_start_with_one_line(tmp_path: Path, given: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        made(tmp_path, **given)
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{named}: ")


def test_without_apprise_installed_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config_channels.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"CHANNELS: .*requirements-apprise\.txt"):
        made(tmp_path, CHANNELS='{"phone": "apprise:json://127.0.0.1"}')


def test_a_bot_takes_the_webhook_s_place(tmp_path: Path) -> None:
    bot = {"SLACK_BOT_TOKEN": "xoxb-1-secret", "SLACK_CHANNEL": "#builds"}
    found = made(tmp_path, **bot, SLACK_PEOPLE='{"Ada": "U024BE7LH"}')
    assert {name: type(channel).__name__ for name, channel in found.items()} == {
        "slack": "SlackBot", "slack_analytics": "SlackBot",
    }  # fmt: skip
    assert found["slack"].people == {"ada": "U024BE7LH"}
    both = made(tmp_path, **bot, SLACK_WEBHOOK_URL="https://hooks.slack.com/services/T/B/y")
    assert type(both["slack"]).__name__ == "SlackBot"


def test_apprise_takes_what_its_service_takes(tmp_path: Path) -> None:
    with Inbox() as inbox:
        address = inbox.url.replace("http://", "json://")
        channel = made(tmp_path, CHANNELS=json.dumps({"phone": f"apprise:{address}"}))["phone"]
        assert channel.send(Message("CI failed", "CI failed", "bad", (("Commit", "abc"),), "https://x")).kind == "sent"
        inbox.script = lambda number, body: (500, "no", {})
        assert channel.send(Message("CI failed", "text")).kind == "retry"
    (first, _) = inbox.posts
    assert (first["title"], first["type"]) == ("🔴 CI failed", "failure")
    assert "Commit: abc" in first["message"]
    assert "secretpart" not in f"{channel!r} {channel.recipient}"


def test_every_way_to_slack_knows_the_people(tmp_path: Path) -> None:
    with Inbox() as inbox:
        people = {"SLACK_PEOPLE": '{"Ada": "U024BE7LH"}', "SLACK_API_URL": inbox.url}
        webhook = made(tmp_path, SLACK_WEBHOOK_URL=inbox.url, **people)["slack"]
        for channel in (
            webhook,
            made(tmp_path, SLACK_BOT_TOKEN="xoxb-not-a-real-one", SLACK_CHANNEL="#builds", **people)["slack"],
        ):
            channel.send(Message("CI failed", "text", "bad", people=("ADA",)))
    assert [json.dumps(post["blocks"]).count("<@U024BE7LH>") for post in inbox.posts] == [1, 1]
    assert inbox.headers[1]["Authorization"] == "Bearer xoxb-not-a-real-one"
