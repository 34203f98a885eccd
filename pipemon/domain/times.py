"""Moments as pipemon keeps them: whole Unix seconds, UTC. Only this module turns them into text and back."""

from datetime import UTC, datetime


def parse_time(text: object) -> int | None:
    """Return the Unix second of an RFC 3339 text, or None where it is none.

    GitHub has sent three shapes over the years: with `Z`, with fractions of a second, with a zone offset.
    A zone-less or absurd time is None: it must never become a moment that looks right.
    """
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or not 1970 < moment.year < 3000:
        return None
    return int(moment.timestamp())


def format_time(moment: float | None) -> str | None:
    """Return RFC 3339 with `Z`, to the second (to the millisecond where the moment has a fraction)."""
    if moment is None:
        return None
    precision = "seconds" if moment == int(moment) else "milliseconds"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def bucket_start(moment: float, seconds: int) -> int:
    """Return the start of the time bucket of that many seconds in which the moment lies."""
    return int(moment) // seconds * seconds
