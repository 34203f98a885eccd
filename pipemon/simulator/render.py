"""What the world looks like at a moment, in the JSON of GitHub's REST API (default shape, 2022-11-28)."""

from datetime import UTC, datetime
from typing import Any

from pipemon.simulator.habits import OWNER
from pipemon.simulator.plans import PlannedAttempt, PlannedJob, PlannedRun
from pipemon.simulator.world import Repository


def iso(moment: int | None) -> str | None:
    """Return the moment as GitHub writes it."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Renderer:
    """Renders bodies whose addresses begin with `base`."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._users: dict[str, dict[str, Any]] = {}

    def user(self, login: str) -> dict[str, Any]:
        if login not in self._users:
            api, page = f"{self.base}/users/{login}", f"https://github.example/{login}"
            links = ("followers", "subscriptions", "organizations", "repos", "received_events")
            self._users[login] = {
                "login": login, "id": 1000 + sum(map(ord, login)), "node_id": f"U_{login}", "avatar_url": f"{page}.png",
                "gravatar_id": "", "url": api, "html_url": page, "following_url": f"{api}/following{{/other_user}}",
                "gists_url": f"{api}/gists{{/gist_id}}", "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
                "events_url": f"{api}/events{{/privacy}}", **{f"{link}_url": f"{api}/{link}" for link in links},
                "type": "Bot" if login.endswith("-bot") else "User", "user_view_type": "public", "site_admin": False,
            }  # fmt: skip
        return self._users[login]

    def minimal_repository(
        self, full_name: str, github_id: int, private: bool = False, fork: bool = False
    ) -> dict[str, Any]:
        api = f"{self.base}/repos/{full_name}"
        plain = ("teams", "hooks", "events", "tags", "languages", "stargazers", "contributors", "subscribers", "subscription",
                 "merges", "downloads", "deployments", "forks")  # fmt: skip
        templates = {
            "keys": "{/key_id}", "collaborators": "{/collaborator}", "assignees": "{/user}", "branches": "{/branch}",
            "statuses": "/{sha}", "commits": "{/sha}", "contents": "/{+path}", "compare": "/{base}...{head}",
            "issues": "{/number}", "pulls": "{/number}", "milestones": "{/number}", "labels": "{/name}",
            "releases": "{/id}", "notifications": "{?since,all,participating}",
        }  # fmt: skip
        return {
            "id": github_id, "node_id": f"R_{github_id}", "name": full_name.split("/")[1], "full_name": full_name,
            "private": private, "owner": self.user(full_name.split("/")[0]), "html_url": f"https://github.example/{full_name}",
            "description": "Made up by the simulator.", "fork": fork, "url": api,
            "archive_url": f"{api}/{{archive_format}}{{/ref}}", "blobs_url": f"{api}/git/blobs{{/sha}}",
            "git_refs_url": f"{api}/git/refs{{/sha}}", "git_tags_url": f"{api}/git/tags{{/sha}}",
            "git_commits_url": f"{api}/git/commits{{/sha}}", "trees_url": f"{api}/git/trees{{/sha}}",
            "issue_comment_url": f"{api}/issues/comments{{/number}}", "issue_events_url": f"{api}/issues/events{{/number}}",
            "comments_url": f"{api}/comments{{/number}}",
            **{f"{name}_url": f"{api}/{name}" for name in plain},
            **{f"{name}_url": f"{api}/{name}{tail}" for name, tail in templates.items()},
        }  # fmt: skip

    def repository(self, repo: Repository, now: int) -> dict[str, Any]:
        habit, name = repo.habit, f"{OWNER}/{repo.renamed or repo.habit.name}"
        return self.minimal_repository(name, habit.github_id, habit.private) | {
            "default_branch": "main", "archived": False, "disabled": False, "visibility": "private" if habit.private else "public",
            "git_url": f"git://github.example/{name}.git", "ssh_url": f"git@github.example:{name}.git",
            "clone_url": f"https://github.example/{name}.git", "svn_url": f"https://github.example/{name}", "mirror_url": None,
            "homepage": None, "language": "Python", "forks_count": 3, "network_count": 3, "subscribers_count": 2, "stargazers_count": 9, "watchers_count": 9, "size": 108,
            "open_issues_count": 1, "has_issues": True, "has_projects": False, "has_wiki": False, "has_pages": False,
            "has_downloads": False, "has_discussions": False, "license": None, "forks": 3, "open_issues": 1, "watchers": 9,
            "created_at": "2025-01-01T00:00:00Z", "updated_at": iso(now // 86400 * 86400), "pushed_at": iso(now // 3600 * 3600),
            "topics": [], "is_template": False, "web_commit_signoff_required": False, "allow_forking": True,
            "permissions": {"admin": False, "push": True, "pull": True},
        }  # fmt: skip

    def run(self, repo: Repository, run: PlannedRun, now: int, attempt_number: int | None = None) -> dict[str, Any]:
        number = attempt_number or latest_attempt(run, now)
        attempt = run.attempts[number - 1]
        status, conclusion = run_state(run, attempt, now)
        name = f"{OWNER}/{repo.renamed or repo.habit.name}"
        api = f"{self.base}/repos/{name}/actions/runs/{run.id}"
        title = run.message.split("\n")[0]
        suite = run.id // 3
        return {
            "id": run.id, "name": run.name, "node_id": f"WFR_{run.id}", "head_branch": run.branch, "head_sha": run.sha,
            "path": run.workflow.path, "display_title": title if len(title) < 60 else title[:59] + "…",
            "run_number": run.number, "event": run.event, "status": status, "conclusion": conclusion,
            "workflow_id": run.workflow.id, "check_suite_id": suite, "check_suite_node_id": f"CS_{suite}", "url": api,
            "html_url": f"https://github.example/{name}/actions/runs/{run.id}",
            "pull_requests": [self._pull(name, number_) for number_ in run.pull_requests],
            "created_at": iso(run.created_at), "updated_at": iso(updated_at(run, attempt, now)),
            "actor": self.user(run.actor), "run_attempt": number, "referenced_workflows": [],
            "run_started_at": iso(attempt.started_at), "triggering_actor": self.user(attempt.actor),
            "jobs_url": f"{api}/jobs", "logs_url": f"{api}/logs", "check_suite_url": f"{self.base}/repos/{name}/check-suites/{suite}",
            "artifacts_url": f"{api}/artifacts", "cancel_url": f"{api}/cancel", "rerun_url": f"{api}/rerun",
            "previous_attempt_url": None if number == 1 else f"{api}/attempts/{number - 1}",
            "workflow_url": f"{self.base}/repos/{name}/actions/workflows/{run.workflow.id}",
            "head_commit": None if run.no_commit else self._commit(run),
            "repository": self.minimal_repository(name, repo.habit.github_id, repo.habit.private),
            "head_repository": self.minimal_repository(run.fork, 500_000 + len(run.fork), fork=True)
            if run.fork else self.minimal_repository(name, repo.habit.github_id, repo.habit.private),
        }  # fmt: skip

    def _commit(self, run: PlannedRun) -> dict[str, Any]:
        person = {"name": run.actor.replace("-", " ").title(), "email": f"{run.actor}@example.com"}
        return {"id": run.sha, "tree_id": run.sha[::-1], "message": run.message, "timestamp": iso(run.created_at - 40),
                "author": person, "committer": {"name": "GitHub", "email": "noreply@example.com"}}  # fmt: skip

    def _pull(self, name: str, number: int) -> dict[str, Any]:
        repo = {"id": number, "url": f"{self.base}/repos/{name}", "name": name.split("/")[1]}
        return {"url": f"{self.base}/repos/{name}/pulls/{number}", "id": 9_000_000 + number, "number": number,
                "head": {"ref": "topic", "sha": "0" * 40, "repo": repo}, "base": {"ref": "main", "sha": "1" * 40, "repo": repo}}  # fmt: skip

    def job(self, repo: Repository, run: PlannedRun, number: int, job: PlannedJob, now: int) -> dict[str, Any]:
        name = f"{OWNER}/{repo.renamed or repo.habit.name}"
        job_id = make_job_id(run.id, number, job.index)
        status = "completed" if now >= job.completed_at else "in_progress" if now >= job.started_at else "queued"
        ran = bool(job.steps)
        return {
            "id": job_id, "run_id": run.id, "run_url": f"{self.base}/repos/{name}/actions/runs/{run.id}", "run_attempt": number,
            "node_id": f"CR_{job_id}", "head_sha": run.sha, "url": f"{self.base}/repos/{name}/actions/jobs/{job_id}",
            "html_url": f"https://github.example/{name}/actions/runs/{run.id}/job/{job_id}", "status": status,
            "conclusion": job.conclusion if status == "completed" else None, "created_at": iso(job.created_at),
            "started_at": iso(job.started_at if status != "queued" else job.created_at),
            "completed_at": iso(job.completed_at) if status == "completed" else None, "name": job.name,
            "steps": [] if status == "queued" else [_step(job, *step, now) for step in job_spans(job)],
            "check_run_url": f"{self.base}/repos/{name}/check-runs/{job_id}", "labels": [job.label] if job.label else [],
            "runner_id": 7 if ran and status != "queued" else None, "runner_name": "GitHub Actions 7" if ran and status != "queued" else None,
            "runner_group_id": 1 if ran and status != "queued" else None,
            "runner_group_name": "GitHub Actions" if ran and status != "queued" else None,
            "workflow_name": run.name, "head_branch": run.branch,
        }  # fmt: skip


def make_job_id(run_id: int, number: int, index: int) -> int:
    """Return the id of an attempt's job."""
    return run_id * 4096 + number * 512 + index


def split_job_id(job_id: int) -> tuple[int, int, int]:
    """Return the run's id, the attempt's number and the job's place in it."""
    return job_id // 4096, job_id % 4096 // 512, job_id % 512


def job_spans(job: PlannedJob) -> list[tuple[int, str, int, int]]:
    """Return (number, name, start, end) of each step."""
    at, spans, length = float(job.started_at), [], job.completed_at - job.started_at
    for number, name, share in job.steps:
        spans.append((number, name, int(at), int(at + share * length)))
        at += share * length
    return spans


def _step(job: PlannedJob, number: int, name: str, start: int, end: int, now: int) -> dict[str, Any]:
    over = now >= job.completed_at or now >= end
    conclusion = ("failure" if name == "Test" and job.conclusion == "failure" else "success") if over else None
    status = "completed" if over else "in_progress" if now >= start else "queued"
    return {"name": name, "status": status, "conclusion": conclusion, "number": number,
            "started_at": iso(start) if now >= start else None, "completed_at": iso(end) if over else None}  # fmt: skip


def latest_attempt(run: PlannedRun, now: int) -> int:
    """Return the number of the newest attempt that has begun."""
    return max((i for i, attempt in enumerate(run.attempts, 1) if attempt.started_at <= now), default=1)


def run_state(run: PlannedRun, attempt: PlannedAttempt, now: int) -> tuple[str, str | None]:
    """Return (status, conclusion) of an attempt at a moment."""
    if attempt.completed_at is not None and now >= attempt.completed_at:
        return "completed", attempt.conclusion
    if run.pinned_status is not None:
        return run.pinned_status, None
    begun = any(job.started_at <= now and job.steps for job in attempt.jobs)
    return ("in_progress" if begun else "queued"), None


def updated_at(run: PlannedRun, attempt: PlannedAttempt, now: int) -> int:
    """Return the last moment at which something of the attempt moved; some runs are touched again long after."""
    moments = [attempt.started_at, max(run.created_at, attempt.started_at)]
    moments += [moment for job in attempt.jobs for moment in (job.started_at, job.completed_at) if job.steps]
    if attempt.completed_at is not None:
        moments += [attempt.completed_at, attempt.completed_at + run.late_update_seconds]
    return max(moment for moment in moments if moment <= max(now, attempt.started_at))
