"""The shapes of `/deployments`, `/environments` and the history of rollbacks."""

from marshmallow import fields, validate

from pipemon.api.schemas.base import Answer, Arguments
from pipemon.api.schemas.fields import HERE, MAYBE, Cut, Hash, Hours, Moment, Text, Whole, Word
from pipemon.api.schemas.pipeline import AsOfAnswer
from pipemon.api.schemas.scope import PerPage, Repositories
from pipemon.domain.deployments import KINDS


class DeploymentsArguments(Repositories):
    page = Whole(load_default=1, validate=validate.Range(1, 100_000))
    per_page = PerPage()
    environment = Text(load_default=None)
    state = Text(load_default=None)
    kind = Word(KINDS, load_default=None)
    sha = Hash(load_default=None)


class RollbacksArguments(Repositories):
    limit = Whole(load_default=10, validate=validate.Range(1, 50))


class Overruling(Arguments):
    kind = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(KINDS),
        metadata={"description": "What the deployment was; null takes an earlier word back."},
    )
    why = Text(load_default=None)


class Verdict(Answer):
    kind = fields.String(**MAYBE)
    rule = fields.String(**MAYBE)
    evidence = fields.Dict(**HERE)
    blamed_deployment_id = fields.Integer(attribute="blamed_id", **MAYBE)
    overruled_by = fields.String(**MAYBE)
    overruled_at = Moment(**MAYBE)
    overruled_why = fields.String(**MAYBE)
    version = fields.Integer(**HERE)


class DeploymentDetail(Verdict):
    id = fields.Integer(**HERE)
    repository = fields.String(**HERE)
    environment = fields.String(**HERE)
    source = fields.String(**HERE)
    commit_sha = fields.String(attribute="sha", **HERE)
    ref = fields.String(**MAYBE)
    creator = fields.String(**MAYBE)
    status = fields.String(attribute="state", **HERE)
    created_at = Moment(**HERE)
    deployed_at = Moment(**MAYBE)
    failed_at = Moment(**MAYBE)
    duration_seconds = fields.Integer(**MAYBE)
    commits = fields.Integer(**MAYBE)
    url = fields.String(**MAYBE)


class DeploymentPage(AsOfAnswer):
    deployments = fields.List(fields.Nested(DeploymentDetail), **HERE)
    page = fields.Integer(**HERE)
    per_page = fields.Integer(**HERE)
    total_count = fields.Integer(**HERE)
    has_next = fields.Boolean(**HERE)


class Drift(Answer):
    """What waits on the default branch: head commits of its builds since what is live."""

    commits = fields.Integer(**HERE)
    hours = Hours(attribute="seconds", **HERE)
    authors = fields.List(fields.String(), **HERE)
    oldest_commit_sha = fields.String(attribute="oldest_sha", **MAYBE)
    newest_commit_sha = fields.String(attribute="newest_sha", **MAYBE)


class Environment(DeploymentDetail):
    """What is live in an environment, since `deployed_at`: the newest deployment that succeeded."""

    behind = fields.Nested(Drift, **MAYBE)


class Environments(AsOfAnswer):
    environments = fields.List(fields.Nested(Environment), **HERE)


class Rollback(Answer):
    id = fields.Integer(**HERE)
    failed_commit = Cut(7, attribute="failed_sha", **MAYBE)
    failed_at = Moment(**MAYBE)
    rollback_detected = fields.Boolean(**HERE)
    duration_minutes = fields.Float(**MAYBE)
    url = fields.String(**MAYBE)
    environment = fields.String(**HERE)
    restored_commit = Cut(7, attribute="restored_sha", **HERE)
    rolled_back_at = Moment(**HERE)
    kind = fields.String(**HERE)
    repository = fields.String(**HERE)


class Rollbacks(AsOfAnswer):
    rollback_events = fields.List(fields.Nested(Rollback), **HERE)
    total_count = fields.Integer(**HERE)
