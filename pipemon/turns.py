"""Turns on the hub: who works there for long lets everybody else run in between."""

import time

import gevent

# Not 0: that lets those run who wait to run, but looks for no timer and no socket.
TURN_SECONDS = 0.0001
# So long nobody notices.
STRETCH_SECONDS = 0.008


def give_turn() -> None:
    """Let all others run who can."""
    gevent.sleep(TURN_SECONDS)


class Stretch:
    """Work that is done in stretches of 8 ms. Within a transaction too: those who want to write wait in line."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def rest(self) -> None:
        """Give everybody else a turn where this stretch has lasted long enough."""
        if time.perf_counter() - self._began >= STRETCH_SECONDS:
            give_turn()
            self._began = time.perf_counter()
