"""The shapes of shifts."""

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Moment
from pipemon.api.schemas.jobs import Seconds
from pipemon.api.schemas.window import BuildsUrl, Definitions, WindowAnswer


class Mark(Answer):
    build_id = fields.Integer(attribute="id", **HERE)
    run_number = fields.Integer(**HERE)
    commit_sha = Cut(7, attribute="sha", **MAYBE)
    created_at = Moment(**HERE)
    url = fields.String(**MAYBE)


class Regression(Answer):
    repository = fields.String(**HERE)
    workflow = fields.String(**HERE)
    workflow_id = fields.Integer(**HERE)
    job = fields.String(**MAYBE)
    measure = fields.String(metadata={"description": "duration, queue_time or failure_rate."}, **HERE)
    unit = fields.String(**HERE)
    before = Seconds(attribute="shift.before", **HERE)
    after = Seconds(attribute="shift.after", **HERE)
    absolute = fields.Float(**HERE)
    relative = fields.Float(**MAYBE)
    n_before = fields.Integer(attribute="shift.n_before", **HERE)
    n_after = fields.Integer(attribute="shift.n_after", **HERE)
    z = fields.Float(attribute="shift.z", **HERE)
    since = fields.Nested(Mark, **HERE)
    until = fields.Nested(Mark, **MAYBE)
    builds_url = BuildsUrl("decisive", attribute="scope", **HERE)


class Regressions(WindowAnswer):
    regressions = fields.List(fields.Nested(Regression), **HERE)
    improvements = fields.List(fields.Nested(Regression), **HERE)
    workflows = fields.Integer(**HERE)
    definitions = Definitions(regressions="regression", improvements="regression", workflows="regression")
