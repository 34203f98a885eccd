"""What an answer means for the caller, by its status and its words."""

import re
from collections.abc import Collection, Mapping

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
# The answers to a POST; 301 and 302 would turn it into a GET.
DONE = frozenset({200, 201, 202, 204, 307, 308})
# A 403 that is no missing right: nobody may do this (now). "Unable to retry this workflow run because it was created
# over a month ago", "This workflow is already running", "The workflow run containing this job is already running".
NOBODY_MAY = re.compile(r"^Unable to |already running|can(?:no|')t be re", re.IGNORECASE)


def error_in(answer: Answer, usable: Collection[int] = USABLE) -> GitHubError | None:
    """Return the error that the answer is; None for one to go on with."""
    status, message = answer.status, answer.message[:300]
    if status in usable:
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
    if NOBODY_MAY.search(message):
        return Refused(403, message)
    wanted = headers.get("x-accepted-github-permissions") or headers.get("x-accepted-oauth-scopes") or ""
    return PermissionMissing(wanted[:100] if wanted.isprintable() else "", message)
