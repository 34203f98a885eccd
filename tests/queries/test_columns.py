"""The pages: whatever is stored, kept in memory, touched or neither, an answer is what the rows say."""

import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from pipemon.domain.runs import JobList
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.queries import analytics, comparison, cost, flaky, pages, queue, recoveries, whole
from pipemon.queries import signatures as reasons
from pipemon.queries import window as pipemon_window
from pipemon.queries.chosen import chosen
from pipemon.queries.columns import _KEPT, Columns
from pipemon.queries.kept import ADDITIONS, Kept
from pipemon.queries.pages import PARTS
from pipemon.queries.sealer import Sealer, rebuild
from pipemon.queries.window import Window
from pipemon.store import days as store
from pipemon.store import repositories
from pipemon.store.days import DAY
from pipemon.store.engine import Database
from pipemon.store.schema import jobs, runs
from pipemon.store.schema_rollups import days
from pipemon.store.schema_rollups import pages as stored
from tests.builders import T0
from tests.builders import a_job as seen_job
from tests.builders import a_run as seen_run
from tests.queries.conftest import NOW, everything
from tests.queries.test_analytics import make
from tests.rows import a_failure, a_job, a_repository, a_run, change
from tests.store.test_incidents import clear, history

EXCLUDED = ("exclu*",)
ASKED: tuple[Callable[[Database, Window], Any], ...] = (
    analytics.overview,
    analytics.trends,
    recoveries.recovery,
    whole.failures,
    whole.performance,
    comparison.comparison,
    flaky.flakiness,
    queue.queues,
    reasons.signatures,
    lambda db, window: cost.cost(db, window, {"ubuntu-*": 0.006}),
)
LATER = T0 + 60 * DAY
SOME = sa.select(runs.c.id, runs.c.created_at).order_by(runs.c.id)


def far(db: Database, seed: int) -> None:
    """Store a random world, and move its runs so that it lasts a hundred days."""
    world, _, done = make(db, seed)
    moved = runs.update().values(created_at=T0 - (T0 - runs.c.created_at) * 33 - runs.c.id % 9)
    change(db, moved, jobs.update().values(conclusion="failure").where(jobs.c.id % 5 == 0))
    by_id = {run["id"]: run for run in world.rows}
    for job in done[:40]:
        if job["conclusion"] == "failure":
            a_failure(db, by_id[job["run_id"]], job, signature=random.Random(job["id"]).choice(["a" * 16, "b" * 16]))


def seal_all(db: Database) -> int:
    sealer, done = Sealer(db, lambda: LATER), 0
    while found := sealer.step():
        done += found
    return done


def forget_memory(db: Database) -> None:
    """As a new process: nothing is kept."""
    _KEPT.pop(db, None)


def windows(db: Database, rng: random.Random) -> list[Window]:
    found = []
    spans: list[tuple[int, dict[str, Any]]] = [(101, {}), (60, {"branch": "main"}), (1, {}), (9, {"event": "push"})]
    spans += [(rng.randrange(1, 90), {"pull_requests": False}), (100, {"workflow": "CI"}), (100, {"branch": "no"})]
    for length, filters in spans:
        end = T0 - rng.randrange(2 * DAY)
        scope = everything(db, created_from=end - length * DAY, created_to=end, exclude_workflows=EXCLUDED, **filters)
        found.append(Window(scope, length, NOW.__class__(end, "fresh", 0)))
    return found


def told(db: Database, asked: list[Window]) -> list[Any]:
    return [ask(db, window) for window in asked for ask in ASKED]


@pytest.mark.parametrize("seed", range(2))
def test_answers_are_the_same_from_rows_from_memory_and_from_stored_pages(database: Database, seed: int) -> None:
    far(database, seed)
    asked = windows(database, random.Random(seed))
    from_rows = told(database, asked)
    assert told(database, asked) == from_rows  # from memory
    assert seal_all(database) > 30
    forget_memory(database)
    assert told(database, asked) == from_rows  # from pages
    assert seal_all(database) == 0


def test_stored_pages_are_read_in_place_of_the_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))
    seal_all(database)
    expected = told(database, asked)
    forget_memory(database)

    def no_rows(part: str, rows: object) -> None:
        raise AssertionError("the rows were read")

    monkeypatch.setattr("pipemon.queries.columns.make", no_rows)
    assert told(database, asked) == expected


