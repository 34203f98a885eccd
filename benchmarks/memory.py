"""Memory of the serving process with many runs stored."""

import time
from pathlib import Path

import requests

from benchmarks.filled import filled_folder
from benchmarks.http import pipemon_settings
from benchmarks.report import Figure, plain
from benchmarks.served import free_port, serve

RUNS = 100_000
PATHS = (
    "/api/v1/pipeline/overview?lookback_minutes=525600", "/api/v1/pipeline/status", "/api/v1/pipeline/recent?limit=50",
    "/api/v1/pipeline/metrics?lookback_minutes=525600", "/api/v1/builds?per_page=100", "/api/v1/builds?q=price",
    "/api/v1/builds?page=500", "/health", "/metrics", "/openapi.json",
)  # fmt: skip


def measure() -> list[Figure]:
    """Resident memory with 100,000 runs, after every endpoint was asked ten times."""
    with filled_folder(RUNS, int(time.time())) as folder:
        port = free_port()
        size = sum(path.stat().st_size for path in folder.iterdir()) / RUNS
        config = str(Path(__file__).parents[1] / "gunicorn.conf.py")
        settings = pipemon_settings(folder, port)
        with serve("-c", config, "wsgi:app", port=port, path="/health", cwd=folder, **settings) as served:
            at_start = served.memory_mb()
            for _ in range(10):
                for path in PATHS:
                    requests.get(served.url + path, timeout=60)
            after = served.memory_mb()
    return [
        plain("resident, at the start / after", f"{at_start:.0f} MB / {after:.0f} MB"),
        plain("bytes on disk per run with two jobs", f"{size:.0f}"),
    ]
