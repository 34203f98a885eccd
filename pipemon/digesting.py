"""Reads what a digest tells: the overview of its window, and what is worst in it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlencode

from config import Settings
from pipemon.background import Chore
from pipemon.domain.times import format_time
from pipemon.notify.digest import Facts, Number, Thing
from pipemon.notify.digests import Digests, Plan
from pipemon.queries import flaky, freshness, incidents, overview, regressions, runs
from pipemon.queries.changes import Change
from pipemon.queries.delivery import Delivers
from pipemon.queries.freshness import Snapshot
from pipemon.queries.overview import FullOverview
from pipemon.queries.scope import Scope
from pipemon.queries.whole import FLAKY_DAYS
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database

LOOK_SECONDS = 20
# What has been red for longer than this is nobody's news.
RED_DAYS = 30
LEAST_FLAKY = 2
SHIFT_DAYS = 30
LONG_SECONDS = 2 * 3600


def chore_of(
    settings: Settings, db: Database, snapshot: Callable[[], Snapshot], recipients: Mapping[str, str],
    clock: Callable[[], float],
) -> Chore:  # fmt: skip
    """Return the chore that tells the digests of the settings. `clock` is GitHub's time."""
    crons = (("daily", settings.digest_daily, 1), ("weekly", settings.digest_weekly, 7))
    plans = tuple(Plan(name, cron, days) for name, cron, days in crons if cron is not None)
    digests = Digests(db, plans, settings.digest_tz, Reader(settings, db, snapshot), clock)
    return Chore("digest", lambda: digests.step(recipients), LOOK_SECONDS)


class Reader:
    """Reads the facts of a digest."""

    def __init__(self, settings: Settings, db: Database, snapshot: Callable[[], Snapshot]) -> None:
        self._settings = settings
        self._db = db
        self._snapshot = snapshot

    def __call__(self, days: int, due_at: int) -> Facts:
        """Return the facts of so many days up to the moment, or up to when the data is true."""
        snapshot = self._snapshot()
        until = freshness.as_of(snapshot, (), 60, due_at)
        window = _window(snapshot, self._settings, days, until)
        found = overview.overview(self._db, window, _delivers(self._settings))
        return Facts(
            days=days,
            from_at=window.from_at,
            to_at=until.timestamp,
            builds=found.now.tally.total,
            success_rate=found.now.tally.success_rate,
            numbers=_numbers(found),
            things=tuple(self._things(window, found, snapshot)),
            is_fresh=until.data_state == "fresh",
            is_complete=found.basis.coverage.complete,
            links=tuple(self._links(window)),
        )

    def _things(self, window: Window, found: FullOverview, snapshot: Snapshot) -> Iterator[Thing]:
        """Yield what is wrong, the worst first: production, main branches, what became slower, what is flaky."""
        if failed := found.keys.failed_changes:
            yield Thing(f"{failed} of {found.keys.changes} changes to production failed")
        yield from self._red(window, snapshot)
        # A day alone would be too short to tell a shift, or what is flaky.
        shifts = regressions.regressions(self._db, _wider(window, SHIFT_DAYS)).regressions
        for one in shifts:
            if one.until is None and one.since.created_at >= window.from_at:
                size = f"{one.absolute:+.0f} {'points' if one.unit == 'percent' else one.unit}"
                name = one.workflow if one.job is None else f"{one.workflow} / {one.job}"
                what = one.measure.replace("_", " ")
                yield Thing(
                    f"{name} of {one.repository}: {what} {size} since run {one.since.run_number}", one.since.url
                )
        for job in flaky.flakiness(self._db, _wider(window, FLAKY_DAYS), 1).jobs:
            if job.flaky >= LEAST_FLAKY:
                url = runs.urls(self._db, [job.commits[0].failed_in]).get(job.commits[0].failed_in)
                told = f"{job.workflow} / {job.name} of {job.repository} is flaky: on {job.flaky} of {job.n} commits"
                yield Thing(told, url)

    def _red(self, window: Window, snapshot: Snapshot) -> Iterator[Thing]:
        """Yield the default branches that are red, the longest first."""
        end = window.as_of.timestamp
        main = {one.name: one.default_branch for one in snapshot.repositories}
        scope = replace(window.scope, created_from=end - RED_DAYS * DAY_SECONDS)
        red = [
            one
            for one in incidents.list_in(self._db, scope, only_open=True)
            if not one.pull_request and one.branch == main.get(one.repository)
        ]
        red.sort(key=lambda one: (one.started_at, one.failure_id))
        urls = runs.urls(self._db, [one.failure_id for one in red])
        for one in red:
            hours = (end - one.started_at) / 3600
            age = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h" if hours >= 1 else "less than an hour"
            told = f"{one.workflow} on {one.branch} of {one.repository} has been red for {age}"
            yield Thing(f"{told}, {one.failures} failures", urls.get(one.failure_id))

    def _links(self, window: Window) -> Iterator[tuple[str, str]]:
        base = self._settings.public_url
        if base is None:
            return
        times = {
            "created_from": format_time(window.from_at) or "",
            "created_to": format_time(window.as_of.timestamp) or "",
        }
        asked = urlencode({"lookback_days": window.days})
        yield "All numbers", f"{base}/api/v1/analytics/overview?{asked}"
        yield "Failed builds", f"{base}/api/v1/builds?{urlencode(times | {'result': 'failed'})}"


def _wider(window: Window, days: int) -> Window:
    begin = window.as_of.timestamp - days * DAY_SECONDS
    return replace(window, days=days, scope=replace(window.scope, created_from=begin))


def _window(snapshot: Snapshot, settings: Settings, days: int, until: freshness.AsOf) -> Window:
    scope = Scope(
        snapshot.names(),
        created_from=until.timestamp - days * DAY_SECONDS,
        created_to=until.timestamp,
        exclude_workflows=settings.exclude_workflows,
    )
    return Window(scope, days, until)


def _delivers(settings: Settings) -> Delivers:
    return Delivers(settings.production_environments, settings.backfill_days)


def _numbers(found: FullOverview) -> tuple[Number, ...]:
    now, keys, moved = found.now, found.keys, found.changes
    decisive = now.tally.decisive > 0

    def change(name: str) -> float | None:
        of: Change | None = getattr(moved, name, None)
        return None if of is None else of.absolute

    numbers = [
        Number("Builds", now.tally.total, change=change("total_builds"), decimals=0),
        Number(
            "Success rate", now.tally.success_rate if decisive else None, " %", change("success_rate")
        ),
        _time("Average duration", now.tally.mean_seconds, change("average_duration_minutes")),
        _time("Time to recovery", now.recovery.mean, change("mttr_minutes")),
    ]  # fmt: skip
    if keys.deployments:
        numbers.append(Number("Deployments", keys.deployments, decimals=0))
        rate = moved.keys.change_failure_rate if moved else None
        failure = Number("Change failure rate", keys.change_failure_rate, " %", rate.absolute if rate else None)
        numbers.append(failure)
    return tuple(numbers)


def _time(name: str, seconds: float | None, change_minutes: float | None) -> Number:
    """Return a time in minutes, or in hours where they are many."""
    if seconds is None:
        return Number(name, None)
    length, unit = (60, " h") if seconds >= LONG_SECONDS else (1, " min")
    return Number(name, seconds / 60 / length, unit, None if change_minutes is None else change_minutes / length)
