"""A real poller on a real client, a real database and the simulator, all on one clock that the test moves."""

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.domain.secrets import Secret
from pipemon.github.auth import PersonalToken
from pipemon.github.budget import Gate, Limits
from pipemon.github.client import GitHub
from pipemon.ingest.backfill import Backfill
from pipemon.ingest.plan import Floors
from pipemon.ingest.poll import Poller
from pipemon.ingest.reader import Deps
from pipemon.ingest.sweep import Sweep
from pipemon.simulator import Simulator
from pipemon.store import repositories, state
from pipemon.store.engine import Database
from pipemon.store.schema import attempts, events, jobs, runs
from tests.github.conftest import make, memory
from tests.github.test_auth import key

SHOP = "octo-harbor/shop"
TOKEN = "ghp_" + "s" * 36


@dataclass
class Story:
    """One watched world. `tick` lets time pass, in the simulator and for the poller, and reads what is due."""

    sim: Simulator
    db: Database
    url: str
    cache: Path
    names: tuple[str, ...] = (SHOP,)
    backfill_days: int = 30
    now: float = 1_760_000_000
    github: GitHub = field(init=False)
    poller: Poller = field(init=False)

    def __post_init__(self) -> None:
        self.db.transact(lambda conn: repositories.watch(conn, self.names))
        self.restart()

    def restart(self) -> None:
        """Forget everything that is not in the database or the cache file, as a killed process does."""
        if hasattr(self, "github"):
            self.github.close()
        gate = Gate(PersonalToken(Secret(TOKEN)).hash, self._load, self._save, self.clock, self.clock)
        self.github = GitHub(self.url, PersonalToken(Secret(TOKEN)), gate, self.cache, monotonic=self.clock)
        self.deps = Deps(self.db, self.github)
        self.poller = Poller(self.deps, Floors(5, 60), self.clock)
        self.sweep = Sweep(self.deps, self.clock)
        self.backfill = Backfill(self.deps, self.backfill_days, self.clock)

    def clock(self) -> float:
        return self.now

    def _load(self, token_hash: str) -> Limits | None:
        with self.db.read() as conn:
            row = state.get_limits(conn, token_hash)
        return None if row is None else Limits(**row)  # type: ignore[arg-type]

    def _save(self, limits: Limits) -> None:
        values = {name: getattr(limits, name) for name in Limits.__dataclass_fields__}
        self.db.transact(lambda conn: state.put_limits(conn, values))

    def tick(self, seconds: float = 64, times: int = 1) -> None:
        """Let time pass and read what is due, so many times."""
        for _ in range(times):
            self.now += seconds
            self.poller.tick()

    def fill(self) -> None:
        """Let the backfill read until it has nothing to do."""
        while self.backfill.step():
            pass

    def fill_pages(self) -> None:
        """Let the backfill read the pages of runs, not yet their jobs."""
        with self.db.read() as conn:
            (repo,) = repositories.list_watched(conn)
        while self.backfill._step_pages(repo):
            pass

    def sweep_all(self) -> None:
        """Let the sweep go through everything that is due."""
        while self.sweep.step():
            pass

    def rows(self, statement: Any) -> list[Any]:
        with self.db.read() as conn:
            return list(conn.execute(statement))

    def run(self, run_id: int) -> Any:
        (row,) = self.rows(sa.select(runs).where(runs.c.id == run_id))
        return row

    def run_ids(self) -> set[int]:
        return {row.id for row in self.rows(sa.select(runs.c.id).where(runs.c.deleted_at.is_(None)))}

    def events_of(self, run_id: int) -> list[str]:
        query = sa.select(events.c.type).where(events.c.run_id == run_id).order_by(events.c.id)
        return [row.type for row in self.rows(query) if row.type != "build_progress"]

    def attempts_of(self, run_id: int) -> list[tuple[int, str, str | None]]:
        query = sa.select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.run_attempt)
        return [(row.run_attempt, row.status, row.conclusion) for row in self.rows(query)]

    def jobs_of(self, run_id: int, attempt: int) -> int:
        query = sa.select(sa.func.count()).select_from(jobs)
        return self.rows(query.where(jobs.c.run_id == run_id, jobs.c.run_attempt == attempt))[0][0]

    def judge(self, name: str = SHOP, since: int = 0) -> None:
        """Compare what is stored with what really happened, run by run and attempt by attempt."""
        for true in self.sim.truth(name):
            if true["created_at"] < since:
                continue
            told = [(a["run_attempt"], a["conclusion"]) for a in true["attempts"]]
            assert [(n, conclusion) for n, _, conclusion in self.attempts_of(true["id"])] == told, true
        ends = sa.select(events.c.run_id, events.c.run_attempt).where(events.c.dedupe_key.like("run:%:completed"))
        seen = [tuple(row) for row in self.rows(ends)]
        assert len(seen) == len(set(seen))
        # One that waits for an approval is completed, and may go on.
        held = sa.func.coalesce(attempts.c.conclusion, "") == "action_required"
        over = sa.select(attempts.c.run_id, attempts.c.run_attempt).where(
            attempts.c.status == "completed", sa.not_(held)
        )
        assert set(seen) == {tuple(row) for row in self.rows(over)}


@pytest.fixture
def new_story(tmp_path: Path, sqlite_template: Path) -> Iterator[Callable[..., Story]]:
    """Make a story; its simulator has no runs unless its size is given."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def make(size: str = "empty", **options: Any) -> Story:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            shutil.copy(sqlite_template, folder / "pipemon.sqlite3")
            db = Database(f"sqlite:///{folder / 'pipemon.sqlite3'}")
            clock_of: list[Story] = []
            sim = Simulator(size=size, clock=lambda: clock_of[0].now if clock_of else 1_760_000_000, **options)
            url = stack.enter_context(sim.serve())
            story = Story(sim, db, url, folder / "cache.sqlite3")
            clock_of.append(story)
            stack.callback(db.close)
            stack.callback(lambda: story.github.close())
            return story

        yield make


@pytest.fixture
def story(new_story: Callable[..., Story]) -> Story:
    return new_story()


# Clients of the GitHub room, for stories that need no simulator.
__all__ = ["key", "make", "memory"]
