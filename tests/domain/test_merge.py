"""The merge is order-free and idempotent (I2): tables for its rules, and FAULTS W1 as a property."""

import random
from dataclasses import replace
from itertools import permutations

import pytest

from pipemon.domain.diff import run_events
from pipemon.domain.merge import merge_attempt, merge_job, merge_run
from pipemon.domain.runs import Attempt, Commit, Job, Run, Step

T0 = 1_760_000_000
BASE = Run(
    id=30_000_000_001,
    repository="octo/shop",
    run_number=7,
    run_attempt=1,
    workflow_id=11,
    status="queued",
    created_at=T0,
    updated_at=T0,
    started_at=T0,
    name="CI",
    branch="main",
)


def seen(status: str, at: int, conclusion: str | None = None, attempt: int = 1) -> Run:
    """Return an observation of BASE; the attempt starts a thousand seconds after the one before."""
    start = T0 + 1000 * (attempt - 1)
    moment = start + at
    return replace(BASE, status=status, updated_at=moment, conclusion=conclusion, run_attempt=attempt, started_at=start)


def fold(*sightings: tuple[Run, bool]) -> tuple[Run, dict[int, Attempt]]:
    run, attempts = None, {}
    for observation, by_id in sightings:
        run, attempts = merge_run(run, attempts, observation, by_id)
    assert run is not None
    return run, attempts


@pytest.mark.parametrize(
    ("stored", "news", "by_id", "status"),
    [
        (seen("queued", 0), seen("in_progress", 5), False, "in_progress"),
        (seen("in_progress", 5), seen("queued", 0), False, "in_progress"),  # late delivery
        (seen("in_progress", 5), seen("queued", 9), False, "queued"),  # a legal back-step, later by its stamp
        (seen("in_progress", 5), seen("queued", 5), False, "in_progress"),  # equal second: the further one ...
        (seen("in_progress", 5), seen("queued", 5), True, "queued"),  # ... until a read by id settles it
        (seen("completed", 5, "failure"), seen("in_progress", 99), True, "completed"),  # completed is final
        (seen("in_progress", 50), seen("completed", 5, "success"), False, "completed"),
        (seen("in_progress", 5), seen("waiting_for_moon", 6), False, "waiting_for_moon"),  # kept verbatim
    ],
)
def test_status_after_two_observations(stored: Run, news: Run, by_id: bool, status: str) -> None:
    assert merge_attempt(merge_attempt(None, stored, False), news, by_id).status == status


def test_settled_second_is_not_unsettled_by_a_replay() -> None:
    run, _ = fold((seen("in_progress", 5), False), (seen("queued", 5), True), (seen("in_progress", 5), False))
    assert run.status == "queued"


def test_a_later_end_corrects_an_earlier_one_in_either_order() -> None:
    failed, succeeded = seen("completed", 5, "failure"), seen("completed", 9, "success")
    for order in permutations([(failed, False), (succeeded, False)]):
        assert fold(*order)[0].conclusion == "success"


def test_of_two_ends_of_one_second_a_read_by_id_tells_which() -> None:
    failed, succeeded = seen("completed", 5, "failure"), seen("completed", 5, "success")
    for order in permutations([(failed, True), (succeeded, False)]):
        assert fold(*order)[0].conclusion == "failure"
    for order in permutations([(failed, False), (succeeded, False)]):
        assert fold(*order)[0].conclusion == "success"


def test_an_attempt_that_waits_for_an_approval_may_go_on() -> None:
    held, going = seen("completed", 5, "action_required"), seen("in_progress", 9)
    for order in permutations([(held, False), (going, False)]):
        assert fold(*order)[0].status == "in_progress"
    for order in permutations([(held, False), (going, False), (seen("completed", 12, "failure"), False)]):
        assert fold(*order)[0].conclusion == "failure"


def test_higher_attempt_wins_and_earlier_ones_are_kept() -> None:
    run, attempts = fold((seen("completed", 9, "failure"), False), (seen("queued", 0, attempt=3), False))
    assert (run.run_attempt, run.status, run.conclusion) == (3, "queued", None)
    assert [attempts[n].status for n in (1, 2, 3)] == ["completed", "unknown", "queued"]
    late, _ = fold((seen("queued", 0, attempt=3), False), (seen("completed", 9, "failure"), False))
    assert (late.run_attempt, late.status) == (3, "queued")


