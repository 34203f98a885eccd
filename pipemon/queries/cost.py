"""What the jobs of a window cost by the table of prices, and how much of it was for nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, TypeAlias

from pipemon.analytics.prices import price_of
from pipemon.queries.aside import aside
from pipemon.queries.freshness import AsOf
from pipemon.queries.look import Look, Source, over
from pipemon.queries.rows import Measured, Rows
from pipemon.queries.scope import Scope
from pipemon.queries.verdicts import PURPOSES
from pipemon.queries.window import Basis, Exclusion, Window, coverage

WASTES = ("failed", "cancelled", "rerun", "superseded")


@dataclass(frozen=True, slots=True)
class Spent:
    """Minutes, each job attempt's rounded up, and what they cost in dollars. `unpriced`: the table knows no label."""

    jobs: int = 0
    minutes: int = 0
    billable: int = 0
    unpriced: int = 0
    dollars: float = 0.0


NUMBERS = attrgetter(*(part.name for part in fields(Spent)))


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

    def _sum(self, names: tuple[str, ...]) -> Spent:
        found = [self.parts[name] for name in names if name in self.parts]
        return found[0] if len(found) == 1 else Spent(*map(sum, zip(*map(NUMBERS, found), strict=True)))


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
    sums = over(db, "jobs", window.scope, _spent, prices)
    bill, rows, labels = aside(_told, sums, db.workflows, window.scope, prices)
    every = bill.whole
    excluded = (Exclusion("minutes_without_a_price", every.unpriced),) if every.unpriced else ()
    basis = Basis(window, every.jobs, excluded, coverage(db, window))
    return Cost(basis, bill, rows, labels, window.as_of)


# By purpose what is spent, as the fields of Spent.
Sums: TypeAlias = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class _Sums:
    whole: Sums = field(default_factory=dict)
    by_workflow: dict[tuple[int, int], Sums] = field(default_factory=dict)
    by_labels: dict[tuple[str, ...], Sums] = field(default_factory=dict)


def _spent(rows: Rows, prices: Mapping[str, float]) -> _Sums:
    found = _Sums()
    known: dict[str, tuple[tuple[str, ...], float | None]] = {}
    for repository_id, workflow_id, text, place, n, minutes in _by_labels(rows):
        if text not in known:
            labels = tuple(sorted(json.loads(text)))
            known[text] = labels, price_of(labels, prices)
        labels, price = known[text]
        of_workflow = found.by_workflow.setdefault((repository_id, workflow_id), {})
        for own in (found.whole, of_workflow, found.by_labels.setdefault(labels, {})):
            _spend(own.setdefault(PURPOSES[place], [0, 0, 0, 0, 0.0]), n, minutes, price)
    return found


def _told(
    sums: _Sums, names: Mapping[int, tuple[int, str]], scope: Scope, prices: Mapping[str, float]
) -> tuple[Bill, tuple[WorkflowBill, ...], tuple[LabelBill, ...]]:
    """Return the bill of all, and those of the workflows and of the labels, the dearest first."""
    rows = [
        WorkflowBill(
            scope.repositories[repository_id], key, names.get(key, (0, str(key)))[1], _bill(own),
            replace(scope, workflow=str(key)),
        )
        for (repository_id, key), own in sums.by_workflow.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: (*_dearest(row.bill), row.workflow, row.workflow_id))
    told = [LabelBill(labels, price_of(labels, prices), _bill(own)) for labels, own in sums.by_labels.items()]
    told.sort(key=lambda row: (*_dearest(row.bill), row.labels))
    return _bill(sums.whole), tuple(rows), tuple(told)


def _spend(own: list[Any], count: int, minutes: int, price: float | None) -> None:
    own[0] += count
    own[1] += minutes
    own[2] += minutes if price else 0
    own[3] += minutes if price is None else 0
    own[4] += minutes * (price or 0.0)


def _bill(sums: Sums) -> Bill:
    return Bill({what: Spent(*own) for what, own in sums.items()})


def _dearest(bill: Bill) -> tuple[float, int]:
    whole = bill.whole
    return -whole.dollars, -whole.minutes


def _by_labels(rows: Rows) -> list[tuple[int, int, str, int, int, int]]:
    """Return the jobs that ran, and their rounded minutes, by workflow, labels and purpose."""
    groups, (n, minutes) = rows.grouped(("repository_id", "workflow_id", "labels", "purpose"), _billed)
    return [(*group, of, took) for group, of, took in zip(groups, n.tolist(), minutes.tolist(), strict=True)]


def _billed(part: Rows) -> Measured:
    billed = part.where(part["minutes"] >= 0)
    return billed, [None, billed["minutes"]]
