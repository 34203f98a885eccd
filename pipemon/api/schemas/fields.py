"""The kinds of values that go in and out: moments, minutes, short texts, whole numbers."""

import re
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from marshmallow import ValidationError, fields

from pipemon.domain.times import format_time, parse_time

# Marks of a field that is always there; and of one that may be null.
HERE: dict[str, Any] = {"required": True}
MAYBE: dict[str, Any] = {"required": True, "allow_none": True}

LARGEST = 2**63 - 1
LONGEST_TEXT = 255


class Moment(fields.Field[int]):
    """A Unix second inside, RFC 3339 outside; an empty text asks for none."""

    def _serialize(self, value: int | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return format_time(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        found = parse_time(value)
        if found is None and value != "":
            raise ValidationError("Not a moment with a time zone, such as 2026-01-31T12:00:00Z.")
        return found


class Minutes(fields.Field[float]):
    """Seconds inside, minutes with 2 decimals outside. `empty` is shown where there is no value."""

    def __init__(self, *, empty: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.empty = empty

    def _serialize(self, value: float | None, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return self.empty if value is None else round(value / 60, 2)


class Hours(fields.Field[float]):
    """Seconds inside, hours with 2 decimals outside."""

    def _serialize(self, value: float | None, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else round(value / 3600, 2)


class Cut(fields.String):
    """A text of which only the first line is shown, to a length."""

    def __init__(self, length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length = length

    def _serialize(self, value: str | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.split("\n", 1)[0].rstrip("\r")[: self.length]


class Whole(fields.Integer):
    """A whole number, in digits: 5.7, 1e3, 1_000 and the digits of other scripts are none."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,19}", str(value)):
            raise self.make_error("invalid", input=value)
        return int(value)


class Flag(fields.Boolean):
    """true or false, and nothing that is taken for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class TrueOrFalse(fields.Boolean):
    """true or false in a query, where all is text; and nothing that is taken for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("Not one of: true, false.")
        return bool(value == "true")


class Text(fields.String):
    """A short text without control characters. An empty one is none: `?branch=` asks for every branch."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if len(text) > LONGEST_TEXT:
            raise ValidationError(f"Longer than {LONGEST_TEXT} characters.")
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
            raise ValidationError("Has control characters.")
        return text or None


class Zone(Text):
    """The IANA name of a time zone; an empty one is UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        name = super()._deserialize(value, attr, data, **kwargs) or "UTC"
        if name not in available_timezones():
            raise ValidationError("Not a time zone of the IANA database, such as Europe/Berlin.")
        return ZoneInfo(name)


class Hash(Text):
    """A commit's hash, or how it begins: 4 to 40 hex digits; or nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and not re.fullmatch(r"[0-9a-fA-F]{4,40}", text):
            raise ValidationError("Not 4 to 40 hex digits.")
        return text


class Signature(Text):
    """What a failure is called: 16 hex digits; or nothing."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and not re.fullmatch(r"[0-9a-f]{16}", text):
            raise ValidationError("Not 16 hex digits.")
        return text


class Word(Text):
    """One of a set of words, or nothing."""

    def __init__(self, words: tuple[str, ...], description: str | None = None, **kwargs: Any) -> None:
        more = {} if description is None else {"description": description}
        super().__init__(metadata={"enum": list(words), **more}, **kwargs)
        self.words = words

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if text is not None and text not in self.words:
            raise ValidationError(f"Not one of: {', '.join(self.words)}.")
        return text
