"""The API under the real gunicorn, beside a bare WSGI application that sends the same bytes."""

import json
import time
from pathlib import Path

import requests

from benchmarks.filled import filled_folder
from benchmarks.report import Figure, at_least, at_most, not_measured, plain
from benchmarks.served import Served, free_port, load, serve

RUNS = 20_000
PATHS = ("/api/v1/pipeline/overview", "/api/v1/builds")
BARE = ("-k", "gevent", "--no-control-socket", "--worker-connections", "1000", "benchmarks.bare:app")


def pipemon_settings(folder: Path, port: int) -> dict[str, str]:
    """Return settings under which it serves what is stored, and GitHub can't be reached."""
    return {
        "GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_TOKEN": "ghp_" + "b" * 36, "LOG_LEVEL": "INFO",
        "GITHUB_REPOSITORIES": "octo/shop,octo/api", "DATA_DIR": str(folder), "PORT": str(port),
    }  # fmt: skip


def measure() -> list[Figure]:
    """Requests per second of server CPU, cold, kept and as 304; p99 / p50 at 256 connections; 20,000 runs stored."""
    figures: list[Figure] = []
    with filled_folder(RUNS, int(time.time())) as folder:
        port = free_port()
        config = str(Path(__file__).parents[1] / "gunicorn.conf.py")
        settings = pipemon_settings(folder, port)
        with serve("-c", config, "wsgi:app", port=port, path="/health", cwd=folder, **settings) as served:
            for path in PATHS:
                figures += _one(served, path, folder)
    return figures


def _one(served: Served, path: str, folder: Path) -> list[Figure]:
    answer = requests.get(served.url + path, timeout=30)
    body = folder / "body"
    body.write_bytes(answer.content)
    kept = load(served, path, 32)
    unchanged = load(served, path, 32, header=f"If-None-Match: {answer.headers['ETag']}")
    crowd = load(served, path, 256)
    port = free_port()
    # Gunicorn adds these by itself.
    sent = json.dumps([pair for pair in answer.headers.items() if pair[0] not in ("Server", "Date", "Connection")])
    same = {"BARE_BODY": str(body), "BARE_HEADERS": sent}
    with serve("-b", f"127.0.0.1:{port}", *BARE, port=port, path="/", cwd=folder, **same) as bare:
        beside = load(bare, "/", 32)
    if kept is None or unchanged is None or crowd is None or beside is None:
        return [not_measured(path, "no wrk here")]
    return [
        plain(f"{path}: bytes, cold answer (median of 9)", f"{len(answer.content)}, {_cold(served, path):.1f} ms"),
        at_least("  kept answer / bare WSGI", kept.per_cpu_second / beside.per_cpu_second, 0.9, "x"),
        at_least("  304 / bare WSGI", unchanged.per_cpu_second / beside.per_cpu_second, 0.9, "x"),
        at_most("  p99 / p50 at 256 connections", crowd.p99 / crowd.p50, 3, "x"),
        plain(
            "  requests per CPU second: kept, 304, bare",
            f"{kept.per_cpu_second:.0f}, {unchanged.per_cpu_second:.0f}, {beside.per_cpu_second:.0f}",
        ),
        at_most("  answers that were errors", kept.errors + crowd.errors, 0),
    ]


def _cold(served: Served, path: str) -> float:
    """Return the milliseconds of an answer that is not kept: a parameter that is ignored makes it another address."""
    times = []
    for number in range(9):
        started = time.perf_counter()
        requests.get(f"{served.url}{path}?_={number}{time.time()}", timeout=30)
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)[4]
