"""What pipemon tells of itself: log lines without secrets and with the request's id, and the numbers of `/metrics`."""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from structlog.typing import EventDict

from pipemon.domain.measures import METRICS, Metric
from pipemon.domain.secrets import Secret

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# What a secret looks like, whoever it belongs to, and what is shown in its place.
# The `ghs_` tokens of GitHub Apps hold a JWT since 2026: they contain dots and have no fixed length.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"gh[pousr]_[A-Za-z0-9_.-]{16,}"), "gh*_***"),
    (re.compile(r"github_pat_[A-Za-z0-9_]{16,}"), "github_pat_***"),
    (re.compile(r"pmk_[A-Za-z0-9_-]{16,}"), "pmk_***"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"), "jwt***"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{8,}"), "xox*-***"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), "AKIA***"),
    (re.compile(r"\b(?:glpat-|npm_|pypi-|AIza|sk-|sk_live_|dop_v1_)[A-Za-z0-9_-]{20,}"), "key***"),
    (re.compile(r"(hooks\.slack(?:-gov)?\.com)/[^\s\"'\\<>]+"), r"\1/***"),
    (re.compile(r"(?i)([?&\\/]sig(?:nature)?=|\bsig=)[^&\s\"'\\<>]+"), r"\1***"),
    (
        re.compile(
            r"(?i)((?:authorization|x-api-key)[\\\"']*\s*[:=]\s*b?[\\\"']*(?:(?:bearer|token|basic)\s+)?)[^\s\"',\\}]+"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1***"),
    (re.compile(r"(://)[^\s/@\"'\\]+:[^\s/@\"'\\]+@"), r"\1***@"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL), "pem***"),
)
_configured: re.Pattern[str] | None = None


def mask(text: str) -> str:
    """Return the text with every configured secret, and all that has the shape of one, made unreadable."""
    if _configured is not None:
        text = _configured.sub("***", text)
    for shape, shown in _SHAPES:
        text = shape.sub(shown, text)
    return text


def _spellings(secret: str) -> set[str]:
    """Return the forms in which a secret can turn up: as it is, as JSON or repr escape it, in a URL, line by line."""
    lines = {line for line in secret.splitlines() if len(line) >= 16 and not line.startswith("-----")}
    whole = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), quote(secret)}
    return {text for text in whole | lines if len(text) >= 4}


def _write(text: str) -> None:
    """Write one line to standard output by the system call: a lock shared with gevent's native threads can hang."""
    rest = mask(text).encode("utf-8", "backslashreplace") + b"\n"
    try:
        while rest:
            rest = rest[os.write(1, rest) :]
    except OSError:
        return  # nobody reads our output any more; that must not end the service


_to_json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
_to_console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _render(_: Any, method: str, event: EventDict) -> str:
    if sys.stdout is not None and sys.stdout.isatty():
        return str(_to_console(None, method, event))
    first = {name: event[name] for name in ("timestamp", "level", "logger", "event") if name in event}
    return str(_to_json(None, method, {**first, **event}))


def _add_origin(output: "_Output", _: str, event: EventDict) -> EventDict:
    event["logger"] = output.name
    if (current := request_id.get()) is not None:
        event.setdefault("request_id", current)
    return event


class _Output:
    """Where the finished lines of one named logger go."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, text: str) -> None:
        _write(text)

    debug = info = warning = error = critical = exception = msg


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


class _RootHandler(logging.Handler):
    """Writes the records of the libraries as ours are written, without a lock."""

    def createLock(self) -> None:
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a library whose arguments don't fit its format
            text = str(record.msg)
        level = record.levelname.lower()
        event: EventDict = {"event": text, "level": level}
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = "".join(traceback.format_exception(*record.exc_info))
        _write(_render(None, level, _add_origin(_Output(record.name), level, _stamp(None, level, event))))


def configure_logging(level: str, secrets: Iterable[Secret]) -> None:
    """Send all log lines of the process, the libraries' too, to standard output from that level on, masked."""
    global _configured
    texts = {text for secret in secrets for text in _spellings(secret.reveal())}
    longest_first = sorted(texts, key=len, reverse=True)
    _configured = re.compile("|".join(map(re.escape, longest_first))) if texts else None
    _configure_own(level)
    root = logging.getLogger()
    others = [old for old in root.handlers if type(old) not in (_RootHandler, logging.StreamHandler)]
    root.handlers[:] = [*others, _RootHandler()]
    root.setLevel(level)
    # A line for each wake-up would be four a second, and alembic tells nothing that an operator asks.
    for talkative in ("apscheduler", "alembic"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, root.level))
    # It warns at each try; what came of them is told by the one who asked.
    logging.getLogger("urllib3").setLevel(max(logging.ERROR, root.level))


def _configure_own(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            _stamp,
            _add_origin,
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=_Output,
        cache_logger_on_first_use=False,  # loggers are made at import, before the level is known
    )


def logger(name: str) -> Any:
    """Return a logger: `log.info("polled", repository=…, calls=…)`. Before `configure_logging`, from WARNING on."""
    if not structlog.is_configured():
        _configure_own("WARNING")
    return structlog.get_logger(name)


_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
disable_created_metrics()  # type: ignore[no-untyped-call]
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)


def _declare(metric: Metric) -> Any:
    name = f"pipemon_{metric.name}"
    if metric.kind == "histogram":
        return Histogram(name, metric.help, metric.labels, registry=_registry, buckets=_BUCKETS)
    return (Counter if metric.kind == "counter" else Gauge)(name, metric.help, metric.labels, registry=_registry)


_collectors = {metric.name: _declare(metric) for metric in METRICS}


_children: dict[tuple[object, ...], Any] = {}


def _one(name: str, labels: dict[str, Any]) -> Any:
    """Return the collector of these labels. The library looks its own up by a lock and a sort each time."""
    key = (name, *labels.items())
    found = _children.get(key)
    if found is None:
        found = _children[key] = _collectors[name].labels(**labels) if labels else _collectors[name]
    return found


def count(name: str, amount: float = 1, **labels: Any) -> None:
    """Add to a counter of the table; KeyError where it is not declared."""
    _one(name, labels).inc(amount)


def gauge(name: str, value: float, **labels: Any) -> None:
    """Set a gauge of the table."""
    _one(name, labels).set(value)


def observe(name: str, seconds: float, **labels: Any) -> None:
    """Add a duration to a histogram of the table."""
    _one(name, labels).observe(seconds)


def metrics_text() -> bytes:
    """Return all numbers in Prometheus' text format."""
    return generate_latest(_registry)
