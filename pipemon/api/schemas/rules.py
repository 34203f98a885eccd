"""The shapes of notification rules, and of what a draft of one would tell."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Flag, Moment, Word, Zone
from pipemon.notify.quiet import DAYS
from pipemon.notify.rules import COUNTED, EVENTS, GLOBBED

CLOCK = validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z", error="Not a time of day from 00:00 to 23:59.")
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


class QuietHours(Arguments):
    """Of what is told within them, all waits until they end. `days`: those on which they begin."""

    begin = fields.String(required=True, data_key="from", validate=CLOCK)
    end = fields.String(required=True, data_key="to", validate=CLOCK)
    tz = Zone(metadata={"type": "string"})
    days = fields.List(fields.String(validate=validate.OneOf(DAYS)), validate=validate.Length(1, 7))

    @post_load
    def stored(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return them as a rule keeps them: whole, also where only a part of the rule is changed."""
        for name, key in (("begin", "from"), ("end", "to")):
            if name not in data:
                raise ValidationError("Missing data for required field.", key)
        zone, days = data.get("tz"), data.get("days", DAYS)
        return {"from": data["begin"], "to": data["end"], "tz": zone.key if zone else "UTC", "days": list(days)}


class _Rule(Arguments):
    quiet_hours = fields.Nested(QuietHours, load_default=None, allow_none=True)
    muted_until = Moment(load_default=None, allow_none=True, metadata={"type": "string", "format": "date-time"})
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
    quiet_hours = fields.Dict(**MAYBE)
    muted_until = Moment(metadata={"type": "string", "format": "date-time"}, **MAYBE)
    created_at = Moment(**AT)
    updated_at = Moment(**AT)


class Deleted(Answer):
    message = fields.String(**HERE)
    rule_id = fields.Integer(**HERE)
