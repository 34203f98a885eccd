"""THE write path, on both engines: state and log together, each transition once, nothing written twice."""

import json
import random
from dataclasses import replace

import gevent
import pytest
import sqlalchemy as sa

from pipemon import turns
from pipemon.domain.coverage import Range
from pipemon.domain.runs import JobList, Run
from pipemon.ingest.apply import Applied, Batch, Sighting, apply
from pipemon.store import coverage, events, repositories, runs, state
from pipemon.store.engine import Database
from pipemon.store.schema import events as events_table
from pipemon.store.schema import runs as runs_table
from tests.builders import a_job, a_run
from tests.domain.test_merge import history

NOW = 1_760_000_000


@pytest.fixture
def repo(database: Database) -> int:
    database.transact(lambda conn: repositories.watch(conn, ["octo/shop"]))
    with database.read() as conn:
        return repositories.list_watched(conn)[0].id


def put(database: Database, batch: Batch, now: int = NOW) -> Applied:
    return database.transact(lambda conn: apply(conn, batch, now))


def log_of(database: Database) -> list[tuple[int, str, bool]]:
    with database.read() as conn:
        return [(row.id, row.type, bool(row.historic)) for row in events.list_after(conn, 0, 1000)]


def stored(database: Database, run_id: int) -> Run:
    with database.read() as conn:
        return runs.load_runs(conn, [run_id])[run_id]


def test_a_run_and_its_events_are_stored_as_one(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="in_progress")
    put(database, Batch(repo, live_since=0, runs=(Sighting(run),)))
    assert stored(database, run.id) == run
    assert log_of(database) == [(1, "build_queued", False), (2, "build_started", False), (3, "pipeline_updated", False)]


def test_applying_again_changes_nothing(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="completed", conclusion="failure")
    batch = Batch(repo, live_since=0, runs=(Sighting(run),), jobs=(JobList(run.id, 1, (a_job(run),), complete=True),))
    put(database, batch)
    before = log_of(database)
    with database.read() as conn:
        position = events.position(conn)
    assert put(database, batch) == Applied(0, 0, 0)
    with database.read() as conn:
        assert events.position(conn) == position
    assert log_of(database) == before


def test_a_large_batch_gives_turns_and_shows_nothing_before_its_commit(
    database: Database, repo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "STRETCH_SECONDS", 0)
    seen: list[int] = []

    def look() -> None:
        while True:
            with database.read() as conn:
                seen.append(conn.execute(sa.select(sa.func.count()).select_from(runs_table)).scalar_one())
            gevent.sleep(0)

    watcher = gevent.spawn(look)
    put(database, Batch(repo, runs=tuple(Sighting(a_run(id=number, run_number=number)) for number in range(1, 41))))
    before = list(seen)
    watcher.kill()
    assert len(before) > 40
    assert set(before) == {0}


