"""How a channel posts to a host outside: once, and with the certainty or doubt of whether it arrived."""

from collections.abc import Callable, Mapping

from pipemon.domain.addresses import Forbidden
from pipemon.notify.channel import Doubt, NotSent
from pipemon.outbound.client import NotReached, Outbound, OutboundError

# Slack's Web API sends the message back with its answer, with six bytes for a letter that is not ASCII.
ANSWER_BYTES = 1024 * 1024


def poster(outbound: Outbound) -> Callable[..., tuple[int, str, str | None]]:
    """Return the function that posts: (status, body, Retry-After) of the answer; raises NotSent or Doubt."""

    def post(
        url: str, body: bytes, seconds: float, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, str | None]:
        try:
            sent = {"Content-Type": "application/json", **(headers or {})}
            stream = outbound.send("POST", url, seconds, body, sent)
        except (Forbidden, NotReached) as error:
            raise NotSent(str(error)) from None
        except OutboundError as error:
            raise Doubt(str(error)) from None
        try:
            text = b"".join(stream.pieces(ANSWER_BYTES)).decode("utf-8", "replace")
        except OutboundError as error:
            if stream.status == 200:
                raise Doubt(str(error)) from None
            text = ""
        finally:
            stream.close()
        return stream.status, text, stream.headers.get("retry-after")

    return post
