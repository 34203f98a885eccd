"""The control surface: orders, faults and questions to the simulator itself, by HTTP below /_sim."""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from pipemon.simulator.server import Simulator


def control(sim: "Simulator", path: str, query: str, body: bytes, start: Callable[..., Any]) -> Iterable[bytes]:
    """Do what the path says, with the JSON body as its arguments; answer with what came of it."""
    given = json.loads(body or b"{}")
    asked = dict(parse_qsl(query))
    deeds: dict[str, Callable[[], Any]] = {
        "/_sim/counters": sim.counters,
        "/_sim/counters/reset": sim.reset_counters,
        "/_sim/truth": lambda: sim.truth(asked["repo"]),
        "/_sim/order": lambda: sim.order(given.pop("what"), given.pop("repository"), **given),
        "/_sim/fault": lambda: bool(sim.order_fault(**given)),
        "/_sim/faults/clear": sim.clear_faults,
        "/_sim/advance": lambda: sim.advance(given["seconds"]),
        "/_sim/exhaust": sim.exhaust,
        "/_sim/revoke": lambda: sim.revoke(given["token"]),
        "/_sim/hooks": lambda: sim.hooks.aim(**given),
        "/_sim/hooks/counters": sim.hooks.counters,
        "/_sim/slack": lambda: sim.slack.script(given["answers"]),
        "/_sim/lag": lambda: setattr(sim, "index_lag", given["seconds"]),
    }
    found = deeds.get(path)
    raw = json.dumps(found() if found else {"message": "no such control"}).encode()
    start(
        "200 OK" if found else "404 Not Found",
        [("Content-Type", "application/json"), ("Content-Length", str(len(raw)))],
    )
    return [raw]
