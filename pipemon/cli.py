"""Commands for operators: `flask --help`. Those that need no settings work without any."""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from flask import Flask
from flask.cli import AppGroup

from config import Settings, SettingsError, demo_environment
from config_values import api_keys
from pipemon.github.auth import AppToken, PersonalToken, TokenSource
from pipemon.github.budget import Gate, Limits
from pipemon.github.client import GitHub
from pipemon.github.errors import BadToken, GitHubError, NotFound, PermissionMissing, Unreachable
from pipemon.ingest.backfill import progress
from pipemon.queries import packer
from pipemon.queries.sealer import rebuild
from pipemon.store import state
from pipemon.store.engine import Database, DatabaseError
from pipemon.store.upgrade import check as check_schema
from pipemon.store.upgrade import upgrade

SHORTEST_SECRET = 16
# Only what `flask` hangs the commands on; the service is made by wsgi.py.
app = Flask("pipemon", static_folder=None)
keys = AppGroup("keys", help="Keys for the API.")
app.cli.add_command(keys)


@dataclass(frozen=True, slots=True)
class Finding:
    """What `flask check` found out about one part."""

    part: str
    fine: bool
    text: str


def new_key() -> str:
    """Return a fresh API key of 256 random bits."""
    return f"pmk_{secrets.token_urlsafe(32)}"


def key_entry(name: str, scope: str, key: str) -> str:
    """Return the key's entry in API_KEYS: of the key itself it holds only the SHA-256."""
    return f"{name}:{scope}:{hashlib.sha256(key.encode()).hexdigest()}"


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the command with one line where the settings or the database can't be used."""
    try:
        yield
    except (SettingsError, DatabaseError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def open_database(settings: Settings) -> Database:
    """Return the database, its folder made where it is missing; SettingsError where that can't be."""
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR: got {str(folder)!r} ({error.strerror}); allowed: a folder to write to"
        ) from error
    return Database(settings.database_url)


def _with_database(work: Callable[[Settings, Database], None]) -> None:
    with _one_line_errors():
        settings = Settings.from_env()
        db = open_database(settings)
        try:
            work(settings, db)
        finally:
            db.close()


@keys.command("new")
@click.argument("name")
@click.option("--scope", type=click.Choice(["read", "operate", "admin"]), default="read", show_default=True)
@click.option("--logs", is_flag=True, help="A key of scope read may read build logs too.")
def keys_new(name: str, scope: str, logs: bool) -> None:
    """Make a key, print it once, and print its entry for API_KEYS."""
    key = new_key()
    entry = key_entry(name, f"{scope}+logs" if logs else scope, key)
    try:
        api_keys(entry)
    except ValueError as error:
        raise click.BadParameter(f"{name!r} can't be a key's name: letters, digits, dot, dash, underscore") from error
    click.echo(f"The key, shown this once:  {key}\nIts entry in API_KEYS:     {entry}")


@app.cli.command("migrate")
def migrate() -> None:
    """Bring the database to this version's schema; the service does so itself at its start."""

    def work(_: Settings, db: Database) -> None:
        upgrade(db)
        click.echo("The database has today's schema.")

    _with_database(work)


@app.cli.command("check")
def check() -> None:
    """Try what is configured (token, repositories, Slack, database), and say what to do about what is wrong."""
    with _one_line_errors():
        settings = Settings.from_env()
        db = open_database(settings)
    try:
        findings = [_check_database(db), _check_webhooks(settings), _check_slack(settings)]
        findings += _check_github(settings, db, usable=findings[0].fine and _exists(db))
    finally:
        db.close()
    for found in findings:
        click.echo(f"{'ok' if found.fine else 'WRONG':5}  {found.part}: {found.text}")
    sys.exit(0 if all(found.fine for found in findings) else 1)


def _check_database(db: Database) -> Finding:
    shown = db.url.render_as_string(hide_password=True)
    if not _exists(db):
        return Finding("database", True, f"{shown}: the service makes it at its first start")
    try:
        check_schema(db)
    except DatabaseError as error:
        return Finding("database", False, f"{shown}: {error}")
    return Finding("database", True, f"{shown} has this version's schema")


def _exists(db: Database) -> bool:
    return db.path is None or db.path.exists()


