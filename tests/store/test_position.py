"""S4: a log that lost its tail, or was restored from an old copy, is told from one that goes on."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipemon.domain.events import Event
from pipemon.store import events
from pipemon.store.engine import Database, DatabaseFull
from pipemon.store.position import Sidecar


def open_and_append(path: Path, first: int, count: int) -> None:
    db = Database(f"sqlite:///{path}")
    news = [Event("build_queued", "builds", "octo/shop", f"k{n}", 0) for n in range(first, first + count)]
    db.transact(lambda conn: events.append(conn, news, 0))
    Sidecar(path).note(db)
    db.close()


def epoch_after_start(path: Path) -> tuple[bool, str]:
    db = Database(f"sqlite:///{path}")
    changed = Sidecar(path).settle(db)
    with db.read() as conn:
        epoch = events.position(conn).epoch
    db.close()
    return changed, epoch


def test_S4_a_usual_restart_keeps_the_epoch(path: Path) -> None:
    first = epoch_after_start(path)
    open_and_append(path, 0, 5)
    assert epoch_after_start(path) == first == (False, first[1])


def test_S4_a_kill_before_the_first_note_keeps_the_epoch(path: Path) -> None:
    """The first start leaves a note: what comes after it is ahead of it, not behind."""
    first = epoch_after_start(path)
    db = Database(f"sqlite:///{path}")
    db.transact(lambda conn: events.append(conn, [Event("build_queued", "builds", "octo/shop", "k", 0)], 0))
    db.close()
    assert epoch_after_start(path) == first


def test_S4_an_old_copy_gets_a_new_epoch(path: Path, tmp_path: Path) -> None:
    open_and_append(path, 0, 5)
    before = epoch_after_start(path)[1]
    copy = shutil.copy(path, tmp_path / "backup")
    open_and_append(path, 5, 5)
    for part in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        part.unlink(missing_ok=True)
    shutil.copy(copy, path)
    changed, after = epoch_after_start(path)
    assert changed
    assert after != before


def test_S4_a_backup_put_into_a_fresh_folder_gets_a_new_epoch(path: Path, tmp_path: Path) -> None:
    """Without its note nobody knows how far the log had come."""
    open_and_append(path, 0, 5)
    before = epoch_after_start(path)[1]
    (tmp_path / "fresh").mkdir()
    restored = tmp_path / "fresh" / path.name
    source, target = sqlite3.connect(path), sqlite3.connect(restored)
    source.backup(target)
    source.close()
    target.close()
    changed, after = epoch_after_start(restored)
    assert changed
    assert after != before
    assert epoch_after_start(restored) == (False, after)


def test_S4_a_whole_folder_put_back_gets_a_new_epoch(path: Path, tmp_path: Path) -> None:
    """Its note is as old as the file, so only the file tells that it is another one."""
    open_and_append(path, 0, 5)
    before = epoch_after_start(path)[1]
    (tmp_path / "old").mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, tmp_path / "old")
    changed, after = epoch_after_start(tmp_path / "old" / path.name)
    assert changed
    assert after != before


def test_S4_a_truncated_wal_gets_a_new_epoch_or_lost_nothing(path: Path) -> None:
    """Cut the WAL at every frame: the survivors are a prefix of what was committed, and a shorter one is noticed."""
    db = Database(f"sqlite:///{path}")
    sidecar = Sidecar(path)
    for number in range(6):
        db.transact(lambda conn, n=number: events.append(conn, [Event("t", "builds", "r", f"k{n}", 0)], 0))  # type: ignore[misc]
    sidecar.note(db)
    wal = path.with_name(path.name + "-wal")
    whole, note = wal.read_bytes(), path.with_name(path.name + ".position").read_bytes()
    main = path.read_bytes()
    db.close()
    assert len(whole) > 4096
    for frames in range((len(whole) - 32) // 4120 + 1):
        folder = path.parent / f"cut-{frames}"
        folder.mkdir()
        cut = folder / path.name
        cut.write_bytes(main)
        cut.with_name(path.name + "-wal").write_bytes(whole[: 32 + frames * 4120])
        # As if the file itself had been cut: not a copy, which would be told by its inode already.
        told = json.loads(note) | {"inode": cut.stat().st_ino}
        cut.with_name(path.name + ".position").write_text(json.dumps(told))
        again = Database(f"sqlite:///{cut}")
        with again.read() as conn:
            survived = events.position(conn).last_id
            assert [row.id for row in events.list_after(conn, 0, 100)] == list(range(1, survived + 1))
        assert Sidecar(cut).settle(again) == (survived < 6)
        again.close()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"epoch": "x", "last_id": null, "inode": 1}'])
def test_S4_a_damaged_note_is_no_note(path: Path, note: str) -> None:
    open_and_append(path, 0, 2)
    path.with_name(path.name + ".position").write_text(note)
    assert epoch_after_start(path)[0]


def test_S2_a_note_that_can_not_be_written_is_a_full_disk_and_no_start_fails_for_it(path: Path) -> None:
    path.with_name(path.name + ".position").with_suffix(".new").mkdir()
    changed, _ = epoch_after_start(path)
    assert not changed
    with pytest.raises(DatabaseFull):
        open_and_append(path, 0, 1)
