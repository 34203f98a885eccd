"""What an answer means for the caller, by its status and its words."""

from collections.abc import Mapping

from pipemon.github.errors import (
    BadAnswer,
    BadToken,
    GitHubError,
    Gone,
    NotFound,
    PermissionMissing,
    Refused,
    ServerError,
)
from pipemon.github.wire import Answer

USABLE = frozenset({200, 304, 301, 302, 307, 308})


def error_in(answer: Answer) -> GitHubError | None:
    """Return the error that the answer is; None for one to go on with."""
    status, message = answer.status, answer.message[:300]
    if status in USABLE:
        return None
    if answer.limit is not None:
        return answer.limit
    if status == 401:
        return BadToken(f"GitHub refuses the token ({message or status})")
    if status == 403:
        return _forbidden(answer.headers, message)
    if status in (404, 410):
        return (NotFound if status == 404 else Gone)(message or str(status))
    if status >= 500:
        return ServerError(status)
    return Refused(status, message) if status >= 400 else BadAnswer(f"GitHub answered {status}")


def _forbidden(headers: Mapping[str, str], message: str) -> GitHubError:
    """Return what a 403 that is no limit means: a right that the token lacks, or a thing nobody may do (any more)."""
    # "Unable to retry this workflow run because it was created over a month ago"
    if message.startswith("Unable to"):
        return Refused(403, message)
    wanted = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes") or ""
    return PermissionMissing(wanted[:100] if wanted.isprintable() else "", message)
