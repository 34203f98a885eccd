"""Signed webhook deliveries of what happens in the world, in its time; and what goes wrong with them, on order."""

import hashlib
import hmac
import json
import random
import threading
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from pipemon.simulator.habits import OWNER
from pipemon.simulator.plans import DAY, PlannedAttempt, PlannedJob, PlannedRun
from pipemon.simulator.world import Repository

if TYPE_CHECKING:
    import requests

    from pipemon.simulator.server import Simulator

# Younger runs are looked at, and older ones that an order has touched.
YOUNG_SECONDS = 2 * DAY
LATEST_SECONDS = 20
PUMP_SECONDS = 0.1
TIMEOUT_SECONDS = 10  # GitHub waits that long, and sends nothing a second time


@dataclass(frozen=True)
class Trouble:
    """Which share of the deliveries goes wrong, and how. `delayed` and `shuffled` come up to twenty seconds late.

    `replayed`: the body comes again under a new id; `forged`: a changed body comes too, signed with another secret.
    """

    dropped: float = 0.0
    doubled: float = 0.0
    shuffled: float = 0.0
    replayed: float = 0.0
    forged: float = 0.0
    delay_seconds: float = 0.0


@dataclass(frozen=True, order=True)
class Posting:
    """One request to be sent at a moment of the world."""

    at: float
    place: int
    guid: str
    event: str
    body: bytes
    signature: str

    def headers(self) -> dict[str, str]:
        """Return the headers as GitHub sends them."""
        return {
            "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/simulator", "X-GitHub-Event": self.event,
            "X-GitHub-Delivery": self.guid, "X-Hub-Signature-256": self.signature,
            "X-GitHub-Hook-ID": "1", "X-GitHub-Hook-Installation-Target-Type": "organization",
        }  # fmt: skip


Change = tuple[int, str, str, int, PlannedJob | None]  # moment, event, action, attempt, job


