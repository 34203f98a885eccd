"""The shapes of `/events`."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, LARGEST, Moment, Text, Whole
from pipemon.api.schemas.pipeline import AsOfAnswer
from pipemon.api.schemas.scope import Repositories
from pipemon.domain.events import TOPICS, TYPES


class EventTypes(Text):
    """Names of events with commas between them; an empty text asks for all."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        names = [name.strip() for name in (text or "").split(",") if name.strip()]
        if unknown := [name for name in names if name not in TYPES]:
            raise ValidationError(f"Not an event: {', '.join(unknown)}. There are: {', '.join(TYPES)}.")
        return frozenset(names)


class EventsArguments(Repositories):
    after = Whole(load_default=0, validate=validate.Range(0, LARGEST))
    limit = Whole(load_default=100, validate=validate.Range(1, 1000))
    types = EventTypes(load_default=frozenset(), metadata={"description": "Event names, separated by commas."})


class LoggedEvent(Answer):
    id = fields.Integer(**HERE)
    type = fields.String(metadata={"enum": list(TYPES)}, **HERE)
    topic = fields.String(metadata={"enum": list(TOPICS)}, **HERE)
    repository = fields.String(**HERE)
    occurred_at = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
    recorded_at = Moment(metadata={"type": "string", "format": "date-time"}, **HERE)
    historic = fields.Boolean(**HERE)
    data = fields.Dict(**HERE)


class EventPage(AsOfAnswer):
    events = fields.List(fields.Nested(LoggedEvent), **HERE)
    first_event_id = fields.Integer(**HERE)
    last_event_id = fields.Integer(**HERE)
    has_more = fields.Boolean(**HERE)
    epoch = fields.String(**HERE)
