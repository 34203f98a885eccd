"""The event log's vocabulary: what can happen to a run, by the public names that rules and sockets use."""

from collections.abc import Mapping
from dataclasses import dataclass, field

TOPICS = ("pipeline", "builds", "analytics", "notifications")

# The status or conclusion a run came to -> the public event name. A word that is not here (neutral, stale,
# action_required, one that GitHub invents tomorrow) is `build_updated` or `build_completed`: neither good nor bad.
BY_STATUS = {
    "requested": "build_queued",
    "queued": "build_queued",
    "pending": "build_queued",
    "waiting": "build_waiting",
    "in_progress": "build_started",
}
BY_CONCLUSION = {
    "success": "build_succeeded",
    "failure": "build_failed",
    "startup_failure": "build_failed",
    "timed_out": "build_timeout",
    "cancelled": "build_cancelled",
    "skipped": "build_skipped",
}
# What is told of deployments, which are no builds.
DEPLOYMENT_TYPES = ("deployment_success", "deployment_failed", "rollback_detected")
# What no change of a build tells: it takes or waits too long, or an outage of ours has hidden that it broke.
STANDING_TYPES = ("build_overdue", "build_queued_too_long", "build_still_failing", "build_recovered")
# Every public event name, in the order in which a build can come to them; then what follows from builds.
TYPES = (
    *dict.fromkeys(BY_STATUS.values()),
    "build_progress",
    *dict.fromkeys(BY_CONCLUSION.values()),
    "build_completed",
    "build_updated",
    "build_deleted",
    "job_failed",
    *STANDING_TYPES,
    *DEPLOYMENT_TYPES,
    "budget_low",
    "pipeline_updated",
    "analytics_updated",
    "notification_sent",
    "notification_failed",
)

# The topic of each that is not told of one build.
_TOPICS = dict.fromkeys(DEPLOYMENT_TYPES, "pipeline") | {
    "budget_low": "pipeline",
    "pipeline_updated": "pipeline",
    "analytics_updated": "analytics",
    "notification_sent": "notifications",
    "notification_failed": "notifications",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `occurred_at` is GitHub's moment of it; the log adds its own id and moment of recording.

    `dedupe_key` makes a transition unique for ever. `historic` marks history that was filled in: it is in the log,
    and is never told to people.
    """

    type: str
    topic: str
    repository: str
    dedupe_key: str
    occurred_at: int
    run_id: int | None = None
    run_attempt: int | None = None
    historic: bool = False
    data: Mapping[str, object] = field(default_factory=dict)


def run_event_type(status: str, conclusion: str | None) -> str:
    """Return the public name of a run's arrival at this status (or, when completed, conclusion)."""
    if status == "completed":
        return BY_CONCLUSION.get(conclusion or "", "build_completed")
    return BY_STATUS.get(status, "build_updated")


def topic_of(event_type: str) -> str:
    """Return the topic under which events of this name are told."""
    return _TOPICS.get(event_type, "builds")
