"""The shapes of parsed logs."""

from marshmallow import fields, validate

from pipemon.api.arguments import LARGEST_ID
from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Moment, Text, Whole, Word
from pipemon.domain.logs import LEVELS

MOST_LINES = 20_000


class DownloadArguments(Arguments):
    job_id = Whole(load_default=None, validate=validate.Range(1, LARGEST_ID))


class LinesArguments(Arguments):
    level = Word(LEVELS, load_default=None)
    q = Text(load_default=None, metadata={"description": "Part of the message, whatever the case of its letters."})
    step_number = Whole(load_default=None, validate=validate.Range(0, 100_000))
    offset = Whole(load_default=0, validate=validate.Range(0, 10**9))
    limit = Whole(load_default=5000, validate=validate.Range(1, MOST_LINES))


class Annotation(Answer):
    file = fields.String(**MAYBE)
    line = fields.Integer(**MAYBE)
    title = fields.String(**MAYBE)


class LogLine(Answer):
    timestamp = fields.String(**MAYBE)
    level = fields.String(**HERE)
    step = fields.String(**MAYBE)
    message = fields.String(**HERE)
    step_number = fields.Integer(**MAYBE)
    line = fields.Integer(attribute="number", **HERE)
    group = fields.String(**MAYBE)
    annotation = fields.Nested(Annotation, **MAYBE)


class Group(Answer):
    name = fields.String(**HERE)
    step_number = fields.Integer(**MAYBE)
    first_line = fields.Integer(**HERE)
    last_line = fields.Integer(**HERE)


class LogLines(Answer):
    build_id = fields.Integer(**HERE)
    job_id = fields.Integer(**HERE)
    logs = fields.List(fields.Nested(LogLine), **HERE)
    total_lines = fields.Integer(**HERE)
    has_more = fields.Boolean(**HERE)
    groups = fields.List(fields.Nested(Group), **HERE)
    timestamp = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
