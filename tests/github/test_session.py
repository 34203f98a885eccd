"""The cache file: it saves calls, holds no secret, runs no code, and whatever happens to it, reading goes on."""

import json
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipemon.github.client import GitHub
from pipemon.github.errors import GitHubError, ServerError, Unreachable
from pipemon.github.session import ResponseCache
from pipemon.simulator import Simulator
from tests.github.conftest import TOKEN, Make, counted
from tests.github.loopback import Asked, Loopback, Piece, http

REPO = "octo-harbor/shop"
EMPTY = json.dumps({"total_count": 0, "workflow_runs": []}).encode()
# GitHub's own, as recorded.
VARY = "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache.sqlite3"


def files(cache: Path) -> Iterator[Path]:
    return (path for path in cache.parent.iterdir() if path.name.startswith(cache.name))


def test_M8_with_githubs_vary_nine_of_ten_calls_are_304s(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    sim.add_runs(REPO, 3, seconds=0)
    sizes = {len(client.newest_runs(REPO).runs) for _ in range(10)}
    assert sizes == {3}
    assert sim.counters()["by_status"] == {"200": 1, "304": 9}
    assert (client.counts.calls, client.counts.counted) == (10, 1)


def test_M8_a_304_writes_nothing_and_its_rate_headers_reach_the_gate(
    sim: Simulator, api: str, make: Make, cache: Path
) -> None:
    client = make(api)
    client.newest_runs(REPO)
    with sqlite3.connect(cache) as conn:
        before = conn.execute("PRAGMA data_version").fetchone()
        for _ in range(5):
            client.newest_runs(REPO)
            sim.limits.used[TOKEN] += 7
        assert conn.execute("PRAGMA data_version").fetchone() == before
        client.newest_runs(REPO)
    conn.close()
    assert client.limits is not None
    assert client.limits.remaining == 5000 - sim.limits.used[TOKEN]


def test_M8_a_new_process_goes_on_with_304s(sim: Simulator, api: str, make: Make) -> None:
    applied = make(api).newest_runs(REPO).etag
    page = make(api).newest_runs(REPO, applied_etag=applied)
    assert page.unchanged
    assert sim.counters()["not_modified"] == 1


def test_M9_the_token_is_in_no_byte_of_the_cache(sim: Simulator, api: str, make: Make, cache: Path) -> None:
    client = make(api)
    for _ in range(3):
        sim.add_runs(REPO, 1, seconds=0)
        client.newest_runs(REPO)
        client.repository(REPO)
    assert sim.counters()["by_token"] == {TOKEN: 6}
    scanned = [path for path in files(cache) if path.stat().st_size]
    assert [path.suffix for path in scanned if TOKEN.encode() in path.read_bytes()] == []
    assert len(scanned) >= 2  # the write-ahead log is one of them
    client.close()
    assert not any(TOKEN.encode() in path.read_bytes() for path in files(cache))


def test_M9_the_cache_is_for_its_owner_alone(api: str, make: Make, cache: Path) -> None:
    cache.touch(0o644)
    client = make(api)
    client.newest_runs(REPO)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(cache)} == {0o600}


def goes_on(client: GitHub, sim: Simulator) -> None:
    """Reads go on with whole answers, and 304s come back."""
    (run,) = sim.add_runs(REPO, 1, seconds=0)
    for _ in range(3):
        assert run in {found.id for found in client.newest_runs(REPO).runs}


def test_M10_garbage_in_place_of_the_file_is_thrown_away(sim: Simulator, api: str, make: Make, cache: Path) -> None:
    cache.write_bytes(os.urandom(100_000))
    before = counted("github_cache_errors_total")
    goes_on(make(api), sim)
    assert counted("github_cache_errors_total") == before + 1
    assert sim.counters()["not_modified"] == 2


@pytest.mark.parametrize("restart", [False, True])
def test_M10_scribbled_pages_are_thrown_away(sim: Simulator, api: str, make: Make, cache: Path, restart: bool) -> None:
    client = make(api)
    sim.add_runs(REPO, 30, seconds=0)
    for page in range(1, 40):
        client.newest_runs(REPO, per_page=page)
    client.close()
    size = cache.stat().st_size
    with cache.open("r+b") as file:
        for offset in range(4096, size, 4096):
            file.seek(offset)
            file.write(os.urandom(2048))
    before = counted("github_cache_errors_total")
    client = make(api) if restart else client
    for page in range(1, 40):
        assert len(client.newest_runs(REPO, per_page=page).runs) == min(page, 30)
    assert counted("github_cache_errors_total") > before
    goes_on(client, sim)


