"""The doors of the logs, before a simulator that keeps them on another host."""

import gzip
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipemon.api import logs as door
from pipemon.domain.addresses import Allowed
from pipemon.domain.secrets import Secret
from pipemon.github.auth import PersonalToken
from pipemon.github.budget import Gate
from pipemon.github.client import GitHub
from pipemon.github.logs import Logs
from pipemon.github.timed import Patience
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.outbound.client import Outbound
from pipemon.simulator import Simulator
from tests.api.conftest import Api
from tests.rows import a_repository

SHOP = "octo-harbor/shop"
TOKEN = "ghp_canary0123456789abcdefghijklmnopqrstu"


class Site:
    """The application, and a GitHub behind it whose runs it knows."""

    def __init__(
        self, api: Api, sim: Simulator, url: str, allowed: tuple[str, ...] = ("localhost", "127.0.0.1")
    ) -> None:
        self.api, self.sim = api, sim
        tokens = PersonalToken(Secret(TOKEN))
        gate = Gate(tokens.hash, lambda _: None, lambda _: None, sim.now)
        self.github = GitHub(url, tokens, gate, None, Patience(2, 2, 4))
        object.__setattr__(api.services, "logs", Logs(self.github.transport))
        object.__setattr__(api.services, "outbound", Outbound(Allowed.of(allowed)))
        a_repository(api.db, name=SHOP)

    def a_build(self, conclusion: str = "failure", seconds: int = 20) -> tuple[int, int]:
        """Let a run begin (and end) and know it; return its id and that of its last job."""
        (run_id,) = self.sim.add_runs(SHOP, seconds=seconds, conclusion=conclusion)
        self.sim.advance(30)
        run = self.github.run(SHOP, run_id).run
        jobs = self.github.jobs(SHOP, run_id, 1, live=False).jobs
        assert run is not None
        assert jobs is not None
        batch = Batch(1, runs=(Sighting(run, by_id=True),), jobs=(jobs,))
        self.api.db.transact(lambda conn: apply(conn, batch, self.sim.now()))
        return run_id, max(jobs.jobs, key=lambda job: job.id).id

    def get(self, path: str, **options: Any) -> Any:
        return self.api.open(f"/api/v1/builds/{path}", **options)

    def lines(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()


@pytest.fixture
def world() -> Iterator[tuple[Simulator, str]]:
    sim = Simulator(size="empty", rate_limit=100_000)
    with sim.serve() as url:
        yield sim, url


@pytest.fixture
def site(make_api: Callable[..., Api], world: tuple[Simulator, str]) -> Site:
    return Site(make_api(), *world)


def places_left() -> int:
    return int(door._places.counter)


@pytest.fixture(autouse=True)
def _every_place_is_given_back() -> Iterator[None]:
    yield
    assert places_left() == door.MOST_AT_ONCE


def test_the_zip_of_a_run(site: Site) -> None:
    run_id, _ = site.a_build()
    answer = site.get(f"{run_id}/logs")
    assert (answer.status_code, answer.content_type) == (200, "application/zip")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="build-{run_id}.zip"'
    assert answer.headers["Cache-Control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.get_data())) as archive:
        assert any(name.endswith(".txt") for name in archive.namelist())


def test_L4_the_text_of_a_job_is_raw_and_an_attachment(site: Site) -> None:
    run_id, job_id = site.a_build()
    answer = site.get(f"{run_id}/logs?job_id={job_id}")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "\r\n" in answer.get_data(as_text=True)


def test_the_lines_of_a_job(site: Site) -> None:
    run_id, job_id = site.a_build()
    found = site.lines(f"{run_id}/jobs/{job_id}/logs")
    assert (found["build_id"], found["job_id"], found["has_more"]) == (run_id, job_id, False)
    assert found["total_lines"] == len(found["logs"]) > 5
    line = found["logs"][0]
    assert set(line) == {
        "timestamp", "level", "step", "message", "step_number", "line", "group", "annotation",
    }  # fmt: skip
    assert any(group["name"].startswith("Run ") for group in found["groups"])
    errors = site.lines(f"{run_id}/jobs/{job_id}/logs?level=error")
    assert [one["message"] for one in errors["logs"]] == ["Process completed with exit code 1."]
    assert errors["logs"][0]["step"] == "Test"
    number = errors["logs"][0]["step_number"]
    of_step = site.lines(f"{run_id}/jobs/{job_id}/logs?step_number={number}&q=failed")
    assert {one["level"] for one in of_step["logs"]} == {"info"}
    assert all("\x1b" not in one["message"] for one in found["logs"])


def test_the_lines_in_pages(site: Site) -> None:
    run_id, job_id = site.a_build()
    whole = site.lines(f"{run_id}/jobs/{job_id}/logs")["logs"]
    page = site.lines(f"{run_id}/jobs/{job_id}/logs?offset=2&limit=3")
    assert page["logs"] == whole[2:5]
    assert (page["total_lines"], page["has_more"]) == (len(whole), True)


@pytest.mark.parametrize("query", ["level=loud", "offset=-1", "limit=0", "limit=20001", "x=1", "step_number=a"])
def test_wrong_filters_are_422_and_ask_nobody(site: Site, query: str) -> None:
    run_id, job_id = site.a_build()
    site.sim.reset_counters()
    assert site.get(f"{run_id}/jobs/{job_id}/logs?{query}").status_code == 422
    assert site.sim.counters()["calls"] == 0


def test_L5_no_log_has_its_reason(site: Site) -> None:
    run_id, job_id = site.a_build(seconds=0)
    running = site.get(f"{run_id}/jobs/{job_id}/logs")
    assert (running.status_code, "when the job ends" in running.get_json()["error"]["message"]) == (404, True)
    old, old_job = site.a_build()
    site.sim.advance(100 * 86400)
    for path in (f"{old}/logs", f"{old}/logs?job_id={old_job}", f"{old}/jobs/{old_job}/logs"):
        answer = site.get(path)
        assert (answer.status_code, "expired" in answer.get_json()["error"]["message"]) == (410, True)
    assert site.get("999/logs").status_code == 404
    assert site.get(f"{old}/jobs/7/logs").status_code == 404


def test_L5_an_address_that_is_over_is_asked_for_once_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, job_id = site.a_build()
    whole = site.api.services.outbound.get
    late = [True]

    def get(url: str, seconds: float) -> Any:
        if late.pop() if late else False:
            site.sim.advance(61)
        return whole(url, seconds)

    monkeypatch.setattr(Outbound, "get", lambda self, url, seconds: get(url, seconds))
    assert site.get(f"{run_id}/jobs/{job_id}/logs").status_code == 200


def test_L6_the_token_stays_with_the_api_and_the_address_is_shown_to_nobody(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id, job_id = site.a_build()
    # The storage of the simulator answers 401 to whoever sends a token along, as GitHub's does.
    answer = site.get(f"{run_id}/logs?job_id={job_id}")
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "sig=" not in answer.get_data(as_text=True) + capfd.readouterr().out


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:9/x", "https://127.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/latest/meta-data",
        "https://user@example.com/", "https://localhost.example.com\\@127.0.0.1/", "ftp://example.com/x",
    ],
)  # fmt: skip
def test_L6_SSRF_a_hostile_redirect_is_not_followed(
    make_api: Callable[..., Api], world: tuple[Simulator, str], location: str
) -> None:
    site = Site(make_api(), *world, allowed=())
    run_id, job_id = site.a_build()
    site.sim.order_fault("redirect", route="logs$", status=302, location=location)
    answer = site.get(f"{run_id}/logs?job_id={job_id}")
    assert answer.status_code == 502
    assert "pipemon does not go" in answer.get_json()["error"]["message"]


def test_who_may_read_logs(make_api: Callable[..., Api], world: tuple[Simulator, str]) -> None:
    site = Site(make_api(host="0.0.0.0"), *world)
    run_id, job_id = site.a_build()
    path = f"{run_id}/jobs/{job_id}/logs"
    assert [site.get(path, key=key).status_code for key in (None, "reader", "operator")] == [401, 403, 200]


def test_L1_one_too_large_is_413_with_githubs_page(make_api: Callable[..., Api], world: tuple[Simulator, str]) -> None:
    site = Site(make_api(log_max_bytes=100), *world)
    run_id, job_id = site.a_build()
    answer = site.get(f"{run_id}/logs?job_id={job_id}")
    assert answer.status_code == 413
    assert answer.get_json()["error"]["details"]["url"][0].startswith("https://")


def test_L1_so_many_at_once_and_no_more(site: Site) -> None:
    run_id, job_id = site.a_build()
    taken = [door._places.acquire(blocking=False) for _ in range(door.MOST_AT_ONCE)]
    answer = site.get(f"{run_id}/logs?job_id={job_id}")
    for _ in taken:
        door._places.release()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


class Storage:
    """A host that keeps one log, in whatever way it likes."""

    def __init__(self, *answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/log?sig=secret"
        self._answer = answer
        self.closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        conn, _ = self._listener.accept()
        conn.recv(65536)
        try:
            for piece in self._answer:
                conn.sendall(piece)
        except OSError:
            self.closed.set()
        conn.close()
        self._listener.close()


def from_storage(site: Site, *answer: bytes) -> tuple[int, int]:
    """Let the next log lie on a storage that answers so."""
    found = site.a_build()
    site.storage = Storage(*answer)  # type: ignore[attr-defined]
    site.sim.order_fault("redirect", route="logs$", status=302, location=site.storage.url)  # type: ignore[attr-defined]
    return found


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BOMB = gzip.compress(b"0" * 50_000_000)
CORPUS: dict[str, tuple[bytes, ...]] = {
    "gzip bomb": (HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n".encode(), BOMB),
    "deflate": (HEAD + b"Content-Encoding: deflate\r\nContent-Length: 3\r\n\r\nabc",),
    "error page": (b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",),
    "not there": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",),
    "cut short": (HEAD + b"Content-Length: 5000\r\n\r\nonly",),
    "no http": (b"SSH-2.0-OpenSSH\r\n",),
    "nothing": (b"",),
    "lying length": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx",),
    "broken chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello",),
    "huge header": (HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n",),
}


@pytest.mark.parametrize("name", CORPUS)
def test_L2_bombs_and_damage_are_refused(site: Site, name: str) -> None:
    run_id, job_id = from_storage(site, *CORPUS[name])
    answer = site.get(f"{run_id}/jobs/{job_id}/logs")
    assert answer.status_code in (410, 413, 502), answer.get_data(as_text=True)[:300]
    assert set(answer.get_json()["error"]) >= {"message", "type", "details", "timestamp", "path"}


ODD = {
    "no newline at all": b"x" * 3_000_000,
    "carriage returns": b"\r" * 3_000_000,
    "newlines": b"\n" * 300_000,
    "nul bytes": b"\0" * 100_000,
    "escapes": b"\x1b[31m" * 50_000 + b"\n" + b"\x1b]0;" * 50_000,
    "bad utf-8": bytes(range(128, 256)) * 1000,
    "nested groups": b"2026-01-31T12:00:00.0000000Z ##[group]g\n" * 20_000,
    "broken stamps": b"2026-99-99T99:99:99.9999999Z x\n" * 1000,
    "colons": b"::error " + b":" * 100_000,
    "commands": b"2026-01-31T12:00:00.0000000Z ::error file=" + b"a," * 50_000 + b"::x\n",
}


@pytest.mark.parametrize("name", ODD)
def test_L2_L3_odd_texts_are_bounded(site: Site, name: str) -> None:
    text = ODD[name]
    run_id, job_id = from_storage(site, HEAD + f"Content-Length: {len(text)}\r\n\r\n".encode(), text)
    answer = site.get(f"{run_id}/jobs/{job_id}/logs?limit=20000")
    assert answer.status_code == 200
    body = answer.get_json()
    assert len(body["logs"]) <= 20_000
    assert len(body["groups"]) <= door.MOST_GROUPS
    assert "\x1b" not in answer.get_data(as_text=True)


def test_L7_who_leaves_frees_everything(site: Site) -> None:
    text = b"x" * 50_000_000
    for _ in range(5):
        run_id, job_id = from_storage(site, HEAD + f"Content-Length: {len(text)}\r\n\r\n".encode(), text)
        answer = site.api.open(f"/api/v1/builds/{run_id}/logs?job_id={job_id}", buffered=False)
        next(iter(answer.response))
        assert places_left() == door.MOST_AT_ONCE - 1
        answer.close()
        assert places_left() == door.MOST_AT_ONCE
        assert site.storage.closed.wait(5)  # type: ignore[attr-defined]
