"""Slack by an incoming webhook: Block Kit, with everything that came from GitHub escaped and cut to Slack's limits.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, PlainTextObject, SectionBlock

from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Doubt, NotSent, Outcome
from pipemon.notify.message import Message

LONGEST_HEADER = 150
LONGEST_FIELD = 1900
LONGEST_TEXT = 3000
LONGEST_ERROR = 500
SEND_SECONDS = 10.0
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
GONE = ("no_service", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "action_prohibited",
        "channel_not_found", "channel_is_archived", "posting_to_general_channel_denied", "user_not_found")  # fmt: skip

# (status, body, Retry-After) of a POST; raises NotSent or Doubt.
Post = Callable[[str, bytes, float], tuple[int, str, str | None]]


@dataclass(frozen=True, slots=True)
class Slack:
    """One incoming webhook. `recipient` is the last four characters of its address, which is a secret."""

    name: str
    url: Secret
    post: Post = field(repr=False)
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
        outcome, refused_layout = self._post(payload(message))
        if refused_layout:
            plain, _ = self._post({"text": plain_text(message)})
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
    word = said if said.replace("_", "").isalnum() else "no word of Slack's"
    if status == 200 and said == "ok":
        return Outcome("sent", "ok"), False
    if status == 429:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 30.0
        return Outcome("retry", "Slack asks to wait", seconds), False
    if status >= 500:
        return Outcome("retry", f"Slack answered {status}"), False
    if status in (403, 404, 410) or word in GONE:
        return Outcome("gone", f"Slack answered {status} {word}"), False
    if status == 400:
        return Outcome("refused", f"Slack answered 400 {word}"), has_blocks
    # 200 that is not ok, a proxy's page, a redirect: nothing of Slack's has taken it.
    return Outcome("retry", f"not Slack's answer: {status}"), False


def escape(text: str) -> str:
    """Return a text that Slack shows as it is: without the three signs that begin a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shown(text: str, longest: int) -> str:
    """Return a text escaped, in one line, cut to a length; marks that format are given an invisible neighbour."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    for sign in "*_~`":
        plain = plain.replace(sign, f"\u200b{sign}")
    cut = escape(plain)
    if len(cut) <= longest:
        return cut
    # Not through the middle of an escape.
    return re.sub(r"&[a-z]{0,3}$", "", cut[: longest - 1]) + "…"


def code(text: str) -> str:
    """Return a line for a block of code: escaped, and with nothing in it that ends the block."""
    plain = "".join(char if char.isprintable() else " " for char in text).replace("`", "'")
    return escape(plain[:LONGEST_ERROR])


def plain_text(message: Message) -> str:
    """Return the message in plain text: for notifications on a phone, and where blocks are not taken."""
    lines = [
        f"{shown(message.heading, 300)} {shown(message.text, 1000) if message.text != message.title else ''}".strip()
    ]
    lines += [f"Error: {shown(message.error, 300)}"] if message.error else []
    lines += [f"{word}: {shown(what, 300)}" for word, what in message.facts if what]
    if message.url:
        lines.append(link(message.url, "Open"))
    return "\n".join(lines)[:LONGEST_TEXT]


def link(url: str, text: str) -> str:
    """Return a link that we make: its address can't end early, whatever is in it."""
    safe = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C").replace(" ", "%20")
    return f"<{safe}|{text}>"


def payload(message: Message) -> dict[str, Any]:
    """Return the message as Slack wants it; checked by Slack's own models."""
    if message.blocks:
        return {"text": plain_text(message), "blocks": [dict(block) for block in message.blocks]}
    header = "".join(char if char.isprintable() else " " for char in message.heading)[:LONGEST_HEADER]
    blocks: list[Any] = [HeaderBlock(text=PlainTextObject(text=header))]
    if message.error:
        blocks.append(SectionBlock(text=MarkdownTextObject(text=f"```{code(message.error)}```")))
    fields = [
        MarkdownTextObject(text=f"*{word}*\n{shown(what, LONGEST_FIELD)}") for word, what in message.facts if what
    ]
    for start in range(0, len(fields), 10):
        blocks.append(SectionBlock(fields=fields[start : start + 10]))
    if message.url:
        blocks.append(ContextBlock(elements=[MarkdownTextObject(text=link(message.url, "Open on GitHub"))]))
    return {"text": plain_text(message), "blocks": [block.to_dict() for block in blocks]}
