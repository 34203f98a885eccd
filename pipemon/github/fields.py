"""Single fields of an untrusted JSON document: a value of the wrong kind never gets past here."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from pipemon.domain.times import parse_time
from pipemon.github.errors import BadAnswer

Document = dict[str, Any]
T = TypeVar("T")

LARGEST_ID = 2**63 - 1
LARGEST_COUNT = 2**31 - 1
LONGEST_TEXT = 1000
LONGEST_WORD = 100
# PostgreSQL takes no NUL, and no encoder half of a surrogate pair.
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def document(body: bytes) -> object:
    """Return what the JSON says; raises BadAnswer where it is not JSON, too deep, or holds what no JSON may hold."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_not_json)
    except RecursionError:
        raise BadAnswer("GitHub's answer is nested too deeply") from None
    except ValueError as error:  # also of bad UTF-8, and of integers with thousands of digits
        raise BadAnswer(f"GitHub's answer is not JSON: {str(error)[:100]}") from None


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def an_object(value: object, what: str) -> Document:
    """Return the value if it is an object."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{what} is no object")
    return value


def part(payload: Document, name: str) -> Document:
    """Return the object in that field, an empty one where there is none."""
    value = payload.get(name)
    return value if isinstance(value, dict) else {}


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text as every database and encoder can take it, bounded."""
    return UNSTORABLE.sub("\ufffd", text[:longest])


def text(payload: Document, name: str, longest: int = LONGEST_TEXT) -> str | None:
    """Return the field's text; None where it is missing, null, empty or no text."""
    value = payload.get(name)
    return clean(value, longest) or None if isinstance(value, str) else None


def address(payload: Document, name: str) -> str | None:
    """Return the field's web address; None for anything that a browser shouldn't be sent to."""
    value = text(payload, name, 2000)
    return value if value is not None and value.startswith(("https://", "http://")) else None


def word(payload: Document, name: str, what: str) -> str | None:
    """Return a word of state, verbatim, or None for null; raises BadAnswer where it is missing or of another kind."""
    value = payload.get(name, 0)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadAnswer(f"{what} has no {name} that is a text")
    return clean(value, LONGEST_WORD) or None


def is_id(value: object) -> bool:
    """Whether the value can be one of GitHub's ids."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_ID


def an_id(payload: Document, name: str, what: str) -> int:
    """Return the field's id; raises BadAnswer where it is none."""
    value = payload.get(name)
    if not isinstance(value, int) or not is_id(value):
        raise BadAnswer(f"{what} has no usable {name}")
    return value


def count(payload: Document, name: str, what: str, default: int, least: int = 0) -> int:
    """Return the field's whole number, the default where it is missing or null; raises BadAnswer for anything else."""
    value = payload.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_COUNT:
        raise BadAnswer(f"{what} has no usable {name}")
    return value


def moment(payload: Document, name: str) -> int | None:
    """Return the field's moment in Unix seconds; None where it is missing, null or no moment."""
    return parse_time(payload.get(name))


def items(payload: Document, name: str, most: int) -> list[Document]:
    """Return the objects of the field's list, at most so many; an empty list where it is none."""
    value = payload.get(name)
    return [item for item in value[:most] if isinstance(item, dict)] if isinstance(value, list) else []


def every(payload: Document, name: str, parse: Callable[[object], T]) -> tuple[T, ...]:
    """Return each element of the field's list, parsed; raises BadAnswer unless all of them can be."""
    value = payload.get(name, 0)
    if value is None and not payload.get("total_count"):
        return ()
    if not isinstance(value, list):
        raise BadAnswer(f"GitHub's answer has no list of {name}")
    return tuple(parse(item) for item in value)
