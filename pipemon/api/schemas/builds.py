"""The shapes of `/builds`."""

from marshmallow import fields, validate

from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Hash, Moment, Signature, Text, TrueOrFalse, Whole, Word
from pipemon.api.schemas.pipeline import AsOfAnswer
from pipemon.api.schemas.scope import PerPage, Repositories
from pipemon.domain.runs import STATUS_RANK
from pipemon.queries.runs import SORTS

CONCLUSIONS = (
    "success", "failure", "timed_out", "startup_failure", "cancelled", "skipped", "neutral", "action_required", "stale",
)  # fmt: skip
# GitHub's own `status` filter takes a conclusion as well, and dashboards that were written for it do send one.
STATUSES = (*STATUS_RANK, *CONCLUSIONS)
SORT_WORDS = tuple(sign + name for name in SORTS for sign in ("-", ""))

# Nobody turns this many pages; a filter by time leads there directly.
LAST_PAGE = 100_000


class BuildsArguments(Repositories):
    page = Whole(load_default=1, validate=validate.Range(1, LAST_PAGE))
    per_page = PerPage()
    status = Word(STATUSES, load_default=None)
    conclusion = Word(CONCLUSIONS, load_default=None)
    branch = Text(load_default=None)
    workflow = Text(load_default=None, metadata={"description": "A workflow's name, its file's name or its id."})
    event = Text(load_default=None)
    actor = Text(load_default=None)
    author = Text(load_default=None, metadata={"description": "The head commit's author; its actor where it has none."})
    sha = Hash(load_default=None)
    created_from = Moment(load_default=None, metadata={"type": "string", "format": "date-time"})
    created_to = Moment(load_default=None, metadata={"type": "string", "format": "date-time"})
    q = Text(load_default=None, metadata={"description": "Part of the name, the branch or the commit message."})
    result = Word(("decisive", "failed"), load_default=None)
    signature = Signature(load_default=None, metadata={"description": "Why a job of it failed: 16 hex digits."})
    job = Text(load_default=None, metadata={"description": "The name of a job of any of its attempts."})
    failed_job = Text(
        load_default=None, metadata={"description": "The name of a job that failed in its latest attempt."}
    )
    include_pull_requests = TrueOrFalse(load_default=True)
    sort = Word(SORT_WORDS, load_default="-started_at")


class Build(Answer):
    id = fields.Integer(**HERE)
    run_number = fields.Integer(**HERE)
    name = fields.String(**MAYBE)
    status = fields.String(**HERE)
    conclusion = fields.String(**MAYBE)
    branch = fields.String(**MAYBE)
    commit_sha = fields.String(attribute="sha", **MAYBE)
    commit_message = Cut(200, **MAYBE)
    author = fields.String(**MAYBE)
    started_at = Moment(**HERE)
    updated_at = Moment(**HERE)
    duration_seconds = fields.Integer(**MAYBE)
    url = fields.String(**MAYBE)
    repository = fields.String(**HERE)
    event = fields.String(**MAYBE)
    actor = fields.String(**MAYBE)
    run_attempt = fields.Integer(**HERE)
    queue_seconds = fields.Integer(**MAYBE)


class BuildPage(AsOfAnswer):
    builds = fields.List(fields.Nested(Build), **HERE)
    page = fields.Integer(**HERE)
    per_page = fields.Integer(**HERE)
    total_count = fields.Integer(**HERE)
    has_next = fields.Boolean(**HERE)


class Step(Answer):
    name = fields.String(**HERE)
    status = fields.String(**MAYBE)
    conclusion = fields.String(**MAYBE)
    number = fields.Integer(**HERE)
    started_at = Moment(**MAYBE)
    completed_at = Moment(**MAYBE)


class Seen(Answer):
    first_seen_at = Moment(**HERE)
    last_seen_at = Moment(**HERE)
    failures = fields.Integer(**HERE)
    builds = fields.Integer(**HERE)


