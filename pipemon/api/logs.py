"""The logs of a build: as GitHub has them, passed on piece by piece, or read line by line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
from flask import Response
from gevent.lock import BoundedSemaphore

from pipemon import telemetry
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import caller, scope
from pipemon.api.errors import RETRY_AFTER_SECONDS, refuse
from pipemon.api.schemas import logs as shapes
from pipemon.api.schemas.scope import to_scope
from pipemon.api.services import services
from pipemon.domain.addresses import Forbidden
from pipemon.domain.logs import Line, Raw, parse
from pipemon.domain.runs import FAILED
from pipemon.github.errors import GitHubError, Gone, LimitReached, NotFound, PermissionMissing, Unreachable
from pipemon.outbound.client import OutboundError, Stream
from pipemon.queries import targets
from pipemon.queries.targets import JobTarget, Target

log = telemetry.logger(__name__)

bp = Blueprint("logs", __name__, url_prefix="/api/v1/builds", description="Workflow runs")

# Each holds a connection to where the log lies; more at once wait for nobody and are asked to come again.
MOST_AT_ONCE = 10
DOWNLOAD_SECONDS = 3600.0
PARSE_SECONDS = 120.0
PARSED_BYTES = 256 * 1024 * 1024
MOST_GROUPS = 2000
_places = BoundedSemaphore(MOST_AT_ONCE)

NONE = "There is no such build or job, or GitHub has no log of it (yet)."
EXPIRED = "The log has expired on GitHub."
LARGE = "The log is larger than may be sent; the details have GitHub's page of it."
NO_ANSWER = "GitHub, or where it keeps logs, answered with an error."


@dataclass(slots=True)
class Group:
    """A group of lines: its own line is the first."""

    name: str
    step_number: int | None
    first_line: int
    last_line: int


@dataclass(slots=True)
class Lines:
    """The lines that were asked for."""

    build_id: int
    job_id: int
    timestamp: int
    logs: list[Line] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    total_lines: int = 0
    has_more: bool = False


@bp.get("/<id:build_id>/logs")
@scope("read")
@bp.takes(shapes.DownloadArguments)
@bp.doc(responses={200: {"description": "The zip of a run's latest attempt, or the text of a job.", "content": {
    "application/zip": {"schema": {"type": "string", "format": "binary"}},
    "text/plain": {"schema": {"type": "string"}},
}}})  # fmt: skip
@bp.also(404, description=NONE)
@bp.also(410, description=EXPIRED)
@bp.also(413, description=LARGE)
@bp.also(502, description=NO_ANSWER)
def download(wanted: dict[str, Any], build_id: int) -> Response:
    """Download the logs of a build as GitHub has them: the run's zip, or with `job_id` one job's text."""
    check_flag()
    target, job = _find(build_id, wanted["job_id"])
    most = services().settings.log_max_bytes
    stream = _open(target, job, DOWNLOAD_SECONDS, most)
    name = f"build-{build_id}.zip" if job is None else f"build-{build_id}-job-{job.id}.txt"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    if stream.length is not None:
        headers["Content-Length"] = str(stream.length)
    kind = "application/zip" if job is None else "text/plain; charset=utf-8"
    answer = Response(_in_turn(stream, most), headers=headers, content_type=kind, direct_passthrough=True)
    answer.call_on_close(lambda: _end(stream))  # also where nobody asked for the first piece
    return answer


@bp.get("/<id:build_id>/jobs/<id:job_id>/logs")
@scope("read")
@bp.takes(shapes.LinesArguments)
@bp.returns(shapes.LogLines)
@bp.also(404, description=NONE)
@bp.also(410, description=EXPIRED)
@bp.also(413, description=LARGE)
@bp.also(502, description=NO_ANSWER)
def lines(wanted: dict[str, Any], build_id: int, job_id: int) -> tuple[Lines, dict[str, str]]:
    """Show a job's log line by line, with its steps, levels and groups; filtered, and from an offset on."""
    check_flag()
    target, job = _find(build_id, job_id)
    assert job is not None
    stream = _open(target, job, PARSE_SECONDS, PARSED_BYTES)
    found = Lines(build_id, job_id, int(services().clock()))
    try:
        for line in parse(_in_turn(stream), job.steps):
            _take(found, line, wanted)
    except OutboundError as error:
        refuse(502, f"The log could not be read: {error}.")
    found.has_more = found.total_lines > wanted["offset"] + len(found.logs)
    return found, {"Cache-Control": "no-store"}


