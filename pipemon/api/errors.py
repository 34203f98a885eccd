"""Every error has one shape, from whatever depth it comes, and tells nothing of the inside."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, default_exceptions

from pipemon import telemetry
from pipemon.domain.times import format_time
from pipemon.store.engine import DatabaseError

log = telemetry.logger(__name__)

# After this long a locked or full database may be asked again.
RETRY_AFTER_SECONDS = 5
LONGEST_PATH = 500
BROKEN = "Something went wrong here; the log tells more under this request id."

TYPES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "gone",
    412: "precondition_failed",
    413: "payload_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    422: "validation_error",
    429: "rate_limited",
    500: "internal_error",
    502: "upstream_error",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: its HTTP status, a sentence for people, and what is wrong with each field."""

    status: int
    message: str
    details: Mapping[str, object]

    def body(self, path: str, request_id: str | None, now: float) -> bytes:
        """Return the error envelope as JSON."""
        error = {
            "message": self.message,
            "type": TYPES.get(self.status, "error"),
            "details": self.details,
            "timestamp": format_time(round(now, 3)),
            "path": path[:LONGEST_PATH],
            "request_id": request_id,
        }
        return json.dumps({"error": error}).encode()


def refuse(
    status: int, message: str, details: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> NoReturn:
    """End the request with this error."""
    error = default_exceptions[status](message)
    error.data = {"message": message, "errors": details or {}, "headers": headers or {}}  # type: ignore[attr-defined]
    raise error


def register(app: Flask, clock: Callable[[], float]) -> None:
    """Answer every exception of the application with the envelope."""

    def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
        request_id = request.environ.get("pipemon.request_id")
        request.environ["pipemon.facts"]["problem"] = problem.message
        body = problem.body(request.path, request_id, clock())
        return Response(body, problem.status, dict(headers or {}), content_type="application/json")

    def on_http(error: HTTPException) -> Response:
        if error.code is None or error.code < 400:
            return error.get_response()  # type: ignore[return-value]
        return answer(problem_of(error), _headers(error))

    def on_database(error: DatabaseError) -> Response:
        log.warning("database unavailable", cause=str(error))
        problem = Problem(503, "The database is not available at the moment.", {})
        return answer(problem, {"Retry-After": str(RETRY_AFTER_SECONDS)})

    def on_any(error: Exception) -> Response:
        log.error("unexpected error", exc_info=error, path=request.path)
        return answer(Problem(500, BROKEN, {}))

    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(DatabaseError, on_database)
    app.register_error_handler(Exception, on_any)


def problem_of(error: HTTPException) -> Problem:
    """Return what an HTTP exception of ours, of Flask or of webargs says."""
    status = error.code or 500
    data: Mapping[str, Any] = getattr(error, "data", None) or {}
    if "messages" in data:
        # webargs files them under the place they came from: query, json, path.
        details = {name: texts for place in data["messages"].values() for name, texts in _by_field(place).items()}
        return Problem(status, _sentence(status), details)
    return Problem(status, data.get("message") or _sentence(status), data.get("errors") or {})


def _by_field(place: object) -> Mapping[str, object]:
    return place if isinstance(place, Mapping) else {"body": place}


def _sentence(status: int) -> str:
    if status == 422:
        return "The request has values that are not allowed; the details name them."
    phrase = HTTPStatus(status).phrase
    return f"{phrase}."


def _headers(error: HTTPException) -> dict[str, str]:
    """Return the headers that belong to the error, such as Allow; never its own content type or length."""
    own = {name: value for name, value in error.get_headers() if name.lower() not in ("content-type", "content-length")}
    return own | dict((getattr(error, "data", None) or {}).get("headers") or {})
