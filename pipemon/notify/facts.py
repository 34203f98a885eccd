"""What rules are held against: an event of the log, with what the database knows of its build or deployment."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection

from pipemon.analytics.stats import percentile
from pipemon.notify.quiet import Quiet
from pipemon.notify.rules import FAILURES, Condition, Fact, Rule
from pipemon.store import durations, lineage
from pipemon.store.rules import StoredRule

REPAIRS = ("build_succeeded",)
# Of fewer builds nobody can say what is usual.
FEWEST_DURATIONS = 20
# One in twenty is over its 95th percentile by nature: `build_slow` is for what is well over it.
SLOW_FACTOR = 1.25
ENDS = {
    "build_succeeded": "deployment_success",
    "build_failed": "deployment_failed",
    "build_timeout": "deployment_failed",
}


def to_rule(rule: StoredRule) -> Rule:
    """Return a rule as it is held against events."""
    conditions = []
    for one in rule.conditions:
        value = one["value"]
        if isinstance(value, int | float) and not isinstance(value, bool):
            conditions.append(Condition(one["type"], number=float(value)))
        else:
            conditions.append(Condition(one["type"], tuple([value] if isinstance(value, str) else value)))
    return Rule(
        rule.id, rule.name, frozenset(rule.trigger_events), tuple(conditions), tuple(rule.channels), rule.enabled,
        Quiet.of(rule.quiet_hours), rule.muted_until or 0.0,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deploys:
    """Which builds deploy, where a repository tells GitHub of no deployments: globs of workflows and of branches."""

    workflows: tuple[str, ...] = ()
    branches: tuple[str, ...] = ("@default",)

    def holds(self, data: Mapping[str, Any], build: lineage.Build) -> bool:
        """Whether this build is such a one."""
        branches = [build.default_branch if glob == "@default" else glob for glob in self.branches]
        is_there = build.on_own_branch and not build.pull_request and not build.has_deployments
        return (
            is_there
            and any(fnmatchcase(str(data.get("workflow") or "").lower(), glob.lower()) for glob in self.workflows)
            and any(glob is not None and fnmatchcase(str(data.get("branch")), glob) for glob in branches)
        )


def _of_deployment(conn: Connection, event_type: str, data: Mapping[str, Any]) -> Fact:
    repository, default_branch, branch = lineage.branch_of(conn, data)
    return Fact(
        (event_type,), repository, branch=branch, default_branch=default_branch, status=data.get("status"),
        author=data.get("creator"), workflow=data.get("environment"),
    )  # fmt: skip


def names_from(event_type: str) -> set[str]:
    """Return all names under which an event of this type may be told."""
    names = {event_type} | (set(FAILURES) if event_type == "build_still_failing" else set())
    names |= {"build_still_failing"} if event_type in FAILURES else set()
    names |= {"build_recovered"} if event_type in REPAIRS else set()
    return names | ({ENDS[event_type], "build_slow"} if event_type in ENDS else set())


def fact_of(
    conn: Connection, event_type: str, data: Mapping[str, Any], run_id: int | None, deploys: Deploys = Deploys(),
    asks_usual: bool = True,
) -> Fact:  # fmt: skip
    """Return what the rules are held against. Of a deployment, `workflow` is the environment.

    `asks_usual`: whether anybody asks how long its workflow's builds usually take, which is not for nothing.
    """
    if "deployment_id" in data:
        return _of_deployment(conn, event_type, data)
    build = None if run_id is None else lineage.build(conn, run_id, int(data.get("run_attempt") or 1))
    names = [event_type]
    if event_type == "build_still_failing":
        names.append("build_timeout" if data.get("conclusion") == "timed_out" else "build_failed")
    if build is not None and event_type in FAILURES and build.was_red:
        names.append("build_still_failing")
    if build is not None and event_type in REPAIRS and build.was_red:
        names.insert(0, "build_recovered")
    if build is not None and event_type in ENDS and deploys.holds(data, build):
        names.append(ENDS[event_type])
    seconds, p95 = data.get("duration_seconds"), None
    if asks_usual and build is not None and run_id is not None and event_type in ENDS and seconds is not None:
        p95 = _p95(conn, run_id)
        if p95 is not None and seconds > p95 * SLOW_FACTOR:
            # Of a success that it was slow is the better word, of a failure that it failed.
            names.insert(len(names) if event_type in FAILURES else names.index(event_type), "build_slow")
    branch = data.get("branch")
    return Fact(
        names=tuple(names),
        repository=str(data.get("repository") or ""),
        workflow=data.get("workflow"),
        branch=branch if build is None or build.on_own_branch else None,
        default_branch=build.default_branch if build else None,
        pull_request=bool(build and build.pull_request),
        status=data.get("status"),
        conclusion=data.get("conclusion"),
        event=data.get("event"),
        author=(build.author if build else None) or data.get("actor"),
        failures=int(data.get("failures") or (build.failures if build else 0)),
        duration_seconds=seconds,
        p95_seconds=p95,
        line=_line(build),
        red_since=build.red_since if build else None,
        red_at=build.red_at if build else None,
    )


def _line(build: lineage.Build | None) -> str:
    """Return what tells the branches of forks, and pull requests, from branches of the same name."""
    if build is None or (build.on_own_branch and not build.pull_request):
        return ""
    return f"{'pull request' if build.pull_request else 'fork'} {build.head_repository}"


def _p95(conn: Connection, run_id: int) -> float | None:
    """Return the 95th percentile of the workflow's durations before this build; None where too few are known."""
    known = durations.before(conn, run_id)
    return percentile(((value, 1) for value in known), 0.95) if len(known) >= FEWEST_DURATIONS else None
