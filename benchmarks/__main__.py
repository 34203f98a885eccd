"""Runs the benchmarks that are named, or all, and prints their figures. Exits with 1 where an aim was not reached."""

import logging
import sys
import time
from collections.abc import Callable, Iterable

from benchmarks import backfill, dashboards, day, http, live, logs, memory, million, notify, poll, webhooks, writes
from benchmarks.report import Figure, Row

ALL: dict[str, Callable[[], Iterable[Figure | Row]]] = {
    "poll": poll.measure,
    "writes": writes.measure,
    "backfill": backfill.measure,
    "dashboards": dashboards.measure,
    "day": day.measure,
    "http": http.measure,
    "memory": memory.measure,
    "webhooks": webhooks.measure,
    "notify": notify.measure,
    "live": live.measure,
    "logs": logs.measure,
    "million": million.measure,
}


def main(names: list[str]) -> int:
    """Measure; return the exit code."""
    logging.disable(logging.WARNING)
    missed = False
    for name in names or list(ALL):
        started = time.monotonic()
        print(f"{name}: {(ALL[name].__doc__ or '').splitlines()[0]}", flush=True)
        for figure in ALL[name]():
            missed |= figure.reached is False
            print(figure.line(), flush=True)
        print(f"  ({time.monotonic() - started:.0f} s)\n", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
