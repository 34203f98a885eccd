"""Taking a delivery in: what it is about decides whether it waits to be applied, is kept, or only noted."""

from dataclasses import dataclass

from sqlalchemy import Connection

from pipemon.github import webhook
from pipemon.github.webhook import Envelope
from pipemon.store import deliveries, repositories
from pipemon.store.deliveries import Delivery
from pipemon.store.engine import Database

APPLIED = ("workflow_run", "workflow_job")


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


def take_in(db: Database, arrival: Arrival) -> Receipt:
    """Commit a delivery and say what it is to us.

    Raises BadAnswer where its body is not JSON, Full at the cap, and what the database raises: then nothing is stored.
    """
    opened = webhook.envelope(arrival.event, arrival.body)
    packed = None if opened.why or opened.event == "ping" else deliveries.pack(arrival.body)

    def work(conn: Connection) -> Receipt:
        delivery = _delivery(conn, arrival, opened, packed)
        if delivery.result is None and deliveries.depth(conn).full:
            raise Full
        if not deliveries.add(conn, delivery):
            deliveries.revive(conn, delivery)
            return Receipt("repeated")
        return Receipt("ignored" if delivery.result == "ignored" else "accepted", delivery.why)

    return db.transact(work)


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
