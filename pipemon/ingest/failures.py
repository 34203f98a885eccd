"""Reading why jobs failed: the log of each failed job, soon after its end, before GitHub deletes it.

What is kept are the failing step's errors and its end, masked, and the signature that follows from them. What a
successful run of the same job printed too is no reason: of each such job a log is read now and then.
"""

import re
from collections.abc import Callable, Iterator

import gevent
from sqlalchemy import Connection

from pipemon import telemetry
from pipemon.domain.addresses import Forbidden
from pipemon.domain.logs import parse
from pipemon.domain.signatures import Kept, Said, fingerprint, sign
from pipemon.github.errors import GitHubError, Gone, LimitReached, NotFound, PermissionMissing
from pipemon.github.logs import Logs
from pipemon.ingest.reader import Deps
from pipemon.outbound.client import Outbound, OutboundError
from pipemon.store import explanations, failures
from pipemon.store.failures import Explained, Wanted

log = telemetry.logger(__name__)

AT_ONCE = 10
# GitHub makes a job's log when it ends, sometimes a while later.
MOST_TRIES = 6
FIRST_PAUSE_SECONDS = 3
# A token that may not read logs is asked again after this long: somebody may have mended it.
FORBIDDEN_SECONDS = 3600.0
NEWS_SECONDS = 3600
GREEN_AFTER_SECONDS = 86400
READ_SECONDS = 60.0
MOST_BYTES = 64 * 1024 * 1024
MOST_GREEN_BYTES = 16 * 1024 * 1024
MOST_FINGERPRINTS = 5000
# `DB_PASSWORD=hunter2`, `"apiKey": "…"`: what a log may print, and we never do.
_ASSIGNED = re.compile(
    r"(?i)(\b[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|credential)s?"
    r"[\"']?\s?[:=]\s?[\"']?)"
    r"[^\s\"',;&*]{6,}"
)


