"""Turns on the hub: who works there for long lets everybody else run in between."""

import time

import gevent

# Not 0: that lets those run who wait to run, but looks for no timer and no socket.
TURN_SECONDS = 0.0001
# So long nobody notices.
STRETCH_SECONDS = 0.008
# In a transaction others wait to write, for some seconds and no longer: where the hub is so busy, the work goes first.
REST_SECONDS = 1.0


def give_turn() -> None:
    """Let all others run who can."""
    gevent.sleep(TURN_SECONDS)


class Stretch:
    """Work that is done in stretches of 8 ms, for a second; what is left then is done at one go."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._end = self._began + REST_SECONDS

    def rest(self) -> None:
        """Give everybody else a turn where this stretch has lasted long enough."""
        if self._began + STRETCH_SECONDS <= time.perf_counter() < self._end:
            give_turn()
            self._began = time.perf_counter()
