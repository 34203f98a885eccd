"""What the numbers over jobs mean."""

from pipemon.analytics.definition import Definition

ATTEMPTS = "Job attempts of the runs created in the window."
PLATFORM = (
    "failed jobs without a failed step of their own (the runner was lost or never came, or GitHub's set-up failed), "
    "and those whose log tells of the machine: a full disk, a limit, a runner that was taken away"
)

NEWEST = "Jobs that ran in the latest attempts of the window's newest 500 decisive builds."

OF_JOBS = (
    Definition(
        "jobs.slowest",
        "Slowest jobs",
        "minutes, percent",
        "by workflow and job name: mean of completed_at - started_at; share of the builds in which it lies on the "
        "critical path (the latest-finishing predecessor before each start); exclusive: mean of what the build would "
        "win if it took no time and each job waited for all that had ended before it; the largest sum of that first",
        NEWEST,
        "Jobs that were skipped, cancelled before they began, or copied by a rerun.",
        "jobs",
    ),
    Definition(
        "steps.slowest",
        "Slowest steps",
        "minutes, percent",
        "by workflow, job and step name: mean of completed_at - started_at, at least 0; share: seconds of those whose "
        "job lies on the critical path / seconds of all jobs on the workflow's critical paths x 100; the most first",
        NEWEST,
        "Steps that were skipped or cancelled, or of which a time is not known.",
        "steps of jobs",
    ),
    Definition(
        "steps.failing",
        "Failing steps",
        "jobs",
        "jobs by the first of their steps that failed, per workflow and job name, of the latest attempts",
        "Failed jobs of the window's failed builds.",
        "Jobs that failed without a failed step.",
        "steps of jobs",
    ),
    Definition(
        "regression",
        "Regression",
        "seconds, percent",
        "the run from which on a workflow's or job's values shift: at the place where the ranks before and after "
        "differ most, by more than 4 standard deviations of chance (widened where neighbours are alike), with 10 runs "
        "on each side; and at least duration 20 % and 10 s, queue time 50 % and 30 s (medians), failure rate 15 points",
        "The newest 200 decisive runs in the window of each of the 40 busiest workflows; of the 12 busiest the jobs "
        "too, over 100 runs. In the order in which they were created.",
        "Durations of failures. Runs that began less than a usual duration (its 95th percentile) ago: of those only "
        "the quick ones are over. /analytics/performance has those alone that last.",
        "workflow runs; jobs",
    ),
    Definition(
        "jobs.flaky",
        "Flaky jobs",
        "percent",
        "commits on which a job, by its name with its matrix leg, failed and succeeded / commits on which it did "
        "either x 100, over all attempts and runs of a workflow; with Wilson's 95 % interval",
        "Jobs of the runs created in the window; in /analytics/failures of its last 14 days at most.",
        "Failures of the platform, jobs that were skipped or cancelled, runs without a commit.",
        "jobs and their steps",
    ),
    Definition(
        "jobs.platform",
        "Failures of the platform",
        "jobs",
        PLATFORM,
        "Jobs of the runs created in the window.",
        "Jobs that failed with a runner and of which neither steps nor log are known.",
        "jobs, their steps, logs of failed jobs",
    ),
    Definition(
        "queue.job",
        "Queue time of a job",
        "seconds",
        "started_at - created_at, at least 0; median, 90th and 95th percentile by linear interpolation, exact, or "
        "within 0.8 % where labels, hours and different waits make over 4,000,000 cells; by the set of labels, and by "
        "the hour of the day in which it was created",
        ATTEMPTS,
        "Jobs that were skipped, cancelled before they began, or copied by a rerun. GitHub creates a job when what it "
        "needs is done; a wait for somebody's approval can't be told apart and counts.",
        "jobs",
    ),
    Definition(
        "cost.minutes",
        "Minutes",
        "minutes",
        "sum of ceil((completed_at - started_at) / 60 s); billable: those with a price above 0",
        ATTEMPTS,
        "Jobs that did not run, are not over, or were copied by a rerun.",
        "jobs",
    ),
    Definition(
        "cost.estimate",
        "Estimated cost",
        "US dollars",
        "sum of minutes x the price of the runner's label by RUNNER_PRICES; an estimate: included minutes, discounts "
        "and public repositories' free minutes are not known",
        ATTEMPTS,
        "Minutes of labels without a price: they are in unpriced_minutes.",
        "jobs; RUNNER_PRICES",
    ),
    Definition(
        "cost.waste",
        "Useful and wasted",
        "minutes, US dollars",
        "wasted, each job attempt once, by the first that fits: it failed; its run was cancelled and a newer run of "
        "the same workflow, branch and event was there before its end (superseded); it or its run was cancelled; a "
        "later attempt ran it again (rerun). Useful: all else",
        ATTEMPTS,
        "As cost.minutes.",
        "jobs and runs",
    ),
)