def test_a_lost_commit_is_kept_from_before() -> None:
    with_commit = replace(seen("queued", 0), commit=Commit(message="Add a door", author_name="dev-ada"))
    run, _ = fold((with_commit, False), (replace(seen("completed", 9, "success"), name=None), False))
    assert run.commit is not None
    assert (run.commit.message, run.name) == ("Add a door", "CI")


def test_job_moves_forward_only_by_delivery_and_steps_back_by_list() -> None:
    queued = Job(1, BASE.id, 1, "build", "queued")
    waiting, running = replace(queued, status="waiting"), replace(queued, status="in_progress")
    done = replace(queued, status="completed", conclusion="success", steps=(Step("Checkout", 1, "completed"),))
    assert merge_job(running, queued, False) == running
    assert merge_job(waiting, queued, False) == waiting
    assert merge_job(waiting, queued, True) == queued
    assert merge_job(done, running, True) == done
    assert merge_job(done, replace(done, steps=()), True).steps == done.steps


def history(rng: random.Random) -> tuple[list[Run], Run, list[Run]]:
    """Return every state that a made-up run went through, its true last one, and each attempt's last one."""
    states, last = [], []
    for attempt in range(1, rng.choice([1, 1, 1, 2, 3]) + 1):
        at = 0
        path = ["requested", "queued", "waiting", "queued", "in_progress", "queued", "in_progress"]
        for status in path[rng.randrange(2) : rng.randrange(1, len(path) + 1)]:
            states.append(seen(status, at, attempt=attempt))
            at += rng.choice([0, 0, 1, 7])
        ends = ["success", "failure", "cancelled", "timed_out", "brand_new_word"]
        states.append(seen("completed", at, rng.choice(ends), attempt=attempt))
        last.append(states[-1])
    if rng.random() < 0.3:  # still under way
        last.pop()
        states.pop()
        if not states or states[-1].run_attempt > len(last) + 1 or not any(s.run_attempt > len(last) for s in states):
            states.append(seen("queued", 0, attempt=len(last) + 1))
        last.append(states[-1])
    return states, states[-1], last


def test_W1_any_order_repetition_and_loss_gives_the_same_end_state() -> None:
    for number in range(10_000):
        rng = random.Random(number)
        states, truth, last = history(rng)
        observed = [state for state in states * 2 if rng.random() > 0.3]
        rng.shuffle(observed)
        terminal: list[str] = []
        run, attempts = None, {}
        # Every history ends with one authoritative read by id, and one of each attempt whose end is not known.
        for observation, by_id in [*((o, rng.random() < 0.2 and o == truth) for o in observed), (truth, True)]:
            before = attempts
            run, attempts = merge_run(run, attempts, observation, by_id)
            terminal += _terminal(run, before, attempts)
        for n, attempt in list(attempts.items()):
            if n < truth.run_attempt and attempt.status != "completed":
                before = attempts
                run, attempts = merge_run(run, attempts, last[n - 1], True)
                terminal += _terminal(run, before, attempts)
        assert run is not None
        assert (run.status, run.conclusion, run.run_attempt, run.updated_at) == (
            truth.status, truth.conclusion, truth.run_attempt, truth.updated_at,
        ), f"seed {number}"  # fmt: skip
        ends = [(attempts[s.run_attempt].status, attempts[s.run_attempt].conclusion) for s in last]
        assert ends == [(s.status, s.conclusion) for s in last], f"seed {number}"
        assert sorted(terminal) == sorted({*terminal}), f"seed {number}: a terminal transition came twice"
        assert len(terminal) == sum(s.status == "completed" for s in last), f"seed {number}"


def _terminal(run: Run, before: dict[int, Attempt], after: dict[int, Attempt]) -> list[str]:
    found = []
    for number, attempt in after.items():
        for event in run_events(run, before.get(number), attempt, live_since=0):
            if event.dedupe_key.endswith(":completed"):
                found.append(event.dedupe_key)
    return found


def test_the_end_takes_nothing_from_what_is_older_or_not_over() -> None:
    end = merge_attempt(None, seen("completed", 9, "failure"), False)
    assert merge_attempt(end, seen("in_progress", 50), True) == end
    assert merge_attempt(end, seen("completed", 5, "failure"), False).updated_at == end.updated_at
    assert merge_attempt(end, seen("completed", 50, "failure"), False).updated_at == T0 + 50
