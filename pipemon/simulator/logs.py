"""Logs of jobs and runs as GitHub gives them: a redirect to another host, where the text lies for a minute."""

import hashlib
import io
import random
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pipemon.simulator.plans import PlannedJob, PlannedRun
from pipemon.simulator.render import job_spans, split_job_id

if TYPE_CHECKING:
    from pipemon.simulator.server import Simulator

KEPT_SECONDS = 90 * 86400
ADDRESS_SECONDS = 60
# Why tests fail here: what they print before the runner says that they failed.
REASONS = (
    (
        "E       AssertionError: assert 3 == {number}",
        "FAILED tests/test_basket.py::test_total - AssertionError: assert 3 == {number}",
    ),
    (
        "/home/runner/work/shop/shop/src/prices.ts({number},17): error TS2339: Property 'net' does not exist on 'Price'.",
    ),
    (
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='db', port=5432): Max retries exceeded",
        "ERROR tests/test_orders.py::test_refund - requests.exceptions.ConnectionError",
    ),
    ("panic: runtime error: index out of range [{number}] with length 3", "FAIL\tshop/checkout\t{number}.104s"),
    ("System.IO.IOException: No space left on device : '/home/runner/work/_temp/{number}'",),
)


def stamp(moment: float) -> str:
    """Return the moment as a log line begins with it: seven digits of a second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def step_lines(run: PlannedRun, job: PlannedJob, number: int, name: str) -> Iterator[str]:
    """Yield what one step printed."""
    rng = random.Random(f"{run.id}/{job.index}/{number}")
    if number == 1:
        yield "Current runner version: '2.329.0'"
        yield "##[group]Runner Image"
        yield f"Image: {job.label}"
        yield "##[endgroup]"
    elif name.startswith("Run "):
        yield f"##[group]{name}"
        yield "with:\n  fetch-depth: 1"
        yield "##[endgroup]"
        yield f"[command]/usr/bin/git checkout --progress --force {run.sha}"
    elif name == "Test":
        yield "##[group]Run make test"
        yield "shell: /usr/bin/bash -e {0}"
        yield "##[endgroup]"
        count = rng.randint(80, 900)
        yield f"collected {count} items"
        yield f"\x1b[32mtests/test_price.py {'.' * rng.randint(10, 60)}\x1b[0m"
        if job.conclusion == "failure":
            number = rng.randint(4, 9)
            for line in reason(run):
                yield f"\x1b[31m{line.replace('{number}', str(number))}\x1b[0m"
            yield f"1 failed, {count - 1} passed in {rng.random() * 60:.2f}s"
            yield "##[error]Process completed with exit code 1."
        else:
            yield from run.prints
            yield f"{count} passed in {rng.random() * 60:.2f}s"
    elif name == "Build":
        yield "##[group]Run make"
        yield "shell: /usr/bin/bash -e {0}"
        yield "##[endgroup]"
        yield "##[warning]Node.js 16 actions are deprecated."
        yield f"Built {rng.randint(12, 400)} files, token ***"
    else:
        if name.startswith("Post "):
            yield "Post job cleanup."
        yield f"{name}: done"


def reason(run: PlannedRun) -> tuple[str, ...]:
    """Return what a failing test of this run prints: for some days the same on one branch, as long as it is red."""
    if run.prints:
        return run.prints
    rng = random.Random(f"{run.workflow.id}/{run.branch}/{run.created_at // (3 * 86400)}")
    return rng.choices(REASONS, weights=(5, 3, 3, 2, 1))[0]


def step_text(run: PlannedRun, job: PlannedJob, number: int, name: str, start: int, end: int) -> str:
    """Return a step's log: every line with its time, further lines of a message without."""
    lines = list(step_lines(run, job, number, name))
    each = max(end - start, 0) / (len(lines) + 1)
    return "".join(f"{stamp(start + place * each)} {line}\r\n" for place, line in enumerate(lines))


def job_text(run: PlannedRun, job: PlannedJob) -> str:
    """Return a whole job's log: some lines of its own, then its steps'."""
    head = (
        f"{stamp(job.started_at)} Requested labels: {job.label}\r\n{stamp(job.started_at)} Job is about to start.\r\n"
    )
    return "\ufeff" + head + "".join(step_text(run, job, *span) for span in job_spans(job))


def run_zip(run: PlannedRun, jobs: Iterable[PlannedJob]) -> bytes:
    """Return the run's logs, in files named as GitHub names them; jobs that were skipped have none."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, job in enumerate(job for job in jobs if job.steps):
            name = job.name.replace("/", "").replace(":", "")[:90].strip()
            archive.writestr(f"{place}_{name}.txt", job_text(run, job))
            for number, step, start, end in job_spans(job):
                plain = step.replace("/", "").replace(":", "")
                archive.writestr(f"{name}/{number}_{plain}.txt", step_text(run, job, number, step, start, end))
    return out.getvalue()


def refusal(run: PlannedRun, ended_at: int | None, ran: bool, now: int) -> tuple[int, str] | None:
    """Return the status and message with which GitHub refuses these logs now, if it does."""
    if now - run.created_at > KEPT_SECONDS:
        return 410, "Server Error: the logs have expired"
    if ended_at is None or now < ended_at or not ran:
        return 404, "Not Found"
    return None


def address(sim: "Simulator", what: str, now: int) -> str:
    """Return where a log lies, on a host other than the API's, for the next minute."""
    until = now + ADDRESS_SECONDS
    return f"{sim.base.replace('127.0.0.1', 'localhost')}/_storage/{what}?se={until}&sig={_sign(what, until)}"


def _sign(what: str, until: int) -> str:
    return hashlib.sha256(f"simulator/{what}/{until}".encode()).hexdigest()[:32]


def storage(sim: "Simulator", path: str, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer for the storage host: it knows no tokens, only addresses that it signed and that are still good."""
    what, asked = path.removeprefix("/_storage/"), dict(parse_qsl(environ.get("QUERY_STRING", "")))
    until = int(asked.get("se", "0"))
    status, kind, raw = "200 OK", "text/plain; charset=utf-8", b""
    if environ.get("HTTP_AUTHORIZATION"):
        status, raw = "401 Unauthorized", b"InvalidAuthenticationInfo"
    elif asked.get("sig") != _sign(what, until) or sim.now() > until:
        status, raw = "403 Forbidden", b"AuthenticationFailed: the signature is not valid, or not any more"
    else:
        kind, raw = _stored(sim, what)
    start(status, [("Content-Type", kind), ("Content-Length", str(len(raw)))])
    return [raw]


def _stored(sim: "Simulator", what: str) -> tuple[str, bytes]:
    """Return the content type and bytes of a log that an address was made for."""
    name, kind, *numbers = what.split("/")
    runs = sim.repositories[name].runs
    if kind == "job":
        run_id, number, index = split_job_id(int(numbers[0]))
        job = next(job for job in runs[run_id].attempts[number - 1].jobs if job.index == index)
        return "text/plain; charset=utf-8", job_text(runs[run_id], job).encode()
    run = runs[int(numbers[0])]
    return "application/zip", run_zip(run, run.attempts[int(numbers[1]) - 1].jobs)
