"""How an observation changes what is known (I2): any order and any repetition gives the same end state.

Within an attempt `completed` is final (unless it only waits for an approval), and a later `updated_at` wins before
that, and among different ends. GitHub's stamps have whole seconds and a status may legally step back (queued ->
waiting -> queued), so two observations of one second can't be ordered by themselves: a read of that run by id (`by_id`)
settles them.
"""

from collections.abc import Mapping
from dataclasses import fields, replace

from pipemon.domain.runs import STATUS_RANK, Attempt, Commit, Job, Run, is_completed, is_final

# More reruns than this are not GitHub's: don't make rows for them.
MOST_ATTEMPTS = 100


def status_rank(status: str) -> int:
    """Return how far a status has come; one that is not known here ranks with those under way."""
    return -1 if status == "unknown" else STATUS_RANK.get(status, 2)


def merge_attempt(stored: Attempt | None, seen: Run, by_id: bool) -> Attempt:
    """Return the attempt after this observation of it."""
    if stored is None:
        stored = Attempt(seen.id, seen.run_attempt, "unknown", updated_at=-1)
    if is_final(stored.status, stored.conclusion):
        return _merge_completed(stored, seen, by_id)
    if not is_final(seen.status, seen.conclusion) and not _is_news(stored, seen, by_id):
        return stored
    return replace(
        stored,
        # An attempt that was held and goes on has jobs that nobody has read.
        jobs_complete=stored.jobs_complete and not is_completed(stored.status),
        status=seen.status,
        conclusion=seen.conclusion,
        updated_at=max(stored.updated_at, seen.updated_at),
        # Bodies of 2020 and 2021 carry no `run_started_at`.
        started_at=seen.started_at if seen.started_at is not None else stored.started_at or seen.created_at,
        settled_at=seen.updated_at if by_id else stored.settled_at,
        triggering_actor=seen.triggering_actor or stored.triggering_actor,
    )


def _merge_completed(stored: Attempt, seen: Run, by_id: bool) -> Attempt:
    """Keep the end; only a later one, or at the same second a read by id, corrects its conclusion."""
    if not is_final(seen.status, seen.conclusion):
        return stored
    corrects = stored.conclusion is None or _is_later_end(stored, seen, by_id)
    return replace(
        stored,
        conclusion=seen.conclusion if corrects and seen.conclusion is not None else stored.conclusion,
        updated_at=max(stored.updated_at, seen.updated_at),
        settled_at=seen.updated_at if corrects and by_id else stored.settled_at,
        started_at=seen.started_at if corrects and seen.started_at is not None else stored.started_at,
        triggering_actor=stored.triggering_actor or seen.triggering_actor,
    )


def _is_later_end(stored: Attempt, seen: Run, by_id: bool) -> bool:
    if by_id or seen.updated_at != stored.updated_at:
        return seen.updated_at >= stored.updated_at
    settled = stored.settled_at is not None and stored.settled_at >= seen.updated_at
    # Two lists of one second can't be ordered: a fixed order of words stands in.
    return not settled and (seen.conclusion or "") > (stored.conclusion or "")


def _is_news(stored: Attempt, seen: Run, by_id: bool) -> bool:
    """Whether an unfinished state replaces another unfinished one."""
    if seen.updated_at != stored.updated_at:
        return seen.updated_at > stored.updated_at
    if by_id:
        return True
    if stored.settled_at is not None and stored.settled_at >= seen.updated_at:
        return False
    return (status_rank(seen.status), seen.status) > (status_rank(stored.status), stored.status)


def merge_run(
    stored: Run | None, attempts: Mapping[int, Attempt], seen: Run, by_id: bool
) -> tuple[Run, dict[int, Attempt]]:
    """Return the run (its facts, and the state of its latest attempt) and all its attempts after this observation.

    Attempts that must exist, since a later one does, appear as "unknown".
    """
    if seen.commit == Commit():
        seen = replace(seen, commit=None)
    after = dict(attempts)
    after[seen.run_attempt] = merge_attempt(attempts.get(seen.run_attempt), seen, by_id)
    latest = after[max(after)]
    for number in range(max(1, latest.run_attempt - MOST_ATTEMPTS), latest.run_attempt):
        after.setdefault(number, Attempt(seen.id, number, "unknown", updated_at=-1))
    facts = seen if stored is None else _merge_facts(stored, seen, by_id)
    return _with_state(facts, latest), after


def _merge_facts(stored: Run, seen: Run, by_id: bool) -> Run:
    """Take the later observation's facts; what it doesn't tell (None, a lost commit) is kept from the earlier."""
    order = (seen.run_attempt, seen.updated_at, by_id)
    newer, older = (seen, stored) if order >= (stored.run_attempt, stored.updated_at, False) else (stored, seen)
    filled = {f.name: getattr(older, f.name) for f in fields(Run) if getattr(newer, f.name) is None}
    merged = replace(newer, pull_requests=newer.pull_requests or older.pull_requests, **filled)
    return replace(merged, commit=_merge_commit(newer.commit, older.commit))


def _merge_commit(newer: Commit | None, older: Commit | None) -> Commit | None:
    if newer is None or older is None:
        return newer or older
    filled = {f.name: getattr(older, f.name) for f in fields(Commit) if getattr(newer, f.name) is None}
    return replace(newer, **filled)


def _with_state(facts: Run, latest: Attempt) -> Run:
    """Return the facts with the latest attempt's state."""
    return replace(
        facts,
        run_attempt=latest.run_attempt,
        status=latest.status,
        conclusion=latest.conclusion,
        started_at=latest.started_at,
        updated_at=latest.updated_at,
        triggering_actor=latest.triggering_actor,
    )


def merge_job(stored: Job | None, seen: Job, by_id: bool) -> Job:
    """Return the job after this observation. Jobs carry no `updated_at`: a delivery may only move one forward.

    A list read (`by_id`) may also step back among queued, pending and waiting, and brings the steps.
    """
    if stored is None:
        return seen
    before, after = status_rank(stored.status), status_rank(seen.status)
    if after < before:
        return stored
    if after == before:
        return _fuller_job(stored, seen) if is_completed(stored.status) or not by_id else seen
    return replace(seen, steps=seen.steps or stored.steps)


def _fuller_job(stored: Job, seen: Job) -> Job:
    """Keep the stored job, filled up with what only the other observation knows; more finished steps win."""
    filled = {f.name: getattr(seen, f.name) for f in fields(Job) if getattr(stored, f.name) is None}
    steps = max(stored.steps, seen.steps, key=lambda steps: sum(step.status == "completed" for step in steps))
    return replace(stored, steps=steps, **filled)
