"""The shapes of `/pipeline`."""

from marshmallow import fields, validate

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Minutes, Moment, Whole
from pipemon.api.schemas.scope import Repositories

YEAR_MINUTES = 525_600


class AsOfAnswer(Answer):
    """The moment up to which the answer is true, and whether that is as planned."""

    timestamp = Moment(attribute="as_of.timestamp", **HERE)
    data_state = fields.String(
        attribute="as_of.data_state", validate=validate.OneOf(["fresh", "stale", "never"]), **HERE
    )


class OverviewArguments(Repositories):
    lookback_minutes = Whole(load_default=60, validate=validate.Range(1, YEAR_MINUTES))


class MetricsArguments(Repositories):
    lookback_minutes = Whole(load_default=1440, validate=validate.Range(60, YEAR_MINUTES))


class StatusArguments(Repositories):
    pass


class RecentArguments(Repositories):
    limit = Whole(load_default=10, validate=validate.Range(1, 50))


class QueueStatus(Answer):
    queued_count = fields.Integer(attribute="activity.queued_count", **HERE)
    running_count = fields.Integer(attribute="activity.running_count", **HERE)
    waiting_count = fields.Integer(attribute="activity.waiting_count", **HERE)
    estimated_wait_time = Minutes(attribute="wait_seconds", **MAYBE)


class Deployment(Answer):
    id = fields.Integer(**HERE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    commit_message = Cut(100, **MAYBE)
    author = fields.String(**MAYBE)
    deployed_at = Moment(**MAYBE)
    status = fields.String(**HERE)
    duration_seconds = fields.Integer(**MAYBE)
    environment = fields.String(**MAYBE)
    url = fields.String(**MAYBE)


class CurrentBuild(Answer):
    id = fields.Integer(**HERE)
    name = fields.String(**MAYBE)
    repository = fields.String(**HERE)
    status = fields.String(**HERE)
    branch = fields.String(**MAYBE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    started_at = Moment(**HERE)
    duration_seconds = fields.Integer(**HERE)
    url = fields.String(**MAYBE)
    progress_percent = fields.Float(attribute="progress.percent", **MAYBE)
    eta = Moment(attribute="progress.eta", **MAYBE)
    eta_p90 = Moment(attribute="progress.eta_p90", **MAYBE)
    overdue = fields.Boolean(attribute="progress.overdue", **MAYBE)
    jobs_completed = fields.Integer(**MAYBE)
    jobs_total = fields.Integer(**MAYBE)


class Overview(AsOfAnswer):
    status = fields.String(validate=validate.OneOf(["idle", "running", "success", "failed", "cancelled"]), **HERE)
    success_rate = fields.Float(attribute="outcomes.success_rate", **HERE)
    failure_rate = fields.Float(attribute="outcomes.failure_rate", **HERE)
    success_count = fields.Integer(attribute="outcomes.succeeded", **HERE)
    failure_count = fields.Integer(attribute="outcomes.failed", **HERE)
    n = fields.Integer(attribute="outcomes.decisive", **HERE)
    total_runs_analyzed = fields.Integer(attribute="outcomes.total", **HERE)
    queue_status = fields.Nested(QueueStatus, attribute="queue", **HERE)
    recent_deployments = fields.List(fields.Nested(Deployment), attribute="deployments", **HERE)
    current_build = fields.Nested(CurrentBuild, attribute="newest_current", **MAYBE)
    current_builds = fields.List(fields.Nested(CurrentBuild), attribute="running", **HERE)
    history_complete = fields.Boolean(**HERE)


class LastRun(Answer):
    conclusion = fields.String(**MAYBE)
    completed_at = Moment(**MAYBE)
    duration_seconds = fields.Integer(**MAYBE)


class RateLimit(Answer):
    limit = fields.Integer(**MAYBE)
    remaining = fields.Integer(**MAYBE)
    reset_at = Moment(**MAYBE)


class RepositorySync(Answer):
    name = fields.String(**HERE)
    interval_seconds = fields.Integer(**MAYBE)
    last_success_at = Moment(**MAYBE)
    data_state = fields.String(**HERE)


class Sync(Answer):
    last_success_at = Moment(**MAYBE)
    lag_seconds = fields.Integer(**MAYBE)
    rate_limit = fields.Nested(RateLimit, **HERE)
    repositories = fields.List(fields.Nested(RepositorySync), **HERE)


class Status(Answer):
    overall_status = fields.String(
        attribute="pipeline.status",
        validate=validate.OneOf(["idle", "running", "success", "failed", "cancelled"]),
        **HERE,
    )
    running_jobs = fields.Integer(attribute="pipeline.jobs.running_count", **HERE)
    queued_jobs = fields.Integer(attribute="pipeline.jobs.queued_count", **HERE)
    waiting_jobs = fields.Integer(attribute="pipeline.jobs.waiting_count", **HERE)
    last_run_status = fields.Nested(LastRun, attribute="pipeline.last_run", **MAYBE)
    active_branches = fields.List(fields.String(), attribute="pipeline.branches", **HERE)
    sync = fields.Nested(Sync, **HERE)
    timestamp = Moment(attribute="pipeline.as_of.timestamp", **HERE)
    data_state = fields.String(attribute="pipeline.as_of.data_state", **HERE)


class Metrics(AsOfAnswer):
    total_runs = fields.Integer(attribute="outcomes.total", **HERE)
    success_count = fields.Integer(attribute="outcomes.succeeded", **HERE)
    failure_count = fields.Integer(attribute="outcomes.failed", **HERE)
    success_rate = fields.Float(attribute="outcomes.success_rate", **HERE)
    n = fields.Integer(attribute="durations.n", **HERE)
    average_duration_minutes = Minutes(attribute="durations.mean", empty=0, **HERE)
    fastest_build_minutes = Minutes(attribute="durations.smallest", empty=0, **HERE)
    slowest_build_minutes = Minutes(attribute="durations.largest", empty=0, **HERE)
    median_duration_minutes = Minutes(attribute="durations.median", **MAYBE)
    p95_duration_minutes = Minutes(attribute="durations.p95", **MAYBE)
    builds_per_day = fields.Float(**HERE)
    history_complete = fields.Boolean(**HERE)


class Activity(Answer):
    id = fields.Integer(**HERE)
    name = fields.String(**MAYBE)
    status = fields.String(**HERE)
    conclusion = fields.String(**MAYBE)
    branch = fields.String(**MAYBE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    commit_message = Cut(200, **MAYBE)
    author = fields.String(**MAYBE)
    started_at = Moment(**HERE)
    updated_at = Moment(**HERE)
    duration_seconds = fields.Integer(**MAYBE)
    url = fields.String(**MAYBE)
    repository = fields.String(**HERE)


class Recent(AsOfAnswer):
    activities = fields.List(fields.Nested(Activity), attribute="builds", **HERE)
    total_count = fields.Integer(**HERE)
