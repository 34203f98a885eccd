"""What leaves by the log: lines with a request id, and no secret, whichever way one comes in."""

import ast
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from pipemon import telemetry
from pipemon.domain.secrets import Secret

ROOT = Path(__file__).parents[1]
CONFIGURED = 'C4n"ary\\configured/one'
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowCANARYcanaryCANARYcanary0123456789\n-----END RSA PRIVATE KEY-----"
# Twelve secrets: what is logged, and what of it must not be seen.
CANARIES = {
    "configured": (f"x {CONFIGURED} y", "ary"),
    "configured in a URL": ("https://h/?k=C4n%22ary%5Cconfigured%2Fone", "configured%2Fone"),
    "classic token": ("ghp_canary" + "a" * 30, "canary"),
    "fine-grained token": ("github_pat_11CANARY_" + "b" * 40, "CANARY"),
    "installation token with a JWT in it": ("ghs_123456_eyJhbGciOi.eyJpYXQiOj.canary-_sig", "canary"),
    "our own key": ("pmk_canary-" + "c" * 36, "canary"),
    "Slack URL": ("https://hooks.slack.com/services/T0/B0/canary", "canary"),
    "signed URL": ("https://blob.example.com/log?se=2026&sig=canary%2Bx%3D&sp=r", "canary"),
    "Authorization header": ("send: b'GET / HTTP/1.1\\r\\nAuthorization: token canary\\r\\n'", "canary"),
    "X-API-Key header": ("{'X-API-Key': 'canary', 'Accept': '*/*'}", "canary"),
    "password in a URL": ("postgresql://pipemon:canary@db/pipemon", "canary"),
    "private key": (f"key={PEM}", "CANARY"),
}


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Configure logging as the service does; give what was written, and leave no trace."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    telemetry.configure_logging("DEBUG", [Secret(CONFIGURED)])
    outside = telemetry.request_id.set(None)
    yield lambda: [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    telemetry.configure_logging("WARNING", [])
    root.handlers[:], root.level = handlers, level
    telemetry.request_id.reset(outside)


def our_handler() -> logging.Handler:
    (ours,) = (found for found in logging.getLogger().handlers if type(found).__module__ == "pipemon.telemetry")
    return ours


def log_everywhere(text: str) -> None:
    """Log a text in each way that there is."""
    own, library = telemetry.logger("test"), logging.getLogger("requests_cache")
    own.info(text, value=text, nested={"headers": [text]})
    own.debug("in a key", **{text: 1})
    library.debug("%s", text)
    library.error(text)
    for log in (own, library):
        try:
            raise ValueError(text)
        except ValueError:
            log.exception("failed")


def seen(lines: Callable[[], list[dict[str, object]]]) -> set[str]:
    found = set()
    for name, (text, canary) in CANARIES.items():
        log_everywhere(text)
        written = [json.dumps(line, ensure_ascii=False) for line in lines()]
        assert len(written) == 6
        if any(canary in line.replace("canaries", "") for line in written):
            found.add(name)
    return found


def test_no_canary_is_seen(lines: Callable[[], list[dict[str, object]]]) -> None:
    assert len(CANARIES) == 12
    assert seen(lines) == set()


def test_control_without_the_mask_all_twelve_are_seen(
    lines: Callable[[], list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "mask", lambda text: text)
    assert seen(lines) == CANARIES.keys()


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/acme/shop/actions/runs/1?sort=sig",
        "commit 1111111111111111111111111111111111111111 on design=blue",
        "author: Grace, path .github/workflows/build.yml, basic build",
        "2026-11-23T14:00:00Z http://127.0.0.1:8000/api/v1/builds?page=2",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert telemetry.mask(text) == text


def test_the_mask_shows_where_a_url_led() -> None:
    masked = telemetry.mask("GET https://h.example.com/log?se=2026&sig=abc&sp=r")
    assert masked == "GET https://h.example.com/log?se=2026&sig=***&sp=r"


def test_a_line_is_one_json_object_with_the_request_id(lines: Callable[[], list[dict[str, object]]]) -> None:
    telemetry.request_id.set(None)  # another test of this process may have left its own
    token = telemetry.request_id.set("r-1")
    telemetry.logger("test").info("two\nlines", repository="acme/shop", calls=3)
    logging.getLogger("library").warning("careful")
    telemetry.request_id.reset(token)
    telemetry.logger("test").info("outside")
    first, second, third = lines()
    assert first["event"] == "two\nlines"
    assert (first["level"], first["logger"], first["repository"], first["calls"]) == ("info", "test", "acme/shop", 3)
    assert str(first["timestamp"]).endswith("Z")
    assert (second["level"], second["logger"], second["event"]) == ("warning", "library", "careful")
    assert first["request_id"] == second["request_id"] == "r-1"
    assert "request_id" not in third


def test_a_library_whose_arguments_do_not_fit_does_no_harm(lines: Callable[[], list[dict[str, object]]]) -> None:
    ours = our_handler()
    ours.handle(logging.LogRecord("library", logging.WARNING, __file__, 1, "%d of %d", ("x",), None))
    assert lines()[0]["event"] == "%d of %d"


def test_the_level_holds_for_loggers_made_before(capfd: pytest.CaptureFixture[str], lines: object) -> None:
    log = telemetry.logger("early")
    telemetry.configure_logging("ERROR", [])
    log.warning("unseen")
    log.error("seen")
    logging.getLogger("library").warning("unseen")
    assert [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()] == ["seen"]


def test_request_ids_of_greenlets_do_not_mix(lines: Callable[[], list[dict[str, object]]]) -> None:
    def request(number: int) -> None:
        telemetry.request_id.set(f"r-{number}")
        gevent.sleep(0)
        telemetry.logger("test").info(str(number))

    gevent.joinall([gevent.spawn(request, number) for number in range(5)])
    assert {(line["event"], line["request_id"]) for line in lines()} == {(str(n), f"r-{n}") for n in range(5)}


def test_nothing_in_the_way_of_a_line_takes_a_lock(lines: object) -> None:
    assert our_handler().lock is None


def test_P13_logging_in_native_threads_does_not_hang() -> None:
    script = """
from gevent import monkey; monkey.patch_all()
import gevent
from pipemon import telemetry
telemetry.configure_logging("INFO", [])
log = telemetry.logger("test")
def work(number):
    log.info("in a native thread", number=number)
pool = gevent.get_hub().threadpool
jobs = [pool.spawn(work, number) for number in range(200)]
for number in range(200):
    log.info("on the hub", number=number)
    gevent.sleep(0)
gevent.joinall(jobs, timeout=20)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=40, check=True
    )
    written = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert written.count("in a native thread") == 200
    assert written.count("on the hub") == 200


def test_a_reader_who_left_does_not_end_us() -> None:
    script = "import time; from pipemon import telemetry; telemetry.configure_logging('INFO', []); input()\n"
    script += "telemetry.logger('t').info('nobody reads'); import sys; sys.stderr.write('alive')"
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    os.close(reading)
    assert child.communicate(b"\n", timeout=20)[1] == b"alive"


def test_metrics_are_counted_under_their_declared_names() -> None:
    telemetry.count("job_errors_total", job="of this test")
    telemetry.count("job_errors_total", 2, job="of this test")
    telemetry.observe("hub_lag_seconds", 0.004)
    text = telemetry.metrics_text().decode()
    assert 'pipemon_job_errors_total{job="of this test"} 3.0' in text
    assert re.search(r'pipemon_hub_lag_seconds_bucket\{le="0.005"\} [1-9]', text)
    with pytest.raises(KeyError):
        telemetry.count("undeclared_total")


def test_metrics_are_safe_to_count_in_many_threads() -> None:
    threads = [
        threading.Thread(target=telemetry.count, args=("job_errors_total",), kwargs={"job": "many"}) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 'pipemon_job_errors_total{job="many"} 50.0' in telemetry.metrics_text().decode()


def uses_of_metrics() -> Iterator[tuple[str, str, str, set[str]]]:
    """Yield where, how, and with which labels a metric is used in the tree."""
    for file in [*sorted((ROOT / "pipemon").rglob("*.py")), ROOT / "gunicorn.conf.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="telemetry"), attr=("count" | "gauge" | "observe") as how),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    labels = {str(word.arg) for word in node.keywords} - {"amount", "value", "seconds"}
                    yield f"{file.name}:{node.lineno}", how, name, labels


def test_every_number_that_is_counted_is_declared_so_and_every_declared_one_is_counted() -> None:
    kinds = {"count": "counter", "gauge": "gauge", "observe": "histogram"}
    declared = {metric.name: (metric.kind, set(metric.labels)) for metric in telemetry.METRICS}
    used = list(uses_of_metrics())
    assert [use for use in used if declared.get(use[2]) != (kinds[use[1]], use[3])] == []
    assert declared.keys() == {name for _, _, name, _ in used}
