"""Each number of `/analytics`, against the slow and obvious way over random rows, on both engines."""

import itertools
import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipemon.analytics.trends import period_starts
from pipemon.queries import analytics, comparison, incidents, tables
from pipemon.queries.scope import Scope
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database
from pipemon.store.schema import attempts, jobs, runs
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.worlds import FAILED, World, make_world
from tests.rows import a_repository, a_run, put

Row = dict[str, Any]
SEEDS = range(3)
DAYS = 2


def make(db: Database, seed: int) -> tuple[World, list[Row], list[Row]]:
    """Store a random world whose runs have attempts and jobs; return it with both."""
    world = make_world(db, seed)
    rng = random.Random(seed)
    tried, done = [], []
    for run in world.rows:
        for number in range(1, (last := rng.choice([1, 1, 1, 2, 3])) + 1):
            tried.append(_attempt(rng, run, number, number == last))
        for name in ("build", "test")[: rng.randrange(3)]:
            done.append(_job(rng, run, last, name, len(done)))
        run["run_attempt"] = last
    put(db, attempts, *tried)
    put(db, jobs, *done)
    db.transact(
        lambda conn: [
            conn.execute(runs.update().where(runs.c.id == run["id"]).values(run_attempt=run["run_attempt"]))
            for run in world.rows
        ]
    )
    return world, tried, done


def _attempt(rng: random.Random, run: Row, number: int, is_last: bool) -> Row:
    end = run["conclusion"] if is_last else rng.choice(["success", "failure", "cancelled", None])
    ended_at = run["created_at"] + number * 1000 + rng.randrange(500)
    return {
        "run_id": run["id"], "run_attempt": number, "repository_id": run["repository_id"],
        "status": run["status"] if is_last else "completed" if end else "unknown", "conclusion": end,
        "started_at": run["started_at"], "updated_at": ended_at + 5, "jobs_complete": True,
        "completed_at": ended_at if rng.random() > 0.1 else None,
    }  # fmt: skip


def _job(rng: random.Random, run: Row, attempt: int, name: str, place: int) -> Row:
    at = run["started_at"]
    return {
        "id": 900_000 + place, "run_id": run["id"], "run_attempt": attempt, "repository_id": run["repository_id"],
        "name": name, "status": "completed", "conclusion": rng.choice(["success", "failure", "skipped"]),
        "created_at": at, "started_at": at + 5, "completed_at": at + rng.randrange(600), "labels": "[]", "steps": "[]",
    }  # fmt: skip


def window_of(db: Database, **over: Any) -> Window:
    scope = everything(db, created_from=T0 - DAYS * DAY_SECONDS, created_to=T0, exclude_workflows=("exclu*",))
    return Window(scope, DAYS, NOW, **over)


def completed(world: World, begin: int = T0 - DAYS * DAY_SECONDS, end: int = T0) -> list[Row]:
    return [row for row in world.kept(exclude=(10,), status="completed") if begin <= row["created_at"] < end]


def decisive(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["conclusion"] == "success" or row["conclusion"] in FAILED]


def percent(rows: Iterable[Row], of: Iterable[str]) -> float:
    ends = [row["conclusion"] for row in decisive(rows)]
    return round(100 * sum(end in tuple(of) for end in ends) / len(ends), 2) if ends else 0.0


def mean_seconds(rows: Iterable[Row]) -> float | None:
    known = [row["duration_seconds"] for row in decisive(rows) if row["duration_seconds"] is not None]
    return statistics.mean(known) if known else None


def slow_incidents(world: World, tried: list[Row], begin: int, end: int, **equal: Any) -> set[tuple[Any, ...]]:
    """Walk along each line of attempts, as a person would; then look which belong to the window."""
    kept = {row["id"]: row for row in world.kept(exclude=(10,), **equal)}
    lines: dict[Any, list[tuple[int, int, Row, Row]]] = defaultdict(list)
    for one in tried:
        run = kept.get(one["run_id"])
        if run is None or one["status"] != "completed" or not decisive([one]):
            continue
        key = (run["repository_id"], run["workflow_id"], run["branch"], run["event"] == "pull_request")
        lines[key].append((run["run_number"], one["run_attempt"], run, one))
    found: set[tuple[Any, ...]] = set()
    for line in lines.values():
        opened: tuple[Any, ...] | None = None
        count = 0
        for _, _, run, one in sorted(line, key=lambda item: item[:2]):
            if one["conclusion"] in FAILED:
                opened, count = opened or (run["id"], ended_at(one)), count + 1
            elif opened is not None:
                found.add((*opened, count, run["id"], ended_at(one)))
                opened, count = None, 0
        if opened is not None:
            found.add((*opened, count, None, None))
    known = {one if one[4] is not None and one[4] < end else (*one[:3], None, None) for one in found}
    return {one for one in known if (begin <= one[1] < end if one[4] is None else begin <= one[4])}


