"""One call to GitHub at a time, as GitHub asks for; people go first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Lets one caller through at a time. Those for people pass in front of all who wait for polling or history."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._busy = False
        self._people_waiting = 0

    @contextmanager
    def turn(self, purpose: str) -> Iterator[None]:
        """Wait for the turn, and hold it."""
        self._enter(purpose == "people")
        try:
            yield
        finally:
            with self._free:
                self._busy = False
                self._free.notify_all()

    def _enter(self, people: bool) -> None:
        with self._free:
            self._people_waiting += people
            try:
                while self._busy or (self._people_waiting and not people):
                    self._free.wait()
                self._busy = True
            finally:
                self._people_waiting -= people
                self._free.notify_all()
