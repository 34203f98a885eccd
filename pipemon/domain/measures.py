"""Every number of `/metrics`, in one table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of `/metrics`, there as `pipemon_` and its name. `kind`: counter, gauge or histogram."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


METRICS = (
    Metric(
        "http_requests_total", "counter", ("method", "route", "status"), "Requests answered; route is the template."
    ),
    Metric("http_request_seconds", "histogram", ("route",), "Seconds from a request's first byte to its answer."),
    Metric("hub_lag_seconds", "histogram", (), "Seconds that the event loop was late for a timer."),
    Metric(
        "github_calls_total", "counter", ("route", "status", "outcome"), "Calls to GitHub; 304 answers cost no budget."
    ),
    Metric("github_rejected_answers_total", "counter", ("route",), "Answers of GitHub that could not be believed."),
    Metric("github_cache_errors_total", "counter", ("kind",), "Times the cache of GitHub's answers could not be used."),
    Metric("failures_explained_total", "counter", ("outcome",), "Failed jobs of which the log was read, or can't be."),
    Metric("actions_total", "counter", ("verb", "outcome"), "Actions asked of GitHub: accepted, refused or unknown."),
    Metric("audit_refusals_left_out_total", "counter", (), "Refusals beyond those that the audit records a minute."),
    Metric(
        "notification_intents_total", "counter", ("state",), "Messages that rules asked for: pending or suppressed."
    ),
    Metric("notifications_total", "counter", ("channel", "outcome"), "Tries to send a message, by what came of them."),
    Metric("notifications_given_up_total", "counter", (), "Messages that their channel did not take for three days."),
    Metric("notifications_forgotten_total", "counter", (), "Messages of long ago that were dropped from the history."),
    Metric(
        "events_untold_total", "counter", ("type",), "Events that could not be held against the rules: see the log."
    ),
    Metric("heartbeats_total", "counter", ("outcome",), "Signs of life to HEARTBEAT_URL: taken, refused or failed."),
    Metric("live_clients", "gauge", (), "WebSocket clients that are connected."),
    Metric("live_frames_total", "counter", (), "Events sent to WebSocket clients."),
    Metric("live_reads_total", "counter", (), "Times the event log was read for WebSocket clients."),
    Metric("live_resyncs_total", "counter", ("reason",), "Clients told that the events they asked for are not held."),
    Metric(
        "webhook_deliveries_total",
        "counter",
        ("event", "answer"),
        "Webhook deliveries answered; answer says with what.",
    ),
    Metric(
        "webhook_results_total",
        "counter",
        ("event", "result"),
        "Webhook deliveries applied, ignored later, or given up.",
    ),
    Metric("webhook_deliveries_waiting", "gauge", (), "Webhook deliveries that are stored and not applied yet."),
    Metric(
        "webhook_delay_seconds", "histogram", (), "Seconds from a delivery's arrival to its effect in the database."
    ),
    Metric("job_errors_total", "counter", ("job",), "Rounds of a background job that ended with an unexpected error."),
)
