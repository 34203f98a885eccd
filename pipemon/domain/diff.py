"""Which events a change of state is: pure, from the state before and after."""

from collections.abc import Iterator, Mapping, Sequence

from pipemon.domain.events import Event, run_event_type
from pipemon.domain.merge import status_rank
from pipemon.domain.runs import Attempt, Job, Run, is_completed, is_failed, is_final
from pipemon.domain.times import format_time

# A `pipeline_updated` names at most so many builds and branches.
MOST_BUILDS = 100
# A run that came to one of these really was queued and did start, whether we saw it or not.
REALLY_RAN = frozenset({"success", "failure", "timed_out"})


def run_events(
    run: Run, before: Attempt | None, after: Attempt, live_since: int | None, place: int = 0
) -> Iterator[Event]:
    """Yield what happened to one attempt, in order; steps that nobody saw are told as inferred.

    `live_since` is the moment from which on events are news; None: all of it is history. `place` is where the log
    stands: it tells an unfinished state from the same one that the attempt was in before.
    """
    if after.status == "unknown" or (before and (before.status, before.conclusion) == (after.status, after.conclusion)):
        return
    occurred_at = _occurred_at(run, after)
    historic = live_since is None or occurred_at < live_since
    if not historic:
        yield from _inferred(run, before, after)
    yield _run_event(run, before, after, occurred_at, historic, place)


def _inferred(run: Run, before: Attempt | None, after: Attempt) -> Iterator[Event]:
    """Yield the steps between the two states that must have been, and that no observation showed."""
    reached = status_rank(before.status) if before else -1
    target = status_rank(after.status)
    started = after.conclusion in REALLY_RAN if is_completed(after.status) else False
    start = after.started_at if after.started_at is not None else run.created_at
    if reached < 0 and target >= 2 and (started or not is_completed(after.status) or after.conclusion == "cancelled"):
        yield _step_event(run, after, "queued", start)
    if reached < 2 and started:
        yield _step_event(run, after, "in_progress", max(start, after.times.first_job_at or start))


def _step_event(run: Run, after: Attempt, status: str, occurred_at: int) -> Event:
    data = {**_build_data(run, after), "status": status, "conclusion": None, "previous_status": None, "inferred": True}
    return _event(run, after, run_event_type(status, None), status, occurred_at, False, data)


def _run_event(run: Run, before: Attempt | None, after: Attempt, occurred_at: int, historic: bool, place: int) -> Event:
    was = before if before and before.status != "unknown" else None
    data = {**_build_data(run, after), "previous_status": was.status if was else None}
    if was and is_final(was.status, was.conclusion):
        data["previous_conclusion"] = was.conclusion
        return _event(run, after, "build_updated", f"corrected:{after.conclusion}", occurred_at, historic, data)
    step = after.status
    # An attempt may come to the same unfinished state again: by an approval, or back into a queue.
    if not is_final(after.status, after.conclusion) and (was or is_completed(after.status)):
        step = f"{step}@{place}"
    return _event(run, after, run_event_type(after.status, after.conclusion), step, occurred_at, historic, data)


def _event(
    run: Run, after: Attempt, event_type: str, step: str, occurred_at: int, historic: bool, data: Mapping[str, object]
) -> Event:
    key = f"run:{run.id}:{after.run_attempt}:{step}"
    return Event(event_type, "builds", run.repository, key, occurred_at, run.id, after.run_attempt, historic, data)


def _occurred_at(run: Run, after: Attempt) -> int:
    """Return GitHub's moment of the state: a job's own times before the run's late `updated_at`."""
    start = after.started_at if after.started_at is not None else run.created_at
    if is_completed(after.status):
        return after.times.completed_at if after.times.completed_at is not None else after.updated_at
    if status_rank(after.status) >= 2:
        return max(start, after.times.first_job_at or after.updated_at)
    return max(start, after.updated_at)


