"""The shapes of what is counted over jobs: flakiness, waits, cost."""

from typing import Any

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Cut
from pipemon.api.schemas.window import (
    BuildsUrl,
    Days,
    Definitions,
    Frame,
    TableArguments,
    ZonedTableArguments,
)


class FlakyArguments(TableArguments):
    lookback_days = Days(14)


class QueueArguments(ZonedTableArguments):
    lookback_days = Days(7)


class Seconds(fields.Field[float]):
    """Seconds with 1 decimal."""

    def _serialize(self, value: float | None, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else round(value, 1)


class Dollars(fields.Field[float]):
    """Dollars with 2 decimals; without a price that is 0."""

    def _serialize(self, value: float | None, attr: str | None, obj: Any, **kwargs: Any) -> float:
        return round(value or 0.0, 2)


class FlakyCommit(Answer):
    commit_sha = Cut(7, attribute="sha", **HERE)
    failed_build_id = fields.Integer(attribute="failed_in", **HERE)
    succeeded_build_id = fields.Integer(attribute="succeeded_in", **HERE)


class FlakyJob(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    workflow_id = fields.Integer(**HERE)
    name = fields.String(**HERE)
    n = fields.Integer(**HERE)
    flaky = fields.Integer(**HERE)
    flake_rate = fields.Float(**HERE)
    flake_rate_low = fields.Float(attribute="low", **HERE)
    flake_rate_high = fields.Float(attribute="high", **HERE)
    platform_failures = fields.Integer(attribute="platform", **HERE)
    commits = fields.List(fields.Nested(FlakyCommit), **HERE)
    builds_url = BuildsUrl(attribute="scope", completed=False, **HERE)


class JobsAnswer(Frame):
    """The frame of what is counted over jobs: of builds that still run too."""

    builds_url = BuildsUrl(attribute="basis.window.scope", completed=False, **HERE)


class Flakiness(JobsAnswer):
    flake_rate = fields.Float(**HERE)
    flaky = fields.Integer(**HERE)
    platform_failures = fields.Integer(attribute="platform", **HERE)
    flaky_jobs = fields.List(fields.Nested(FlakyJob), attribute="jobs", **HERE)
    definitions = Definitions(
        flake_rate="jobs.flaky", flaky="jobs.flaky", platform_failures="jobs.platform", flaky_jobs="jobs.flaky"
    )


class Waits(Answer):
    n = fields.Integer(**HERE)
    median_seconds = Seconds(attribute="median", **MAYBE)
    p90_seconds = Seconds(attribute="p90", **MAYBE)
    p95_seconds = Seconds(attribute="p95", **MAYBE)
    max_seconds = Seconds(attribute="longest", **MAYBE)


class HourWaits(Waits):
    hour = fields.Integer(**HERE)


class LabelWaits(Waits):
    labels = fields.List(fields.String(), **HERE)
    hours = fields.List(fields.Nested(HourWaits), **HERE)


class Queues(JobsAnswer):
    whole = fields.Nested(Waits, **HERE)
    hours = fields.List(fields.Nested(HourWaits), **HERE)
    labels = fields.List(fields.Nested(LabelWaits), **HERE)
    tz = fields.String(attribute="basis.window.zone.key", **HERE)
    definitions = Definitions(whole="queue.job", hours="queue.job", labels="queue.job")


class Spent(Answer):
    jobs = fields.Integer(**HERE)
    minutes = fields.Integer(**HERE)
    billable_minutes = fields.Integer(attribute="billable", **HERE)
    estimated_cost = Dollars(attribute="dollars", **HERE)


class Wastes(Answer):
    failed = fields.Nested(Spent, **HERE)
    cancelled = fields.Nested(Spent, **HERE)
    rerun = fields.Nested(Spent, **HERE)
    superseded = fields.Nested(Spent, **HERE)


class Bill(Answer):
    minutes = fields.Integer(attribute="bill.whole.minutes", **HERE)
    billable_minutes = fields.Integer(attribute="bill.whole.billable", **HERE)
    unpriced_minutes = fields.Integer(attribute="bill.whole.unpriced", **HERE)
    estimated_cost = Dollars(attribute="bill.whole.dollars", **HERE)
    useful_cost = Dollars(attribute="bill.useful.dollars", **HERE)
    wasted_cost = Dollars(attribute="bill.wasted.dollars", **HERE)
    useful_minutes = fields.Integer(attribute="bill.useful.minutes", **HERE)
    wasted_minutes = fields.Integer(attribute="bill.wasted.minutes", **HERE)


class WorkflowBill(Bill):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    workflow_id = fields.Integer(**HERE)
    builds_url = BuildsUrl(attribute="scope", completed=False, **HERE)


class LabelBill(Bill):
    labels = fields.List(fields.String(), **HERE)
    price_per_minute = fields.Float(attribute="price", **MAYBE)


class Currency(fields.String):
    """What costs are in."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return "USD"


class Cost(JobsAnswer, Bill):
    currency = Currency(attribute="basis", **HERE)
    wasted = fields.Nested(Wastes, attribute="bill.wastes", **HERE)
    workflows = fields.List(fields.Nested(WorkflowBill), **HERE)
    labels = fields.List(fields.Nested(LabelBill), **HERE)
    definitions = Definitions(
        minutes="cost.minutes",
        billable_minutes="cost.minutes",
        unpriced_minutes="cost.minutes",
        estimated_cost="cost.estimate",
        useful_cost="cost.waste",
        useful_minutes="cost.waste",
        wasted_cost="cost.waste",
        wasted_minutes="cost.waste",
        wasted="cost.waste",
        workflows="cost.estimate",
        labels="cost.estimate",
    )
