"""Random rows, and the same questions answered the slow way over them."""

import random
from dataclasses import dataclass, field
from typing import Any

from pipemon.store.engine import Database
from pipemon.store.schema import runs
from tests.builders import T0
from tests.rows import a_repository, a_workflow, put, run_row

FAILED = ("failure", "timed_out", "startup_failure")
CONCLUSIONS = (
    "success",
    "success",
    "success",
    *FAILED,
    "cancelled",
    "skipped",
    "neutral",
    "action_required",
    "new_one",
)
NAMES = {7: "CI", 8: "Deploy site", 9: "Night % shift", 10: "Excluded"}
MESSAGES = ("Mend the door", "100% done", "under_score", "Ünï\nsecond line", "back\\slash", "")


@dataclass
class World:
    """Two watched repositories and one that is not, with their runs."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def kept(self, *, exclude: tuple[int, ...] = (), **equal: Any) -> list[dict[str, Any]]:
        """Return the runs that an answer may show and that have these values."""
        return [
            row
            for row in self.rows
            if row["repository_id"] != 3
            and row["deleted_at"] is None
            and row["workflow_id"] not in exclude
            and all(row[name] == value for name, value in equal.items())
        ]


def make_world(db: Database, seed: int, size: int = 250) -> World:
    """Store a random world."""
    rng = random.Random(seed)
    a_repository(db, 1)
    a_repository(db, 2, name="acme/shop-2", current_name="acme/Renamed", default_branch="trunk")
    a_repository(db, 3, watched=False)
    for workflow_id, name in NAMES.items():
        a_workflow(db, workflow_id, name, f".github/workflows/w{workflow_id}.yml", 1 + workflow_id % 2)
    world = World([_row(rng, number) for number in range(size)])
    put(db, runs, *world.rows)
    return world


def _row(rng: random.Random, number: int) -> dict[str, Any]:
    workflow_id = rng.choice(list(NAMES))
    repository_id = 1 + workflow_id % 2 if rng.random() > 0.1 else 3
    created_at = T0 - rng.randrange(3 * 86400)
    status = rng.choice(["completed"] * 12 + ["queued", "in_progress", "waiting", "pending", "requested"])
    ended = status == "completed"
    duration = rng.choice([None, 0, 5, 60, 61, rng.randrange(4000)]) if ended else None
    return run_row(
        id=1_000 + number,
        run_number=number,
        repository_id=repository_id,
        workflow_id=workflow_id,
        name=NAMES[workflow_id],
        status=status,
        conclusion=rng.choice(CONCLUSIONS) if ended else None,
        branch=rng.choice(["main", "trunk", "feature/a_b", "feature/aXb", None]),
        event=rng.choice(["push", "push", "pull_request", "schedule"]),
        head_repository=rng.choice(["acme/shop-1", "acme/shop-2", "ACME/renamed", "fork/shop-1", None]),
        actor=rng.choice(["octo", "cat", None]),
        sha=f"{rng.choice([1, 2, 3]):040x}",
        commit_message=rng.choice(MESSAGES),
        created_at=created_at,
        started_at=created_at + rng.choice([0, 0, 1000]),
        updated_at=created_at + 1200,
        duration_seconds=duration,
        completed_at=None if duration is None else created_at + duration,
        deleted_at=T0 if rng.random() < 0.05 else None,
    )
