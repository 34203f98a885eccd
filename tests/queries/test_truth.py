"""Each answer of `/analytics`, over histories that the write path took in, against what GitHub told."""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pipemon.analytics.prices import price_of
from pipemon.analytics.stats import wilson
from pipemon.queries import analytics, comparison, cost, flaky, freshness, queue, recoveries, signatures, tables
from pipemon.queries import runs as lists
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.queries.window import Window
from pipemon.store import repositories
from pipemon.store.engine import Database
from tests.builders import a_job, a_run
from tests.queries import lives, slow
from tests.queries.lives import DAY, END, EXCLUDED, FAILED, History, Life
from tests.queries.slow import Ask, Slow

PRICES = {"ubuntu-*": 0.006, "ubuntu-*-arm": 0.005}
UTC = ZoneInfo("UTC")
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"branch": "main"},
    {"branch": "feature/a_b"},
    {"workflow": "CI"},
    {"workflow": "1200"},
    {"workflow": "ship_it.yml"},
    {"workflow": ".github/workflows/ci-again.yml"},
    {"workflow": "Old name"},
    {"event": "push"},
    {"event": "pull_request"},
    {"pull_requests": False},
    {"branch": "main", "workflow": "11", "event": "push", "pull_requests": False},
    {"branch": "nobody's"},
)
# How many days are asked for, how many were told, and by which seed.
WORLDS = ((2, 5, 1), (30, 62, 2), (120, 250, 3))


