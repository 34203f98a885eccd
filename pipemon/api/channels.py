"""The channels as the doors see them: which there are, and how they do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipemon.api.errors import refuse
from pipemon.api.services import services
from pipemon.notify.channel import Channel

# These two may stand in rules before their address is set.
USUAL = {"slack", "slack_analytics"}


@dataclass(frozen=True, slots=True)
class Room:
    """What these doors need beside the database: the channels, and a bell that says that something waits."""

    channels: Mapping[str, Channel] = field(default_factory=dict)
    ring: Callable[[], None] = lambda: None


def room() -> Room:
    """Return the channels of the current application."""
    return services().notify or Room()


def check_channels(names: list[str]) -> None:
    """Refuse names that are no channel's."""
    unknown = sorted(set(names) - set(room().channels) - USUAL)
    if unknown:
        known = ", ".join(sorted({*room().channels, *USUAL}))
        refuse(422, "A channel is not known.", {"channels": [f"{name} is none of: {known}." for name in unknown]})


def channel_status(known: Mapping[str, Any], channels: Mapping[str, Channel], kind: str) -> str:
    """Return how the channels of a kind do: not_configured, healthy, degraded (the last try failed) or unhealthy."""
    rows = [known[name] for name, channel in channels.items() if channel.kind == kind and name in known]
    if not any(channel.kind == kind for channel in channels.values()):
        return "not_configured"
    if any(row.disabled_why for row in rows):
        return "unhealthy"
    failing = any((row.last_failed_at or 0) > (row.last_sent_at or 0) for row in rows)
    return "degraded" if failing else "healthy"
