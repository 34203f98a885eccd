"""The made-up world: which runs there are.

It is a pure function of (seed, repository, day), so that every process with the same seed sees the same one. Ordered
changes replace a run's plan, and are kept in a journal.
"""

import random
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import replace

from pipemon.simulator.habits import Habit
from pipemon.simulator.plans import DAY, EPOCH, PlannedRun, make_run

HISTORY_DAYS = 365
FIRST_ID = 10_000_000_000


class Repository:
    """One repository's runs. Days are planned when somebody looks at them; ordered runs are added to them."""

    def __init__(self, habit: Habit, seed: int, scale: float, start: int) -> None:
        self.habit = habit
        self.owner_name = habit.name
        self.seed = seed
        self.scale = scale
        self.runs: dict[int, PlannedRun] = {}
        self.order: list[tuple[int, int]] = []  # (created_at, id), oldest first
        self._planned_until = start // DAY * DAY
        self.renamed: str | None = None

    def at(self, now: int) -> list[tuple[int, int]]:
        """Plan up to now, and return the index of all runs created until then."""
        while self.scale and self._planned_until <= now:
            for run in self._day(self._planned_until):
                self.put(run)
            self._planned_until += DAY
        return self.order[: bisect_right(self.order, (now, 2**62))]

    def rest(self, now: int) -> None:
        """Let nothing begin from now on: what runs comes to its end, and no more."""
        self.scale = 0
        self.order = self.at(now)
        self.runs = {run_id: self.runs[run_id] for _, run_id in self.order}
        for run in list(self.runs.values()):
            self.put(replace(run, attempts=tuple(a for a in run.attempts if a.started_at <= now)))

    def put(self, run: PlannedRun) -> None:
        """Add a run, or replace its plan."""
        if run.id not in self.runs:
            insort(self.order, (run.created_at, run.id))
        self.runs[run.id] = run

    def free_id(self, created_at: int) -> int:
        """Return an id that fits the moment and that no run has."""
        wanted = FIRST_ID + (created_at - EPOCH) * 64 + self.habit.github_id % 16 * 4
        while wanted in self.runs:
            wanted += 1
        return wanted

    def _day(self, day: int) -> Iterator[PlannedRun]:
        rng = random.Random(f"{self.seed}/{self.habit.name}/{day}")
        for workflow in self.habit.workflows:
            expected = workflow.per_day * self.scale
            count = int(expected) + (rng.random() < expected % 1)
            streak = rng.randint(1, self.habit.longest_streak) if rng.random() < self.habit.streak * 3 else 0
            red_from = rng.randrange(max(1, count))
            for i in range(count):
                created = day + (
                    workflow.at_hour * 3600 + 11 if workflow.at_hour is not None else _spread(rng, i, count)
                )
                yield make_run(
                    self.habit, self.free_id(created), workflow, created, rng, red=red_from <= i < red_from + streak
                )


def _spread(rng: random.Random, i: int, count: int) -> int:
    """Return a second of the day: evenly spread, with some noise."""
    return int((i + rng.random()) * DAY / count) % DAY
