"""States and events as the write path, the plan, the leases and the position file make them."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa

from pipemon.domain.events import Event
from pipemon.github.errors import BadToken, LimitReached
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.ingest.backfill import progress
from pipemon.ingest.discovery import Discovery
from pipemon.ingest.plan import Budget, Floors, Load, make_plan
from pipemon.store import events, repositories, state
from pipemon.store.engine import Database
from pipemon.store.position import Sidecar
from pipemon.store.schema import events as events_table
from pipemon.store.schema import http_etags
from pipemon.store.schema import repositories as repositories_table
from tests.builders import T0, a_run
from tests.github.conftest import Make
from tests.github.loopback import Loopback, http
from tests.github.test_auth import App, token_of
from tests.ingest.conftest import SHOP, Story


def watched(db: Database) -> repositories.Watched:
    with db.read() as conn:
        return repositories.list_watched(conn)[0]


def types(story: Story, run_id: int) -> list[str]:
    return story.events_of(run_id)


def put(story: Story, *seen: Sighting) -> None:
    repo = watched(story.db)
    for one in seen:
        batch = Batch(repo.id, live_since=0, runs=(one,))
        story.db.transact(lambda conn, batch=batch: apply(conn, batch, T0))


def test_I1_a_run_that_goes_on_after_an_approval_is_told(story: Story) -> None:
    """in_progress -> waiting (an environment asks for approval) -> in_progress: the log folds to the state."""
    steps = [("in_progress", 10), ("waiting", 20), ("in_progress", 30)]
    for status, at in steps:
        put(story, Sighting(a_run(id=5, repository=SHOP, status=status, updated_at=T0 + at), by_id=True))
    assert story.run(5).status == "in_progress"
    assert types(story, 5)[-1] == "build_started"


def test_a_run_that_was_approved_is_followed(story: Story) -> None:
    """A fork's first run is completed with action_required until somebody approves it; then the same attempt runs."""
    for status, conclusion, at in [
        ("completed", "action_required", 10),
        ("in_progress", None, 3000),
        ("completed", "failure", 3600),
    ]:
        run = a_run(id=5, repository=SHOP, status=status, conclusion=conclusion, updated_at=T0 + at)
        put(story, Sighting(run))
    assert story.run(5).conclusion == "failure"


def test_I2_two_ends_in_a_list_come_to_the_same_in_either_order(new_story: Callable[..., Story]) -> None:
    ends = [
        Sighting(a_run(id=5, repository=SHOP, conclusion=conclusion, updated_at=T0 + at))
        for conclusion, at in [("cancelled", 100), ("failure", 200)]
    ]
    found = []
    for order in (ends, ends[::-1]):
        story = new_story()
        put(story, *order)
        found.append(story.run(5).conclusion)
    assert found[0] == found[1]


def test_G5_an_interval_does_not_reach_far_beyond_the_reset() -> None:
    load = Load(active=20, idle=100, unfinished=20)
    plan = make_plan(load, Budget(left=1, seconds=30), Floors(5, 60))
    assert plan.active_seconds <= 30 + Floors(5, 60).idle_seconds


