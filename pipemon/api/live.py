"""`/ws`: the door of the WebSocket, and the tickets for it."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint as Pages
from flask import current_app, request
from flask_sock import Sock

from pipemon import telemetry
from pipemon.api.arguments import Blueprint
from pipemon.api.auth import caller, identify_key, scope
from pipemon.api.errors import refuse
from pipemon.api.origins import is_ours
from pipemon.api.schemas import live as shapes
from pipemon.api.services import services
from pipemon.live.protocol import Auth
from pipemon.live.session import Live, Session
from pipemon.live.socket import BUSY, RESTART, farewell
from pipemon.store import tickets

log = telemetry.logger(__name__)

bp = Blueprint("live", __name__, url_prefix="/api/v1/live", description="Tickets for the WebSocket")
socket_bp = Pages("socket", __name__)
sock = Sock()


class NoThread:
    """In the place of the library's reader thread: our own sockets need none."""

    def __init__(self, target: Any = None) -> None:
        self.name = "none"

    def start(self) -> None:
        """Start nothing."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket, and when it is over."""

    ticket: str
    expires_at: int


@bp.post("/ticket")
@scope("read")
@bp.returns(shapes.Ticket)
def ticket() -> tuple[Ticket, dict[str, str]]:
    """Make a ticket with which a browser, which can't send a key's header, opens the WebSocket: one use, one minute."""
    own, name = services(), caller().name
    now = own.clock()
    made = own.db.transact(lambda conn: tickets.issue(conn, name, now))
    return Ticket(made, int(now + tickets.TICKET_SECONDS)), {"Cache-Control": "no-store"}


@socket_bp.before_request
def check() -> None:
    """Refuse an unknown key and a page of a foreign origin before the handshake."""
    found = caller()
    request.environ["pipemon.facts"]["caller"] = found.name if found.may("read") else None
    origin = request.headers.get("Origin")
    if origin is not None and not is_ours(origin):
        refuse(403, "This origin may not open a socket here (ALLOWED_ORIGINS).")
    # Compression costs each client a hundred times the memory; browsers offer it always.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)


@sock.route("/ws", bp=socket_bp)  # type: ignore[untyped-decorator]
@scope("none")  # a key may come in the first message; see session.py
def websocket(ws: Any) -> None:
    """Take the socket out of the server's hands, and let a session answer it."""
    live = _live()
    ws.connected = False  # the library's own goodbye would be bytes that are not ours
    if live.hub.is_full or live.hub.closing:
        why = (RESTART, "restart: reconnect and resume") if live.hub.closing else (BUSY, "too many clients: come later")
        ws.sock.sendall(farewell(*why))
        return
    name = request.environ["pipemon.facts"]["caller"]
    what: dict[str, object] = {"address": request.remote_addr, "origin": request.headers.get("Origin")}
    log.info("socket opened", caller=name, clients=len(live.hub) + 1, **what)
    Session(live, ws.sock.fileno(), name, what)


def _live() -> Live:
    live: Live = current_app.extensions["pipemon.live"]
    return live


def authenticate(settings: Any, db: Any, clock: Any) -> Any:
    """Return the function that says who shows a key or a ticket, None where neither may read."""

    def who(shown: Auth) -> str | None:
        if shown.ticket is not None:
            text = shown.ticket
            found: str | None = db.transact(lambda conn: tickets.redeem(conn, text, clock()))
            return found
        known = identify_key((shown.key or "").encode("utf-8", "replace"), settings)
        return known.name if known is not None and known.may("read") else None

    return who
