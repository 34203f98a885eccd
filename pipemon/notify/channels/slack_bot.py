"""Slack by a bot's token: an incident is one message, which says how things stand, with a thread of what came after.

https://docs.slack.dev/reference/methods/chat.postMessage, https://docs.slack.dev/reference/methods/chat.update
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Doubt, NotSent, Outcome, wait_of
from pipemon.notify.channels.slack import RATE_LIMIT_SECONDS, SEND_SECONDS
from pipemon.notify.channels.slack_form import People, payload, plain_text
from pipemon.notify.message import Message, standing

GONE = (
    "channel_not_found", "not_in_channel", "is_archived", "restricted_action", "invalid_auth", "not_authed",
    "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission", "org_login_required",
    "ekm_access_denied",
)  # fmt: skip
LATER = ("service_unavailable", "request_timeout")
# "Some aspect of the operation" may have "succeeded before the error was raised".
DOUBTFUL = ("internal_error", "fatal_error")
LAYOUT = ("invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text")
# The message that is to be changed, or followed, is out of reach. Of its channel, too, that says nothing about the one
# that is set today: that one answers for itself.
LOST = (
    "message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed", "cannot_reply_to_message",
    "channel_not_found", "not_in_channel", "is_archived",
)  # fmt: skip
# All calls of one message together take no longer than a sending may; with less than this left none is begun.
LEAST_SECONDS = 1.0
REFERENCE = r"[A-Z0-9]{2,30} [0-9]{1,20}\.[0-9]{1,10}"


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
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
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
        until, home, thread = self.clock() + SEND_SECONDS, {"channel": self.place.channel}, message.thread
        if thread is None:
            return self._put("chat.postMessage", home, message, until)[0]
        channel, _, ts = thread.reference.partition(" ")
        if not thread.is_repaired:
            # Without blocks those of before may stay: https://docs.slack.dev/reference/methods/chat.update
            where = {"channel": channel, "ts": ts, "blocks": []}
            outcome, word = self._put("chat.update", where, standing(thread.opener, message), until)
            if word in LOST:
                return self._put("chat.postMessage", home, message, until)[0]
            if outcome.kind == "uncertain":
                return replace(outcome, kind="retry")  # nothing was posted
            if outcome.kind != "sent" and word not in LAYOUT:
                return outcome
        # A repair is shown to all who read the channel, who were alarmed there.
        loud = {"reply_broadcast": True} if message.severity == "good" else {}
        outcome, word = self._put("chat.postMessage", {"channel": channel, "thread_ts": ts, **loud}, message, until)
        return self._put("chat.postMessage", home, message, until)[0] if word in LOST else outcome

    def _put(self, method: str, where: Mapping[str, Any], message: Message, until: float) -> tuple[Outcome, str]:
        """Post or change it; where Slack does not take its layout, once more as plain text."""
        outcome, word = self._call(method, {**where, **payload(message, self.people)}, until)
        if word not in LAYOUT:
            return outcome, word
        plain, word = self._call(method, {**where, "text": plain_text(message, self.people)}, until)
        return replace(plain, detail=f"as plain text, since {outcome.detail}: {plain.detail}"), word

    def _call(self, method: str, body: Mapping[str, Any], until: float) -> tuple[Outcome, str]:
        """Return what came of a call, and Slack's word for what was wrong with it."""
        left = until - self.clock()
        if left < LEAST_SECONDS:
            return Outcome("retry", "Slack took too long for the calls before"), ""
        headers = {
            "Authorization": f"Bearer {self.place.token.reveal()}",
            "Content-Type": "application/json; charset=utf-8",
        }
        # A change would else look for links and names in the text by itself.
        sent = json.dumps({**body, "unfurl_links": False, "parse": "none"}).encode()
        try:
            status, text, retry_after = self.post(f"{self.place.api_url}/{method}", sent, left, headers)
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
        found = f"{said.get('channel')} {said.get('ts')}"
        return Outcome("sent", "ok", reference=found if re.fullmatch(REFERENCE, found) else None), ""
    error = str(said.get("error", ""))[:80]
    word = error if error.replace("_", "").isalnum() else ""
    if status == 429 or word in ("ratelimited", "rate_limited"):
        return Outcome("retry", "Slack asks to wait", wait_of(retry_after) or RATE_LIMIT_SECONDS), word
    if word in DOUBTFUL:
        return Outcome("uncertain", f"Slack answered {word}"), word
    if status >= 500 or word in LATER:
        return Outcome("retry", f"Slack answered {status} {word}".strip()), word
    if word in GONE:
        return Outcome("gone", f"Slack answered {word}"), word
    if word:
        return Outcome("refused", f"Slack answered {word}"), word
    return Outcome("retry", f"not Slack's answer: {status}"), ""
