"""What the deployments of one environment come to: changes, failures, recoveries, lead times (METRICS: "DORA")."""

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipemon.domain.deployments import FAILURES, UNDOES, Commit

CHANGES = frozenset({"first", "change"})

_HOTFIX = re.compile(r"\bhot-?fix(?:es|ed)?\b", re.IGNORECASE)
_UNDONE = re.compile(r"This reverts commit ([0-9a-f]{7,64})\b")
_TELLING = re.compile(r"hot-?fix|This reverts commit", re.IGNORECASE)
_HASH = re.compile(r"\b[0-9a-f]{7,64}\b")


@dataclass(frozen=True, slots=True)
class Past:
    """One finished deployment. Unix seconds.

    `commits` are those since what was live before, as JSON lists of a domain Commit's fields: thousands are looked
    through, and few are read. None: not readable, or not read yet (`unread`). `started` is false where it was refused
    before anything ran; `overruled`: a person has said its kind; `undoes` is the deployment that a rollback or a revert
    blames.
    """

    id: int
    sha: str
    kind: str
    state: str
    deployed_at: int | None
    failed_at: int | None
    started: bool = True
    overruled: bool = False
    undoes: int | None = None
    commits: str | None = None
    message: str = ""
    unread: bool = False

    @property
    def at(self) -> int:
        """When it was deployed, else when it failed: its place in the history."""
        return self.deployed_at if self.deployed_at is not None else self.failed_at or 0

    @property
    def ended_badly(self) -> bool:
        """Whether it ended in failure or error; what was superseded later has not."""
        if self.deployed_at is None or self.state in FAILURES:
            return True
        return self.failed_at is not None and self.failed_at > self.deployed_at


@dataclass(frozen=True, slots=True)
class Failure:
    """A deployment that failed, why that is said, by which later deployment, and which one mended it."""

    deployment_id: int
    sha: str
    failed_at: int
    why: str
    by: int | None = None
    recovered_by: int | None = None
    recovered_at: int | None = None

    @property
    def seconds(self) -> int | None:
        """How long it lasted; None while it is not mended."""
        return None if self.recovered_at is None else max(0, self.recovered_at - self.failed_at)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one environment's deployments in [from_at, to_at) come to. `lead` has the seconds of each commit.

    `failed` are those of the `changes`; `recovered` ended in the window, `unrecovered` began in it and have not ended.
    """

    deployed: tuple[int, ...] = ()
    changes: int = 0
    failed: tuple[Failure, ...] = ()
    recovered: tuple[Failure, ...] = ()
    unrecovered: tuple[Failure, ...] = ()
    lead: tuple[int, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    no_lead: Mapping[str, int] = field(default_factory=dict)
    not_counted: Mapping[str, int] = field(default_factory=dict)


def facts(history: Sequence[Past], from_at: int, to_at: int) -> Facts:
    """Return the facts of one environment's window; what finished at its end or later is not known to them."""
    known = sorted((one for one in history if one.at < to_at), key=_place)
    steps = [one for one in known if one.started]
    inside = [one for one in steps if one.at >= from_at]
    retries = _retries(steps)
    leaders = _leaders(steps, retries)
    failures = _failures(steps, retries, leaders)
    changes = [one for one in inside if leaders.get(one.id) == one.id]
    ended = [one for one in failures.values() if one.recovered_at is not None and from_at <= one.recovered_at < to_at]
    lead, no_lead = _lead_times(inside)
    not_counted = Counter(_why_no_change(one) for one in inside if leaders.get(one.id) != one.id)
    not_counted["never_started"] = sum(not one.started and one.at >= from_at for one in known)
    return Facts(
        deployed=tuple(one.deployed_at for one in inside if one.deployed_at is not None),
        changes=len(changes),
        failed=tuple(failures[one.id] for one in changes if one.id in failures),
        recovered=tuple(ended),
        unrecovered=tuple(one for one in failures.values() if one.recovered_at is None and one.failed_at >= from_at),
        lead=lead,
        kinds=dict(Counter(one.kind for one in inside)),
        no_lead=no_lead,
        not_counted={reason: count for reason, count in not_counted.items() if count},
    )


def _why_no_change(one: Past) -> str:
    return "retry" if one.kind in CHANGES else one.kind


def _retries(steps: Sequence[Past]) -> set[int]:
    """Return those of a commit that was tried already since the last success: the same commit is no new change."""
    found, tried = set(), set[str]()
    for one in steps:
        if one.sha in tried and not one.overruled:
            found.add(one.id)
        tried = set() if one.deployed_at is not None else tried | {one.sha}
    return found


