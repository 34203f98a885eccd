"""Backfill beside a bare loop that only fetches the same addresses."""

import time
from collections.abc import Callable

import requests

from benchmarks.reading import TOKEN, reading, simulator
from benchmarks.report import Figure, at_most, plain
from pipemon.ingest.backfill import Backfill
from pipemon.ingest.plan import Floors
from pipemon.ingest.poll import Poller
from pipemon.store.schema import jobs, runs

RUNS = 10_000
REPOSITORY = "octo-harbor/repo-000"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return (wall seconds, CPU seconds of this process)."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - wall, time.process_time() - cpu


def measure() -> list[Figure]:
    """10,000 runs with jobs, from the simulator into SQLite."""
    # Thirty days are read; some room, since a day's number of runs is random.
    per_day = str(RUNS / 30)
    with simulator("--repositories", "1", "--runs-per-day", per_day, "--size", "test") as url:
        requests.get(f"{url}/repos/{REPOSITORY}/actions/runs", timeout=60)  # the world is planned when first looked at
        with reading(url, (REPOSITORY,)) as deps:
            asked: list[str] = []
            real = deps.github._transport._call

            def noting(address: str, *args: object) -> object:
                asked.append(address)
                return real(address, *args)

            deps.github._transport._call = noting  # type: ignore[method-assign,assignment]
            poller, backfill = Poller(deps, Floors(), time.monotonic), Backfill(deps, 31, time.monotonic)

            def read_all() -> None:
                poller.tick()
                while backfill.step():
                    pass

            ours = timed(read_all)
            with deps.db.read() as conn:
                stored = (
                    conn.execute(runs.select()).rowcount,
                    len(conn.execute(jobs.select().with_only_columns(jobs.c.id)).all()),
                )
                count = len(conn.execute(runs.select().with_only_columns(runs.c.id)).all())

        def fetch_all() -> None:
            with requests.Session() as session:
                session.headers["Authorization"] = f"Bearer {TOKEN}"
                for address in asked:
                    session.get(address, timeout=60).json()

        bare = timed(fetch_all)
    return [
        plain("runs, jobs stored", f"{count}, {stored[1]}"),
        plain("calls to GitHub per run", f"{len(asked) / count:.3f}"),
        plain("seconds (CPU), pipemon", f"{ours[0]:.1f} ({ours[1]:.1f})"),
        plain("seconds (CPU), bare loop", f"{bare[0]:.1f} ({bare[1]:.1f})"),
        at_most("wall time, as a ratio", ours[0] / bare[0], 1.5, "x"),
    ]
