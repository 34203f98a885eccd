"""A hundred dashboards that poll while a year of one busy repository is read; the service is a process of its own.

By environment: DASHBOARDS (100), DASHBOARD_SECONDS (60), DASHBOARD_RUNS_A_DAY (200).
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests

from benchmarks.http import pipemon_settings
from benchmarks.reading import simulator
from benchmarks.report import Figure, at_most, plain
from benchmarks.served import ROOT, Served, free_port, late, serve

CLIENTS = int(os.environ.get("DASHBOARDS", "100"))
SECONDS = float(os.environ.get("DASHBOARD_SECONDS", "60"))
RUNS_A_DAY = os.environ.get("DASHBOARD_RUNS_A_DAY", "200")
REPOSITORY = "octo-harbor/repo-000"


def measure() -> list[Figure]:
    """Four addresses every five seconds each, beside the backfill: how long answers take, errors, and its pace."""
    world = ("--repositories", "1", "--runs-per-day", RUNS_A_DAY, "--size", "demo")
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as name, simulator(*world) as url:
        requests.get(f"{url}/repos/{REPOSITORY}/actions/runs", timeout=600)  # planned when it is first looked at
        folder, port = Path(name), free_port()
        settings = pipemon_settings(folder, port) | {
            "GITHUB_REPOSITORIES": REPOSITORY, "GITHUB_API_URL": url, "BACKFILL_DAYS": "365", "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        arguments = ("-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app")
        with serve(*arguments, port=port, path="/health", cwd=folder, **settings) as served:
            return _measured(served, folder, port)


def _measured(served: Served, folder: Path, port: int) -> list[Figure]:
    before, lags, cpu = _stored(folder), served.hub_lags(), served.cpu_seconds()
    command = [sys.executable, "-m", "benchmarks.dashboard_clients", str(port), str(CLIENTS), str(SECONDS)]
    told = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    after, slow, cpu = _stored(folder), served.hub_lags(), served.cpu_seconds() - cpu
    size = sum(path.stat().st_size for path in folder.glob("pipemon.sqlite3*"))
    every = [took for taken in told["taken"].values() for took in taken]
    runs, jobs = (new - old for new, old in zip(after, before, strict=True))
    return [
        plain("dashboards, answers", f"{CLIENTS}, {len(every)}"),
        at_most(f"answers that were errors {told['wrong'] or ''}".rstrip(), sum(told["wrong"].values()), 0),
        *(plain(f"{path}: p50 / p99", _both(taken)) for path, taken in told["taken"].items()),
        plain("all answers: p50 / p99", _both(every)),
        plain("runs, jobs read a second meanwhile", f"{runs / SECONDS:.0f}, {jobs / SECONDS:.0f}"),
        plain("runs, jobs stored at the end", f"{after[0]}, {after[1]}"),
        plain("bytes per run as they were read, with events", f"{size / max(1, after[0]):,.0f}"),
        plain("CPU of the service", f"{cpu / SECONDS:.0%}"),
        plain("hub lag p99 / p100, up to", f"{late(lags, slow, 0.99):g} / {late(lags, slow, 1):g} s"),
        plain("memory of the process", f"{served.memory_mb():.0f} MB"),
    ]


def _both(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2] * 1000:.0f} / {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms"


def _stored(folder: Path) -> tuple[Any, ...]:
    conn = sqlite3.connect(f"file:{folder / 'pipemon.sqlite3'}?mode=ro", uri=True)
    try:
        found: tuple[Any, ...] = conn.execute(
            "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM jobs)"
        ).fetchone()
        return found
    finally:
        conn.close()
