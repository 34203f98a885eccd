"""Flakiness, waits and cost over random jobs, against the slow way; on both engines."""

import json
import math
import random
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipemon.analytics.prices import price_of
from pipemon.queries import cost, flaky, queue
from pipemon.queries.window import DAY_SECONDS, Window
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs
from tests.builders import T0
from tests.queries.conftest import NOW, everything
from tests.queries.test_analytics import slow_percentile
from tests.queries.worlds import FAILED, World, make_world
from tests.rows import a_failure, a_job, a_repository, a_run, a_workflow, put

Row = dict[str, Any]
SEEDS = range(3)
DAYS = 2
BEGIN = T0 - DAYS * DAY_SECONDS
LABELS = (["ubuntu-latest"], ["ubuntu-24.04-arm"], ["self-hosted", "linux"], ["linux", "self-hosted"], ["own-big"], [])
PRICES = {"ubuntu-*": 0.006, "ubuntu-*-arm": 0.005, "macos-*": 0.062}


def step(name: str, end: str, place: int = 1) -> list[Any]:
    return [place, name, "completed", end, T0, T0]


STEPS = {
    "own": [step("Set up job", "success"), step("Test", "failure", 2)],
    "timed_out": [step("Test", "timed_out")],
    "lost": [step("Set up job", "success"), step('Say "completed","failure",', "cancelled", 2)],
    "set_up": [step("Set up job", "failure"), step("Test", "skipped", 2)],
    "none": [],
}
PLATFORM = ("lost", "set_up")


def make(db: Database, seed: int) -> tuple[World, list[Row]]:
    """Store a random world of which each run has jobs in each of its attempts."""
    rng = random.Random(seed)
    world = make_world(db, seed)
    done: list[Row] = []
    for run in world.rows:
        run["run_attempt"] = last = rng.choice([1, 1, 1, 2, 3])
        for attempt in range(1, last + 1):
            for name in ("build", "test (3.11)", "test (3.12)")[: rng.randrange(4)]:
                done.append(_job(rng, run, attempt, name, 900_000 + len(done)))
    put(db, jobs, *({key: value for key, value in row.items() if key != "as"} for row in done))
    db.transact(
        lambda conn: [
            conn.execute(runs.update().where(runs.c.id == run["id"]).values(run_attempt=run["run_attempt"]))
            for run in world.rows
        ]
    )
    return world, done


def _job(rng: random.Random, run: Row, attempt: int, name: str, key: int) -> Row:
    created_at = run["created_at"] + attempt * 5000
    waited = rng.choice([-9000, -2, -1, 0, 5, rng.randrange(900)])
    status = rng.choice(["completed"] * 9 + ["queued", "in_progress"])
    end = rng.choice(["success", "success", "failure", "failure", "timed_out", "cancelled", "skipped", "neutral"])
    kind = rng.choice([*STEPS]) if end in (*FAILED, "cancelled") else "own"
    return {
        "id": key, "run_id": run["id"], "run_attempt": attempt, "repository_id": run["repository_id"], "name": name,
        "status": status, "conclusion": end if status == "completed" else None,
        "created_at": None if rng.random() < 0.05 else created_at, "as": kind,
        "started_at": None if rng.random() < 0.05 else created_at + waited,
        "completed_at": created_at + waited + rng.choice([-1, 0, 1, 59, 60, 61, rng.randrange(4000)]),
        "runner_name": rng.choice(["GitHub Actions 1", "", None]), "labels": json.dumps(rng.choice(LABELS)),
        "steps": json.dumps(STEPS[kind], separators=(",", ":")),
    }  # fmt: skip


def window_of(db: Database, **over: Any) -> Window:
    return Window(everything(db, created_from=BEGIN, created_to=T0, exclude_workflows=("exclu*",)), DAYS, NOW, **over)


def kept(world: World, done: list[Row]) -> list[tuple[Row, Row]]:
    """The jobs of the window with their runs."""
    by_id = {row["id"]: row for row in world.kept(exclude=(10,)) if BEGIN <= row["created_at"] < T0}
    return [(by_id[job["run_id"]], job) for job in done if job["run_id"] in by_id]


def of_platform(job: Row) -> bool:
    if job["conclusion"] != "failure":
        return False
    return job["as"] in PLATFORM or (job["as"] == "none" and not job["runner_name"])


