"""Arithmetic that takes long, without holding up the hub."""

from collections.abc import Callable
from typing import Any, TypeVar

import gevent

T = TypeVar("T")


def aside(function: Callable[..., T], *arguments: Any) -> T:
    """Return what a pure function makes of plain data, worked out in a native thread while the hub goes on.

    Plain data in and out, no log, no lock: what runs there knows no greenlets.
    """
    found: T = gevent.get_hub().threadpool.apply(function, arguments)
    return found
