"""What each number means: the one place. `docs/metrics.md` repeats it, and a test holds both together."""

from pipemon.analytics.definition import Definition
from pipemon.analytics.definitions_delivery import OF_DELIVERY
from pipemon.analytics.definitions_jobs import OF_JOBS

WINDOW = "Builds created in the window [timestamp - lookback, timestamp)."
NOT_DECISIVE = "Builds that are unfinished, cancelled, skipped, neutral, stale or waiting for action."
UNKNOWN_DURATION = NOT_DECISIVE + " Builds of unknown duration."
EXACT = ", by linear interpolation between ranks; exact"
ATTEMPTS = "workflow run attempts"


DEFINITIONS = (
    Definition(
        "builds.total",
        "Builds",
        "builds",
        "number of completed builds",
        WINDOW,
        "Unfinished builds.",
        "workflow runs",
    ),
    Definition(
        "builds.succeeded",
        "Successes",
        "builds",
        "builds that ended as success",
        WINDOW,
        "All other builds.",
        "workflow runs",
    ),
    Definition(
        "builds.failed",
        "Failures",
        "builds",
        "builds that ended as failure, timed_out or startup_failure",
        WINDOW,
        NOT_DECISIVE,
        "workflow runs",
    ),
    Definition(
        "builds.per_day",
        "Builds a day",
        "builds per day",
        "builds.total / days of the window",
        WINDOW,
        "Unfinished builds.",
        "workflow runs",
    ),
    Definition(
        "rate.success",
        "Success rate",
        "percent",
        "succeeded / (succeeded + failed) x 100 of the latest attempts; 0 without any",
        WINDOW,
        NOT_DECISIVE,
        "workflow runs",
    ),
    Definition(
        "rate.failure",
        "Failure rate",
        "percent",
        "failed / (succeeded + failed) x 100 of the latest attempts; 0 without any",
        WINDOW,
        NOT_DECISIVE,
        "workflow runs",
    ),
    Definition(
        "rate.success.first_attempt",
        "Success rate of first attempts",
        "percent",
        "succeeded / (succeeded + failed) x 100 of the first attempts; null without any",
        WINDOW,
        NOT_DECISIVE + " First attempts that were never seen.",
        ATTEMPTS,
    ),
    Definition(
        "duration.mean",
        "Average duration",
        "minutes",
        "mean, per build, of the last completion of a job that ran - run_started_at of the attempt",
        WINDOW,
        UNKNOWN_DURATION,
        "jobs; updated_at of the run where they are not known",
    ),
    Definition(
        "duration.median",
        "Median duration",
        "minutes",
        "median of the durations" + EXACT,
        WINDOW,
        UNKNOWN_DURATION,
        "as duration.mean",
    ),
    Definition(
        "duration.p95",
        "95th percentile of the durations",
        "minutes",
        "95th percentile of the durations" + EXACT,
        WINDOW,
        UNKNOWN_DURATION,
        "as duration.mean",
    ),
    Definition(
        "duration.extremes",
        "Fastest and slowest build",
        "minutes",
        "smallest and largest of the durations",
        WINDOW,
        UNKNOWN_DURATION,
        "as duration.mean",
    ),
    Definition(
        "queue.run",
        "Queue time of a build",
        "minutes",
        "earliest start of a job - run_started_at of the attempt; median and 95th percentile, "
        "as exact as duration.median",
        WINDOW,
        NOT_DECISIVE + " Builds of which no job's start is known.",
        "jobs",
    ),
    Definition(
        "incident",
        "Incident",
        "incidents",
        "one per red streak of a workflow on a branch: from the completion of the first failed attempt "
        "to that of the next successful one, in the order of run number and attempt",
        "Incidents that recovered in the window, and those open at its end that began in it, as they are known today.",
        "Attempts that neither succeeded nor failed. Runs of pull requests have lines of their own; "
        "an event asked for is that of the run that opened it.",
        ATTEMPTS,
    ),
    Definition(
        "mttr",
        "Mean time to recovery",
        "minutes",
        "mean of how long the recovered incidents lasted; median and 90th percentile beside it, "
        "as exact as duration.median; 0 without any",
        "Incidents that recovered in the window.",
        "Open incidents.",
        "as incident",
    ),
    Definition(
        "most_active",
        "Most active branch and author",
        "name",
        "the one with the most completed builds; of equals, the first in the alphabet",
        WINDOW,
        "Unfinished builds.",
        "workflow runs; the head commit's author, else the actor",
    ),
    Definition(
        "jobs.failing",
        "Failing jobs",
        "jobs",
        "jobs that failed, per workflow and job name, of the latest attempts",
        "Jobs of the failed builds of the window.",
        "Jobs that neither succeeded nor failed.",
        "jobs",
    ),
    Definition(
        "failures.signature",
        "Failures by reason",
        "jobs",
        "failed jobs whose failing step has the same error lines, without what varies from run to run",
        "Failed jobs of the window's completed builds, of all attempts.",
        "Jobs of which no log was read: wanted, expired, missing, unreadable, or beyond 20 of a build (left_out), and "
        "those whose log says nothing (silent). Jobs that failed more than 7 days before they were seen: nobody asks "
        "for their logs.",
        "logs of failed jobs",
    ),
    *OF_JOBS,
    *OF_DELIVERY,
)

BY_ID = {one.id: one for one in DEFINITIONS}