def _leaders(steps: Sequence[Past], retries: set[int]) -> dict[int, int]:
    """Return, by each deployment's id, the change deployment that first brought its commit; what is its own is one."""
    by_sha: dict[str, int] = {}
    found: dict[int, int] = {}
    for one in steps:
        if one.kind in CHANGES and one.id not in retries:
            by_sha[one.sha] = one.id
        if one.sha in by_sha:
            found[one.id] = by_sha[one.sha]
    return found


def _failures(steps: Sequence[Past], retries: set[int], leaders: Mapping[int, int]) -> dict[int, Failure]:
    """Return every failed deployment by its id, once each; a change by the id of its first try."""
    marks = _marks(steps)
    healthy = [one for one in steps if one.deployed_at is not None and not one.ended_badly and one.id not in marks]
    by_id = {one.id: one for one in steps}
    found: dict[int, Failure] = {}
    for one in steps:
        if one.ended_badly and one.id not in retries:
            failed_at = one.failed_at if one.failed_at is not None else one.at
            found.setdefault(one.id, _mended(Failure(one.id, one.sha, failed_at, "ended_in_failure"), one, healthy))
    for marked, (why, by) in marks.items():
        one = by_id[marked]
        leader = by_id[leaders.get(marked, marked)]
        if leader.id not in found and one.deployed_at is not None:
            failed_at = leader.deployed_at if leader.deployed_at is not None else one.deployed_at
            found[leader.id] = _mended(Failure(leader.id, one.sha, failed_at, why, by), by_id[by], healthy)
    return found


def _mended(failure: Failure, since: Past, healthy: Sequence[Past]) -> Failure:
    """Return the failure with the first healthy deployment from that one on, where there is one."""
    place = bisect_left(healthy, max((since.at, since.id), (failure.failed_at, 0)), key=_place)
    if place == len(healthy):
        return failure
    return replace(failure, recovered_by=healthy[place].id, recovered_at=healthy[place].deployed_at)


def _place(one: Past) -> tuple[int, int]:
    return one.at, one.id


def _marks(steps: Sequence[Past]) -> dict[int, tuple[str, int]]:
    """Return the deployments that a later one marks as failed: why, and that one's id."""
    known = {one.id for one in steps}
    found: dict[int, tuple[str, int]] = {}
    live: Past | None = None
    for one in steps:
        if one.deployed_at is None:
            continue
        if one.kind in UNDOES and one.undoes in known:
            found.setdefault(one.undoes, ("rolled_back" if one.kind == "rollback" else "reverted", one.id))
        elif one.kind == "change" and live is not None and (why := _names(one, live)):
            found.setdefault(live.id, (why, one.id))
        live = one
    return found


def _names(one: Past, before: Past) -> str | None:
    """Return whether a commit of the deployment reverts, or fixes in haste, one that its predecessor brought."""
    if not _TELLING.search(f"{one.message}\n{one.commits or ''}"):
        return None
    brought = {before.sha, *(commit.sha for commit in read_commits(before))}
    for message in (one.message, *(commit.message for commit in read_commits(one))):
        if _any(_UNDONE.findall(message), brought):
            return "reverted"
        if _HOTFIX.search(message) and _any(_HASH.findall(message), brought):
            return "hotfixed"
    return None


def _any(named: Sequence[str], shas: set[str]) -> bool:
    return any(sha.startswith(name) for name in named for sha in shas)


def _lead_times(inside: Sequence[Past]) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return the seconds from each commit to its deployment, and how many deployments have none, by reason."""
    seconds: list[int] = []
    without: Counter[str] = Counter()
    for one in inside:
        if one.deployed_at is None:
            continue
        reason = _why_no_lead(one)
        own = () if reason else _own_commits(one)
        if reason is None and not own:
            reason = "no_commits"
        if reason is not None:
            without[reason] += 1
        seconds += [max(0, one.deployed_at - at) for commit in own if (at := commit.committed_at) is not None]
    return tuple(seconds), dict(without)


def _why_no_lead(one: Past) -> str | None:
    if one.kind != "change":
        return "rollback" if one.kind in UNDOES else one.kind
    if one.commits is None:
        return "range_not_read_yet" if one.unread else "range_not_readable"
    return None


def _own_commits(one: Past) -> tuple[Commit, ...]:
    """Return its commits without merges: those are links of the workflow, no changes of their own."""
    return tuple(commit for commit in read_commits(one) if not commit.is_merge and commit.committed_at is not None)


def read_commits(one: Past) -> tuple[Commit, ...]:
    """Return the deployment's commits; none where they could not be read."""
    return tuple(Commit(*fields) for fields in json.loads(one.commits or "[]"))
