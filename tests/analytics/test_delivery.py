"""Deployments in, changes, failures, recoveries and lead times out: stories, then random histories the slow way."""

import json
import random
from dataclasses import astuple
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest

from pipemon.analytics import delivery
from pipemon.analytics.delivery import FAILURE, Facts, Failures
from pipemon.analytics.four_keys import keys
from pipemon.analytics.sheets import Past, pack, read_commits, unpack
from pipemon.domain.deployments import Commit, Step, verdicts

HOUR, DAY = 3600, 86400
T = 1_760_000_000


def past(story: str, hours: float = 1.0) -> list[Past]:
    """Return what a story tells: `V1 V2! V1` are deployments an hour apart, `!` fails; verdicts as they are given."""
    steps, states = [], {}
    for place, word in enumerate(story.split(), start=1):
        name = word.strip("!?")
        states[place] = word[len(name) :]
        at = T + int(place * hours * HOUR)
        steps.append(Step(place, name.encode().hex().ljust(40, "0"), at, not states[place].startswith("!")))
    found = verdicts(steps)
    return [
        Past(
            step.id, step.sha, found[step.id].kind, "success" if step.succeeded else "failure",
            step.at if step.succeeded else None, None if step.succeeded else step.at, undoes=found[step.id].blamed,
        )
        for step in steps
    ]  # fmt: skip


def facts(history: list[Past], begin: int, end: int) -> Facts:
    return delivery.facts(pack(history), begin, end)


def all_of(history: list[Past]) -> Facts:
    return facts(history, T, T + 10_000 * HOUR)


STORIES = [
    # story, changes, failed changes, (failed, recovered by) of all failures, not counted
    ("V1 V2 V3", 3, [], [], {}),
    ("V1 V2 V3 V1", 3, [2], [(2, 4)], {"rollback": 1}),
    ("V1 V1", 1, [], [], {"redeploy": 1}),
    ("V1 V2! V3", 3, [2], [(2, 3)], {}),
    ("V1 V2! V2", 2, [2], [(2, 3)], {"retry": 1}),
    ("V1 V2! V2! V2! V1", 2, [2], [(2, 5)], {"retry": 2, "redeploy": 1}),
    ("V1 V2! V2 V1", 2, [2], [(2, 4)], {"retry": 1, "rollback": 1}),
    ("V1 V2 V2 V1", 2, [2], [(2, 4)], {"redeploy": 1, "rollback": 1}),
    ("V1 V2 V1!", 2, [], [(3, None)], {"rollback": 1}),
    ("V1! V1! V1", 1, [1], [(1, 3)], {"retry": 2}),
    ("V1 V2!", 2, [2], [(2, None)], {}),
    ("V1 V2 V1 V2 V1", 2, [2], [(2, 3)], {"rollback": 3}),
]


@pytest.mark.parametrize(("story", "changes", "failed", "failures", "not_counted"), STORIES)
def test_stories(
    story: str, changes: int, failed: list[int], failures: list[tuple[int, int]], not_counted: dict[str, int]
) -> None:
    found = all_of(past(story))
    assert (found.changes, [one.deployment_id for one in found.failed]) == (changes, failed)
    told = {(one.deployment_id, one.recovered_by) for one in [*found.recovered, *found.unrecovered]}
    assert told >= set(failures)
    assert found.not_counted == not_counted


def a_past(number: int, sha: str, **over: Any) -> Past:
    at = T + number * HOUR
    values: dict[str, Any] = {"id": number, "sha": sha * 40, "kind": "change", "state": "success", "deployed_at": at}
    return Past(**{**values, "failed_at": None, **stored(over)})


def stored(over: dict[str, Any]) -> dict[str, Any]:
    """Write commits as the database keeps them."""
    commits = over.get("commits")
    return over if commits is None else over | {"commits": json.dumps([astuple(one) for one in commits])}


