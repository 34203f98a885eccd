"""The simulator as a process of its own."""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from pipemon.simulator.habits import SIZES, plain  # noqa: E402
from pipemon.simulator.server import Simulator  # noqa: E402

PULSE_SECONDS = 20


def _pulse(sim: Simulator) -> None:
    """Keep the demo alive: a short run every twenty seconds, somewhere, beside those that the days bring."""
    sim.pulse(ago=600)
    while True:
        sim.pulse()
        gevent.sleep(PULSE_SECONDS)


def main(arguments: Sequence[str]) -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser("simulator", description="A GitHub with a made-up world, on the loopback address.")
    parser.add_argument("--port", type=int, default=9100, help="0 picks a free one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speed", type=float, default=1.0, help="how many of its seconds pass in one of ours")
    parser.add_argument("--size", choices=sorted(SIZES), default="demo")
    parser.add_argument(
        "--repositories", type=int, default=0, help="so many like repositories in place of the size's own"
    )
    parser.add_argument("--runs-per-day", type=float, default=50.0, help="of each of those")
    parser.add_argument("--journal", type=Path, help="where ordered changes are kept")
    parser.add_argument("--rate-limit", type=int, help="calls an hour; GitHub's 5000, in the demo a million")
    parser.add_argument("--token", help="the only token that is accepted")
    parser.add_argument("--webhook-url", help="where signed deliveries of what happens are sent")
    parser.add_argument("--webhook-secret", default="", help="what they are signed with: made up, like all else here")
    given = parser.parse_args(arguments)
    sim = Simulator(
        size=given.size, seed=given.seed, speed=given.speed, journal=given.journal, rate_limit=given.rate_limit or (1_000_000 if given.size == "demo" else 5000),
        token=given.token, repositories=[plain(i) for i in range(given.repositories)],
        scale=given.runs_per_day if given.repositories else None,
    )  # fmt: skip
    server = WSGIServer(("127.0.0.1", given.port), sim.app, log=None, error_log=None)
    server.start()
    # Accepted connections take it over: headers and body are two writes, and the second would wait 40 ms.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sim.at(f"http://127.0.0.1:{server.server_port}")
    if given.webhook_url:
        sim.hooks.aim(given.webhook_url, given.webhook_secret)
    print(f"simulator listening on {sim.base}", flush=True)
    if given.size == "demo" and not given.repositories:
        gevent.spawn(_pulse, sim)
    gevent.signal_handler(signal.SIGTERM, server.stop)
    gevent.signal_handler(signal.SIGINT, server.stop)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
