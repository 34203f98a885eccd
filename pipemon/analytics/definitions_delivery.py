"""What the numbers of delivery mean."""

from pipemon.analytics.definition import Definition

FINISHED = "Deployments that succeeded or failed in the window, by their first success, else failure."
PRODUCTION = " Of production: environments that PRODUCTION_ENVIRONMENTS names, and workflows that deploy."
SOURCE = "GitHub deployments; where a repository has none, completed runs of DEPLOYMENT_WORKFLOWS"
NO_CHANGE = "Redeploys, rollbacks, reverts, further tries of a commit that failed, what never started."

OF_DELIVERY = (
    Definition(
        "dora.deployment",
        "Deployments",
        "deployments",
        "number of successful deployments; the first success is the moment",
        FINISHED + PRODUCTION,
        "Unfinished and failed deployments.",
        SOURCE,
    ),
    Definition(
        "dora.change",
        "Change deployments",
        "deployments",
        "number of finished deployments of a commit that is new to the environment",
        FINISHED + PRODUCTION,
        NO_CHANGE,
        SOURCE,
    ),
    Definition(
        "dora.frequency",
        "Deployment frequency",
        "deployments per day",
        "successful deployments / days of the window, empty days included; beside it the median, over the whole weeks "
        "counted back from timestamp, of the days with a deployment",
        FINISHED + PRODUCTION,
        "Failed deployments.",
        SOURCE,
    ),
    Definition(
        "dora.lead_time",
        "Lead time for changes",
        "minutes",
        "per commit since the deployment that was live before: deploy moment - commit time; median and 90th percentile",
        "Commits of the window's successful change deployments." + PRODUCTION,
        "Merge commits. First deployments, redeploys, rollbacks, ranges that can't be read, "
        "and commits of a range beyond the 300th.",
        "GitHub deployments and the commits between them",
    ),
    Definition(
        "dora.change_failure_rate",
        "Change failure rate",
        "percent",
        "change deployments that failed / change deployments x 100: ended in failure or error, undone by a rollback, "
        "or named by a revert or hotfix that directly follows; each once",
        FINISHED + PRODUCTION,
        NO_CHANGE + " What happens after the window.",
        SOURCE,
    ),
    Definition(
        "dora.recovery_time",
        "Failed deployment recovery time",
        "minutes",
        "median of: first healthy deployment of the environment from the one on that shows the failure - failure; "
        "what was marked later failed when it was deployed",
        "Failed deployments that were recovered from in the window." + PRODUCTION,
        "Failures that are still open: they are listed. More than 20 successful deployments before the window.",
        SOURCE,
    ),
    Definition(
        "dora.level",
        "DORA level",
        "elite, high, medium, low",
        "thresholds of Google's Four Keys (dora-team/fourkeys): deploy days a week, median, 3 or more elite, "
        "1 high, a deployment a month medium; lead time and recovery below 24 h elite, 168 h high, 730 h medium; "
        "change failure rate to 15 % elite, below 46 % medium; else low",
        "The four keys of the window, whatever its length; theirs is three months.",
        "Keys that are null. Frequency in a window shorter than a week.",
        "as the keys",
    ),
)