def test_turns_are_given_between_the_parts_of_a_batch_and_between_its_lines(
    database: Database, repo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {"pipemon.ingest.apply": 0, "pipemon.store.incidents": 0}
    for module in taken:

        class Counted(turns.Stretch):
            own = module

            def rest(self) -> None:
                taken[self.own] += 1

        monkeypatch.setattr(f"{module}.Stretch", Counted)
    seen = [a_run(id=number, run_number=number, branch=f"b{number}", conclusion="failure") for number in range(1, 31)]
    put(database, Batch(repo, runs=tuple(map(Sighting, seen))))
    assert taken["pipemon.ingest.apply"] >= 7
    assert taken["pipemon.store.incidents"] >= 30


def test_a_stretch_rests_no_longer_than_a_second_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now, given = [0.0], list[float]()
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(turns, "give_turn", lambda: given.append(now[0]))
    stretch = turns.Stretch()
    for at in (0.001, 0.5, 0.504, 0.6, 1.5, 2.0):
        now[0] = at
        stretch.rest()
    assert given == [0.5, 0.6]


def test_a_failure_in_the_middle_leaves_neither_state_nor_event(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop")

    def torn(conn: sa.Connection) -> None:
        apply(conn, Batch(repo, live_since=0, runs=(Sighting(run),)), NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.transact(torn)
    assert log_of(database) == []
    with database.read() as conn:
        assert runs.load_runs(conn, [run.id]) == {}
        assert events.position(conn).last_id == 0


def test_ids_have_no_gap_after_a_rollback(database: Database, repo: int) -> None:
    test_a_failure_in_the_middle_leaves_neither_state_nor_event(database, repo)
    put(database, Batch(repo, live_since=0, runs=(Sighting(a_run(repository="octo/shop", status="queued")),)))
    assert [event_id for event_id, _, _ in log_of(database)] == [1, 2]


def test_history_is_logged_and_marked(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="completed", conclusion="failure")
    put(database, Batch(repo, live_since=None, runs=(Sighting(run),)))
    assert log_of(database) == [(1, "build_failed", True)]


def test_jobs_give_the_duration_and_tell_failures(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="completed", conclusion="failure")
    start = run.started_at or 0
    job = a_job(run, conclusion="failure", started_at=start + 5, completed_at=start + 65)
    put(database, Batch(repo, live_since=0, runs=(Sighting(replace(run, updated_at=start + 500)),)))
    put(database, Batch(repo, live_since=0, jobs=(JobList(run.id, 1, (job,), complete=True),)))
    with database.read() as conn:
        attempt = runs.load_attempts(conn, [run.id])[run.id][1]
    assert (attempt.times.duration_seconds, attempt.times.duration_source) == (65, "jobs")
    assert attempt.jobs_complete
    assert [kind for _, kind, _ in log_of(database)][-1] == "job_failed"


def test_an_unfinished_job_of_a_finished_run_is_read_again_for_an_hour(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="completed", conclusion="success")
    job = a_job(run, status="in_progress", conclusion=None, completed_at=None)
    jobs = JobList(run.id, 1, (job,), complete=True)
    put(database, Batch(repo, None, runs=(Sighting(run),), jobs=(jobs,)), now=run.updated_at + 3600)
    with database.read() as conn:
        assert not runs.load_attempts(conn, [run.id])[run.id][1].jobs_complete
    put(database, Batch(repo, None, jobs=(jobs,)), now=run.updated_at + 3601)
    with database.read() as conn:
        assert runs.load_attempts(conn, [run.id])[run.id][1].jobs_complete


def test_G15_the_jobs_of_a_superseded_attempt_are_not_its_end(database: Database, repo: int) -> None:
    """Its run was rerun between the reading of the run and of its jobs: how it ended must still be read."""
    first = a_run(repository="octo/shop", status="in_progress")
    again = replace(first, run_attempt=2, status="completed", conclusion="failure", updated_at=first.updated_at + 90)
    jobs = JobList(first.id, 1, (a_job(first, status="completed", conclusion="success"),), complete=True)
    put(database, Batch(repo, live_since=0, runs=(Sighting(first),)))
    put(database, Batch(repo, live_since=0, runs=(Sighting(again, by_id=True),)))
    put(database, Batch(repo, live_since=0, jobs=(jobs,)))
    with database.read() as conn:
        assert (first.id, 1, "in_progress") in [
            (one.run_id, one.run_attempt, one.status) for one in runs.list_wanting(conn, repo, limit=9)
        ]
    # Asked for by its own address, what GitHub says then is all that will ever be known.
    put(database, Batch(repo, live_since=0, jobs=(jobs,), asked=frozenset({(first.id, 1)})))
    with database.read() as conn:
        assert [one.run_attempt for one in runs.list_wanting(conn, repo, limit=9)] == [2]


def test_progress_is_told_as_jobs_end(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="in_progress")
    first, second = a_job(run, status="completed", conclusion="success"), a_job(run, status="in_progress")
    put(database, Batch(repo, live_since=0, runs=(Sighting(run),), jobs=(JobList(run.id, 1, (first, second)),)))
    with database.read() as conn:
        (last,) = events.list_after(conn, 0, 100, ["build_progress"])
    assert (json.loads(last.data)["jobs_completed"], json.loads(last.data)["jobs_total"]) == (1, 2)


def test_etag_and_coverage_commit_with_the_runs(database: Database, repo: int) -> None:
    put(database, Batch(repo, None, etags={"octo/shop/runs": 'W/"1"'}, covered=Range(0, 50)))
    with database.read() as conn:
        assert state.applied_etags(conn, ["octo/shop/runs", "other"]) == {"octo/shop/runs": 'W/"1"'}
        assert coverage.list_ranges(conn, repo) == [Range(0, 50)]


def test_tombstone_keeps_history_and_is_taken_back_when_the_run_is_seen(database: Database, repo: int) -> None:
    run = a_run(repository="octo/shop", status="completed", conclusion="success")
    put(database, Batch(repo, 0, runs=(Sighting(run),)))
    put(database, Batch(repo, 0, missing=(run.id,)))
    with database.read() as conn:
        assert [u.run_id for u in runs.list_unfinished(conn, repo)] == [run.id]
    put(database, Batch(repo, 0, gone=(run.id,)))
    assert stored(database, run.id) == run
    with database.read() as conn:
        assert runs.list_unfinished(conn, repo) == []
        assert runs.list_ids(conn, repo, 0, 2**40) == set()
    put(database, Batch(repo, 0, runs=(Sighting(run),)))
    with database.read() as conn:
        assert runs.list_ids(conn, repo, 0, 2**40) == {run.id}
    assert [kind for _, kind, _ in log_of(database)][-4:] == [
        "build_deleted", "pipeline_updated", "build_updated", "pipeline_updated",
    ]  # fmt: skip


def test_W1_histories_in_any_order_end_alike_and_fold_to_the_state(database: Database, repo: int) -> None:
    for number in range(60):
        rng = random.Random(number)
        states, truth, last = history(rng)
        run_id = 50_000_000_000 + number
        observed = [replace(s, id=run_id) for s in states * 2 if rng.random() > 0.3]
        rng.shuffle(observed)
        for observation in observed:
            put(database, Batch(repo, live_since=0, runs=(Sighting(observation),)))
        for observation in last:
            put(database, Batch(repo, live_since=0, runs=(Sighting(replace(observation, id=run_id), by_id=True),)))
        final = stored(database, run_id)
        assert (final.run_attempt, final.status, final.conclusion) == (
            truth.run_attempt, truth.status, truth.conclusion,
        ), f"seed {number}"  # fmt: skip
        with database.read() as conn:
            log = [json.loads(row.data) for row in conn.execute(
                sa.select(events_table.c.data).where(events_table.c.run_id == run_id).order_by(events_table.c.id)
            )]  # fmt: skip
        folded = max(log, key=lambda data: data["run_attempt"])["run_attempt"]
        tail = [data for data in log if data["run_attempt"] == folded][-1]
        assert (tail["run_attempt"], tail["status"], tail["conclusion"]) == (
            truth.run_attempt, truth.status, truth.conclusion,
        ), f"seed {number}"  # fmt: skip
