"""What the WebSocket survives, at its full size on the real gunicorn: `make proof`. Small forms run with the tests."""

import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipemon.domain.events import Event
from pipemon.live.socket import BACKLOG_BYTES
from pipemon.store import events
from pipemon.store.engine import Database
from tests.flows.service import Service
from tests.live.fleet import Fleet

CLIENTS = 10_000
REPOSITORY = "acme/shop"


class Writer:
    """Another process' place: it commits events into the log, whether anybody serves or not."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder / 'pipemon.sqlite3'}"
        self.last_id = 0

    def write(self, count: int, size: int = 300) -> None:
        """Commit so many events as one."""
        new = [
            Event(
                "build_started", "builds", REPOSITORY, f"proof:{self.last_id + n}", 0, n, 1, False, {"pad": "x" * size}
            )
            for n in range(count)
        ]
        db = Database(self._url)

        def work(conn: object) -> None:
            events.lock(conn)  # type: ignore[arg-type]
            events.append(conn, new, time.time())  # type: ignore[arg-type]

        db.transact(work)
        db.close()
        self.last_id += count


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    started = Service(tmp_path, "http://127.0.0.1:9", REPOSITORY, {"LOG_LEVEL": "WARNING"})
    yield started
    started.kill()


@pytest.fixture
def fleet_of(service: Service) -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def make(count: int, **how: object) -> Fleet:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2000
        if count > most:
            pytest.skip(f"NOT MEASURED: {count} sockets, of which this machine opens {most}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        made.append(Fleet(service.port, count, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


def reads(service: Service) -> float:
    found = re.search(r"^pipemon_live_reads_total (\S+)", service.get("/metrics").text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def restart(service: Service, number: signal.Signals) -> None:
    service._signal(number)
    service.start()


def resume_over_restarts(service: Service, fleet: Fleet, writer: Writer) -> None:
    """Restart three times under clients and events; every client must get every event once, in order."""
    fleet.run(lambda: fleet.connected == fleet.count, 120)
    assert fleet.connected == fleet.count
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.wait(1.0):
            writer.write(1)

    busy = threading.Thread(target=keep_writing)
    busy.start()
    cost = []
    try:
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            fleet.run(lambda: False, 2)
            restarting = threading.Thread(target=restart, args=(service, number))
            restarting.start()
            fleet.run(lambda thread=restarting: not thread.is_alive(), 60)  # type: ignore[misc]
            before = fleet.confirmations
            fleet.run(lambda: fleet.connected == fleet.count, 120)
            assert fleet.connected == fleet.count, (number, fleet.connected)
            cost.append(reads(service) / fleet.count)
            assert before <= fleet.confirmations
    finally:
        stop.set()
        busy.join()
    writer.write(1)
    assert fleet.run(lambda: all(one.last_id == writer.last_id for one in fleet.clients), 60)
    assert (fleet.gaps, fleet.doubles, fleet.corrupt, fleet.resyncs) == (0, 0, 0, 0)
    assert fleet.confirmations >= 4 * fleet.count
    print(f"{fleet.count} clients x 3 restarts: {fleet.confirmations - fleet.count} resumed, reads a client {cost}")
    assert max(cost) <= 0.1


def test_R3_three_restarts_under_clients(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    resume_over_restarts(service, fleet_of(300), Writer(service.data_dir))


@pytest.mark.proof
def test_R3_full_ten_thousand_clients_and_three_restarts(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    resume_over_restarts(service, fleet_of(CLIENTS), Writer(service.data_dir))


def frames_through_small_windows(service: Service, fleet: Fleet, count: int) -> None:
    """Send events to clients with small buffers that read a little at a time, and ping in between."""
    writer = Writer(service.data_dir)
    fleet.run(lambda: fleet.connected == fleet.count, 60)
    for start in range(0, count, 100):
        writer.write(100)
        # So far behind and no more: a client that is cut off as too slow comes back, which is another test's matter.
        fleet.run(lambda start=start: min(one.last_id or 0 for one in fleet.clients) >= start - 100, 60)  # type: ignore[misc]
    assert fleet.run(lambda: all(one.last_id == writer.last_id for one in fleet.clients), 120)
    assert fleet.events == count * fleet.count
    assert (fleet.corrupt, fleet.gaps, fleet.doubles) == (0, 0, 0)


def test_R9_frames_and_pings_through_small_windows(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    frames_through_small_windows(service, fleet_of(20, window=2048, piece=700, pings=0.02), 500)


@pytest.mark.proof
def test_R9_full_a_million_frames_none_corrupt(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    frames_through_small_windows(service, fleet_of(100, window=2048, piece=1500, pings=0.02), 10_000)


def worker_of(master: int) -> int:
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def some_stalled(service: Service, fleet: Fleet, stalled: Fleet) -> None:
    """Send more than a stalled client's cap; all others get everything, and memory grows by the caps at most."""
    writer = Writer(service.data_dir)
    fleet.run(lambda: fleet.connected == fleet.count, 120)
    stalled.run(lambda: stalled.connected == stalled.count, 60)
    assert service.process is not None
    worker = worker_of(service.process.pid)
    before = resident_bytes(worker)
    for _ in range(40):
        writer.write(5, size=30_000)
        assert fleet.run(lambda: all(one.last_id == writer.last_id for one in fleet.clients), 60)
    growth = resident_bytes(worker) - before
    print(f"{stalled.count} of {fleet.count + stalled.count} stalled: growth {growth / 1e6:.1f} MB")
    assert (fleet.gaps, fleet.doubles, fleet.corrupt) == (0, 0, 0)
    assert fleet.codes == {}
    # What the log's own pages in memory take is not the stalled ones'.
    assert growth <= stalled.count * BACKLOG_BYTES + 32 * 1024 * 1024


def test_R4_one_in_twenty_stalled(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    some_stalled(service, fleet_of(190), fleet_of(10, window=2048))


@pytest.mark.proof
def test_R4_full_one_percent_of_ten_thousand_stalled(service: Service, fleet_of: Callable[..., Fleet]) -> None:
    service.start()
    some_stalled(service, fleet_of(CLIENTS - 100), fleet_of(100, window=2048))
