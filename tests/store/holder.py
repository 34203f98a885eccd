"""Another process that locks the database."""

import subprocess
import sys
from pathlib import Path

# Holds an exclusive lock for each number of seconds it is told, and says when it has it.
HOLDER = """
import sqlite3, sys, time
conn = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for line in sys.stdin:
    conn.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)
    time.sleep(float(line))
    conn.execute("ROLLBACK")
    print("free", flush=True)
"""


class Holder:
    """Another process that locks the database."""

    def __init__(self, path: Path) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes)  # type: ignore[call-overload]

    def take(self, seconds: float) -> None:
        """Let it lock; return once it has."""
        self._process.stdin.write(f"{seconds}\n")
        assert self._process.stdout.readline() == "held\n"

    def wait(self) -> None:
        """Return once it has let go."""
        assert self._process.stdout.readline() == "free\n"

    def kill(self) -> None:
        """End it, lock and all."""
        self._process.kill()
        self._process.communicate()
