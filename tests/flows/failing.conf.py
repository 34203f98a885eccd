"""The service's own configuration, with failpoints: at one of them the whole service is killed, as by a power cut.

FAILPOINT names it, FAILPOINT_PASSES how often it is passed before, FAILPOINT_NOTE the file that says that it was hit.
Nothing of this is in the product: the functions are wrapped here, in the worker, before anything runs.
"""

# ruff: noqa: E402
from pathlib import Path

_REAL = Path(__file__).parents[2] / "gunicorn.conf.py"
exec(compile(_REAL.read_text(), str(_REAL), "exec"))

import os
import signal
from collections.abc import Callable
from typing import Any

from pipemon.ingest import reader
from pipemon.notify.channels.slack import Slack
from pipemon.notify.dispatch import Dispatch
from pipemon.notify.outbox import Outbox
from pipemon.outbound.client import Outbound

# Name: whose function, and whether it ends before or after it. What decides, claims and records runs within a
# transaction: after it means before the commit.
POINTS: dict[str, tuple[Any, str, bool]] = {
    "before apply": (reader, "apply", False),
    "in apply's transaction": (reader, "apply", True),
    "after apply": (reader.Deps, "apply", True),
    "before the decision": (Dispatch, "_decide", False),
    "in the decision's transaction": (Dispatch, "_decide", True),
    "after the decision": (Dispatch, "step", True),
    "in the claim's transaction": (Outbox, "_claim", True),
    "before the sending": (Slack, "send", False),
    "before the answer": (Outbound, "send", True),
    "after the sending": (Slack, "send", True),
    "in the record's transaction": (Outbox, "_record", True),
    "after the record": (Outbox, "_send", True),
}
passes = int(os.environ.get("FAILPOINT_PASSES", "0"))


def pull_the_plug() -> None:
    """End master and worker at once, where it was passed often enough."""
    global passes
    passes -= 1
    if passes < 0:
        Path(os.environ["FAILPOINT_NOTE"]).write_text(os.environ["FAILPOINT"])
        os.killpg(os.getpgrp(), signal.SIGKILL)


def arm(owner: Any, name: str, after: bool) -> None:
    """Wrap the function. One that did nothing (returned nothing, no event, no message) is not passed."""
    real: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **more: Any) -> Any:
        if not after:
            pull_the_plug()
        found = real(*args, **more)
        if after and (found or name == "_record"):
            pull_the_plug()
        return found

    setattr(owner, name, wrapped)


if os.environ.get("FAILPOINT"):
    arm(*POINTS[os.environ["FAILPOINT"]])