@pytest.mark.parametrize("what", ["record_failure", "mark_swept"])
def test_S8_a_process_without_the_lease_writes_nothing(
    story: Story, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.tick(times=2)
    repo = watched(story.db)

    def refuse(conn: sa.Connection) -> None:
        raise state.LeaseLost("another process reads")

    object.__setattr__(story.deps, "guard", refuse)
    if what == "record_failure":

        def fail(*_: object, **__: object) -> None:
            raise BadToken("revoked")

        monkeypatch.setattr(story.github, "newest_runs", fail)
        with pytest.raises(state.LeaseLost):
            story.tick()
        row = story.rows(sa.select(repositories_table.c.last_error))[0]
        assert row.last_error is None
    else:
        story.sweep._under_way[repo.id] = iter(())
        with pytest.raises(state.LeaseLost):
            story.sweep._step(repo)
        assert watched(story.db).swept_at is None


def test_S4_a_folder_written_back_over_itself_gets_a_new_epoch(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cp backup/* data/` keeps the inodes, and the note is as old as the log."""
    path = tmp_path / "pipemon.sqlite3"
    shutil.copy(sqlite_template, path)

    def grow(first: int, count: int) -> None:
        db = Database(f"sqlite:///{path}")
        Sidecar(path).settle(db)
        news = [Event("build_queued", "builds", SHOP, f"k{n}", 0) for n in range(first, first + count)]
        db.transact(lambda conn: events.append(conn, news, 0))
        Sidecar(path).note(db)
        db.close()

    grow(0, 5)
    backup = tmp_path / "backup"
    backup.mkdir()
    for part in tmp_path.glob("pipemon.sqlite3*"):
        shutil.copy(part, backup)
    grow(5, 50)
    # Copies are made later than what they are copies of.
    monkeypatch.setattr("pipemon.store.position.WRITING_SECONDS", 0.05)
    time.sleep(0.1)
    for part in tmp_path.glob("pipemon.sqlite3-*"):
        part.unlink()
    for part in backup.iterdir():
        shutil.copy(part, tmp_path / part.name)
    db = Database(f"sqlite:///{path}")
    try:
        assert Sidecar(path).settle(db)
    finally:
        db.close()


def test_I8_applied_etags_do_not_grow_for_ever(story: Story) -> None:
    story.tick()
    for _ in range(10):
        story.sim.add_runs(SHOP, count=2, seconds=30)
        story.tick(10)
        story.tick(64)
    story.now += 400 * 86400
    story.tick(64, times=3)
    story.sweep_all()
    old = story.rows(sa.select(http_etags.c.url).where(http_etags.c.url.contains("/attempts/")))
    assert old == []


@pytest.mark.parametrize("link", ["https://ghes.example/api/v3/repositories/1/actions/runs?page=2"])
def test_a_next_page_that_may_not_be_followed_is_not_the_last_page(make: Make, link: str) -> None:
    """GITHUB_API_URL is an inner address, GitHub Enterprise names its public one in Link."""
    with Loopback() as loopback:
        body = json.dumps({"total_count": 250, "workflow_runs": []}).encode()
        loopback.script = [http(200, body, Link=f'<{link}>; rel="next"')]
        try:
            page = make(loopback.url).runs_created("o/r", 0, 1000)
        except Exception:
            return
        assert page.next_url is not None, "runs_created says that this was all; the backfill covers the window"


def test_coverage_is_not_claimed_for_a_window_of_which_runs_are_lacking(story: Story) -> None:
    """A page without Link, or an index that lags: 250 are counted and 100 were shown."""
    story.sim.add_runs(SHOP, count=250, seconds=10)
    story.now += 86400 * 3
    story.tick()
    real = story.github.runs_created

    def without_link(*args: object, **options: object) -> object:
        return replace(real(*args, **options), next_url=None)  # type: ignore[arg-type]

    story.github.runs_created = without_link  # type: ignore[method-assign, assignment]
    story.fill_pages()
    with story.db.read() as conn:
        (done,) = progress(conn, 30, int(story.now))
    assert len(story.run_ids()) == 250 or not done.complete


def test_events_of_one_page_come_in_the_order_in_which_they_happened(story: Story) -> None:
    story.tick(times=2)
    story.sim.add_runs(SHOP, count=1, seconds=1, conclusion="failure")
    story.now += 20
    story.sim.add_runs(SHOP, count=1, seconds=1, conclusion="success")
    story.tick(64)
    ends = story.rows(
        sa.select(events_table.c.occurred_at)
        .where(events_table.c.dedupe_key.like("run:%completed"), sa.not_(events_table.c.historic))
        .order_by(events_table.c.id)
    )
    moments = [row[0] for row in ends]
    assert len(moments) == 2
    assert moments == sorted(moments)


def test_G3_a_limit_on_making_a_token_closes_the_gate(make: Make, key: rsa.RSAPrivateKey) -> None:
    with Loopback() as loopback:
        app = App(key, loopback)
        late = {"Retry_After": "3600", "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}
        loopback.script = [http(429, b'{"message": "You have exceeded a secondary rate limit"}', **late)]
        client = make(loopback.url, tokens=token_of(app))
        with pytest.raises(LimitReached):
            client.newest_runs("o/r")


def test_an_owner_of_whom_a_token_sees_less_keeps_its_repositories(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GITHUB_REPO=*: a token that lost its scope gets a 200 with the public repositories only, here none."""
    story.tick(times=2)
    discovery = Discovery(story.deps, "octo-harbor", story.clock)
    monkeypatch.setattr(story.github, "owned_repositories", lambda owner: ())
    discovery.step()
    with story.db.read() as conn:
        assert [repo.name for repo in repositories.list_watched(conn)] == [SHOP]


@pytest.mark.parametrize("step", ["poll", "history", "jobs"])
def test_S8_a_process_that_lost_the_lease_stores_nothing_of_what_it_reads(story: Story, step: str) -> None:
    story.sim.add_runs(SHOP, count=150, seconds=10)
    story.now += 86400
    if step != "poll":
        story.tick()
    if step == "jobs":
        story.fill_pages()
    before = (story.run_ids(), story.rows(sa.select(sa.func.count()).select_from(events_table)))

    def refuse(conn: sa.Connection) -> None:
        raise state.LeaseLost("another process reads")

    object.__setattr__(story.deps, "guard", refuse)
    with pytest.raises(state.LeaseLost):
        story.tick() if step == "poll" else story.backfill.step()
    assert before == (story.run_ids(), story.rows(sa.select(sa.func.count()).select_from(events_table)))
    assert not [run_id for run_id in before[0] if story.jobs_of(run_id, 1)]
