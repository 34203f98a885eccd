"""Slack by an incoming webhook.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Doubt, NotSent, Outcome, wait_of
from pipemon.notify.channels.slack_form import People, payload, plain_text
from pipemon.notify.message import Message

SEND_SECONDS = 10.0
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
GONE = ("no_service", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "action_prohibited",
        "channel_not_found", "channel_is_archived", "posting_to_general_channel_denied", "user_not_found")  # fmt: skip

NO_WORD = "no word of Slack's"
RATE_LIMIT_SECONDS = 30.0

# (status, body, Retry-After) of a POST; raises NotSent or Doubt.
Post = Callable[[str, bytes, float], tuple[int, str, str | None]]


@dataclass(frozen=True, slots=True)
class Slack:
    """One incoming webhook. `recipient` is the last four characters of its address, which is a secret."""

    name: str
    url: Secret
    post: Post = field(repr=False)
    people: People = field(default_factory=dict)
    kind: str = "slack"
    per_second: float = 1.0

    @property
    def recipient(self) -> str:
        """What the history shows."""
        return f"slack …{self.url.reveal()[-4:]}"

    @property
    def fingerprint(self) -> str:
        """What tells one address from another."""
        return hashlib.sha256(self.url.reveal().encode()).hexdigest()[:16]

    def send(self, message: Message) -> Outcome:
        """Send it with its blocks; where Slack does not take these, once more as plain text."""
        outcome, refused_layout = self._post(payload(message, self.people))
        if refused_layout:
            plain, _ = self._post({"text": plain_text(message, self.people)})
            return Outcome(
                plain.kind, f"as plain text, since {outcome.detail}: {plain.detail}", plain.retry_after_seconds
            )
        return outcome

    def _post(self, body: dict[str, Any]) -> tuple[Outcome, bool]:
        try:
            status, text, retry_after = self.post(self.url.reveal(), json.dumps(body).encode(), SEND_SECONDS)
        except NotSent as error:
            return Outcome("retry", str(error)), False
        except Doubt as error:
            return Outcome("uncertain", str(error)), False
        return meaning(status, text, retry_after, has_blocks="blocks" in body)


def meaning(status: int, body: str, retry_after: str | None, has_blocks: bool) -> tuple[Outcome, bool]:
    """Return what Slack's answer means, and whether a plainer message may be taken."""
    said = body.strip()[:80]
    word = said if said.replace("_", "").isalnum() else NO_WORD
    if status == 200 and said == "ok":
        return Outcome("sent", "ok"), False
    if status == 429:
        return Outcome("retry", "Slack asks to wait", wait_of(retry_after) or RATE_LIMIT_SECONDS), False
    if status >= 500:
        return Outcome("retry", f"Slack answered {status}"), False
    if word in GONE or (status in (403, 404, 410) and word != NO_WORD):
        return Outcome("gone", f"Slack answered {status} {word}"), False
    if status == 400:
        return Outcome("refused", f"Slack answered 400 {word}"), has_blocks
    # 200 that is not ok, a redirect, a proxy's page (be it a 403): nothing of Slack's has taken or refused it.
    return Outcome("retry", f"not Slack's answer: {status}"), False