LOCKER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA locking_mode=" + sys.argv[2])
conn.execute("BEGIN EXCLUSIVE")
conn.execute("CREATE TABLE IF NOT EXISTS mine (x)")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("mode", "opened"), [("NORMAL", False), ("NORMAL", True), ("EXCLUSIVE", False)])
def test_M10_locked_by_another_process_no_call_waits(
    sim: Simulator, api: str, make: Make, cache: Path, mode: str, opened: bool
) -> None:
    client = make(api)
    if opened:
        client.newest_runs(REPO)
    locker = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(cache), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert locker.stdout is not None
    assert locker.stdin is not None
    try:
        assert locker.stdout.readline() == b"locked\n"
        goes_on(client, sim)
    finally:
        locker.stdin.close()
        locker.wait()
        locker.stdout.close()


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["pickle", "text", "number", "null", "deep", "shape", "bomb"])
def test_M10_a_foreign_row_runs_no_code_and_is_replaced(
    sim: Simulator, api: str, make: Make, cache: Path, kind: str, tmp_path: Path
) -> None:
    client = make(api)
    client.newest_runs(REPO)
    client.close()
    trap = tmp_path / "trap"
    with sqlite3.connect(cache) as conn:
        (value,) = conn.execute("SELECT value FROM responses").fetchone()
        rows: dict[str, object] = {
            "pickle": pickle.dumps(Trap(str(trap))),
            "text": "hello",
            "number": 5,
            "null": None,
            "deep": "[" * 100_000,
            "shape": json.dumps({"status_code": "x", "headers": 5, "request": [], "_content": 3}),
            "bomb": json.dumps(json.loads(value) | {"_content": "AAAA"}),
        }
        conn.execute("UPDATE responses SET value = ?", (rows[kind],))
    conn.close()
    goes_on(make(api), sim)
    assert not trap.exists()
    if kind == "pickle":  # the control: this row does run code where it is unpickled
        pickle.loads(pickle.dumps(Trap(str(trap))))
        assert trap.exists()


def test_M10_a_damaged_body_is_asked_for_again(sim: Simulator, api: str, make: Make, cache: Path) -> None:
    sim.add_runs(REPO, 2, seconds=0)
    client = make(api)
    client.newest_runs(REPO)
    client.close()
    with sqlite3.connect(cache) as conn:
        (value,) = conn.execute("SELECT value FROM responses").fetchone()
        row = json.loads(value)
        row["_content"] = row["_content"][:60] + "AAAA" + row["_content"][64:]
        conn.execute("UPDATE responses SET value = ?", (json.dumps(row),))
    conn.close()
    assert len(make(api).newest_runs(REPO).runs) == 2
    assert sim.counters()["by_status"] == {"200": 2, "304": 1}


def test_M10_a_row_without_an_etag_is_never_served(sim: Simulator, api: str, make: Make, cache: Path) -> None:
    client = make(api)
    client.newest_runs(REPO)
    client.close()
    with sqlite3.connect(cache) as conn:
        (value,) = conn.execute("SELECT value FROM responses").fetchone()
        row = json.loads(value)
        del row["headers"]["ETag"]
        conn.execute("UPDATE responses SET value = ?", (json.dumps(row),))
    conn.close()
    goes_on(make(api), sim)


def test_an_answer_without_an_etag_is_not_kept(loopback: Loopback, make: Make, cache: Path) -> None:
    loopback.script = [http(200, EMPTY, Last_Modified="Mon, 23 Nov 2026 10:00:00 GMT")]
    client = make(loopback.url)
    client.newest_runs("o/r")
    client.newest_runs("o/r")
    assert len(loopback.asked) == 2
    with sqlite3.connect(cache) as conn:
        assert conn.execute("SELECT COUNT(*) FROM responses").fetchone() == (0,)
    conn.close()


