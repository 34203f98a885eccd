"""The other end of `benchmarks.asking`: starts such a process, and asks it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.served import ROOT


@dataclass(frozen=True, slots=True)
class Told:
    """Milliseconds of each time it was asked, the worst lag of the hub (ms), and the numbers of the first answer."""

    taken: list[float]
    lag: float
    told: dict[str, Any]


class Asked:
    """The other end: such a process."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "benchmarks.asking", url]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say({"ready": True})

    def ask(self, name: str, days: int, wanted: dict[str, Any], most: int = 1, seconds: float = 0.0) -> Told:
        """Ask up to `most` times, at least twice where `most` allows, no more once the seconds are over."""
        return Told(**self._say({"name": name, "days": days, "wanted": wanted, "most": most, "seconds": seconds}))

    def idle(self, seconds: float) -> float:
        """Let it do nothing for a while; return the worst lag of its hub (ms)."""
        return float(self._say({"idle": seconds})["lag"])

    def change(self, runs: int) -> float:
        """Let it apply so many new runs; return the milliseconds."""
        return float(self._say({"change": runs})["taken"])

    def memory_mb(self) -> tuple[float, float]:
        """Return its resident memory now, and the most it was."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
        return int(found["VmRSS"]) / 1024, int(found["VmHWM"]) / 1024

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _say(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        return found
