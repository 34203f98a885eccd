"""The simulator in a thread of a test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from pipemon.simulator.server import Simulator


@contextmanager
def serve(sim: "Simulator", port: int) -> Iterator[str]:
    """Serve on a loopback port until the end of the block; give the address."""

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes: the second would wait 40 ms

        def log(self, *args: Any, **kwargs: Any) -> None:
            """Say nothing."""

        def send_response(self, code: int, message: str | None = None) -> None:
            """Leave out the server's own Date: the world has its own time."""
            self.send_response_only(code, message)

    server = make_server("127.0.0.1", port, sim.app, threaded=True, request_handler=Quiet)
    sim.at(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield sim.base
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