@pytest.mark.parametrize("kind", ["no directory", "a directory in its place", "a full disk", "a foreign table"])
def test_M10_where_no_file_can_be_reading_goes_on(
    sim: Simulator, api: str, make: Make, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache.sqlite3"
    if kind == "no directory":
        path = tmp_path / "none" / "cache.sqlite3"
    elif kind == "a directory in its place":
        path.mkdir()
    elif kind == "a foreign table":
        with sqlite3.connect(path) as conn:
            conn.execute("CREATE TABLE responses (something TEXT)")
        conn.close()
    elif not Path("/dev/full").exists():
        pytest.skip("NOT MEASURED: no full disk here")
    else:
        path.touch()
        client = make(api, cache=path)
        client.newest_runs(REPO)
        client.close()
        full = "PRAGMA max_page_count=1"
        connect = sqlite3.connect

        def limited(*args: object, **options: object) -> sqlite3.Connection:
            conn: sqlite3.Connection = connect(*args, **options)  # type: ignore[call-overload]
            conn.execute(full)
            return conn

        monkeypatch.setattr(sqlite3, "connect", limited)
    client = make(api, cache=path)
    sim.add_runs(REPO, 30, seconds=0)
    for page in range(1, 30):
        assert len(client.newest_runs(REPO, per_page=page).runs) == page
    goes_on(client, sim)


def test_M10_a_read_only_directory_stops_nothing(sim: Simulator, api: str, make: Make, tmp_path: Path) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("NOT MEASURED: root may write anywhere")
    directory = tmp_path / "data"
    directory.mkdir()
    client = make(api, cache=directory / "cache.sqlite3")
    client.newest_runs(REPO)
    client.close()
    for path in directory.iterdir():
        path.chmod(0o400)
    directory.chmod(0o500)
    script = (
        "import sys, time; from pathlib import Path; from pipemon.github.client import GitHub\n"
        "from pipemon.github.auth import PersonalToken; from pipemon.github.budget import Gate\n"
        "tokens = PersonalToken(None)\n"
        "gate = Gate(tokens.hash, lambda name: None, lambda limits: None, time.time)\n"
        "client = GitHub(sys.argv[1], tokens, gate, Path(sys.argv[2]))\n"
        "for _ in range(3): print(client.newest_runs('octo-harbor/shop').total_count)\n"
    )
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    for parent in directory.parents:
        if os.stat(parent).st_uid == os.geteuid() and parent.name.startswith("pytest"):
            parent.chmod(0o755)
    done = subprocess.run(
        [*nobody, sys.executable, "-c", script, api, str(directory / "cache.sqlite3")],
        capture_output=True, timeout=60, text=True, cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    directory.chmod(0o700)
    assert done.stdout.split()[-3:].count("0") == 3, done.stderr[-2000:]


def test_P4_an_outage_is_an_error_never_the_old_answer(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    client.newest_runs(REPO)
    sim.order_fault("status", status=500, times=None)
    with pytest.raises(ServerError):
        client.newest_runs(REPO)
    sim.clear_faults()
    sim.order_fault("reset", times=None)
    with pytest.raises(GitHubError):
        client.newest_runs(REPO)
    for status in (401, 404, 410, 403):
        sim.clear_faults()
        sim.order_fault("status", status=status, body={"message": "Must have admin rights"}, times=None)
        with pytest.raises(GitHubError):
            make(api).newest_runs(REPO)


def test_I5_without_a_connection_the_old_answer_is_not_handed_out(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(200, EMPTY, ETag='"a"'), []]
    client = make(loopback.url)
    client.newest_runs("o/r")
    with pytest.raises(Unreachable):
        client.newest_runs("o/r")
    assert loopback.asked[1].headers["if-none-match"] == '"a"'


def test_P2_the_file_is_bounded(tmp_path: Path, loopback: Loopback, make: Make) -> None:
    def answer(asked: Asked) -> list[Piece]:
        noise = os.urandom(20_000).hex()
        body = json.dumps({"total_count": 0, "workflow_runs": [], "noise": noise}).encode()
        return http(200, body, ETag=f'"{noise[:9]}"', Vary=VARY)

    loopback.script = [answer]
    client = make(loopback.url)
    cache = client._transport._cache
    assert isinstance(cache, ResponseCache)
    cache._largest_bytes = 1024 * 1024
    for page in range(1, 400):
        client.newest_runs("o/r", per_page=page)
    assert (tmp_path / "cache.sqlite3").stat().st_size < 3 * 1024 * 1024


def test_P7_callers_at_the_same_moment_share_one_call(loopback: Loopback, make: Make) -> None:
    loopback.script = [[0.3, *http(200, EMPTY, ETag='"a"')]]
    client = make(loopback.url)
    pages: list[object] = []
    threads = [threading.Thread(target=lambda: pages.append(client.newest_runs("o/r"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(pages), len(loopback.asked)) == (10, 1)
