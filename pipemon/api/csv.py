"""Tables as CSV (RFC 4180), for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flask import Response
from marshmallow import fields

from pipemon.api.schemas.base import Answer

# What a spreadsheet takes for a formula, in the wide letters of East Asia too: a branch may be called `=HYPERLINK(…)`.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# What tells one row from another comes first, whatever the order of an answer's fields.
WHO = ("repository", "workflow", "workflow_name", "workflow_id", "environment", "labels", "hour", "job", "name")

T = TypeVar("T")

# What the documentation of such a route adds.
AS_CSV: dict[str, Any] = {"schema": {"type": "string"}, "content_type": "text/csv", "description": "The table."}


def as_asked(wanted: Mapping[str, Any], result: T, shape: type[Answer], table: str, file_name: str) -> T | Response:
    """Return the result itself, or where `format=csv` was asked its table of that name."""
    if wanted["format"] != "csv":
        return result
    row: type[Answer] = type(shape().dump_fields[table].inner.schema)  # type: ignore[attr-defined]
    return table_of(columns_of(row), shape().dump(result)[table], file_name)


def columns_of(row: type[Answer]) -> list[str]:
    """Return the fields of a row that have one value each, or several words."""
    return [name for name, part in row().dump_fields.items() if not _is_nested(part)]


def _is_nested(part: fields.Field[Any]) -> bool:
    return isinstance(part, fields.Nested | fields.Dict) or (isinstance(part, fields.List) and _is_nested(part.inner))


def table_of(names: list[str], rows: Iterable[Mapping[str, Any]], file_name: str) -> Response:
    """Return rows as CSV with a line of names before them."""
    ordered = sorted(names, key=lambda name: WHO.index(name) if name in WHO else len(WHO))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(ordered)
    writer.writerows([_cell(row[name]) for name in ordered] for row in rows)
    answer = Response(out.getvalue(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f"attachment; filename={file_name}.csv"
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    value = "; ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
