"""What a channel is: it sends one message, and says what became of it."""

from dataclasses import dataclass
from typing import Protocol

from pipemon.notify.message import Message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sending.

    `kind`: sent; retry (it was not taken, and may be later); uncertain (nobody knows whether it was taken); refused
    (this message never will be); gone (nothing will be, until the channel's settings change). `detail` shows no secret.
    `reference`: what the channel calls what was sent.
    """

    kind: str
    detail: str
    retry_after_seconds: float | None = None
    reference: str | None = None


# Who asks for more than this is not believed: it would be silence.
LONGEST_WAIT_SECONDS = 3600.0


def wait_of(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for; None where it is no number of seconds."""
    if not retry_after or not retry_after.isascii() or not retry_after.isdigit():
        return None
    return min(float(retry_after[:10]), LONGEST_WAIT_SECONDS)


class NotSent(Exception):
    """It was certainly not taken; the text says why, without any secret."""


class Doubt(Exception):
    """It was sent, and no whole answer came."""


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """What rules call it."""

    @property
    def kind(self) -> str:
        """Slack, webhook, ...: which module it is of."""

    @property
    def recipient(self) -> str:
        """What the history shows; never a secret."""

    @property
    def per_second(self) -> float:
        """How many messages a second it takes at most."""

    @property
    def fingerprint(self) -> str:
        """What changes with its settings."""

    def send(self, message: Message) -> Outcome:
        """Send one message, within ten seconds. Raises nothing."""
