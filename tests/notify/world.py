"""A database, an inbox, and what leads from one to the other, on a clock that a test moves."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.notify.channels.slack import Slack
from pipemon.notify.dispatch import Dispatch
from pipemon.notify.outbox import Outbox
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound
from pipemon.store import repositories, rules
from pipemon.store.engine import Database
from pipemon.store.schema_notifications import notifications
from tests.builders import a_run
from tests.notify.inbox import Inbox

NOW = 1_760_000_000
SHOP = "octo/shop"


class World:
    """A database, an inbox, and the two that lead from one to the other, on a clock that is moved."""

    def __init__(self, db: Database, inbox: Inbox) -> None:
        self.db, self.inbox, self.now, self.number = db, inbox, float(NOW), 100
        db.transact(lambda conn: repositories.watch(conn, [SHOP]))
        self.restart()
        self.dispatch.step()

    def restart(self) -> None:
        post = poster(Outbound(Allowed.of(["127.0.0.1"])))
        self.channels = {"slack": Slack("slack", Secret(self.inbox.url), post)}
        self.dispatch = Dispatch(self.db, lambda: self.now, {"slack": "slack …"}, 3600)
        self.outbox = Outbox(self.db, self.channels, lambda: self.now)

    def end(self, conclusion: str, branch: str = "main", historic: bool = False, **over: Any) -> Any:
        """Let a run come and end."""
        self.number += 1
        end = int(self.now)
        told = {"id": self.number, "run_number": self.number, "head_repository": SHOP, "event": "push", **over}
        times = {"created_at": end - 60, "started_at": end - 60, "updated_at": end}
        run = a_run(repository=SHOP, branch=branch, status="completed", conclusion=conclusion, **{**times, **told})
        batch = Batch(1, live_since=None if historic else 0, runs=(Sighting(run),))
        self.db.transact(lambda conn: apply(conn, batch, self.now))
        return run

    def settle(self, seconds: float = 20) -> None:
        """Let everything that is due be told."""
        for _ in range(int(seconds)):
            while self.dispatch.step():
                pass
            self.outbox.step()
            self.now += 1

    def states(self) -> list[str]:
        with self.db.read() as conn:
            return list(conn.execute(sa.select(notifications.c.state).order_by(notifications.c.id)).scalars())

    def rows(self) -> list[Any]:
        with self.db.read() as conn:
            return list(conn.execute(sa.select(notifications).order_by(notifications.c.id)))

    def change_rule(self, change: Mapping[str, Any]) -> None:
        """Change the first of the rules that everybody has: failures on main."""
        with self.db.read() as conn:
            first = rules.list_rules(conn)[0]
        self.db.transact(lambda conn: rules.change_rule(conn, first, change, NOW))


def titles(inbox: Inbox) -> list[str]:
    """Return the headings of what came."""
    return [post["blocks"][0]["text"]["text"] for post in inbox.posts if "blocks" in post]
