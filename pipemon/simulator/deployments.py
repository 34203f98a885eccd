"""The world's deployments: of each run that deploys, one per environment, and those that were ordered; and compare.

A deploying job's environment is the last word of its name. The commits of the main line are those of the pushes to it,
oldest first.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from pipemon.simulator.habits import OWNER
from pipemon.simulator.plans import PlannedRun
from pipemon.simulator.render import Renderer, iso
from pipemon.simulator.world import Repository

PER_JOB = 4


@dataclass(frozen=True, slots=True)
class PlannedDeployment:
    """A deployment as it will go: (moment, state) of each status, oldest first."""

    id: int
    environment: str
    sha: str
    actor: str
    created_at: int
    steps: tuple[tuple[int, str], ...]


class Deployments:
    """All deployments of the world. Ordered ones live as long as the process: they are not in the journal."""

    def __init__(self) -> None:
        self._ordered: dict[str, list[PlannedDeployment]] = {}

    def order(
        self, repo: Repository, now: int, sha: str, environment: str = "production", state: str = "success",
        seconds: int = 60,
    ) -> int:  # fmt: skip
        """Deploy this commit now; return the deployment's id. It comes to its last state after so many seconds."""
        ordered = self._ordered.setdefault(repo.habit.name, [])
        number = repo.free_id(now) * PER_JOB * 2 + len(ordered) % (PER_JOB * 2)
        steps = ((now, "in_progress"), (now + seconds, state))
        ordered.append(PlannedDeployment(number, environment, sha, "dev-ada", now, steps))
        return number

    def until(self, repo: Repository, now: int) -> list[PlannedDeployment]:
        """Return the deployments made until now, oldest first, with the statuses given until now."""
        found = [one for _, run_id in repo.at(now) for one in _of_run(repo.runs[run_id])]
        found += self._ordered.get(repo.habit.name, [])
        found = [one for one in found if one.created_at <= now]
        found.sort(key=lambda one: (one.created_at, one.id))
        return [_with_supersession(one, found, now) for one in found]


def _of_run(run: PlannedRun) -> list[PlannedDeployment]:
    if run.event != "push" or run.deleted_at is not None:
        return []
    jobs = [job for job in run.attempts[-1].jobs if job.name.startswith("deploy ") and job.steps]
    return [
        PlannedDeployment(
            run.id * PER_JOB + job.index % PER_JOB, job.name.split()[-1], run.sha, run.actor, job.started_at,
            ((job.started_at, "in_progress"),
             (job.completed_at, job.conclusion if job.conclusion == "success" else "failure")),
        )
        for job in jobs
    ]  # fmt: skip


def _with_supersession(one: PlannedDeployment, found: list[PlannedDeployment], now: int) -> PlannedDeployment:
    """Return it with its statuses until now; it becomes inactive when a later one of its environment succeeds."""
    steps = [step for step in one.steps if step[0] <= now]
    if steps and steps[-1][1] == "success":
        later = found[bisect_right([(each.created_at, each.id) for each in found], (one.created_at, one.id)) :]
        ends = (each.steps[-1] for each in later[:50] if each.environment == one.environment)
        superseded = min((at for at, state in ends if state == "success" and steps[-1][0] < at <= now), default=None)
        if superseded is not None:
            steps.append((superseded, "inactive"))
    return PlannedDeployment(one.id, one.environment, one.sha, one.actor, one.created_at, tuple(steps))


def render(base: Renderer, repo: Repository, one: PlannedDeployment) -> dict[str, Any]:
    """Return a deployment's body."""
    name = f"{OWNER}/{repo.renamed or repo.habit.name}"
    api = f"{base.base}/repos/{name}"
    return {
        "url": f"{api}/deployments/{one.id}", "id": one.id, "node_id": f"DE_{one.id}", "sha": one.sha, "ref": "main",
        "task": "deploy", "payload": {}, "original_environment": one.environment, "environment": one.environment,
        "description": None, "creator": base.user(one.actor), "created_at": iso(one.created_at),
        "updated_at": iso(one.steps[-1][0] if one.steps else one.created_at),
        "statuses_url": f"{api}/deployments/{one.id}/statuses", "repository_url": api,
        "transient_environment": False, "production_environment": False, "performed_via_github_app": None,
    }  # fmt: skip


def render_statuses(base: Renderer, repo: Repository, one: PlannedDeployment) -> list[dict[str, Any]]:
    """Return the bodies of a deployment's statuses, newest first as GitHub does."""
    api = f"{base.base}/repos/{OWNER}/{repo.renamed or repo.habit.name}"
    bodies = [
        {
            "url": f"{api}/deployments/{one.id}/statuses/{one.id * 8 + place}", "id": one.id * 8 + place,
            "node_id": f"DES_{one.id * 8 + place}", "state": state, "creator": base.user(one.actor), "description": "",
            "environment": one.environment, "target_url": "", "created_at": iso(at), "updated_at": iso(at),
            "deployment_url": f"{api}/deployments/{one.id}", "repository_url": api, "environment_url": "",
            "log_url": "", "performed_via_github_app": None,
        }
        for place, (at, state) in enumerate(one.steps)
    ]  # fmt: skip
    return bodies[::-1]


def compare(base: Renderer, repo: Repository, span: tuple[str, str], now: int) -> dict[str, Any] | None:
    """Return what lies between two commits of the main line; None where one of them is not on it."""
    runs = [repo.runs[run_id] for _, run_id in repo.at(now)]
    line = list({run.sha: run for run in runs if run.event == "push" and run.branch == "main"}.values())
    place = {run.sha: number for number, run in enumerate(line)}
    if span[0] not in place or span[1] not in place:
        return None
    begin, end = place[span[0]], place[span[1]]
    words = {True: "ahead", False: "behind"}
    return {
        "url": f"{base.base}/repos/{OWNER}/{repo.habit.name}/compare/{span[0]}...{span[1]}",
        "status": "identical" if begin == end else words[end > begin],
        "ahead_by": max(0, end - begin), "behind_by": max(0, begin - end), "total_commits": max(0, end - begin),
        "commits": [_commit(base, line[number - 1], line[number]) for number in range(begin + 1, end + 1)],
        "files": [],
    }  # fmt: skip


def _commit(base: Renderer, parent: PlannedRun, run: PlannedRun) -> dict[str, Any]:
    person = {"name": run.actor, "email": f"{run.actor}@example.com", "date": iso(run.created_at - 40)}
    return {
        "sha": run.sha, "node_id": f"C_{run.sha}",
        "commit": {"author": person, "committer": person, "message": run.message, "comment_count": 0},
        "author": base.user(run.actor), "committer": base.user(run.actor), "parents": [{"sha": parent.sha}],
    }  # fmt: skip
