"""Any address that takes JSON, signed so that it can tell that the message is ours."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from pipemon.domain.secrets import Secret
from pipemon.domain.times import format_time
from pipemon.notify.channel import Doubt, NotSent, Outcome, wait_of
from pipemon.notify.message import Message

SEND_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts messages as JSON. With a secret, `X-Pipemon-Signature` is `t=TIME,v1=HEX`: HMAC-SHA256 of `TIME.BODY`."""

    name: str
    url: Secret
    post: Callable[..., tuple[int, str, str | None]] = field(repr=False)
    secret: Secret | None = None
    clock: Callable[[], float] = time.time
    kind: str = "webhook"
    per_second: float = 5.0

    @property
    def recipient(self) -> str:
        """What the history shows."""
        return f"webhook …{self.url.reveal()[-4:]}"

    @property
    def fingerprint(self) -> str:
        """What tells one address from another."""
        return hashlib.sha256(self.url.reveal().encode()).hexdigest()[:16]

    def send(self, message: Message) -> Outcome:
        """Post it once."""
        values = asdict(message) | {"heading": message.heading, "occurred_at": format_time(message.occurred_at)}
        del values["thread"]
        body = json.dumps({**values, "facts": [{"name": word, "value": what} for word, what in message.facts]}).encode()
        headers = {} if self.secret is None else {"X-Pipemon-Signature": self._sign(self.secret, body)}
        try:
            status, _, retry_after = self.post(self.url.reveal(), body, SEND_SECONDS, headers)
        except NotSent as error:
            return Outcome("retry", str(error))
        except Doubt as error:
            return Outcome("uncertain", str(error))
        if 200 <= status < 300:
            return Outcome("sent", f"answered {status}")
        if status == 429 or status >= 500:
            return Outcome("retry", f"answered {status}", wait_of(retry_after))
        return Outcome("gone" if status in (404, 410) else "refused", f"answered {status}")

    def _sign(self, secret: Secret, body: bytes) -> str:
        at = str(int(self.clock()))
        digest = hmac.new(secret.reveal().encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={at},v1={digest}"
