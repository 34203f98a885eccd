"""A service whose Slack is an inbox, on an empty simulated world: for the flows that end with people."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipemon.simulator import Simulator
from tests.flows.service import Service
from tests.notify.inbox import Inbox

SHOP = "octo-harbor/shop"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[tuple[Simulator, str]]:
    """A world whose history is kept beside the service's data: a run that failed can be looked at and replayed."""
    world = Simulator(size="empty", rate_limit=1_000_000, journal=tmp_path / "journal.jsonl")
    with world.serve() as url:
        yield world, url


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as found:
        yield found


@pytest.fixture
def service(sim: tuple[Simulator, str], inbox: Inbox, tmp_path: Path) -> Iterator[Service]:
    """The service, with the inbox as its Slack."""
    settings = {"SLACK_WEBHOOK_URL": inbox.url, "OUTBOUND_ALLOW": "127.0.0.1,localhost"}
    started = Service(tmp_path, sim[1], SHOP, settings)
    yield started
    started.kill()
