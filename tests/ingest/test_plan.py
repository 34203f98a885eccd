"""Intervals: floors while the budget allows, stretched where it does not, detail before runs."""

from pipemon.ingest.plan import LONGEST_SECONDS, SHARE, Budget, Floors, Load, Plan, make_plan

FLOORS = Floors(5, 60)


def spent_per_hour(load: Load, plan: Plan) -> float:
    """Return the calls that the plan makes in an hour and that count against the limit."""
    lists = load.active * load.active_cost / plan.active_seconds + load.idle * load.idle_cost / plan.idle_seconds
    return 3600 * (lists + load.unfinished * load.detail_cost / plan.detail_seconds)


def test_a_small_team_is_read_at_the_floors() -> None:
    plan = make_plan(Load(active=1, idle=5, unfinished=2), Budget(), FLOORS)
    assert (plan.active_seconds, plan.idle_seconds, plan.why) == (5, 60, None)


def test_500_repositories_are_stretched_and_it_says_why() -> None:
    plan = make_plan(Load(active=20, idle=480, unfinished=40), Budget(), FLOORS)
    assert plan.idle_seconds > 60
    assert plan.why is not None


def test_G5_detail_is_stretched_before_runs() -> None:
    load = Load(active=2, idle=5, unfinished=20)
    plan = make_plan(load, Budget(left=2500, seconds=3600), FLOORS)
    assert plan.active_seconds == 5
    assert plan.detail_seconds > FLOORS.detail_seconds


def test_G5_never_more_than_the_share_of_what_is_left() -> None:
    for left in (0, 10, 100, 200, 1000, 4500):
        for load in (Load(1, 0, 0), Load(5, 20, 20), Load(100, 400, 300)):
            plan = make_plan(load, Budget(left, 3600), FLOORS)
            at_longest = LONGEST_SECONDS in (plan.active_seconds, plan.idle_seconds, plan.detail_seconds)
            assert at_longest or spent_per_hour(load, plan) <= left * SHARE * 1.001


def test_a_slow_github_stretches_too() -> None:
    plan = make_plan(Load(active=10, idle=0, unfinished=0, active_cost=0.01, seconds_per_call=1.0), Budget(), FLOORS)
    assert plan.active_seconds > 5
    assert plan.why == "the time a read takes"