class JobFailure(Answer):
    """Why a job failed: `state` is wanted (its log is not read yet), read, expired, missing, unreadable or left_out."""

    state = fields.String(**HERE)
    step = fields.String(**MAYBE)
    step_number = fields.Integer(**MAYBE)
    signature = fields.String(**MAYBE)
    title = fields.String(**MAYBE)
    platform = fields.Boolean(**HERE)
    seen = fields.Nested(Seen, **MAYBE)


class Job(Answer):
    id = fields.Integer(attribute="job.id", **HERE)
    name = fields.String(attribute="job.name", **HERE)
    status = fields.String(attribute="job.status", **HERE)
    conclusion = fields.String(attribute="job.conclusion", **MAYBE)
    started_at = Moment(attribute="job.started_at", **MAYBE)
    completed_at = Moment(attribute="job.completed_at", **MAYBE)
    runner_name = fields.String(attribute="job.runner_name", **MAYBE)
    runner_group_name = fields.String(attribute="job.runner_group_name", **MAYBE)
    steps = fields.List(fields.Nested(Step), attribute="job.steps", **HERE)
    url = fields.String(attribute="job.url", **MAYBE)
    labels = fields.List(fields.String(), attribute="job.labels", **HERE)
    queue_seconds = fields.Integer(**MAYBE)
    failure = fields.Nested(JobFailure, **MAYBE)


class Commit(Answer):
    sha = fields.String(attribute="run.sha", **MAYBE)
    message = fields.String(attribute="run.commit_message", **MAYBE)
    author_name = fields.String(attribute="run.commit_author_name", **MAYBE)
    author_email = fields.String(attribute="run.commit_author_email", **MAYBE)
    committer_name = fields.String(attribute="run.committer_name", **MAYBE)
    committer_email = fields.String(attribute="run.committer_email", **MAYBE)
    timestamp = Moment(attribute="run.committed_at", **MAYBE)
    url = fields.String(attribute="commit_url", **MAYBE)


class Attempt(Answer):
    run_attempt = fields.Integer(**HERE)
    status = fields.String(**HERE)
    conclusion = fields.String(**MAYBE)
    started_at = Moment(**MAYBE)
    duration_seconds = fields.Integer(**MAYBE)
    duration_source = fields.String(**MAYBE)


class BuildDetail(Answer):
    id = fields.Integer(attribute="run.id", **HERE)
    run_number = fields.Integer(attribute="run.run_number", **HERE)
    name = fields.String(attribute="run.shown_name", **MAYBE)
    status = fields.String(attribute="run.status", **HERE)
    conclusion = fields.String(attribute="run.conclusion", **MAYBE)
    branch = fields.String(attribute="run.branch", **MAYBE)
    event = fields.String(attribute="run.event", **MAYBE)
    workflow_id = fields.Integer(attribute="run.workflow_id", **HERE)
    jobs = fields.List(fields.Nested(Job), **HERE)
    commit = fields.Nested(Commit, **HERE)
    started_at = Moment(attribute="run.began_at", **HERE)
    updated_at = Moment(attribute="run.updated_at", **HERE)
    duration_seconds = fields.Integer(**MAYBE)
    duration_source = fields.String(attribute="run.duration_source", **MAYBE)
    url = fields.String(attribute="run.url", **MAYBE)
    cancel_url = fields.String(**MAYBE)
    rerun_url = fields.String(**MAYBE)
    logs_url = fields.String(**HERE)
    run_attempt = fields.Integer(attribute="run.run_attempt", **HERE)
    attempts = fields.List(fields.Nested(Attempt), **HERE)
    pull_requests = fields.List(fields.Integer(), **HERE)
    critical_path = fields.List(fields.String(), **HERE)
    repository = fields.String(**HERE)
    actor = fields.String(attribute="run.actor", **MAYBE)
    author = fields.String(attribute="run.shown_author", **MAYBE)
    queue_seconds = fields.Integer(attribute="run.queue_seconds", **MAYBE)
    created_at = Moment(attribute="run.created_at", **HERE)