def ended_at(attempt: Row) -> int:
    found = attempt["completed_at"] if attempt["completed_at"] is not None else attempt["updated_at"]
    return int(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_overview_equals_the_slow_way(database: Database, seed: int) -> None:
    world, tried, _ = make(database, seed)
    found = analytics.overview(database, window_of(database))
    rows = completed(world)
    assert found.now.tally.total == len(rows)
    assert (found.now.tally.success_rate, found.now.tally.failure_rate) == (
        percent(rows, ["success"]),
        percent(rows, FAILED),
    )
    assert found.now.tally.mean_seconds == pytest.approx(mean_seconds(rows))
    first = {one["run_id"]: one for one in tried if one["run_attempt"] == 1}
    assert found.now.first_attempt_success_rate == percent([first[row["id"]] for row in rows], ["success"])
    branches = Counter(row["branch"] for row in rows if row["branch"])
    assert found.most_active_branch == min(branches, key=lambda name: (-branches[name], name))
    assert found.basis.n == len(decisive(rows))
    told = {one.reason: one.count for one in found.basis.excluded}
    others = Counter(row["conclusion"] for row in rows) - Counter(row["conclusion"] for row in decisive(rows))
    assert {name: count for name, count in told.items() if name in others} == others
    unfinished = [r for r in world.kept(exclude=(10,)) if r["status"] != "completed"]
    assert told["unfinished"] == sum(T0 - DAYS * DAY_SECONDS <= row["created_at"] < T0 for row in unfinished)
    before = completed(world, T0 - 2 * DAYS * DAY_SECONDS, T0 - DAYS * DAY_SECONDS)
    assert (found.before.tally.total, found.before.tally.success_rate) == (len(before), percent(before, ["success"]))


@pytest.mark.parametrize("seed", SEEDS)
def test_incidents_equal_the_slow_way(database: Database, seed: int) -> None:
    world, tried, _ = make(database, seed)
    for begin, end in ((T0 - DAYS * DAY_SECONDS, T0), (T0 - 3 * DAY_SECONDS, T0 - DAY_SECONDS), (0, T0 + 9999)):
        for equal in ({}, {"branch": "main"}, {"workflow_id": 8}, {"repository_id": 1}):
            slow = slow_incidents(world, tried, begin, end, **equal)
            given = dict(equal)
            workflow, repository = given.pop("workflow_id", None), given.pop("repository_id", None)
            given |= {"workflow": None if workflow is None else str(workflow), "exclude_workflows": ("exclu*",)}
            scope = everything(database, created_from=begin, created_to=end, **given)
            if repository is not None:
                scope = replace(scope, repositories={repository: scope.repositories[repository]})
            found = incidents.list_in(database, scope)
            told = {(one.failure_id, one.started_at, one.failures, one.recovered_by, one.recovered_at) for one in found}
            assert told == slow
            assert len(told) == len(found) > 0
            assert found == sorted(found, key=lambda one: (-one.started_at, -one.failure_id))
            counts_them(database, scope, slow)


def counts_them(db: Database, scope: Scope, slow: set[tuple[Any, ...]]) -> None:
    lasted = sorted(max(0, one[4] - one[1]) for one in slow if one[4] is not None)
    weeks = period_starts(scope.created_from or 0, scope.created_to or 0, "weekly", ZoneInfo("America/St_Johns"))
    counted = incidents.count_in(db, scope, weeks)
    assert (counted.recovery.n, counted.still_open) == (len(lasted), sum(one[4] is None for one in slow))
    assert counted.still_open == len(incidents.list_in(db, scope, only_open=True))
    assert counted.recovery.mean == pytest.approx(statistics.mean(lasted))
    within = 0 if scope.created_from else 0.008  # all time: of buckets
    assert counted.recovery.median == pytest.approx(statistics.median(lasted), rel=within or None)
    by_week: dict[int, list[int]] = defaultdict(list)
    for one in slow:
        if one[4] is not None:
            by_week[slow_start(one[4], ZoneInfo("America/St_Johns"), "weekly")].append(max(0, one[4] - one[1]))
    for point in counted.weekly:
        assert point.n == len(by_week[point.timestamp])
        assert point.value == pytest.approx(round(statistics.mean(by_week[point.timestamp] or [0]) / 60, 2))


ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")


@pytest.mark.parametrize("seed", SEEDS)
def test_trends_equal_the_slow_way(database: Database, seed: int) -> None:
    world, _, _ = make(database, seed)
    for zone, granularity in itertools.product(map(ZoneInfo, ZONES), ("hourly", "daily", "weekly")):
        found = analytics.trends(database, window_of(database, zone=zone, granularity=granularity))
        slow: dict[int, list[Row]] = defaultdict(list)
        for row in completed(world):
            slow[slow_start(row["created_at"], zone, granularity)].append(row)
        assert set(slow) <= {point.timestamp for point in found.success}
        for good, bad, long in zip(found.success, found.failure, found.duration, strict=True):
            rows = slow[good.timestamp]
            assert (good.n, good.value) == (len(decisive(rows)), percent(rows, ["success"]))
            assert bad.value == percent(rows, FAILED)
            assert long.value == pytest.approx(round((mean_seconds(rows) or 0) / 60, 2))


def slow_start(moment: int, zone: ZoneInfo, granularity: str) -> int:
    local = datetime.fromtimestamp(moment, zone).replace(minute=0, second=0)
    if granularity != "hourly":
        local = local.replace(hour=0)
    if granularity == "weekly":
        local -= timedelta(days=local.weekday())
    return int(local.timestamp())


@pytest.mark.parametrize("seed", SEEDS)
def test_failures_and_performance_equal_the_slow_way(database: Database, seed: int) -> None:
    world, _, done = make(database, seed)
    rows = completed(world)
    red = [row for row in rows if row["conclusion"] in FAILED]
    found = tables.failures(database, window_of(database))
    assert found.tally.failed == len(red)
    by_branch = Counter(row["branch"] for row in red if row["branch"])
    wanted = sorted(by_branch.items(), key=lambda item: (-item[1], item[0]))
    assert sorted(((one.name, one.failed) for one in found.by_branch), key=lambda item: (-item[1], item[0])) == wanted
    for share in found.by_branch:
        assert share.failure_rate == percent([row for row in rows if row["branch"] == share.name], FAILED)
    ended = sorted((row for row in red if row["completed_at"]), key=lambda row: (-row["completed_at"], -row["id"]))
    assert [one.id for one in found.recent] == [row["id"] for row in ended[:10]]
    by_id = {row["id"]: row for row in red}
    failing = Counter(
        (by_id[job["run_id"]]["workflow_id"], job["name"])
        for job in done
        if job["run_id"] in by_id and job["conclusion"] == "failure"
    )
    assert sorted(one.failed for one in found.jobs) == sorted(failing.values())

    quick = tables.performance(database, window_of(database))
    known = [row["duration_seconds"] for row in decisive(rows) if row["duration_seconds"] is not None]
    assert quick.durations.p95 == pytest.approx(statistics.quantiles(known, n=20, method="inclusive")[-1])
    assert (quick.durations.smallest, quick.durations.largest) == (min(known), max(known))
    took = sorted((row for row in decisive(rows) if row["duration_seconds"] is not None), key=slowest_first)
    assert [one.id for one in quick.slowest] == [row["id"] for row in took[:10]]


def slowest_first(row: Row) -> tuple[int, int]:
    return (-row["duration_seconds"], -row["id"])


@pytest.mark.parametrize("seed", SEEDS)
def test_comparison_equals_the_slow_way(database: Database, seed: int) -> None:
    world, _, _ = make(database, seed)
    found = comparison.comparison(database, window_of(database))
    rows = completed(world)
    assert {one.id for one in found.workflows} == {row["workflow_id"] for row in rows}
    for one in found.workflows:
        own = [row for row in rows if row["workflow_id"] == one.id]
        assert (one.tally.total, one.tally.success_rate) == (len(own), percent(own, ["success"]))
        assert one.tally.mean_seconds == pytest.approx(mean_seconds(own))
        assert one.p95_seconds == pytest.approx(slow_percentile(own, "duration_seconds", 0.95))
        assert one.queue_seconds == pytest.approx(slow_percentile(own, "queue_seconds", 0.5))


def slow_percentile(rows: Iterable[Row], name: str, fraction: float) -> float | None:
    known = sorted(row[name] for row in decisive(rows) if row[name] is not None)
    if not known:
        return None
    rank = fraction * (len(known) - 1)
    low, high = known[math.floor(rank)], known[math.ceil(rank)]
    return float(low + (high - low) * (rank - math.floor(rank)))


def test_percentiles_of_one_and_of_two_runs(database: Database) -> None:
    a_repository(database)
    for workflow, seconds in ((1, [7]), (2, [10, 30]), (3, [None])):
        for value in seconds:
            a_run(database, workflow_id=workflow, duration_seconds=value)
    found = comparison.comparison(database, Window(everything(database, created_from=0, created_to=T0), DAYS, NOW))
    assert {one.id: one.p95_seconds for one in found.workflows} == {1: 7, 2: pytest.approx(29), 3: None}
