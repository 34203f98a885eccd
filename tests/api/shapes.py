"""Small checks of JSON that the endpoint tests share."""

import re
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")


def check(value: Any, shape: Any, where: str = "answer") -> None:
    """Assert that the JSON value has exactly this shape.

    A shape is a type, "time", a dict of shapes (no key more, none less), a list of one shape, or a tuple of
    alternatives; None allows null.
    """
    if isinstance(shape, tuple):
        assert any(_fits(value, one, where) for one in shape), f"{where}: {value!r} is none of {shape}"
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{where}: {value!r}"
        assert set(value) == set(shape), f"{where}: {set(value) ^ set(shape)}"
        for name, inner in shape.items():
            check(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r}"
        for place, item in enumerate(value):
            check(item, shape[0], f"{where}[{place}]")
    else:
        _check_plain(value, shape, where)


def _check_plain(value: Any, shape: Any, where: str) -> None:
    if shape is None:
        assert value is None, f"{where}: {value!r}"
    elif shape == "time":
        assert isinstance(value, str) and TIME.fullmatch(value), f"{where}: {value!r}"
    elif shape is float:
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{where}: {value!r}"
    else:
        assert type(value) is shape, f"{where}: {value!r} is no {shape}"


def _fits(value: Any, shape: Any, where: str) -> bool:
    try:
        check(value, shape, where)
    except AssertionError:
        return False
    return True


ENVELOPE = {
    "error": {"message": str, "type": str, "details": dict, "timestamp": "time", "path": str, "request_id": str}
}
