"""Which jobs of a run held up its end."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar


class Timed(Protocol):
    """What has a name and ran from one moment to another. Unix seconds."""

    @property
    def name(self) -> str: ...
    @property
    def started_at(self) -> int: ...
    @property
    def completed_at(self) -> int: ...


Job = TypeVar("Job", bound=Timed)


class Span(NamedTuple):
    """When a job ran. Unix seconds."""

    name: str
    started_at: int
    completed_at: int


def critical_path(spans: Iterable[Job]) -> tuple[Job, ...]:
    """Return the chain of jobs that led to the last end, in time order; empty without jobs.

    Where `needs` is not known, a job's predecessor is the one that ended last before it started.
    """
    path: list[Job] = []
    for span in sorted(spans, key=lambda span: (span.completed_at, span.started_at, span.name), reverse=True):
        if not path or span.completed_at <= path[-1].started_at:
            path.append(span)
    return tuple(reversed(path))