def commit(sha: str, at: int = T, message: str = "", is_merge: bool = False) -> Commit:
    return Commit(sha * 40, at, message, None, is_merge)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (f"Hotfix for {'b' * 9}", "hotfixed"),
        (f"A hot-fix: {'c' * 40} broke it", "hotfixed"),
        (f'Revert "x"\n\nThis reverts commit {"c" * 40}.', "reverted"),
        (f"Hotfix for {'d' * 9}", None),
        (f"Mentions {'b' * 40}", None),
        ("Hotfix", None),
    ],
)
def test_who_directly_follows_and_names_it(message: str, why: str | None) -> None:
    first = a_past(1, "a", kind="first")
    bad = a_past(2, "b", commits=(commit("c"), commit("b")))
    good = a_past(3, "e", commits=(commit("e", message=message),))
    found = all_of([first, bad, good])
    assert [(one.deployment_id, one.why, one.by, one.recovered_by) for one in found.failed] == (
        [(2, why, 3, 3)] if why else []
    )
    # One that does not follow directly names nobody.
    late = a_past(4, "f", commits=(commit("f", message=message),))
    assert list(all_of([first, bad, a_past(3, "9"), late]).failed) == []


def test_a_success_that_failed_later_is_failed_and_a_superseded_one_is_not() -> None:
    later = a_past(1, "a", state="failure", failed_at=T + 5 * HOUR)
    assert [(one.failed_at, one.why) for one in all_of([later]).failed] == [(T + 5 * HOUR, "ended_in_failure")]
    assert list(all_of([a_past(1, "a", state="inactive")]).failed) == []
    mended = a_past(1, "a", failed_at=T)  # failed first, then succeeded
    assert list(all_of([mended]).failed) == []


def test_what_fails_after_the_window_has_not_failed_in_it() -> None:
    history = [a_past(1, "a", state="failure", failed_at=T + 5 * HOUR), a_past(9, "b")]
    then, later = (facts(history, T, T + hours * HOUR) for hours in (5, 6))
    assert (len(then.failed), len(then.unrecovered)) == (0, 0)
    assert (len(later.failed), [one.deployment_id for one in later.unrecovered]) == (1, [1])


def test_what_never_started_is_no_deployment() -> None:
    refused = a_past(2, "b", deployed_at=None, failed_at=T + 2 * HOUR, state="failure", started=False)
    found = all_of([a_past(1, "a", kind="first"), refused])
    assert (found.changes, list(found.failed), found.not_counted) == (1, [], {"never_started": 1})


def test_a_person_may_say_that_it_is_a_change() -> None:
    history = [a_past(1, "a"), a_past(2, "b", deployed_at=None, failed_at=T + 2 * HOUR, state="failure")]
    assert all_of([*history, a_past(3, "b")]).changes == 2
    assert all_of([*history, a_past(3, "b", overruled=True)]).changes == 3


def test_lead_time_is_per_commit_without_merges() -> None:
    own = (commit("b", T - HOUR), commit("c", T + HOUR, is_merge=True), commit("d", T + 9 * HOUR))
    history = [
        a_past(1, "a", kind="first", commits=(commit("a"),)),
        a_past(2, "b", commits=own),
        a_past(3, "e", commits=None),
        a_past(8, "8", commits=None, unread=True),
        a_past(4, "f", commits=(commit("f", is_merge=True),)),
        a_past(5, "a", kind="rollback", commits=(commit("x"),), undoes=2),
        a_past(6, "g", kind="revert", commits=(commit("x"),)),
        a_past(7, "g", kind="redeploy", commits=()),
    ]
    found = all_of(history)
    # The clock of who commits may be ahead.
    assert found.lead.tolist() == [3 * HOUR, 0]
    assert found.no_lead == {
        "first": 1,
        "range_not_readable": 1,
        "range_not_read_yet": 1,
        "no_commits": 1,
        "rollback": 2,
        "redeploy": 1,
    }


def test_the_window_is_half_open_and_knows_nothing_of_what_comes_after_it() -> None:
    history = past("V1 V2 V3 V1")
    found = facts(history, T + 2 * HOUR, T + 4 * HOUR)
    assert (found.changes, list(found.failed)) == (2, [])
    assert found.deployed.tolist() == [T + 2 * HOUR, T + 3 * HOUR]
    later = facts(history, T + 3 * HOUR, T + 5 * HOUR)
    assert (later.changes, [one.deployment_id for one in later.recovered]) == (1, [2])


