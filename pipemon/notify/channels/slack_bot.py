"""Slack by a bot's token: an incident is one message, which says how things stand, with a thread of what came after.

https://docs.slack.dev/reference/methods/chat.postMessage, https://docs.slack.dev/reference/methods/chat.update
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Doubt, NotSent, Outcome
from pipemon.notify.channels.slack import SEND_SECONDS
from pipemon.notify.channels.slack_form import People, payload, plain_text
from pipemon.notify.message import Message, Thread, took

GONE = (
    "channel_not_found", "not_in_channel", "is_archived", "restricted_action", "invalid_auth", "not_authed",
    "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission", "org_login_required",
    "ekm_access_denied",
)  # fmt: skip
LATER = ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
LAYOUT = ("invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text")
# The message that is to be changed, or followed, is not there any more.
LOST = ("message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed")
RATE_LIMIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bot speaks: the API's address, its token, and the channel's id or #name."""

    api_url: str
    token: Secret
    channel: str


@dataclass(frozen=True, slots=True)
class SlackBot:
    """One channel of Slack. A message's `reference` is Slack's id of the channel and its `ts`."""

    name: str
    place: Place = field(repr=False)
    post: Callable[..., tuple[int, str, str | None]] = field(repr=False)
    people: People = field(default_factory=dict)
    kind: str = "slack"
    per_second: float = 1.0

    @property
    def recipient(self) -> str:
        """What the history shows."""
        return f"slack {self.place.channel}"

    @property
    def fingerprint(self) -> str:
        """What tells one token and channel from another."""
        return hashlib.sha256(f"{self.place.token.reveal()} {self.place.channel}".encode()).hexdigest()[:16]

    def send(self, message: Message) -> Outcome:
        """Send it; what follows upon an earlier one changes that, and goes into its thread.

        The change comes first: made twice it is the same, and where it fails nothing was posted yet.
        """
        if message.thread is None:
            return self._say(message, {"channel": self.place.channel})
        channel, _, ts = message.thread.reference.partition(" ")
        standing = payload(_standing(message.thread, message), self.people)
        outcome, word = self._call("chat.update", {"channel": channel, "ts": ts, **standing})
        if word in LOST:
            return self._say(message, {"channel": self.place.channel})
        if outcome.kind == "uncertain":
            return replace(outcome, kind="retry")  # nothing was posted
        if outcome.kind != "sent" and word not in LAYOUT:
            return outcome
        # A repair is shown to all who read the channel, who were alarmed there.
        loud = {"reply_broadcast": True} if message.severity == "good" else {}
        outcome = self._say(message, {"channel": channel, "thread_ts": ts, **loud})
        return replace(outcome, reference=None)

    def _say(self, message: Message, where: Mapping[str, Any]) -> Outcome:
        """Post it; where Slack does not take its layout, once more as plain text."""
        outcome, word = self._call("chat.postMessage", {**where, **payload(message, self.people)})
        if word in LAYOUT:
            plain, _ = self._call("chat.postMessage", {**where, "text": plain_text(message, self.people)})
            return replace(plain, detail=f"as plain text, since {outcome.detail}: {plain.detail}")
        return outcome

    def _call(self, method: str, body: Mapping[str, Any]) -> tuple[Outcome, str]:
        """Return what came of a call, and Slack's word for what was wrong with it."""
        headers = {
            "Authorization": f"Bearer {self.place.token.reveal()}",
            "Content-Type": "application/json; charset=utf-8",
        }
        sent = json.dumps({**body, "unfurl_links": False}).encode()
        try:
            status, text, retry_after = self.post(f"{self.place.api_url}/{method}", sent, SEND_SECONDS, headers)
        except NotSent as error:
            return Outcome("retry", str(error)), ""
        except Doubt as error:
            return Outcome("uncertain", str(error)), ""
        return meaning(status, text, retry_after)


def meaning(status: int, text: str, retry_after: str | None) -> tuple[Outcome, str]:
    """Return what an answer of the Web API means, and its word for what was wrong."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    said = body if isinstance(body, dict) else {}
    if status == 200 and said.get("ok") is True:
        return Outcome("sent", "ok", reference=f"{said.get('channel')} {said.get('ts')}"), ""
    error = str(said.get("error", ""))[:80]
    word = error if error.replace("_", "").isalnum() else ""
    if status == 429 or word in ("ratelimited", "rate_limited"):
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else RATE_LIMIT_SECONDS
        return Outcome("retry", "Slack asks to wait", seconds), word
    if status >= 500 or word in LATER:
        return Outcome("retry", f"Slack answered {status} {word}".strip()), word
    if word in GONE:
        return Outcome("gone", f"Slack answered {word}"), word
    if word:
        return Outcome("refused", f"Slack answered {word}"), word
    return Outcome("retry", f"not Slack's answer: {status}"), ""


def _standing(thread: Thread, message: Message) -> Message:
    """Return the message that told that it broke, as it stands by now."""
    opener, facts = thread.opener, list(thread.opener.facts)
    if message.severity == "good":
        seconds = (message.occurred_at or 0) - (opener.occurred_at or 0)
        facts.append(("Was red for", took(max(0, seconds))))
    else:
        facts.append(("Latest", message.title))
    return replace(opener, title=message.title, severity=message.severity, facts=tuple(facts), people=())
