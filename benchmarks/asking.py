"""A process like a worker of the service, which is asked questions: `python -m benchmarks.asking URL`.

Each line of its input is a question as JSON; each line of its output is what became of it: milliseconds, how late the
hub was meanwhile, and the numbers. Nothing but pipemon is in its memory. `benchmarks.asked` is the other end.
"""

from gevent import monkey

# The first thing that happens, as in gunicorn.conf.py.
monkey.patch_all()

# ruff: noqa: E402
import gc
import json
import logging
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from benchmarks.answers import ANSWERS, window
from benchmarks.filled import made_up
from benchmarks.world import NOW
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.queries import freshness
from pipemon.store.engine import Database

TICK_SECONDS = 0.002


def answered(db: Database, watched: dict[int, str], question: dict[str, Any]) -> dict[str, Any]:
    """Ask the database; each time for a window a minute earlier, so that nobody gains by keeping answers."""
    answer, taken, first = ANSWERS[question["name"]], list[float](), None
    deadline = time.monotonic() + question["seconds"]
    with watched_hub() as lags:
        while len(taken) < question["most"] and (len(taken) < 2 or time.monotonic() < deadline):
            asked = window(watched, question["days"], question["wanted"], NOW - len(taken) * 60)
            began = time.perf_counter()
            found = answer.ask(db, asked)
            taken.append((time.perf_counter() - began) * 1000)
            first = first or found
    return {"taken": taken, "lag": max(lags), "told": answer.told(first)}


def idle(seconds: float) -> dict[str, Any]:
    """Do nothing: how late the hub is by what else this machine does."""
    with watched_hub() as lags:
        gevent.sleep(seconds)
    return {"lag": max(lags)}


def changed(db: Database, count: int) -> dict[str, Any]:
    """Apply so many new runs in one batch, as a poll does: just after the windows, which stay as they are."""
    rng, first = random.Random(3), int(time.time())
    made = [made_up(first + place, NOW + place, rng, "octo/repo-7")[0] for place in range(count)]
    began = time.perf_counter()
    db.transact(lambda conn: apply(conn, Batch(7, None, tuple(map(Sighting, made))), NOW + 3600))
    return {"taken": (time.perf_counter() - began) * 1000}


@contextmanager
def watched_hub() -> Iterator[list[float]]:
    """Give a list that grows by how late a timer of 2 ms was, in ms."""
    lags = [0.0]

    def watch() -> None:
        while True:
            began = time.perf_counter()
            gevent.sleep(TICK_SECONDS)
            lags.append((time.perf_counter() - began - TICK_SECONDS) * 1000)

    watcher = gevent.spawn(watch)
    gevent.sleep(TICK_SECONDS)
    try:
        yield lags
    finally:
        gevent.sleep(0)
        watcher.kill()


def main(url: str) -> None:
    """Answer until the input ends."""
    logging.disable(logging.WARNING)
    db = Database(url)
    with db.read() as conn:
        watched = freshness.read(conn).names()
    gc.freeze()  # as wsgi.py does
    for line in sys.stdin:
        question = json.loads(line)
        if "change" in question:
            told = changed(db, question["change"])
        elif "idle" in question:
            told = idle(question["idle"])
        else:
            told = {} if "ready" in question else answered(db, watched, question)
        print(json.dumps(told), flush=True)
    db.close()


if __name__ == "__main__":
    main(sys.argv[1])
