"""How often to read. The settings' intervals are floors; budget, time and GitHub's rate rules stretch them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

# What polling may take of what is left until the reset; the rest is slack for pages, reruns and people.
SHARE = 0.9
# GitHub's secondary limit is 900 points a minute, a GET is one, also where it is a free 304.
MOST_CALLS_PER_SECOND = 600 / 60
# Calls are serial: reading may fill this part of the time.
MOST_BUSY = 0.7
LONGEST_SECONDS = 3600.0
# Where GitHub has not told a limit yet: a personal token's.
USUAL_PER_HOUR = 5000


@dataclass(frozen=True, slots=True)
class Floors:
    """The shortest intervals, in seconds: of a repository where something runs, of a quiet one."""

    active_seconds: float = 5
    idle_seconds: float = 60

    @property
    def detail_seconds(self) -> float:
        """The shortest interval at which one running build is read by id."""
        return 3 * self.active_seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to read, and what a read has cost lately.

    `*_cost`: calls of one read that count against the limit (a 304 does not); `*_calls`: all calls of it.
    """

    active: int
    idle: int
    unfinished: int
    active_cost: float = 1.0
    idle_cost: float = 0.1
    active_calls: float = 3.0
    idle_calls: float = 2.0
    detail_cost: float = 2.0
    seconds_per_call: float = 0.15


@dataclass(slots=True)
class Pace:
    """What the poller remembers of one repository between reads; lost at a restart without harm."""

    due_at: float = 0.0
    active: bool = True
    unfinished: int = 0
    calls: float = 3.0  # of one read of its lists, smoothed
    cost: float = 1.0  # those that count against the limit, smoothed
    errors: int = 0
    identified: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """What GitHub still allows: `left` calls, reserve already taken off, in the next `seconds`."""

    left: float = USUAL_PER_HOUR * SHARE
    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The intervals in force, in seconds, and why they are longer than the floors (None: they are not)."""

    active_seconds: float
    idle_seconds: float
    detail_seconds: float
    why: str | None = None


def load_of(paces: Iterable[Pace], seconds_per_call: float) -> Load:
    """Return what there is to read, by what the reads of each repository have cost."""
    paces = list(paces)
    busy = [pace for pace in paces if pace.active]
    idle = [pace for pace in paces if not pace.active]
    usual = Load(len(busy), len(idle), sum(pace.unfinished for pace in paces))
    return replace(
        usual,
        active_cost=_mean([pace.cost for pace in busy], usual.active_cost),
        idle_cost=_mean([pace.cost for pace in idle], usual.idle_cost),
        active_calls=_mean([pace.calls for pace in busy], usual.active_calls),
        idle_calls=_mean([pace.calls for pace in idle], usual.idle_calls),
        seconds_per_call=seconds_per_call,
    )


def make_plan(load: Load, budget: Budget, floors: Floors) -> Plan:
    """Return the shortest intervals that budget, time and rate allow. Detail is stretched before runs are."""
    allowed = max(budget.left, 0.0) * SHARE / max(budget.seconds, 60.0)
    lists = load.active * load.active_cost / floors.active_seconds + load.idle * load.idle_cost / floors.idle_seconds
    details = load.unfinished * load.detail_cost / floors.detail_seconds
    for_details = max(allowed - lists, allowed / 4)
    detail_stretch = _ratio(details, for_details)
    factors = {
        "GitHub's budget": _ratio(lists, allowed - min(details, for_details)),
        "the time a read takes": _ratio(_calls(load, floors, detail_stretch) * load.seconds_per_call, MOST_BUSY),
        "GitHub's calls per minute": _ratio(_calls(load, floors, detail_stretch), MOST_CALLS_PER_SECOND),
    }
    why, stretch = max(factors.items(), key=lambda item: item[1])
    return Plan(
        active_seconds=min(floors.active_seconds * stretch, LONGEST_SECONDS),
        idle_seconds=min(floors.idle_seconds * stretch, LONGEST_SECONDS),
        detail_seconds=min(floors.detail_seconds * max(stretch, detail_stretch), LONGEST_SECONDS),
        why=why if stretch > 1 else None,
    )


def _mean(values: list[float], usual: float) -> float:
    return sum(values) / len(values) if values else usual


def _ratio(wanted: float, allowed: float) -> float:
    """Return by how much intervals must grow, at least 1."""
    return max(1.0, wanted / max(allowed, 1e-6))


def _calls(load: Load, floors: Floors, detail_stretch: float) -> float:
    """Return all calls per second at the floors, the free ones included."""
    lists = load.active * load.active_calls / floors.active_seconds + load.idle * load.idle_calls / floors.idle_seconds
    return lists + 2 * load.unfinished / (floors.detail_seconds * detail_stretch)
