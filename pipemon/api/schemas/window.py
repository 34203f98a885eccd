"""The frame of every answer about a window: its arguments, and what stands beside its numbers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from marshmallow import fields, validate

from pipemon.analytics.definitions import IDS
from pipemon.analytics.trends import GRANULARITIES
from pipemon.api.schemas.base import Answer
from pipemon.api.schemas.fields import HERE, Moment, Text, TrueOrFalse, Whole, Word, Zone
from pipemon.api.schemas.pipeline import AsOfAnswer
from pipemon.api.schemas.scope import Repositories, to_scope
from pipemon.api.services import as_of, moment
from pipemon.domain.times import format_time
from pipemon.queries.scope import Scope
from pipemon.queries.window import DAY_SECONDS, UTC, Window

LONGEST_DAYS = 730


class WindowArguments(Repositories):
    """What every answer about a window takes."""

    lookback_days = Whole(load_default=30, validate=validate.Range(1, LONGEST_DAYS))
    branch = Text(load_default=None)
    workflow = Text(load_default=None, metadata={"description": "A workflow's name, its file's name or its id."})
    event = Text(load_default=None)
    include_pull_requests = TrueOrFalse(
        load_default=True, metadata={"description": "false leaves out the builds of pull requests."}
    )


class WeekArguments(WindowArguments):
    lookback_days = Whole(load_default=7, validate=validate.Range(1, LONGEST_DAYS))


class ZonedArguments(WindowArguments):
    tz = Zone(load_default="", metadata={"description": "Whose midnight a day begins at; UTC by default."})


class TrendArguments(ZonedArguments):
    granularity = Word(GRANULARITIES, load_default="daily")


class TableArguments(WindowArguments):
    format = Word(("json", "csv"), load_default="json")


class ZonedTableArguments(ZonedArguments):
    format = Word(("json", "csv"), load_default="json")


class TrendTableArguments(TrendArguments):
    format = Word(("json", "csv"), load_default="json")


class BuildsUrl(fields.Field[Any]):
    """A scope inside; outside the address of the list of its completed builds."""

    def __init__(self, result: str | None = None, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string"}, **kwargs)
        self.result = result

    def _serialize(self, value: Scope | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else builds_url(value, self.result)


def builds_url(scope: Scope, result: str | None = None) -> str:
    """Return the address of the list of the scope's completed builds; with a result, of those that ended so."""
    asked = [] if len(scope.repositories) == len(moment().snapshot.names()) else sorted(scope.repositories.values())
    sent: list[tuple[str, object]] = [("repo", name) for name in asked]
    wanted = {
        "created_from": format_time(scope.created_from),
        "created_to": format_time(scope.created_to),
        "branch": scope.branch,
        "workflow": scope.workflow,
        "event": scope.event,
        "actor": scope.actor,
        "signature": scope.signature,
        "include_pull_requests": None if scope.pull_requests else "false",
        "status": "completed",
        "result": result,
    }
    sent += [(name, value) for name, value in wanted.items() if value is not None]
    return f"/api/v1/builds?{urlencode(sent)}"


class Definitions(fields.Dict):
    """Which definition each field of the answer has; it says the same whatever is answered."""

    def __init__(self, **ids: str) -> None:
        unknown = set(ids.values()) - IDS
        assert not unknown, unknown
        super().__init__(keys=fields.String(), values=fields.String(), attribute="basis", dump_only=True, **HERE)
        self.ids = ids

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> dict[str, str]:
        return dict(self.ids)


class Exclusion(Answer):
    reason = fields.String(**HERE)
    count = fields.Integer(**HERE)


class Gap(Answer):
    repository = fields.String(**HERE)
    created_from = Moment(attribute="from_at", **HERE)
    created_to = Moment(attribute="to_at", **HERE)


class Coverage(Answer):
    complete = fields.Boolean(**HERE)
    gaps = fields.List(fields.Nested(Gap), **HERE)


class Frame(AsOfAnswer):
    """What every answer about a window says beside its numbers."""

    period_days = fields.Integer(attribute="basis.window.days", **HERE)
    n = fields.Integer(attribute="basis.n", **HERE)
    excluded = fields.List(fields.Nested(Exclusion), attribute="basis.excluded", **HERE)
    coverage = fields.Nested(Coverage, attribute="basis.coverage", **HERE)


class WindowAnswer(Frame):
    """The same of an answer about builds, with the address of their list."""

    builds_url = BuildsUrl(attribute="basis.window.scope", **HERE)


def to_window(wanted: Mapping[str, Any]) -> Window:
    """Return the window that the arguments of `WindowArguments` ask for, up to now; what is not among them is none."""
    names = tuple(wanted["repo"])
    until, days = as_of(names), wanted["lookback_days"]
    asked = to_scope(
        names,
        created_from=until.timestamp - days * DAY_SECONDS,
        created_to=until.timestamp,
        pull_requests=wanted.get("include_pull_requests", True),
        **{name: wanted.get(name) for name in ("branch", "workflow", "event")},
    )
    return Window(asked, days, until, wanted.get("tz") or UTC, wanted.get("granularity") or "daily")
