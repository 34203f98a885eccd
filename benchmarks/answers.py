"""Every answer of `/analytics`, and the numbers of each that are compared with DuckDB's.

An answer is what the endpoint calls; its numbers are picked by name, so that both sides can tell which one differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.world import DAY_SECONDS, DAYS, NOW, topic_near
from pipemon.queries import (
    analytics,
    cost,
    delivery,
    flaky,
    overview,
    queue,
    recoveries,
    regressions,
    signatures,
    whole,
)
from pipemon.queries.delivery import Delivers
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Scope
from pipemon.queries.window import Window
from pipemon.store.engine import Database

PRICES = {"ubuntu-*": 0.006, "macos-*": 0.062}
DELIVERS = Delivers(("production",), 0)
WINDOWS = (30, 90, DAYS)
MOST_LISTED = 1000

Told = dict[str, Any]


def filters(count: int) -> dict[str, dict[str, Any]]:
    """Return the filters that are asked with, by what they are called; the last two are "any other filter"."""
    return {
        "all": {},
        "branch main": {"branch": "main"},
        "a topic branch": {"branch": topic_near(4, count)},
        "a workflow": {"workflow": "7"},
        "a repository": {"repository": 7},
        "event push": {"event": "push"},
        "no pull requests": {"pull_requests": False},
    }


OTHER = ("event push", "no pull requests")
OF_DEPLOYMENTS = ("all", "a repository")  # deployments belong to no branch, workflow or event


def window(watched: Mapping[int, str], days: int, wanted: Mapping[str, Any], at: int = NOW) -> Window:
    """Return the window that an endpoint would make of these arguments."""
    rest = {key: value for key, value in wanted.items() if key != "repository"}
    only = wanted.get("repository")
    names = watched if only is None else {only: watched[only]}
    scope = Scope(dict(names), created_from=at - days * DAY_SECONDS, created_to=at)
    return Window(replace(scope, **rest), days, AsOf(at, "fresh", 0))


@dataclass(frozen=True, slots=True)
class Answer:
    """How it is asked, and what of it is compared."""

    ask: Callable[[Database, Window], Any]
    told: Callable[[Any], Told]


def _overview(one: Any) -> Told:
    now, keys = one.now, one.keys
    return {
        "builds": now.tally.total, "succeeded": now.tally.succeeded, "failed": now.tally.failed,
        "mean": now.tally.mean_seconds, "before": one.before.tally.total, "first good": now.first_attempt.succeeded,
        "first bad": now.first_attempt.failed, "recovered": now.recovery.n, "mttr": now.recovery.mean,
        "mttr median": now.recovery.median, "mttr before": one.before.recovery.mean,
        "branch": one.most_active_branch, "author": one.most_active_author,
    } | ({} if keys.frequency_per_day is None else _keys(keys))  # fmt: skip


def _keys(keys: Any) -> Told:
    return {
        "deployments": keys.deployments, "failed changes": keys.failed_changes, "commits": keys.lead.n,
        "lead": keys.lead.median, "restored": keys.restore.n, "restore": keys.restore.median,
    }  # fmt: skip


def _recoveries(one: Any) -> Told:
    got = one.recovery
    return {
        "recovered": got.n, "mttr": got.mean, "median": got.median, "p90": got.p90, "open": one.total_incidents - got.n,
        "failures": one.total_failures, "listed": len(one.incidents),
    }  # fmt: skip


def _performance(one: Any) -> Told:
    both, first = one.durations, one.slowest
    return {
        "n": both.n, "mean": both.mean, "median": both.median, "p95": both.p95, "queue median": one.queue.median,
        "queue p95": one.queue.p95, "slowest": first[0].id if first else None,
    }  # fmt: skip


def _failures(one: Any) -> Told:
    jobs, reasons = one.jobs, one.signatures
    return {
        "failed": one.tally.failed, "branch": one.by_branch[0].failed if one.by_branch else None,
        "author": one.by_author[0].failed if one.by_author else None,
        "newest": one.recent[0].completed_at if one.recent else None, "job": jobs[0].failed if jobs else None,
        "reason": reasons[0].failures if reasons else None,
    }  # fmt: skip


def _comparison(one: Any) -> Told:
    rows = one.workflows
    return {
        "workflows": len(rows), "builds": sum(row.tally.total for row in rows),
        "p95": rows[0].p95_seconds if rows else None, "queue": rows[0].queue_seconds if rows else None,
    }  # fmt: skip


def _cost(one: Any) -> Told:
    whole_, wastes = one.bill.whole, one.bill.wastes
    return {
        "jobs": whole_.jobs, "minutes": whole_.minutes, "dollars": whole_.dollars, "failed": wastes.failed.minutes,
        "cancelled": wastes.cancelled.minutes, "rerun": wastes.rerun.minutes, "superseded": wastes.superseded.minutes,
    }  # fmt: skip


def _queue(one: Any) -> Told:
    got, labels = one.whole, one.labels
    return {
        "n": got.n, "median": got.median, "p90": got.p90, "p95": got.p95, "longest": got.longest,
        "labels": len(labels), "first": labels[0].n if labels else None,
    }  # fmt: skip


ANSWERS: dict[str, Answer] = {
    "overview": Answer(lambda db, asked: overview.overview(db, asked, DELIVERS), _overview),
    "trends": Answer(analytics.trends, lambda one: {"n": one.basis.n, "timed": sum(p.n for p in one.duration)}),
    "mttr, incidents": Answer(recoveries.recovery, _recoveries),
    "performance": Answer(whole.performance, _performance),
    "failures": Answer(whole.failures, _failures),
    "signatures": Answer(
        signatures.signatures,
        lambda one: {"n": one.total_failures, "first": one.groups[0].failures if one.groups else None,
                     "builds": one.groups[0].builds if one.groups else None},
    ),
    "comparison": Answer(lambda db, asked: whole.compare(db, asked, PRICES), _comparison),
    "regressions": Answer(regressions.regressions, lambda one: {"workflows": one.workflows}),
    "dora": Answer(lambda db, asked: delivery.delivery(db, asked, DELIVERS), lambda one: _keys(one.keys)),
    "flaky": Answer(
        flaky.flakiness, lambda one: {"n": one.basis.n, "flaky": one.flaky, "platform": one.platform}
    ),
    "queue": Answer(queue.queues, _queue),
    "cost": Answer(lambda db, asked: cost.cost(db, asked, PRICES), _cost),
}  # fmt: skip


def differences(ours: Told, theirs: Told, tolerance: float) -> list[str]:
    """Return the names of the numbers that differ by more than this, relative; of counts and names, at all."""
    return [name for name, value in ours.items() if name in theirs and not _same(value, theirs[name], tolerance)]


def _same(ours: Any, theirs: Any, tolerance: float) -> bool:
    if isinstance(ours, float) and theirs is not None:
        return abs(ours - float(theirs)) <= max(tolerance * abs(float(theirs)), 1e-6)
    same: bool = ours == theirs
    return same