def a_world(rng: random.Random) -> list[Past]:
    """A random history of few commits, so that everything happens."""
    steps = []
    for place in range(1, rng.randrange(2, 25)):
        sha = rng.choice("abcdef") * 40
        text = rng.choice(["", f"This reverts commit {rng.choice('abcdef') * 40}.", f"hotfix {rng.choice('abc') * 8}"])
        steps.append(Step(place, sha, T + rng.randrange(40) * HOUR, rng.random() > 0.3, text))
    found = verdicts(steps)
    # Some fail before they succeed, or long after it.
    fallen = {step.id: step.at + rng.randrange(-9, 30) * HOUR for step in steps if rng.random() < 0.15}
    return [
        Past(
            step.id, step.sha, found[step.id].kind, "success" if step.succeeded else rng.choice(["failure", "error"]),
            step.at if step.succeeded else None, fallen.get(step.id) if step.succeeded else step.at,
            started=rng.random() > 0.05 or step.succeeded, undoes=found[step.id].blamed, message=step.message,
            commits=None if rng.random() < 0.2 else json.dumps([
                astuple(commit(rng.choice("0123"), step.at - rng.randrange(-5, 99) * HOUR, is_merge=rng.random() < 0.3))
                for _ in range(rng.randrange(3))
            ]),
        )
        for step in steps
    ]  # fmt: skip


def slowly(history: list[Past], begin: int, end: int) -> tuple[Any, ...]:
    """Say the same in the order in which METRICS.md says it, with a walk over everything for each question."""
    line = [one for one in sorted(history, key=lambda one: (one.at, one.id)) if one.at < end and one.started]

    def tried_before(place: int) -> bool:
        for one in reversed(line[:place]):
            if one.deployed_at is not None:
                return False
            if one.sha == line[place].sha:
                return True
        return False

    changes = [one for place, one in enumerate(line) if one.kind in ("first", "change") and not tried_before(place)]

    def fell(one: Past) -> bool:
        """What fails after the window has not failed in it."""
        return one.deployed_at is None or (one.failed_at is not None and one.at < one.failed_at < end)

    def change_of(one: Past) -> Past | None:
        earlier = [other for other in changes if other.sha == one.sha and line.index(other) <= line.index(one)]
        return earlier[-1] if earlier else None

    marked: dict[int, Past] = {}
    for one in line:
        lived = [other for other in line[: line.index(one)] if other.deployed_at is not None]
        if one.deployed_at is None or not lived:
            continue
        blamed = [other for other in line if other.id == one.undoes]
        if one.kind in ("rollback", "revert"):
            marked.setdefault(*(blamed[0].id, one)) if blamed else None
        elif one.kind == "change":
            names = [lived[-1].sha] + [own.sha for own in read_commits(lived[-1])]
            said = one.message.split()
            if any(name.startswith(word.strip(".")) for name in names for word in said if len(word) > 7):
                marked.setdefault(lived[-1].id, one)
    healthy = [one for one in line if not fell(one) and one.id not in marked]
    fallen: dict[int, tuple[int, int | None]] = {}

    def note(one: Past, failed_at: int, since: Past) -> None:
        after = [other for other in healthy if line.index(other) >= line.index(since) and other.at >= failed_at]
        fallen.setdefault(one.id, (failed_at, after[0].at if after else None))

    for place, one in enumerate(line):
        if fell(one) and not tried_before(place):
            note(one, one.failed_at or 0, one)
    for key, by in marked.items():
        one = next(other for other in line if other.id == key)
        first = change_of(one) or one
        note(first, first.at, by)
    inside = [one for one in changes if begin <= one.at]
    failed = sorted(one.id for one in inside if one.id in fallen)
    recovered = sorted(ended - at for at, ended in fallen.values() if ended is not None and begin <= ended < end)
    unrecovered = sum(ended is None and at >= begin for at, ended in fallen.values())
    lead = sorted(
        max(0, one.at - own.committed_at)
        for one in line
        if one.deployed_at is not None and one.at >= begin and one.kind == "change"
        for own in read_commits(one)
        if not own.is_merge and own.committed_at is not None
    )
    return len(inside), failed, recovered, unrecovered, lead


