"""Why a job failed, in a word that stays the same from run to run: the errors of its log without what varies.

What a line says of times, numbers, hashes, addresses and folders is left out of the word, never of the line shown.
"""

import hashlib
import re
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

# A step's log is kept by its errors and by its end.
MOST_ERRORS = 100
MOST_HINTS = 50
MOST_TAIL = 100
LONGEST_KEPT_LINE = 1000
LONGEST_TITLE = 200
# More lines say nothing more, and would make one failure look like two.
LINES_IN_SIGNATURE = 3

# What the runner says of every failure.
_GENERIC = re.compile(
    r"Process completed with exit code|The process '.*' failed with exit code|The operation was cancell?ed\.?$"
    r"|make(?:\[\d+\])?: \*\*\* |npm (?:ERR!|error) (?:A complete log|code |errno |path |command |Lifecycle script)"
    r"|error Command failed|ELIFECYCLE",
    re.IGNORECASE,
)
# How tools begin, or mark, the line that says what is wrong.
_STRONG = re.compile(
    r"^\s*(?:FAILED\b|FAIL:|FAIL\s+\S|ERROR\b|\[ERROR\]|--- FAIL:|E   \S|error(?:\[\w+\])?:|fatal:|panic:"
    r"|npm (?:ERR!|error)"
    r"|[\w.]*(?:Error|Exception)\b\s*[:(]|Caused by:|[✕✗✘×] |● .+ › |not ok \d|Error:|Fatal)"
    r"|: (?:fatal )?error\b|\berror [A-Z]{1,4}\d+|\bError: |\bpanicked at\b| \.\.\. FAILED$|\bAssertionError\b"
)
_WEAK = re.compile(
    r"\b(?:errors?|fail(?:ed|ure|ures|s)?|fatal|exceptions?|panic|cannot|can't|not found|denied|undefined|unexpected"
    r"|tim(?:ed|e) ?-?out|killed|abort(?:ed)?|segmentation fault|traceback|refused|no such|invalid|unable to)\b",
    re.IGNORECASE,
)
# Failures of the machine, not of the code: they are counted apart.
_PLATFORM = re.compile(
    r"The (?:hosted|self-hosted) runner.{0,80}lost communication|The runner has received a shutdown signal"
    r"|No space left on device|API rate limit exceeded|You have exceeded a secondary rate limit"
    r"|No runner matching the specified labels|The job was not (?:acquired|started)"
    r"|runner .{0,40} (?:was )?disconnected|GitHub Actions has encountered an internal error"
    r"|Failed to (?:download action|resolve action|CreateArtifact|ListArtifacts)|toomanyrequests"
    r"|Cannot connect to the Docker daemon",
    re.IGNORECASE,
)
# Where a runner checks a repository out.
_HOME = re.compile(r"/home/runner/work/[^/\s]+/[^/\s]+/")
_VARYING: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?\b"), "<time>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\bhttps?://[^\s\"'<>)\]]+"), "<url>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,128}\b"), "<hash>"),
    # A folder varies, the file's own name says what is wrong.
    (
        re.compile(r"(?:\b[A-Za-z]:[\\/]|[\\/]|\.{1,2}[\\/]|\b[\w.@+-]{1,80}[\\/])(?:[\w.@+-]{1,80}[\\/])*(?=[\w.@+-])"),
        "",
    ),
    (re.compile(r"\d+"), "#"),
    (re.compile(r"#(?:[.,:]#)+"), "#"),
    (re.compile(r"\s+"), " "),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a failing step. `timestamp` is GitHub's text of its moment; `level` as in Line."""

    number: int
    timestamp: str | None
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a failure is called. `id` is 16 hex digits, the same for all failures that say the same.

    `title` is the line that says it best; both are None where the log says nothing but that it failed.
    `platform`: the machine failed, not the code.
    """

    id: str | None
    title: str | None
    platform: bool = False


def normalise(text: str) -> str:
    """Return a line without what varies from run to run."""
    text = text[:LONGEST_KEPT_LINE]
    for varying, shown in _VARYING:
        text = varying.sub(shown, text)
    return text.strip()


def fingerprint(text: str) -> int:
    """Return a number of 63 bits that stands for a line, whatever varies in it."""
    return int.from_bytes(hashlib.blake2b(normalise(text).encode("utf-8", "replace"), digest_size=8).digest()) >> 1


@dataclass(slots=True)
class Kept:
    """What is kept of a failing step's log: its first lines that speak of errors, and its last ones."""

    errors: list[Said] = field(default_factory=list)
    hints: list[Said] = field(default_factory=list)
    tail: deque[Said] = field(default_factory=lambda: deque(maxlen=MOST_TAIL))
    has_failed: bool = False  # it has a line that the runner marked as an error

    def see(self, line: Said) -> None:
        """Take the step's next line."""
        if len(line.message) > LONGEST_KEPT_LINE:
            line = Said(line.number, line.timestamp, line.level, line.message[:LONGEST_KEPT_LINE] + " …")
        self.has_failed = self.has_failed or line.level == "error"
        if line.level == "error" or _STRONG.search(line.message):
            if len(self.errors) < MOST_ERRORS:
                self.errors.append(line)
        elif len(self.hints) < MOST_HINTS and _WEAK.search(line.message):
            self.hints.append(line)
        self.tail.append(line)

    def lines(self) -> list[Said]:
        """Return them in the order of the log."""
        found = {line.number: line for line in (*self.errors, *self.hints, *self.tail)}
        return [found[number] for number in sorted(found)]


def sign(lines: Sequence[Said], green: Collection[int] = ()) -> Signature:
    """Return the signature of a failing step's lines; `green` are fingerprints of lines that successful logs have."""
    platform = next((line for line in lines if _PLATFORM.search(line.message)), None)
    if platform is not None:
        return _signature([platform.message], platform=True)
    telling = [line for line in lines if line.message.strip() and not _GENERIC.search(line.message)]
    for chosen in (
        [line for line in telling if line.level == "error"],
        [line for line in telling if _STRONG.search(line.message)],
        [line for line in telling if _WEAK.search(line.message)],
        telling[-LINES_IN_SIGNATURE:],
    ):
        new = [line.message for line in chosen if fingerprint(line.message) not in green]
        if new:
            return _signature(new)
    generic = next((line.message for line in lines if _GENERIC.search(line.message)), None)
    return Signature(None, None) if generic is None else _signature([generic], exact=True)


def _signature(messages: Iterable[str], platform: bool = False, exact: bool = False) -> Signature:
    """Return the signature of the first few different ones; `exact` leaves their numbers in (an exit code)."""
    shown: dict[str, str] = {}
    for message in messages:
        word = message.strip() if exact else normalise(message)
        if word and len(shown) < LINES_IN_SIGNATURE:
            shown.setdefault(word, message)
    if not shown:
        return Signature(None, None, platform)
    # Tests that run side by side fail in any order.
    text = "\n".join(sorted(shown))
    title = _HOME.sub("", " ".join(next(iter(shown.values())).split()))
    if len(title) > LONGEST_TITLE:
        title = title[: LONGEST_TITLE - 1] + "…"
    return Signature(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16], title, platform)
