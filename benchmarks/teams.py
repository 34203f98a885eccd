"""Many teams with many rules, and what happens to them: of rules for one event each, drawn from a seed."""

import random
from collections.abc import Iterator

from pipemon.notify.rules import Condition, Fact, Rule

TEAMS, REPOSITORIES, WORKFLOWS = 50, 10, ("CI", "Deploy", "Nightly", "Release", "Docs")
BRANCHES = ("main", "develop", "release/1.0", "release/2.0", "feature/login")


def rules_of_teams(count: int, seed: int = 1) -> Iterator[Rule]:
    """Yield rules on `build_failed`: most about a repository, some about a team's, a workflow's or a branch's builds.

    One in fifty asks for everything.
    """
    words = random.Random(seed)
    for number in range(count):
        team, repository = words.randrange(TEAMS), words.randrange(REPOSITORIES)
        draw = words.random()
        if draw < 0.02:
            asked = []
        elif draw < 0.04:
            asked = [("author", [f"person-{words.randrange(500)}"]), ("branch", ["@default"])]
        elif draw < 0.12:
            asked = [("repository", [f"team-{team}/*"]), ("branch", ["@default", "release/*"])]
        else:
            asked = [("repository", [f"team-{team}/app-{repository}"]), ("branch", ["main", "!develop"])]
            asked += [("workflow", [words.choice(WORKFLOWS)])] if words.random() < 0.5 else []
        conditions = tuple(Condition(kind, tuple(globs)) for kind, globs in asked)
        yield Rule(number + 1, f"rule {number}", frozenset({"build_failed"}), conditions, ("slack",))


def facts_of_teams(count: int, seed: int = 2) -> Iterator[Fact]:
    """Yield failed builds of these teams."""
    words = random.Random(seed)
    for _ in range(count):
        repository = f"team-{words.randrange(TEAMS)}/app-{words.randrange(REPOSITORIES)}"
        yield Fact(
            ("build_failed",), repository, words.choice(WORKFLOWS), words.choice(BRANCHES), "main", False, "completed",
            "failure", "push", f"person-{words.randrange(500)}", 1, 300,
        )  # fmt: skip
