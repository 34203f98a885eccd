"""Polling against the simulator: what happens there is here one read later, once, whatever GitHub's lists show."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pipemon.domain.coverage import Range
from pipemon.ingest import active
from pipemon.store import coverage, repositories
from pipemon.store.schema import events
from pipemon.store.schema import repositories as repositories_table
from tests.ingest.conftest import SHOP, Story


def test_a_run_is_followed_from_its_start_to_its_end(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=0)
    story.tick()
    assert story.run(run_id).status == "in_progress"
    story.sim.order("finish", SHOP, run=run_id, conclusion="failure")
    story.tick(6)
    assert (story.run(run_id).status, story.run(run_id).conclusion) == ("completed", "failure")
    assert story.events_of(run_id) == ["build_queued", "build_started", "build_failed", "job_failed"]
    assert story.jobs_of(run_id, 1) == 2
    story.judge()


def test_nothing_new_costs_nothing(story: Story) -> None:
    story.sim.add_runs(SHOP, count=5, seconds=30)
    story.tick(64, times=8)
    story.sim.reset_counters()
    story.tick(64, times=10)
    counters = story.sim.counters()
    assert counters["calls"] >= 20
    assert counters["not_modified"] == counters["calls"]


def test_first_sight_is_history(story: Story) -> None:
    (run_id,) = story.sim.add_runs(SHOP, seconds=10, conclusion="failure")
    story.now += 600
    story.tick()
    historic = story.rows(sa.select(events.c.historic).where(events.c.run_id == run_id))
    assert [bool(row[0]) for row in historic] == [True] * len(historic)
    assert len(historic) >= 1


def test_after_a_short_stop_it_is_news_and_after_a_long_one_history(story: Story) -> None:
    story.tick(times=2)
    (soon,) = story.sim.add_runs(SHOP, seconds=10, conclusion="failure")
    story.restart()
    story.tick(1800)
    (late,) = story.sim.add_runs(SHOP, seconds=10, conclusion="failure")
    story.restart()
    story.tick(4000)
    told = {
        row.run_id: bool(row.historic) for row in story.rows(sa.select(events).where(events.c.type == "build_failed"))
    }
    assert told == {soon: False, late: True}


def test_G11_a_deleted_run_is_a_tombstone_after_two_404s(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=0)
    story.tick(times=2)
    story.sim.order("delete", SHOP, run=run_id)
    story.tick(16)
    assert story.run(run_id).missing_since is not None
    assert story.run(run_id).deleted_at is None
    story.tick(16)
    assert story.run(run_id).deleted_at is not None
    assert story.events_of(run_id)[-1] == "build_deleted"


def test_G11_no_tombstone_while_the_token_sees_nothing(story: Story) -> None:
    """I9: a token that lost its scope gets 404 for everything, and must delete nothing."""
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=0)
    story.tick(times=2)
    story.sim.order_fault("status", route=f"/runs/{run_id}", status=404, body={"message": "Not Found"}, times=None)
    story.sim.order_fault(
        "status", route="/repos/octo-harbor/shop$", status=404, body={"message": "Not Found"}, times=None
    )
    story.tick(16, times=5)
    assert story.run(run_id).deleted_at is None
    story.sim.clear_faults()
    story.tick(1000, times=3)
    assert story.run(run_id).missing_since is None


def test_G11_deleted_runs_are_found_by_the_sweep(story: Story) -> None:
    story.tick()
    ids = story.sim.add_runs(SHOP, count=40, seconds=10)
    story.tick(64, times=4)
    gone = ids[3:5]
    for run_id in gone:
        story.sim.order("delete", SHOP, run=run_id)
    story.now += 3700
    story.sweep_all()
    story.tick(64, times=4)
    assert story.run_ids() == set(ids) - set(gone)


def test_G12_no_run_is_missed_while_pages_shift(story: Story) -> None:
    story.tick(times=2)
    made = []
    for number in range(12):
        made += story.sim.add_runs(SHOP, count=1 + number * 9 % 50, seconds=20)
        # While page 1 is read, more arrive: what was on it is then on page 2 as well.
        made += story.sim.add_runs(SHOP, count=3, seconds=20)
        story.tick(64)
    story.tick(64, times=2)
    story.fill()
    assert story.run_ids() == set(made)
    story.judge()


def test_G12_a_walk_that_was_cut_leaves_a_gap_that_is_filled(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipemon.ingest.poll.MOST_PAGES", 2)
    story.tick(times=2)
    made = []
    for _ in range(10):
        made += story.sim.add_runs(SHOP, count=20, seconds=20)
        story.now += 60
    story.tick(64, times=2)
    assert story.run_ids() < set(made)
    story.fill()
    assert story.run_ids() == set(made)


def test_G14_an_empty_status_list_deletes_nothing(story: Story) -> None:
    story.tick()
    ids = story.sim.add_runs(SHOP, count=60, seconds=20)
    story.tick(64, times=4)
    story.sim.order_fault("empty_list", route="/actions/runs$", after=1, times=None)
    story.now += 3700
    story.sweep_all()
    story.sim.clear_faults()
    story.tick(64, times=4)
    assert story.run_ids() == set(ids)
    assert not any(story.run(run_id).missing_since for run_id in ids)


def test_G15_every_attempt_keeps_its_own_end_and_jobs(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=30, conclusion="failure")
    story.tick(64, times=2)
    story.sim.order("rerun", SHOP, run=run_id, failed_only=True, seconds=30)
    story.tick(10)
    assert story.run(run_id).status != "completed"
    story.tick(64, times=2)
    assert story.attempts_of(run_id) == [(1, "completed", "failure"), (2, "completed", "success")]
    assert (story.jobs_of(run_id, 1), story.jobs_of(run_id, 2)) == (2, 2)
    story.judge()


def test_G15_attempts_nobody_saw_are_read_afterwards(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=5, conclusion="failure")
    for _ in range(3):
        story.now += 20
        story.sim.order("rerun", SHOP, run=run_id, seconds=5, conclusion="failure")
    story.now += 20
    story.sim.order("rerun", SHOP, run=run_id, seconds=5)
    story.tick(64, times=3)
    assert [conclusion for _, _, conclusion in story.attempts_of(run_id)] == ["failure"] * 4 + ["success"]
    story.judge()


def test_a_rerun_of_an_old_run_is_found_by_the_status_lists(story: Story) -> None:
    story.tick()
    (old,) = story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    story.tick(64, times=2)
    story.sim.add_runs(SHOP, count=120, seconds=20)
    story.tick(64, times=3)
    story.sim.order("rerun", SHOP, run=old, seconds=200)
    story.tick(64, times=1)
    assert story.run(old).run_attempt == 2
    story.tick(64, times=6)
    assert story.attempts_of(old) == [(1, "completed", "failure"), (2, "completed", "success")]


def test_a_rerun_that_was_over_before_anybody_looked_is_found_within_the_hour(story: Story) -> None:
    story.tick()
    (old,) = story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    story.tick(64, times=2)
    story.sim.add_runs(SHOP, count=120, seconds=20)
    story.tick(64, times=3)
    story.sweep_all()
    story.sim.order("rerun", SHOP, run=old, seconds=5)
    story.now += 3700
    story.sweep_all()
    story.tick(64, times=2)
    assert story.attempts_of(old) == [(1, "completed", "failure"), (2, "completed", "success")]


def old_failed_run(story: Story) -> int:
    """Return a run that the newest pages no longer show, swept a minute ago."""
    story.tick()
    (old,) = story.sim.add_runs(SHOP, seconds=20, conclusion="failure")
    story.tick(64, times=2)
    story.sim.add_runs(SHOP, count=120, seconds=20)
    story.tick(64, times=3)
    story.sweep_all()
    return old


def test_a_rerun_that_was_over_before_a_restart_is_found_at_once(story: Story) -> None:
    old = old_failed_run(story)
    story.sim.order("rerun", SHOP, run=old, seconds=5)
    story.now += 20
    story.restart()
    story.tick(1)
    story.sweep_all()
    assert story.attempts_of(old) == [(1, "completed", "failure"), (2, "completed", "success")]


def test_a_rerun_that_was_over_before_an_outage_ended_is_found_at_once(story: Story) -> None:
    old = old_failed_run(story)
    story.sim.order_fault("status", status=502, times=None)
    story.tick(100, times=12)
    story.sim.order("rerun", SHOP, run=old, seconds=5)
    story.now += 20
    story.sim.clear_faults()
    story.sweep_all()
    assert len(story.attempts_of(old)) == 1
    story.tick(1200)
    story.sweep_all()
    assert story.attempts_of(old) == [(1, "completed", "failure"), (2, "completed", "success")]


def test_what_the_sweep_has_read_to_its_end_the_backfill_leaves_alone(story: Story) -> None:
    story.sim.add_runs(SHOP, count=120, seconds=20)
    story.now += 2 * 86400
    story.tick()
    story.sweep_all()
    story.sim.reset_counters()
    story.fill_pages()
    assert story.run_ids() == {run["id"] for run in story.sim.truth(SHOP)}
    assert story.sim.counters()["by_route"].get("GET runs", 0) == 0


def test_an_idle_sweep_is_nearly_free(story: Story) -> None:
    story.tick()
    story.sim.add_runs(SHOP, count=50, seconds=20)
    story.tick(64, times=3)
    story.sweep_all()
    story.sim.reset_counters()
    story.now += 3700
    story.sweep_all()
    counters = story.sim.counters()
    assert counters["calls"] >= 1
    assert counters["not_modified"] >= counters["calls"] - 1


def test_G16_a_run_behind_a_stale_list_is_not_stuck(story: Story) -> None:
    story.tick()
    (run_id,) = story.sim.add_runs(SHOP, seconds=0)
    story.tick(times=2)
    story.sim.order("finish", SHOP, run=run_id)
    story.sim.order_fault("stale_etag", route="/actions/runs$", times=None)
    story.tick(16, times=2)
    assert story.run(run_id).status == "completed"


def test_G16_runs_by_id_are_bounded_and_each_has_its_turn(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "MOST_READS", 5)
    story.tick()
    ids = story.sim.add_runs(SHOP, count=15, seconds=0)
    story.tick()
    for run_id in ids:
        story.sim.order("finish", SHOP, run=run_id)
    story.sim.order_fault("stale_etag", route="/actions/runs$", times=None)
    story.sim.reset_counters()
    story.tick(64)
    assert story.sim.counters()["by_route"]["GET run"] == 5
    story.tick(64, times=3)
    assert {story.run(run_id).status for run_id in ids} == {"completed"}


def test_a_page_that_was_cached_and_not_applied_is_applied_at_the_next_304(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN: nothing is lost between cache and database."""
    story.tick(times=2)
    (run_id,) = story.sim.add_runs(SHOP, seconds=600)

    def die(*args: object) -> None:
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr("pipemon.ingest.reader.apply", die)
        with pytest.raises(SystemExit):
            story.tick()
    assert story.run_ids() == set()
    story.restart()
    story.tick(1)
    assert story.run_ids() == {run_id}
    assert story.sim.counters()["not_modified"] >= 1


