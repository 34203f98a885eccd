"""A Slack that takes messages by incoming webhook and by its Web API, keeps them, and answers by script.

A page shows them to people.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://docs.slack.dev/reference/methods/chat.postMessage
"""

import html
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

KEPT = 500
HOOKS = "/_slack/services/"
METHODS = "/_slack/api/"
Start = Callable[..., Any]
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;background:#fff;color:#1d1c1d}"
    "article{border-left:4px solid #ddd;margin:0 0 1.2rem;padding:.1rem 0 .1rem .9rem}h2{font-size:1.05rem;margin:.2rem 0}"
    "time{color:#616061;font-size:.85rem}pre{background:#f6f6f6;border:1px solid #ddd;border-radius:4px;padding:.5rem;"
    "white-space:pre-wrap}.reply{margin-left:2.5rem}dl{display:grid;grid-template-columns:1fr 1fr;gap:.2rem 1rem;margin:.4rem 0}p{margin:.3rem 0}"
)


class Slack:
    """The messages of one workspace. `answers` are given to the next posts, in turn; then `ok`.

    An answer is {"status", "body", "headers"}, or {"silent": true}: the bytes are taken and nothing is said.
    """

    def __init__(self) -> None:
        self.messages: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.answers: deque[Mapping[str, Any]] = deque()

    def script(self, answers: Iterable[Mapping[str, Any]]) -> int:
        """Answer the next posts so; return how many that are."""
        self.answers.extend(answers)
        return len(self.answers)

    def serve(self, environ: Mapping[str, Any], path: str, body: bytes, start: Start) -> Iterable[bytes]:
        """Answer one request below /_slack."""
        if environ["REQUEST_METHOD"] == "POST" and path.startswith(HOOKS):
            return self._take(path.removeprefix(HOOKS), body, start)
        if environ["REQUEST_METHOD"] == "POST" and path.startswith(METHODS):
            return self._call(path.removeprefix(METHODS), str(environ.get("HTTP_AUTHORIZATION", "")), body, start)
        if path == "/_slack/messages":
            return _say(start, "200 OK", json.dumps(list(self.messages)), "application/json")
        if path == "/_slack":
            return _say(start, "200 OK", page(self.messages), "text/html; charset=utf-8")
        return _say(start, "404 Not Found", "no_service")

    def _call(self, method: str, authorization: str, body: bytes, start: Start) -> Iterable[bytes]:
        """Answer a call of the Web API: always 200, unless a script says otherwise; `ok` says how it went."""
        answer = self.answers.popleft() if self.answers else {}
        found = {} if "body" in answer else self._carry_out(method, authorization, body)
        if answer.get("silent"):
            start("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2"), ("Connection", "close")])
            return iter(())
        text = answer["body"] if "body" in answer else json.dumps(found)
        headers = [(name, str(value)) for name, value in answer.get("headers", {}).items()]
        return _say(start, f"{answer.get('status', 200)} X", text, "application/json", headers)

    def _carry_out(self, method: str, authorization: str, body: bytes) -> Mapping[str, Any]:
        if not authorization.startswith("Bearer xoxb-"):
            return {"ok": False, "error": "invalid_auth"}
        try:
            said = json.loads(body)
        except ValueError:
            return {"ok": False, "error": "invalid_json"}
        if not said.get("text") and not said.get("blocks"):
            return {"ok": False, "error": "no_text"}
        deed = {"chat.postMessage": self._post, "chat.update": self._update}.get(method)
        return deed(said) if deed else {"ok": False, "error": "unknown_method"}

    def _post(self, said: dict[str, Any]) -> Mapping[str, Any]:
        channel, thread_ts, now = _channel_id(said.get("channel", "")), said.get("thread_ts"), time.time()
        if thread_ts is not None and self._find(channel, thread_ts) is None:
            return {"ok": False, "error": "thread_not_found"}
        entry = {"at": now, "hook": channel, "answer": 200, "silent": False, "message": said, "edits": 0}
        self.messages.append({**entry, "ts": f"{now:.6f}", "thread_ts": thread_ts})
        return {"ok": True, "channel": channel, "ts": f"{now:.6f}"}

    def _update(self, said: dict[str, Any]) -> Mapping[str, Any]:
        found = self._find(said.get("channel", ""), said.get("ts"))
        if found is None:
            return {"ok": False, "error": "message_not_found"}
        found["message"], found["edits"] = said, found["edits"] + 1
        return {"ok": True, "channel": found["hook"], "ts": found["ts"]}

    def _find(self, channel: str, ts: object) -> dict[str, Any] | None:
        return next((one for one in self.messages if one.get("ts") == ts and one["hook"] == channel), None)

    def _take(self, hook: str, body: bytes, start: Start) -> Iterable[bytes]:
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not (said.get("text") or said.get("blocks")):
            return _say(start, "400 Bad Request", "invalid_payload" if said is None else "no_text")
        answer = self.answers.popleft() if self.answers else {}
        self.messages.append(
            {
                "at": time.time(),
                "hook": hook,
                "answer": answer.get("status", 200),
                "silent": bool(answer.get("silent")),
                "message": said,
            }
        )
        if answer.get("silent"):
            # An answer that breaks off after its head: nobody knows what became of the message.
            start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2"), ("Connection", "close")])
            return iter(())
        headers = [(name, str(value)) for name, value in answer.get("headers", {}).items()]
        return _say(start, f"{answer.get('status', 200)} X", str(answer.get("body", "ok")), headers=headers)


