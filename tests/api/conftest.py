"""The application as `app` wires it, over a migrated SQLite file, with keys and a clock that stands still."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

import pipemon.api
from config import ApiKey, Settings
from pipemon.api.services import Services, SnapshotSource
from pipemon.queries import freshness
from pipemon.store.engine import Database
from tests.builders import T0
from tests.conftest import Clock

KEYS = {"reader": "read", "operator": "operate", "boss": "admin"}


def key_of(name: str) -> str:
    """Return the secret key of one of the callers."""
    return f"pmk_{name}_{'x' * 32}"


def make_settings(tmp_path: Path, **over: Any) -> Settings:
    """Return settings as the environment of a small installation gives them."""
    environ = {"GITHUB_TOKEN": "ghp_" + "t" * 36, "GITHUB_REPOSITORIES": "acme/shop-1", "DATA_DIR": str(tmp_path)}
    keys = tuple(
        ApiKey(name, scope, scope != "read", hashlib.sha256(key_of(name).encode()).hexdigest())
        for name, scope in KEYS.items()
    )
    return replace(Settings.from_env(environ, env_file=None), **({"api_keys": keys} | over))


@dataclass
class Limits:
    limit: int = 5000
    remaining: int = 4321
    reset_at: int = T0 + 900


@dataclass
class Api:
    """The application under test."""

    db: Database
    clock: Clock
    settings: Settings
    health: dict[str, dict[str, str | None]] = field(default_factory=dict)
    monotonic: float = 0.0
    limits: Limits | None = field(default_factory=Limits)
    app: Flask = field(init=False)
    prepare: Callable[[Flask], None] = lambda app: None

    def __post_init__(self) -> None:
        self.app = Flask("pipemon", static_folder=None)
        self.prepare(self.app)
        self.reads = 0
        services = Services(
            settings=self.settings,
            db=self.db,
            clock=self.clock,
            snapshots=SnapshotSource(self._read, lambda: self.monotonic),
            health=lambda: self.health,
            limits=lambda: self.limits,
        )
        self.services = services
        pipemon.api.register(self.app, services)

    def _read(self) -> freshness.Snapshot:
        self.reads += 1
        with self.db.read() as conn:
            return freshness.read(conn)

    def open(self, path: str, method: str = "GET", key: str | None = None, **kwargs: Any) -> TestResponse:
        """Send a request, with the data as new as it is."""
        self.monotonic += 10
        headers = dict(kwargs.pop("headers", {}))
        if key is not None:
            headers["X-API-Key"] = key_of(key)
        return Client(self.app.wsgi_app, TestResponse).open(path, method=method, headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        """Return the JSON of a GET that must succeed."""
        answer = self.open(path, **kwargs)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()


HEALTHY = {name: {"state": "healthy", "cause": None} for name in ("database", "github", "scheduler")} | {
    "slack": {"state": "not_configured", "cause": None}
}


@pytest.fixture
def sqlite(tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    """An empty database; what is proven on both engines is in tests/queries."""
    path = tmp_path / "pipemon.sqlite3"
    shutil.copy(sqlite_template, path)
    db = Database(f"sqlite:///{path}")
    yield db
    db.close()


@pytest.fixture
def make_api(sqlite: Database, clock: Clock, tmp_path: Path) -> Callable[..., Api]:
    """Return a maker of applications: keywords are settings."""

    def make(prepare: Callable[[Flask], None] = lambda app: None, **over: Any) -> Api:
        return Api(sqlite, clock, make_settings(tmp_path, **over), dict(HEALTHY), prepare=prepare)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    """The application on loopback: reads are open."""
    return make_api()
