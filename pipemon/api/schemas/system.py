"""The shapes of the root, of `/health`, and of every error."""

from marshmallow import fields, validate

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Moment

HEALTH_WORDS = ("healthy", "degraded", "unhealthy", "not_configured", "unknown")


class Root(Answer):
    message = fields.String(**HERE)
    version = fields.String(**HERE)
    status = fields.String(**HERE)
    docs = fields.String(**HERE)
    dashboard = fields.String(**MAYBE)


def _word() -> fields.String:
    return fields.String(validate=validate.OneOf(HEALTH_WORDS), **HERE)


class Checks(Answer):
    database = _word()
    github = _word()
    scheduler = _word()
    slack = _word()


class Health(Answer):
    status = fields.String(validate=validate.OneOf(["healthy", "degraded", "unhealthy"]), **HERE)
    service = fields.String(**HERE)
    timestamp = Moment(**HERE)
    version = fields.String(**HERE)
    checks = fields.Nested(Checks, **HERE)
    causes = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "Why a part is not healthy, by its name; null to those who may not read."},
        **MAYBE,
    )
    data_state = fields.String(validate=validate.OneOf(["fresh", "stale", "never"]), **HERE)


class Problem(Answer):
    message = fields.String(**HERE)
    type = fields.String(**HERE)
    details = fields.Dict(keys=fields.String(), **HERE)
    timestamp = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
    path = fields.String(**HERE)
    request_id = fields.String(**MAYBE)


class ErrorEnvelope(Answer):
    error = fields.Nested(Problem, **HERE)
