"""The shapes of what lists runs, jobs, workflows and incidents of a window side by side."""

from marshmallow import fields

from pipemon.api.schemas.analytics import Point
from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.failures import SignatureGroup
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Minutes, Moment
from pipemon.api.schemas.jobs import FlakyJob
from pipemon.api.schemas.regressions import Regression
from pipemon.api.schemas.window import BuildsUrl, Definitions, Exclusion, WindowAnswer, told


class Incident(Answer):
    failure_id = fields.Integer(**HERE)
    failure_time = Moment(attribute="started_at", **HERE)
    recovery_time = Moment(attribute="recovered_at", **MAYBE)
    recovery_minutes = Minutes(attribute="seconds", **MAYBE)
    branch = fields.String(**MAYBE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    author = fields.String(**MAYBE)
    workflow = fields.String(**MAYBE)
    workflow_id = fields.Integer(**HERE)
    repository = fields.String(**HERE)
    pull_request = fields.Boolean(**HERE)
    failures = fields.Integer(**HERE)
    last_green = fields.Integer(**MAYBE)
    recovered_by = fields.Integer(**MAYBE)


class OpenIncident(Incident):
    age_minutes = Minutes(attribute="age_seconds", **HERE)


class IncidentsAnswer(WindowAnswer):
    """The frame of what is counted over incidents: those that recovered enter the means, the open ones do not.

    Its link leads to the failures of the window; each incident names the builds that opened and recovered it.
    """

    n = fields.Integer(attribute="recovery.n", metadata=told("How many incidents recovered in the window."), **HERE)
    excluded = fields.List(fields.Nested(Exclusion), attribute="left_out", **HERE)
    builds_url = BuildsUrl("failed", attribute="basis.window.scope", **HERE)


class Recovery(IncidentsAnswer):
    """What `/analytics/mttr` answers."""

    overall_mttr_minutes = Minutes(attribute="recovery.mean", empty=0, **HERE)
    median_minutes = Minutes(attribute="recovery.median", **MAYBE)
    p90_minutes = Minutes(attribute="recovery.p90", **MAYBE)
    weekly_mttr = fields.List(fields.Nested(Point), attribute="weekly", **HERE)
    failure_incidents = fields.List(fields.Nested(Incident), attribute="incidents", **HERE)
    open_incidents = fields.List(fields.Nested(OpenIncident), **HERE)
    total_failures = fields.Integer(**HERE)
    total_incidents = fields.Integer(**HERE)
    tz = fields.String(attribute="basis.window.zone.key", **HERE)
    definitions = Definitions(
        overall_mttr_minutes="mttr",
        median_minutes="mttr",
        p90_minutes="mttr",
        weekly_mttr="mttr",
        failure_incidents="incident",
        open_incidents="incident",
        total_failures="builds.failed",
        total_incidents="incident",
    )


class IncidentList(IncidentsAnswer):
    incidents = fields.List(fields.Nested(Incident), **HERE)
    open_incidents = fields.List(fields.Nested(OpenIncident), **HERE)
    total_incidents = fields.Integer(**HERE)
    definitions = Definitions(incidents="incident", open_incidents="incident", total_incidents="incident")


class BranchShare(Answer):
    branch = fields.String(attribute="name", **HERE)
    total_builds = fields.Integer(attribute="total", **HERE)
    failures = fields.Integer(attribute="failed", **HERE)
    failure_rate = fields.Float(**HERE)
    builds_url = BuildsUrl("failed", attribute="scope", **HERE)


class AuthorShare(Answer):
    author = fields.String(attribute="name", **HERE)
    total_builds = fields.Integer(attribute="total", **HERE)
    failures = fields.Integer(attribute="failed", **HERE)
    failure_rate = fields.Float(**HERE)
    builds_url = BuildsUrl("failed", attribute="scope", **HERE)


class FailedBuild(Answer):
    build_id = fields.Integer(attribute="id", **HERE)
    conclusion = fields.String(**HERE)
    branch = fields.String(**MAYBE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    commit_message = Cut(200, **MAYBE)
    author = fields.String(**MAYBE)
    failed_at = Moment(attribute="completed_at", **MAYBE)
    duration_minutes = Minutes(attribute="duration_seconds", **MAYBE)
    url = fields.String(**MAYBE)
    repository = fields.String(**HERE)


class FailingJob(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    name = fields.String(**HERE)
    failures = fields.Integer(attribute="failed", **HERE)
    n = fields.Integer(**HERE)
    builds_url = BuildsUrl("failed", attribute="scope", **HERE)


class FailingStep(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    job = fields.String(**HERE)
    name = fields.String(**HERE)
    failures = fields.Integer(attribute="failed", **HERE)
    last_build_id = fields.Integer(attribute="last_run_id", **HERE)
    builds_url = BuildsUrl("failed", attribute="scope", **HERE)


class Failures(WindowAnswer):
    total_failures = fields.Integer(attribute="tally.failed", **HERE)
    failure_rate = fields.Float(attribute="tally.failure_rate", **HERE)
    failure_by_branch = fields.List(fields.Nested(BranchShare), attribute="by_branch", **HERE)
    failure_by_author = fields.List(fields.Nested(AuthorShare), attribute="by_author", **HERE)
    recent_failures = fields.List(fields.Nested(FailedBuild), attribute="recent", **HERE)
    failure_trend = fields.List(fields.Nested(Point), attribute="trend", **HERE)
    failing_jobs = fields.List(fields.Nested(FailingJob), attribute="jobs", **HERE)
    tz = fields.String(attribute="basis.window.zone.key", **HERE)
    signatures = fields.List(fields.Nested(SignatureGroup), **HERE)
    failing_steps = fields.List(fields.Nested(FailingStep), attribute="steps", **HERE)
    flaky_jobs = fields.List(fields.Nested(FlakyJob), attribute="flaky", **HERE)
    definitions = Definitions(
        total_failures="builds.failed",
        failure_rate="rate.failure",
        failure_by_branch="rate.failure",
        failure_by_author="rate.failure",
        recent_failures="builds.failed",
        failure_trend="rate.failure",
        failing_jobs="jobs.failing",
        signatures="failures.signature",
        failing_steps="steps.failing",
        flaky_jobs="jobs.flaky",
    )


class SlowBuild(Answer):
    build_id = fields.Integer(attribute="id", **HERE)
    duration_minutes = Minutes(attribute="duration_seconds", **HERE)
    branch = fields.String(**MAYBE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    completed_at = Moment(**MAYBE)
    url = fields.String(**MAYBE)
    repository = fields.String(**HERE)


class SlowJob(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    name = fields.String(**HERE)
    average_minutes = Minutes(attribute="seconds", **HERE)
    n = fields.Integer(**HERE)
    critical_path_share = fields.Float(attribute="critical_share", **HERE)
    exclusive_minutes = Minutes(attribute="exclusive_seconds", **HERE)
    builds_url = BuildsUrl("decisive", attribute="scope", **HERE)


class SlowStep(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    job = fields.String(**HERE)
    name = fields.String(**HERE)
    average_minutes = Minutes(attribute="seconds", **HERE)
    n = fields.Integer(**HERE)
    critical_path_share = fields.Float(attribute="critical_share", **HERE)
    builds_url = BuildsUrl("decisive", attribute="scope", **HERE)


class Queue(Answer):
    n = fields.Integer(**HERE)
    median = Minutes(**MAYBE)
    p95 = Minutes(**MAYBE)


class Performance(WindowAnswer):
    average_duration_minutes = Minutes(attribute="durations.mean", empty=0, **HERE)
    median_duration_minutes = Minutes(attribute="durations.median", empty=0, **HERE)
    p95_duration_minutes = Minutes(attribute="durations.p95", empty=0, **HERE)
    fastest_build_minutes = Minutes(attribute="durations.smallest", empty=0, **HERE)
    slowest_build_minutes = Minutes(attribute="durations.largest", empty=0, **HERE)
    duration_trend = fields.List(fields.Nested(Point), attribute="trend", **HERE)
    bottlenecks = fields.List(fields.Nested(SlowBuild), attribute="slowest", **HERE)
    queue_minutes = fields.Nested(Queue, attribute="queue", **HERE)
    slowest_jobs = fields.List(fields.Nested(SlowJob), attribute="jobs", **HERE)
    tz = fields.String(attribute="basis.window.zone.key", **HERE)
    slowest_steps = fields.List(fields.Nested(SlowStep), attribute="steps", **HERE)
    regressions = fields.List(fields.Nested(Regression), **HERE)
    definitions = Definitions(
        average_duration_minutes="duration.mean",
        median_duration_minutes="duration.median",
        p95_duration_minutes="duration.p95",
        fastest_build_minutes="duration.extremes",
        slowest_build_minutes="duration.extremes",
        duration_trend="duration.mean",
        bottlenecks="duration.extremes",
        queue_minutes="queue.run",
        slowest_jobs="jobs.slowest",
        slowest_steps="steps.slowest",
        regressions="regression",
    )


class Workflow(Answer):
    workflow_name = fields.String(attribute="name", **HERE)
    workflow_id = fields.Integer(attribute="id", **HERE)
    repository = fields.String(**HERE)
    total_runs = fields.Integer(attribute="tally.total", **HERE)
    success_rate = fields.Float(attribute="tally.success_rate", **HERE)
    average_duration_minutes = Minutes(attribute="tally.mean_seconds", empty=0, **HERE)
    successful_runs = fields.Integer(attribute="tally.succeeded", **HERE)
    failed_runs = fields.Integer(attribute="tally.failed", **HERE)
    p95_duration_minutes = Minutes(attribute="p95_seconds", **MAYBE)
    queue_minutes = Minutes(attribute="queue_seconds", **MAYBE)
    builds_url = BuildsUrl(attribute="scope", **HERE)
    billable_minutes = fields.Integer(attribute="billable", **MAYBE)
    estimated_cost = fields.Float(attribute="cost", **MAYBE)


class Comparison(WindowAnswer):
    workflows = fields.List(fields.Nested(Workflow), **HERE)
    definitions = Definitions(
        total_runs="builds.total",
        success_rate="rate.success",
        average_duration_minutes="duration.mean",
        successful_runs="builds.succeeded",
        failed_runs="builds.failed",
        p95_duration_minutes="duration.p95",
        queue_minutes="queue.run",
        billable_minutes="cost.minutes",
        estimated_cost="cost.estimate",
    )
