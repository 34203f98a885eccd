"""Every number of `/analytics` the slow and obvious way, from what GitHub told alone: no table, no SQL, no sharing."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from pipemon.domain.runs import Job, Run
from tests.queries.lives import EXCLUDED, FAILED, WATCHED, WORKFLOWS, History, Life

SET_UP = ("Set up job", "Set up runner", "Initialize containers")


def decisive(end: str | None) -> bool:
    return end == "success" or end in FAILED


def percent(ends: Iterable[str | None], wanted: Sequence[str]) -> float:
    known = [end for end in ends if decisive(end)]
    return round(100 * sum(end in wanted for end in known) / len(known), 2) if known else 0.0


def mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None


def percentile(values: Iterable[float], fraction: float) -> float | None:
    known = sorted(values)
    if not known:
        return None
    rank = fraction * (len(known) - 1)
    low, high = known[math.floor(rank)], known[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def period(moment: int, zone: ZoneInfo, granularity: str) -> int:
    """The start of the period of a moment, by the clock on the wall."""
    local = datetime.fromtimestamp(moment, zone).replace(minute=0, second=0)
    if granularity != "hourly":
        local = local.replace(hour=0, fold=0)
    if granularity == "weekly":
        local -= timedelta(days=local.weekday())
    return int(local.timestamp())


def really_ran(job: Job, since: int) -> bool:
    if job.conclusion == "skipped" or job.started_at is None or job.status not in ("in_progress", "completed"):
        return False
    if job.conclusion == "cancelled" and not job.steps:
        return False
    return job.started_at >= since - 2 and (job.completed_at is None or job.completed_at >= job.started_at)


def times(life: Life, number: int) -> tuple[int | None, int | None, int | None]:
    """When an attempt ended, its duration, and how long it was queued."""
    run = life.tries[number]
    begin = run.started_at or 0
    ran = [job for job in life.jobs.get(number, ()) if really_ran(job, begin)]
    queued = max(0, min(job.started_at or 0 for job in ran) - begin) if ran else None
    ends = [job.completed_at for job in ran if job.completed_at is not None]
    if run.status != "completed":
        return None, None, queued
    end = max(begin, max(ends) if ends else run.updated_at)
    if not ends and end - begin > 35 * 86400:
        return None, None, queued
    return end, end - begin, queued


def of_pull_request(run: Run) -> bool:
    return (run.event or "").startswith("pull_request")


def author(run: Run) -> str | None:
    return (run.commit.author_name if run.commit else None) or run.actor


@dataclass
class Ask:
    """What is asked: as a Scope has it, in plain values."""

    begin: int
    end: int
    filters: dict[str, Any] = field(default_factory=dict)
    repositories: Sequence[str] = WATCHED

    def wants(self, run: Run, *, in_line: bool = False) -> bool:
        """Whether a run is meant, its window apart; an incident's event is that of the run which opened it."""
        _, name, file = WORKFLOWS[run.workflow_id]
        left_out = any(
            fnmatchcase(word.lower(), glob.replace("?", "[!/]")) for word in (name, file) for glob in EXCLUDED
        )
        if run.repository not in self.repositories or left_out:
            return False
        asked = self.filters.get("workflow")
        if asked is not None and asked not in (name, file, f".github/workflows/{file}", str(run.workflow_id)):
            return False
        if not self.filters.get("pull_requests", True) and of_pull_request(run):
            return False
        equal = ("branch",) if in_line else ("branch", "event")
        return all(self.filters.get(word) in (None, getattr(run, word)) for word in equal)


