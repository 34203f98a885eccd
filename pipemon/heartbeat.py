"""A sign of life to somebody outside: who does not hear it any more knows that pipemon is down, or sees nothing."""

from collections.abc import Callable

from pipemon import telemetry
from pipemon.background import Chore
from pipemon.domain.addresses import Forbidden
from pipemon.domain.secrets import Secret
from pipemon.outbound.client import Outbound, OutboundError

log = telemetry.logger(__name__)

PERIOD_SECONDS = 60
SEND_SECONDS = 10.0


def chore_of(url: Secret, outbound: Outbound, trouble: Callable[[], str | None]) -> Chore:
    """Return the chore that asks the address each minute, as long as `trouble` knows of none."""

    def beat() -> None:
        if trouble() is not None:
            return
        try:
            stream = outbound.get(url.reveal(), SEND_SECONDS)
            stream.close()
        except (Forbidden, OutboundError) as error:
            telemetry.count("heartbeats_total", outcome="failed")
            log.warning("the sign of life was not taken", error=str(error))
            return
        taken = 200 <= stream.status < 300
        telemetry.count("heartbeats_total", outcome="taken" if taken else "refused")
        if not taken:
            log.warning("the sign of life was not taken", status=stream.status)

    return Chore("heartbeat", beat, PERIOD_SECONDS)