def edges_of(days: int, zone: ZoneInfo = UTC) -> list[int]:
    """Moments at which something ends or begins: windows, days, hours, quarters of them."""
    found = [END - days * DAY, END - 2 * days * DAY, END]
    found += [slow.period(END - back * DAY // 2, zone, "daily") for back in range(1, days)]
    return [at + shift for at in found for shift in (-1, 0, 1) if at + shift < END + 2]


def questions(db: Database, days: int, end: int = END) -> Iterator[tuple[Window, Ask]]:
    """Windows of so many days, and the same in plain values; every way to ask only of the short ones."""
    for place, filters in enumerate(FILTERS if days < 9 else FILTERS[:2] + FILTERS[9:12]):
        yield question(db, days, end, filters)
        if place < 2:
            yield question(db, days, end, filters, only="acme/beta")


def question(
    db: Database, days: int, end: int = END, filters: dict[str, Any] | None = None, only: str | None = None, **over: Any
) -> tuple[Window, Ask]:
    with db.read() as conn:
        names = freshness.read(conn).names()
    wanted = {key: name for key, name in names.items() if only in (None, name)}
    begin = end - days * DAY
    scope = Scope(wanted, begin, end, exclude_workflows=EXCLUDED, **(filters or {}))
    return Window(scope, days, AsOf(end, "fresh", 0), **over), Ask(begin, end, filters or {}, sorted(wanted.values()))


def count(db: Database, scope: Scope, **over: Any) -> int:
    """How many completed builds the list shows behind a number."""
    wanted = lists.Wanted(replace(scope, **({"status": "completed"} | over)), per_page=1)
    return lists.page(db, wanted, AsOf(END, "fresh", 0)).total_count


def near(value: float | None, days: int = 0) -> Any:
    """A value as exact as it is promised: to the last digit up to 90 days, then within 0.8 %."""
    return None if value is None else pytest.approx(value, rel=0.008 if days > 90 else 1e-9)


def told(found: Any) -> dict[str, int]:
    return {one.reason: one.count for one in found.basis.excluded}


def check_overview(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = analytics.overview(db, window), Slow(history, ask)
    assert (found.basis.n, told(found)) == (len(true.decisive), true.excluded())
    assert count(db, window.scope) == len(true.done)
    numbers(found.now, true, window.days)
    before = Slow(history, replace(ask, begin=2 * ask.begin - ask.end, end=ask.begin))
    numbers(found.before, before, window.days)
    assert found.before.window.scope.created_to == ask.begin
    assert (found.most_active_branch, found.most_active_author) == (
        true.most(lambda run: run.branch),
        true.most(slow.author),
    )


def numbers(found: analytics.Numbers, true: Slow, days: int) -> None:
    tally = found.tally
    assert (tally.total, tally.decisive, tally.failed) == (len(true.done), len(true.decisive), len(true.failed))
    assert (tally.success_rate, tally.failure_rate) == tuple(
        slow.percent(true.ends(), ends) for ends in (["success"], FAILED)
    )
    assert tally.mean_seconds == near(slow.mean(true.durations()))
    first = true.first_ends()
    known = any(map(slow.decisive, first))
    assert found.first_attempt_success_rate == (slow.percent(first, ["success"]) if known else None)
    assert found.builds_per_day == round(len(true.done) / days, 2)
    assert (found.recovery.n, found.recovery.mean) == (len(true.recovered()), near(slow.mean(true.recovered())))
    assert found.recovery.median == near(slow.percentile(true.recovered(), 0.5), days)
    assert found.recovery.p90 == near(slow.percentile(true.recovered(), 0.9), days)


def check_recovery(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = recoveries.recovery(db, window), Slow(history, ask)
    all_of_them = true.incidents()
    assert [key(one) for one in found.incidents] == all_of_them
    still_open = [one for one in all_of_them if one[4] is None]
    assert [key(one) for one in found.open_incidents] == still_open
    assert [one.age_seconds for one in found.open_incidents] == [ask.end - one[0] for one in still_open]
    for one in found.incidents:
        run = history.lives[one.failure_id].run
        assert (one.repository, one.workflow_id, one.branch, one.sha, one.author, one.pull_request) == (
            run.repository, run.workflow_id, run.branch, run.sha, slow.author(run), slow.of_pull_request(run),
        )  # fmt: skip
    assert (found.total_incidents, found.total_failures) == (len(all_of_them), len(true.failed))
    for this, following in itertools.zip_longest(found.weekly, found.weekly[1:]):
        lasted = true.recovered(this.timestamp, following.timestamp if following else ask.end)
        assert (this.n, this.value) == (len(lasted), pytest.approx(round((slow.mean(lasted) or 0) / 60, 2)))
    assert sum(point.n for point in found.weekly) == found.recovery.n
    assert {point.timestamp for point in found.weekly} == periods(ask.begin, ask.end, window.zone, "weekly")


def key(one: Any) -> tuple[Any, ...]:
    return one.started_at, one.failure_id, one.failures, one.last_green, one.recovered_at, one.recovered_by


@cache
def periods(begin: int, end: int, zone: ZoneInfo, granularity: str) -> set[int]:
    return {slow.period(at, zone, granularity) for at in [*range(begin, end, 900), end - 1]}


def check_trends(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = analytics.trends(db, window), Slow(history, ask)
    assert (found.basis.n, told(found)) == (len(true.decisive), true.excluded())
    by_start: dict[int, list[Life]] = defaultdict(list)
    for life in true.done:
        by_start[slow.period(life.run.created_at, window.zone, window.granularity)].append(life)
    starts = [point.timestamp for point in found.success]
    assert starts == sorted(periods(ask.begin, ask.end, window.zone, window.granularity))
    for at, good, bad, took in zip(starts, found.success, found.failure, found.duration, strict=True):
        own = by_start[at]
        ends = true.ends(own)
        assert (good.value, bad.value) == (slow.percent(ends, ["success"]), slow.percent(ends, FAILED))
        assert good.n == bad.n == sum(map(slow.decisive, ends))
        known = true.durations(life for life in own if slow.decisive(life.run.conclusion))
        assert (took.n, took.value) == (len(known), pytest.approx(round((slow.mean(known) or 0) / 60, 2)))
        assert took.timestamp == bad.timestamp == at


def check_failures(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = tables.failures(db, window), Slow(history, ask)
    assert (found.basis.n, told(found)) == (len(true.decisive), true.excluded())
    assert (found.tally.failed, found.tally.total) == (len(true.failed), len(true.done))
    for shares, what in ((found.by_branch, lambda run: run.branch), (found.by_author, slow.author)):
        assert [(one.name, one.total, one.failed, one.failure_rate) for one in shares] == true.shares(what)  # type: ignore[arg-type]
    for share in (*found.by_branch, *found.by_author):
        assert count(db, share.scope, result="failed") == share.failed
    over = [(at, life.run.id) for life in true.failed if (at := slow.times(life, max(life.tries))[0]) is not None]
    assert [(one.completed_at, one.id) for one in found.recent] == sorted(over, reverse=True)[:10]
    wanted = true.failing_jobs()
    assert [(one.failed, one.name) for one in found.jobs] == [(row[3], row[1]) for row in wanted[:10]]
    for job in found.jobs:
        assert job.scope.workflow is not None
        assert (int(job.scope.workflow), job.name, job.n, job.failed) in wanted
        assert count(db, job.scope, result="failed") == job.failed
    assert sum(point.n for point in found.trend) == len(true.decisive)


def check_performance(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = tables.performance(db, window), Slow(history, ask)
    for own, values in ((found.durations, true.durations()), (found.queue, true.queued())):
        assert (own.n, own.mean) == (len(values), near(slow.mean(values)))
        assert own.median == near(slow.percentile(values, 0.5), window.days)
        assert own.p95 == near(slow.percentile(values, 0.95), window.days)
        assert (own.smallest, own.largest) == (min(values, default=None), max(values, default=None))
    took = [
        (seconds, life.run.id)
        for life in true.decisive
        if (seconds := slow.times(life, max(life.tries))[1]) is not None
    ]
    assert [(one.duration_seconds, one.id) for one in found.slowest] == sorted(took, reverse=True)[:10]
    assert sum(point.n for point in found.trend) == found.durations.n


def check_comparison(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = comparison.comparison(db, window), Slow(history, ask)
    by_workflow: dict[int, list[Life]] = defaultdict(list)
    for life in true.done:
        by_workflow[life.run.workflow_id].append(life)
    names = {key: name for key, (_, name, _) in lives.WORKFLOWS.items()}
    order = sorted(by_workflow, key=lambda key: (-len(by_workflow[key]), names[key], key))
    assert [(one.id, one.name) for one in found.workflows] == [(key, names[key]) for key in order]
    for one in found.workflows:
        own = by_workflow[one.id]
        good = [life for life in own if slow.decisive(life.run.conclusion)]
        assert (one.tally.total, one.tally.decisive, one.tally.failed) == (
            len(own), len(good), sum(life.run.conclusion in FAILED for life in own),
        )  # fmt: skip
        assert (one.repository, count(db, one.scope)) == (own[0].run.repository, len(own))
        assert one.tally.mean_seconds == near(slow.mean(true.durations(good)))
        assert one.p95_seconds == near(slow.percentile(true.durations(good), 0.95), window.days)
        assert one.queue_seconds == near(slow.percentile(true.queued(good), 0.5), window.days)


def check_flaky(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, wanted = flaky.flakiness(db, window), Slow(history, ask).flaky()
    assert (found.basis.n, found.flaky, found.platform) == tuple(
        sum(row[place] for row in wanted.values()) for place in range(3)
    )
    shown = {(one.workflow_id, one.name): (one.n, one.flaky, one.platform) for one in found.jobs}
    assert shown == {key: row for key, row in wanted.items() if row[1] or row[2]}
    assert [one.low if one.n else 0.0 for one in found.jobs] == sorted(
        (wilson(row[1], row[0])[0] if row[0] else 0.0 for row in wanted.values() if row[1] or row[2]), reverse=True
    )
    for one in found.jobs:
        having = [life for life in Slow(history, ask).window if life.run.workflow_id == one.workflow_id]
        having = [life for life in having if any(job.name == one.name for own in life.jobs.values() for job in own)]
        assert count(db, one.scope, status=None) == len(having)
        assert len(one.commits) == min(one.flaky, 5)
        for commit in one.commits:
            for run_id, ends in ((commit.failed_in, FAILED), (commit.succeeded_in, ("success",))):
                life = history.lives[run_id]
                assert (life.run.sha, life.run.workflow_id) == (commit.sha, one.workflow_id)
                assert any(job.name == one.name and job.conclusion in ends for own in life.jobs.values() for job in own)


def check_queue(db: Database, history: History, window: Window, ask: Ask) -> None:
    found = queue.queues(db, window)
    waits, left_out = Slow(history, ask).waits(window.zone)
    assert told(found) == left_out
    the_same(found.whole, [second for own in waits.values() for second in own])
    assert {one.labels for one in found.labels} == {labels for labels, _ in waits}
    assert [(-one.n, one.labels) for one in found.labels] == sorted((-one.n, one.labels) for one in found.labels)
    for one in found.labels:
        the_same(one, [second for (labels, _), own in waits.items() if labels == one.labels for second in own])
        for hour in one.hours:
            the_same(hour, waits.get((one.labels, hour.hour), []))
    assert [hour.hour for hour in found.hours] == list(range(24))
    for hour in found.hours:
        the_same(hour, [second for (_, at), own in waits.items() if at == hour.hour for second in own])


def the_same(found: queue.Waits, values: list[int]) -> None:
    assert (found.n, found.longest) == (len(values), max(values, default=None))
    assert (found.median, found.p90, found.p95) == tuple(
        near(slow.percentile(values, fraction)) for fraction in (0.5, 0.9, 0.95)
    )


def check_cost(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, spent = cost.cost(db, window, PRICES), Slow(history, ask).spent()
    assert found.basis.n == len(spent)
    for name in ("useful", *cost.WASTES):
        part = found.bill.parts.get(name, cost.Spent())
        own = [(job, minutes) for _, job, minutes, what in spent if what == name]
        assert (part.jobs, part.minutes) == (len(own), sum(minutes for _, minutes in own)), name
        assert part.dollars == pytest.approx(sum(minutes * (price_of(job.labels, PRICES) or 0) for job, minutes in own))
    unpriced = sum(minutes for _, job, minutes, _ in spent if price_of(job.labels, PRICES) is None)
    assert told(found) == ({"minutes_without_a_price": unpriced} if unpriced else {})
    by_workflow: dict[int, int] = defaultdict(int)
    by_labels: dict[tuple[str, ...], int] = defaultdict(int)
    for life, job, minutes, _ in spent:
        by_workflow[life.run.workflow_id] += minutes
        by_labels[tuple(sorted(job.labels))] += minutes
    assert {one.workflow_id: one.bill.whole.minutes for one in found.workflows} == by_workflow
    assert {one.labels: one.bill.whole.minutes for one in found.labels} == by_labels
    dear = [(-round(one.bill.whole.dollars, 6), -one.bill.whole.minutes) for one in found.workflows]
    assert dear == sorted(dear)


def check_signatures(db: Database, history: History, window: Window, ask: Ask) -> None:
    found, true = signatures.signatures(db, window), Slow(history, ask)
    logs = END - 7 * DAY  # of older failures no logs are asked for
    reasons: Counter[str] = Counter()
    groups: dict[str, list[tuple[Life, int]]] = defaultdict(list)
    for life, job in true.jobs():
        if life.run.status == "completed" and job.conclusion in FAILED:
            if job.id in history.said:
                groups[history.said[job.id][0]].append((life, job.id))
            else:
                reasons["wanted" if (job.completed_at or 0) > logs else "not_asked"] += 1
    order = sorted(groups, key=lambda word: (-len(groups[word]), word))
    assert [(one.signature, one.failures) for one in found.groups] == [(word, len(groups[word])) for word in order]
    assert (found.basis.n, told(found)) == (sum(map(len, groups.values())), dict(reasons))
    for one in found.groups:
        own = groups[one.signature]
        assert one.builds == len({life.run.id for life, _ in own}) == count(db, one.scope)
        assert one.latest_build_id == max(own, key=lambda item: item[1])[0].run.id
        assert one.names.repositories == tuple(sorted({life.run.repository for life, _ in own}))
        assert one.names.branches == tuple(sorted({life.run.branch for life, _ in own if life.run.branch is not None}))
        assert one.platform == (one.signature == "c" * 16)


CHECKS: tuple[Callable[[Database, History, Window, Ask], None], ...] = (
    check_overview, check_recovery, check_trends, check_failures, check_performance, check_comparison, check_flaky,
    check_queue, check_cost, check_signatures,
)  # fmt: skip


@pytest.mark.parametrize(("days", "told_days", "seed"), WORLDS)
def test_every_answer_is_what_was_told(database: Database, days: int, told_days: int, seed: int) -> None:
    history = lives.tell(database, seed, told_days, edges=edges_of(days))
    for window, ask in questions(database, days):
        for check in CHECKS:
            check(database, history, window, ask)
    window, ask = question(database, 1, END - 1)
    for check in CHECKS:
        check(database, history, window, ask)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"])
def test_periods_are_those_of_the_zone(database: Database, zone: str) -> None:
    clock = ZoneInfo(zone)
    history = lives.tell(database, 4, 40, edges=edges_of(40, clock))
    for days, granularity in ((40, "weekly"), (30, "daily"), (5, "hourly"), (1, "hourly")):
        for end in (END, END + 1, END - 3 * DAY):
            window, ask = question(database, days, end, zone=clock, granularity=granularity)
            for check in (check_trends, check_recovery, check_queue):
                check(database, history, window, ask)


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """Another process's door to the same database."""
    found = Database(database.url.render_as_string(hide_password=False))
    yield found
    found.close()


def test_what_comes_later_counts_at_once(database: Database, other: Database) -> None:
    rng = random.Random(5)
    history = lives.tell(database, 5, 40, 160, edges=edges_of(20))

    def agree() -> None:
        for filters in ({}, {"branch": "main"}):
            window, ask = question(database, 20, filters=filters)
            for check in CHECKS:
                check(database, history, window, ask)

    agree()
    for step in range(3):
        some = rng.sample(list(history.lives.values()), 12)
        for life in some[:6]:
            lives.again(rng, life, life.run, 1)
        for life in some[6:]:
            life.gone = not life.gone
        new = [lives.new_life(rng, 1000 + 100 * step + place, END - 25 * DAY) for place in range(6)]
        history.lives.update((life.run.id, life) for life in new)
        lives.take_in(other, rng, [*some, *new])
        agree()
    lives.read_logs(other, rng, history, share=1)
    agree()
    other.transact(lambda conn: repositories.watch(conn, ["acme/alpha"]))
    agree()
    lives.watch(other, lives.WATCHED)
    agree()


def test_an_empty_window_is_zeros(database: Database) -> None:
    history = lives.tell(database, 6, 3, 30)
    window, ask = question(database, 30, END - 200 * DAY)
    for check in CHECKS:
        check(database, history, window, ask)
    assert analytics.overview(database, window).change is None


def test_a_change_needs_a_window_before_that_was_read(database: Database) -> None:
    lives.tell(database, 7, 10)
    window, _ = question(database, 4)
    assert analytics.overview(database, window).change is None
    for name, begin, is_enough in (
        ("acme/alpha", END - 8 * DAY, False),
        ("acme/beta", END - 8 * DAY + 1, False),
        ("acme/beta", END - 8 * DAY, True),
    ):
        lives.cover(database, name, begin, END)
        found = analytics.overview(database, window)
        assert (found.change is not None, found.before.complete, found.basis.coverage.complete) == (
            is_enough, is_enough, name == "acme/beta",
        )  # fmt: skip
    change = found.change
    assert change is not None and change.total_builds is not None
    now, before = found.now.tally, found.before.tally
    assert change.total_builds.absolute == now.total - before.total
    assert change.total_builds.relative == round((now.total - before.total) / before.total * 100, 2)
    assert change.success_rate is not None
    assert change.success_rate.absolute == round(now.success_rate - before.success_rate, 2)


def told_alone(db: Database, *told_: Life) -> History:
    lives.watch(db, lives.WATCHED)
    lives.take_in(db, random.Random(1), told_)
    return History({life.run.id: life for life in told_})


def a_life(place: int, **over: Any) -> Life:
    """A run of workflow 11, an hour before the end and a minute after the one before, with one job of five minutes."""
    at = END - 3600 + 60 * place
    run = a_run(
        id=place + 1, repository="acme/alpha", workflow_id=11, name="CI", run_number=place, created_at=at,
        started_at=at, updated_at=at + 300, head_repository="acme/alpha", **over,
    )  # fmt: skip
    job = a_job(run, id=100 + place, conclusion=run.conclusion, started_at=at, completed_at=at + 300)
    return Life({1: run}, {1: (job,)})


@pytest.mark.parametrize(
    ("newer", "what"),
    [
        ({}, "superseded"),
        ({"event": "schedule"}, "cancelled"),
        ({"branch": "trunk"}, "cancelled"),
        ({"head_repository": "eve/fork"}, "cancelled"),
        ({"head_repository": None}, "cancelled"),
        ({"workflow_id": 13, "name": "CI"}, "cancelled"),
        ({"run_number": -1}, "cancelled"),
        ({"created_at": END - 3600 + 301}, "cancelled"),
        ({"created_at": END - 3600 + 300}, "superseded"),
    ],
)
def test_what_overtakes_a_cancelled_run(database: Database, newer: dict[str, Any], what: str) -> None:
    old, new = a_life(0, conclusion="cancelled"), a_life(1)
    new.tries[1] = replace(new.run, **newer)
    history = told_alone(database, old, new)
    window, ask = question(database, 1)
    check_cost(database, history, window, ask)
    found = cost.cost(database, window, PRICES).bill.parts
    assert {name: part.jobs for name, part in found.items()} == {what: 1, "useful": 1}
    new.gone = True
    lives.take_in(database, random.Random(1), [new])
    assert cost.cost(database, window, PRICES).bill.parts.keys() == {"cancelled"}


@pytest.mark.parametrize(("moment", "is_inside"), [(-DAY - 1, False), (-DAY, True), (-1, True), (0, False)])
def test_an_incident_is_of_the_window_in_which_it_recovered(database: Database, moment: int, is_inside: bool) -> None:
    red, green = a_life(0, conclusion="failure"), a_life(1)
    for life, ended_at in ((red, END + moment - 600), (green, END + moment)):
        at = ended_at - 300
        life.tries[1] = replace(life.run, created_at=at, started_at=at, updated_at=ended_at)
        life.jobs[1] = (replace(life.jobs[1][0], created_at=at, started_at=at, completed_at=ended_at),)
    history = told_alone(database, red, green)
    window, ask = question(database, 1)
    check_recovery(database, history, window, ask)
    found = recoveries.recovery(database, window)
    is_open = moment == 0  # it began in the window, and recovered where the next one begins
    assert (found.recovery.n, len(found.open_incidents)) == (int(is_inside), int(is_open))


def test_of_equals_the_first_in_the_alphabet_is_the_most_active(database: Database) -> None:
    told_alone(database, *(a_life(place, branch=name, actor=name, commit=None) for place, name in enumerate("cab")))
    found = analytics.overview(database, question(database, 1)[0])
    assert (found.most_active_branch, found.most_active_author) == ("a", "a")
