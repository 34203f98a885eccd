"""What a deployment is, how its observations become one, and whether it is a change, a rollback or the same again."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

FAILURES = frozenset({"failure", "error"})
# Nobody goes back to what was live so many deployments ago.
LOOK_BACK = 1000
# What a deployment can be to its environment, in the order in which the rules are asked.
KINDS = ("first", "redeploy", "rollback", "revert", "change")
UNDOES = frozenset({"rollback", "revert"})

# In a commit's message: it may say that what was deployed before has failed.
TELLING = re.compile(r"hot-?fix|This reverts commit", re.IGNORECASE)
# git's own sentence, and the title that both git and GitHub give a revert.
_REVERTED_SHA = re.compile(r"This reverts commit ([0-9a-f]{7,64})\b")


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """One status of a deployment, as it was given; GitHub never changes it."""

    id: int
    state: str
    created_at: int
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One observation of a deployment, or all of them merged. `statuses` are in the order of time."""

    id: int
    environment: str
    sha: str
    created_at: int
    updated_at: int
    ref: str | None = None
    task: str | None = None
    creator: str | None = None
    description: str | None = None
    source: str = "github"  # or "workflow": a run that deploys, where GitHub knows of no deployments
    statuses: tuple[DeploymentStatus, ...] = ()

    @property
    def state(self) -> str:
        """The newest status's word; pending where there is none."""
        return self.statuses[-1].state if self.statuses else "pending"

    @property
    def deployed_at(self) -> int | None:
        """The moment of the first success: what follows (`inactive`) is supersession, not failure."""
        return next((status.created_at for status in self.statuses if status.state == "success"), None)

    @property
    def failed_at(self) -> int | None:
        """The moment of the first failure or error."""
        return next((status.created_at for status in self.statuses if status.state in FAILURES), None)

    @property
    def finished_at(self) -> int | None:
        """When it was deployed, else when it failed: its place in its environment's history; None while it goes on."""
        return self.failed_at if self.deployed_at is None else self.deployed_at

    @property
    def url(self) -> str | None:
        """The newest status's page."""
        return next((status.url for status in reversed(self.statuses) if status.url), None)


DEFAULT_BRANCH = "@default"


@dataclass(frozen=True, slots=True)
class Deploying:
    """Which runs deploy: globs of workflows' names or files, and of branches; `@default` is the default branch."""

    workflows: tuple[str, ...] = ()
    branches: tuple[str, ...] = (DEFAULT_BRANCH,)

    def has_workflow(self, name: str, path: str | None) -> bool:
        """Whether a workflow of this name, or in this file, deploys."""
        names = (name.lower(), (path or "").removeprefix(".github/workflows/").lower())
        return any(fnmatchcase(text, glob.lower()) for text in names for glob in self.workflows)

    def has_branch(self, branch: str | None, default_branch: str | None) -> bool:
        """Whether what runs on this branch deploys."""
        globs = [default_branch if glob == DEFAULT_BRANCH else glob for glob in self.branches]
        return branch is not None and any(glob is not None and fnmatchcase(branch, glob) for glob in globs)


def merge(stored: Deployment | None, seen: Deployment) -> Deployment:
    """Return what both tell together: the same in any order, and however often."""
    if stored is None:
        return replace(seen, statuses=_together(seen.statuses))
    newer = max(stored, seen, key=_newness)
    return replace(newer, statuses=_together((*stored.statuses, *seen.statuses)))


def _newness(one: Deployment) -> tuple[int, str]:
    """Order observations; equal seconds are settled by the text, so that no order of arrival matters."""
    return one.updated_at, repr(replace(one, statuses=()))


def _together(statuses: Iterable[DeploymentStatus]) -> tuple[DeploymentStatus, ...]:
    by_id: dict[int, DeploymentStatus] = {}
    for status in sorted(statuses, key=repr):
        by_id[status.id] = status
    return tuple(sorted(by_id.values(), key=lambda status: (status.created_at, status.id)))


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a deployment's range. `is_merge`: it has several parents."""

    sha: str
    committed_at: int | None
    message: str
    author: str | None = None
    is_merge: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from one deployed commit (`base`) to the next: ahead, behind, diverged, identical or unreadable."""

    base: str
    status: str
    ahead_by: int = 0
    behind_by: int = 0
    commits: tuple[Commit, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One finished deployment in its environment's history. `at` is when it was deployed, or failed."""

    id: int
    sha: str
    at: int
    succeeded: bool = True
    message: str = ""
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a deployment was, by which rule, on what evidence. `blamed` is the deployment that it undid."""

    kind: str
    rule: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    blamed: int | None = None


def verdicts(history: Iterable[Step], standing: Mapping[int, Verdict] | None = None) -> dict[int, Verdict]:
    """Return the verdict of each deployment of one environment's history, whatever order it comes in.

    One that failed is compared with what was live, and becomes nothing that a later one is compared with. What stands
    is taken as it is: the history may begin with it, and not tell what was before.
    """
    live: list[Step] = []
    found: dict[int, Verdict] = {}
    latest: dict[str, tuple[int, int]] = {}  # where in `live`, and in the history, each commit was deployed last
    for number, step in enumerate(sorted(history, key=lambda step: (step.at, step.id))):
        place, seen = latest.get(step.sha, (0, -1))
        restored = place if seen >= 0 and number - seen <= LOOK_BACK else None
        found[step.id] = (standing or {}).get(step.id) or _verdict(step, live, restored, found)
        if step.succeeded:
            latest[step.sha] = len(live), number
            live.append(step)
    return found


def _verdict(step: Step, live: Sequence[Step], place: int | None, found: Mapping[int, Verdict]) -> Verdict:
    if not live:
        return Verdict("first", "nothing_before")
    before = live[-1]
    evidence: dict[str, object] = {"previous_deployment": before.id, "previous_commit": before.sha}
    if step.sha == before.sha:
        return Verdict("redeploy", "same_commit", evidence)
    if place is not None:
        # What a rollback undoes began with the first change after the commit that it goes back to.
        undone = next((one.id for one in live[place + 1 :] if found[one.id].kind == "change"), None)
        return Verdict("rollback", "deployed_before", evidence | {"restored_deployment": live[place].id}, undone)
    if step.comparison and step.comparison.base == before.sha and step.comparison.status == "behind":
        evidence["commits_behind"] = step.comparison.behind_by
        return Verdict("rollback", "ancestor_of_previous", evidence, before.id)
    if reverting := _reverting(step, before):
        return Verdict("revert", "reverts_previous", evidence | reverting, before.id)
    return Verdict("change", "new_commit", evidence)


def _reverting(step: Step, before: Step) -> dict[str, object] | None:
    """Return the evidence that one of the deployment's commits reverts its predecessor's head."""
    commits = step.comparison.commits if step.comparison and step.comparison.base == before.sha else ()
    title = before.message.partition("\n")[0]
    for sha, message in [(step.sha, step.message), *((one.sha, one.message) for one in commits)]:
        names = any(before.sha.startswith(named) for named in _REVERTED_SHA.findall(message))
        if names or (title and message.partition("\n")[0] == f'Revert "{title}"'):
            return {"revert_commit": sha}
    return None
