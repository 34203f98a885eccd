"""The parameters that lists and metrics share, and how they become the scope of a query."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from pipemon.api.schemas.base import Arguments
from pipemon.api.schemas.fields import Text, Whole
from pipemon.api.services import moment, services
from pipemon.queries.scope import Scope

MOST_REPOSITORIES = 500


class RepositoryName(Text):
    """The `owner/name` of a watched repository; the case of its letters does not matter, as on GitHub."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        known = {name.lower(): name for name in moment().snapshot.names().values()}
        if (text or "").lower() not in known:
            raise ValidationError("Not a watched repository.")
        return known[text.lower()]


class Nothing(Arguments):
    """No parameter at all."""


class Repositories(Arguments):
    repo = fields.List(
        RepositoryName(),
        load_default=(),
        validate=lambda names: len(names) <= MOST_REPOSITORIES,
        metadata={"description": "A watched repository, owner/name; may be given several times. Without it: all."},
    )


class PerPage(Whole):
    """The length of a page: 1 to MAX_PAGE_SIZE; None where it was not given."""

    def __init__(self) -> None:
        super().__init__(load_default=None, validate=validate.Range(1))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        number = super()._deserialize(value, attr, data, **kwargs)
        largest = services().settings.max_page_size
        if number is not None and number > largest:
            raise ValidationError(f"Must be greater than or equal to 1 and less than or equal to {largest}.")
        return number


def to_scope(names: tuple[str, ...], **filters: Any) -> Scope:
    """Return the scope of these repositories (none: all that are watched) under the filters."""
    watched = moment().snapshot.names()
    wanted = {key: name for key, name in watched.items() if not names or name in names}
    return Scope(wanted, exclude_workflows=services().settings.exclude_workflows, **filters)