def _take(found: Lines, raw: Raw, wanted: dict[str, Any]) -> None:
    number, _, level, step, group, message, _ = raw
    step_number = step.number if step else None
    if group is not None and len(found.groups) < MOST_GROUPS:
        last = found.groups[-1] if found.groups else None
        if last is not None and last.name == group and last.last_line == number - 1:
            last.last_line = number
        else:
            found.groups.append(Group(group, step_number, number, number))
    if wanted["level"] not in (None, level) or wanted["step_number"] not in (None, step_number):
        return
    if wanted["q"] is not None and wanted["q"].lower() not in message.lower():
        return
    found.total_lines += 1
    if wanted["offset"] < found.total_lines <= wanted["offset"] + wanted["limit"]:
        found.logs.append(Line(*raw))


def check_flag() -> None:
    """Refuse a key that may read, but no logs: they may hold what others print."""
    if not caller().logs:
        refuse(403, "This key may not read logs: the flag logs is needed (name:read+logs:sha256).")


def _find(build_id: int, job_id: int | None) -> tuple[Target, JobTarget | None]:
    with services().db.read() as conn:
        target = targets.find(conn, to_scope(()), build_id) or refuse(404, "There is no such build.")
        job = None if job_id is None else targets.find_job(conn, build_id, job_id)
    if job_id is not None and job is None:
        refuse(404, "The build has no such job.")
    return target, job


def _open(target: Target, job: JobTarget | None, seconds: float, most: int) -> Stream:
    """Return the log's bytes, not read yet, and hold one of the places; `_end` gives it back."""
    if not _places.acquire(blocking=False):
        refuse(503, "Too many logs are being read.", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    try:
        stream = _ask(target, job, seconds)
        # An address is good for a minute: where it was over in between, another one is asked for, once.
        if stream.status in (401, 403):
            stream.close()  # the place stays taken
            stream = _ask(target, job, seconds)
        _check(stream, target, job, most)
    except BaseException:
        _places.release()
        raise
    return stream


def _ask(target: Target, job: JobTarget | None, seconds: float) -> Stream:
    own = services()
    try:
        where = (
            own.logs.of_run(target.repository, target.build_id)
            if job is None
            else own.logs.of_job(target.repository, job.id)
        )
        stream: Stream = own.outbound.get(where, seconds)
    except Gone:
        refuse(410, "The log has expired on GitHub, or was deleted there.", _kept(target, job))
    except NotFound:
        refuse(404, _why_none(target, job))
    except PermissionMissing as error:
        refuse(502, f"GitHub does not give the log: {error}.")
    except (LimitReached, Unreachable) as error:
        wait = max(1, int(error.until - own.clock())) if isinstance(error, LimitReached) else RETRY_AFTER_SECONDS
        refuse(503, f"GitHub can't be asked for the log now: {error}.", headers={"Retry-After": str(wait)})
    except GitHubError as error:
        refuse(502, f"GitHub does not give the log: {error}.")
    except Forbidden as error:
        refuse(502, f"The log lies where pipemon does not go: {error}.")
    except OutboundError as error:
        refuse(502, f"The host that keeps the log does not answer: {error}.")
    return stream


def _kept(target: Target, job: JobTarget | None) -> dict[str, list[str]]:
    """Return the details that lead to what was kept of a failed job's log."""
    if job is None or job.conclusion not in FAILED:
        return {}
    return {"kept": [f"/api/v1/builds/{target.build_id}/jobs/{job.id}/failure"]}


def _why_none(target: Target, job: JobTarget | None) -> str:
    if job is not None and job.conclusion == "skipped":
        return "A job that was skipped has no log."
    running = target.status != "completed" if job is None else job.status != "completed"
    if running:
        return "GitHub has no log yet: it is made when the job ends."
    return "GitHub has no log of it: it was deleted there, or nothing was printed."


def _check(stream: Stream, target: Target, job: JobTarget | None, most: int) -> None:
    """Refuse what is no log that may be sent."""
    page = (job.url if job is not None else None) or target.url
    if stream.status in (404, 410):
        stream.close()
        refuse(410, "The log is not where GitHub says that it lies.")
    if stream.status != 200 or stream.headers.get("content-encoding", "identity") != "identity":
        stream.close()
        refuse(502, f"The host that keeps the log answered {stream.status}.")
    if stream.length is not None and stream.length > most:
        stream.close()
        refuse(413, f"The log has more than {most} bytes.", {"url": [page or ""]})


def _in_turn(stream: Stream, most: int = PARSED_BYTES) -> Iterator[bytes]:
    """Yield pieces, and let others go on after each; where they break off, so does an answer that passes them on."""
    try:
        for piece in stream.pieces(most):
            yield piece
            gevent.sleep(0)
    finally:
        _end(stream)


def _end(stream: Stream) -> None:
    if stream.close():
        _places.release()
