"""What deployments become when they are merged, and what each was to its environment."""

import itertools

import pytest

from pipemon.domain import deployments
from pipemon.domain.deployments import (
    Commit,
    Comparison,
    Deployment,
    DeploymentStatus,
    Step,
    Verdict,
    merge,
    verdicts,
)

T0 = 1_760_000_000
V = {name: f"{number:040x}" for number, name in enumerate(("V1", "V2", "V3", "V4"), start=0xABC0000)}


def steps(words: str) -> list[Step]:
    """Return one deployment per word, numbered from 1; a word that ends in `!` failed."""
    return [
        Step(number, V[word.rstrip("!")], T0 + number * 60, not word.endswith("!"), f"Make {word}")
        for number, word in enumerate(words.split(), start=1)
    ]


@pytest.mark.parametrize(
    ("history", "kinds", "blamed"),
    [
        ("V1", "first", None),
        ("V1 V1", "first redeploy", None),
        ("V1 V2", "first change", None),
        ("V1 V2 V3 V1", "first change change rollback", 2),
        ("V1 V2 V3 V2", "first change change rollback", 3),
        ("V1 V2 V2 V1", "first change redeploy rollback", 2),
        ("V1 V1 V2 V1 V1", "first redeploy change rollback redeploy", None),
        ("V1 V2 V1 V3 V1", "first change rollback change rollback", 4),
        ("V1 V2 V1 V2", "first change rollback rollback", None),
        ("V1 V2! V1", "first change redeploy", None),
        ("V1 V2! V2", "first change change", None),
        ("V1! V1", "first first", None),
    ],
)
def test_verdicts(history: str, kinds: str, blamed: int | None) -> None:
    told = steps(history)
    found = verdicts(reversed(told))
    assert [found[step.id].kind for step in told] == kinds.split()
    assert found[told[-1].id].blamed == blamed


def test_nobody_goes_back_further_than_it_is_looked_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "LOOK_BACK", 2)
    found = verdicts(steps("V1 V2 V1 V3 V4 V1"))
    assert [found[number].kind for number in range(1, 7)] == [
        "first",
        *(["change", "rollback", "change", "change", "change"]),
    ]


def test_what_stands_is_taken_as_it_is() -> None:
    standing = {1: Verdict("change", "new_commit"), 2: Verdict("rollback", "deployed_before")}
    found = verdicts(steps("V1 V2 V1"), standing)
    assert (found[1], found[2]) == (standing[1], standing[2])
    # What it undoes began with a change, and there was none.
    assert (found[3].kind, found[3].blamed) == ("rollback", None)


def test_a_rollback_says_by_which_rule_and_evidence() -> None:
    verdict = verdicts(steps("V1 V2 V3 V1"))[4]
    assert verdict.rule == "deployed_before"
    assert verdict.evidence == {"previous_deployment": 3, "previous_commit": V["V3"], "restored_deployment": 1}


@pytest.mark.parametrize(
    ("base", "status", "kind"),
    [("V2", "behind", "rollback"), ("V2", "ahead", "change"), ("V2", "diverged", "change"), ("V1", "behind", "change")],
)
def test_an_ancestor_of_the_previous_commit_is_a_rollback(base: str, status: str, kind: str) -> None:
    older = Step(9, V["V4"], T0 + 900, comparison=Comparison(V[base], status, behind_by=3))
    verdict = verdicts([*steps("V1 V2"), older])[9]
    assert (verdict.kind, verdict.blamed) == (kind, 2 if kind == "rollback" else None)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (f'Revert "something"\n\nThis reverts commit {V["V2"]}.', "revert"),
        (f"Undo it\n\nThis reverts commit {V['V2'][:34]}.", "revert"),
        (f"Undo it\n\nThis reverts commit {V['V1']}.", "change"),
        ('Revert "Make V2"', "revert"),
        ('Revert "Make V2" (#12) and more', "change"),
        ('Revert "Revert "Make V2""', "change"),
        ("Mend what Make V2 broke", "change"),
    ],
)
@pytest.mark.parametrize("in_range", [True, False])
def test_a_revert_names_its_predecessor(message: str, kind: str, in_range: bool) -> None:
    commit = Commit("c" * 40, T0, message)
    comparison = Comparison(V["V2"], "ahead", 2, 0, (commit, Commit(V["V3"], T0, "More"))) if in_range else None
    third = Step(3, V["V3"], T0 + 900, True, "More" if in_range else message, comparison)
    verdict = verdicts([*steps("V1 V2"), third])[3]
    assert (verdict.kind, verdict.blamed) == (kind, 2 if kind == "revert" else None)


def test_a_rollback_of_one_environment_says_nothing_of_another() -> None:
    """Each environment has a history of its own: the caller asks for each apart."""
    production, staging = steps("V1 V2 V1"), steps("V1 V2 V3")
    assert [verdicts(one)[3].kind for one in (production, staging)] == ["rollback", "change"]


def a_deployment(**over: object) -> Deployment:
    values = {"id": 5, "environment": "production", "sha": V["V1"], "created_at": T0, "updated_at": T0}
    return Deployment(**(values | over))  # type: ignore[arg-type]


def test_W1_any_order_of_observations_ends_the_same() -> None:
    states = ("queued", "in_progress", "success", "inactive")
    told = [DeploymentStatus(number, state, T0 + number // 2) for number, state in enumerate(states, start=1)]
    seen = [
        a_deployment(),
        *(a_deployment(updated_at=one.created_at, statuses=(one,)) for one in told),
        a_deployment(updated_at=T0 + 2, description="same second", statuses=tuple(told[:2])),
    ]
    ends = set()
    for order in itertools.permutations(seen):
        stored = None
        for one in (*order, order[0]):
            stored = merge(stored, one)
        ends.add(stored)
    (end,) = ends
    assert end is not None
    assert [status.state for status in end.statuses] == list(states)
    assert (end.state, end.deployed_at, end.failed_at) == ("inactive", T0 + 1, None)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("", ("pending", None, None)),
        ("in_progress failure", ("failure", None, T0 + 2)),
        ("in_progress error success", ("success", T0 + 3, T0 + 2)),
        ("success success inactive", ("inactive", T0 + 1, None)),
        ("brand_new_word", ("brand_new_word", None, None)),
    ],
)
def test_moments_of_a_deployment(states: str, expected: tuple[str, int | None, int | None]) -> None:
    statuses = [DeploymentStatus(number, state, T0 + number) for number, state in enumerate(states.split(), start=1)]
    found = merge(None, a_deployment(statuses=tuple(reversed(statuses))))
    assert (found.state, found.deployed_at, found.failed_at) == expected
