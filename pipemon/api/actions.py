"""Rerun and cancel: answered 202 only after GitHub's yes."""

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import request

from pipemon.actions import OtherAction, UnderWay
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import caller, scope
from pipemon.api.errors import RETRY_AFTER_SECONDS, refuse
from pipemon.api.schemas import actions as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import services
from pipemon.domain.actions import Action
from pipemon.github.errors import BadToken, GitHubError, LimitReached, Unreachable
from pipemon.queries import targets
from pipemon.queries.targets import Target
from pipemon.store.actions import Stored, TooMany

bp = Blueprint("actions", __name__, url_prefix="/api/v1/builds", description="Workflow runs")

KEY: dict[str, Any] = {
    "parameters": [
        {
            "in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": 255},
            "description": "With the same key, GitHub is asked once at most, and the answer is the same.",
        }
    ]
}  # fmt: skip
REFUSED = "GitHub refused, with its reason; or the scope operate is missing."


@dataclass(frozen=True, slots=True)
class Accepted:
    """GitHub's yes."""

    message: str
    build_id: int
    status: str
    rerun_url: str | None
    cancel_url: str | None
    timestamp: int


@bp.post("/<id:build_id>/rerun")
@scope("operate")
@bp.takes_body(shapes.Rerun)
@bp.doc(**KEY)
@bp.returns(shapes.RerunAccepted, 202, description="GitHub has accepted it; the change itself arrives as an event.")
@bp.also(403, description=REFUSED)
@bp.also(404, description="No watched repository has such a build, or GitHub does not find it.")
@bp.also(409, description="The build's state forbids it, or the same action is under way.")
@bp.also(502, description="GitHub answered with an error, or nobody knows whether it was done.")
def rerun(wanted: dict[str, Any], build_id: int) -> tuple[Accepted, int, dict[str, str]]:
    """Run a build again: all of it, its failed jobs, or one job with those that need it."""
    target = _target(build_id)
    job_id = wanted["job_id"]
    if job_id is not None:
        with services().db.read() as conn:
            if not targets.has_job(conn, build_id, job_id):
                refuse(404, "The build has no such job.")
    verb = "rerun_job" if job_id is not None else "rerun_failed" if wanted["failed_only"] else "rerun"
    headers = _perform(Action(verb, target.repository, build_id, job_id, wanted["debug"]))
    return _accepted(target, "GitHub runs the build again", "pending_rerun"), 202, headers


@bp.post("/<id:build_id>/cancel")
@scope("operate")
@bp.takes_body(shapes.Cancel)
@bp.doc(**KEY)
@bp.returns(shapes.CancelAccepted, 202, description="GitHub has accepted it; the change itself arrives as an event.")
@bp.also(403, description=REFUSED)
@bp.also(404, description="No watched repository has such a build, or GitHub does not find it.")
@bp.also(409, description="The build's state forbids it, or the same action is under way.")
@bp.also(502, description="GitHub answered with an error, or nobody knows whether it was done.")
def cancel(wanted: dict[str, Any], build_id: int) -> tuple[Accepted, int, dict[str, str]]:
    """Cancel a build; with `force`, also where its jobs do not heed it."""
    target = _target(build_id)
    headers = _perform(Action("force_cancel" if wanted["force"] else "cancel", target.repository, build_id))
    return _accepted(target, "GitHub cancels the build", "pending_cancellation"), 202, headers


def _target(build_id: int) -> Target:
    with services().db.read() as conn:
        return targets.find(conn, to_scope(()), build_id) or refuse(404, "There is no such build.")


def _accepted(target: Target, message: str, status: str) -> Accepted:
    address = target.api_url
    rerun_url, cancel_url = (None if address is None else f"{address}/{verb}" for verb in ("rerun", "cancel"))
    return Accepted(f"{message}.", target.build_id, status, rerun_url, cancel_url, int(services().clock()))


def _perform(action: Action) -> dict[str, str]:
    """Have the action performed; return the answer's headers, or refuse with what came of it."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(r"[!-~]{1,255}", key):
        refuse(422, "This key can't be used.", {"Idempotency-Key": ["Not 1 to 255 visible ASCII characters."]})
    try:
        found, was_there = services().performer.perform(action, caller().name, key)
    except OtherAction:
        refuse(422, "This key stands for another action.", {"Idempotency-Key": ["Was used for another action."]})
    except UnderWay:
        refuse(409, "The same action is under way.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    except TooMany:
        refuse(503, "Too many actions wait for GitHub.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    except GitHubError as error:
        _not_asked(error)
    if found.state != "accepted":
        _refused(found)
    return {"Idempotency-Replayed": "true"} if was_there else {}


def _not_asked(error: GitHubError) -> NoReturn:
    """Answer where GitHub was not asked, or did not take the token."""
    why = f"Nothing was done: {error}."
    if isinstance(error, LimitReached):
        wait = max(1, int(error.until - services().clock()))
        refuse(503, why, headers={"Retry-After": str(wait)})
    if isinstance(error, Unreachable):
        refuse(503, why, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    words = "GITHUB_ACTIONS_TOKEN, or GITHUB_TOKEN where that is not set."
    refuse(502, why, {"token": [f"Look at {words}"]} if isinstance(error, BadToken) else {})


def _refused(found: Stored) -> NoReturn:
    if found.state == "unknown":
        why = "Nobody knows whether GitHub did it: look at the build before you ask again, with another key."
        refuse(502, why, {"result": ["unknown"], "cause": [found.reason or ""]})
    refuse(found.status or 409, found.reason or "GitHub refused.")
