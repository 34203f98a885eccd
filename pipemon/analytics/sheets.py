"""Deployments packed for the four keys: what each one counts as is decided once, a window is then a slice of arrays."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipemon.domain.deployments import FAILURES, KINDS, TELLING, UNDOES, Commit

CHANGES = frozenset({"first", "change"})
NOTHING = -1
# The words that a row holds as their places here; the first of REASONS and of WHYS is that there is none.
COUNTED = ("change", "retry", "redeploy", "rollback", "revert", "never_started")
REASONS = ("", "first", "redeploy", "rollback", "range_not_read_yet", "range_not_readable", "no_commits")
WHYS = ("", "rolled_back", "reverted", "hotfixed")
CHANGE, NEVER_STARTED = COUNTED.index("change"), COUNTED.index("never_started")
# They are stored: what a change of ROW, or of what `pack` decides, needs is a migration that takes all out of use.
ROW = np.dtype([
    ("id", "<i8"),
    ("at", "<i8"),  # Unix seconds; the rows are in the order of (at, id)
    ("failed_at", "<i8"),
    ("marks", "<i8"),  # the deployment that it shows to have failed, and why
    ("why", "u1"),
    ("deployed", "?"),
    ("bad", "?"),  # ended in failure or error
    ("retry", "?"),  # of a commit that was tried already since the last success
    ("kind", "u1"),
    ("counted", "u1"),
    ("no_lead", "u1"),
    ("leads", "<i4"),  # so many of the lead times are its
    ("workflow_id", "<i8"),  # where a run stands in
    ("commit", "<u8"),  # a hash of the sha: tells whether two are the same
    ("sha", "S7"),  # how it begins
])  # fmt: skip
SECONDS = np.dtype("<u4")

_HOTFIX = re.compile(r"\bhot-?fix(?:es|ed)?\b", re.IGNORECASE)
_UNDONE = re.compile(r"This reverts commit ([0-9a-f]{7,64})\b")
_HASH = re.compile(r"\b[0-9a-f]{7,64}\b")


@dataclass(frozen=True, slots=True)
class Past:
    """One finished deployment. Unix seconds.

    `commits` are those since what was live before, as JSON lists of a domain Commit's fields. None: not readable, or
    not read yet (`unread`). `started` is false where it was refused before anything ran; `overruled`: a person has said
    its kind; `undoes` is the deployment that a rollback or a revert blames; `workflow_id` is of the run that stands in.
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
    workflow_id: int | None = None

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
class Sheet:
    """Deployments of one environment as rows of ROW, and in their order the seconds from commit to deployment."""

    rows: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, ROW))
    leads: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, SECONDS))

    def __len__(self) -> int:
        return len(self.rows)

    def between(self, begin: int, end: int) -> "Sheet":
        """Return the rows from one place to before another, with their lead times."""
        rows = self.rows[begin:end]
        first = int(self.rows["leads"][:begin].sum())
        return Sheet(rows, self.leads[first : first + int(rows["leads"].sum())])


def unpack(rows: Iterable[bytes], leads: Iterable[bytes]) -> Sheet:
    """Return the sheet of which these are the parts, in the order of time."""
    return Sheet(np.frombuffer(b"".join(rows), ROW), np.frombuffer(b"".join(leads), SECONDS))


def pack(history: Iterable[Past], from_at: int = 0) -> Sheet:
    """Return the sheet of the deployments from a moment on; to be told from the last success before it."""
    known = sorted(history, key=lambda one: (one.at, one.id))
    steps = [one for one in known if one.started]
    retries, named = _retries(steps), _named(steps)
    rows, leads = [], list[int]()
    for one in known:
        if one.at >= from_at:
            reason, seconds = _lead_times(one)
            mark, why = named.get(one.id, (NOTHING, ""))
            failed_at = NOTHING if one.failed_at is None else one.failed_at
            rows.append(
                (
                    one.id, one.at, failed_at, mark, WHYS.index(why), one.deployed_at is not None, one.ended_badly,
                    one.id in retries, KINDS.index(one.kind), COUNTED.index(_counted(one, retries)),
                    REASONS.index(reason), len(seconds), NOTHING if one.workflow_id is None else one.workflow_id,
                    _hash(one.sha), one.sha[:7].encode("ascii", "replace"),
                )
            )  # fmt: skip
            leads += seconds
    return Sheet(np.array(rows, ROW), np.array(leads, SECONDS))


def _hash(sha: str) -> int:
    return int.from_bytes(hashlib.blake2b(sha.encode(), digest_size=8).digest())


def _counted(one: Past, retries: set[int]) -> str:
    if not one.started:
        return "never_started"
    if one.kind in CHANGES:
        return "retry" if one.id in retries else "change"
    return one.kind


def _retries(steps: Sequence[Past]) -> set[int]:
    """Return those of a commit that was tried already since the last success: the same commit is no new change."""
    found, tried = set(), set[str]()
    for one in steps:
        if one.sha in tried and not one.overruled:
            found.add(one.id)
        tried = set() if one.deployed_at is not None else tried | {one.sha}
    return found


def _named(steps: Sequence[Past]) -> Mapping[int, tuple[int, str]]:
    """Return, by the ids of those that tell, which deployment each one shows to have failed, and why."""
    found: dict[int, tuple[int, str]] = {}
    live: Past | None = None
    for one in steps:
        if one.deployed_at is None:
            continue
        if one.kind in UNDOES and one.undoes is not None:
            found[one.id] = one.undoes, "rolled_back" if one.kind == "rollback" else "reverted"
        elif one.kind == "change" and live is not None and (why := _names(one, live)):
            found[one.id] = live.id, why
        live = one
    return found


def _names(one: Past, before: Past) -> str | None:
    """Return whether a commit of the deployment reverts, or fixes in haste, one that its predecessor brought."""
    if not TELLING.search(f"{one.message}\n{one.commits or ''}"):
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


def _lead_times(one: Past) -> tuple[str, list[int]]:
    """Return why it has no lead time, or the seconds from each of its commits to it."""
    if one.deployed_at is None:
        return "", []
    if one.kind != "change":
        return ("rollback" if one.kind in UNDOES else one.kind), []
    if one.commits is None:
        return ("range_not_read_yet" if one.unread else "range_not_readable"), []
    # Merges are links of the workflow, no changes of their own.
    told = [at for commit in read_commits(one) if not commit.is_merge and (at := commit.committed_at) is not None]
    seconds = [min(max(0, one.deployed_at - at), 2**32 - 1) for at in told]
    return ("" if seconds else "no_commits"), seconds


def read_commits(one: Past) -> tuple[Commit, ...]:
    """Return the deployment's commits; none where they could not be read."""
    return tuple(Commit(*fields) for fields in json.loads(one.commits or "[]"))