def test_a_change_is_seen_at_once_and_its_day_is_sealed_anew(database: Database) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))[:2]
    seal_all(database)
    told(database, asked)
    rng = random.Random(9)
    for _ in range(3):
        with database.read() as conn:
            shown = (runs.c.repository_id < 3, runs.c.workflow_id < 10, runs.c.deleted_at.is_(None))
            ended = (runs.c.status == "completed", runs.c.created_at < T0 - 3 * DAY)
            some = rng.sample(conn.execute(SOME.where(*shown, *ended)).all(), 4)
        ids = [run_id for run_id, _ in some]
        before = told(database, asked)

        def work(conn: sa.Connection, some: list[Any] = some, ids: list[int] = ids) -> None:
            conn.execute(sa.update(runs).where(runs.c.id.in_(ids[:2])).values(conclusion="timed_out", author="Zoe"))
            conn.execute(sa.update(runs).where(runs.c.id.in_(ids[2:])).values(deleted_at=T0))
            conn.execute(sa.update(jobs).where(jobs.c.run_id.in_(ids)).values(conclusion="failure"))
            store.touch(conn, [at for _, at in some])

        database.transact(work)
        now = told(database, asked)
        assert now != before
        forget_memory(database)
        database.transact(store.forget)
        assert told(database, asked) == now
        assert seal_all(database) > 0
        forget_memory(database)
        assert told(database, asked) == now


@pytest.mark.parametrize("seed", range(6))
def test_what_a_batch_changes_is_seen(database: Database, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3):
        history(database, rng)  # through ingest.apply
        scope = everything(database, created_from=T0 - 3 * DAY, created_to=T0 + 3 * DAY, exclude_workflows=EXCLUDED)
        asked = [Window(scope, 6, NOW.__class__(T0 + 3 * DAY, "fresh", 0))]
        answer = told(database, asked)
        forget_memory(database)
        database.transact(store.forget)
        assert told(database, asked) == answer
        seal_all(database)
        assert told(database, asked) == answer


def test_a_day_that_changes_while_it_is_sealed_is_not_sealed(database: Database) -> None:
    far(database, 1)
    sealer = Sealer(database, lambda: LATER)
    rows = sealer._rows

    def late(part: str, day: int) -> Any:
        found = rows(part, day)
        database.transact(lambda conn: store.touch(conn, [day * DAY]))
        return found

    sealer._rows = late  # type: ignore[method-assign]
    assert sealer.step() == 0
    with database.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(stored)).scalar_one() == 0


def test_a_page_of_another_format_is_not_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))[:1]
    expected = told(database, asked)
    seal_all(database)
    change_body = sa.update(stored).values(body=b"not a page of this release")
    database.transact(lambda conn: conn.execute(change_body))
    database.transact(lambda conn: conn.execute(sa.update(days).values(format=pages.FORMAT + 1)))
    forget_memory(database)
    assert told(database, asked) == expected
    assert seal_all(database) > 30


@pytest.mark.parametrize("body", [b"", b"not a page", zlib.compress(b"\0\0\0\x02{}"), zlib.compress(b"\0\0\0\x09{1}")])
def test_a_damaged_page_is_made_anew_from_the_rows(database: Database, body: bytes) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))[:1]
    expected = told(database, asked)
    seal_all(database)
    database.transact(lambda conn: conn.execute(sa.update(stored).values(body=body)))
    forget_memory(database)
    assert told(database, asked) == expected


def test_a_run_that_is_superseded_from_the_next_day_is_seen(database: Database) -> None:
    a_repository(database)
    late = T0 // DAY * DAY - 60
    run = a_run(database, created_at=late, conclusion="cancelled", completed_at=late + 300, run_number=1)
    a_job(database, run, conclusion="cancelled")
    scope = everything(database, created_from=T0 - 10 * DAY, created_to=T0)
    window = Window(scope, 10, NOW)
    assert cost.cost(database, window, {}).bill.parts.keys() == {"cancelled"}
    seal_all(database)
    a_run(database, created_at=late + 120, run_number=2)
    assert cost.cost(database, window, {}).bill.parts.keys() == {"superseded"}
    assert seal_all(database) >= 1
    forget_memory(database)
    assert cost.cost(database, window, {}).bill.parts.keys() == {"superseded"}


def test_memory_has_a_cap(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))
    expected = told(database, asked)
    monkeypatch.setattr("pipemon.queries.columns.MOST_BYTES", 1)
    assert told(database, asked) == expected
    last = asked[2].scope
    assert last.created_to is not None
    columns = _KEPT[database]
    columns._states.clear()
    columns.blocks(database, "runs", last.created_to - 60, last.created_to)
    assert len(columns._blocks["runs"]) == 1


