"""Answers that are put together from several questions: performance, failures, and the workflows side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipemon.queries import bottlenecks, comparison, cost, flaky, regressions, tables
from pipemon.queries.bottlenecks import FailingStep, SlowJob, SlowStep
from pipemon.queries.comparison import Comparison, WorkflowRow
from pipemon.queries.cost import Spent
from pipemon.queries.flaky import FlakyJob
from pipemon.queries.look import Look, Source
from pipemon.queries.regressions import Regression
from pipemon.queries.tables import Failures, Performance
from pipemon.queries.window import DAY_SECONDS, Window

FLAKY_DAYS = 14
MOST_FLAKY = 10
MOST_REGRESSIONS = 10


@dataclass(frozen=True, slots=True)
class WholeFailures(Failures):
    """What `/analytics/failures` tells; flaky jobs are those of the window's last two weeks at most."""

    flaky: tuple[FlakyJob, ...]
    steps: tuple[FailingStep, ...]


@dataclass(frozen=True, slots=True)
class WholePerformance(Performance):
    """What `/analytics/performance` tells."""

    jobs: tuple[SlowJob, ...]
    steps: tuple[SlowStep, ...]
    regressions: tuple[Regression, ...]


@dataclass(frozen=True, slots=True)
class BilledWorkflow(WorkflowRow):
    """One workflow with what its jobs cost, in minutes and dollars."""

    billable: int
    cost: float


@dataclass(frozen=True, slots=True)
class BilledComparison(Comparison):
    """What `/analytics/workflows/comparison` tells."""

    workflows: tuple[BilledWorkflow, ...]


def failures(db: Source, window: Window) -> WholeFailures:
    """Return what failed in the window, at which steps, and what only sometimes does."""
    db = Look.at(db)
    found, steps = tables.failures(db, window), bottlenecks.failing_steps(db, window.scope)
    jobs = flaky.flakiness(db, lately(window, FLAKY_DAYS), MOST_FLAKY).jobs
    return WholeFailures(**_parts(found), flaky=tuple(one for one in jobs if one.flaky), steps=steps)


def lately(window: Window, days: int) -> Window:
    """Return the window's last days; the window itself where it is no longer than that."""
    if window.days <= days:
        return window
    begin = window.as_of.timestamp - days * DAY_SECONDS
    return replace(window, days=days, scope=replace(window.scope, created_from=begin))


def performance(db: Source, window: Window) -> WholePerformance:
    """Return how long the decisive builds of the window took, and what held them up."""
    db = Look.at(db)
    found = bottlenecks.bottlenecks(db, window.scope)
    quick = tables.performance(db, window)
    worse = tuple(one for one in regressions.regressions(db, window).regressions if one.until is None)
    return WholePerformance(**_parts(quick), jobs=found.jobs, steps=found.steps, regressions=worse[:MOST_REGRESSIONS])


def compare(db: Source, window: Window, prices: Mapping[str, float]) -> BilledComparison:
    """Return the workflows of the window side by side, with what their jobs cost."""
    db = Look.at(db)
    found = comparison.comparison(db, window)
    bills = {one.workflow_id: one.bill.whole for one in cost.cost(db, window, prices).workflows}
    spent = [bills.get(row.id, Spent()) for row in found.workflows]
    rows = tuple(
        BilledWorkflow(**_parts(row), billable=own.billable, cost=round(own.dollars, 2))
        for row, own in zip(found.workflows, spent, strict=True)
    )
    return BilledComparison(**_parts(found) | {"workflows": rows})


def _parts(one: Any) -> dict[str, Any]:
    return {part.name: getattr(one, part.name) for part in fields(one)}