def _check_webhooks(settings: Settings) -> Finding:
    found = settings.github_webhook_secret
    if not found:
        return Finding("webhooks", True, "not set; with a GITHUB_WEBHOOK_SECRET GitHub may tell at once what changes")
    shown = " and ".join(map(str, found))
    short = any(len(secret.reveal()) < SHORTEST_SECRET for secret in found)
    advice = f"; shorter than {SHORTEST_SECRET} characters is easy to guess" if short else ""
    address = f"{settings.public_url or 'https://your-public-address'}/api/v1/webhooks/github"
    return Finding("webhooks", True, f"set ({shown}){advice}; deliveries go to {address}")


def _check_slack(settings: Settings) -> Finding:
    found = settings.slack_bot_token or settings.slack_webhook_url
    if found is None:
        return Finding("slack", True, "not set; SLACK_WEBHOOK_URL is where messages would go")
    return Finding("slack", True, f"set ({found}); nothing was sent")


def _check_github(settings: Settings, db: Database, usable: bool) -> Iterator[Finding]:
    """Read each watched repository once, as polling does."""
    if settings.demo:
        yield Finding("github", True, "nothing is configured, the service would watch its simulator; set GITHUB_TOKEN")
        return
    github = _github(settings, db, usable)
    try:
        names = list(settings.repositories)
        if settings.all_of_owner and settings.github_owner is not None:
            names += [repo.name for repo in github.owned_repositories(settings.github_owner)]
        for name in names:
            yield _check_repository(github, name)
    except GitHubError as error:
        yield Finding("github", False, f"{error}; {_remedy(error)}")
    finally:
        github.close()


def _check_repository(github: GitHub, name: str) -> Finding:
    try:
        found = github.repository(name)
        runs = github.newest_runs(name)
    except (NotFound, PermissionMissing) as error:
        return Finding(name, False, f"{error}; {_remedy(error)}")
    left = f"; calls left this hour: {github.limits.remaining}" if github.limits is not None else ""
    return Finding(name, True, f"read; {runs.total_count} runs, default branch {found.default_branch}{left}")


def _github(settings: Settings, db: Database, usable: bool) -> GitHub:
    """Return a client that knows what the service remembers of the limits: no call inside a forbidden window."""
    app_id, key = settings.github_app_id, settings.github_app_private_key
    tokens: TokenSource = PersonalToken(settings.github_token)
    if app_id is not None and key is not None:
        tokens = AppToken(app_id, key, settings.github_app_installation_id, settings.github_api_url)

    def load(token_hash: str) -> Limits | None:
        if not usable:
            return None
        with db.read() as conn:
            row = state.get_limits(conn, token_hash)
        return None if row is None else Limits(**row)  # type: ignore[arg-type]

    return GitHub(settings.github_api_url, tokens, Gate(tokens.hash, load, lambda _: None, time.time))


def _remedy(error: GitHubError) -> str:
    remedies: dict[type[GitHubError], str] = {
        BadToken: "make a new token and set GITHUB_TOKEN",
        PermissionMissing: "give the token the repository permissions Actions: read and Metadata: read",
        NotFound: "look at the spelling; for a private repository the token must be allowed to see it",
        Unreachable: "look at GITHUB_API_URL, the network and the proxy",
    }
    return remedies.get(type(error), "try again later")


@app.cli.command("demo")
def demo() -> None:
    """Serve on the built-in simulator, whatever is configured."""
    command = [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
    os.execve(sys.executable, command, demo_environment())  # noqa: S606 -- a fixed command, without a shell


@app.cli.command("backfill")
def backfill() -> None:
    """Show how far each repository's history is read; the running service reads it."""

    def work(settings: Settings, db: Database) -> None:
        with db.read() as conn:
            rows = progress(conn, settings.backfill_days, int(time.time()))
        click.echo("\n".join(map(str, rows)) or "No repository is watched yet: start the service.")

    _with_database(work)


@app.cli.command("rebuild-rollups")
def rebuild_rollups() -> None:
    """Make what analytics sums up, and the incidents, anew from the runs; the service may go on meanwhile."""
    _with_database(lambda settings, db: click.echo(f"{rebuild(db, time.time)}\n{packer.rebuild(db)}"))


@app.cli.command("simulator", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: tuple[str, ...]) -> None:
    """Serve a made-up GitHub on this machine; `flask simulator --help` tells its options."""
    # A process of its own: it patches itself for gevent before anything else is imported.
    command = [sys.executable, "-m", "pipemon.simulator", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 -- a fixed command, without a shell
