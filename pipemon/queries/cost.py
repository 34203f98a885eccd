"""What the jobs of a window cost by the table of prices, and how much of it was for nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from pipemon.analytics.prices import price_of
from pipemon.queries.columns import Look, Source, over
from pipemon.queries.freshness import AsOf
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.scope import Scope
from pipemon.queries.verdicts import PURPOSES
from pipemon.queries.window import Basis, Exclusion, Window, coverage
from pipemon.store.schema import workflows

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


def cost(db: Source, window: Window, prices: Mapping[str, float]) -> Cost:
    """Return the estimate for the jobs of the window's runs, every attempt's."""
    db = Look.at(db)
    whole = Bill()
    by_workflow: dict[tuple[int, int], Bill] = {}
    by_label: dict[tuple[str, ...], Bill] = {}
    for repository_id, workflow_id, text, place, n, minutes in over(db, "jobs", window.scope, _by_labels):
        labels, what = tuple(sorted(json.loads(text))), PURPOSES[place]
        spent = _spent(n, minutes, price_of(labels, prices))
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


def _by_labels(rows: Rows) -> list[tuple[int, int, str, int, int, int]]:
    """Return the jobs that ran, and their rounded minutes, by workflow, labels and purpose."""
    groups, (n, minutes) = rows.grouped(("repository_id", "workflow_id", "labels", "purpose"), _billed)
    return [(*group, of, took) for group, of, took in zip(groups, n.tolist(), minutes.tolist(), strict=True)]


def _billed(part: Rows) -> Measured:
    billed = part.where(part["minutes"] >= 0)
    return billed, [None, billed["minutes"]]
