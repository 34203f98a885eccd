"""GitHub's logs, line by line: the usual, the odd, and the hostile."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipemon.domain.logs import LONGEST_LINE, Line, StepSpan, clean, parse, split_lines

GOLDEN = Path(__file__).parents[1] / "samples" / "logs"
T0 = 1_769_860_800  # 2026-01-31T12:00:00Z


def read(text: str | bytes, steps: tuple[StepSpan, ...] = ()) -> list[Line]:
    return [Line(*raw) for raw in parse([text if isinstance(text, bytes) else text.encode()], steps)]


def as_json(line: Line) -> dict[str, Any]:
    return {
        "line": line.number, "at": line.timestamp, "level": line.level, "step": line.step_number,
        "group": line.group, "message": line.message,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt")))
def test_golden(name: str) -> None:
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    steps = tuple(StepSpan(*step) for step in expected["steps"])
    assert [as_json(line) for line in read((GOLDEN / f"{name}.txt").read_bytes(), steps)] == expected["lines"]


def stamped(second: int, message: str) -> str:
    return f"2026-01-31T12:00:{second:02}.1234567Z {message}\n"


def test_further_lines_of_a_message_have_its_moment() -> None:
    found = read(stamped(1, "first") + "second\n" + stamped(2, "third"))
    assert [(line.timestamp, line.message) for line in found] == [
        ("2026-01-31T12:00:01.1234567Z", "first"),
        ("2026-01-31T12:00:01.1234567Z", "second"),
        ("2026-01-31T12:00:02.1234567Z", "third"),
    ]


def test_steps_of_one_second_are_told_apart_by_the_runners_words() -> None:
    steps = tuple(
        StepSpan(number, f"step {number}", T0 + at) for number, at in ((1, 0), (2, 3), (3, 3), (4, 3), (9, 8))
    )
    text = (
        stamped(0, "Runner version") + stamped(3, "##[group]Run a") + stamped(3, "x") + stamped(3, "##[group]Run b")
        + stamped(3, "y") + stamped(3, "##[group]Run c") + stamped(5, "z") + stamped(8, "Post job cleanup.")
        + stamped(9, "##[group]Run nested")
    )  # fmt: skip
    assert [line.step_number for line in read(text, steps)] == [1, 2, 2, 3, 3, 4, 4, 9, 9]


@pytest.mark.parametrize(
    ("message", "level", "shown"),
    [
        ("##[error]Process completed with exit code 1.", "error", "Process completed with exit code 1."),
        ("##[warning]old", "warning", "old"),
        ("##[notice]see", "notice", "see"),
        ("##[debug]x", "debug", "x"),
        ("##[command]/usr/bin/git", "info", "/usr/bin/git"),
        ("::error file=a.py,line=3,title=T::broken", "error", "broken"),
        ("::warning::w", "warning", "w"),
        ("::other::kept", "info", "::other::kept"),
        ("not ##[error] at the start", "info", "not ##[error] at the start"),
    ],
)
def test_levels(message: str, level: str, shown: str) -> None:
    (line,) = read(stamped(1, message))
    assert (line.level, line.message) == (level, shown)


def test_an_annotation_points_somewhere() -> None:
    (line,) = read(stamped(1, "::error file=app/a.py,line=3,col=9,title=Broken::no"))
    assert line.annotation is not None
    assert (line.annotation.file, line.annotation.line, line.annotation.title) == ("app/a.py", 3, "Broken")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=\x07clip", "clip"),
        ("\x1b]0;never ends", ""),
        ("a\x00b\x07c", "abc"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\x9b31mc1", "c1"),
        ("tab\tstays", "tab\tstays"),
        ("ünïcödé ✓ 漢字", "ünïcödé ✓ 漢字"),
        ("\x1b(Bx\x1b[?25l\x1b[2Ky", "xy"),
    ],
)
def test_L4_nothing_that_acts_on_a_terminal_or_turns_a_text(raw: str, shown: str) -> None:
    assert clean(raw) == shown
    (line,) = read(stamped(1, raw))
    assert line.message == shown


def test_L4_bad_bytes_are_replaced_and_a_mark_of_order_is_none() -> None:
    found = read(b"\xef\xbb\xbf2026-01-31T12:00:01.1234567Z bad \xff\xfe\r\n")
    assert [(line.message, line.timestamp) for line in found] == [("bad \ufffd\ufffd", "2026-01-31T12:00:01.1234567Z")]


def test_L3_a_line_without_an_end_is_cut_and_kept_small() -> None:
    size = 10 * 1024 * 1024
    seen = 0

    def pieces() -> Iterator[bytes]:
        nonlocal seen
        for _ in range(size // 65536):
            seen += 65536
            yield b"x" * 65536
        yield b"\n" + stamped(1, "after").encode()

    found = [line for lines in split_lines(pieces()) for line in lines]
    assert len(found) == 2
    assert len(found[0]) < LONGEST_LINE + 60
    assert f"cut: the line has {size} characters" in found[0]
    assert found[1].endswith("after")


@pytest.mark.parametrize("width", [1, 2, 7, 64, 100_000])
def test_L3_where_the_pieces_end_makes_no_difference(width: int) -> None:
    text = (stamped(1, "a" * 50) + "\r\n\n" + stamped(2, "é✓" * 20) + "y" * (LONGEST_LINE + 9) + "\nlast").encode()
    pieces = [text[at : at + width] for at in range(0, len(text), width)]
    assert [line for lines in split_lines(pieces) for line in lines] == [
        line for lines in split_lines([text]) for line in lines
    ]


def test_an_empty_log_has_no_lines() -> None:
    assert read("") == []
