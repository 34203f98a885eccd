"""The frame of every answer about a window: its arguments, and what stands beside its numbers."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from marshmallow import fields, validate

from pipemon.analytics.definitions import BY_ID
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


class Days(Whole):
    """How many times 24 hours before `timestamp` the window begins."""

    def __init__(self, load_default: int) -> None:
        told = {"description": "The window's length: so many times 24 hours, up to `timestamp`."}
        super().__init__(load_default=load_default, validate=validate.Range(1, LONGEST_DAYS), metadata=told)


class WindowArguments(Repositories):
    """What every answer about a window takes."""

    lookback_days = Days(30)
    branch = Text(load_default=None, metadata={"description": "The builds' head branch, whole and as it is written."})
    workflow = Text(load_default=None, metadata={"description": "A workflow's name, its file's name or its id."})
    event = Text(load_default=None, metadata={"description": "What started the builds: push, schedule, …"})
    include_pull_requests = TrueOrFalse(
        load_default=True, metadata={"description": "false leaves out the builds of pull requests."}
    )


class WeekArguments(WindowArguments):
    lookback_days = Days(7)


class ZonedArguments(WindowArguments):
    tz = Zone(
        load_default="",
        metadata={"description": "By whose clock hours, days and weeks begin, such as Europe/Berlin; UTC by default."},
    )


class TrendArguments(ZonedArguments):
    granularity = Word(
        GRANULARITIES, load_default="daily", description="The length of a period; a week begins on Monday."
    )


class Format(Word):
    """Whether the whole answer is asked for, or its table for a spreadsheet."""

    def __init__(self) -> None:
        super().__init__(
            ("json", "csv"), load_default="json", description="csv: the table alone, with a line of names."
        )


class TableArguments(WindowArguments):
    format = Format()


class ZonedTableArguments(ZonedArguments):
    format = Format()


class TrendTableArguments(TrendArguments):
    format = Format()


class BuildsUrl(fields.Field[Any]):
    """A scope inside; outside the address of the list of its builds: of the completed ones, unless told otherwise."""

    def __init__(self, result: str | None = None, *, completed: bool = True, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string", "description": "The list of the builds behind it."}, **kwargs)
        self.result = result
        self.completed = completed

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return builds_url(value, self.result, completed=self.completed)


def builds_url(scope: Scope, result: str | None = None, *, completed: bool = True) -> str:
    """Return the address of the list of the scope's builds; with a result, of those that ended so."""
    asked = [] if len(scope.repositories) == len(moment().snapshot.names()) else sorted(scope.repositories.values())
    sent: list[tuple[str, object]] = [("repo", name) for name in asked]
    wanted = {
        "created_from": format_time(scope.created_from),
        "created_to": format_time(scope.created_to),
        "branch": scope.branch,
        "workflow": scope.workflow,
        "event": scope.event,
        "author": scope.author,
        "signature": scope.signature,
        "job": scope.job,
        "failed_job": scope.failed_job,
        "include_pull_requests": None if scope.pull_requests else "false",
        "status": "completed" if completed else None,
        "result": result,
    }
    sent += [(name, value) for name, value in wanted.items() if value is not None]
    return f"/api/v1/builds?{urlencode(sent)}"


class Definitions(fields.Dict):
    """Which definition each field of the answer has; it says the same whatever is answered."""

    def __init__(self, **ids: str) -> None:
        unknown = set(ids.values()) - BY_ID.keys()
        assert not unknown, unknown
        super().__init__(
            keys=fields.String(), values=fields.String(), attribute="basis", dump_only=True,
            metadata=told("What each field means, by the id in /api/v1/analytics/definitions."), **HERE,
        )  # fmt: skip
        self.ids = ids

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> dict[str, str]:
        return dict(self.ids)


def told(description: str) -> dict[str, str]:
    """Return the metadata of a field that is described so."""
    return {"description": description}


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

    period_days = fields.Integer(attribute="basis.window.days", metadata=told("The window's length in days."), **HERE)
    n = fields.Integer(attribute="basis.n", metadata=told("How many enter the rates and means."), **HERE)
    excluded = fields.List(
        fields.Nested(Exclusion), attribute="basis.excluded", metadata=told("How many do not, and why."), **HERE
    )
    coverage = fields.Nested(
        Coverage, attribute="basis.coverage", metadata=told("Whether all of the window was read."), **HERE
    )

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Say in the documentation what the field's number means."""
        frame = self._declared_fields.get("definitions")
        known = BY_ID.get(frame.ids.get(field_name, "")) if isinstance(frame, Definitions) else None
        if known is not None:
            # A copy: the metadata are shared by all that were made of the class.
            field_obj.metadata = {**field_obj.metadata, **told(f"{known.name}, {known.unit}: {known.formula}.")}


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
