"""Notices that the event log has lost its tail: after a power cut, or when an old copy of the database was put back.

Ids would then come a second time for other events, and a client that goes on from its last id would skip them. So how
far the log had come stands in a small file beside the database too; a log that is behind it gets a new epoch.
"""

import json
import secrets
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store import events
from pipemon.store.engine import Database
from pipemon.store.schema import event_log


class Sidecar:
    """The file beside a SQLite database. It may be behind the log by what it was not told yet, never ahead of it."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".position")
        self._noted: tuple[str, int] | None = None

    def settle(self, db: Database) -> bool:
        """Give the log a new epoch where it is behind the file; return whether it was."""
        noted = self._read()

        def work(conn: Connection) -> bool:
            at = events.position(conn)
            if noted is None or (noted[0] == at.epoch and noted[1] <= at.last_id):
                return False
            conn.execute(sa.update(event_log).values(epoch=secrets.token_hex(8), revision=event_log.c.revision + 1))
            return True

        return db.transact(work)

    def note(self, db: Database) -> None:
        """Write down how far the log has come, where that is news."""
        with db.read() as conn:
            at = events.position(conn)
        if self._noted == (at.epoch, at.last_id):
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"epoch": at.epoch, "last_id": at.last_id}))
        fresh.replace(self._path)
        self._noted = (at.epoch, at.last_id)

    def _read(self) -> tuple[str, int] | None:
        try:
            noted = json.loads(self._path.read_text())
            return str(noted["epoch"]), int(noted["last_id"])
        except (OSError, ValueError, KeyError, TypeError):
            # Absent or damaged: nothing is known, as on the first start.
            return None