class Hooks:
    """Watches the world and tells each step of each run once: what begins after `aim` was called."""

    def __init__(self, sim: "Simulator", seed: int) -> None:
        self._sim = sim
        self._random = random.Random(seed)
        self._url = ""
        self._secret = b""
        self._trouble = Trouble()
        self._since = 0
        self._told: set[tuple[Any, ...]] = set()
        self._touched: dict[int, Repository] = {}
        self._queue: list[Posting] = []
        self._counts: Counter[str] = Counter()
        self._places = 0
        self._pump: threading.Thread | None = None

    def aim(self, url: str = "", secret: str = "", **trouble: float) -> None:
        """Deliver to this address from now on, with this trouble; an empty address: only to those who take them."""
        if not self._since:
            self._since = self._sim.now()
        self._url, self._secret, self._trouble = url, secret.encode(), Trouble(**trouble)
        if url and self._pump is None:
            self._pump = threading.Thread(target=self._deliver, daemon=True)
            self._pump.start()

    def stop(self) -> None:
        """Deliver nothing more."""
        pump, self._url, self._pump = self._pump, "", None
        if pump is not None:
            pump.join()

    def touch(self, repository: Repository, run_ids: list[int]) -> None:
        """Look at these runs, however old they are."""
        if self._since:
            self._touched |= dict.fromkeys(run_ids, repository)

    def counters(self) -> dict[str, int]:
        """Return how many steps were told, what went wrong with them, and the answers by status."""
        return dict(self._counts)

    def take(self) -> list[Posting]:
        """Return what is to be sent by now, in the order of sending."""
        now = self._sim.now()
        for repo, run in self._runs(now):
            for change in sorted(_changes(run, now), key=lambda change: change[0]):
                key = (run.id, *change[1:4], change[4].index if change[4] else None)
                if change[0] >= self._since and key not in self._told:
                    self._told.add(key)
                    self._post(repo, run, change, now)
        found = []
        while self._queue and self._queue[0].at <= now:
            found.append(heappop(self._queue))
        return found

    def _runs(self, now: int) -> Iterator[tuple[Repository, PlannedRun]]:
        for repo in self._sim.repositories.values():
            index = repo.at(now)
            for _, run_id in index[bisect_left(index, (now - YOUNG_SECONDS, 0)) :]:
                yield repo, repo.runs[run_id]
        yield from ((repo, repo.runs[run_id]) for run_id, repo in list(self._touched.items()))

    def _post(self, repo: Repository, run: PlannedRun, change: Change, now: int) -> None:
        """Queue a step's delivery, or what trouble makes of it."""
        body, event, trouble = self._body(repo, run, change), change[1], self._trouble
        self._counts["told"] += 1
        guid, at = self._guid(), now + trouble.delay_seconds
        if self._happens("dropped", trouble.dropped):
            return
        if self._happens("shuffled", trouble.shuffled):
            at += self._random.uniform(0, LATEST_SECONDS)
        self._queue_up(at, guid, event, body)
        if self._happens("doubled", trouble.doubled):
            self._queue_up(at + self._random.uniform(0, LATEST_SECONDS), guid, event, body)
        if self._happens("replayed", trouble.replayed):
            self._queue_up(at + self._random.uniform(0, LATEST_SECONDS), self._guid(), event, body)
        if self._happens("forged", trouble.forged):
            self._queue_up(at, self._guid(), event, body.replace(b'"success"', b'"failure"'), secret=b"not the secret")

    def _happens(self, what: str, share: float) -> bool:
        found = share > 0 and self._random.random() < share
        self._counts[what] += found
        return found

    def _guid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _queue_up(self, at: float, guid: str, event: str, body: bytes, secret: bytes | None = None) -> None:
        self._places += 1
        signed = hmac.new(self._secret if secret is None else secret, body, hashlib.sha256).hexdigest()
        heappush(self._queue, Posting(at, self._places, guid, event, body, f"sha256={signed}"))

    def _body(self, repo: Repository, run: PlannedRun, change: Change) -> bytes:
        moment, _, action, number, job = change
        render = self._sim.renderer
        body: dict[str, Any] = {"action": action}
        if job is None:
            body["workflow_run"] = render.run(repo, run, moment, number)
            body["workflow"] = {"id": run.workflow.id, "name": run.name, "path": run.workflow.path, "state": "active"}
        else:
            body["workflow_job"] = render.job(repo, run, number, job, moment)
        body["repository"] = render.repository(repo, moment)
        body |= {"organization": {"login": OWNER, "id": 1}, "sender": render.user(run.actor)}
        return json.dumps(body, separators=(",", ":")).encode()

    def _deliver(self) -> None:
        """Send what is due until told to stop."""
        import requests  # late: it brings ssl, which the process of its own has to patch before

        with requests.Session() as session:
            while url := self._url:
                with self._sim.lock:
                    postings = self.take()
                for posting in postings:
                    self._send(session, url, posting)
                time.sleep(PUMP_SECONDS)

    def _send(self, session: "requests.Session", url: str, posting: Posting) -> None:
        self._counts["sent"] += 1
        try:
            answer = session.post(url, data=posting.body, headers=posting.headers(), timeout=TIMEOUT_SECONDS)
        except OSError:  # every error of requests is one
            self._counts["not answered"] += 1
        else:
            self._counts[f"answered {answer.status_code}"] += 1


def _changes(run: PlannedRun, now: int) -> Iterator[Change]:
    """Yield every step of a run until now that GitHub would have told."""
    if run.deleted_at is not None:
        return
    for number, attempt in enumerate(run.attempts, 1):
        if attempt.started_at <= now:
            yield from _steps(run, attempt, number, now)


def _steps(run: PlannedRun, attempt: PlannedAttempt, number: int, now: int) -> Iterator[Change]:
    yield max(run.created_at, attempt.started_at), "workflow_run", "requested", number, None
    end = attempt.completed_at if attempt.completed_at is not None and attempt.completed_at <= now else None
    begun = min(
        (job.started_at for job in attempt.jobs if job.steps and job.started_at >= attempt.started_at), default=now + 1
    )
    if begun <= now and run.pinned_status is None and (end is None or begun < end):
        yield begun, "workflow_run", "in_progress", number, None
    for job in attempt.jobs:
        if job.started_at < attempt.started_at:
            continue  # copied from the attempt before
        if job.created_at <= now:
            yield job.created_at, "workflow_job", "queued", number, job
        if job.steps and job.started_at <= now:
            yield job.started_at, "workflow_job", "in_progress", number, job
        if job.completed_at <= now and (not job.steps or job.completed_at >= job.started_at):
            yield job.completed_at, "workflow_job", "completed", number, job
    if end is not None:
        yield end, "workflow_run", "completed", number, None
