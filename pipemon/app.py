"""Wires everything once: settings in, the WSGI application out."""

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from flask import Flask

import pipemon.api
from config import Settings
from pipemon import heartbeat, telemetry
from pipemon.actions import Performer
from pipemon.api.channels import Room
from pipemon.api.live import authenticate
from pipemon.api.services import Services, SnapshotSource
from pipemon.background import Background, Chore, Work
from pipemon.digesting import chore_of
from pipemon.domain.addresses import Allowed
from pipemon.domain.deployments import Deploying
from pipemon.github.actions import Actions
from pipemon.github.auth import AppToken, PersonalToken, TokenSource
from pipemon.github.budget import Gate, Limits
from pipemon.github.client import GitHub
from pipemon.github.logs import Logs
from pipemon.health import make_health, trouble_in
from pipemon.ingest.failures import Failures
from pipemon.ingest.plan import Floors
from pipemon.live.feed import Feed
from pipemon.live.hub import Hub
from pipemon.live.hub import run as run_hub
from pipemon.live.session import Live
from pipemon.live.socket import RESTART
from pipemon.notify.facts import Deploys
from pipemon.outbound.client import Outbound
from pipemon.queries import freshness
from pipemon.queries.packer import Packer
from pipemon.queries.sealer import Sealer
from pipemon.reaching import channels_of
from pipemon.store import repositories, state
from pipemon.store.engine import Database
from pipemon.telling import FORGET_SECONDS, Telling

# Above this, one process would be too slow to tell all of them at once.
MOST_CLIENTS = 20_000
# The database, GitHub, files, and requests under way.
SPARE_DESCRIPTORS = 1200


def create_app(settings: Settings) -> Flask:
    """Return the application. It reads nothing from GitHub until `background.start()` is called on it."""
    telemetry.configure_logging(settings.log_level, settings.secrets())
    db = Database(settings.database_url)
    github = make_github(settings, db)
    if settings.repositories:
        db.transact(lambda conn: repositories.watch(conn, settings.repositories))
    snapshots = SnapshotSource(lambda: _snapshot(db), time.monotonic)
    hub = Hub(most_clients())
    feed = Feed(db, hub, snapshots.refresh)
    alone_since = time.time() if db.dialect == "sqlite" else 0.0
    performer = Performer(db, github, make_actions(settings, db, github), alone_since)
    outbound = Outbound(Allowed.of(settings.outbound_allow))
    logs = Logs(github.transport)
    deploys = Deploys(settings.deployment_workflows, settings.deployment_branches)
    telling = Telling(
        db, channels_of(settings, outbound), github.time, settings.notify_max_age_minutes * 60, deploys,
        history_days=settings.event_retention_days, open_days=settings.retention_days,
    )  # fmt: skip
    db.committed = _all(feed.wake, telling.ring)
    recipients = {name: channel.recipient for name, channel in telling.channels.items()}
    digest = chore_of(settings, db, snapshots.current, recipients, github.time)
    sealer = Sealer(db, github.time)
    chores = [Chore("settle_actions", performer.settle_left, 5), digest, Chore("seal_days", sealer.step, 2)]
    chores.append(Chore("forget", telling.forget, FORGET_SECONDS))
    chores.append(Chore("pack_deployments", Packer(db).step, 2))
    if settings.heartbeat_url is not None:
        chores.append(heartbeat.chore_of(settings.heartbeat_url, outbound, lambda: telling.trouble()))
    background = Background(
        replace(
            make_work(settings, db, github, snapshots.refresh, chores),
            tell=telling.job,
            explain=lambda deps: Failures(deps, logs, outbound, time.monotonic).step,
        ),
        followers=(feed.run, lambda: run_hub(hub)),
        farewell=lambda: hub.close_all(RESTART, "restart: reconnect and resume"),
    )
    health = make_health(db, github, background, telling.channels, telling.age_seconds)
    telling.trouble = lambda: trouble_in(health())
    services = Services(
        settings=settings,
        db=db,
        clock=github.time,
        snapshots=snapshots,
        health=health,
        limits=lambda: github.limits,
        github=github,
        performer=performer,
        logs=logs,
        outbound=outbound,
        notify=Room(telling.channels, telling.ring),
        wake=background.wake,
    )
    app = Flask("pipemon", static_folder=None)
    app.extensions["pipemon"] = services
    app.extensions["pipemon.background"] = background
    app.extensions["pipemon.live"] = Live(
        hub, feed, authenticate(settings, db, github.time), lambda: _watched(snapshots), github.time
    )
    pipemon.api.register(app, services)
    return app


def _all(*calls: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        for one in calls:
            one()

    return call


def most_clients() -> int:
    """Return how many WebSocket clients one process takes: descriptors are left for all else."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(100, min(MOST_CLIENTS, allowed - SPARE_DESCRIPTORS))


def _watched(snapshots: SnapshotSource) -> frozenset[str]:
    return frozenset(name.lower() for name in snapshots.current().names().values())


def make_github(settings: Settings, db: Database) -> GitHub:
    """Return the client that reads."""
    tokens = _tokens(settings)
    return GitHub(settings.github_api_url, tokens, _gate(tokens, db), settings.data_dir / "github-cache.sqlite3")


def make_actions(settings: Settings, db: Database, github: GitHub) -> Actions:
    """Return what changes runs: with a token of its own where there is one."""
    if settings.github_actions_token is None:
        return Actions(github.transport)
    tokens = PersonalToken(settings.github_actions_token, settings.secret_files.get("GITHUB_ACTIONS_TOKEN"))
    return Actions(GitHub(settings.github_api_url, tokens, _gate(tokens, db)).transport)


def _gate(tokens: TokenSource, db: Database) -> Gate:
    """Return the gate for a token's calls, its limits remembered in the database."""

    def load(token_hash: str) -> Limits | None:
        with db.read() as conn:
            row = state.get_limits(conn, token_hash)
        return None if row is None else Limits(**row)  # type: ignore[arg-type]

    def save(limits: Limits) -> None:
        values = {name: getattr(limits, name) for name in Limits.__dataclass_fields__}
        db.transact(lambda conn: state.put_limits(conn, values))

    return Gate(tokens.hash, load, save, time.time)


def _tokens(settings: Settings) -> TokenSource:
    if settings.github_app_id is not None and settings.github_app_private_key is not None:
        return AppToken(
            settings.github_app_id,
            settings.github_app_private_key,
            settings.github_app_installation_id,
            settings.github_api_url,
        )
    return PersonalToken(settings.github_token, settings.secret_files.get("GITHUB_TOKEN"))


def make_work(
    settings: Settings, db: Database, github: GitHub, refresh: Callable[[], object], chores: Sequence[Chore]
) -> Work:
    """Return what the clock drives."""
    return Work(
        db=db,
        github=github,
        floors=Floors(settings.poll_interval_active, settings.poll_interval_idle),
        backfill_days=settings.backfill_days,
        news_max_age_seconds=settings.notify_max_age_minutes * 60,
        owner=settings.github_owner if settings.all_of_owner else None,
        refresh_snapshot=refresh,
        chores=chores,
        deploying=Deploying(settings.deployment_workflows, settings.deployment_branches),
        queued_too_long_seconds=settings.queued_too_long_minutes * 60,
        unhurried=not settings.demo,
    )


def _snapshot(db: Database) -> freshness.Snapshot:
    with db.read() as conn:
        return freshness.read(conn)
