"""The start: closed unless opened by name, refused in plain lines, and gone without a trace when it ends."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import requests

from config import DEMO_OWNER, Settings, SettingsError
from pipemon.app import create_app
from pipemon.simulator.habits import OWNER
from pipemon.store.engine import Database

ROOT = Path(__file__).parents[1]
KEY = "pmk_" + "k" * 43
TOKEN = "ghp_" + "t" * 36
WATCHING = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORIES": "acme/shop", "GITHUB_API_URL": "http://127.0.0.1:1"}
START_SECONDS = 40


@dataclass(frozen=True)
class Start:
    """One way to start: the settings, whether it may start, and whether reads are open then."""

    public: bool
    key: bool
    anonymous: bool
    demo: bool

    @property
    def environ(self) -> dict[str, str]:
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        return {
            "HOST": "0.0.0.0" if self.public else "127.0.0.1",
            "API_KEYS": f"bot:admin:{digest}" if self.key else "",
            "ALLOW_ANONYMOUS_READ": "true" if self.anonymous else "false",
            **({} if self.demo else WATCHING),
        }

    @property
    def allowed(self) -> bool:
        return not self.public or self.key or self.anonymous

    @property
    def reads_open(self) -> bool:
        return not self.public or self.anonymous


MATRIX = [Start(*bits) for bits in product([False, True], repeat=4)]


@pytest.mark.parametrize(
    "start", MATRIX, ids=lambda start: "-".join(name for name, on in vars(start).items() if on) or "none"
)
def test_start_closed_in_all_16_settings(start: Start, tmp_path: Path, sqlite_template: Path) -> None:
    environ = start.environ | {"DATA_DIR": str(tmp_path)}
    if not start.allowed:
        with pytest.raises(SettingsError, match=r"^HOST: .*API_KEYS"):
            Settings.from_env(environ, env_file=None)
        return
    settings = Settings.from_env(environ, env_file=None)
    shutil.copy(sqlite_template, settings.database_url.removeprefix("sqlite:///"))
    app = create_app(settings)
    client = app.test_client()
    assert client.get("/api/v1/pipeline/status").status_code == (200 if start.reads_open else 401)
    assert client.get("/health").status_code == 200
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            path = rule.rule.replace("<int:", "<").replace(">", "").replace("<", "")
            answer = client.open(path.replace("build_id", "1"), method=method, json={})
            assert answer.status_code in (401, 404), f"{method} {rule.rule} is open"
    app.extensions["pipemon"].github.close()
    app.extensions["pipemon"].db.close()


def test_the_collector_leaves_alone_what_is_there_from_the_start(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "pipemon.sqlite3")
    script = "import gc, wsgi; gc.collect(); print(gc.get_freeze_count(), len(gc.get_objects()))"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path), **WATCHING}
    told = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, check=True)
    frozen, others = map(int, told.stdout.split())
    assert frozen > 100_000 > 10_000 > others


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(port: int, folder: Path, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start the real thing from a folder without .env, its output in a file."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    env |= {"DATA_DIR": str(folder / "data"), "PORT": str(port), **environ}
    (folder / "home").mkdir(exist_ok=True)
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        run = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "wsgi:app"]
        return subprocess.Popen(run, cwd=folder, env=env, stdout=out, stderr=err, start_new_session=True)


def refused(folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    code = command(free_port(), folder, environ).wait(START_SECONDS)
    said = (folder / "err").read_text() + (folder / "out").read_text()
    assert "Traceback" not in said
    return code, (folder / "err").read_text()


def test_wrong_settings_end_the_start_with_one_line_each_and_no_traceback(tmp_path: Path) -> None:
    code, said = refused(tmp_path, {"PORT": "x", "GITHUB_TOKEN": f"{TOKEN} canary", "HOST": "0.0.0.0"})
    assert code == 2
    assert sorted(line.split(":")[0] for line in said.splitlines()) == ["GITHUB_OWNER", "GITHUB_TOKEN", "HOST", "PORT"]
    assert TOKEN not in said
    assert not (tmp_path / "data").exists()


def test_S3_a_damaged_database_ends_the_start_with_one_line_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "pipemon.sqlite3"
    path.write_bytes(b"not a database at all" * 500)
    code, said = refused(tmp_path, WATCHING)
    assert code == 3
    assert len(said.splitlines()) == 1
    assert str(path) in said
    assert path.read_bytes() == b"not a database at all" * 500


def test_a_data_folder_that_cannot_be_made_ends_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in its place")
    code, said = refused(tmp_path, WATCHING)
    assert code == 2
    assert [line.split(":")[0] for line in said.splitlines()] == ["DATA_DIR"]


@dataclass
class Running:
    """A running service."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int

    @property
    def said(self) -> str:
        return (self.folder / "out").read_text()

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=10)

    def descendants(self) -> list[int]:
        """The processes below the master, by the kernel's word."""
        found = []
        for parent in [self.process.pid]:
            listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            found += [int(pid) for pid in listed]
        return found


