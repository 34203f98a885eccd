"""The one gate for all of GitHub's limits: who may call now, and until when nobody may."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipemon import telemetry
from pipemon.domain.times import format_time
from pipemon.github import verdict
from pipemon.github.clock import GitHubClock, parse_http_date
from pipemon.github.errors import BudgetSpent, LimitReached

log = telemetry.logger(__name__)

RESERVE_FOR_PEOPLE = 0.10
SHARE_FOR_POLLING = 0.50
FIRST_SECONDARY_WAIT_SECONDS = 60
LONGEST_SECONDARY_WAIT_SECONDS = 3600
# What GitHub says changes with every answer; a window that forbids calls is stored at once, the rest this often.
SAVE_SECONDS = 10.0
# Another process may have met a limit.
LOAD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What GitHub last said of one token's limits, as the table `github_limits` keeps it. Unix seconds."""

    token_hash: str
    limit: int | None = None
    remaining: int | None = None
    reset_at: int | None = None
    blocked_until: int | None = None
    blocked_why: str | None = None
    strikes: int = 0  # secondary limits in a row
    observed_at: int = 0


class Gate:
    """Admits calls. Moments are GitHub's; waits run on the monotonic clock, whatever the local clock does.

    `load` and `save` remember the limits over a restart: in the local clock's terms, since that is what
    measures them before the first answer. A save that fails is made up for at the next answer.
    """

    def __init__(
        self,
        token_hash: Callable[[], str],
        load: Callable[[str], Limits | None],
        save: Callable[[Limits], None],
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_hash = token_hash
        self._load = load
        self._save = save
        self._monotonic = monotonic
        self._clock = GitHubClock(clock, monotonic)
        self._limits = Limits("")
        self._loaded_at = self._saved_at = float("-inf")
        self._saved_ahead = 0
        self._unsaved = False

    def github_time(self) -> float:
        """Return GitHub's time in Unix seconds."""
        return self._clock.now()

    def github_now(self) -> int:
        """Return GitHub's time in whole Unix seconds."""
        return int(self._clock.now())

    @property
    def limits(self) -> Limits | None:
        """What is known of the limits now; None before any answer. A window that has ended leaves nothing known."""
        limits = self._known()
        if not limits.observed_at:
            return None
        if limits.reset_at is not None and self._clock.now() > limits.reset_at:
            return replace(limits, remaining=None, reset_at=None)
        return limits

    @property
    def trouble(self) -> str | None:
        """Why not even people's calls are admitted now, in words; None when they are."""
        try:
            self.admit("people")
        except LimitReached as limit:
            return f"{limit}, until {format_time(limit.until)}"
        return None

    def admit(self, purpose: str) -> None:
        """Raise LimitReached inside a window GitHub forbids, BudgetSpent where the rest is kept for other purposes.

        "people" may use everything, "poll" leaves a tenth of the limit, "backfill" also half of what polling could
        still use in the time to the reset.
        """
        limits, now = self._known(), self._clock.now()
        if limits.blocked_until is not None and now < limits.blocked_until:
            raise LimitReached(limits.blocked_until, limits.blocked_why or "GitHub's limit is reached")
        if limits.remaining is None or limits.reset_at is None or now >= limits.reset_at + 1:
            return
        if limits.remaining <= 0:
            raise LimitReached(limits.reset_at + 1, "GitHub's primary limit is used up")
        until = kept_until(purpose, limits, limits.reset_at, now)
        if until is not None:
            raise BudgetSpent(until, f"{limits.remaining} of {limits.limit} calls left: none of them for {purpose}")

    def observe(
        self, status: int, headers: Mapping[str, str], body_message: str = "", elapsed_seconds: float = 0.0
    ) -> LimitReached | None:
        """Take in every answer, 304s too. Return the limit if the answer was one: all calls wait from now on."""
        headers = verdict.lowered(headers)
        limits, date = self._known(), parse_http_date(headers.get("date"))
        if date is not None:
            # What was stored before the first answer is in the local clock's terms.
            limits = shifted(limits, self._clock.observe(date, elapsed_seconds))
        now = self._clock.now()
        limits = replace(limits, observed_at=int(now))
        standing = verdict.standing(headers, now)
        if standing is not None:
            limits = replace(
                limits,
                limit=standing.limit or limits.limit,
                remaining=standing.remaining,
                reset_at=standing.reset_at or limits.reset_at,
            )
        if verdict.is_limit(status, headers, body_message):
            return self._block(limits, headers, body_message, now)
        if status < 400 and now >= (limits.blocked_until or 0):
            limits = replace(limits, blocked_until=None, blocked_why=None, strikes=0)
        self._keep(limits)
        return None

    def _block(self, limits: Limits, headers: Mapping[str, str], message: str, now: float) -> LimitReached:
        """Close the gate until Retry-After, else the reset when nothing remains, else for 60 s, doubling."""
        secondary = "secondary" in message.lower() or headers.get("x-ratelimit-remaining") != "0"
        wait = verdict.retry_after_seconds(headers, now)
        reset_at = limits.reset_at if headers.get("x-ratelimit-remaining") == "0" else None
        if reset_at is not None and reset_at >= now:
            wait = max(wait or 0, math.ceil(reset_at - now) + 1)
        if wait is None:
            wait = min(FIRST_SECONDARY_WAIT_SECONDS * 2 ** min(limits.strikes, 10), LONGEST_SECONDARY_WAIT_SECONDS)
        words = " ".join(message.split())[:200]
        why = f"GitHub's {'secondary' if secondary else 'primary'} limit is reached" + (f" ({words})" if words else "")
        until = math.ceil(now + wait)
        limits = replace(limits, blocked_until=until, blocked_why=why, strikes=limits.strikes + secondary)
        log.warning("GitHub's limit is reached", until=format_time(until), why=why)
        self._keep(limits)
        return LimitReached(until, why)

    def _known(self) -> Limits:
        """Return the limits of the token in use, what other processes saw included."""
        token_hash = self._token_hash()
        if token_hash != self._limits.token_hash:
            self._limits, self._loaded_at = Limits(token_hash), float("-inf")
        if self._monotonic() - self._loaded_at >= LOAD_SECONDS:
            ahead = self._clock.ahead_seconds()
            if self._limits.observed_at and abs(ahead - self._saved_ahead) >= 2:
                self._store(self._limits)  # the local clock was set: what is stored must follow it
            stored = self._load(token_hash)
            self._loaded_at = self._monotonic()
            if stored is not None:
                self._limits = joined(self._limits, shifted(stored, ahead))
        return self._limits

    def _keep(self, limits: Limits) -> None:
        """Remember the limits: at once where the window changed, else now and then."""
        before, self._limits = self._limits, limits
        urgent = self._unsaved or (before.blocked_until, before.strikes) != (limits.blocked_until, limits.strikes)
        if urgent or self._monotonic() - self._saved_at >= SAVE_SECONDS:
            self._store(limits)

    def _store(self, limits: Limits) -> None:
        ahead = self._clock.ahead_seconds()
        try:
            self._save(shifted(limits, -ahead))
        except Exception as error:
            # The window still holds in this process; that it would not outlive it must not stop the reading.
            self._unsaved = True
            log.warning("GitHub's limits were not stored", error=str(error))
            return
        self._saved_at, self._saved_ahead, self._unsaved = self._monotonic(), ahead, False


def kept_until(purpose: str, limits: Limits, reset_at: int, now: float) -> int | None:
    """Return until when what remains is kept from this purpose; None where it may have it."""
    if purpose == "people" or limits.remaining is None:
        return None
    limit = limits.limit or limits.remaining
    reserve = limit * RESERVE_FOR_PEOPLE
    if limits.remaining <= reserve:
        return reset_at + 1
    if purpose != "backfill":
        return None
    per_second = SHARE_FOR_POLLING * (limit - reserve) / verdict.WINDOW_SECONDS
    kept_seconds = min(reset_at - now, verdict.WINDOW_SECONDS)
    if limits.remaining - reserve > per_second * kept_seconds:
        return None
    return min(reset_at + 1, math.ceil(reset_at - (limits.remaining - reserve) / per_second) + 1)


def shifted(limits: Limits, seconds: int) -> Limits:
    """Return the limits in the terms of a clock that is ahead by so many seconds."""
    if not seconds:
        return limits
    return replace(
        limits,
        observed_at=limits.observed_at + seconds,
        reset_at=None if limits.reset_at is None else limits.reset_at + seconds,
        blocked_until=None if limits.blocked_until is None else limits.blocked_until + seconds,
    )


def joined(mine: Limits, stored: Limits) -> Limits:
    """Return what this process and another know together: the later count, the longer window."""
    later = stored if stored.observed_at > mine.observed_at + 1 else mine
    windows = [limits for limits in (mine, stored) if limits.blocked_until is not None]
    if not windows:
        return later
    longest = max(windows, key=lambda limits: limits.blocked_until or 0)
    return replace(later, blocked_until=longest.blocked_until, blocked_why=longest.blocked_why, strikes=longest.strikes)
