"""Packs the sheets of deployments that do not hold: read outside a transaction, stored in one."""

import time
from functools import partial

import sqlalchemy as sa

from pipemon.queries.past import AT_ONCE, packed
from pipemon.store import sheets as store
from pipemon.store.engine import Database
from pipemon.store.schema_deployments import sheets

# So long at a stretch; the rest follows at the next call.
SPELL_SECONDS = 0.5


class Packer:
    """Keeps the sheets of deployments packed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def step(self) -> int:
        """Pack what is due, for half a second; return how many sheets were packed."""
        deadline, done = time.monotonic() + SPELL_SECONDS, 0
        while time.monotonic() < deadline and (touched := self._due()):
            for number, sheet in packed(self._db, list(touched)):
                self._db.transact(partial(store.put, sheet_id=number, touched=touched[number], sheet=sheet))
                done += 1
        return done

    def _due(self) -> dict[int, int]:
        """Return of the newest that do not hold how often they were touched: asked before they are read."""
        query = sa.select(sheets.c.id, sheets.c.touched).where(sa.not_(store.HOLDS))
        with self._db.read() as conn:
            rows = conn.execute(query.order_by(sheets.c.month.desc(), sheets.c.id).limit(AT_ONCE)).all()
        return {row.id: row.touched for row in rows}


def rebuild(db: Database) -> str:
    """Pack all sheets anew; return what was done, in words."""
    db.transact(store.renew)
    packer, count = Packer(db), 0
    while found := packer.step():
        count += found
    return f"Packed anew: {count} sheets of deployments."