@contextmanager
def started(folder: Path, environ: dict[str, str], path: str) -> Iterator[Running]:
    """Start it, and hand it over when the path answers 200."""
    port = free_port()
    running = Running(command(port, folder, environ), folder, port)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                if running.get(path).status_code == 200:
                    break
            except requests.ConnectionError:
                assert running.process.poll() is None, running.said + (folder / "err").read_text()
                time.sleep(0.1)
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    with started(tmp_path, {}, "/api/v1/pipeline/status") as running:
        yield running


def ended(pids: list[int], seconds: float) -> bool:
    """Whether all these processes end in time; a zombie has ended."""

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


def test_the_demo_tells_what_it_is_and_ends_in_time(demo: Running) -> None:
    (line,) = (line for line in demo.said.splitlines() if "No GITHUB_TOKEN" in line)
    assert "simulator" in line
    (key,) = {word for word in demo.said.split() if word.startswith("pmk_") and not word.endswith("'")}
    assert f"curl -H 'X-API-Key: {key}'" in demo.said
    answer = demo.get("/api/v1/pipeline/overview", **{"X-API-Key": key, "X-Request-ID": "asked-by-a-test"})
    assert answer.status_code == 200
    assert demo.get("/api/v1/pipeline/overview", **{"X-API-Key": key[:-1]}).status_code == 401
    assert answer.headers["X-Pipemon-Demo"] == "true"

    access = [json.loads(line) for line in demo.said.splitlines() if '"event": "request"' in line]
    (mine,) = (line for line in access if line["request_id"] == "asked-by-a-test")
    assert (mine["method"], mine["path"], mine["status"]) == ("GET", "/api/v1/pipeline/overview", 200)

    # M18: no control socket, be it in the home directory or beside us; and the key's text is nowhere on disk.
    assert list((demo.folder / "home").iterdir()) == []
    assert {path.name for path in demo.folder.iterdir()} == {"home", "data", "out", "err"}
    assert not any(key.encode() in path.read_bytes() for path in (demo.folder / "data").iterdir())
    for pid in [demo.process.pid, *demo.descendants()]:
        assert key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert key.encode() not in Path(f"/proc/{pid}/environ").read_bytes()

    children = demo.descendants()
    assert len(children) == 2  # a worker and the simulator
    asked_at = time.monotonic()
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(20) == 0
    assert time.monotonic() - asked_at < 8
    assert ended(children, 5)


def test_ctrl_c_ends_it_without_a_traceback(demo: Running) -> None:
    children = demo.descendants()
    # The master alone obeys it: a worker that is told twice ends in the middle of its end.
    (worker,) = (pid for pid in children if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes())
    ignored = re.search(r"^SigIgn:\s*(\w+)", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
    assert ignored is not None
    assert int(ignored[1], 16) >> (signal.SIGINT - 1) & 1
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(20) == 0
    assert ended(children, 5)
    assert "Traceback" not in demo.said + (demo.folder / "err").read_text()


def test_the_simulator_dies_with_the_master_even_by_sigkill(demo: Running) -> None:
    children = demo.descendants()
    assert len(children) == 2
    demo.process.kill()
    assert ended(children, 15)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_several_workers_serve_on_postgresql(database: Database, tmp_path: Path) -> None:
    url = database.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    with started(tmp_path, WATCHING | {"DATABASE_URL": url, "WEB_CONCURRENCY": "2"}, "/health") as running:
        workers = running.descendants()
        assert len(workers) == 2
        assert running.get("/health").json()["checks"]["database"] == "healthy"
        assert "simulator" not in running.said
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        assert ended(workers, 5)


def test_the_demo_watches_the_simulators_owner() -> None:
    assert DEMO_OWNER == OWNER
