"""The simulator's Slack: it keeps what it is sent, and answers as it is told."""

from collections.abc import Iterator

import pytest
import requests

from pipemon.simulator import Simulator

HOOK = "/_slack/services/demo"


@pytest.fixture
def served() -> Iterator[tuple[Simulator, str]]:
    sim = Simulator(size="empty")
    with sim.serve() as url:
        yield sim, url


def test_a_message_is_kept_and_shown(served: tuple[Simulator, str]) -> None:
    _, url = served
    said = {
        "text": "x",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "CI failed on <main>"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "```a &lt; b```"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": '<https://x.example/?a="b|Open>'}]},
        ],
    }
    answer = requests.post(url + HOOK, json=said)
    assert (answer.status_code, answer.text) == (200, "ok")
    (kept,) = requests.get(f"{url}/_slack/messages").json()
    assert (kept["hook"], kept["message"]) == ("demo", said)
    shown = requests.get(f"{url}/_slack").text
    assert "<h2>CI failed on &lt;main&gt;</h2>" in shown
    assert "<pre>a &lt; b</pre>" in shown
    assert '<a href="https://x.example/?a=&quot;b">Open</a>' in shown


@pytest.mark.parametrize(("body", "word"), [(b"{", "invalid_payload"), (b"{}", "no_text"), (b"[]", "no_text")])
def test_what_is_no_message_is_refused_as_slack_does(served: tuple[Simulator, str], body: bytes, word: str) -> None:
    sim, url = served
    answer = requests.post(url + HOOK, data=body)
    assert (answer.status_code, answer.text) == (400, word)
    assert not sim.slack.messages


def test_answers_by_script(served: tuple[Simulator, str]) -> None:
    _, url = served
    script = [
        {"status": 429, "body": "rate_limited", "headers": {"Retry-After": 3}},
        {"status": 404, "body": "no_service"},
        {"silent": True},
    ]
    assert requests.post(f"{url}/_sim/slack", json={"answers": script}).json() == 3
    first = requests.post(url + HOOK, json={"text": "a"})
    assert (first.status_code, first.headers["Retry-After"]) == (429, "3")
    assert requests.post(url + HOOK, json={"text": "b"}).text == "no_service"
    with pytest.raises(requests.RequestException):
        requests.post(url + HOOK, json={"text": "c"}, timeout=2)
    assert requests.post(url + HOOK, json={"text": "d"}).text == "ok"
    assert [one["message"]["text"] for one in requests.get(f"{url}/_slack/messages").json()] == ["a", "b", "c", "d"]


# The Web API


def call(url: str, method: str, token: str = "xoxb-any", **said: object) -> dict[str, object]:
    answer = requests.post(f"{url}/_slack/api/{method}", json=said, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    return dict(answer.json())


def test_a_message_is_changed_and_followed(served: tuple[Simulator, str]) -> None:
    _, url = served
    first = call(url, "chat.postMessage", channel="#ci", text="broken")
    other = call(url, "chat.postMessage", channel="#ci", text="another")
    assert (first["ok"], first["channel"], first["ts"] != other["ts"]) == (True, "CCI", True)
    where = {"channel": "CCI", "ts": first["ts"]}
    assert call(url, "chat.update", text="mended", **where) == {"ok": True, **where}
    call(url, "chat.postMessage", channel="CCI", thread_ts=first["ts"], text="how it was mended", reply_broadcast=True)
    kept = requests.get(f"{url}/_slack/messages").json()
    assert [(one["message"]["text"], one["edits"], one["thread_ts"]) for one in kept] == [
        ("mended", 1, None), ("another", 0, None), ("how it was mended", 0, first["ts"]),
    ]  # fmt: skip
    shown = requests.get(f"{url}/_slack").text
    # The newest first, and a thread below what it follows.
    assert shown.index("another") < shown.index("<p>mended") < shown.index("how it was mended")
    assert "edited 1 times" in shown
    assert "in the thread, also in the channel" in shown


@pytest.mark.parametrize(
    ("method", "said", "word"),
    [
        ("chat.update", {"channel": "C1", "ts": "1.2", "text": "x"}, "message_not_found"),
        ("chat.postMessage", {"channel": "C1", "thread_ts": "1.2", "text": "x"}, "thread_not_found"),
        ("chat.postMessage", {"channel": "C1"}, "no_text"),
        ("chat.delete", {"channel": "C1", "text": "x"}, "unknown_method"),
        ("chat.postMessage", {"channel": "C1", "text": "x", "token": "xoxp-a-user-s"}, "invalid_auth"),
    ],
)
def test_the_api_refuses_as_slack_does(
    served: tuple[Simulator, str], method: str, said: dict[str, str], word: str
) -> None:
    sim, url = served
    assert call(url, method, **said) == {"ok": False, "error": word}
    assert not sim.slack.messages


def test_the_api_takes_json_only(served: tuple[Simulator, str]) -> None:
    _, url = served
    answer = requests.post(f"{url}/_slack/api/chat.postMessage", data=b"{", headers={"Authorization": "Bearer xoxb-x"})
    assert answer.json() == {"ok": False, "error": "invalid_json"}
