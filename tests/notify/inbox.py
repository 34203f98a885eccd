"""A Slack-like inbox over real HTTP: it keeps every byte and answers by script."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str, dict[str, str]]
OK: Answer = (200, "ok", {})


@dataclass
class Inbox:
    """`script` gives the answer to the n-th post (0 is the first); None closes the connection after the bytes came."""

    script: Callable[[int, Any], Answer | None] = lambda number, body: OK
    posts: list[Any] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> "Inbox":
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.bodies.append(raw)
                inbox.headers.append(dict(self.headers))
                body = json.loads(raw)
                number = len(inbox.posts)
                inbox.posts.append(body)
                inbox.moments.append(time.monotonic())
                answer = inbox.script(number, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, text, headers = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it takes posts."""
        return f"http://127.0.0.1:{self._server.server_port}/services/T000/B000/secretpart"

    @property
    def texts(self) -> list[str]:
        """What was posted, as plain text."""
        return [post["text"] for post in self.posts]
