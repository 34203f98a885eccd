"""Tables as CSV (RFC 4180), for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flask import Response

from pipemon.api.schemas.base import Answer

# What a spreadsheet takes for a formula: a branch may be called `=HYPERLINK(…)`.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

T = TypeVar("T")

# What the documentation of such a route adds.
AS_CSV: dict[str, Any] = {"schema": {"type": "string"}, "content_type": "text/csv", "description": "The table."}


def as_asked(wanted: Mapping[str, Any], result: T, shape: type[Answer], table: str) -> T | Response:
    """Return the result itself, or where `format=csv` was asked its table of that name."""
    if wanted["format"] != "csv":
        return result
    names = list(shape().dump_fields[table].inner.schema.dump_fields)  # type: ignore[attr-defined]
    return table_of(names, shape().dump(result)[table], table)


def table_of(names: list[str], rows: Iterable[Mapping[str, Any]], file_name: str) -> Response:
    """Return rows as CSV with a line of names before them."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    answer = Response(out.getvalue(), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f"attachment; filename={file_name}.csv"
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _cell(value: Any) -> Any:
    value = "; ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
