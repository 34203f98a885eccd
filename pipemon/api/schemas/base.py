"""The two kinds of shapes, and the fast way from a result to its public form."""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from operator import attrgetter
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, fields

from pipemon.turns import give_turn

# So many objects of lists are given their public form at a stretch: a few milliseconds.
AT_ONCE = 200

Convert = Callable[[Any], Any]

# What these hold goes out as it is.
_PLAIN = (fields.String, fields.Integer, fields.Float, fields.Boolean, fields.Raw, fields.Dict)


class Arguments(Schema):
    """What may be asked. A name that is not known is an error."""

    class Meta:
        unknown = RAISE


class Answer(Schema):
    """What is answered. It gives its objects out by a plan that is made once per shape.

    marshmallow asks each field of each object anew, which takes most of the time of a list; the plan holds the same
    fields' own conversions. A test compares both on every shape.
    """

    class Meta:
        # Not RAISE: the documentation would then promise that no field is ever added.
        unknown = EXCLUDE

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the public form of one object, or of several."""
        build = _plan(self)
        return _each(build, obj) if (self.many if many is None else many) else build(obj)


# Counts them all: a long answer may consist of many short lists.
_given = count(1)


def _each(convert: Convert, values: Iterable[Any]) -> list[Any]:
    """Return the public forms of a list's objects; everybody else has a turn now and then."""
    found = []
    for value in values:
        found.append(convert(value))
        if next(_given) % AT_ONCE == 0:
            give_turn()
    return found


def _plan(schema: Schema) -> Convert:
    found: Convert | None = schema.__dict__.get("_built")
    if found is None:
        found = schema.__dict__["_built"] = _make_plan(schema.dump_fields)
    return found


def _make_plan(parts: Mapping[str, fields.Field[Any]]) -> Convert:
    """Return the function that turns an object into the dict of these fields."""
    names = tuple(parts)
    get = attrgetter(*(part.attribute or name for name, part in parts.items()))
    found = {name: _conversion(name, part) for name, part in parts.items()}
    converts = tuple((name, convert) for name, convert in found.items() if convert is not None)
    single = len(names) == 1

    def build(obj: Any) -> dict[str, Any]:
        out = dict(zip(names, (get(obj),) if single else get(obj), strict=True))
        for name, convert in converts:
            out[name] = convert(out[name])
        return out

    return build


def _conversion(name: str, part: fields.Field[Any]) -> Convert | None:
    """Return what a field does to its value; None where it does nothing."""
    if type(part) in _PLAIN:
        return None
    if isinstance(part, fields.Nested):
        return _nested(part)
    if isinstance(part, fields.List):
        inner = _conversion(name, part.inner)
        if inner is None:
            return lambda values: None if values is None else list(values)
        return lambda values: None if values is None else _each(inner, values)
    return lambda value: part._serialize(value, name, None)


def _nested(part: fields.Nested) -> Convert:
    build = _plan(part.schema)
    if part.many or part.schema.many:
        return lambda values: None if values is None else _each(build, values)
    return lambda value: None if value is None else build(value)
