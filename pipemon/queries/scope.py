"""Which runs an answer is about: the one WHERE of all queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sqlalchemy as sa

from pipemon.domain.runs import FAILED
from pipemon.store.schema import jobs, repositories, runs, workflows
from pipemon.store.schema_failures import failures

Condition: TypeAlias = sa.ColumnElement[bool]
# A SELECT of which the rows are unpacked by place: a tuple type of a dozen columns would say nothing more.
Query: TypeAlias = Any

# Spelled out, not bound: SQLite takes a partial index only for the very words of its condition.
UNFINISHED: Condition = sa.text("runs.status <> 'completed'")  # type: ignore[assignment]

SUCCEEDED: Condition = runs.c.conclusion == "success"
HAS_FAILED: Condition = runs.c.conclusion.in_(sorted(FAILED))
IS_DECISIVE: Condition = sa.or_(SUCCEEDED, HAS_FAILED)
COMPLETED: Condition = runs.c.status == "completed"

OF_PULL_REQUEST: Condition = sa.func.coalesce(runs.c.event, "").startswith("pull_request")

# A run of a branch of the repository itself: not of a fork's branch of that name, and not a pull request's.
# Needs `repositories` in the FROM. A deleted fork has no head repository.
ON_OWN_BRANCH: Condition = sa.and_(
    sa.func.lower(runs.c.head_repository).in_(
        [sa.func.lower(repositories.c.name), sa.func.lower(repositories.c.current_name)]
    ),
    sa.not_(OF_PULL_REQUEST),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The runs of an answer. `repositories` are the watched ones that were asked for, name by id; None filters nothing.

    The window [created_from, created_to) is by `created_at`, in Unix seconds. `text` is looked for in name, branch and
    commit message; `outcome` is a conclusion that was asked for in the place of a status, beside `conclusion`.
    `exclude_workflows` are the globs of EXCLUDE_WORKFLOWS. `result` is "failed" or "decisive"; `pull_requests` false
    leaves out the runs of pull requests; `signature` is why one of their jobs failed. `job` is the name of a job of any
    of their attempts, `failed_job` of one that failed in the latest.
    """

    repositories: Mapping[int, str]
    created_from: int | None = None
    created_to: int | None = None
    workflow: str | None = None
    branch: str | None = None
    event: str | None = None
    actor: str | None = None
    sha: str | None = None
    status: str | None = None
    conclusion: str | None = None
    outcome: str | None = None
    text: str | None = None
    exclude_workflows: Sequence[str] = field(default=())
    result: str | None = None
    pull_requests: bool = True
    signature: str | None = None
    author: str | None = None
    job: str | None = None
    failed_job: str | None = None


def where(scope: Scope) -> list[Condition]:
    """Return the conditions on `runs`, to be joined by AND."""
    found: list[Condition] = [in_repositories(runs.c.repository_id, scope.repositories), runs.c.deleted_at.is_(None)]
    if scope.exclude_workflows:
        found.append(runs.c.workflow_id.not_in(workflows_like(scope.exclude_workflows)))
    if scope.created_from is not None:
        found.append(runs.c.created_at >= scope.created_from)
    if scope.created_to is not None:
        found.append(runs.c.created_at < scope.created_to)
    if scope.workflow is not None:
        found.append(runs.c.workflow_id.in_(workflows_called(scope.workflow)))
    if scope.status not in (None, "completed"):
        found.append(UNFINISHED)
    if scope.outcome is not None:
        found.append(runs.c.conclusion == scope.outcome)
    if scope.result is not None:
        found.append(HAS_FAILED if scope.result == "failed" else IS_DECISIVE)
    if not scope.pull_requests:
        found.append(sa.not_(OF_PULL_REQUEST))
    if scope.sha is not None:
        found.append(_has_sha(scope.sha))
    if scope.signature is not None:
        found.append(runs.c.id.in_(sa.select(failures.c.run_id).where(failures.c.signature == scope.signature)))
    if scope.text is not None:
        found.append(_has_text(scope.text))
    if scope.author is not None:
        found.append(sa.func.coalesce(runs.c.author, runs.c.actor) == scope.author)
    if scope.job is not None:
        found.append(_has_job(jobs.c.name == scope.job))
    if scope.failed_job is not None:
        latest = jobs.c.run_attempt == runs.c.run_attempt
        found.append(_has_job(jobs.c.name == scope.failed_job, latest, jobs.c.conclusion.in_(sorted(FAILED))))
    return found + [
        runs.c[name] == value
        for name in ("branch", "event", "actor", "status", "conclusion")
        if (value := getattr(scope, name)) is not None
    ]


def in_repositories(column: sa.Column[int], wanted: Mapping[int, str]) -> Condition:
    """Return the condition that the row belongs to one of these repositories."""
    if len(wanted) == 1:
        return column == next(iter(wanted))
    # The sum keeps the planner on the index by time: over several repositories the other one needs a sort of all rows.
    return (column + 0).in_(sorted(wanted))


def like(column: sa.ColumnElement[str], glob: str) -> Condition:
    """Return the condition that a text matches a glob of `*` and `?`, whatever the case of its letters."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return sa.func.lower(column).like(sa.func.lower(escaped.replace("*", "%").replace("?", "_")), escape="\\")


def workflows_like(globs: Sequence[str]) -> Query:
    """Return the ids of the workflows of which the name or the file's name matches one of the globs."""
    # An alias: inside a query over `workflows` the subquery must not become correlated to it.
    one = workflows.alias("matched")
    file_name = sa.func.replace(one.c.path, ".github/workflows/", "")
    matches = [like(text, glob) for glob in globs for text in (one.c.name, file_name)]
    return sa.select(one.c.id).where(sa.or_(sa.false(), *matches))


def workflows_called(name: str) -> Query:
    """Return the ids of the workflows with this name, file (with or without its folder) or id."""
    paths = [name, f".github/workflows/{name}"]
    one = workflows.alias("called")
    called = sa.or_(one.c.name == name, one.c.path.in_(paths))
    if name.isascii() and name.isdigit() and len(name) <= 18:
        called = sa.or_(called, one.c.id == int(name))
    return sa.select(one.c.id).where(called)


def _has_sha(sha: str) -> Condition:
    """Return the condition of a commit by how its hash begins: as a range, which the index can answer."""
    return sa.and_(runs.c.sha >= sha.lower(), runs.c.sha < sha.lower() + "g")


def _has_job(*conditions: Condition) -> Condition:
    return sa.exists().where(jobs.c.run_id == runs.c.id, *conditions).correlate(runs)


def _has_text(text: str) -> Condition:
    columns = (runs.c.name, runs.c.branch, runs.c.commit_message)
    return sa.or_(*(column.icontains(text, autoescape=True) for column in columns))
