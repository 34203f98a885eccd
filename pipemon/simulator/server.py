"""The simulator itself: a WSGI application over the world, with faults, limits and a control surface."""

import gzip
import hashlib
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pipemon.simulator import habits, logs
from pipemon.simulator.changes import Changes, truth
from pipemon.simulator.control import control
from pipemon.simulator.deployments import Deployments
from pipemon.simulator.faults import Fault, spoilt, told_length, trickle
from pipemon.simulator.hooks import Hooks
from pipemon.simulator.limits import Counters, Limits
from pipemon.simulator.plans import DAY
from pipemon.simulator.render import Renderer
from pipemon.simulator.routes import Routes
from pipemon.simulator.serving import serve
from pipemon.simulator.slack import Slack
from pipemon.simulator.world import HISTORY_DAYS, Repository

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
        depth = 30 if size == "test" else HISTORY_DAYS
        begin = int(self.now()) - depth * DAY
        self.repositories = {h.name: Repository(h, seed, usual if scale is None else scale, begin) for h in chosen}
        self.limits, self._counters = Limits(rate_limit), Counters()
        self.tokens: set[str] = {token} if token else set()
        self.revoked: set[str] = set()
        self.index_lag, self.base = 0, "http://simulator.invalid"
        self.renderer = Renderer(self.base)
        self.deployments, self.slack = Deployments(), Slack()
        self._routes = Routes(self)
        self._faults: list[Fault] = []
        self._random, self.lock = random.Random(seed), threading.RLock()
        self.hooks = Hooks(self, seed)
        self._changes = Changes(self.repositories, journal)

    def now(self) -> int:
        """Return the world's time."""
        return int(self._clock() + self._offset)

    def advance(self, seconds: float) -> None:
        """Move the world's time."""
        self._offset += seconds

    def order(self, what: str, repository: str, **details: Any) -> list[int]:
        """Change the world now: add, finish, cancel, rerun, delete, pin, rename. Returns the runs' ids."""
        with self.lock:
            ids = self._changes.order(self.now(), what, repository, **details)
            self.hooks.touch(self.repositories[repository.split("/")[-1]], ids)
            return ids

    def add_runs(self, repository: str, count: int = 1, **pinned: Any) -> list[int]:
        """Add runs that begin now (`seconds=0`: they go on until finished)."""
        return self.order("add", repository, count=count, **pinned)

    def deploy(self, repository: str, sha: str, **details: Any) -> int:
        """Deploy a commit now; return the deployment's id."""
        with self.lock:
            return self.deployments.order(self.repositories[repository.split("/")[-1]], self.now(), sha, **details)

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
        self._faults, self.revoked = [], set()
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

    def serve(self, port: int = 0) -> AbstractContextManager[str]:
        """Serve on a loopback port from a thread of this process; give the address."""
        return serve(self, port)

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
            return control(self, path, environ.get("QUERY_STRING", ""), body, start)
        if path.startswith("/_slack"):
            return self.slack.serve(environ, path, body, start)
        if path.startswith("/_storage/"):
            return logs.storage(self, path, environ, start)
        with self.lock:
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
        undone = fault is not None and verb != "GET" and fault.prevents
        status, body, headers = (200, {}, {}) if undone else self._facts(verb, path, environ, token, now)
        headers = {**self.limits.headers(token, now), **headers}
        if fault is not None:
            return self._spoil(fault, status, body, headers, token, start)
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
            search = {"limit": 30, "remaining": 30, "reset": now + 60, "used": 0}
            return 200, {"resources": {"core": core, "search": search}, "rate": core}, {}
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

    def _spoil(
        self, fault: Fault, status: int, body: Any, headers: dict[str, str], token: str, start: Start
    ) -> Iterable[bytes]:
        """Answer as the fault says."""
        headers = {**headers, **self._common()}
        self._counters.counted += 1
        self.limits.used[token] += 1
        whole = spoilt(fault, status, body)
        if whole is not None:
            self._forbid(fault, token)
            self._counters.not_modified += whole[0] == 304
            return self._out(whole[0], whole[1], {**headers, **whole[2]}, start, plain=whole[0] != 304)
        raw = json.dumps(body).encode()
        headers |= {"Content-Type": "application/json", "Content-Length": str(told_length(fault, raw))}
        start(f"{status} X", list(headers.items()))
        return trickle(fault, raw)

    def _forbid(self, fault: Fault, token: str) -> None:
        """Remember the window that this answer announces."""
        if fault.kind != "status" or fault.status not in (403, 429) or "limit" not in json.dumps(fault.body or ""):
            return
        wait = fault.headers.get("Retry-After", "60")
        self.limits.forbidden_until[token] = self.now() + (float(wait) if wait.isdigit() else 60.0)