class Slow:
    """The answers over a history, for one question."""

    def __init__(self, history: History, ask: Ask) -> None:
        self.history, self.ask = history, ask
        self.lives = [life for life in history.lives.values() if not life.gone and ask.wants(life.run)]
        self.window = [life for life in self.lives if ask.begin <= life.run.created_at < ask.end]
        self.done = [life for life in self.window if life.run.status == "completed"]
        self.decisive = [life for life in self.done if decisive(life.run.conclusion)]
        self.failed = [life for life in self.done if life.run.conclusion in FAILED]

    def ends(self, lives: Iterable[Life] | None = None) -> list[str | None]:
        return [life.run.conclusion for life in (self.done if lives is None else lives)]

    def durations(self, lives: Iterable[Life] | None = None) -> list[int]:
        found = [times(life, max(life.tries))[1] for life in (self.decisive if lives is None else lives)]
        return [value for value in found if value is not None]

    def queued(self, lives: Iterable[Life] | None = None) -> list[int]:
        found = [times(life, max(life.tries))[2] for life in (self.decisive if lives is None else lives)]
        return [value for value in found if value is not None]

    def first_ends(self) -> list[str | None]:
        return [life.tries[1].conclusion for life in self.done if 1 in life.tries]

    def most(self, what: Callable[[Run], str | None]) -> str | None:
        counts = Counter(name for life in self.done if (name := what(life.run)) is not None)
        return min(counts, key=lambda name: (-counts[name], name)) if counts else None

    def excluded(self) -> dict[str, int]:
        found = Counter(end or "unknown" for end in self.ends() if not decisive(end))
        found["unfinished"] = len(self.window) - len(self.done)
        found["duration_unknown"] = len(self.decisive) - len(self.durations())
        if not self.ask.filters.get("pull_requests", True):
            every = Ask(
                self.ask.begin, self.ask.end, {**self.ask.filters, "pull_requests": True}, self.ask.repositories
            )
            found["pull_request"] = len(Slow(self.history, every).decisive) - len(self.decisive)
        return {reason: count for reason, count in found.items() if count}

    def shares(self, what: Callable[[Run], str | None]) -> list[tuple[str, int, int, float]]:
        """Name, builds, failures and failure rate of the ten with the most failures."""
        by_name: dict[str, list[Life]] = defaultdict(list)
        for life in self.done:
            if (name := what(life.run)) is not None:
                by_name[name].append(life)
        rows = [
            (name, len(own), sum(end in FAILED for end in self.ends(own)), percent(self.ends(own), FAILED))
            for name, own in by_name.items()
        ]
        return sorted((row for row in rows if row[2]), key=lambda row: (-row[2], row[0]))[:10]

    def incidents(self) -> list[tuple[Any, ...]]:
        """(began, opened by, failures, last green, recovered at, recovered by), the newest first."""
        lines: dict[Any, list[tuple[int, int, int, Life]]] = defaultdict(list)
        for life in self.history.lives.values():
            run = life.run
            if life.gone or not self.ask.wants(run, in_line=True):
                continue
            key = (run.repository, run.workflow_id, run.branch, of_pull_request(run))
            for number, tried in life.tries.items():
                if tried.status == "completed" and decisive(tried.conclusion):
                    lines[key].append((run.run_number, number, run.id, life))
        found = [one for line in lines.values() for one in self._streaks(sorted(line, key=lambda one: one[:3]))]
        begin, end = self.ask.begin, self.ask.end
        told = [one if one[4] is not None and one[4] < end else (*one[:4], None, None) for one in found]
        inside = [one for one in told if (begin <= one[0] < end if one[4] is None else begin <= one[4])]
        return sorted(inside, key=lambda one: (-one[0], -one[1]))

    def _streaks(self, line: Sequence[tuple[int, int, int, Life]]) -> Iterable[tuple[Any, ...]]:
        opened: list[Any] | None = None
        green: int | None = None
        asked = self.ask.filters.get("event")
        for _, number, key, life in line:
            over = times(life, number)[0]
            at = life.tries[number].updated_at if over is None else over
            if life.tries[number].conclusion in FAILED:
                opened = opened or [at, key, 0, green, life.run.event]
                opened[2] += 1
                continue
            if opened is not None and asked in (None, opened[4]):
                yield (*opened[:4], at, key)
            opened, green = None, key
        if opened is not None and asked in (None, opened[4]):
            yield (*opened[:4], None, None)

    def recovered(self, since: int | None = None, until: int | None = None) -> list[int]:
        """How long those lasted that recovered in the window, or in a stretch of it."""
        found = [one for one in self.incidents() if one[4] is not None]
        return [max(0, one[4] - one[0]) for one in found if since is None or until is None or since <= one[4] < until]

    def jobs(self) -> list[tuple[Life, Job]]:
        """All job attempts of the window's runs."""
        return [(life, job) for life in self.window for jobs in life.jobs.values() for job in jobs]

    def failing_jobs(self) -> list[tuple[int, str, int, int]]:
        """(workflow, job, of so many, failures) of the failed runs' latest attempts; the most failures first."""
        ends: dict[tuple[int, str], list[str | None]] = defaultdict(list)
        for life in self.failed:
            for job in life.jobs.get(max(life.tries), ()):
                if decisive(job.conclusion):
                    ends[life.run.workflow_id, job.name].append(job.conclusion)
        rows = [(*key, len(own), sum(end in FAILED for end in own)) for key, own in ends.items()]
        return sorted((row for row in rows if row[3]), key=lambda row: (-row[3], row[1], row[0]))

    def is_of_platform(self, job: Job) -> bool:
        if job.conclusion not in FAILED:
            return False
        if self.history.said.get(job.id, ("", False))[1]:
            return True
        if job.conclusion != "failure" or (not job.steps and job.runner_name):
            return False
        bad = [step.name for step in job.steps if step.status == "completed" and step.conclusion in FAILED]
        return not bad or any(name in SET_UP for name in bad)

    def flaky(self) -> dict[tuple[int, str], tuple[int, int, int]]:
        """Per workflow and job: commits with an end, of them with both, and failures of the platform."""
        ends: dict[tuple[int, str], dict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
        platform: Counter[tuple[int, str]] = Counter()
        for life, job in self.jobs():
            if not decisive(job.conclusion) or life.run.sha is None:
                continue
            key = (life.run.workflow_id, job.name)
            if self.is_of_platform(job):
                platform[key] += 1
            else:
                ends[key][life.run.sha].add(job.conclusion == "success")
        keys = ends.keys() | platform.keys()
        return {key: (len(ends[key]), sum(len(own) == 2 for own in ends[key].values()), platform[key]) for key in keys}

    def waits(self, zone: ZoneInfo) -> tuple[dict[tuple[tuple[str, ...], int], list[int]], dict[str, int]]:
        """The waits by labels and hour of the day, and how many jobs have none of their own."""
        found: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(list)
        left_out: Counter[str] = Counter()
        for _, job in self.jobs():
            never = job.conclusion == "cancelled" and not job.steps
            if job.conclusion == "skipped" or never or job.status not in ("in_progress", "completed"):
                continue
            if job.created_at is None or job.started_at is None:
                left_out["times_unknown"] += 1
            elif job.started_at < job.created_at - 2:
                left_out["copied_by_a_rerun"] += 1
            else:
                hour = datetime.fromtimestamp(job.created_at, zone).hour
                found[tuple(sorted(job.labels)), hour].append(max(0, job.started_at - job.created_at))
        return found, dict(left_out)

    def spent(self) -> list[tuple[Life, Job, int, str]]:
        """Each job attempt that ran to its end: its minutes, and what they were for."""
        found = []
        for life, job in self.jobs():
            if not _was_paid(job) or job.status != "completed" or job.completed_at is None or job.started_at is None:
                continue
            if job.completed_at >= job.started_at:
                minutes = math.ceil((job.completed_at - job.started_at) / 60)
                found.append((life, job, minutes, self._what_for(life, job)))
        return found

    def _what_for(self, life: Life, job: Job) -> str:
        run = life.run
        if job.conclusion in FAILED:
            return "failed"
        over = times(life, run.run_attempt)[0]
        end = run.updated_at if over is None else over
        same = ("workflow_id", "branch", "event", "head_repository")
        newer = [
            other
            for other in self.history.lives.values()
            if all(getattr(other.run, name) == getattr(run, name) for name in same)
            and None not in (run.branch, run.event)
            and other.run.run_number > run.run_number
            and run.created_at <= other.run.created_at <= end
            and not other.gone
        ]
        if run.conclusion == "cancelled" and newer:
            return "superseded"
        if "cancelled" in (run.conclusion, job.conclusion):
            return "cancelled"
        later = [other for number, own in life.jobs.items() if number > job.run_attempt for other in own]
        return "rerun" if any(other.name == job.name and _was_paid(other) for other in later) else "useful"


def _was_paid(job: Job) -> bool:
    """Whether it ran in its own attempt, whatever came of it."""
    if job.conclusion == "skipped" or (job.conclusion == "cancelled" and not job.steps) or job.started_at is None:
        return False
    return job.created_at is None or job.started_at >= job.created_at - 2
