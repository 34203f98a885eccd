"""The digest of a day or a week: how it went, what changed, and the worst three things; read in ten seconds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipemon.domain.times import format_time
from pipemon.notify.channels.slack_form import link, shown
from pipemon.notify.message import Message

MOST_THINGS = 3
LONGEST_THING = 180
UP, DOWN, SAME = "▲", "▼", "="


@dataclass(frozen=True, slots=True)
class Number:
    """One number as it is shown. `change` is against the window before; None where there is nothing to compare."""

    name: str
    value: float | None
    unit: str = ""
    change: float | None = None
    decimals: int = 1

    @property
    def text(self) -> str:
        """The number with its change."""
        if self.value is None:
            return "–"
        told = f"{_plain(self.value, self.decimals)}{self.unit}"
        if self.change is None:
            return told
        moved = _plain(abs(self.change), self.decimals)
        return f"{told}  {UP if self.change > 0 else DOWN} {moved}" if float(moved) else f"{told}  {SAME}"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is wrong, and where to look."""

    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a digest tells of a window [from_at, to_at), in Unix seconds. `things` are the worst first."""

    days: int
    from_at: int
    to_at: int
    builds: int
    success_rate: float
    numbers: tuple[Number, ...]
    things: tuple[Thing, ...]
    is_fresh: bool = True
    is_complete: bool = True
    links: tuple[tuple[str, str], ...] = ()


def message(facts: Facts) -> Message:
    """Return the digest, for every kind of channel: with blocks for Slack, with facts for the others."""
    period = "last 24 hours" if facts.days == 1 else f"last {facts.days} days"
    told = f"{_plain(facts.success_rate, 1)} % of {facts.builds} builds succeeded" if facts.builds else "no builds"
    things = facts.things[:MOST_THINGS]
    title = f"CI, {period}: {told}"
    numbers = tuple((number.name, number.text) for number in facts.numbers)
    worst = tuple((f"Worst {place}", thing.text) for place, thing in enumerate(things, start=1))
    severity = "warn" if things else "good" if facts.builds else "info"
    plain = Message(title, title, severity, (*numbers, *worst, *_caveats(facts)), occurred_at=facts.to_at)
    return Message(
        plain.title, plain.text, severity, plain.facts, facts.links[0][1] if facts.links else None, facts.to_at,
        blocks=tuple(_blocks(plain.heading, facts, things)),
    )  # fmt: skip


def _caveats(facts: Facts) -> tuple[tuple[str, str], ...]:
    said = []
    if not facts.is_fresh:
        said.append(("As of", (format_time(facts.to_at) or "").replace("T", " ").replace("Z", " UTC")))
    if not facts.is_complete:
        said.append(("Beware", "not all of this window's history was read"))
    return tuple(said)


def _blocks(heading: str, facts: Facts, things: tuple[Thing, ...]) -> list[Mapping[str, Any]]:
    """Return Slack's blocks; everything that came from GitHub is escaped and cut."""
    fields = [_text(f"*{number.name}*\n{shown(number.text, 100)}") for number in facts.numbers[:10]]
    lines = [f"{place}. {_line(thing)}" for place, thing in enumerate(things, start=1)]
    blocks: list[Mapping[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": heading[:150]}}]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    worst = "*Worst*\n" + "\n".join(lines) if lines else "Nothing stands out."
    blocks.append({"type": "section", "text": _text(worst)})
    foot = [f"{name}: {shown(value, 200)}" for name, value in _caveats(facts)]
    foot += [link(url, shown(name, 60)) for name, url in facts.links]
    if foot:
        blocks.append({"type": "context", "elements": [_text("  ·  ".join(foot))]})
    return blocks


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _line(thing: Thing) -> str:
    text = shown(thing.text, LONGEST_THING)
    return link(thing.url, text) if thing.url else text


def _plain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if decimals else f"{value:.0f}"