@pytest.mark.parametrize("seed", SEEDS)
def test_flakiness_equals_the_slow_way(database: Database, seed: int) -> None:
    world, done = make(database, seed)
    ends: dict[Any, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    platform: Counter[Any] = Counter()
    for run, job in kept(world, done):
        key = (run["workflow_id"], job["name"])
        if of_platform(job):
            platform[key] += 1
        elif job["conclusion"] in ("success", *FAILED):
            ends[key][run["sha"]].add("good" if job["conclusion"] == "success" else "bad")
    found = flaky.flakiness(database, window_of(database))
    assert found.basis.n == sum(map(len, ends.values()))
    assert found.platform == platform.total() > 0
    slow = {key: (len(shas), sum(len(one) == 2 for one in shas.values()), platform[key]) for key, shas in ends.items()}
    told = {(one.workflow_id, one.name): (one.n, one.flaky, one.platform) for one in found.jobs}
    assert told == {key: value for key, value in slow.items() if value[1] or value[2]}
    assert sum(value[1] for value in slow.values()) == found.flaky > 0
    for one in found.jobs:
        both = {sha for sha, seen in ends[one.workflow_id, one.name].items() if len(seen) == 2}
        assert {commit.sha for commit in one.commits} == both
        assert one.low <= one.flake_rate <= one.high
    assert [one.low for one in found.jobs] == sorted((one.low for one in found.jobs), reverse=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_commits_that_run_again_in_another_month_equal_the_slow_way(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    a_repository(database)
    for key in (1, 2):
        a_workflow(database, key, f"W{key}")
    days, end = 170, T0 - 7 * 3600
    done: list[tuple[Row, Row]] = []
    for place in range(250):
        at = T0 - rng.randrange(200 * DAY_SECONDS)
        of_run = {"sha": rng.choice([None, *(f"{sha:040}" for sha in range(90))]), "workflow_id": rng.choice([1, 2])}
        run = a_run(database, id=place + 1, created_at=at, run_number=place + 1, run_attempt=3, **of_run)
        for attempt in range(1, rng.choice([2, 2, 2, 4])):
            how = rng.choice(["success", "failure", "failure", "skipped"])
            steps = STEPS[rng.choice(["own", "own", "lost"])]
            job = a_job(database, run, run_attempt=attempt, name=rng.choice("ab"), conclusion=how, steps=steps)
            done.append((run, job))
    window = Window(everything(database, created_from=end - days * DAY_SECONDS, created_to=end), days, NOW)
    ends: dict[Any, dict[str, list[tuple[bool, Row]]]] = defaultdict(lambda: defaultdict(list))
    latest: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for run, job in done:
        lost = job["conclusion"] == "failure" and "cancelled" in str(job["steps"])
        inside = end - days * DAY_SECONDS <= run["created_at"] < end
        if inside and run["sha"] is not None and job["conclusion"] != "skipped":
            latest[run["workflow_id"], job["name"], run["sha"]].append(run["created_at"])
            if not lost:
                ends[run["workflow_id"], job["name"]][run["sha"]].append((job["conclusion"] == "success", run))
    for _ in range(2):  # from the rows, and from what is kept
        found = flaky.flakiness(database, window)
        assert found.basis.n == sum(map(len, ends.values()))
        for one in found.jobs:
            by_sha = ends[one.workflow_id, one.name]
            both = [sha for sha, seen in by_sha.items() if len({good for good, _ in seen}) == 2]
            assert (one.n, one.flaky) == (len(by_sha), len(both))
            newest = sorted(both, key=lambda sha, of=one: -max(latest[of.workflow_id, of.name, sha]))[:5]
            assert [(commit.sha, commit.failed_in, commit.succeeded_in) for commit in one.commits] == [
                (sha, *(max(run["id"] for good, run in by_sha[sha] if good is which) for which in (False, True)))
                for sha in newest
            ]
        assert found.flaky > 15


def test_what_the_log_says_of_the_machine_is_no_flakiness(database: Database) -> None:
    a_repository(database)
    for number, (end, platform) in enumerate((("failure", True), ("success", False), ("timed_out", True)), start=1):
        run = a_run(database, id=number, sha="a" * 40, conclusion=end)
        job = a_job(database, run, conclusion=end, steps=STEPS["own"])
        if end != "success":
            a_failure(database, run, job, platform=platform)
    found = flaky.flakiness(database, window_of(database))
    assert (found.basis.n, found.flaky, found.platform) == (1, 0, 2)


def test_a_flaky_commit_names_a_run_of_each_kind(database: Database) -> None:
    a_repository(database)
    for number, end in enumerate(("failure", "success", "failure"), start=1):
        run = a_run(database, id=number, sha="a" * 40)
        a_job(database, run, conclusion=end, steps=STEPS["own"])
    (one,) = flaky.flakiness(database, window_of(database)).jobs
    assert [(commit.failed_in, commit.succeeded_in) for commit in one.commits] == [(3, 2)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Kathmandu"])
def test_waits_equal_the_slow_way(database: Database, seed: int, zone: str) -> None:
    world, done = make(database, seed)
    waits: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(list)
    copied = 0
    for _, job in kept(world, done):
        if job["conclusion"] == "skipped" or (job["conclusion"] == "cancelled" and job["as"] == "none"):
            continue
        if job["status"] == "queued" or job["created_at"] is None or job["started_at"] is None:
            continue
        if (waited := job["started_at"] - job["created_at"]) < -2:
            copied += 1
            continue
        hour = datetime.fromtimestamp(job["created_at"], ZoneInfo(zone)).hour
        waits[tuple(sorted(json.loads(job["labels"]))), hour].append(max(0, waited))
    found = queue.queues(database, window_of(database, zone=ZoneInfo(zone)))
    everyone = sorted(second for one in waits.values() for second in one)
    assert (found.whole.n, found.whole.longest) == (len(everyone), everyone[-1])
    assert {one.reason: one.count for one in found.basis.excluded}["copied_by_a_rerun"] == copied
    assert {one.labels for one in found.labels} == {labels for labels, _ in waits}
    for one in found.labels:
        for hour in one.hours:
            slow = [{"conclusion": "success", "s": second} for second in waits[one.labels, hour.hour]]
            assert hour.n == len(slow)
            assert hour.median == (None if not slow else pytest.approx(slow_percentile(slow, "s", 0.5)))
            assert hour.p90 == (None if not slow else pytest.approx(slow_percentile(slow, "s", 0.9)))
    assert sum(hour.n for hour in found.hours) == found.whole.n


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"])
def test_the_offsets_of_a_zone(zone: str) -> None:
    begin, end = T0 - 400 * DAY_SECONDS, T0
    found = queue.offsets_in(ZoneInfo(zone), begin, end)
    assert found[-1][0] == end
    for at in random.Random(1).sample(range(begin, end), 500) + [until - 1 for until, _ in found]:
        wanted = datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset()
        assert wanted is not None
        assert next(offset for until, offset in found if at < until) == wanted.total_seconds()


def ran(job: Row) -> bool:
    if job["conclusion"] == "skipped" or (job["conclusion"] == "cancelled" and job["as"] == "none"):
        return False
    if job["started_at"] is None:
        return False
    return job["created_at"] is None or job["started_at"] - job["created_at"] >= -2


def what_for(run: Row, job: Row, world: World, done: list[Row]) -> str:
    if job["conclusion"] in FAILED:
        return "failed"
    end = run["completed_at"] if run["completed_at"] is not None else run["updated_at"]
    newer = [
        other
        for other in world.rows
        if all(other[name] == run[name] for name in ("workflow_id", "event", "head_repository"))
        and other["branch"] == run["branch"] is not None
        and other["run_number"] > run["run_number"]
        and run["created_at"] <= other["created_at"] <= end
        and other["deleted_at"] is None
    ]
    if run["conclusion"] == "cancelled" and newer:
        return "superseded"
    if "cancelled" in (run["conclusion"], job["conclusion"]):
        return "cancelled"
    again = [
        other
        for other in done
        if other["run_id"] == job["run_id"] and other["name"] == job["name"] and ran(other)
        and other["run_attempt"] > job["run_attempt"]
    ]  # fmt: skip
    return "rerun" if again else "useful"


@pytest.mark.parametrize("seed", SEEDS)
def test_cost_equals_the_slow_way(database: Database, seed: int) -> None:
    world, done = make(database, seed)
    minutes: Counter[str] = Counter()
    dollars = 0.0
    unpriced = count = 0
    for run, job in kept(world, done):
        if job["status"] != "completed" or not ran(job) or job["completed_at"] < job["started_at"]:
            continue
        own = math.ceil((job["completed_at"] - job["started_at"]) / 60)
        minutes[what_for(run, job, world, done)] += own
        price = price_of(json.loads(job["labels"]), PRICES)
        dollars += own * (price or 0)
        unpriced += own if price is None else 0
        count += 1
    found = cost.cost(database, window_of(database), PRICES)
    assert {name: part.minutes for name, part in found.bill.parts.items()} == minutes
    assert set(minutes) >= {"useful", "failed", "cancelled", "rerun"}
    assert (found.basis.n, found.bill.whole.unpriced) == (count, unpriced)
    assert found.bill.whole.dollars == pytest.approx(dollars)
    for rows in (found.workflows, found.labels):
        assert sum(one.bill.whole.minutes for one in rows) == minutes.total()
        assert sum(one.bill.wasted.dollars for one in rows) == pytest.approx(found.bill.wasted.dollars)


def test_what_a_newer_push_overtook_is_told_from_what_was_cancelled(database: Database) -> None:
    a_repository(database)
    for number, (branch, end) in enumerate(
        (("main", "cancelled"), ("main", "success"), ("topic", "cancelled"), ("main", "cancelled")), start=1
    ):
        run = a_run(database, run_number=number, branch=branch, conclusion=end, created_at=T0 - 3600 + number)
        a_job(database, run, conclusion=end)
    # A run that vanished overtakes nothing.
    a_run(database, run_number=9, branch="topic", created_at=T0 - 3600 + 9, deleted_at=T0)
    found = cost.cost(database, window_of(database), PRICES).bill.parts
    assert {name: part.jobs for name, part in found.items()} == {"superseded": 1, "useful": 1, "cancelled": 2}


@pytest.mark.parametrize(
    ("labels", "price"),
    [
        (["ubuntu-latest"], 0.006), (["ubuntu-24.04-arm"], 0.005), (["UBUNTU-latest"], 0.006), ([], None),
        (["self-hosted", "ubuntu-latest"], 0), (["ubuntu-latest", "self-hosted"], 0), (["linux", "macos-14"], 0.062),
        (["mine"], None),
    ],
)  # fmt: skip
def test_prices(labels: list[str], price: float | None) -> None:
    assert price_of(labels, PRICES) == price


def test_a_table_may_price_its_own_runners() -> None:
    assert price_of(["self-hosted", "linux"], {"self-hosted": 0.001}) == 0.001
