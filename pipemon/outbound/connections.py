"""Connections that are made to the address that was checked: a name can't lead elsewhere in between."""

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError

from pipemon.domain.addresses import Allowed, Forbidden, may_connect


class CheckedAdapter(HTTPAdapter):
    """Connects only where `may_connect` lets it; certificates are still checked by the host's name."""

    def __init__(self, allowed: Allowed) -> None:
        self._pools = _pools(allowed)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools


def _pools(allowed: Allowed) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, allowed)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, allowed)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def _connect(conn: HTTPConnection, allowed: Allowed) -> socket.socket:
    """Look the name up once, check what it leads to, and connect to just that."""
    host = conn.host.strip("[]")
    try:
        found = socket.getaddrinfo(host, conn.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NameResolutionError(host, conn, error) from error  # type: ignore[arg-type]
    open_ones = [info for info in found if may_connect(host, str(info[4][0]), allowed)]
    if not open_ones:
        raise Forbidden(f"{host} leads to no public address (OUTBOUND_ALLOW)")
    last: OSError | None = None
    for family, kind, protocol, _, address in open_ones:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(conn.timeout if isinstance(conn.timeout, int | float) else None)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise NewConnectionError(conn, f"no connection: {last}")