def _channel_id(channel: str) -> str:
    """Return the id that a channel given by its name has here."""
    return f"C{channel[1:].upper()}" if channel.startswith("#") else channel


def _say(
    start: Start, status: str, text: str, kind: str = "text/plain", headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    raw = text.encode()
    start(status, [("Content-Type", kind), ("Content-Length", str(len(raw))), *headers])
    return [raw]


def page(messages: Iterable[Mapping[str, Any]]) -> str:
    """Return a page of the messages, newest first, much as Slack shows them."""
    shown = "".join(_article(one) for one in _in_threads(list(messages)))
    return (
        "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=5><title>The simulator's Slack</title>"
        f"<style>{STYLE}</style><h1>The simulator's Slack</h1>{shown or '<p>No message yet.</p>'}"
    )


def _in_threads(messages: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the messages of the channel, newest first, each with its thread below it, oldest first."""
    known = {one["ts"] for one in messages if one.get("ts")}
    for one in reversed(messages):
        if one.get("thread_ts") not in known:
            yield one
            yield from (reply for reply in messages if one.get("ts") and reply.get("thread_ts") == one["ts"])


def _article(one: Mapping[str, Any]) -> str:
    at = datetime.fromtimestamp(one["at"], UTC).strftime("%H:%M:%S UTC")
    blocks = one["message"].get("blocks") or [{"type": "section", "text": {"text": one["message"].get("text", "")}}]
    kind = ' class="reply"' if one.get("thread_ts") else ""
    told = ", also in the channel" if one["message"].get("reply_broadcast") else ""
    note = f" in the thread{told}" if one.get("thread_ts") else ""
    note += f", edited {one['edits']} times" if one.get("edits") else ""
    return f"<article{kind}><time>{at}{note}</time>{''.join(map(_block, blocks))}</article>"


def _block(block: Mapping[str, Any]) -> str:
    if block.get("type") == "header":
        return f"<h2>{html.escape(block['text']['text'])}</h2>"
    if block.get("type") == "divider":
        return "<hr>"
    parts = [f"<p>{_marked(block['text']['text'])}</p>"] if block.get("text") else []
    if block.get("fields"):
        parts.append("<dl>" + "".join(f"<div>{_marked(one['text'])}</div>" for one in block["fields"]) + "</dl>")
    parts += [f"<p>{_marked(one.get('text', ''))}</p>" for one in block.get("elements", ())]
    return "".join(parts)


def _marked(text: str) -> str:
    """Return Slack's marks as HTML: bold, code, links. Slack's own escapes are HTML's too."""
    safe = text.replace('"', "&quot;")
    safe = re.sub(r"<(https?://[^|>\s]+)\|([^>]*)>", '\x01a href="\\1"\x02\\2\x01/a\x02', safe)
    safe = safe.replace("<", "&lt;").replace(">", "&gt;").replace("\x01", "<").replace("\x02", ">")
    safe = re.sub(r"```(.+?)```", r"<pre>\1</pre>", safe, flags=re.DOTALL)
    return re.sub(r"(?<!\w)\*([^*\n]+)\*", r"<b>\1</b>", safe).replace("\n", "<br>")