def _build_data(run: Run, attempt: Attempt) -> dict[str, object]:
    """Return what an event tells of its build, by the public names."""
    message = (run.commit.message if run.commit else None) or ""
    return {
        "build_id": run.id,
        "run_attempt": attempt.run_attempt,
        "run_number": run.run_number,
        "workflow": run.name,
        "workflow_id": run.workflow_id,
        "repository": run.repository,
        "branch": run.branch,
        "commit_sha": run.sha,
        "commit_message": message.split("\n", 1)[0][:200],
        "event": run.event,
        "actor": attempt.triggering_actor or run.actor,
        "status": attempt.status,
        "conclusion": attempt.conclusion,
        "started_at": format_time(attempt.started_at),
        "completed_at": format_time(attempt.times.completed_at),
        "duration_seconds": attempt.times.duration_seconds,
        "url": run.url,
    }


def job_event(run: Run, before: Job | None, after: Job, live_since: int | None) -> Event | None:
    """Return `job_failed` where the job has just come to a failure, else None."""
    if not is_completed(after.status) or not is_failed(after.conclusion):
        return None
    if before is not None and is_completed(before.status):
        return None
    occurred_at = after.completed_at or after.started_at or run.updated_at
    historic = live_since is None or occurred_at < live_since
    failed_step = next((step.name for step in after.steps if is_failed(step.conclusion)), None)
    data = {
        **_build_data(run, Attempt(run.id, after.run_attempt, run.status, run.updated_at, run.conclusion)),
        "job_id": after.id,
        "job": after.name,
        "job_conclusion": after.conclusion,
        "failed_step": failed_step,
        "job_url": after.url,
    }
    key = f"job:{after.id}:completed"
    return Event("job_failed", "builds", run.repository, key, occurred_at, run.id, after.run_attempt, historic, data)


def progress_event(run: Run, attempt: Attempt, completed: int, total: int, now: int) -> Event:
    """Return the event of a running build's jobs having moved on."""
    data = {**_build_data(run, attempt), "jobs_completed": completed, "jobs_total": total}
    key = f"run:{run.id}:{attempt.run_attempt}:progress:{completed}/{total}"
    return Event("build_progress", "builds", run.repository, key, now, run.id, attempt.run_attempt, False, data)


def standing_event(run: Run, attempt: Attempt, event_type: str, now: int, more: Mapping[str, object]) -> Event:
    """Return the event of what no change tells: how a build stands now, once for each attempt. It is news, always."""
    key = f"run:{run.id}:{attempt.run_attempt}:{event_type}"
    data = {**_build_data(run, attempt), **more}
    return Event(event_type, "builds", run.repository, key, now, run.id, attempt.run_attempt, False, data)


def moves_pipeline(event: Event) -> bool:
    """Whether the event changes how a pipeline stands now: a build came to another state."""
    return not event.historic and event.type not in ("build_progress", "job_failed")


def pipeline_event(news: Sequence[Event], running: int, queued: int, now: int) -> Event:
    """Return the event of a repository's pipeline having moved by these events: what its builds do now."""
    data = {
        "repository": news[-1].repository,
        "running_count": running,
        "queued_count": queued,
        "build_ids": list(dict.fromkeys(event.run_id for event in news))[:MOST_BUILDS],
        "branches": sorted({str(event.data["branch"]) for event in news if event.data.get("branch")})[:MOST_BUILDS],
    }
    return Event("pipeline_updated", "pipeline", news[-1].repository, f"pipeline:{news[-1].dedupe_key}", now, data=data)


def deleted_event(run: Run, now: int) -> Event:
    """Return the event of a run that is confirmed to be gone on GitHub."""
    data = {"build_id": run.id, "run_attempt": run.run_attempt, "workflow": run.name, "branch": run.branch}
    key = f"run:{run.id}:deleted@{now}"
    return Event("build_deleted", "builds", run.repository, key, now, run.id, run.run_attempt, False, data)


def restored_event(run: Run, now: int) -> Event:
    """Return the event of a run that was held to be deleted and is there again."""
    data = {"build_id": run.id, "run_attempt": run.run_attempt, "workflow": run.name, "branch": run.branch}
    key = f"run:{run.id}:restored@{now}"
    return Event("build_updated", "builds", run.repository, key, now, run.id, run.run_attempt, False, data)
