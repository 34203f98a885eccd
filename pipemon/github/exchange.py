"""What a call to GitHub brings: the records that pass between the client and the one who sends."""

from dataclasses import dataclass

import requests

from pipemon.github.wire import Answer


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls made so far, those of them that count against the limit (304s don't), and seconds of one, smoothed."""

    calls: int = 0
    counted: int = 0
    seconds_per_call: float = 0.2


@dataclass(frozen=True, slots=True)
class Reply:
    """A usable answer. `unchanged`: a 304 to the very body that the caller has applied; then there is none here."""

    url: str
    etag: str | None
    next_url: str | None
    as_of: int  # GitHub's Date
    unchanged: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One address asked once: the answer as it came, and the response as the cache completed it."""

    url: str
    answer: Answer
    response: requests.Response


def strong(etag: str | None) -> str:
    """Return an ETag without its mark of weakness: GitHub sends the same one with and without."""
    return (etag or "").removeprefix("W/")
