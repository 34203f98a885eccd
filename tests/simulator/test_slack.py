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
