from gevent import monkey

# The first thing that happens: whatever imports ssl, requests or psycopg before is not patched, and breaks.
monkey.patch_all()

# ruff: noqa: E402
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import gevent
from gunicorn.glogging import Logger

from config import Settings, SettingsError, announce_demo
from pipemon import VERSION, telemetry
from pipemon.cli import key_entry, new_key, open_database
from pipemon.store.engine import DatabaseError
from pipemon.store.upgrade import upgrade

MOST_DESCRIPTORS = 65_536
EXIT_WRONG_SETTINGS, EXIT_UNUSABLE_DATABASE, EXIT_NO_SIMULATOR = 2, 3, 4
WATCH_SECONDS = 0.2
SIMULATOR_START_SECONDS = 30
PR_SET_PDEATHSIG = 1  # linux/prctl.h

demo_lines: list[str] = []
simulators: list[subprocess.Popen[bytes]] = []


def refuse(why: object, code: int) -> None:
    """End the start with what is wrong, and nothing else."""
    click.echo(why, err=True)
    sys.exit(code)


try:
    settings = Settings.from_env()
except SettingsError as error:
    refuse(error, EXIT_WRONG_SETTINGS)


class Lines(Logger):
    """gunicorn's own lines, written as all others are; the application itself writes one per request."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        telemetry.configure_logging(settings.log_level, settings.secrets())
        for own in (self.error_log, self.access_log):
            own.handlers.clear()
            own.propagate = True


host = settings.host.strip("[]")
bind = f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
worker_class = "gevent"
workers = settings.workers
worker_connections = 1000
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- the heartbeat's file, unlinked
preload_app = False
timeout = 60  # a heartbeat: a hub that stands still for longer is restarted
graceful_timeout = 8  # below the ten seconds of `docker stop`
keepalive = 5
max_requests = 0  # a worker that retires would cut its sockets
limit_request_line = 8190  # many repo= parameters
control_socket_disable = True
forwarded_allow_ips = "*" if settings.trusted_proxies else ""
logger_class = Lines
loglevel = settings.log_level.lower()


def on_starting(server: Any) -> None:
    """Bring the database up to date; without anything configured, start the simulator."""
    telemetry.configure_logging(settings.log_level, settings.secrets())
    raise_descriptor_limit()
    try:
        db = open_database(settings)
        upgrade(db)
        db.close()
    except SettingsError as error:
        refuse(str(error), EXIT_WRONG_SETTINGS)
    except (OSError, DatabaseError) as error:
        refuse(f"The database can't be used: {telemetry.mask(str(error))}", EXIT_UNUSABLE_DATABASE)
    if settings.demo:
        start_demo()


def start_demo() -> None:
    """Start the simulator beside us, and tell the workers and the person how to reach it."""
    port = free_port()
    simulators.append(start_simulator(port))
    wait_until_it_listens(simulators[0], port)
    key = new_key()
    announce_demo(f"http://127.0.0.1:{port}", key_entry("demo", "admin", key))
    demo_lines.append(
        "No GITHUB_TOKEN is set: pipemon watches its built-in simulator, and nothing you see is real.\n"
        f"An API key for this demo, shown this once: {key}\n"
        f"Its messages to people: http://127.0.0.1:{port}/_slack\n"
        f"Try it:  curl -H 'X-API-Key: {key}' 'http://127.0.0.1:{settings.port}/api/v1/pipeline/overview'"
    )


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system lets us: a WebSocket client is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def when_ready(server: Any) -> None:
    """Say that it listens; of the demo only now, since another program may have held the port."""
    click.echo(f"pipemon {VERSION} listens on http://{bind}, its interface is described at /docs.")
    for line in demo_lines:
        click.echo(line)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_simulator(port: int) -> "subprocess.Popen[bytes]":
    """Start the simulator, which knows none of our settings and ends when we do."""
    journal = settings.data_dir / "simulator-journal.jsonl"
    command = [sys.executable, "-m", "pipemon.simulator", "--port", str(port), "--journal", str(journal)]
    # A session of its own: Ctrl-C in the terminal is for us, and `on_exit` passes it on.
    return subprocess.Popen(  # noqa: S603 -- a fixed command, without a shell
        command,
        cwd=Path(__file__).parent,
        env={},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )


def end_with_parent() -> None:
    """In the child: let Linux end it when its parent ends, be it by SIGKILL. Elsewhere `on_exit` has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until_it_listens(simulator: "subprocess.Popen[bytes]", port: int) -> None:
    """Return when the port answers; refuse the start where the simulator ends, or takes too long."""
    deadline = time.monotonic() + SIMULATOR_START_SECONDS
    while time.monotonic() < deadline and simulator.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    refuse("The simulator does not start.", EXIT_NO_SIMULATOR)


def on_exit(server: Any) -> None:
    """End the simulator."""
    for simulator in simulators:
        simulator.terminate()


def post_worker_init(worker: Any) -> None:
    """Start the clock after the fork: neither the master nor a test that imports the app may poll."""
    # Ctrl-C reaches all processes of the terminal; the master tells its workers, and twice is once too often.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    background = worker.wsgi.extensions["pipemon.background"]
    background.start()
    worker.background = background
    gevent.spawn(watch, worker)


def watch(worker: Any) -> None:
    """Measure how late the hub is; and since gunicorn tells nobody that a stop has begun, look for it."""
    while worker.alive:
        asleep_at = time.monotonic()
        gevent.sleep(WATCH_SECONDS)
        telemetry.observe("hub_lag_seconds", max(0.0, time.monotonic() - asleep_at - WATCH_SECONDS))
    stop_background(worker)


def worker_exit(server: Any, worker: Any) -> None:
    """Stop the clock where the watcher had no time to, and end."""
    if not hasattr(worker, "background"):
        return  # it never served: gunicorn has to see its exit code
    stop_background(worker)
    # Python would wait for jobs that wait for GitHub. They are safe: what they have not committed is read again.
    os._exit(0)


def stop_background(worker: Any) -> None:
    """Stop the clock once, and give the lease back."""
    background, worker.background = getattr(worker, "background", None), None
    if background is not None:
        background.stop()
