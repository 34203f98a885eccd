"""Ordered changes of the world: each is a line of the journal, and replaying the journal gives the same world."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipemon.simulator.plans import (
    PlannedAttempt,
    PlannedJob,
    PlannedRun,
    cut_short,
    make_run,
    plan_attempt,
    rerun_failed,
    steps_for,
)
from pipemon.simulator.world import Repository


class Changes:
    """Changes the world as ordered, and remembers the orders."""

    def __init__(self, repositories: dict[str, Repository], journal: Path | None) -> None:
        self._repositories = repositories
        self._journal = journal
        if journal is not None and journal.exists():
            for line in journal.read_text().splitlines():
                self._carry_out(json.loads(line))

    def order(self, now: int, what: str, repository: str, **details: Any) -> list[int]:
        """Carry out a change at this moment; return the ids of the runs it touched."""
        entry = {"at": now, "what": what, "repository": repository.split("/")[-1], **details}
        ids = self._carry_out(entry)
        if self._journal is not None:
            with self._journal.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return ids

    def _carry_out(self, entry: dict[str, Any]) -> list[int]:
        repo = self._repositories[entry["repository"]]
        repo.at(entry["at"])
        return list(getattr(self, f"_{entry['what']}")(repo, entry))

    def _add(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        """Add runs that begin now. `conclusion`, `seconds` (0: it never ends by itself), `branch`, `jobs` may be pinned."""
        rng = random.Random(f"{repo.seed}/{entry['at']}/{len(repo.runs)}")
        ids = []
        for _ in range(entry.get("count", 1)):
            workflow = repo.habit.workflows[entry.get("workflow", 0)]
            created = entry["at"] + entry.get("created_offset", 0)
            pinned: dict[str, Any] = {"fork": None, "late_update_seconds": 0}
            pinned |= {key: entry[key] for key in ("branch", "event", "sha", "pinned_status", "fork") if key in entry}
            run = make_run(repo.habit, repo.free_id(created), workflow, created, rng, **pinned)
            attempt = plan_attempt(workflow, created, rng, entry.get("conclusion") == "failure", run.actor)
            run = replace(
                run, attempts=(_timed(attempt, entry.get("conclusion", "success"), entry.get("seconds", 60)),)
            )
            repo.put(run)
            ids.append(run.id)
        return ids

    def _finish(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        return self._with_last(repo, entry, lambda a: _ended(a, entry["at"], entry.get("conclusion", "success")))

    def _cancel(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        return self._with_last(repo, entry, lambda a: cut_short(a, entry["at"], "cancelled"))

    def _with_last(self, repo: Repository, entry: dict[str, Any], change: Any) -> list[int]:
        run = repo.runs[entry["run"]]
        begun = [a for a in run.attempts if a.started_at <= entry["at"]]
        repo.put(replace(run, attempts=(*begun[:-1], change(begun[-1])), pinned_status=None))
        return [run.id]

    def _rerun(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        """Begin another attempt now: of all jobs, or of the failed ones."""
        run = repo.runs[entry["run"]]
        rng = random.Random(f"{repo.seed}/{run.id}/{entry['at']}")
        begun = tuple(a for a in run.attempts if a.started_at <= entry["at"])
        if entry.get("failed_only") and begun[-1].jobs:
            again = rerun_failed(run.workflow, begun[-1], entry["at"], rng, entry.get("actor", run.actor))
        else:
            again = plan_attempt(run.workflow, entry["at"], rng, False, entry.get("actor", run.actor))
        if "conclusion" in entry or "seconds" in entry:
            again = _timed(again, entry.get("conclusion", "success"), entry.get("seconds", 60))
        repo.put(replace(run, attempts=(*begun, again)))
        return [run.id]

    def _delete(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        repo.put(replace(repo.runs[entry["run"]], deleted_at=entry["at"]))
        return [entry["run"]]

    def _pin(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        """Hold a run at a status (waiting, pending, ...) until it is finished or pinned to something else."""
        repo.put(replace(repo.runs[entry["run"]], pinned_status=entry["status"]))
        return [entry["run"]]

    def _rename(self, repo: Repository, entry: dict[str, Any]) -> list[int]:
        repo.renamed = entry["name"]
        return []


SOON_SECONDS = 3


def _timed(attempt: PlannedAttempt, conclusion: str, seconds: int) -> PlannedAttempt:
    """Fit an attempt into so many seconds, with this end; 0: its jobs begin and go on until it is ordered to end."""
    start = attempt.started_at
    length = seconds or 10**8
    real = max(job.completed_at for job in attempt.jobs) - start
    # A runner is free soon, whatever the plan says: who orders a run wants to see it begin.
    late = max(0, min(job.started_at for job in attempt.jobs) - start - SOON_SECONDS)
    jobs = []
    for job in attempt.jobs:
        begin = start + min(int((job.started_at - start - late) * min(1.0, length / real)), max(0, length - 1))
        end = min(start + max(1, int((job.completed_at - start) * length / real)), start + length)
        jobs.append(_ran(job, created_at=start, started_at=begin, completed_at=max(begin, end)))
    if conclusion != "success" and jobs:
        jobs[-1] = replace(jobs[-1], conclusion="cancelled" if conclusion == "cancelled" else "failure")
    return replace(attempt, jobs=tuple(jobs), conclusion=conclusion, completed_at=start + length if seconds else None)


def _ran(job: PlannedJob, **times: int) -> PlannedJob:
    """Let a job run and pass at these times, one that was planned to be skipped too."""
    steps = job.steps or steps_for(random.Random(job.started_at))
    return replace(job, **times, conclusion="success", steps=steps, label=job.label or "ubuntu-latest")  # type: ignore[arg-type]


def _ended(attempt: PlannedAttempt, at: int, conclusion: str) -> PlannedAttempt:
    """End an attempt now, all jobs with it."""
    jobs = []
    for job in attempt.jobs:
        begin = min(job.started_at, at)
        jobs.append(_ran(job, started_at=begin, completed_at=max(begin, min(job.completed_at, at))))
    if conclusion == "failure" and jobs:
        jobs[-1] = replace(jobs[-1], conclusion="failure")
    return replace(attempt, jobs=tuple(jobs), conclusion=conclusion, completed_at=at)


def truth(run: PlannedRun, now: int) -> dict[str, Any]:
    """Return what really happened to a run until now, for a judge."""
    attempts = []
    for number, attempt in enumerate(run.attempts, 1):
        if attempt.started_at > now:
            break
        over = attempt.completed_at is not None and attempt.completed_at <= now
        attempts.append({
            "run_attempt": number, "started_at": attempt.started_at,
            "completed_at": attempt.completed_at if over else None, "conclusion": attempt.conclusion if over else None,
            "jobs": len(attempt.jobs), "jobs_ended_at": max((j.completed_at for j in attempt.jobs), default=None),
        })  # fmt: skip
    return {"id": run.id, "created_at": run.created_at, "deleted_at": run.deleted_at, "attempts": attempts}