def test_what_was_made_of_whole_days_is_kept_for_any_window(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))[:2]
    told(database, asked)
    assert len(_KEPT[database].kept._known) > 50
    made: list[int] = []
    monkeypatch.setattr(Kept, "keep", lambda self, key, value: made.append(key[1]))
    later = [replace(one, scope=replace(one.scope, created_to=(one.scope.created_to or 0) - 60)) for one in asked]
    told(database, later)
    assert made == []


def test_what_is_kept_is_what_would_be_made(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 2)
    asked = windows(database, random.Random(2))
    with_it = told(database, asked)
    monkeypatch.setattr(Kept, "find", lambda self, key: None)
    assert told(database, asked) == with_it


def test_a_month_without_runs_lets_nothing_be_made_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    a_repository(database)
    for days_ago in (170, 100, 3, 1):
        a_run(database, created_at=T0 - days_ago * DAY)
    window = Window(everything(database, created_from=T0 - 160 * DAY, created_to=T0), 160, NOW)
    analytics.trends(database, window)
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Kept, "keep", lambda self, key, value: made.append(key))
    assert analytics.trends(database, window).basis.n == 3
    assert made == []


def test_a_word_that_comes_meanwhile_stops_no_answer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 1)
    window = windows(database, random.Random(1))[0]
    expected = analytics.trends(database, window)
    forget_memory(database)
    count_of_part = pipemon_window._ended

    def slowly(part: Any, starts: tuple[int, ...]) -> Any:
        part.words["conclusion"].code(f"never seen {len(part.words['conclusion'].values)}")
        return count_of_part(part, starts)

    monkeypatch.setattr(pipemon_window, "_ended", slowly)
    assert analytics.trends(database, window) == expected


def test_what_is_kept_has_a_cap() -> None:
    kept = Kept((100 * 8 + 100) * 10)
    for number in range(2 * ADDITIONS + 1):
        kept.keep((number,), np.zeros(100))
        kept.find((0,))
    assert kept.find((0,)) is not None  # it was asked for all the time
    assert kept.find((ADDITIONS,)) is None
    assert sum(kept.find((number,)) is not None for number in range(2 * ADDITIONS + 1)) == 10


def test_a_few_large_ones_are_under_the_cap_too() -> None:
    kept = Kept(1_000_000)
    for number in range(8):
        kept.keep((number,), np.zeros(50_000))
        assert sum(len(made) * 8 for made, _ in kept._known.values()) <= 1_000_000
    assert kept.find((7,)) is not None
    kept.keep(("huge",), np.zeros(70_000))
    assert kept.find(("huge",)) is None
    assert kept.find((7,)) is not None


