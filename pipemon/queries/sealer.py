"""Stores the pages of days that have come to rest: made outside a transaction, stored in one."""

import time
from collections.abc import Callable, Iterator

from pipemon.queries.aside import aside
from pipemon.queries.pages import FORMAT, PARTS, Rows, make, to_bytes
from pipemon.store import days as store
from pipemon.store import streaks
from pipemon.store.days import DAY, Mark
from pipemon.store.engine import Database

# A day is left alone for another one: its last runs are still under way.
RESTING_SECONDS = DAY
# So long at a stretch; the rest follows at the next call.
SPELL_SECONDS = 0.5


class Sealer:
    """Keeps the pages of one database. `clock` is GitHub's time."""

    def __init__(self, db: Database, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock

    def step(self) -> int:
        """Seal what is due, for half a second, the newest day first; return how many days were sealed."""
        deadline, done = time.monotonic() + SPELL_SECONDS, 0
        for mark in self._due():
            done += self._seal(mark)
            if time.monotonic() > deadline:
                break
        return done

    def _due(self) -> Iterator[Mark]:
        """Yield the days that are at rest and of which the pages do not hold, as they are to be sealed."""
        end = int(self._clock() - RESTING_SECONDS) // DAY
        marks = [Mark(*row) for row in self._db.heavy(store.marks(0, end + 1))]
        touched = {mark.day: mark.touched for mark in marks}
        for mark in reversed(marks):
            following = touched.get(mark.day + 1, 0)
            holds = (mark.sealed, mark.following, mark.format) == (mark.touched, following, FORMAT)
            if mark.day < end and not holds:
                yield Mark(mark.day, mark.touched, mark.sealed, following, FORMAT)

    def _seal(self, mark: Mark) -> bool:
        made = {part: aside(_body, part, self._rows(part, mark.day)) for part in PARTS}
        return self._db.transact(lambda conn: store.seal(conn, mark, made))

    def _rows(self, part: str, day: int) -> Rows:
        return self._db.heavy(PARTS[part].select(day))


def _body(part: str, rows: Rows) -> bytes:
    return to_bytes(make(part, rows))


def rebuild(db: Database, clock: Callable[[], float]) -> str:
    """Make incidents and pages anew from the runs, in slices; return what was done, in words."""
    with db.read() as conn:
        workflows = streaks.list_workflows(conn)
    for workflow_id in workflows:
        db.transact(lambda conn, workflow_id=workflow_id: streaks.rebuild(conn, workflow_id))  # type: ignore[misc]
    db.transact(store.forget)
    sealer = Sealer(db, clock)
    days = 0
    while found := sealer.step():
        days += found
    return f"Made anew: the incidents of {len(workflows)} workflows, and the pages of {days} days."
