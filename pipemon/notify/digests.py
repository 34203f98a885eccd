"""When a digest is due, and that it is told exactly once: its period is the key of its row in the outbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.cron import Cron
from pipemon.notify.digest import Facts, message
from pipemon.store import digests, notifications
from pipemon.store.engine import Database
from pipemon.store.notifications import Intent

log = telemetry.logger(__name__)

CHANNEL = "slack_analytics"
GROUP = "pipemon|digest"
# Who was down when it was due still tells it, until it is no news.
LATEST_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """One digest: its name, when it is due, and over how many days it speaks."""

    name: str
    cron: Cron
    days: int


class Digests:
    """Puts digests into the outbox. `read` makes the facts of so many days up to a moment."""

    def __init__(
        self,
        db: Database,
        plans: tuple[Plan, ...],
        zone: ZoneInfo,
        read: Callable[[int, int], Facts],
        clock: Callable[[], float],
    ) -> None:
        self._db = db
        self._plans = plans
        self._zone = zone
        self._read = read
        self._clock = clock
        self._begun_at = clock()

    def step(self, recipients: Mapping[str, str]) -> int:
        """Tell what is due, where the channel exists; return how many digests that were."""
        if CHANNEL not in recipients:
            return 0
        return sum(self._tell(plan, recipients[CHANNEL]) for plan in self._plans)

    def _tell(self, plan: Plan, recipient: str) -> bool:
        now = self._clock()
        due_at = plan.cron.latest(now, self._zone)
        if due_at is None or now - due_at > LATEST_SECONDS:
            return False
        key = f"digest:{plan.name}:{due_at}"
        with self._db.read() as conn:
            told_before = digests.was_any_told(conn, GROUP)
            if digests.is_told(conn, key):
                return False
        if due_at < self._begun_at and not told_before:
            # A fresh install does not begin with yesterday.
            return False
        facts = self._read(plan.days, due_at)
        said = message(facts)
        intent = Intent(
            key, CHANNEL, recipient, "digest", said.to_json(), said.text, now, now, group_key=GROUP,
            event_type=f"digest_{plan.name}", why=f"{plan.name} digest",
        )  # fmt: skip

        def work(conn: Connection) -> bool:
            return notifications.add(conn, intent) is not None

        made = self._db.transact(work)
        if made:
            telemetry.count("notification_intents_total", state="pending")
        return made
