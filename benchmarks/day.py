"""Hours of twenty repositories on a clock that the benchmark moves: calls, delays, and what was missed."""

import os
import statistics

import sqlalchemy as sa

from benchmarks.reading import reading
from benchmarks.report import Figure, at_least, at_most, plain
from pipemon.ingest.plan import Floors
from pipemon.ingest.poll import Poller
from pipemon.ingest.reader import Deps
from pipemon.simulator import Simulator
from pipemon.simulator.habits import plain as plain_habit
from pipemon.store.schema import attempts, events

REPOSITORIES = 20
RUNS_PER_DAY = 5000
# A whole day takes hours of real time: BENCH_HOURS=24 measures it.
HOURS = float(os.environ.get("BENCH_HOURS", "1"))
START = 1_760_000_000


class Clock:
    """The time of the world and of the poller."""

    now = float(START)

    def __call__(self) -> float:
        return self.now


def measure() -> list[Figure]:
    """20 repositories at 5,000 runs a day, then an idle hour (BENCH_HOURS, by default 1, of the day)."""
    clock = Clock()
    sim = Simulator(
        size="test", clock=clock, repositories=[plain_habit(n) for n in range(REPOSITORIES)],
        scale=RUNS_PER_DAY / REPOSITORIES, rate_limit=5000,
    )  # fmt: skip
    names = tuple(f"octo-harbor/{name}" for name in sim.repositories)
    with sim.serve() as url, reading(url, names, clock) as deps:
        poller = Poller(deps, Floors(5, 60), clock)
        _pass(poller, clock, 120)
        watched_since = clock.now
        sim.reset_counters()
        _pass(poller, clock, HOURS * 3600)
        busy = sim.counters()
        for repo in sim.repositories.values():
            repo.rest(int(clock.now))
        _pass(poller, clock, 1200)
        sim.reset_counters()
        _pass(poller, clock, 3600)
        idle = sim.counters()
        delays, missed, count = _judge(sim, deps, watched_since)
    ordered = sorted(delays)
    return [
        plain("hours, runs", f"{HOURS:g}, {count}"),
        plain(
            "calls an hour that count against 5,000 (all calls)",
            f"{busy['counted'] / HOURS:.0f} ({busy['calls'] / HOURS:.0f})",
        ),
        at_least("share of 304s in an idle hour", idle["not_modified"] / idle["calls"], 0.95),
        at_most("share of an idle hour's calls that count", idle["counted"] / idle["calls"], 0.05),
        plain(
            "end of a run to its event, p50 / p95 / max",
            f"{statistics.median(ordered):.0f} / {ordered[int(len(ordered) * 0.95)]:.0f} / {ordered[-1]:.0f} s",
        ),
        at_most("missed ends", missed, 0),
        at_most("calls inside a forbidden window", busy["forbidden"] + idle["forbidden"], 0),
    ]


def _pass(poller: Poller, clock: Clock, seconds: float) -> None:
    end = clock.now + seconds
    while clock.now < end:
        clock.now += 1
        poller.tick()


def _judge(sim: Simulator, deps: Deps, since: float) -> tuple[list[float], int, int]:
    """Return the delays from a run's end to its event, how many ends were missed, and how many runs there were."""
    with deps.db.read() as conn:
        told = {
            (row.run_id, row.run_attempt): row.recorded_at
            for row in conn.execute(sa.select(events).where(events.c.dedupe_key.like("run:%:completed")))
        }
        stored = {(row.run_id, row.run_attempt): row.conclusion for row in conn.execute(sa.select(attempts))}
    delays, missed, count = [], 0, 0
    for name in sim.repositories:
        for run in sim.truth(name):
            if run["created_at"] < since:
                continue
            count += 1
            for attempt in run["attempts"]:
                key = (run["id"], attempt["run_attempt"])
                if key not in told or stored.get(key) != attempt["conclusion"]:
                    missed += 1
                elif attempt is run["attempts"][-1]:
                    delays.append(max(0.0, told[key] - attempt["completed_at"]))
    return delays, missed, count
