"""An idle poll in CPU, beside a plain conditional call."""

import time

import requests

from benchmarks.reading import TOKEN, reading, simulator
from benchmarks.report import Figure, at_most, plain

POLLS = 300
REPOSITORY = "octo-harbor/repo-000"


def measure() -> list[Figure]:
    """An unchanged page of 30 runs: client with cache, beside requests with If-None-Match."""
    with simulator("--repositories", "1", "--runs-per-day", "20", "--size", "test", "--speed", "0.000001") as url:
        with reading(url, (REPOSITORY,)) as deps:
            etag = deps.github.newest_runs(REPOSITORY).etag
            started = time.process_time()
            for _ in range(POLLS):
                assert deps.github.newest_runs(REPOSITORY, applied_etag=etag).unchanged
            ours = (time.process_time() - started) / POLLS
        address = f"{url}/repos/{REPOSITORY}/actions/runs?per_page=30"
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {TOKEN}"
            session.headers["If-None-Match"] = session.get(address, timeout=10).headers["ETag"]
            started = time.process_time()
            for _ in range(POLLS):
                assert session.get(address, timeout=10).status_code == 304
            plainly = (time.process_time() - started) / POLLS
    return [
        plain("CPU of a poll: pipemon, plain requests", f"{ours * 1000:.2f} ms, {plainly * 1000:.2f} ms"),
        at_most("pipemon / plain requests", ours / plainly, 2, "x"),
    ]
