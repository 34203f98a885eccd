"""A message in Slack's form: Block Kit, with everything that came from GitHub escaped and cut to Slack's limits.

https://docs.slack.dev/reference/block-kit/blocks
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, PlainTextObject, SectionBlock

from pipemon.notify.message import Message

LONGEST_HEADER = 150
LONGEST_FIELD = 1900
LONGEST_TEXT = 3000
LONGEST_ERROR = 500
LONGEST_WAY = 100
# Their ids in Slack, by their login on GitHub in small letters.
People = Mapping[str, str]
NOBODY: People = MappingProxyType({})


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


def plain_text(message: Message, people: People = NOBODY) -> str:
    """Return the message in plain text: for notifications on a phone, and where blocks are not taken."""
    # A phone shows the beginning: the title is not said twice.
    more = message.text.removeprefix(message.title)
    lines = [f"{shown(message.heading, 300)} {shown(more, 1000)}".strip()]
    lines += [f"Error: {shown(message.error, 300)}"] if message.error else []
    lines += [f"{word}: {shown(what, 300)}" for word, what in message.facts if what]
    last = [mentioned] if (mentioned := mentions(message, people)) else []
    last += [link(message.url, shown(message.way, LONGEST_WAY))] if message.url else []
    # Not through the middle of a link: what is too long loses its last facts.
    while len(lines) > 1 and len("\n".join(lines + last)) > LONGEST_TEXT:
        lines.pop()
    return "\n".join(lines + last)


def mentions(message: Message, people: People) -> str:
    """Return live mentions of those who should know and whom the map knows: nobody else's name ever becomes one."""
    found = dict.fromkeys(people[login.lower()] for login in message.people if login.lower() in people)
    return " ".join(f"<@{member}>" for member in found)


def link(url: str, text: str) -> str:
    """Return a link that we make: its address can't end early, whatever is in it."""
    safe = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C").replace(" ", "%20")
    return f"<{safe}|{text}>"


def payload(message: Message, people: People = NOBODY) -> dict[str, Any]:
    """Return the message as Slack wants it; checked by Slack's own models."""
    if message.blocks:
        return {"text": plain_text(message, people), "blocks": [dict(block) for block in message.blocks]}
    header = "".join(char if char.isprintable() else " " for char in message.heading)[:LONGEST_HEADER]
    blocks: list[Any] = [HeaderBlock(text=PlainTextObject(text=header))]
    # A header is cut; and where the text only says the title again, it is not shown twice.
    if not message.text.startswith(message.title) or len(message.text) > LONGEST_HEADER:
        blocks.append(SectionBlock(text=MarkdownTextObject(text=shown(message.text, LONGEST_TEXT))))
    if message.error:
        blocks.append(SectionBlock(text=MarkdownTextObject(text=f"```{code(message.error)}```")))
    fields = [
        MarkdownTextObject(text=f"*{word}*\n{shown(what, LONGEST_FIELD)}") for word, what in message.facts if what
    ]
    for start in range(0, len(fields), 10):
        blocks.append(SectionBlock(fields=fields[start : start + 10]))
    last = [link(message.url, shown(message.way, LONGEST_WAY))] if message.url else []
    last += [mentioned] if (mentioned := mentions(message, people)) else []
    if last:
        blocks.append(ContextBlock(elements=[MarkdownTextObject(text=text) for text in last]))
    return {"text": plain_text(message, people), "blocks": [block.to_dict() for block in blocks]}
