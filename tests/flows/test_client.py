"""The browser client for real: in Chromium and in Node, on the real gunicorn, over kills, restarts and a new log."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipemon.api.docs import STATIC
from pipemon.simulator import Simulator
from tests.flows.service import ROOT, Service

SHOP = "octo-harbor/shop"
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if os.access(path, os.X_OK)), None)
NODE = shutil.which("node")
CURL = shutil.which("curl")
DOCS = (ROOT / "docs" / "events.md").read_text()
CLIENT = STATIC / "client" / "pipemon-live.js"
# Whatever is heard is a line of the console.
PAGE = """import { PipemonLive } from "%s";
const live = new PipemonLive(%s);
for (const name of ["event", "build_update", "resync", "state", "error"])
  live.on(name, (message) => console.log("HEARD " + JSON.stringify([name, message, live.lastEventId])));
"""

BUILDS = '{topics: ["builds"]}'
# What a page's own backend does in real life, which keeps the key to itself.
WITH_TICKET = """{topics: ["builds"], ticket: async () => {
  const headers = {"X-API-Key": "%s", "Content-Type": "application/json"};
  return (await (await fetch("%s/api/v1/live/ticket", {method: "POST", headers, body: "{}"})).json()).ticket;
}}"""

Heard = list[tuple[str, Any, int | None]]


def parsed(lines: list[str]) -> Heard:
    return [tuple(json.loads(line.removeprefix("HEARD "))) for line in lines if line.startswith("HEARD ")]


class Site(BaseHTTPRequestHandler):
    """Another team's dashboard: its own origin, and a policy that allows pipemon's module and socket alone."""

    pages: dict[str, tuple[str, str]] = {}
    policy = ""

    def do_GET(self) -> None:
        kind, body = self.pages.get(self.path, ("text/plain", ""))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def dashboard(service: Service, pages: dict[str, tuple[str, str]], policy: str = "") -> Iterator[Any]:
    """Serve pages on an allowed origin, start the service, and open `/` in a browser; yield the tab."""
    from playwright.sync_api import sync_playwright

    site = type("Dashboard", (Site,), {"pages": pages, "policy": policy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), site)
    origin = f"http://localhost:{server.server_port}"
    service.settings["ALLOWED_ORIGINS"] = origin
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            service.start()
            tab = browser.new_page()
            tab.address = f"{origin}/"
            yield tab
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def in_chromium(service: Service, options: str) -> Iterator[Callable[[], Heard]]:
    """Run the page in a browser; yield what returns what it heard."""
    pages = {
        "/": ("text/html", '<!doctype html><title>Dashboard</title><script type="module" src="/page.js"></script>'),
        "/page.js": ("text/javascript", PAGE % (f"{service.url}/static/client/pipemon-live.js", options)),
    }
    socket = service.url.replace("http", "ws")
    policy = f"default-src 'none'; script-src 'self' {service.url}; connect-src {service.url} {socket}"
    lines: list[str] = []
    with dashboard(service, pages, policy) as tab:
        tab.on("console", lambda message: lines.append(message.text))
        tab.goto(tab.address)

        def heard() -> Heard:
            tab.evaluate("1")  # gives the console's lines their turn
            return parsed(lines)

        yield heard


@contextmanager
def in_node(service: Service, options: str) -> Iterator[Callable[[], Heard]]:
    """Run the page's script in Node; yield what returns what it heard."""
    assert NODE is not None
    script, out = service.data_dir / "page.mjs", service.data_dir / "page.out"
    url = f"{service.url}/ws"  # http, as a page has it at hand; the client makes ws of it
    script.write_text(PAGE % (CLIENT.as_uri(), f'{{...{options}, url: "{url}"}}'))
    service.start()
    with out.open("wb") as file:
        # Before version 22 a WebSocket has to be asked for.
        old = node_version() < 22
        command = [NODE, *(["--experimental-websocket"] if old else []), str(script)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield lambda: parsed(out.read_text().splitlines())
    finally:
        process.kill()
        process.wait()


def node_version() -> int:
    """Return Node's major version, 0 where there is none."""
    if NODE is None:
        return 0
    found = re.match(r"v(\d+)", subprocess.run([NODE, "--version"], capture_output=True, text=True).stdout)
    return int(found[1]) if found else 0


PLACES = [
    pytest.param(
        in_chromium,
        id="chromium",
        marks=pytest.mark.skipif(CHROMIUM is None, reason="BROWSER CLIENT NOT MEASURED: there is no chromium here"),
    ),
    pytest.param(
        in_node,
        id="node",
        marks=pytest.mark.skipif(node_version() < 20, reason="BROWSER CLIENT NOT MEASURED: there is no node 20 here"),
    ),
]


@pytest.fixture
def sim() -> Iterator[tuple[Simulator, str]]:
    world = Simulator(size="empty", rate_limit=100_000)
    with world.serve() as url:
        yield world, url


@pytest.fixture
def service(sim: tuple[Simulator, str], tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path, sim[1], SHOP)
    yield made
    made.kill()


def ids(heard: Heard) -> list[int]:
    return [message["id"] for name, message, _ in heard if name == "event"]


def logged(service: Service, after: int = 0) -> list[int]:
    """Return the ids that a page that has heard all since `after` has heard."""
    found = service.get(f"/api/v1/events?after={after}&limit=1000").json()["events"]
    return [event["id"] for event in found if event["topic"] == "builds"]


def states(heard: Heard) -> list[str]:
    return [message["state"] for name, message, _ in heard if name == "state"]


@pytest.mark.parametrize("place", PLACES)
def test_R1_a_page_hears_each_event_once_over_a_kill_a_restart_and_another_log(
    sim: tuple[Simulator, str], service: Service, place: Any
) -> None:
    with place(service, BUILDS) as heard:
        service.wait_for(lambda: states(heard())[-1:] == ["open"])
        service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
        sim[0].add_runs(SHOP, count=3, seconds=0)
        service.wait_for(lambda: len(logged(service)) >= 3 and ids(heard()) == logged(service))

        service.kill()
        service.wait_for(lambda: "waiting" in states(heard()))
        sim[0].add_runs(SHOP, count=3, seconds=0)
        before = len(ids(heard()))
        service.start()
        service.wait_for(lambda: service.get("/api/v1/builds").json()["total_count"] == 6)
        service.wait_for(lambda: ids(heard()) == logged(service))
        assert len(ids(heard())) > before

        assert service.stop() == 0
        service.wait_for(
            lambda: (1012, "waiting") in [(m.get("code"), m["state"]) for n, m, _ in heard() if n == "state"]
        )
        service.start()
        sim[0].add_runs(SHOP, count=2, seconds=0)
        service.wait_for(lambda: service.get("/api/v1/builds").json()["total_count"] == 8)
        service.wait_for(lambda: ids(heard()) == logged(service))
        assert not [message for name, message, _ in heard() if name in ("resync", "error")]

        # Each handler is called before the place moves; both names are told.
        told = [(name, message["id"], last) for name, message, last in heard() if name in ("event", "build_update")]
        assert all(last < number for _, number, last in told)
        assert [number for name, number, _ in told if name == "build_update"] == ids(heard())

        # The database is lost: what the page knows is not to be compared with the new log.
        known = len(ids(heard()))
        service.kill()
        for file in service.data_dir.glob("*.sqlite3*"):
            file.unlink()
        service.start()
        service.wait_for(lambda: [name for name, *_ in heard() if name == "resync"] == ["resync"])
        place_now = next(message for name, message, _ in heard() if name == "resync")["last_event_id"]
        service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
        sim[0].add_runs(SHOP, count=1, seconds=0)
        service.wait_for(lambda: len(ids(heard())) > known)
        fresh = ids(heard())[known:]
        assert fresh[0] > place_now
        assert fresh == sorted(set(fresh))


@pytest.mark.parametrize("place", PLACES)
def test_a_page_shows_a_new_ticket_each_time(service: Service, place: Any) -> None:
    key = "pmk_" + "k" * 40
    service.settings |= {"HOST": "0.0.0.0", "API_KEYS": f"dash:read:{hashlib.sha256(key.encode()).hexdigest()}"}
    with place(service, WITH_TICKET % (key, service.url)) as heard:
        service.wait_for(lambda: states(heard()) == ["connecting", "open"])
        assert service.stop() == 0
        service.start()
        service.wait_for(lambda: states(heard()).count("open") == 2)
        # While it was down no ticket was to be had, and that was told; nothing else went wrong.
        assert {message["type"] for name, message, _ in heard() if name == "error"} <= {"not_connected"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("options", [BUILDS, '{topics: ["builds"], ticket: async () => "guessed"}'])
def test_a_page_that_may_not_listen_is_told_and_stops(service: Service, place: Any, options: str) -> None:
    service.settings |= {"HOST": "0.0.0.0", "API_KEYS": f"dash:read:{'0' * 64}"}
    with place(service, options) as heard:
        service.wait_for(lambda: states(heard())[-1:] == ["closed"])
        assert states(heard()) == ["connecting", "closed"]
        assert [message["type"] for name, message, _ in heard() if name == "error"] == ["unauthorized"]
        assert service.log().count("socket opened") == 1


@pytest.mark.skipif(CHROMIUM is None, reason="BROWSER CLIENT NOT MEASURED: there is no chromium here")
def test_the_page_of_the_documents_works_as_it_stands(sim: tuple[Simulator, str], service: Service) -> None:
    page = re.findall(r"```html\n(.*?)```", DOCS, re.DOTALL)[0]
    assert len(page.splitlines()) == 10
    page = page.replace("http://127.0.0.1:8000", service.url)
    with dashboard(service, {"/": ("text/html", page)}) as tab:
        tab.goto(tab.address)
        service.wait_for(lambda: service.get("/api/v1/pipeline/status").json()["data_state"] == "fresh")
        service.wait_for(lambda: "socket opened" in service.log())
        sim[0].add_runs(SHOP, seconds=0, branch="main")
        tab.get_by_text("build_queued CI on main").first.wait_for(timeout=20_000)


@pytest.mark.skipif(CURL is None, reason="the command of docs/events.md was NOT TRIED: there is no curl here")
def test_the_documents_command_fetches_a_ticket(service: Service) -> None:
    key = "pmk_" + "k" * 40
    service.settings |= {"API_KEYS": f"dash:read:{hashlib.sha256(key.encode()).hexdigest()}"}
    service.start()
    command = re.findall(r"```sh\n(curl .*/live/ticket)\n```", DOCS)[0].replace("http://127.0.0.1:8000", service.url)
    env = {"PATH": os.environ["PATH"], "KEY": key}
    done = subprocess.run(["sh", "-c", f"{command} -s"], capture_output=True, text=True, env=env, timeout=20)
    assert set(json.loads(done.stdout)) == {"ticket", "expires_at"}
