"""The four keys of one or several environments, and their levels by the published thresholds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from pipemon.analytics.delivery import Facts, Numbers
from pipemon.analytics.stats import percentiles_of, rate

DAY_SECONDS = 86400
WEEK_DAYS, MONTH_DAYS = 7, 30
# Their public names.
NAMES = ("deployment_frequency_per_day", "lead_time_minutes", "change_failure_rate", "time_to_restore_minutes",
         "dora_level")  # fmt: skip
LEVELS = ("elite", "high", "medium", "low")
# Google's Four Keys (https://github.com/dora-team/fourkeys, METRICS.md): a day, a week, a month of 730 hours.
HOURS = (24, 168, 730)


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took, in seconds."""

    n: int
    median: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class Levels:
    """The level of each key; None where there is nothing to judge by."""

    deployment_frequency: str | None
    lead_time: str | None
    change_failure_rate: str | None
    time_to_restore: str | None


@dataclass(frozen=True, slots=True)
class Keys:
    """The four keys. What is None has its reason in `unavailable`, by the field's public name."""

    deployments: int
    frequency_per_day: float | None
    deploy_days_per_week: float | None
    changes: int
    failed_changes: int
    change_failure_rate: float | None
    lead: Spread
    restore: Spread
    level: Levels | None
    unavailable: Mapping[str, str]

    @property
    def lead_time(self) -> Spread | None:
        """The lead time; None where there is none."""
        return self.lead if self.lead.n else None


def keys(found: Sequence[Facts], from_at: int, to_at: int) -> Keys:
    """Return the keys of these environments together; empty days count."""
    if not found:
        return no_keys("No environment that counts as production has had a deployment.")
    deployed = np.concatenate([one.deployed for one in found])
    changes, failed = sum(one.changes for one in found), sum(len(one.failed) for one in found)
    lead = _spread(np.concatenate([one.lead for one in found]))
    restore = _spread(np.concatenate([one.recovered.seconds for one in found]))
    days = _deploy_days_a_week(deployed, from_at, to_at)
    cfr = rate(failed, changes) if changes else None
    level = Levels(
        _frequency_level(deployed, days, from_at, to_at),  # of less than a week it says nothing
        _time_level(lead.median),
        None if cfr is None else "elite" if cfr <= 15 else "medium" if cfr < 46 else "low",
        _time_level(restore.median),
    )
    return Keys(
        deployments=len(deployed),
        frequency_per_day=round(len(deployed) / ((to_at - from_at) / DAY_SECONDS), 2),
        deploy_days_per_week=days,
        changes=changes,
        failed_changes=failed,
        change_failure_rate=cfr,
        lead=lead,
        restore=restore,
        level=level,
        unavailable=_reasons(found, cfr, lead, restore),
    )


def no_keys(why: str) -> Keys:
    """Return the keys where there are none, for the reason."""
    nothing = Spread(0, None, None)
    return Keys(0, None, None, 0, 0, None, nothing, nothing, None, dict.fromkeys(NAMES, why))


def _reasons(found: Sequence[Facts], cfr: float | None, lead: Spread, restore: Spread) -> dict[str, str]:
    reasons: dict[str, str] = {}
    if not lead.n:
        why = ", ".join(sorted({reason for one in found for reason in one.no_lead}))
        told = f" Deployments without: {why}." if why else ""
        reasons["lead_time_minutes"] = f"No deployment of the window has commits that could be read.{told}"
    if cfr is None:
        reasons["change_failure_rate"] = "No change was deployed in the window."
    if not restore.n:
        reasons["time_to_restore_minutes"] = "No failed deployment was recovered from in the window."
    return reasons


def _spread(seconds: Numbers) -> Spread:
    return Spread(len(seconds), *percentiles_of(seconds, 0.5, 0.9))


def _deploy_days_a_week(deployed: Numbers, from_at: int, to_at: int) -> float | None:
    """Return the median, over the whole weeks counted back from the end, of the days with a deployment."""
    weeks = (to_at - from_at) // (WEEK_DAYS * DAY_SECONDS)
    if not weeks:
        return None
    busy = np.zeros(weeks * WEEK_DAYS, bool)
    days = (to_at - 1 - deployed) // DAY_SECONDS
    busy[days[days < len(busy)]] = True
    return float(np.median(busy.reshape(weeks, WEEK_DAYS).sum(axis=1)))


def _frequency_level(deployed: Numbers, days: float | None, from_at: int, to_at: int) -> str | None:
    """Return elite at 3 days a week with a deployment, high at one, medium at one deployment a month, else low."""
    if days is None or days >= 1:
        return None if days is None else "elite" if days >= 3 else "high"
    months = max(1, (to_at - from_at) // (MONTH_DAYS * DAY_SECONDS))
    length = min(to_at - from_at, MONTH_DAYS * DAY_SECONDS)
    back = (to_at - 1 - deployed) // length
    return "medium" if median(np.bincount(back[back < months], minlength=months).tolist()) >= 1 else "low"


def _time_level(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return next((level for level, hours in zip(LEVELS, HOURS, strict=False) if seconds < hours * 3600), "low")
