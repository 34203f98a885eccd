"""GitHub's log of a job: bytes in, lines out, each with its moment, level, step and group.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions, and what real logs hold: every line
begins with a moment of seven digits but the further lines of one message; commands stand as `##[error]` behind it.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from pipemon.domain.runs import Step
from pipemon.domain.times import format_time

LEVELS = ("debug", "info", "notice", "warning", "error")
LONGEST_LINE = 16 * 1024

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ?")
_COMMAND = re.compile(r"##\[(\w+)\]|::(debug|notice|warning|error|group|endgroup)( [^:]*?)?::")
# CSI, OSC (titles, links, the clipboard: up to their end or that of the line), and the other escapes.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]")
# Controls, marks that turn the direction of a text, and halves of characters.
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SPECIAL = ("##[", "::", "Post job cleanup.", "Cleaning up orphan processes")
_BEGINNINGS = ("##[group]Run ", "Post job cleanup.", "##[group]Post ", "Cleaning up orphan processes")


@dataclass(frozen=True, slots=True)
class StepSpan:
    """When a step ran, in Unix seconds."""

    number: int
    name: str
    started_at: int


def spans_of(steps: Iterable[Step]) -> tuple[StepSpan, ...]:
    """Return when those of a job's steps ran that really did."""
    return tuple(
        StepSpan(step.number, step.name, step.started_at)
        for step in steps
        if step.conclusion != "skipped" and step.started_at is not None
    )


@dataclass(frozen=True, slots=True)
class Annotation:
    """Where a message points to. Names and numbers as the workflow's command gave them."""

    file: str | None
    line: int | None
    title: str | None


# One line as it is read: the fields of Line. Of most lines nobody wants more than a look.
Raw: TypeAlias = tuple[int, str | None, str, "StepSpan | None", str | None, str, "Annotation | None"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `timestamp` is GitHub's text of its moment, None before the first; `group` the open group's name."""

    number: int
    timestamp: str | None
    level: str
    in_step: StepSpan | None
    group: str | None
    message: str
    annotation: Annotation | None

    @property
    def step(self) -> str | None:
        """The name of the step that printed it."""
        return self.in_step.name if self.in_step else None

    @property
    def step_number(self) -> int | None:
        """The number of the step that printed it."""
        return self.in_step.number if self.in_step else None


def split_lines(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    """Yield the lines of a text that comes in pieces, many at a time, so that each costs little.

    Bad UTF-8 is replaced. A line that is too long is cut, with a mark that says how long it was.
    """
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest, dropped = "", 0
    for piece in chain(pieces, (None,)):
        text = rest + (decode(piece) if piece is not None else decode(b"", True))
        lines = text.replace("\r\n", "\n").split("\n")
        rest = lines.pop()
        if lines:
            first = _cut(lines[0], dropped) if dropped else None
            if len(text) > LONGEST_LINE:
                lines = [line if len(line) <= LONGEST_LINE else _cut(line, 0) for line in lines]
            if first is not None:
                lines[0], dropped = first, 0
            yield lines
        if len(rest) > LONGEST_LINE:
            dropped += len(rest) - LONGEST_LINE
            rest = rest[:LONGEST_LINE]
    if rest:
        yield [_cut(rest, dropped) if dropped else rest]


def _cut(line: str, dropped: int) -> str:
    return f"{line[:LONGEST_LINE]} … (cut: the line has {len(line) + dropped} characters)"


def clean(text: str) -> str:
    """Return a text without escapes, controls and marks that would make it look like something else."""
    if text.isprintable() and "\u200e" not in text:
        return text
    return _HIDDEN.sub("", _ESCAPES.sub("", text)) if "\x1b" in text or "\x9b" in text else _HIDDEN.sub("", text)


def parse(pieces: Iterable[bytes], steps: Sequence[StepSpan] = ()) -> Iterator[Raw]:
    """Yield the log's lines. `steps` are those that ran, in order; none where they are not known."""
    place = _Place(steps)
    number, stamp, second = 0, None, ""
    for lines in split_lines(pieces):
        for text in lines:
            number += 1
            # The usual form, without a search: 2026-01-31T12:00:00.1234567Z and a space.
            if text[27:29] == "Z " and text[19:20] == ".":
                stamp, message = text[:28], text[29:]
            else:
                stamp, message = _odd(text, number, stamp)
            if not message.isprintable():
                message = clean(message)
            if stamp is not None and stamp[:19] != second:
                second = stamp[:19]
                place.move_to(second)
            if message.startswith(_SPECIAL):
                level, message, note = place.command(message)
                yield (number, stamp, level, place.step, place.group, message, note)
            else:
                yield (number, stamp, "info", place.step, place.group, message, None)


def _odd(text: str, number: int, before: str | None) -> tuple[str | None, str]:
    """Return moment and message of a line that does not begin as most do; a further line has the one before's."""
    text = text.removeprefix("\ufeff") if number == 1 else text
    found = _STAMP.match(text)
    return (found[0].rstrip(), text[found.end() :]) if found else (before, text)


class _Place:
    """Where in the job a line stands."""

    def __init__(self, steps: Sequence[StepSpan]) -> None:
        self._steps = sorted(steps, key=lambda step: step.number)
        self._starts = [(format_time(step.started_at) or "")[:19] for step in self._steps]
        self._at = -1
        self._second = ""
        self.step: StepSpan | None = None
        self.group: str | None = None
        self._marked = True  # whether the words with which the runner begins a step were seen of this one

    def move_to(self, second: str) -> None:
        """Come to another second: a step that began in an earlier one has begun."""
        self._second = second
        while self._at + 1 < len(self._steps) and self._starts[self._at + 1] < second:
            self._begin(marked=False)
        if self._at < 0 and self._steps and self._starts[0] <= second:
            self._begin(marked=True)

    def _begin(self, marked: bool) -> None:
        self._at += 1
        self.step, self.group = self._steps[self._at], None
        # The runner's own first step has no such words.
        self._marked = marked or self._at == 0

    def command(self, message: str) -> tuple[str, str, Annotation | None]:
        """Return level, text and annotation of a message that is one of the runner's own."""
        if message.startswith(_BEGINNINGS):
            # Of steps that began in one second, these words tell them apart.
            following = self._at + 1
            if self._marked and following < len(self._steps) and self._starts[following] <= self._second:
                self._begin(marked=True)
            self._marked = True
        found = _COMMAND.match(message)
        if found is None:
            return "info", message, None
        word, text = (found[1] or found[2]).lower(), message[found.end() :]
        if word == "group":
            self.group = text
            return "info", text, None
        if word == "endgroup":
            self.group = None
            return "info", "", None
        level = word if word in LEVELS else "info"
        return level, text, _annotation(found[3]) if found[2] else None


def _annotation(text: str | None) -> Annotation | None:
    """Return what `file=a.py,line=3,title=…` says."""
    said = dict(part.strip().partition("=")[::2] for part in (text or "").split(",") if "=" in part)
    if not said:
        return None
    line = said.get("line", "")
    return Annotation(said.get("file"), int(line) if line.isdigit() and len(line) < 10 else None, said.get("title"))
