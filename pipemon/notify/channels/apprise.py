"""Whatever Apprise reaches, by its own addresses: an extra that has to be installed (requirements-apprise.txt).

https://github.com/caronc/apprise. It makes its own connections, and says only whether it was taken.
"""

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Outcome
from pipemon.notify.message import Message

TYPES = MappingProxyType({"bad": "failure", "good": "success", "warn": "warning"})


@dataclass(frozen=True, slots=True)
class Apprise:
    """One address of Apprise's."""

    name: str
    url: Secret = field(repr=False)
    kind: str = "apprise"
    per_second: float = 1.0

    @property
    def recipient(self) -> str:
        """What the history shows: the service alone, since all else may be a secret."""
        return f"{self.url.reveal().partition(':')[0]} by Apprise"

    @property
    def fingerprint(self) -> str:
        """What tells one address from another."""
        return hashlib.sha256(self.url.reveal().encode()).hexdigest()[:16]

    def send(self, message: Message) -> Outcome:
        """Send it as plain text."""
        lines = [message.text if message.text != message.title else "", message.error or ""]
        lines += [f"{word}: {what}" for word, what in message.facts if what]
        lines += [message.url or ""]
        body = "\n".join(line for line in lines if line) or message.heading
        kind = TYPES.get(message.severity, "info")
        try:
            taken = _notifier(self.url).notify(title=message.heading, body=body, notify_type=kind, body_format="text")
        except Exception as error:  # of a hundred services anything may come; whether it was taken nobody knows
            return Outcome("uncertain", f"Apprise failed ({type(error).__name__})")
        return Outcome("sent", "ok") if taken else Outcome("retry", "it was not taken")


def _notifier(url: Secret) -> Any:
    import apprise  # type: ignore[import-not-found,unused-ignore]  # only where somebody wants it

    # Neither files nor programs of this machine: an address reaches people, and nothing else.
    found = apprise.Apprise(asset=apprise.AppriseAsset(plugin_paths=[]))
    found.add(url.reveal())
    return found
