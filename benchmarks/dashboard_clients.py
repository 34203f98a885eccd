"""Dashboards as browsers hold them open, in one process: `python -m benchmarks.dashboard_clients PORT COUNT SECONDS`.

Each keeps one connection, and asks for its four addresses every five seconds, with the ETag that it has; a connection
that the server has closed meanwhile is opened again, as a browser does. It prints what it measured as JSON: seconds by
address, and what went wrong.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import http.client
import json
import sys
import time
from collections import Counter

import gevent

EVERY_SECONDS = 5.0
WAITS_SECONDS = 60.0
DAYS = (7, 30, 90, 365)
PATHS = (
    "/api/v1/pipeline/overview", "/api/v1/builds", "/api/v1/analytics/overview?lookback_days={}",
    "/api/v1/analytics/trends?lookback_days={}",
)  # fmt: skip


class Dashboard:
    """One of them."""

    def __init__(self, port: int, number: int) -> None:
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=WAITS_SECONDS)
        self.paths = [path.format(DAYS[number % len(DAYS)]) for path in PATHS]
        self.etags: dict[str, str] = {}
        self.taken: list[tuple[str, float]] = []
        self.wrong: Counter[str] = Counter()

    def run(self, first: float, until: float) -> None:
        """Poll until the moment."""
        begin = first
        while begin < until:
            gevent.sleep(max(0.0, begin - time.monotonic()))
            for path in self.paths:
                self.poll(path)
            begin += EVERY_SECONDS

    def poll(self, path: str) -> None:
        """Ask for one address."""
        began, was_open = time.monotonic(), self.conn.sock is not None
        try:
            try:
                status = self.ask(path)
            except (ConnectionError, http.client.HTTPException):
                self.conn.close()
                if not was_open:
                    raise
                status = self.ask(path)
        except (OSError, http.client.HTTPException) as error:
            self.conn.close()
            self.wrong[type(error).__name__] += 1
            return
        if status not in (200, 304):
            self.wrong[str(status)] += 1
        self.taken.append((path.partition("?")[0], time.monotonic() - began))

    def ask(self, path: str) -> int:
        """Return the status, once the body has come."""
        self.conn.request("GET", path, headers={"If-None-Match": self.etags.get(path, '"none"')})
        answer = self.conn.getresponse()
        answer.read()
        self.etags[path] = answer.headers.get("ETag") or '"none"'
        return answer.status


def main(port: int, count: int, seconds: float) -> None:
    """Open them one after the other within five seconds."""
    began = time.monotonic()
    boards = [Dashboard(port, number) for number in range(count)]
    places = [began + EVERY_SECONDS * number / count for number in range(count)]
    gevent.joinall([gevent.spawn(one.run, at, began + seconds) for one, at in zip(boards, places, strict=True)])
    taken: dict[str, list[float]] = {}
    wrong: Counter[str] = Counter()
    for board in boards:
        wrong += board.wrong
        for path, took in board.taken:
            taken.setdefault(path, []).append(took)
    print(json.dumps({"taken": taken, "wrong": wrong}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
