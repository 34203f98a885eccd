"""The shapes of `/notifications`."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Flag, Moment, Text, Whole, Word
from pipemon.notify.rules import COUNTED, EVENTS, GLOBBED
from pipemon.queries.notifications import STATUS

LONGEST_GLOB = 200
MOST_GLOBS = 50
AT: dict[str, Any] = {"metadata": {"type": "string", "format": "date-time"}, **HERE}


class Value(fields.Field[Any]):
    """A glob, a list of globs, or a number: which of them follows from the condition's type."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        kind = (data or {}).get("type")
        if kind in COUNTED:
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1_000_000
            if not is_number:
                raise ValidationError("Not a number from 0 to 1000000.")
            return value
        globs = [value] if isinstance(value, str) else value
        if not isinstance(globs, list) or not 0 < len(globs) <= MOST_GLOBS:
            raise ValidationError(f"Not a text or a list of 1 to {MOST_GLOBS} texts.")
        for glob in globs:
            if not isinstance(glob, str) or not 0 < len(glob) <= LONGEST_GLOB or not glob.isprintable():
                raise ValidationError(f"Not a text of 1 to {LONGEST_GLOB} visible characters.")
        return value

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


class Condition(Arguments):
    type = Word((*GLOBBED, *COUNTED), required=True)
    value = Value(required=True)

    @validates_schema
    def check(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Ask for both, also where only a part of the rule is changed."""
        if missing := {"type", "value"} - data.keys():
            raise ValidationError("Missing data for required field.", sorted(missing)[0])


class ShownCondition(Answer):
    type = fields.String(**HERE)
    value = fields.Raw(**HERE)


class _Rule(Arguments):
    description = fields.String(load_default="", validate=validate.Length(max=1000))
    conditions = fields.List(fields.Nested(Condition), load_default=list, validate=validate.Length(max=20))
    enabled = Flag(load_default=True)


def _names(words: tuple[str, ...] | None = None) -> Any:
    inner = fields.String(validate=validate.OneOf(words) if words else validate.Length(1, 64))
    return fields.List(inner, required=True, validate=validate.Length(1, 20))


class NewRule(_Rule):
    name = fields.String(required=True, validate=validate.Length(1, 200))
    trigger_events = _names(EVENTS)
    channels = _names()


class PreviewArguments(NewRule):
    """A draft rule, and how many days of the log it is held against."""

    name = fields.String(load_default="a draft", validate=validate.Length(1, 200))
    channels = fields.List(fields.String(), load_default=list)
    days = fields.Integer(strict=True, load_default=7, validate=validate.Range(1, 30))


class PlannedMessage(Answer):
    at = Moment(**HERE)
    kind = fields.String(**HERE)
    event_type = fields.String(**HERE)
    title = fields.String(**HERE)
    repository = fields.String(**HERE)
    workflow = fields.String(**MAYBE)
    branch = fields.String(**MAYBE)
    represents = fields.Integer(**HERE)


class Preview(Answer):
    """What a draft rule would have sent; `messages` are the newest 200."""

    messages_count = fields.Integer(**HERE)
    events_represented = fields.Integer(**HERE)
    messages = fields.List(fields.Nested(PlannedMessage), **HERE)
    events_looked_at = fields.Integer(**HERE)
    complete = fields.Boolean(**HERE)
    looked_from = Moment(**MAYBE)
    timestamp = Moment(**HERE)


class RuleChanges(NewRule):
    """Any of a rule's fields."""


class Rule(Answer):
    id = fields.Integer(**HERE)
    name = fields.String(**HERE)
    description = fields.String(**HERE)
    trigger_events = fields.List(fields.String(), **HERE)
    conditions = fields.List(fields.Raw(), **HERE)
    channels = fields.List(fields.String(), **HERE)
    enabled = fields.Boolean(**HERE)
    created_at = Moment(**AT)
    updated_at = Moment(**AT)


class Deleted(Answer):
    message = fields.String(**HERE)
    rule_id = fields.Integer(**HERE)


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


class Send(Arguments):
    text = fields.String(required=True, validate=validate.Length(1, 3000))
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
    repository = fields.String(validate=validate.Length(1, LONGEST_GLOB))
    workflow = fields.String(validate=validate.Length(1, LONGEST_GLOB))
    branch = fields.String(validate=validate.Length(1, LONGEST_GLOB))
    until = Moment(required=True, metadata={"type": "string", "format": "date-time"})
    reason = fields.String(validate=validate.Length(max=200))


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
    mutes = fields.List(fields.Dict(), **HERE)
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
