"""Which rules an event meets."""

import time
from typing import Any

import pytest

from pipemon.notify.rules import Condition, Fact, Index, Rule, any_matches, matches

FACT = Fact(("build_failed",), "octo/shop", "CI", "main", "main", False, "completed", "failure", "push", "ada", 2, 700)


def rule(number: int = 1, events: tuple[str, ...] = ("build_failed",), enabled: bool = True, **conditions: Any) -> Rule:
    found = tuple(
        Condition(name, number=value) if isinstance(value, int | float) else Condition(name, tuple(value))
        for name, value in conditions.items()
    )
    return Rule(number, "r", frozenset(events), found, ("slack",), enabled)


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"branch": ["main"]}, True),
        ({"branch": ["release/*"]}, False),
        ({"branch": ["release/*", "ma?n"]}, True),
        ({"branch": ["*", "!main"]}, False),
        ({"branch": ["!release/*"]}, True),
        ({"branch": ["@default"]}, True),
        ({"branch": ["!@default"]}, False),
        ({"workflow": ["CI"], "author": ["ada"]}, True),
        ({"workflow": ["CI"], "author": ["bob"]}, False),
        ({"repository": ["octo/*"]}, True),
        ({"conclusion": ["timed_out"]}, False),
        ({"consecutive_failures": 2}, True),
        ({"consecutive_failures": 3}, False),
        ({"duration_over_minutes": 11}, True),
        ({"duration_over_minutes": 12}, False),
    ],
)
def test_all_conditions_must_hold(conditions: dict[str, Any], holds: bool) -> None:
    assert matches(rule(**conditions), FACT) is holds


def test_a_pull_request_is_told_only_where_the_rule_names_the_event() -> None:
    from dataclasses import replace

    pull = replace(FACT, pull_request=True, event="pull_request")
    assert not matches(rule(), pull)
    assert matches(rule(event=["pull_request"]), pull)


def test_a_branch_of_a_fork_is_not_ours() -> None:
    from dataclasses import replace

    assert not matches(rule(branch=["main"]), replace(FACT, branch=None))


def test_a_disabled_rule_wants_nothing_and_each_rule_is_told_once() -> None:
    from dataclasses import replace

    both = rule(2, ("build_failed", "build_still_failing"))
    index = Index([rule(1, enabled=False), both])
    assert index.matching(replace(FACT, names=("build_failed", "build_still_failing"))) == [(both, "build_failed")]


def test_N1_M16_no_pattern_takes_long() -> None:
    hostile = ["*a" * 60 + "b", "?*" * 90, "(a+)+$", "[" * 150, "*" * 200, "[!" + "a-" * 90 + "]"]
    values = ["a" * 255, "b" * 255, "a" * 254 + "!", "aA" * 100]
    started = time.process_time()
    for _ in range(50):
        for glob in hostile:
            for value in values:
                any_matches([glob], value)
    assert (time.process_time() - started) / (50 * len(hostile) * len(values)) < 0.002


def test_N2_ten_thousand_rules_are_not_all_looked_at() -> None:
    events = ("build_failed", "build_succeeded", "build_cancelled", "build_queued", "job_failed") * 4
    index = Index(rule(n, (f"{events[n % 20]}" if n % 50 == 0 else "deployment_success",)) for n in range(10_000))
    for _ in range(100):
        index.matching(FACT)
    assert index.evaluated / (10_000 * 100) <= 0.05
