"""Slack: what is sent is what Slack takes, what GitHub's people wrote stays text, and each answer is understood."""

import random
import re

import pytest
from slack_sdk.models.blocks import Block

from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.notify import message
from pipemon.notify.channels.slack import Slack, meaning
from pipemon.notify.channels.slack_form import link, payload, plain_text, shown
from pipemon.notify.channels.webhook import Webhook
from pipemon.notify.message import Message
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from tests.notify.inbox import Inbox

POST = poster(Outbound(Allowed.of(["127.0.0.1"])))
DATA = {
    "repository": "octo/shop", "workflow": "CI", "branch": "main", "commit_sha": "0123456789", "actor": "ada",
    "commit_message": "Mend the door\n\nmore", "duration_seconds": 185, "url": "https://github.com/octo/shop/actions/runs/1",
}  # fmt: skip


def hostile_texts() -> list[str]:
    rng = random.Random(1)
    seeds = [
        "<!channel>", "<!here>", "<!everyone>", "<@U012AB3CD>", "<#C012AB3CD>", "<https://evil.example|click>",
        "<!subteam^S1>",
        "&lt;!channel&gt;", "*bold*", "`code`", "_it_", "~x~", "a\nb\r\nc", "\u202eevil", "\x00\x1b[31m",
        "<", ">", "&", "|>", "<<!channel>>",
        "<!date^1392734382^{date}^https://evil.example|x>", "x" * 5000, "<" * 400, "&" * 400, "", " ",
    ]  # fmt: skip
    return [rng.choice(seeds) + rng.choice(["", " ", "\n"]) + rng.choice(seeds) for _ in range(500)]


LIVE = re.compile(r"<(?!https://github\.com/)[^>]*>")


@pytest.mark.parametrize("field", ["branch", "commit_message", "actor", "workflow", "repository"])
def test_N8_no_text_becomes_a_mention_or_a_link(field: str) -> None:
    for text in hostile_texts():
        sent = payload(message.of_event("build_failed", {**DATA, field: text}, 1_760_000_000))
        fields = [one["text"] for block in sent["blocks"] for one in block.get("fields", block.get("elements", []))]
        for part in (sent["text"], *fields):
            assert LIVE.search(part) is None, (text, part)
        assert all(block["text"]["type"] == "plain_text" for block in sent["blocks"] if block["type"] == "header")
        Block.parse_all(sent["blocks"])
        assert len(sent["blocks"]) <= 50
        assert len(sent["text"]) <= 3000
        assert all(len(one) <= 2000 for one in fields)
        assert all(len(block["text"]["text"]) <= 150 for block in sent["blocks"] if block["type"] == "header")


def test_N8_a_hostile_address_stays_one_address() -> None:
    assert link("https://github.com/a|b>c<d e", "Open") == "<https://github.com/a%7Cb%3Ec%3Cd%20e|Open>"


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("https://github.com/octo/shop/actions/runs/1", "Open on GitHub"),
        ("https://github.example.org/octo/shop", "Open on github.example.org"),
        ("https://github.com.evil.example/x", "Open on github.com.evil.example"),
        ("https://github.com@evil.example/x", "Open on evil.example"),
        ("https://evil.example<!here>/x", "Open on evil.example&lt;!here&gt;"),
        ("https://[", "Open"),
    ],
)
def test_N8_a_link_says_where_it_leads_to(url: str, way: str) -> None:
    """A deployment's address is chosen by who deploys."""
    told = payload(Message("t", "x", url=url))
    assert told["blocks"][-1]["elements"][0]["text"].endswith(f"|{way}>")
    assert told["text"].endswith(f"|{way}>")


def test_a_cut_never_leaves_half_an_escape() -> None:
    for length in range(5, 30):
        cut = shown("<&>" * 20, length)
        assert len(cut) <= length
        assert re.fullmatch(r"(&(amp|lt|gt);)*…?", cut), cut


def test_a_text_that_is_too_long_keeps_its_link_and_mentions_whole() -> None:
    facts = tuple((f"Fact {number}", "<&>" * 200) for number in range(30))
    said = Message("t", "x" * 2000, facts=facts, url="https://github.com/octo/shop", people=("ada",))
    lines = plain_text(said, {"ada": "U024BE7LH"}).splitlines()
    assert lines[-2:] == ["<@U024BE7LH>", "<https://github.com/octo/shop|Open on GitHub>"]
    assert 3 < len(lines) < 30
    assert len("\n".join(lines)) <= 3000


