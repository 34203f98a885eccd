"""Callers that ask for the same address at the same moment share one call."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class _BrokenOff(Exception):
    """The first caller was stopped before it had an answer."""


class SingleFlight(Generic[T]):
    """Runs the work of the first caller under a key; those who come meanwhile get its result, or its error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}

    def fly(self, key: str, work: Callable[[], T]) -> T:
        """Return the result of the work, done here or by who was first."""
        while True:
            mine: Future[T] = Future()
            with self._lock:
                flight = self._under_way.setdefault(key, mine)
            if flight is mine:
                return self._lead(key, work)
            try:
                return flight.result()
            except _BrokenOff:
                continue  # whoever stopped the first caller did not mean the others: one of them takes over

    def _lead(self, key: str, work: Callable[[], T]) -> T:
        try:
            result = work()
        except BaseException as error:
            self._land(key).set_exception(error if isinstance(error, Exception) else _BrokenOff())
            raise
        self._land(key).set_result(result)
        return result

    def _land(self, key: str) -> Future[T]:
        with self._lock:
            return self._under_way.pop(key)
