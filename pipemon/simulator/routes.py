"""GitHub's REST routes over the world: a path and its query in, (status, body, headers) out."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pipemon.simulator import deployment_routes, logs
from pipemon.simulator.filters import fits
from pipemon.simulator.habits import OWNER
from pipemon.simulator.plans import PlannedJob, PlannedRun
from pipemon.simulator.render import Renderer, iso, latest_attempt, run_state, split_job_id
from pipemon.simulator.world import Repository

if TYPE_CHECKING:
    from pipemon.simulator.server import Simulator

Answer = tuple[int, Any, dict[str, str]]
LIST_CAP = 1000
OLD_SECONDS = 30 * 86400


def not_found() -> Answer:
    return 404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}, {}


class Routes:
    """Answers GET and POST as GitHub does."""

    def __init__(self, sim: "Simulator") -> None:
        self._sim = sim
        repo, run = (
            r"/(?:repos/(?P<owner>[^/]+)/(?P<name>[^/]+)|repositories/(?P<rid>\d+))",
            r"/actions/runs/(?P<run>\d+)",
        )
        table: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", repo, self._repository),
            ("GET", repo + "/actions/runs", self._runs),
            ("GET", repo + r"/actions/workflows/(?P<workflow>\d+)/runs", self._runs),
            ("GET", repo + "/actions/workflows", self._workflows),
            ("GET", repo + run, self._run),
            ("GET", repo + run + r"/attempts/(?P<attempt>\d+)", self._run),
            ("GET", repo + run + r"/attempts/(?P<attempt>\d+)/jobs", self._jobs),
            ("GET", repo + run + "/jobs", self._jobs),
            ("GET", repo + r"/actions/jobs/(?P<job>\d+)", self._job),
            ("GET", repo + r"/actions/jobs/(?P<job>\d+)/logs", self._job_logs),
            ("GET", repo + run + "/logs", self._run_logs),
            ("GET", repo + run + r"/attempts/(?P<attempt>\d+)/logs", self._run_logs),
            *((verb, repo + tail, view) for verb, tail, view in deployment_routes.table(sim, self._link)),
            ("POST", repo + run + "/(?P<verb>rerun|rerun-failed-jobs|cancel|force-cancel)", self._act),
            ("POST", repo + r"/actions/jobs/(?P<job>\d+)/rerun", self._rerun_job),
            ("GET", r"/(?:orgs|users)/(?P<owner>[^/]+)/repos|/user/repos", self._list),
            ("GET", "/installation/repositories", self._installation),
            ("POST", r"/app/installations/\d+/access_tokens", self._mint),
            ("GET", r"/users/(?P<owner>[^/]+)", self._owner),
        ]
        self._table = [(verb, re.compile(pattern + "$"), view, pattern) for verb, pattern, view in table]

    def template(self, verb: str, path: str) -> str:
        """Return the route's name for the counters."""
        for known, pattern, view, _ in self._table:
            if known == verb and pattern.match(path):
                suffix = "attempt" if view == self._run and "/attempts/" in path else ""
                return f"{verb} {view.__name__.strip('_')}{suffix}"
        return f"{verb} other"

    def answer(self, verb: str, path: str, query: dict[str, str], now: int) -> Answer:
        for known, pattern, view, _ in self._table:
            found = pattern.match(path)
            if known == verb and found:
                return self._enter(view, path, found.groupdict(), query, now)
        return not_found()

    def _enter(
        self, view: Callable[..., Answer], path: str, parts: dict[str, Any], query: dict[str, str], now: int
    ) -> Answer:
        if "name" not in parts:
            return view(parts, query, now)
        repo = self._find(parts)
        if repo is None:
            return not_found()
        if parts["name"] is not None and repo.renamed not in (None, parts["name"]):
            tail = path.split("/", 4)[4] if path.count("/") > 3 else ""
            location = f"{self._sim.base}/repositories/{repo.habit.github_id}" + (f"/{tail}" if tail else "")
            if query:
                location += "?" + urlencode(query)
            return 301, {"message": "Moved Permanently", "url": location}, {"Location": location}
        return view(repo, parts, query, now)

    def _find(self, parts: dict[str, Any]) -> Repository | None:
        for repo in self._sim.repositories.values():
            if parts["rid"] is not None and int(parts["rid"]) == repo.habit.github_id:
                return repo
            if parts["owner"] == OWNER and parts["name"] in (repo.habit.name, repo.renamed):
                return repo
        return None

    def _render(self) -> Renderer:
        return self._sim.renderer

    def _repository(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        return 200, self._render().repository(repo, now), {}

    def _list(self, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        everything = [self._render().repository(repo, now) for repo in self._sim.repositories.values()]
        page, per_page = int(query.get("page", 1)), min(100, int(query.get("per_page", 30)))
        return 200, everything[(page - 1) * per_page : page * per_page], {}

    def _installation(self, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        found = self._list(parts, query, now)[1]
        return 200, {"total_count": len(self._sim.repositories), "repositories": found}, {}

    def _owner(self, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        return 200, self._render().user(parts["owner"]) | {"type": "Organization"}, {}

    def _mint(self, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        token = f"ghs_minted{now}"
        self._sim.tokens.add(token)
        return 201, {"token": token, "expires_at": iso(now + 3600), "permissions": {"actions": "read"}}, {}

    def _workflows(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        api = f"{self._sim.base}/repos/{OWNER}/{repo.habit.name}"
        found = [
            {"id": w.id, "node_id": f"W_{w.id}", "name": w.names[-1], "path": w.path, "state": "active",
             "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z", "url": f"{api}/actions/workflows/{w.id}",
             "html_url": f"https://github.example/{OWNER}/{repo.habit.name}/blob/main/{w.path}", "badge_url": f"{api}/badge.svg"}
            for w in repo.habit.workflows
        ]  # fmt: skip
        return 200, {"total_count": len(found), "workflows": found}, {}

    def _runs(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        filters = {
            key: value for key, value in query.items() if key not in ("page", "per_page", "exclude_pull_requests")
        }
        if parts.get("workflow"):
            filters["workflow"] = parts["workflow"]
        seen_at = now - self._sim.index_lag if filters else now
        found = [repo.runs[run_id] for created, run_id in repo.at(seen_at)]
        found = [r for r in reversed(found) if r.deleted_at is None or r.deleted_at > seen_at]
        for name, wanted in filters.items():
            found = [r for r in found if fits(r, name, wanted, seen_at)]
        total = len(found)
        if filters:
            found = found[:LIST_CAP]
        page, per_page = max(1, int(query.get("page", 1))), min(100, max(1, int(query.get("per_page", 30))))
        shown = found[(page - 1) * per_page : page * per_page]
        bodies = [self._render().run(repo, run, now) for run in shown]
        last = max(1, -(-len(found) // per_page))
        return 200, {"total_count": total, "workflow_runs": bodies}, self._link(repo, "actions/runs", query, page, last)

    def _link(self, repo: Repository, tail: str, query: dict[str, str], page: int, last: int) -> dict[str, str]:
        """Return the Link header; its addresses name the repository by number, as GitHub's do."""
        base = f"{self._sim.base}/repositories/{repo.habit.github_id}/{tail}"
        wanted = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
        keep = {
            name: at
            for name, at in wanted.items()
            if (name in ("prev", "first")) == (at < page) and 1 <= at <= last and at != page
        }
        parts = [f'<{base}?{urlencode({**query, "page": str(at)})}>; rel="{name}"' for name, at in keep.items()]
        return {"Link": ", ".join(parts)} if parts else {}

    def _known(self, repo: Repository, parts: dict[str, Any], now: int) -> tuple[PlannedRun, int] | None:
        repo.at(now)
        run = repo.runs.get(int(parts["run"]))
        if run is None or run.created_at > now or (run.deleted_at is not None and run.deleted_at <= now):
            return None
        latest = latest_attempt(run, now)
        number = int(parts["attempt"]) if parts.get("attempt") else latest
        return (run, number) if 1 <= number <= latest else None

    def _run(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known(repo, parts, now)
        return not_found() if known is None else (200, self._render().run(repo, known[0], now, known[1]), {})

    def _jobs(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known(repo, parts, now)
        if known is None:
            return not_found()
        run, number = known
        numbers = range(1, number + 1) if query.get("filter") == "all" and not parts.get("attempt") else [number]
        jobs = [(n, job) for n in numbers for job in run.attempts[n - 1].jobs if job.created_at <= now]
        page, per_page = max(1, int(query.get("page", 1))), min(100, max(1, int(query.get("per_page", 30))))
        shown = jobs[(page - 1) * per_page : page * per_page]
        tail = f"actions/runs/{run.id}" + (f"/attempts/{number}/jobs" if parts.get("attempt") else "/jobs")
        link = self._link(repo, tail, query, page, max(1, -(-len(jobs) // per_page)))
        return (
            200,
            {"total_count": len(jobs), "jobs": [self._render().job(repo, run, n, job, now) for n, job in shown]},
            link,
        )

    def _known_job(
        self, repo: Repository, parts: dict[str, Any], now: int
    ) -> tuple[PlannedRun, int, PlannedJob] | None:
        run_id, number, index = split_job_id(int(parts["job"]))
        known = self._known(repo, {"run": run_id, "attempt": number}, now)
        jobs = known[0].attempts[number - 1].jobs if known else ()
        found = next((job for job in jobs if job.index == index and job.created_at <= now), None)
        return (known[0], number, found) if known and found else None

    def _job(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known_job(repo, parts, now)
        if known is None:
            return not_found()
        run, number, job = known
        return 200, self._render().job(repo, run, number, job, now), {}

    def _job_logs(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known_job(repo, parts, now)
        if known is None:
            return not_found()
        run, _, job = known
        return self._logs(repo, f"job/{parts['job']}", logs.refusal(run, job.completed_at, bool(job.steps), now), now)

    def _run_logs(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known(repo, parts, now)
        if known is None:
            return not_found()
        run, number = known
        attempt = run.attempts[number - 1]
        refused = logs.refusal(run, attempt.completed_at, any(job.steps for job in attempt.jobs), now)
        return self._logs(repo, f"run/{run.id}/{number}", refused, now)

    def _logs(self, repo: Repository, what: str, refused: tuple[int, str] | None, now: int) -> Answer:
        if refused is not None:
            return refused[0], {"message": refused[1]}, {}
        return 302, "", {"Location": logs.address(self._sim, f"{repo.habit.name}/{what}", now)}

    def _rerun_job(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known_job(repo, parts, now)
        return self._act(repo, {"run": str(known[0].id), "verb": "rerun-job"}, query, now) if known else not_found()

    def _act(self, repo: Repository, parts: dict[str, Any], query: dict[str, str], now: int) -> Answer:
        known = self._known(repo, parts, now)
        if known is None:
            return not_found()
        run, number = known
        over = run_state(run, run.attempts[number - 1], now)[0] == "completed"
        if parts["verb"].startswith("rerun"):
            if now - run.created_at > OLD_SECONDS:
                return 403, {"message": "Unable to retry this workflow run because it was created over a month ago"}, {}
            if not over:
                return 403, {"message": "This workflow is already running"}, {}
            self._sim.order("rerun", repo.habit.name, run=run.id, failed_only=parts["verb"] != "rerun")
            return 201, {}, {}
        if over:
            return 409, {"message": "Cannot cancel a workflow run that is completed."}, {}
        self._sim.order("cancel", repo.habit.name, run=run.id)
        return 202, {}, {}
