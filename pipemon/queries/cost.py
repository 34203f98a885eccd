"""What the jobs of a window cost by the table of prices, and how much of it was for nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pipemon.analytics.prices import price_of
from pipemon.domain.runs import FAILED, STAMP_SLACK_SECONDS
from pipemon.queries.freshness import AsOf
from pipemon.queries.scope import Query, Scope, where
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs, workflows

WASTES = ("failed", "cancelled", "rerun", "superseded")


@dataclass(frozen=True, slots=True)
class Spent:
    """Minutes, each job attempt's rounded up, and what they cost in dollars. `unpriced`: the table knows no label."""

    jobs: int = 0
    minutes: int = 0
    billable: int = 0
    unpriced: int = 0
    dollars: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Return both together."""
        return Spent(
            self.jobs + other.jobs, self.minutes + other.minutes, self.billable + other.billable,
            self.unpriced + other.unpriced, self.dollars + other.dollars,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bill:
    """What was spent, by what it was for: useful, or one of WASTES."""

    parts: Mapping[str, Spent] = field(default_factory=dict)

    @property
    def whole(self) -> Spent:
        """All of it."""
        return self._sum(("useful", *WASTES))

    @property
    def useful(self) -> Spent:
        """What was not for nothing."""
        return self._sum(("useful",))

    @property
    def wasted(self) -> Spent:
        """What was for nothing."""
        return self._sum(WASTES)

    @property
    def wastes(self) -> "Wastes":
        """What was for nothing, by reason."""
        return Wastes(*(self._sum((name,)) for name in WASTES))

    def plus(self, name: str, spent: Spent) -> "Bill":
        """Return the bill with one more part."""
        return Bill({**self.parts, name: self.parts.get(name, Spent()).plus(spent)})

    def _sum(self, names: tuple[str, ...]) -> Spent:
        found = Spent()
        for name in names:
            found = found.plus(self.parts.get(name, Spent()))
        return found


@dataclass(frozen=True, slots=True)
class Wastes:
    """What was for nothing: jobs that failed, that were cancelled, that ran again, that a newer push overtook."""

    failed: Spent
    cancelled: Spent
    rerun: Spent
    superseded: Spent


@dataclass(frozen=True, slots=True)
class WorkflowBill:
    """One workflow's bill."""

    repository: str
    workflow_id: int
    workflow: str
    bill: Bill
    scope: Scope


@dataclass(frozen=True, slots=True)
class LabelBill:
    """The bill of the jobs that asked for these labels; `price` in dollars a minute, None where it is not known."""

    labels: tuple[str, ...]
    price: float | None
    bill: Bill


@dataclass(frozen=True, slots=True)
class Cost:
    """What `/analytics/cost` tells, the dearest first."""

    basis: Basis
    bill: Bill
    workflows: tuple[WorkflowBill, ...]
    labels: tuple[LabelBill, ...]
    as_of: AsOf


def cost(db: Database, window: Window, prices: Mapping[str, float]) -> Cost:
    """Return the estimate for the jobs of the window's runs, every attempt's."""
    whole = Bill()
    by_workflow: dict[tuple[int, int], Bill] = {}
    by_label: dict[tuple[str, ...], Bill] = {}
    for repository_id, workflow_id, text, what, count, minutes in db.heavy(_by_labels(window.scope)):
        labels = tuple(sorted(json.loads(text)))
        spent = _spent(int(count), int(minutes), price_of(labels, prices))
        whole = whole.plus(what, spent)
        key = (repository_id, workflow_id)
        by_workflow[key] = by_workflow.get(key, Bill()).plus(what, spent)
        by_label[labels] = by_label.get(labels, Bill()).plus(what, spent)
    names = dict(db.heavy(sa.select(workflows.c.id, workflows.c.name)))
    rows = [
        WorkflowBill(
            window.scope.repositories[repository_id], key, names.get(key, str(key)), bill,
            replace(window.scope, workflow=str(key)),
        )
        for (repository_id, key), bill in by_workflow.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: (-row.bill.whole.dollars, -row.bill.whole.minutes, row.workflow, row.workflow_id))
    labels_found = [LabelBill(labels, price_of(labels, prices), bill) for labels, bill in by_label.items()]
    labels_found.sort(key=lambda row: (-row.bill.whole.dollars, -row.bill.whole.minutes, row.labels))
    unpriced = whole.whole.unpriced
    excluded = (Exclusion("minutes_without_a_price", unpriced),) if unpriced else ()
    basis = Basis(window, whole.whole.jobs, excluded, coverage(db, window))
    return Cost(basis, whole, tuple(rows), tuple(labels_found), window.as_of)


def _spent(count: int, minutes: int, price: float | None) -> Spent:
    if price is None:
        return Spent(count, minutes, unpriced=minutes)
    return Spent(count, minutes, billable=minutes if price else 0, dollars=minutes * price)


def _by_labels(scope: Scope) -> Query:
    """Select the rounded minutes of the jobs that ran, by workflow, labels and what they were for."""
    what = _what_for()
    took = jobs.c.completed_at - jobs.c.started_at
    one = (
        sa.select(runs.c.repository_id, runs.c.workflow_id, jobs.c.labels, what.label("what"))
        .add_columns(((took + 59) // 60).label("minutes"))
        .join_from(runs, jobs, jobs.c.run_id == runs.c.id)
        .where(jobs.c.status == "completed", took >= 0, *_ran(), *where(scope))
        .subquery()
    )
    keys = (one.c.repository_id, one.c.workflow_id, one.c.labels, one.c.what)
    return sa.select(*keys, sa.func.count(), sa.func.sum(one.c.minutes)).group_by(*keys)


def _ran(of: sa.FromClause = jobs) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that a job ran in its attempt: a rerun copies those that passed, with their old times."""
    conclusion = sa.func.coalesce(of.c.conclusion, "")
    own = sa.or_(of.c.created_at.is_(None), of.c.started_at >= of.c.created_at - STAMP_SLACK_SECONDS)
    nothing = sa.and_(conclusion == "cancelled", of.c.steps == "[]")
    return of.c.started_at.is_not(None), conclusion != "skipped", own, sa.not_(nothing)


def _what_for() -> sa.ColumnElement[str]:
    newer, again = runs.alias("newer"), jobs.alias("again")
    superseded = sa.exists().where(
        newer.c.workflow_id == runs.c.workflow_id,
        newer.c.branch == runs.c.branch,
        newer.c.event == runs.c.event,
        sa.func.coalesce(newer.c.head_repository, "") == sa.func.coalesce(runs.c.head_repository, ""),
        newer.c.run_number > runs.c.run_number,
        newer.c.created_at <= sa.func.coalesce(runs.c.completed_at, runs.c.updated_at),
        newer.c.deleted_at.is_(None),
    )
    ran_again = sa.exists().where(
        again.c.run_id == jobs.c.run_id,
        again.c.run_attempt > jobs.c.run_attempt,
        again.c.name == jobs.c.name,
        *_ran(again),
    )
    of_cancelled = runs.c.conclusion == "cancelled"
    return sa.case(
        (jobs.c.conclusion.in_(sorted(FAILED)), "failed"),
        (sa.and_(of_cancelled, superseded), "superseded"),
        (sa.or_(of_cancelled, jobs.c.conclusion == "cancelled"), "cancelled"),
        (sa.and_(jobs.c.run_attempt < runs.c.run_attempt, ran_again), "rerun"),
        else_="useful",
    )
