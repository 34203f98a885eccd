"""The shapes of the four keys."""

from typing import Any
from urllib.parse import urlencode

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Minutes, Moment, Text
from pipemon.api.schemas.scope import Repositories
from pipemon.api.schemas.window import Days, Definitions, Format, Frame

KEY_DEFINITIONS = {
    "deployment_frequency_per_day": "dora.frequency",
    "lead_time_minutes": "dora.lead_time",
    "change_failure_rate": "dora.change_failure_rate",
    "time_to_restore_minutes": "dora.recovery_time",
    "dora_level": "dora.level",
}


class DoraArguments(Repositories):
    lookback_days = Days(30)
    environment = Text(
        load_default=None, metadata={"description": "The keys of this environment alone, be it production or not."}
    )
    format = Format()


class Spread(Answer):
    n = fields.Integer(**HERE)
    median = Minutes(**MAYBE)
    p90 = Minutes(**MAYBE)


class Level(Answer):
    deployment_frequency = fields.String(**MAYBE)
    lead_time = fields.String(**MAYBE)
    change_failure_rate = fields.String(**MAYBE)
    time_to_restore = fields.String(**MAYBE)


class FourKeys(Answer):
    deployment_frequency_per_day = fields.Float(attribute="keys.frequency_per_day", **MAYBE)
    lead_time_minutes = fields.Nested(Spread, attribute="keys.lead_time", **MAYBE)
    change_failure_rate = fields.Float(attribute="keys.change_failure_rate", **MAYBE)
    time_to_restore_minutes = Minutes(attribute="keys.restore.median", **MAYBE)
    dora_level = fields.Nested(Level, attribute="keys.level", **MAYBE)


class CountedKeys(FourKeys):
    deployments = fields.Integer(attribute="keys.deployments", **HERE)
    deploy_days_per_week = fields.Float(attribute="keys.deploy_days_per_week", **MAYBE)
    changes = fields.Integer(attribute="keys.changes", **HERE)
    failed_changes = fields.Integer(attribute="keys.failed_changes", **HERE)
    recoveries = fields.Integer(attribute="keys.restore.n", **HERE)
    unavailable = fields.Dict(keys=fields.String(), values=fields.String(), attribute="keys.unavailable", **HERE)


class KeyChange(Answer):
    absolute = fields.Float(**HERE)
    relative = fields.Float(**MAYBE)


class LeadChange(Answer):
    median = fields.Nested(KeyChange, **HERE)
    p90 = fields.Nested(KeyChange, **MAYBE)


class KeyChanges(Answer):
    deployment_frequency_per_day = fields.Nested(KeyChange, **MAYBE)
    lead_time_minutes = fields.Nested(LeadChange, **MAYBE)
    change_failure_rate = fields.Nested(KeyChange, **MAYBE)
    time_to_restore_minutes = fields.Nested(KeyChange, **MAYBE)


class Failure(Answer):
    deployment_id = fields.Integer(**HERE)
    commit_sha = Cut(7, attribute="sha", **HERE)
    failed_at = Moment(**HERE)
    why = fields.String(
        metadata={"description": "ended_in_failure, rolled_back, reverted or hotfixed."},
        **HERE,
    )
    marked_by = fields.Integer(attribute="by", **MAYBE)
    recovered_by = fields.Integer(**MAYBE)
    recovered_at = Moment(**MAYBE)
    recovery_minutes = Minutes(attribute="seconds", **MAYBE)


class DeploymentsUrl(fields.Field[Any]):
    """Repository and environment inside; outside the address of the list of its deployments."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string"}, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return f"/api/v1/deployments?{urlencode(dict(zip(('repo', 'environment'), value, strict=True)))}"


class EnvironmentKeys(CountedKeys):
    repository = fields.String(**HERE)
    environment = fields.String(**HERE)
    source = fields.String(**HERE)
    production = fields.Boolean(**HERE)
    kinds = fields.Dict(keys=fields.String(), values=fields.Integer(), attribute="facts.kinds", **HERE)
    without_lead_time = fields.Dict(keys=fields.String(), values=fields.Integer(), attribute="facts.no_lead", **HERE)
    change_failures = fields.List(fields.Nested(Failure), attribute="failed", **HERE)
    open_failures = fields.List(fields.Nested(Failure), attribute="unrecovered", **HERE)
    deployments_url = DeploymentsUrl(attribute="name", **HERE)


class PreviousKeys(CountedKeys):
    complete = fields.Boolean(**HERE)


class Dora(Frame, CountedKeys):
    environments = fields.List(fields.Nested(EnvironmentKeys), **HERE)
    previous = fields.Nested(PreviousKeys, **HERE)
    change = fields.Nested(KeyChanges, **MAYBE)
    definitions = Definitions(
        deployments="dora.deployment",
        deploy_days_per_week="dora.frequency",
        changes="dora.change",
        failed_changes="dora.change_failure_rate",
        recoveries="dora.recovery_time",
        environments="dora.deployment",
        **KEY_DEFINITIONS,
    )
