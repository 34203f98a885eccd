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

    @property
    def told(self) -> "Floors":
        """Those of a repository whose changes are delivered: reading only looks whether something was missed."""
        return Floors(max(self.active_seconds, self.idle_seconds), 5 * self.idle_seconds)


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to read, and what a read has cost lately. `told_*`: where deliveries tell what changes.

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
    told_active: int = 0
    told_idle: int = 0
    told_unfinished: int = 0


@dataclass(slots=True)
class Pace:
    """What the poller remembers of one repository between reads; lost at a restart without harm."""

    due_at: float = 0.0
    active: bool = True
    unfinished: int = 0
    calls: float = 3.0  # of one read of its lists, smoothed
    cost: float = 1.0  # those that count against the limit, smoothed
    errors: int = 0
    identified_at: float = float("-inf")
    told: bool = False  # its changes are delivered


@dataclass(frozen=True, slots=True)
class Budget:
    """What GitHub still allows: `left` calls, reserve already taken off, in the next `seconds`."""

    left: float = USUAL_PER_HOUR * SHARE
    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The intervals in force, in seconds, and why they are longer than the floors (None: they are not).

    `told` are those of repositories whose changes are delivered.
    """

    active_seconds: float
    idle_seconds: float
    detail_seconds: float
    why: str | None = None
    told: "Plan | None" = None

    def of(self, pace: Pace) -> "Plan":
        """Return the intervals of one repository."""
        return self.told if pace.told and self.told is not None else self

    def interval(self, pace: Pace) -> float:
        """Return the seconds from one read of a repository's lists to the next."""
        return self.of(pace).active_seconds if pace.active else self.of(pace).idle_seconds


def load_of(paces: Iterable[Pace], seconds_per_call: float) -> Load:
    """Return what there is to read, by what the reads of each repository have cost."""
    paces = list(paces)
    busy = [pace for pace in paces if pace.active]
    idle = [pace for pace in paces if not pace.active]
    told = [pace for pace in paces if pace.told]
    usual = Load(
        active=sum(not pace.told for pace in busy),
        idle=sum(not pace.told for pace in idle),
        unfinished=sum(pace.unfinished for pace in paces if not pace.told),
        told_active=sum(pace.active for pace in told),
        told_idle=sum(not pace.active for pace in told),
        told_unfinished=sum(pace.unfinished for pace in told),
    )
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
    lists = _lists(load, floors, load.active_cost, load.idle_cost)
    details = load.detail_cost * _details(load, floors)
    for_details = max(allowed - lists, allowed / 4)
    detail_stretch = _ratio(details, for_details)
    calls = _lists(load, floors, load.active_calls, load.idle_calls) + 2 * _details(load, floors) / detail_stretch
    factors = {
        "GitHub's budget": _ratio(lists, allowed - min(details, for_details)),
        "the time a read takes": _ratio(calls * load.seconds_per_call, MOST_BUSY),
        "GitHub's calls per minute": _ratio(calls, MOST_CALLS_PER_SECOND),
    }
    why, stretch = max(factors.items(), key=lambda item: item[1])
    # Once the budget is back there is no reason to wait longer.
    longest = min(LONGEST_SECONDS, budget.seconds + floors.idle_seconds)
    found = _stretched(floors, stretch, detail_stretch, why if stretch > 1 else None, longest)
    told = load.told_active + load.told_idle
    if not told:
        return found
    reconciled = f"deliveries tell what changes in {told} of {told + load.active + load.idle} repositories"
    told_why = reconciled if found.why is None else f"{reconciled}; {found.why}"
    return replace(found, why=told_why, told=_stretched(floors.told, stretch, detail_stretch, told_why, longest))


def _stretched(floors: Floors, stretch: float, detail_stretch: float, why: str | None, longest: float) -> Plan:
    """Return the floors made longer, none beyond `longest` unless it is longer by itself."""
    return Plan(
        active_seconds=max(floors.active_seconds, min(floors.active_seconds * stretch, longest)),
        idle_seconds=max(floors.idle_seconds, min(floors.idle_seconds * stretch, longest)),
        detail_seconds=max(
            floors.detail_seconds, min(floors.detail_seconds * max(stretch, detail_stretch), LONGEST_SECONDS)
        ),
        why=why,
    )


def _mean(values: list[float], usual: float) -> float:
    return sum(values) / len(values) if values else usual


def _ratio(wanted: float, allowed: float) -> float:
    """Return by how much intervals must grow, at least 1."""
    return max(1.0, wanted / max(allowed, 1e-6))


def _lists(load: Load, floors: Floors, of_active: float, of_idle: float) -> float:
    """Return what reading all lists at the floors takes per second, by what one read takes."""
    told = floors.told
    active = load.active / floors.active_seconds + load.told_active / told.active_seconds
    idle = load.idle / floors.idle_seconds + load.told_idle / told.idle_seconds
    return active * of_active + idle * of_idle


def _details(load: Load, floors: Floors) -> float:
    """Return how many running builds are read by id per second at the floors."""
    return load.unfinished / floors.detail_seconds + load.told_unfinished / floors.told.detail_seconds
