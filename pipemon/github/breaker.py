"""After several calls in a row without an answer, fails fast: pauses that grow, with jitter, and one try after each."""

import random
import time
from collections.abc import Callable

from pipemon.github.errors import Unreachable

CALLS_IN_A_ROW = 3
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 120.0


class Breaker:
    """Counts the calls to one host that failed in a row."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, spread: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._monotonic = monotonic
        self._spread = spread
        self._failures = 0
        self._pause_until = float("-inf")
        self._cause = ""

    @property
    def trouble(self) -> str | None:
        """What fails, in words, once it has failed twice in a row."""
        return f"{self._cause} ({self._failures} calls in a row)" if self._failures >= 2 else None

    def admit(self) -> None:
        """Raise Unreachable during a pause."""
        left = self._pause_until - self._monotonic()
        if left > 0:
            raise Unreachable(f"{self._cause}; asking again in {left:.0f} s")

    def failed(self, cause: str) -> None:
        """Note a call that brought no answer, or a 5xx."""
        self._failures += 1
        self._cause = cause
        over = self._failures - CALLS_IN_A_ROW
        if over >= 0:
            pause = min(FIRST_PAUSE_SECONDS * 2 ** min(over, 10), LONGEST_PAUSE_SECONDS)
            self._pause_until = self._monotonic() + pause * self._spread(0.5, 1.0)

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures = 0
        self._pause_until = float("-inf")
