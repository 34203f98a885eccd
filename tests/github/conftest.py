"""What the tests of the GitHub room share: a client of the simulator, and a raw loopback server for wire faults."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipemon import telemetry
from pipemon.domain.secrets import Secret
from pipemon.github.auth import PersonalToken, TokenSource
from pipemon.github.budget import Gate, Limits
from pipemon.github.client import GitHub
from pipemon.github.timed import Patience
from pipemon.simulator import Simulator
from tests.github.loopback import Loopback

TOKEN = "ghp_canary0123456789abcdefghijklmnopqrstu"
QUICK = Patience(connect_seconds=2, read_seconds=2, total_seconds=4)


@dataclass
class Memory:
    """Where a gate remembers: outlives it, as the database does."""

    rows: dict[str, Limits] = field(default_factory=dict)

    def save(self, limits: Limits) -> None:
        self.rows[limits.token_hash] = limits


Make = Callable[..., GitHub]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def make(tmp_path: Path, memory: Memory) -> Iterator[Make]:
    """Make clients of an address; all are closed in the end. The cache file is kept between those of one test."""
    made: list[GitHub] = []

    def make(
        url: str,
        tokens: TokenSource | None = None,
        cache: Path | None = tmp_path / "cache.sqlite3",
        patience: Patience = QUICK,
        clock: Callable[[], float] = time.time,
    ) -> GitHub:
        tokens = tokens or PersonalToken(Secret(TOKEN))
        gate = Gate(tokens.hash, memory.rows.get, memory.save, clock)
        made.append(GitHub(url, tokens, gate, cache, patience))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def sim() -> Simulator:
    return Simulator(size="empty")


@pytest.fixture
def api(sim: Simulator) -> Iterator[str]:
    with sim.serve() as url:
        yield url


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


def counted(name: str, **labels: str) -> float:
    """Return how far a counter is, summed over all labels that aren't given."""
    metric = telemetry._collectors[name]
    return sum(
        sample.value
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )
