"""What a batch moves besides the runs: the red streaks, and which days' pages hold, in the same transaction."""

from collections.abc import Iterator, Mapping, Set

from sqlalchemy import Connection

from pipemon.domain.deployments import TELLING
from pipemon.domain.runs import DECISIVE, Attempt, Run
from pipemon.store import days, incidents, sheets

Runs = Mapping[int, Run]
Attempts = Mapping[tuple[int, int], Attempt]


def follow(
    conn: Connection,
    repository_id: int,
    was: tuple[Runs, Attempts],
    now: tuple[Runs, Attempts],
    marked: Set[int],
    worked: Set[int],
) -> None:
    """Bring what is derived from the runs up to them, once they are written.

    `marked`: runs of which tombstones came or went; `worked`: those of which jobs have changed.
    """
    again = [now[0][run_id] for run_id in marked & now[0].keys()]
    incidents.follow(conn, repository_id, [*_moved(was, now), *again])
    changed = {key[0] for key, attempt in now[1].items() if was[1].get(key) != attempt} | (marked & now[0].keys())
    changed |= {run_id for run_id, run in now[0].items() if was[0].get(run_id) != run}
    changed |= worked
    told = {run.sha for run_id, run in now[0].items() if _message(run) != _message(was[0].get(run_id)) and run.sha}
    sheets.touch_commits(conn, told)
    days.touch(conn, [runs[run_id].created_at for runs in (was[0], now[0]) for run_id in changed & runs.keys()])


def _message(run: Run | None) -> str:
    """Return the message that tells something of deployments."""
    text = (run and run.commit and run.commit.message) or ""
    return text if TELLING.search(text) else ""


def _moved(was: tuple[Runs, Attempts], now: tuple[Runs, Attempts]) -> Iterator[Run]:
    """Yield the runs, as they were and as they are, that a red streak may have gained or lost."""
    runs_before, before = was
    runs_after, after = now
    moved = {key[0] for key, attempt in after.items() if _outcome(before.get(key)) != _outcome(attempt)}
    moved |= {run_id for run_id, run in runs_after.items() if _line(runs_before.get(run_id)) != _line(run)}
    for run_id in moved:
        yield from (runs[run_id] for runs in (runs_before, runs_after) if run_id in runs)


def _outcome(attempt: Attempt | None) -> tuple[str, int] | None:
    if attempt is None or attempt.status != "completed" or attempt.conclusion not in DECISIVE:
        return None
    ended_at = attempt.times.completed_at
    return (attempt.conclusion, attempt.updated_at if ended_at is None else ended_at)


def _line(run: Run | None) -> tuple[object, ...]:
    return () if run is None else (run.workflow_id, run.branch, run.event, run.run_number)
