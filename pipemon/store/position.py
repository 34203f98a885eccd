"""Notices that the event log has lost its tail: after a power cut, or when an old copy of the database was put back.

Ids would then come a second time for other events, and a client that goes on from its last id would skip them. So how
far the log had come stands in a small file beside the database too; a log that is not known to go on from there gets
a new epoch. That is the safe side: a client that meets a new epoch without need only reads anew.
"""

import json
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store import events
from pipemon.store.engine import Database, DatabaseFull
from pipemon.store.schema import event_log

# From the text to the end of the writing. No tool can set a file's ctime.
WRITING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Note:
    """How far the log had come, in which file: a copy that was put back, with its note or without, is another one."""

    epoch: str
    last_id: int
    inode: int


class Sidecar:
    """The file beside a SQLite database. It may be behind the log by what it was not told yet, never ahead of it."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".position")
        self._noted: Note | None = None

    def settle(self, db: Database) -> bool:
        """Give the log a new epoch unless it goes on from where the note says; return whether it got one."""
        noted, inode = self._read(), self._database.stat().st_ino
        if noted is not None and self._was_put_back():
            noted = Note("", 0, 0)

        def work(conn: Connection) -> bool:
            at = events.position(conn)
            if _goes_on(noted, Note(at.epoch, at.last_id, inode)):
                return False
            conn.execute(sa.update(event_log).values(epoch=secrets.token_hex(8), revision=event_log.c.revision + 1))
            return True

        changed = db.transact(work)
        # From the first start there is a note. Where the disk is full it has to wait: reads go on.
        with suppress(DatabaseFull):
            self.note(db)
        return changed

    def note(self, db: Database) -> None:
        """Write down how far the log has come, where that is news; raise DatabaseFull where it can't be written."""
        with db.read() as conn:
            at = events.position(conn)
        now = Note(at.epoch, at.last_id, self._database.stat().st_ino)
        if self._noted == now:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps({**asdict(now), "written_at": time.time()}))
            fresh.replace(self._path)
        except OSError as error:
            raise DatabaseFull(f"the position of the event log can't be noted: {error}") from error
        self._noted = now

    def _was_put_back(self) -> bool:
        """Whether the note's file was made anew after its text was written: a copy, over whatever file."""
        try:
            written_at = float(json.loads(self._path.read_text())["written_at"])
            return abs(self._path.stat().st_ctime - written_at) > WRITING_SECONDS
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def _read(self) -> Note | None:
        try:
            noted = json.loads(self._path.read_text())
            return Note(str(noted["epoch"]), int(noted["last_id"]), int(noted["inode"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _goes_on(noted: Note | None, now: Note) -> bool:
    if noted is None:
        return now.last_id == 0  # a first start; else the note is lost or damaged, and the log may be older than it
    return (noted.epoch, noted.inode) == (now.epoch, now.inode) and noted.last_id <= now.last_id
