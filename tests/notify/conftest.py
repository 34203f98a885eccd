"""What the tests of notifications share."""

from collections.abc import Iterator

import pytest

from pipemon.store.engine import Database
from tests.notify.inbox import Inbox
from tests.notify.world import World


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as found:
        yield found


@pytest.fixture
def world(database: Database, inbox: Inbox) -> World:
    return World(database, inbox)
