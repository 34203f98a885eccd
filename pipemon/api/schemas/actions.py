"""The shapes of the actions."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from pipemon.api.arguments import LARGEST_ID
from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Flag, Moment, Whole


class Rerun(Arguments):
    failed_only = Flag(load_default=False)
    job_id = Whole(load_default=None, allow_none=True, validate=validate.Range(1, LARGEST_ID))
    debug = Flag(load_default=False)

    @validates_schema
    def check(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Refuse a job together with all failed ones."""
        if data["failed_only"] and data["job_id"] is not None:
            raise ValidationError("Not together with job_id.", "failed_only")


class Cancel(Arguments):
    force = Flag(load_default=False)


class _Accepted(Answer):
    message = fields.String(**HERE)
    build_id = fields.Integer(**HERE)
    status = fields.String(**HERE)
    timestamp = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)


class RerunAccepted(_Accepted):
    rerun_url = fields.String(**MAYBE)


class CancelAccepted(_Accepted):
    cancel_url = fields.String(**MAYBE)
