"""The deployments' part of `apply`: what was seen of them is merged, judged anew, and told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from pipemon.domain.deployments import UNDOES, Comparison, Deployment, Verdict, merge, verdicts
from pipemon.domain.events import Event
from pipemon.domain.times import format_time
from pipemon.store import deployments, sheets


@dataclass(frozen=True, slots=True)
class Deployed:
    """What one answer or delivery told of deployments.

    `read` are those of which all statuses were read, with the `updated_at` at which that was; `comparisons` the
    ranges of commits, by the deployment's id.
    """

    seen: tuple[Deployment, ...] = ()
    read: Mapping[int, int] = field(default_factory=dict)
    comparisons: Mapping[int, Comparison] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not (self.seen or self.read or self.comparisons)


def take_in(conn: Connection, repository_id: int, told: Deployed, live_since: int | None) -> tuple[int, list[Event]]:
    """Bring it into the database; return how many deployments changed, and the events that this is."""
    before = deployments.load(conn, {one.id for one in told.seen} | told.comparisons.keys())
    after = dict(before)
    for one in told.seen:
        after[one.id] = merge(after.get(one.id), one)
    changed = [one for one in after.values() if before.get(one.id) != one]
    deployments.put(conn, repository_id, changed)
    deployments.mark_read(conn, told.read)
    for deployment_id in told.comparisons.keys() & after.keys():
        deployments.put_comparison(conn, deployment_id, told.comparisons[deployment_id])
    compared = [after[number] for number in told.comparisons if number in after]
    if not changed and not compared:
        return 0, []
    was = [before[one.id] for one in changed if one.id in before]
    name = deployments.name_of(conn, repository_id)
    found = [event for one in changed for event in _ends(name, before.get(one.id), one, live_since)]
    for environment, moments in sorted(_places([*was, *changed, *compared]).items()):
        found += _judge(conn, repository_id, environment, moments, (name, live_since))
    return len(changed) + len(told.comparisons), sorted(found, key=lambda event: event.occurred_at)


def _places(ones: Iterable[Deployment]) -> dict[str, set[int]]:
    """Return, by environment, where in its history these are that are finished."""
    found: dict[str, set[int]] = {}
    for one in ones:
        if one.finished_at is not None:
            found.setdefault(one.environment, set()).add(one.finished_at)
    return found


def _judge(
    conn: Connection, repository_id: int, environment: str, moments: set[int], told_as: tuple[str, int | None]
) -> Iterator[Event]:
    """Work out the verdicts of an environment, store those that differ, and return the rollbacks among them.

    What it packed of these moments, and of what is judged anew, is out of use.
    """
    steps, standing = deployments.history(conn, repository_id, environment, min(moments))
    stored = deployments.load_verdicts(conn, repository_id, environment, steps[0].at if steps else 0)
    found = verdicts(steps, {step.id: stored[step.id] for step in steps[:standing] if step.id in stored})
    changed = {number: verdict for number, verdict in found.items() if stored.get(number) != verdict}
    deployments.put_verdicts(conn, changed)
    sheets.touch(conn, repository_id, environment, moments | {step.at for step in steps if step.id in changed})
    undone = [number for number, verdict in changed.items() if verdict.kind in UNDOES]
    for number, one in deployments.load(conn, undone).items():
        if one.deployed_at is not None:
            yield _rollback_event(told_as, one, one.deployed_at, changed[number])


def _ends(name: str, before: Deployment | None, after: Deployment, live_since: int | None) -> Iterable[Event]:
    """Yield that a deployment succeeded or failed, where that was not known; of a run its own events tell it."""
    if after.source != "github":
        return
    if after.deployed_at is not None and (before is None or before.deployed_at is None):
        yield _event("deployment_success", name, after, after.deployed_at, live_since, {})
    if after.failed_at is not None and (before is None or before.failed_at is None):
        yield _event("deployment_failed", name, after, after.failed_at, live_since, {})


def _rollback_event(told_as: tuple[str, int | None], one: Deployment, at: int, verdict: Verdict) -> Event:
    name, live_since = told_as
    more = {
        "kind": verdict.kind,
        "rule": verdict.rule,
        "blamed_deployment_id": verdict.blamed,
        "previous_deployment_id": verdict.evidence["previous_deployment"],
        "previous_commit_sha": verdict.evidence["previous_commit"],
    }
    return _event("rollback_detected", name, one, at, live_since, more)


def _event(
    event_type: str, name: str, one: Deployment, at: int, live_since: int | None, more: Mapping[str, object]
) -> Event:
    data = {
        "deployment_id": one.id,
        "repository": name,
        "environment": one.environment,
        "ref": one.ref,
        "commit_sha": one.sha,
        "creator": one.creator,
        "status": one.state,
        "created_at": format_time(one.created_at),
        "completed_at": format_time(at),
        "url": one.url,
        **more,
    }
    key = f"deployment:{one.id}:{event_type}"
    historic = live_since is None or at < live_since
    return Event(event_type, "pipeline", name, key, at, historic=historic, data=data)