def test_a_message_is_read_in_ten_seconds() -> None:
    """What broke, where, who, since when, and the link."""
    said = message.of_event("build_still_failing", DATA, 1_760_000_000, failures=3)
    assert plain_text(said).splitlines() == [
        "🔴 CI still fails on main (octo/shop)",
        "Repository: octo/shop",
        "Commit: 0123456 Mend the door",
        "By: ada",
        "Failures in a row: 3",
        "Took: 3 min 5 s",
        "At: 2025-10-09 08:53:20 UTC",
        "<https://github.com/octo/shop/actions/runs/1|Open on GitHub>",
    ]


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "kind", "wait", "plainer"),
    [
        (200, "ok", None, "sent", None, False),
        (200, "<html>proxy", None, "retry", None, False),
        (200, "no_text", None, "retry", None, False),
        (302, "", None, "retry", None, False),
        (429, "rate_limited", "17", "retry", 17.0, False),
        (429, "", None, "retry", 30.0, False),
        (429, "", "²", "retry", 30.0, False),
        (429, "", "-5", "retry", 30.0, False),
        (429, "", "Wed, 21 Oct 2026 07:28:00 GMT", "retry", 30.0, False),
        (429, "", "9" * 5000, "retry", 3600.0, False),
        (500, "rollup_error", None, "retry", None, False),
        (503, "", None, "retry", None, False),
        (400, "invalid_blocks", None, "refused", None, True),
        (400, "invalid_payload", None, "refused", None, True),
        (403, "action_prohibited", None, "gone", None, False),
        (404, "no_service", None, "gone", None, False),
        (404, "channel_not_found", None, "gone", None, False),
        (410, "channel_is_archived", None, "gone", None, False),
        (403, "<html>proxy says no", None, "retry", None, False),
        (404, "", None, "retry", None, False),
    ],
)
def test_D4_D6_D7_D8_what_slack_s_answers_mean(
    status: int, body: str, retry_after: str | None, kind: str, wait: float | None, plainer: bool
) -> None:
    outcome, refused_layout = meaning(status, body, retry_after, has_blocks=True)
    assert (outcome.kind, outcome.retry_after_seconds, refused_layout) == (kind, wait, plainer)
    assert "proxy" not in outcome.detail


def slack(inbox: Inbox) -> Slack:
    return Slack("slack", Secret(inbox.url), POST)


def test_D6_a_layout_that_is_refused_is_sent_once_as_plain_text() -> None:
    with Inbox(lambda number, body: (400, "invalid_blocks", {}) if "blocks" in body else (200, "ok", {})) as inbox:
        outcome = slack(inbox).send(message.of_event("build_failed", DATA, 0))
    assert outcome.kind == "sent"
    assert ["blocks" in post for post in inbox.posts] == [True, False]
    with Inbox(lambda number, body: (400, "invalid_payload", {})) as inbox:
        assert slack(inbox).send(message.of_event("build_failed", DATA, 0)).kind == "refused"
    assert len(inbox.posts) == 2


def test_D5_no_connection_is_certain_and_a_lost_answer_is_not() -> None:
    with Inbox(lambda number, body: None) as inbox:
        channel = slack(inbox)
        assert channel.send(Message("t", "x")).kind == "uncertain"
    assert channel.send(Message("t", "x")).kind == "retry"


def test_D8_a_redirect_is_not_followed() -> None:
    with Inbox() as other, Inbox(lambda number, body: (302, "", {"Location": other.url})) as inbox:
        assert slack(inbox).send(Message("t", "x")).kind == "retry"
    assert other.posts == []


def test_I7_nothing_shows_the_address() -> None:
    with Inbox() as inbox:
        channel = slack(inbox)
        assert "secretpart"[:6] not in channel.recipient + repr(channel)
        assert channel.recipient == "slack …part"


def test_SSRF_a_channel_inside_is_not_called() -> None:
    closed = Slack("slack", Secret("https://127.0.0.1/x"), poster(Outbound(Allowed.of([]))))
    outcome = closed.send(Message("t", "x"))
    assert (outcome.kind, "not a public address" in outcome.detail) == ("retry", True)


def test_a_long_text_is_shown_whole() -> None:
    text = "x" * 500
    shown_texts = [block["text"]["text"] for block in payload(Message(text[:200], text))["blocks"] if "text" in block]
    assert text in shown_texts


def test_a_possible_repeat_says_so() -> None:
    assert payload(Message("t", "x", possible_duplicate=True))["text"].startswith("(possible repeat) ")


def test_a_webhook_is_signed() -> None:
    import hashlib
    import hmac

    seen = {}

    def post(url: str, body: bytes, seconds: float, headers: dict[str, str]) -> tuple[int, str, None]:
        seen.update(body=body, headers=headers)
        return 204, "", None

    hook = Webhook("hook", Secret("https://x.example/h"), post, Secret("s3cret"), lambda: 99.0)
    assert hook.send(Message("t", "x")).kind == "sent"
    digest = hmac.new(b"s3cret", b"99." + seen["body"], hashlib.sha256).hexdigest()
    assert seen["headers"]["X-Pipemon-Signature"] == f"t=99,v1={digest}"
