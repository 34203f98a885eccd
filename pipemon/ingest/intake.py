"""Taking a delivery in: what it is about decides whether it waits to be applied, is kept, or only noted."""

import threading
import time
from dataclasses import dataclass

from sqlalchemy import Connection

from pipemon.github import webhook
from pipemon.github.webhook import Envelope
from pipemon.store import deliveries, repositories
from pipemon.store.deliveries import Delivery
from pipemon.store.engine import Database

# So soon after a commit, others are likely to come: the next one waits a moment for them.
BUSY_SECONDS = 0.05
GATHER_SECONDS = 0.002
APPLIED = ("workflow_run", "workflow_job", "deployment", "deployment_status")


class Full(Exception):
    """So many deliveries wait that no more are taken in."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A delivery whose signature was found right. `at` is GitHub's time, in seconds."""

    guid: str
    event: str
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an arrival: accepted, ignored (`why` tells the reason) or repeated. It is committed."""

    status: str
    why: str | None = None


@dataclass(slots=True, eq=False)
class _Letter:
    """An arrival on its way into the database, and what came of it."""

    arrival: Arrival
    opened: Envelope
    packed: bytes | None
    outcome: Receipt | BaseException | None = None


class Intake:
    """Takes deliveries in. Those that come at one time share a commit: it takes longer than all the rest."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turn = threading.Lock()
        self._waiting: list[_Letter] = []
        self._committed_at = 0.0

    def take_in(self, arrival: Arrival) -> Receipt:
        """Commit a delivery and say what it is to us.

        Raises BadAnswer where its body is not JSON, Full at the cap, and what the database raises: then nothing is
        stored.
        """
        opened = webhook.envelope(arrival.event, arrival.body)
        packed = None if opened.why or opened.event == "ping" else deliveries.pack(arrival.body)
        letter = _Letter(arrival, opened, packed)
        self._waiting.append(letter)
        with self._turn:
            if letter.outcome is None:
                self._commit()
        if isinstance(letter.outcome, Receipt):
            return letter.outcome
        raise letter.outcome or RuntimeError("a delivery was neither stored nor refused")

    def _commit(self) -> None:
        """Commit all that wait by now."""
        if time.monotonic() - self._committed_at < BUSY_SECONDS:
            time.sleep(GATHER_SECONDS)
        letters, self._waiting = self._waiting, []
        try:
            outcomes = self._db.transact(lambda conn: [_store(conn, letter) for letter in letters])
        except BaseException as error:
            outcomes = [error] * len(letters)
        for letter, outcome in zip(letters, outcomes, strict=True):
            letter.outcome = outcome
        self._committed_at = time.monotonic()


def _store(conn: Connection, letter: _Letter) -> Receipt | BaseException:
    delivery = _delivery(conn, letter.arrival, letter.opened, letter.packed)
    if delivery.result is None and deliveries.depth(conn).full:
        return Full()
    if not deliveries.add(conn, delivery):
        if delivery.result is None:
            deliveries.revive(conn, delivery)
        return Receipt("repeated")
    return Receipt("ignored" if delivery.result == "ignored" else "accepted", delivery.why)


def _delivery(conn: Connection, arrival: Arrival, opened: Envelope, packed: bytes | None) -> Delivery:
    repository_id, result, why = None, None, opened.why
    if why is None and opened.event != "ping":
        repository_id = repositories.find_watched(conn, opened.repository_id, opened.repository)
        why = None if repository_id is not None else "this repository is not watched"
    if why is not None:
        result, packed = "ignored", None
    elif opened.event not in APPLIED:
        result = "kept" if packed is not None else "applied"  # a ping has nothing to apply
    return Delivery(
        arrival.guid, opened.event, arrival.at, opened.action, opened.repository, repository_id, packed, result, why
    )
