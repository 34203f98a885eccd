"""How long red streaks lasted (METRICS: "Incidents and recovery")."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the recovered incidents of a window lasted, in seconds; None without any. Open ones do not count."""

    n: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
