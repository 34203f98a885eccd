"""What failed in a window and where, and what took long."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa

from pipemon.analytics.arrays import NOTHING, Array, largest, summary, tallied
from pipemon.analytics.stats import Summary, rate
from pipemon.analytics.trends import Point
from pipemon.domain.runs import is_decisive, is_failed
from pipemon.queries import signatures as reasons
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.runs import AUTHOR
from pipemon.queries.scope import Query, Scope
from pipemon.queries.verdicts import GOOD, OTHER
from pipemon.queries.window import Basis, Tally, Window, basis, ends_by_word, read_periods, tally
from pipemon.store.schema import runs

MOST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Share:
    """How the completed runs of one branch, or of one author, ended. `scope` leads to them."""

    name: str
    total: int
    succeeded: int
    failed: int
    scope: Scope

    @property
    def failure_rate(self) -> float:
        """The percentage of the decisive ones that failed."""
        return rate(self.failed, self.succeeded + self.failed)


@dataclass(frozen=True, slots=True)
class RunMark:
    """One run that a number points to. Unix seconds, seconds."""

    id: int
    repository: str
    conclusion: str
    branch: str | None
    sha: str | None
    commit_message: str | None
    author: str | None
    completed_at: int | None
    duration_seconds: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class JobRow:
    """The jobs of one name in one workflow: how many have ended as success or failure, and how many failed."""

    repository: str
    workflow: str
    name: str
    n: int
    failed: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Failures:
    """What `/analytics/failures` tells."""

    basis: Basis
    tally: Tally
    by_branch: tuple[Share, ...]
    by_author: tuple[Share, ...]
    recent: tuple[RunMark, ...]
    trend: tuple[Point, ...]
    jobs: tuple[JobRow, ...]
    signatures: tuple[reasons.Group, ...]
    as_of: AsOf


@dataclass(frozen=True, slots=True)
class Performance:
    """What `/analytics/performance` tells. Durations and queue times in seconds, of decisive runs."""

    basis: Basis
    durations: Summary
    queue: Summary
    trend: tuple[Point, ...]
    slowest: tuple[RunMark, ...]
    as_of: AsOf


def failures(db: Source, window: Window) -> Failures:
    """Return what failed in the window, and how often beside what succeeded."""
    db = Look.at(db)
    starts = window.starts
    found = read_periods(db, window.scope, starts)
    return Failures(
        basis=basis(db, window, found.groups),
        tally=tally(found.groups),
        by_branch=_shares(db, window.scope, "branch"),
        by_author=_shares(db, window.scope, "author"),
        recent=_marks(db, window.scope, is_failed, "completed_at"),
        trend=tuple(Point(at, one.failure_rate, one.decisive) for at, one in zip(starts, found.tallies, strict=True)),
        jobs=_failing_jobs(db, window.scope),
        signatures=reasons.signatures(db, window, MOST_ROWS).groups,
        as_of=window.as_of,
    )


def performance(db: Source, window: Window) -> Performance:
    """Return how long the decisive builds of the window took, and what took longest."""
    db = Look.at(db)
    starts = window.starts
    found = read_periods(db, window.scope, starts)
    points = (
        Point(at, round((p.mean_seconds or 0) / 60, 2), p.timed) for at, p in zip(starts, found.tallies, strict=True)
    )
    return Performance(
        basis=basis(db, window, found.groups),
        durations=over(db, "runs", window.scope, _seconds, "duration_seconds"),
        queue=over(db, "runs", window.scope, _seconds, "queue_seconds"),
        trend=tuple(points),
        slowest=_marks(db, window.scope, is_decisive, "duration_seconds"),
        as_of=window.as_of,
    )


def _seconds(rows: Rows, column: str) -> Summary:
    """Return what can be said of the decisive runs' seconds."""
    return summary([part.kept(_tallied, column) for part in rows.parts])


def _tallied(part: Rows, column: str) -> tuple[Array, Array]:
    known = part[column][part.has("conclusion", is_decisive) & (part["completed"] == 1)]
    return tallied(known[known >= 0])


def _shares(db: Source, scope: Scope, column: str) -> tuple[Share, ...]:
    """Return the ten with the most failures; nobody without one is among them."""
    return tuple(
        Share(name, n, good, bad, replace(scope, branch=name) if column == "branch" else replace(scope, author=name))
        for name, n, good, bad in over(db, "runs", scope, _worst, column)
    )


def _worst(rows: Rows, column: str) -> list[tuple[str, int, int, int]]:
    n, good, bad = ends_by_word(rows, column)
    # Of thousands of branches only those are put in order that may be among the ten.
    least = max(1, int(np.sort(bad)[-MOST_ROWS:][0])) if len(bad) else 1
    red = sorted(np.flatnonzero(bad >= least).tolist(), key=lambda code: (-bad[code], rows.word(column, code)))
    return [(rows.word(column, code), int(n[code]), int(good[code]), int(bad[code])) for code in red[:MOST_ROWS]]


def _top(rows: Rows, is_wanted: Callable[[str | None], bool], column: str) -> list[int]:
    """Return the ids of the ten runs with the most in this column, of those that ended so."""
    found = [part.kept(_top_of, is_wanted, column) for part in rows.parts]
    ids, values = (np.concatenate([one[place] for one in found] or [NOTHING]) for place in (0, 1))
    most: list[int] = ids[largest(values, ids, MOST_ROWS)].tolist()
    return most


def _top_of(part: Rows, is_wanted: Callable[[str | None], bool], column: str) -> tuple[Array, Array]:
    some = part.where((part["completed"] == 1) & part.has("conclusion", is_wanted) & (part[column] >= 0))
    places = largest(some[column], some["id"], MOST_ROWS)
    return some["id"][places], some[column][places]


def _marks(db: Source, scope: Scope, is_wanted: Callable[[str | None], bool], order: str) -> tuple[RunMark, ...]:
    ids = over(db, "runs", scope, _top, is_wanted, order)
    columns = ("conclusion", "branch", "sha", "commit_message")
    more = (runs.c.completed_at, runs.c.duration_seconds, runs.c.url)
    query: Query = sa.select(runs.c.id, runs.c.repository_id, *(runs.c[name] for name in columns), AUTHOR, *more)
    rows = {row[0]: row for row in db.heavy(query.where(runs.c.id.in_(ids)))}
    found = (rows[key] for key in ids if key in rows)
    return tuple(RunMark(key, scope.repositories[repository], *rest) for key, repository, *rest in found)


def _failing_jobs(db: Source, scope: Scope) -> tuple[JobRow, ...]:
    """Return the ten jobs of the latest attempts of the window's failed runs that failed most often."""
    db = Look.at(db)
    return tuple(
        JobRow(
            scope.repositories[repository], db.workflow(workflow), name, n, failed,
            replace(scope, workflow=str(workflow), failed_job=name),
        )
        for repository, workflow, name, n, failed in over(db, "jobs", scope, _worst_jobs)
    )  # fmt: skip


def _worst_jobs(rows: Rows) -> list[tuple[int, int, str, int, int]]:
    groups, (n, bad) = rows.grouped(("repository_id", "workflow_id", "name"), _decisive_of_failed)
    counts = zip(groups, n.tolist(), bad.tolist(), strict=True)
    found = [(*group, of, failed) for group, of, failed in counts if failed]
    return sorted(found, key=lambda row: (-row[4], row[2], row[1]))[:MOST_ROWS]


def _decisive_of_failed(part: Rows) -> Measured:
    some = part.where((part["failed"] == 1) & (part["latest"] == 1) & (part["outcome"] != OTHER))
    return some, [None, some["outcome"] != GOOD]
