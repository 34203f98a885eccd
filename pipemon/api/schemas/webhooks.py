"""The shape of what a delivery is answered with."""

from marshmallow import fields, validate

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE


class Receipt(Answer):
    status = fields.String(validate=validate.OneOf(["accepted", "ignored", "repeated"]), **HERE)
    why = fields.String(metadata={"description": "Why it is ignored."}, **MAYBE)
