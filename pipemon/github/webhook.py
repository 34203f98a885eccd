"""Webhook deliveries: whether GitHub signed them, and what they tell.

https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipemon.domain.deployments import Deployment
from pipemon.domain.runs import Job, Run
from pipemon.domain.secrets import Secret
from pipemon.github import parse
from pipemon.github.deployments import deployment, status
from pipemon.github.errors import BadAnswer
from pipemon.github.fields import Document, an_object, document, is_id, part, text

LARGEST_BYTES = 25 * 1024 * 1024  # GitHub sends no payload above that
# A run or job takes some ten kilobytes. What is as large as this is not parsed: it would hold everything else up.
LARGEST_READ = 2 * 1024 * 1024
PREFIX = b"sha256="
SIGNATURE_BYTES = len(PREFIX) + 64

# What is read, and the actions of it that are known here. A ping has none.
EVENTS: dict[str, frozenset[str]] = {
    "workflow_run": frozenset({"requested", "in_progress", "completed"}),
    "workflow_job": frozenset({"queued", "waiting", "in_progress", "completed"}),
    "deployment": frozenset({"created"}),
    "deployment_status": frozenset({"created"}),
    "ping": frozenset(),
}
# The object that makes a body one of an event; the first that is there decides, since a deployment may carry the run
# that made it, and a job the deployment that it is.
MARKS = {
    "deployment_status": "deployment_status",
    "workflow_job": "workflow_job",
    "deployment": "deployment",
    "workflow_run": "workflow_run",
    "hook": "ping",
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What can be said of a delivery without reading its subject. `why`: it tells nothing of use; None: it does."""

    event: str
    action: str | None = None
    repository_id: int | None = None  # GitHub's
    repository: str | None = None  # owner/name as it is today
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a delivery tells: a run, one job of a run, or a deployment with the status that it came to."""

    run: Run | None = None
    job: Job | None = None
    deployment: Deployment | None = None


def may_be_signed(signature: bytes) -> bool:
    """Whether the header has a signature's form: what has not need not be read any further."""
    return signature.startswith(PREFIX) and len(signature) == SIGNATURE_BYTES


def is_signed(body: bytes, signature: bytes, secrets: Iterable[Secret]) -> bool:
    """Whether one of the secrets made this signature of exactly these bytes. Each is tried, in constant time."""
    found = False
    for secret in secrets:
        digest = hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()
        found |= hmac.compare_digest(PREFIX + digest.encode(), signature)
    return found


def envelope(event: str, body: bytes) -> Envelope:
    """Return who and what a delivery is about; BadAnswer where a body that has to be read is not JSON."""
    if event not in EVENTS:
        return Envelope(event, why="this event is not used here")
    if len(body) > LARGEST_READ:
        return Envelope(event, why=f"the body is larger than {LARGEST_READ} bytes")
    payload = document(body)
    if not isinstance(payload, dict):
        return Envelope(event, why="the body is no object")
    repository = part(payload, "repository")
    github_id = repository.get("id")
    return Envelope(
        event,
        text(payload, "action", 100),
        github_id if is_id(github_id) else None,
        text(repository, "full_name"),
        _why_useless(event, payload),
    )


def _why_useless(event: str, payload: Document) -> str | None:
    shape = next((found for mark, found in MARKS.items() if isinstance(payload.get(mark), dict)), None)
    if shape != event:
        return f"the body is not that of {event}"
    if EVENTS[event] and text(payload, "action", 100) not in EVENTS[event]:
        return "this action is not known"
    return None


def read(event: str, body: bytes, repository: str) -> Told:
    """Return what a delivery tells of that repository (`owner/name`); BadAnswer where it can't be believed."""
    payload = an_object(document(body), "a delivery")
    if why := _why_useless(event, payload):
        raise BadAnswer(why)
    if event == "workflow_run":
        return Told(run=parse.run(payload["workflow_run"], repository))
    if event == "workflow_job":
        return Told(job=parse.job(payload["workflow_job"]))
    if event == "deployment":
        return Told(deployment=deployment(payload["deployment"]))
    if event == "deployment_status":
        told = status(payload["deployment_status"])
        return Told(deployment=replace(deployment(payload.get("deployment")), statuses=(told,)))
    return Told()
