"""What people may ask of a build: an action, and what its run shows of it afterwards."""

from dataclasses import dataclass

from pipemon.domain.runs import Run, is_completed

VERBS = ("rerun", "rerun_failed", "rerun_job", "cancel", "force_cancel")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to be done to a build. `verb` is one of VERBS; `job_id` is set for `rerun_job` alone."""

    verb: str
    repository: str
    build_id: int
    job_id: int | None = None
    debug: bool = False

    @property
    def is_rerun(self) -> bool:
        """Whether it begins another attempt."""
        return self.verb.startswith("rerun")


def shows(action: Action, attempt_before: int, now: Run) -> bool | None:
    """Whether a run, read afterwards, shows that the action was done; None where that can't be told (yet)."""
    if action.is_rerun:
        return True if now.run_attempt > attempt_before else None
    if now.run_attempt != attempt_before or not is_completed(now.status):
        return None
    return now.conclusion == "cancelled"
