"""The shapes of the audit."""

from marshmallow import fields, validate

from pipemon.api.arguments import LARGEST_ID
from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Moment, Text, Whole, Word

OUTCOMES = ("done", "refused", "failed")


class AuditArguments(Arguments):
    before = Whole(load_default=None, validate=validate.Range(1, LARGEST_ID))
    limit = Whole(load_default=50, validate=validate.Range(1, 500))
    caller = Text(load_default=None)
    outcome = Word(OUTCOMES, load_default=None)


class AuditEntry(Answer):
    id = fields.Integer(**HERE)
    at = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
    caller = fields.String(**HERE)
    address = fields.String(**MAYBE)
    method = fields.String(**HERE)
    path = fields.String(**HERE)
    request_id = fields.String(**HERE)
    outcome = fields.String(**MAYBE)
    status = fields.Integer(**MAYBE)
    detail = fields.String(**MAYBE)


class AuditPage(Answer):
    entries = fields.List(fields.Nested(AuditEntry), **HERE)
    next_before = fields.Integer(**MAYBE)
    timestamp = Moment(attribute="as_of", metadata={"type": "string", "format": "date-time"}, **HERE)