def test_a_page_is_what_it_was_when_it_is_read_back(database: Database) -> None:
    far(database, 2)
    with database.read() as conn:
        day = conn.execute(sa.select(runs.c.created_at // DAY).limit(1)).scalar_one()
    for part in PARTS:
        page = pages.make(part, database.heavy(PARTS[part].select(day)))
        again = pages.from_bytes(pages.to_bytes(page))
        assert again.words == page.words
        assert {name: one.tolist() for name, one in again.arrays.items()} == {
            name: one.tolist() for name, one in page.arrays.items()
        }
        assert len(page.arrays) == len(PARTS[part].columns) + 2 * bool(PARTS[part].heads)


def test_a_strange_date_makes_no_day_unreadable(database: Database) -> None:
    a_repository(database)
    run = a_run(database, created_at=T0 - DAY, sha="a" * 40)
    a_job(database, run, started_at=T0 - DAY, completed_at=T0 + 2**32)
    scope = everything(database, created_from=T0 - 2 * DAY, created_to=T0)
    assert flaky.flakiness(database, Window(scope, 2, NOW)).basis.n == 1


def test_a_read_that_fails_leaves_no_empty_block(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    far(database, 1)
    columns = Columns()
    expected = all_rows(database, columns)
    columns._blocks["runs"].clear()
    with monkeypatch.context() as broken:
        broken.setattr(Columns, "_pages", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            all_rows(database, columns)
    assert all_rows(database, columns) == expected


def test_rebuild_marks_days_that_have_no_mark(database: Database) -> None:
    far(database, 1)
    asked = windows(database, random.Random(1))[:1]
    expected = told(database, asked)
    database.transact(lambda conn: conn.execute(sa.delete(days)))
    forget_memory(database)
    assert told(database, asked) != expected
    assert "pages of" in rebuild(database, lambda: LATER)
    assert told(database, asked) == expected


def test_words_that_are_new_do_not_move_the_old_ones() -> None:
    columns = Columns()
    words = columns.words["branch"]
    first = [words.code(name) for name in ("main", None, "topic")]
    words.code("new")
    assert [words.code(name) for name in ("main", None, "topic")] == first == [0, 1, 2]
    assert words.find("nowhere") == -1
    assert columns.words["first"] is columns.words["conclusion"]


def all_rows(db: Database, columns: Columns) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row that the columns hold, in words."""
    scope, found = everything(db, created_from=T0 - 20 * DAY, created_to=T0 + DAY), {}
    for part in PARTS:
        blocks = columns.blocks(db, part, T0 - 20 * DAY, T0 + DAY)
        rows = chosen(part, blocks, columns.filter(db, scope), columns.words, columns.kept)
        names = [*PARTS[part].columns, *(("single",) if PARTS[part].heads else ())]
        values = [[rows.word(name, code) for code in rows[name].tolist()] for name in names]
        found[part] = list(zip(*values, strict=True))
    return found


def watch(db: Database) -> None:
    db.transact(lambda conn: repositories.watch(conn, ("octo/shop",)))


def kept_is_what_would_be_made(db: Database, seeds: range) -> int:
    """Let histories go through the write path, look at the columns now and then, and at last make them anew."""
    columns, seen = Columns(), 0
    for seed in seeds:
        rng, look = random.Random(seed), random.Random(-seed)
        db.committed = lambda look=look: look.random() < 0.4 and all_rows(db, columns)  # type: ignore[misc]
        history(db, rng)
        db.committed = lambda: None
        made = all_rows(db, Columns())
        assert all_rows(db, columns) == made, seed
        seen += len(made["jobs"])
        clear(db)
        db.transact(store.forget)
    return seen


def test_kept_columns_are_those_made_anew_after_any_history(database: Database) -> None:
    assert kept_is_what_would_be_made(database, range(1, 31)) > 0


def applied(db: Database, *runs_seen: Any, jobs_seen: tuple[JobList, ...] = ()) -> None:
    batch = Batch(1, None, tuple(Sighting(run) for run in runs_seen), jobs_seen)
    db.transact(lambda conn: apply(conn, batch, T0 + 20 * DAY))


def test_a_job_that_moves_nothing_but_itself_is_seen(database: Database) -> None:
    watch(database)
    run = seen_run(id=5001, status="in_progress", conclusion=None, created_at=T0 + 100, started_at=T0 + 100)
    first = seen_job(run, id=1, status="in_progress", conclusion=None, started_at=T0 + 104, completed_at=None)
    second = replace(first, id=2, name="second", status="queued", started_at=T0 + 500)
    applied(database, run, jobs_seen=(JobList(run.id, 1, (first, second)),))
    columns = Columns()
    all_rows(database, columns)
    later = replace(second, status="in_progress", started_at=T0 + 600)
    applied(database, jobs_seen=(JobList(run.id, 1, (first, later)),))
    made = all_rows(database, Columns())
    assert all_rows(database, columns) == made
    assert len({row[list(PARTS["jobs"].columns).index("waited")] for row in made["jobs"]}) == 2


def test_an_incident_that_ends_on_another_day_than_it_opened_on_is_seen(database: Database) -> None:
    watch(database)
    red = seen_run(id=5001, run_number=1, conclusion="failure", created_at=T0 - 9 * DAY, updated_at=T0 - 9 * DAY + 60)
    applied(database, replace(red, started_at=T0 - 9 * DAY))
    columns = Columns()
    all_rows(database, columns)
    green = replace(red, id=5002, run_number=2, conclusion="success", created_at=T0, started_at=T0, updated_at=T0 + 60)
    applied(database, green)
    made = all_rows(database, Columns())
    assert all_rows(database, columns) == made
    assert [row[-1] for row in made["incidents"]] == [T0 + 60]


@pytest.mark.proof
def test_kept_columns_after_ten_thousand_histories(database: Database) -> None:
    count = 10_000 if database.dialect == "sqlite" else 1_000
    assert kept_is_what_would_be_made(database, range(1, count + 1)) > count
