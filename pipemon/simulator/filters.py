"""The filters of GitHub's list of runs."""

from datetime import UTC, datetime

from pipemon.simulator.plans import PlannedRun
from pipemon.simulator.render import latest_attempt, run_state


def fits(run: PlannedRun, name: str, wanted: str, now: int) -> bool:
    """Whether a run belongs in a list that was asked for with this filter."""
    if name == "created":
        return _within(run.created_at, wanted)
    if name == "status":
        return wanted in run_state(run, run.attempts[latest_attempt(run, now) - 1], now)
    facts = {
        "branch": run.branch,
        "event": run.event,
        "actor": run.actor,
        "head_sha": run.sha,
        "workflow": str(run.workflow.id),
    }
    return facts.get(name) == wanted


def _within(moment: int, wanted: str) -> bool:
    """Whether the moment fits a `created` filter: `A..B` (both included), `>=A`, `<=B`, `>A`, `<A`, or a day."""
    if ".." in wanted:
        low, high = wanted.split("..")
        return _second(low, False) <= moment <= _second(high, True)
    if wanted.startswith(">="):
        return moment >= _second(wanted[2:], False)
    if wanted.startswith("<="):
        return moment <= _second(wanted[2:], True)
    if wanted.startswith(">"):
        return moment > _second(wanted[1:], True)
    if wanted.startswith("<"):
        return moment < _second(wanted[1:], False)
    return _second(wanted, False) <= moment <= _second(wanted, True)


def _second(text: str, end: bool) -> int:
    """Return the second of a date or time; a date's end is its last second."""
    moment = datetime.fromisoformat(text.replace(" ", "+"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) + (86399 if end and len(text) == 10 else 0)
