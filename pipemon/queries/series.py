"""The series of a workflow's or a job's runs, and where they shift."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipemon.analytics.shifts import DURATION, FAILURE_RATE, QUEUE_TIME, Measure, Numbers, Shift, may_shift, shifts
from pipemon.queries.kept import Kept

# Columns of a series: what is not known is NONE.
RUN, CREATED, RED, SECONDS, WAITED = range(5)
NONE = -1
COLUMNS = {DURATION.name: SECONDS, QUEUE_TIME.name: WAITED, FAILURE_RATE.name: RED}


class Series(NamedTuple):
    """The decisive runs of a workflow, or of one of its jobs, in the order in which they were created."""

    workflow_id: int
    job: str | None
    rows: Numbers


class Found(NamedTuple):
    """A shift, and the runs at which it began and ended."""

    workflow_id: int
    job: str | None
    measure: Measure
    shift: Shift
    since: int
    until: int | None


def shifts_in(series: Iterable[Series], kept: Kept) -> list[Found]:
    """Return the shifts of all series, each with the runs at which it began and ended."""
    asked = [
        (one, measure, own[:, RUN].tolist(), own[:, COLUMNS[measure.name]])
        for one in series
        for measure, own in _measured(one.rows)
    ]
    told = _looked_through([(measure, values) for _, measure, _, values in asked], kept)
    return [
        Found(
            one.workflow_id, one.job, measure, shift, run_ids[shift.place],
            None if shift.until is None else run_ids[shift.until],
        )
        for (one, measure, run_ids, _), found in zip(asked, told, strict=True)
        for shift in found
    ]  # fmt: skip


def _looked_through(series: Sequence[tuple[Measure, Numbers]], kept: Kept) -> list[Sequence[Shift]]:
    """Return the shifts of each; of a workflow that has not run since they are known."""
    keys = [(shifts, measure.name, values.tobytes()) for measure, values in series]
    told = [kept.find(key) for key in keys]
    new = [place for place, found in enumerate(told) if found is None]
    for place, may in zip(new, may_shift([series[place][1] for place in new]), strict=True):
        measure, values = series[place]
        told[place] = tuple(shifts(values, measure)) if may else ()
        kept.keep(keys[place], told[place])
    return told


def _measured(rows: Numbers) -> Iterator[tuple[Measure, Numbers]]:
    # What fails ends early: how long it took says nothing.
    yield DURATION, rows[(rows[:, SECONDS] != NONE) & (rows[:, RED] == 0)]
    yield QUEUE_TIME, rows[rows[:, WAITED] != NONE]
    yield FAILURE_RATE, rows