class NoLog(Exception):
    """There is no log to read; `state` says why, as the table keeps it."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Failures:
    """Explains failed jobs. `clock` gives seconds for pauses."""

    def __init__(self, deps: Deps, logs: Logs, outbound: Outbound, clock: Callable[[], float]) -> None:
        self._deps = deps
        self._logs = logs
        self._outbound = outbound
        self._clock = clock
        self._not_before = 0.0

    def step(self) -> int:
        """Explain some of the failed jobs that wait for it; return how many."""
        if self._clock() < self._not_before:
            return 0
        for done in range(AT_ONCE):
            # Looked up anew each time: a message waits for the newest, and nobody for last week's.
            with self._deps.db.read() as conn:
                waiting = failures.list_wanted(conn, self._deps.github.time(), 1)
            if not waiting:
                return done
            try:
                self._explain(waiting[0])
            except (LimitReached, PermissionMissing) as error:
                pause = FORBIDDEN_SECONDS if isinstance(error, PermissionMissing) else FIRST_PAUSE_SECONDS * 10
                self._not_before = self._clock() + pause
                log.warning("logs of failed jobs not read", repository=waiting[0].repository, error=str(error))
                return done
        return AT_ONCE

    def _explain(self, wanted: Wanted) -> None:
        try:
            kept = self._read(wanted)
        except NoLog as none:
            self._again_or_never(wanted, none.state)
            return
        except (GitHubError, OutboundError, Forbidden) as error:
            if isinstance(error, LimitReached | PermissionMissing):
                raise
            log.warning("log of a failed job not read", job=wanted.job_id, error=str(error))
            self._again_or_never(wanted, "unreadable")
            return
        lines = _masked(kept.lines())
        signature = sign(lines, self._green(wanted))
        step = next((step for step in wanted.steps if step.number == wanted.failing), None)
        found = Explained(signature, step, lines)
        self._deps.transact(lambda conn: self._store(conn, wanted, found))
        telemetry.count("failures_explained_total", outcome="signed" if signature.id else "silent")

    def _store(self, conn: Connection, wanted: Wanted, found: Explained) -> None:
        failures.explain(conn, wanted.job_id, found)
        explanations.hasten(conn, wanted.run_id, self._deps.github.time())

    def _again_or_never(self, wanted: Wanted, state: str) -> None:
        """Put it off for longer and longer, but for an expired log, which never comes back."""
        if state == "expired" or wanted.tries + 1 >= MOST_TRIES:
            self._deps.transact(lambda conn: failures.give_up(conn, wanted.job_id, state))
            telemetry.count("failures_explained_total", outcome=state)
            return
        due_at = self._deps.github.time() + FIRST_PAUSE_SECONDS * 4**wanted.tries
        self._deps.transact(lambda conn: failures.put_off(conn, wanted.job_id, due_at))

    def _read(self, wanted: Wanted) -> Kept:
        """Return what is to be kept of the failing step's log.

        The runner ends it with an error. Where none is found in it, since the step is not known, or lies in one second
        with others, all that leads to the log's first error is looked at.
        """
        kept, whole = Kept(), Kept()
        pieces = self._pieces(wanted, wanted.job_id, MOST_BYTES)
        for number, stamp, level, step, _, message, _ in parse(pieces, wanted.steps):
            line = Said(number, stamp, level, message)
            if step is not None and step.number == wanted.failing:
                kept.see(line)
            if not whole.has_failed:
                whole.see(line)
        return kept if kept.has_failed or not whole.has_failed else whole

    def _green(self, wanted: Wanted) -> frozenset[int]:
        """Return the fingerprints of what this job prints when it succeeds; what can't be read is left out."""
        now = int(self._deps.github.time())
        with self._deps.db.read() as conn:
            known, read_at = failures.green_lines(conn, wanted)
            green = failures.find_green(conn, wanted) if now - read_at > GREEN_AFTER_SECONDS else None
        if green is None:
            return known
        found: set[int] = set()
        try:
            for raw in parse(self._pieces(wanted, green, MOST_GREEN_BYTES)):
                if len(found) < MOST_FINGERPRINTS:
                    found.add(fingerprint(mask(raw[5][:1000])))
        except (GitHubError, OutboundError, Forbidden, NoLog) as error:
            log.info("log of a successful job not read", job=green, error=str(error))
            if isinstance(error, LimitReached):
                return known
        # Also where nothing was found: it is not asked for again today.
        self._deps.transact(lambda conn: failures.keep_green(conn, wanted, green, found, now))
        return known | found

    def _pieces(self, wanted: Wanted, job_id: int, most: int) -> Iterator[bytes]:
        """Yield a job's log. Raises NoLog, GitHubError, OutboundError."""
        is_news = self._deps.github.time() - wanted.completed_at < NEWS_SECONDS
        try:
            where = self._logs.of_job(wanted.repository, job_id, purpose="poll" if is_news else "backfill")
        except Gone:
            raise NoLog("expired") from None
        except NotFound:
            raise NoLog("missing") from None
        stream = self._outbound.get(where, READ_SECONDS)
        try:
            if stream.status in (404, 410):
                raise NoLog("missing")
            if stream.status != 200 or stream.headers.get("content-encoding", "identity") != "identity":
                raise OutboundError(f"the host that keeps the log answered {stream.status}")
            for piece in stream.pieces(most):
                yield piece
                gevent.sleep(0)
        finally:
            stream.close()


def mask(text: str) -> str:
    """Return a line of a log without what looks like a secret, whosever it is."""
    return _ASSIGNED.sub(r"\1***", telemetry.mask(text))


def _masked(lines: list[Said]) -> list[Said]:
    """Return the lines without secrets: those that have the shape of one, ours, and the lines of a private key."""
    found, in_key = [], False
    for line in lines:
        in_key = (in_key or "-----BEGIN" in line.message) and "-----END" not in line.message
        message = "***" if in_key else mask(line.message)
        found.append(Said(line.number, line.timestamp, line.level, message))
    return found