def test_coverage_grows_with_each_read_and_shows_the_gap_of_a_stop(story: Story) -> None:
    story.tick(times=3)
    with story.db.read() as conn:
        (repo,) = repositories.list_watched(conn)
        assert coverage.list_ranges(conn, repo.id) == [Range(0, int(story.now))]


def test_G10_a_refused_token_stops_the_calls_and_a_new_one_goes_on(new_story: Callable[..., Story]) -> None:
    story = new_story()
    story.tick(times=2)
    story.sim.revoke("ghp_" + "s" * 36)
    story.tick(64)
    story.sim.reset_counters()
    story.tick(1, times=50)
    assert story.sim.counters()["calls"] <= 2
    assert "token" in (story.rows(sa.select(repositories_table.c.last_error))[0][0] or "")
    story.sim.clear_faults()
    story.tick(64, times=2)
    assert story.rows(sa.select(repositories_table.c.last_error))[0][0] is None


def test_G2_nothing_is_called_in_a_forbidden_window_also_after_a_restart(story: Story) -> None:
    story.tick(times=2)
    for episode in range(10):
        story.sim.order_fault(
            "status",
            status=403,
            headers={"Retry-After": str(60 + episode)},
            body={"message": "You have exceeded a secondary rate limit"},
        )
        story.tick(64)
        if episode % 2:
            story.restart()
        story.tick(5, times=15)
    assert story.sim.counters()["forbidden"] == 0
    story.tick(120, times=2)
    assert story.rows(sa.select(repositories_table.c.last_error))[0][0] is None


def test_G1_a_tenth_of_errors_loses_nothing(story: Story) -> None:
    story.tick()
    story.sim.order_fault("status", status=502, probability=0.1, times=None)
    ids = []
    for _ in range(10):
        ids += story.sim.add_runs(SHOP, seconds=30, conclusion="failure")
        story.tick(64)
    story.sim.clear_faults()
    story.tick(1000, times=3)
    assert story.run_ids() == set(ids)
    story.judge()


def test_G5_a_small_budget_lasts_the_hour_and_leaves_the_reserve_to_people(new_story: Callable[..., Story]) -> None:
    story = new_story(rate_limit=200)
    story.tick()
    story.sim.add_runs(SHOP, count=20, seconds=0)
    story.tick(10, times=330)
    counters = story.sim.counters()
    assert counters["counted"] <= 180
    assert counters["forbidden"] == 0
    assert story.poller.plan.detail_seconds > story.poller._floors.detail_seconds
    assert story.github.repository(SHOP, purpose="people").name == SHOP
