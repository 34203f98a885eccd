"""What an answer says about GitHub's limits: a limit is told from a missing permission by its words and headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipemon.github.clock import parse_http_date

# https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api, and messages that were recorded.
# A secondary limit comes as 403 with requests remaining and without Retry-After: then only the message tells it.
LIMIT_WORDS = re.compile(
    r"rate limit|abuse detection|too many requests|wait a few minutes|temporarily blocked", re.IGNORECASE
)
LONGEST_RETRY_AFTER_SECONDS = 86_400
WINDOW_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Standing:
    """The primary limit as the headers of one answer tell it; None where they don't."""

    limit: int | None
    remaining: int | None
    reset_at: int | None


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers by lower-case name: GitHub has sent three spellings."""
    return {name.lower(): value for name, value in headers.items()}


def standing(headers: Mapping[str, str], now: float) -> Standing | None:
    """Return the standing of the core limit, None where the answer counted against another one, or tells nothing."""
    if headers.get("x-ratelimit-resource", "core") != "core":
        return None
    limit, remaining, reset_at = (
        _number(headers.get(f"x-ratelimit-{part}")) for part in ("limit", "remaining", "reset")
    )
    if remaining is None:
        return None
    if reset_at is not None:
        # Windows are an hour long: a reset beyond that is a broken header, not a wait.
        reset_at = min(reset_at, int(now) + 2 * WINDOW_SECONDS)
    return Standing(limit, remaining, reset_at)


def is_limit(status: int, headers: Mapping[str, str], message: str) -> bool:
    """Whether the answer is the no of a limit, primary or secondary (header names in lower case)."""
    if status == 429:
        return True
    if status != 403:
        return False
    if "retry-after" in headers or LIMIT_WORDS.search(message):
        return True
    # The last call of a window may be refused for a permission: its words win over the count.
    return not message and headers.get("x-ratelimit-remaining") == "0"


def retry_after_seconds(headers: Mapping[str, str], now: float) -> int | None:
    """Return the wait that Retry-After names, in seconds or as a date; None where there is none to be used."""
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is None:
        date = parse_http_date(text)
        if date is None or date <= now:
            return None
        seconds = int(date - now) + 1
    return min(max(seconds, 1), LONGEST_RETRY_AFTER_SECONDS)


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    return int(text)
