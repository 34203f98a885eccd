"""The shapes of why jobs failed."""

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.builds import JobFailure
from pipemon.api.schemas.fields import HERE, MAYBE, Moment
from pipemon.api.schemas.window import BuildsUrl, Definitions, WindowAnswer


class KeptLine(Answer):
    line = fields.Integer(**HERE)
    timestamp = fields.String(**MAYBE)
    level = fields.String(**HERE)
    message = fields.String(**HERE)


class KeptLog(Answer):
    """What is kept of a failed job's log: the errors of the failing step, and its end."""

    build_id = fields.Integer(**HERE)
    job_id = fields.Integer(attribute="failure.job_id", **HERE)
    failure = fields.Nested(JobFailure, **HERE)
    lines = fields.List(fields.Nested(KeptLine), **HERE)


class SignatureGroup(Answer):
    signature = fields.String(**HERE)
    title = fields.String(**MAYBE)
    platform = fields.Boolean(**HERE)
    failures = fields.Integer(**HERE)
    builds = fields.Integer(**HERE)
    repositories = fields.List(fields.String(), attribute="names.repositories", **HERE)
    workflows = fields.List(fields.String(), attribute="names.workflows", **HERE)
    branches = fields.List(fields.String(), attribute="names.branches", **HERE)
    jobs = fields.List(fields.String(), attribute="names.jobs", **HERE)
    latest_build_id = fields.Integer(**HERE)
    first_seen_at = Moment(attribute="seen.first_seen_at", **HERE)
    last_seen_at = Moment(attribute="seen.last_seen_at", **HERE)
    builds_url = BuildsUrl(attribute="scope", **HERE)


class Signatures(WindowAnswer):
    """What `/analytics/failures/signatures` answers."""

    signatures = fields.List(fields.Nested(SignatureGroup), attribute="groups", **HERE)
    total_failures = fields.Integer(**HERE)
    definitions = Definitions(signatures="failures.signature", total_failures="failures.signature")
