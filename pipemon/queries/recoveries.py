"""The incidents of a window, and how soon its branches recovered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from pipemon.analytics.incidents import Recovery
from pipemon.analytics.trends import Point
from pipemon.queries import incidents
from pipemon.queries.aside import aside
from pipemon.queries.freshness import AsOf
from pipemon.queries.incidents import Incident
from pipemon.queries.look import Look, Source
from pipemon.queries.window import Basis, Exclusion, Window, basis, read_groups, tally

MOST_LISTED = 1000


@dataclass(frozen=True, slots=True)
class OpenIncident(Incident):
    """An incident that is not over, and how long it has lasted."""

    age_seconds: int


SAME: Callable[[Incident], tuple[Any, ...]] = attrgetter(*(part.name for part in fields(Incident)))


@dataclass(frozen=True, slots=True)
class Recoveries:
    """What `/analytics/mttr` and `/analytics/incidents` tell. Times to recovery in seconds."""

    basis: Basis
    counted: incidents.Counted
    incidents: tuple[Incident, ...]
    open_incidents: tuple[OpenIncident, ...]
    total_failures: int
    as_of: AsOf

    @property
    def recovery(self) -> Recovery:
        """How long the recovered ones lasted."""
        return self.counted.recovery

    @property
    def left_out(self) -> tuple[Exclusion, ...]:
        """The incidents that are in no mean: those that are open."""
        return (Exclusion("open", self.counted.still_open),) if self.counted.still_open else ()

    @property
    def weekly(self) -> tuple[Point, ...]:
        """The mean minutes to recovery, by week."""
        return self.counted.weekly

    @property
    def total_incidents(self) -> int:
        """How many incidents there are, recovered and open."""
        return self.counted.recovery.n + self.counted.still_open


def recovery(db: Source, window: Window) -> Recoveries:
    """Return the incidents of the window, and how soon the recovered ones recovered."""
    db = Look.at(db)
    groups, end = read_groups(db, window.scope), window.as_of.timestamp
    found, still_open = incidents.lists_in(db, window.scope, MOST_LISTED)
    return Recoveries(
        basis=basis(db, window, groups),
        counted=incidents.count_in(db, window.scope, window.starts_of("weekly")),
        incidents=tuple(found),
        open_incidents=aside(_still_open, still_open, end),
        total_failures=tally(groups).failed,
        as_of=window.as_of,
    )


def _still_open(found: Sequence[Incident], end: int) -> tuple[OpenIncident, ...]:
    return tuple(OpenIncident(*(*SAME(one), end - one.started_at)) for one in found)
