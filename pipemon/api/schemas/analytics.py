"""The shapes of `/analytics`."""

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.delivery import KEY_DEFINITIONS, FourKeys, LeadChange
from pipemon.api.schemas.fields import HERE, MAYBE, Minutes, Moment
from pipemon.api.schemas.window import BuildsUrl, Definitions, WindowAnswer


class Definition(Answer):
    id = fields.String(**HERE)
    name = fields.String(**HERE)
    unit = fields.String(**HERE)
    formula = fields.String(**HERE)
    counts = fields.String(**HERE)
    leaves_out = fields.String(**HERE)
    source = fields.String(**HERE)


class DefinitionList(Answer):
    definitions = fields.List(fields.Nested(Definition), **HERE)


class Point(Answer):
    timestamp = Moment(**HERE)
    value = fields.Float(**HERE)
    n = fields.Integer(**HERE)


class Change(Answer):
    absolute = fields.Float(**HERE)
    relative = fields.Float(**MAYBE)


class Numbers(Answer):
    total_builds = fields.Integer(attribute="tally.total", **HERE)
    n = fields.Integer(attribute="tally.decisive", **HERE)
    success_rate = fields.Float(attribute="tally.success_rate", **HERE)
    failure_rate = fields.Float(attribute="tally.failure_rate", **HERE)
    first_attempt_success_rate = fields.Float(**MAYBE)
    average_duration_minutes = Minutes(attribute="tally.mean_seconds", empty=0, **HERE)
    mttr_minutes = Minutes(attribute="recovery.mean", empty=0, **HERE)
    recovered_incidents = fields.Integer(attribute="recovery.n", **HERE)
    builds_per_day = fields.Float(**HERE)


class PreviousNumbers(Numbers, FourKeys):
    created_from = Moment(attribute="window.scope.created_from", **HERE)
    created_to = Moment(attribute="window.scope.created_to", **HERE)
    complete = fields.Boolean(**HERE)
    builds_url = BuildsUrl(attribute="window.scope", **HERE)


class Changes(Answer):
    total_builds = fields.Nested(Change, **MAYBE)
    success_rate = fields.Nested(Change, **MAYBE)
    failure_rate = fields.Nested(Change, **MAYBE)
    first_attempt_success_rate = fields.Nested(Change, **MAYBE)
    average_duration_minutes = fields.Nested(Change, **MAYBE)
    mttr_minutes = fields.Nested(Change, **MAYBE)
    builds_per_day = fields.Nested(Change, **MAYBE)
    deployment_frequency_per_day = fields.Nested(Change, attribute="keys.deployment_frequency_per_day", **MAYBE)
    lead_time_minutes = fields.Nested(LeadChange, attribute="keys.lead_time_minutes", **MAYBE)
    change_failure_rate = fields.Nested(Change, attribute="keys.change_failure_rate", **MAYBE)
    time_to_restore_minutes = fields.Nested(Change, attribute="keys.time_to_restore_minutes", **MAYBE)


class AnalyticsOverview(WindowAnswer, FourKeys):
    total_builds = fields.Integer(attribute="now.tally.total", **HERE)
    success_rate = fields.Float(attribute="now.tally.success_rate", **HERE)
    failure_rate = fields.Float(attribute="now.tally.failure_rate", **HERE)
    first_attempt_success_rate = fields.Float(attribute="now.first_attempt_success_rate", **MAYBE)
    average_duration_minutes = Minutes(attribute="now.tally.mean_seconds", empty=0, **HERE)
    mttr_minutes = Minutes(attribute="now.recovery.mean", empty=0, **HERE)
    recovered_incidents = fields.Integer(attribute="now.recovery.n", **HERE)
    builds_per_day = fields.Float(attribute="now.builds_per_day", **HERE)
    most_active_branch = fields.String(**MAYBE)
    most_active_author = fields.String(**MAYBE)
    previous = fields.Nested(PreviousNumbers, **HERE)
    change = fields.Nested(Changes, attribute="changes", **MAYBE)
    unavailable = fields.Dict(keys=fields.String(), values=fields.String(), attribute="keys.unavailable", **HERE)
    definitions = Definitions(
        total_builds="builds.total",
        success_rate="rate.success",
        failure_rate="rate.failure",
        first_attempt_success_rate="rate.success.first_attempt",
        average_duration_minutes="duration.mean",
        mttr_minutes="mttr",
        recovered_incidents="incident",
        builds_per_day="builds.per_day",
        most_active_branch="most_active",
        most_active_author="most_active",
        **KEY_DEFINITIONS,
    )


class Trends(WindowAnswer):
    success_trend = fields.List(fields.Nested(Point), attribute="success", **HERE)
    failure_trend = fields.List(fields.Nested(Point), attribute="failure", **HERE)
    duration_trend = fields.List(fields.Nested(Point), attribute="duration", **HERE)
    granularity = fields.String(**HERE)
    tz = fields.String(attribute="basis.window.zone.key", **HERE)
    definitions = Definitions(
        success_trend="rate.success", failure_trend="rate.failure", duration_trend="duration.mean"
    )
