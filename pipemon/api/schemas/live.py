"""The shape of a ticket."""

from marshmallow import fields

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, Moment


class Ticket(Answer):
    ticket = fields.String(**HERE)
    expires_at = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
