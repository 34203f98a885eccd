"""The real thing: pipemon's gunicorn as a child process, to be asked, stopped and killed."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
# Long enough for a loaded machine; a test that passes needs a second or two.
PATIENCE_SECONDS = 40


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Service:
    """One pipemon on its own data folder, watching a GitHub-shaped server."""

    data_dir: Path
    api_url: str
    repositories: str
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    config: Path = ROOT / "gunicorn.conf.py"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> "Service":
        """Start it; return when it answers."""
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        env |= {
            "GITHUB_API_URL": self.api_url,
            "GITHUB_TOKEN": "ghp_" + "t" * 36,
            "GITHUB_REPOSITORIES": self.repositories,
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(self.data_dir),
            "PORT": str(self.port),
            "POLL_INTERVAL_ACTIVE": "1",
            "POLL_INTERVAL_IDLE": "2",
            "BACKFILL_DAYS": "30",
            **self.settings,
        }
        with (self.data_dir / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "gunicorn", "-c", str(self.config), "wsgi:app"]
            # Not in the checkout, where a developer's .env may lie. A group of its own, so that a kill reaches master
            # and worker at one moment.
            self.process = subprocess.Popen(
                command, cwd=self.data_dir, env=env, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            self.wait_for(lambda: self.get("/health").status_code == 200)
        return self

    def wait_for(self, condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the condition holds; raise with the end of the log where it does not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except requests.ConnectionError:
                if self.process is not None and self.process.poll() is not None:
                    raise AssertionError(f"the service ended: {self.log()[-3000:]}") from None
            time.sleep(0.05)
        raise AssertionError(f"not in {seconds} s: {self.log()[-3000:]}")

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def transitions(self) -> list[tuple[int, str]]:
        """Return (run, event) of all that the log tells, as news, of builds' beginnings and ends."""
        types = "('build_queued', 'build_started', 'build_succeeded', 'build_failed')"
        conn = sqlite3.connect(f"file:{self.data_dir / 'pipemon.sqlite3'}?mode=ro", uri=True)
        try:
            return conn.execute(f"SELECT run_id, type FROM events WHERE type IN {types} AND NOT historic").fetchall()
        finally:
            conn.close()

    def log(self) -> str:
        return (self.data_dir / "service.log").read_text(errors="replace")

    def kill(self) -> None:
        """End master and worker at once, as a power cut would end them."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        if self.process is None:
            return 0
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None
        return code