@pytest.mark.parametrize("seed", range(400))
def test_random_histories_equal_the_slow_way(seed: int) -> None:
    history = a_world(rng := random.Random(seed))
    begin = T + rng.randrange(30) * HOUR
    end = begin + rng.randrange(1, 30) * HOUR
    found = facts(history, begin, end)
    told = (
        found.changes, sorted(one.deployment_id for one in found.failed),
        sorted(one.seconds or 0 for one in found.recovered), len(found.unrecovered), sorted(found.lead),
    )  # fmt: skip
    assert told == slowly(history, begin, end)


@pytest.mark.parametrize("seed", range(100))
def test_packed_in_parts_is_packed_at_once(seed: int) -> None:
    """Each part is told from the last success before it; nothing further back can matter to it."""
    history = a_world(rng := random.Random(seed))
    edges = sorted({T - HOUR, T + 99 * HOUR, *(T + rng.randrange(40) * HOUR for _ in range(rng.randrange(5)))})
    parts = []
    for begin, end in pairwise(edges):
        since = max((one.at for one in history if one.deployed_at is not None and one.at < begin), default=0)
        parts.append(pack([one for one in history if since <= one.at < end], begin))
    joined = unpack((part.rows.tobytes() for part in parts), (part.leads.tobytes() for part in parts))
    whole = pack(history)
    assert joined.rows.tolist() == whole.rows.tolist()
    assert joined.leads.tolist() == whole.leads.tolist()


@pytest.mark.parametrize("seed", range(100))
def test_days_and_weeks_equal_the_slow_way(seed: int) -> None:
    rng = random.Random(seed)
    days = rng.choice([1, 6, 7, 13, 30, 90])
    end = T + days * DAY
    deployed = np.array([T + rng.randrange(days * DAY) for _ in range(rng.choice([0, 1, 3, 40]))], np.int64)
    found = keys([Facts(deployed=deployed)], T, end)
    assert found.frequency_per_day == round(len(deployed) / days, 2)
    weeks = [[0] * 7 for _ in range(days // 7)]
    for week in range(days // 7):
        for day in range(7):
            last = end - (week * 7 + day) * DAY
            weeks[week][day] = sum(last - DAY <= at < last for at in deployed)
    busy = [sum(count > 0 for count in week) for week in weeks]
    assert found.deploy_days_per_week == (median(busy) if busy else None)


LEVELS = [
    # deployments: every so many days; seconds of lead, of recovery; failed of 100 changes; levels
    (2, 24 * HOUR - 1, 24 * HOUR - 1, 15, ("elite", "elite", "elite", "elite")),
    (7, 24 * HOUR, 24 * HOUR, 16, ("high", "high", "medium", "high")),
    (25, 168 * HOUR, 168 * HOUR, 45, ("medium", "medium", "medium", "medium")),
    (200, 730 * HOUR, 730 * HOUR, 46, ("low", "low", "low", "low")),
]


@pytest.mark.parametrize(("step", "lead", "restore", "failed", "levels"), LEVELS)
def test_levels(step: int, lead: int, restore: int, failed: int, levels: tuple[str, ...]) -> None:
    end = T + 364 * DAY
    down = np.array([(1, b"a", T, 0, -1, 2, T + restore)] * failed, FAILURE)
    lasted = (Failures(down), Failures(down[:1]))
    found = keys([Facts(np.arange(T, end, step * DAY), 100, *lasted, lead=np.array([lead]))], T, end).level
    assert found is not None
    told = (found.deployment_frequency, found.lead_time, found.change_failure_rate, found.time_to_restore)
    assert told == levels


def test_keys_without_anything_say_why() -> None:
    nothing = keys([], T, T + DAY)
    assert nothing.level is None and nothing.frequency_per_day is None
    assert set(nothing.unavailable) == {
        "deployment_frequency_per_day", "lead_time_minutes", "change_failure_rate", "time_to_restore_minutes",
        "dora_level",
    }  # fmt: skip
    quiet = keys([Facts(no_lead={"rollback": 2})], T, T + 30 * DAY)
    assert (quiet.frequency_per_day, quiet.lead_time, quiet.change_failure_rate) == (0, None, None)
    assert "rollback" in quiet.unavailable["lead_time_minutes"]
