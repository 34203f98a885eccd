"""The operator's commands: what they print, and that they need no more settings than they use."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import Result

from config import Settings
from pipemon.cli import app
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.schema_rollups import incidents, pages
from pipemon.store.upgrade import check, upgrade
from tests.builders import T0
from tests.rows import a_repository, a_run

ROOT = Path(__file__).parents[1]
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder with the given settings and no others."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("GITHUB_", "DATABASE_", "DATA_DIR", "API_KEYS", "HOST", "PORT", "SLACK_")):
            monkeypatch.delenv(name)

    def command(*words: str, **environ: str) -> Result:
        return app.test_cli_runner().invoke(args=list(words), env=environ)

    return command


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """The address of a GitHub-shaped server with a few repositories, which knows one token."""
    command = [sys.executable, "-m", "pipemon.simulator", "--port", "0", "--size", "test", "--token", "right"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.mark.parametrize(
    ("words", "scope", "logs"),
    [(("--scope", "operate"), "operate", True), ((), "read", False), (("--logs",), "read", True)],
)
def test_a_new_key_is_shown_once_and_its_entry_is_right(
    run: Run, words: tuple[str, ...], scope: str, logs: bool
) -> None:
    done = run("keys", "new", "dash", *words, PORT="wrong")
    key, entry = (line.split()[-1] for line in done.stdout.splitlines())
    assert re.fullmatch(r"pmk_[A-Za-z0-9_-]{43}", key)
    assert done.stdout.count(key) == 1
    (found,) = Settings.from_env({"API_KEYS": entry}, env_file=None).api_keys
    assert (found.name, found.scope, found.logs) == ("dash", scope, logs)
    assert found.sha256 == hashlib.sha256(key.encode()).hexdigest()


def test_two_keys_differ(run: Run) -> None:
    assert run("keys", "new", "a").stdout != run("keys", "new", "a").stdout


def test_a_name_that_would_break_the_list_is_refused(run: Run) -> None:
    assert run("keys", "new", "a,b").exit_code == 2


def test_help_and_simulator_need_no_right_settings(run: Run) -> None:
    assert run("--help", PORT="wrong").exit_code == 0
    assert "PORT: got 'wrong'" in run("check", PORT="wrong").stderr
    assert run("check", PORT="wrong").exit_code == 2


def test_migrate_makes_the_database(run: Run, tmp_path: Path) -> None:
    assert run("migrate").exit_code == 0
    db = Database(f"sqlite:///{tmp_path}/data/demo.sqlite3")
    check(db)
    db.close()


def test_check_of_right_settings(run: Run, simulator: str, tmp_path: Path) -> None:
    settings = {"GITHUB_API_URL": simulator, "GITHUB_TOKEN": "right", "GITHUB_OWNER": "octo-harbor", "GITHUB_REPO": "*"}
    done = run("check", **settings)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert any("octo-harbor/" in line and "calls left" in line for line in lines)
    assert not (tmp_path / "data" / "pipemon.sqlite3").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"GITHUB_TOKEN": "wrong"}, "make a new token"),
        ({"GITHUB_REPOSITORIES": "octo-harbor/no-such"}, "look at the spelling"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1"}, "look at GITHUB_API_URL"),
    ],
)
def test_check_says_what_to_do_about_what_is_wrong(run: Run, simulator: str, change: dict[str, str], told: str) -> None:
    settings = {"GITHUB_API_URL": simulator, "GITHUB_TOKEN": "right", "GITHUB_REPOSITORIES": "octo-harbor/mono"}
    done = run("check", **(settings | change))
    assert done.exit_code == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("WRONG"))
    assert told in line


def test_check_of_a_database_of_another_program(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.sqlite3").write_bytes(b"no database" * 1000)
    done = run("check")
    assert done.exit_code == 1
    assert "WRONG  database" in done.stdout


def test_backfill_shows_each_repository(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    db = Database(f"sqlite:///{tmp_path}/data/demo.sqlite3")
    upgrade(db)
    assert "start the service" in run("backfill").stdout
    db.transact(lambda conn: repositories.watch(conn, ["acme/shop", "acme/web"]))
    db.close()
    lines = run("backfill").stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["acme/shop", "acme/web"]
    assert all("0.0 of 90.0 days" in line and "under way" in line for line in lines)


def test_check_tells_whether_a_webhook_secret_is_set(run: Run) -> None:
    assert "webhooks: not set" in run("check").stdout
    done = run("check", GITHUB_WEBHOOK_SECRET="canary-of-good-length,short", PUBLIC_URL="https://ci.example.com")
    (line,) = [line for line in done.stdout.splitlines() if "webhooks:" in line]
    assert "set (***ngth and ***)" in line
    assert "https://ci.example.com/api/v1/webhooks/github" in line
    assert "easy to guess" in line
    assert "canary" not in done.stdout
    assert "easy to guess" not in run("check", GITHUB_WEBHOOK_SECRET="canary-of-good-length").stdout


def test_rollups_are_made_anew(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    db = Database(f"sqlite:///{tmp_path}/data/demo.sqlite3")
    upgrade(db)
    a_repository(db)
    a_run(db, conclusion="failure", created_at=T0 - 40 * 86400)

    def rows() -> list[int]:
        with db.read() as conn:
            return [len(conn.execute(sa.select(table)).all()) for table in (incidents, pages)]

    db.transact(lambda conn: conn.execute(sa.delete(incidents)))
    assert "1 workflows" in run("rebuild-rollups").stdout
    before = rows()
    assert min(before) > 0
    assert run("rebuild-rollups").exit_code == 0
    assert rows() == before
    db.close()


def test_check_tells_whether_a_bot_speaks(run: Run) -> None:
    assert "slack: not set" in run("check").stdout
    done = run("check", SLACK_BOT_TOKEN="xoxb-canary-of-good-length", SLACK_CHANNEL="#builds")
    assert "slack: set (***ngth); nothing was sent" in done.stdout
    assert "canary" not in done.stdout
