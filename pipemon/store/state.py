"""What must outlive a restart beside the runs: applied ETags, GitHub's limits, leases."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from pipemon.store.schema import github_limits, http_etags, leases
from pipemon.store.upsert import upsert


class LeaseLost(Exception):
    """Somebody else polls now: nothing of the old holder may be written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease. `token` rises with every change of holder; a write under an older one is refused."""

    name: str
    holder: str
    token: int


def applied_etags(conn: Connection, urls: Iterable[str]) -> dict[str, str]:
    """Return the ETag last applied, by address."""
    query = sa.select(http_etags.c.url, http_etags.c.etag).where(http_etags.c.url.in_(list(urls)))
    return dict(conn.execute(query).all())


def mark_applied(conn: Connection, etags: Mapping[str, str], now: int) -> None:
    """Record which answers' contents are now in the database."""
    upsert(conn, http_etags, [{"url": url, "etag": etag, "applied_at": now} for url, etag in etags.items()])


def forget_etags(conn: Connection, repository: str, before: int, ended_before: int) -> int:
    """Drop a repository's ETags that did not change since, those of single runs earlier; return how many."""
    table = http_etags.c
    ours = table.url.startswith(f"{repository}/", autoescape=True)
    single = sa.and_(table.url.startswith(f"{repository}/runs/", autoescape=True), table.applied_at < ended_before)
    return conn.execute(sa.delete(http_etags).where(ours, sa.or_(table.applied_at < before, single))).rowcount


def get_limits(conn: Connection, token_hash: str) -> dict[str, object] | None:
    """Return what GitHub last said of this token's limits, as a row by column name."""
    row = (
        conn.execute(sa.select(github_limits).where(github_limits.c.token_hash == token_hash)).mappings().one_or_none()
    )
    return None if row is None else dict(row)


def put_limits(conn: Connection, limits: Mapping[str, object]) -> None:
    """Remember what GitHub said of a token's limits."""
    upsert(conn, github_limits, [limits])


def take_lease(
    conn: Connection, name: str, holder: str, now: float, ttl_seconds: float, steal: bool = False
) -> Lease | None:
    """Take, or renew, the lease; None while somebody else holds it, unless it may be stolen."""
    query = sa.select(leases).where(leases.c.name == name).with_for_update()
    row = conn.execute(query).one_or_none()
    if row is not None and row.holder != holder and row.expires_at > now and not steal:
        return None
    token = 1 if row is None else row.token + (row.holder != holder)
    upsert(conn, leases, [{"name": name, "holder": holder, "token": token, "expires_at": now + ttl_seconds}])
    return Lease(name, holder, token)


def release_lease(conn: Connection, lease: Lease) -> None:
    """Give the lease back, so that the next holder need not wait for its end."""
    where = (leases.c.name == lease.name) & (leases.c.token == lease.token) & (leases.c.holder == lease.holder)
    conn.execute(sa.update(leases).where(where).values(expires_at=0))


def check_lease(conn: Connection, lease: Lease) -> None:
    """Raise LeaseLost unless this very lease is still the newest: called in the transaction that it guards."""
    query = sa.select(leases.c.token, leases.c.holder).where(leases.c.name == lease.name).with_for_update()
    row = conn.execute(query).one_or_none()
    if row is None or (row.token, row.holder) != (lease.token, lease.holder):
        raise LeaseLost(f"the lease {lease.name!r} is held by another process now")
