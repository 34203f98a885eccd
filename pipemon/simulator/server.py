"""The simulator itself: a WSGI application over the world, with faults, limits and a control surface."""

import gzip
import hashlib
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pipemon.simulator import habits
from pipemon.simulator.changes import Changes, truth
from pipemon.simulator.faults import Fault, mutated
from pipemon.simulator.limits import Counters, Limits
from pipemon.simulator.render import Renderer
from pipemon.simulator.routes import Routes
from pipemon.simulator.world import DAY, HISTORY_DAYS, Repository

VARY = "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding, Accept, X-Requested-With"
Start = Callable[..., Any]


class Simulator:
    """A GitHub with a mind of its own. `clock` gives its time in Unix seconds; none: real time times `speed`."""

    def __init__(
        self, size: str = "test", seed: int = 1, clock: Callable[[], float] | None = None, speed: float = 1.0,
        journal: Path | None = None, rate_limit: int = 5000, token: str | None = None,
        repositories: Iterable[habits.Habit] = (), scale: float | None = None,
    ) -> None:  # fmt: skip
        started = time.time()
        self._clock = clock or (lambda: started + (time.time() - started) * speed)
        self._offset = 0.0
        found, usual = habits.SIZES.get(size, ((), 1.0))
        chosen = tuple(repositories) or found
        depth = {"test": 30, "demo": 90}.get(size, HISTORY_DAYS)
        begin = int(self.now()) - depth * DAY
        self.repositories = {h.name: Repository(h, seed, usual if scale is None else scale, begin) for h in chosen}
        self.limits, self._counters = Limits(rate_limit), Counters()
        self.tokens: set[str] = {token} if token else set()
        self.revoked: set[str] = set()
        self.index_lag = 0
        self.base = "http://simulator.invalid"
        self.renderer = Renderer(self.base)
        self._routes = Routes(self)
        self._faults: list[Fault] = []
        self._etags: dict[str, str] = {}
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._changes = Changes(self.repositories, journal)

    def now(self) -> int:
        """Return the world's time."""
        return int(self._clock() + self._offset)

    def advance(self, seconds: float) -> None:
        """Move the world's time."""
        self._offset += seconds

    def order(self, what: str, repository: str, **details: Any) -> list[int]:
        """Change the world now: add, finish, cancel, rerun, delete, pin, rename. Returns the runs' ids."""
        with self._lock:
            return self._changes.order(self.now(), what, repository, **details)

    def add_runs(self, repository: str, count: int = 1, **pinned: Any) -> list[int]:
        """Add runs that begin now (`seconds=0`: they go on until finished)."""
        return self.order("add", repository, count=count, **pinned)

    def pulse(self, ago: int = 0) -> None:
        """Begin a short run somewhere; `ago` seconds: several, spread over the time since."""
        for offset in range(-ago, 1, 20):
            name = self._random.choice(sorted(self.repositories))
            ends = self._random.choices(["success", "failure", "cancelled"], [90, 8, 2])[0]
            workflow = self._random.choice([0, -1]) if name != "mono" else 0
            self.order("add", name, created_offset=offset, conclusion=ends, seconds=self._random.randint(30, 150),
                       workflow=workflow)  # fmt: skip

    def order_fault(self, kind: str = "status", **details: Any) -> Fault:
        """Order a fault; see faults.Fault."""
        fault = Fault(kind, **details)
        self._faults.append(fault)
        return fault

    def clear_faults(self) -> None:
        """Behave again."""
        self._faults.clear()
        self.revoked.clear()
        self.index_lag, self.limits.exhausted = 0, False

    def exhaust(self) -> None:
        """Let the primary limit be used up until the window ends."""
        self.limits.exhausted = True

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self.revoked.add(token)

    def counters(self) -> dict[str, Any]:
        """Return what was called since the start or the last reset."""
        return self._counters.as_json()

    def reset_counters(self) -> None:
        """Count from zero."""
        self._counters = Counters()

    def truth(self, repository: str) -> list[dict[str, Any]]:
        """Return every run of a repository with what really happened to it until now."""
        repo, now = self.repositories[repository.split("/")[-1]], self.now()
        return [truth(repo.runs[run_id], now) for _, run_id in repo.at(now)]

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve on a loopback port from a thread of this process; give the address."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log(self, *args: Any, **kwargs: Any) -> None:
                """Say nothing."""

            def send_response(self, code: int, message: str | None = None) -> None:
                """Leave out the server's own Date: the world has its own time."""
                self.send_response_only(code, message)

        server = make_server("127.0.0.1", port, self.app, threaded=True, request_handler=Quiet)
        self.at(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self.base
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def at(self, base: str) -> None:
        """Say where it is served: addresses in its answers begin with this."""
        self.base = base
        self.renderer = Renderer(base)

    def app(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = re.sub("^/api/v3(?=/)", "", environ.get("PATH_INFO", "/")).rstrip("/") or "/"
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        if path.startswith("/_sim"):
            return self._control(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), body, start)
        with self._lock:
            return self._answer(environ, path, start)

    def _answer(self, environ: dict[str, Any], path: str, start: Start) -> Iterable[bytes]:
        verb, now = environ["REQUEST_METHOD"], self.now()
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ").removeprefix("token ")
        counters, route = self._counters, self._routes.template(verb, path)
        counters.calls += 1
        counters.by_route[route] += 1
        counters.by_token[token] += 1
        if now < self.limits.forbidden_until.get(token, 0):
            counters.forbidden += 1
        fault = next((f for f in self._faults if f.strikes(path, self._random)), None)
        status, body, headers = self._facts(verb, path, environ, token, now)
        headers = {**self.limits.headers(token, now), **headers}
        if fault is not None:
            return self._spoilt(fault, status, body, headers, token, start)
        return self._send(status, body, headers, environ, token, start)

    def _facts(
        self, verb: str, path: str, environ: dict[str, Any], token: str, now: int
    ) -> tuple[int, Any, dict[str, str]]:
        if token in self.revoked or (self.tokens and token not in self.tokens and not path.startswith("/app/")):
            return (
                401,
                {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
                {},
            )
        reset = self.limits.reset_at(token, now)
        if path == "/rate_limit":
            core = {
                "limit": self.limits.limit,
                "remaining": self.limits.remaining(token),
                "reset": reset,
                "used": self.limits.used[token],
            }
            return 200, {"resources": {"core": core}, "rate": core}, {}
        if self.limits.remaining(token) == 0:
            self.limits.forbidden_until[token] = reset
            return 403, {"message": "API rate limit exceeded for user ID 1."}, {}
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        return self._routes.answer(verb, path, query, now)

    def _send(
        self, status: int, body: Any, headers: dict[str, str], environ: dict[str, Any], token: str, start: Start
    ) -> Iterable[bytes]:
        raw = json.dumps(body, separators=(",", ":")).encode()
        headers = {**headers, **self._common()}
        if status == 200 and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            etag = f'W/"{hashlib.sha256(token.encode() + raw).hexdigest()}"'
            headers |= {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60", "Vary": VARY}
            if environ.get("HTTP_IF_NONE_MATCH") == etag:
                self._counters.not_modified += 1
                return self._out(304, b"", {**headers, **self.limits.headers(token, self.now())}, start, plain=False)
        if environ.get("PATH_INFO", "").rstrip("/") != "/rate_limit":
            self.limits.used[token] += 1
            self._counters.counted += 1
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") and len(raw) > 2000:
            raw, headers = gzip.compress(raw, 1), {**headers, "Content-Encoding": "gzip"}
        return self._out(status, raw, {**headers, **self.limits.headers(token, self.now())}, start)

    def _common(self) -> dict[str, str]:
        return {
            "Date": formatdate(self.now(), usegmt=True),
            "X-GitHub-Request-Id": uuid.uuid4().hex[:20].upper(),
            "Server": "simulator",
        }

    def _out(
        self, status: int, raw: bytes, headers: dict[str, str], start: Start, plain: bool = True
    ) -> Iterable[bytes]:
        self._counters.by_status[status] += 1
        if plain:
            headers = {"Content-Type": "application/json; charset=utf-8", **headers, "Content-Length": str(len(raw))}
        start(f"{status} X", list(headers.items()))
        return [raw]

    def _spoilt(
        self, fault: Fault, status: int, body: Any, headers: dict[str, str], token: str, start: Start
    ) -> Iterable[bytes]:
        """Answer as the fault says."""
        headers = {**headers, **self._common()}
        self._counters.counted += 1
        self.limits.used[token] += 1
        raw = json.dumps(body).encode()
        if fault.kind == "status":
            self._forbid(fault, token)
            answer = fault.body if fault.body is not None else {"message": "ordered"}
            return self._out(fault.status, json.dumps(answer).encode(), {**headers, **fault.headers}, start)
        if fault.kind == "redirect":
            return self._out(
                fault.status if fault.status != 500 else 301, b"{}", {**headers, "Location": fault.location}, start
            )
        if fault.kind == "stale_etag":
            self._counters.not_modified += 1
            return self._out(304, b"", headers, start, plain=False)
        if fault.kind == "empty_list":
            return self._out(200, b'{"total_count": 0, "workflow_runs": []}', headers, start)
        if fault.kind == "mutate":
            return self._out(status, json.dumps(mutated(body, fault.field_name, fault.value)).encode(), headers, start)
        if fault.kind == "not_json":
            return self._out(status, b"<html>" + raw[:200], headers, start)
        if fault.kind == "gzip_bomb":
            packed = gzip.compress(b" " * (fault.size or 200_000_000), 6)
            return self._out(200, packed, {**headers, "Content-Encoding": "gzip"}, start)
        start(
            f"{status} X",
            [*headers.items(), ("Content-Type", "application/json"), ("Content-Length", str(self._length(fault, raw)))],
        )
        return self._trickle(fault, raw)

    def _length(self, fault: Fault, raw: bytes) -> int:
        return (fault.size or 100_000_000) if fault.kind == "huge" else len(raw)

    def _forbid(self, fault: Fault, token: str) -> None:
        """Remember the window that this answer announces."""
        if fault.status not in (403, 429) or "limit" not in json.dumps(fault.body or ""):
            return
        wait = fault.headers.get("Retry-After", "60")
        seconds = float(wait) if wait.isdigit() else 60.0
        self.limits.forbidden_until[token] = self.now() + seconds

    def _trickle(self, fault: Fault, raw: bytes) -> Iterator[bytes]:
        """Yield a body that comes slowly, ends early, or does not end."""
        if fault.kind == "huge":
            for _ in range((fault.size or 100_000_000) // 65536):
                yield b" " * 65536
        elif fault.kind == "slow":
            for i in range(len(raw)):
                yield raw[i : i + 1]
                time.sleep(fault.seconds)
        else:
            yield raw[: len(raw) // 2]
            if fault.kind == "stall":
                time.sleep(fault.seconds)
            raise ConnectionAbortedError("ordered")

    def _control(self, verb: str, path: str, query: str, body: bytes, start: Start) -> Iterable[bytes]:
        given = json.loads(body or b"{}")
        asked = dict(parse_qsl(query))
        deeds: dict[str, Callable[[], Any]] = {
            "/_sim/counters": self.counters,
            "/_sim/counters/reset": self.reset_counters,
            "/_sim/truth": lambda: self.truth(asked["repo"]),
            "/_sim/order": lambda: self.order(given.pop("what"), given.pop("repository"), **given),
            "/_sim/fault": lambda: bool(self.order_fault(**given)),
            "/_sim/faults/clear": self.clear_faults,
            "/_sim/advance": lambda: self.advance(given["seconds"]),
            "/_sim/exhaust": self.exhaust,
            "/_sim/revoke": lambda: self.revoke(given["token"]),
            "/_sim/lag": lambda: setattr(self, "index_lag", given["seconds"]),
        }
        found = deeds.get(path)
        raw = json.dumps(found() if found else {"message": "no such control"}).encode()
        start(
            "200 OK" if found else "404 Not Found",
            [("Content-Type", "application/json"), ("Content-Length", str(len(raw)))],
        )
        return [raw]
