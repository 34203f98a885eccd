"""Reading a log line by line, beside plain Python that strips the moments off the same lines."""

import io
import time
from collections.abc import Iterator

from benchmarks.report import Figure, at_most, plain
from pipemon.domain.logs import StepSpan, parse

MEGABYTES = 50
PIECE = 64 * 1024
START = 1_769_860_800


def measure() -> list[Figure]:
    """50 MB of a usual log: one line in twenty with colours, one in two hundred a command of the runner."""
    text = _text(MEGABYTES * 1_000_000)
    steps = tuple(StepSpan(number, f"step {number}", START + number * 60) for number in range(1, 40))
    ours = min(_timed(lambda: _parse(text, steps)) for _ in range(3))
    bare = min(_timed(lambda: _strip(text)) for _ in range(3))
    return [
        plain("MB a second, parsed / stripped", f"{len(text) / 1e6 / ours:.0f} / {len(text) / 1e6 / bare:.0f}"),
        at_most("time beside reading and stripping the moment", ours / bare, 3, "x"),
    ]


def _text(size: int) -> bytes:
    lines = []
    for number in range(2000):
        message = (
            f"tests/test_basket.py::test_{number} PASSED [{number % 100:3}%] in a line of the usual length, of a test"
        )
        if number % 20 == 0:
            message = f"\x1b[32m{message}\x1b[0m"
        if number % 200 == 0:
            message = f"##[group]Run step {number}"
        second = number // 20  # of a job that prints twenty lines a second
        lines.append(f"2026-01-31T12:{second // 60:02}:{second % 60:02}.{number:07}Z {message}\r\n")
    once = "".join(lines).encode()
    return once * (size // len(once) + 1)


def _pieces(text: bytes) -> Iterator[bytes]:
    for at in range(0, len(text), PIECE):
        yield text[at : at + PIECE]


def _parse(text: bytes, steps: tuple[StepSpan, ...]) -> int:
    return sum(len(line[5]) for line in parse(_pieces(text), steps))


def _strip(text: bytes) -> int:
    return sum(len(line.decode("utf-8", "replace")[29:].rstrip()) for line in io.BytesIO(text))


def _timed(work: object) -> float:
    started = time.process_time()
    work()  # type: ignore[operator]
    return time.process_time() - started
