"""pipemon's reading side in this process: a client, a poller and a backfill on a database of their own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipemon.domain.secrets import Secret
from pipemon.github.auth import PersonalToken
from pipemon.github.budget import Gate
from pipemon.github.client import GitHub
from pipemon.ingest.reader import Deps
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.upgrade import upgrade

TOKEN = "ghp_" + "b" * 36


@contextmanager
def reading(url: str, names: tuple[str, ...], clock: Callable[[], float] = time.time) -> Iterator[Deps]:
    """Give what reading needs, watching those repositories of the server at `url`."""
    with tempfile.TemporaryDirectory(prefix="pipemon-bench-") as folder:
        db = Database(f"sqlite:///{folder}/pipemon.sqlite3")
        upgrade(db)
        db.transact(lambda conn: repositories.watch(conn, names))
        token = PersonalToken(Secret(TOKEN))
        gate = Gate(token.hash, lambda token_hash: None, lambda limits: None, clock, clock)
        github = GitHub(url, token, gate, Path(folder) / "cache.sqlite3", monotonic=clock)
        try:
            yield Deps(db, github)
        finally:
            github.close()
            db.close()


@contextmanager
def simulator(*arguments: str) -> Iterator[str]:
    """Give the address of a simulator process, so that its work is not counted as ours."""
    command = [sys.executable, "-m", "pipemon.simulator", "--port", "0", "--rate-limit", "100000000", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()
