"""The shapes of `/notifications`."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Moment, Text, Whole, Word
from pipemon.notify.rules import EVENTS
from pipemon.queries.notifications import STATUS

LONGEST_GLOB = 200
DATE = {"type": "string", "format": "date-time"}
AT: dict[str, Any] = {"metadata": DATE, **HERE}


class HistoryArguments(Arguments):
    limit = Whole(load_default=50, validate=validate.Range(1, 200))
    channel = Text(load_default=None)
    status = Word(tuple(dict.fromkeys(STATUS.values())), load_default=None)


class Entry(Answer):
    id = fields.Integer(**HERE)
    rule_id = fields.Integer(**MAYBE)
    channel = fields.String(**HERE)
    recipient = fields.String(**HERE)
    message = fields.String(**HERE)
    status = fields.String(**HERE)
    sent_at = Moment(metadata={"type": "string", "format": "date-time"}, **MAYBE)
    error_message = fields.String(**MAYBE)
    metadata = fields.Dict(**HERE)


def _can_be_seen(text: str) -> None:
    if not any(char.isprintable() and not char.isspace() for char in text):
        raise ValidationError("There is nothing in it to be seen.")


class Send(Arguments):
    text = fields.String(required=True, validate=[validate.Length(1, 3000), _can_be_seen])
    blocks = fields.List(fields.Dict(), load_default=list, validate=validate.Length(max=50))
    channel = Text(load_default=None)
    rule_id = Whole(load_default=None, allow_none=True, validate=validate.Range(1))


class Test(Arguments):
    channel = Text(load_default=None)


class Sent(Answer):
    message = fields.String(**HERE)
    status = fields.String(**HERE)
    notification_id = fields.Integer(**MAYBE)


class Mute(Arguments):
    repository = fields.String(allow_none=True, validate=validate.Length(1, LONGEST_GLOB))
    workflow = fields.String(allow_none=True, validate=validate.Length(1, LONGEST_GLOB))
    branch = fields.String(allow_none=True, validate=validate.Length(1, LONGEST_GLOB))
    until = Moment(required=True, validate=validate.NoneOf([None], error="It must end."), metadata=DATE)
    reason = fields.String(allow_none=True, validate=validate.Length(max=200))


class ShownMute(Answer):
    repository = fields.String(**MAYBE)
    workflow = fields.String(**MAYBE)
    branch = fields.String(**MAYBE)
    until = Moment(metadata=DATE, **HERE)
    reason = fields.String(**MAYBE)


class SettingsChanges(Arguments):
    default_channels = fields.List(fields.String(validate=validate.Length(1, 64)), validate=validate.Length(max=20))
    rate_limit_per_hour = fields.Integer(strict=True, validate=validate.Range(0, 100_000))
    retry_attempts = fields.Integer(strict=True, validate=validate.Range(1, 50))
    group_interval_seconds = fields.Integer(strict=True, validate=validate.Range(60, 86_400))
    mutes = fields.List(fields.Nested(Mute), validate=validate.Length(max=100))


class Settings(Answer):
    slack_enabled = fields.Boolean(**HERE)
    email_enabled = fields.Boolean(**HERE)
    webhook_enabled = fields.Boolean(**HERE)
    default_channels = fields.List(fields.String(), **HERE)
    rate_limit_per_hour = fields.Integer(**HERE)
    retry_attempts = fields.Integer(**HERE)
    retry_delay_seconds = fields.Float(**HERE)
    group_interval_seconds = fields.Integer(**HERE)
    mutes = fields.List(fields.Nested(ShownMute), **HERE)
    channels = fields.List(fields.String(), **HERE)


class NotificationsStatus(Answer):
    overall_status = fields.String(**HERE)
    active_rules = fields.Integer(**HERE)
    total_rules = fields.Integer(**HERE)
    recent_notifications_count = fields.Integer(**HERE)
    successful_notifications_count = fields.Integer(**HERE)
    failed_notifications_count = fields.Integer(**HERE)
    slack_status = fields.String(**HERE)
    email_status = fields.String(**HERE)
    last_notification_at = Moment(metadata={"type": "string", "format": "date-time"}, **MAYBE)
    pending_count = fields.Integer(**HERE)
    timestamp = Moment(**AT)


class PipelineEvent(Arguments):
    type = Word(EVENTS, required=True)
    build = fields.Dict(required=True)


class Triggered(Answer):
    rule_id = fields.Integer(**HERE)
    channel = fields.String(**HERE)
    status = fields.String(**HERE)
    notification_id = fields.Integer(**MAYBE)


class Processed(Answer):
    event_type = fields.String(**HERE)
    triggered_rules = fields.List(fields.Integer(), **HERE)
    notifications_sent = fields.List(fields.Nested(Triggered), **HERE)
    timestamp = Moment(**AT)


class Replay(Arguments):
    channel = Text(required=True)


class Replayed(Answer):
    message = fields.String(**HERE)
    channel = fields.String(**HERE)
    count = fields.Integer(**HERE)
