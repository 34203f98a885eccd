"""What the text of a setting may be: pure checks that return the value, or raise ValueError with what is allowed."""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pipemon.domain.addresses import is_loopback
from pipemon.domain.cron import Cron, parse_cron
from pipemon.domain.secrets import Secret

ON = {"1", "true", "yes", "on"}
OFF = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may call: `scope` is read, operate or admin; `logs`: may read build logs; `sha256`: of the key, in hex."""

    name: str
    scope: str
    logs: bool
    sha256: str


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return the check of a whole number within the bounds."""

    def parse(text: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,15}", text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"a whole number from {low} to {high}")

    return parse


def word(pattern: str, allowed: str) -> Callable[[str], str]:
    """Return the check of a text that a pattern matches as a whole."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text):
            return text
        raise ValueError(allowed)

    return parse


token = word(r"[!-~]+", "a token in one line")


def optional(one: Callable[[str], str]) -> Callable[[str], str | None]:
    """Return the check of a text that may be left out: None."""
    return lambda text: one(text) if text else None


def secret(one: Callable[[str], str]) -> Callable[[str], Secret | None]:
    """Return the check of a secret that may be left out: None."""
    return lambda text: Secret(one(text)) if text else None


def secrets(text: str) -> tuple[Secret, ...]:
    """Return a secret, or two of which both count while the one takes the other's place."""
    found = list_of(word(".+", "a text in one line, or two with a comma between"))(text)
    if len(found) > 2:
        raise ValueError("one secret, or two (the new and the old one) with a comma between")
    return tuple(Secret(one) for one in found)


# GitHub's list of 2026: https://docs.github.com/billing/reference/actions-runner-pricing
PRICES = (
    '{"self-hosted": 0, "ubuntu-slim": 0.002, "ubuntu-*": 0.006, "ubuntu-*-arm": 0.005, "windows-*": 0.01, '
    '"windows-*-arm": 0.008, "macos-*": 0.062, "macos-*-large": 0.077, "macos-*-xlarge": 0.102}'
)


def prices(text: str) -> tuple[tuple[str, float], ...]:
    """Return globs of runner labels and their dollars a minute, of a JSON object."""
    allowed = 'a JSON object of labels and dollars a minute, like {"ubuntu-*": 0.006, "self-hosted": 0}'
    try:
        found = json.loads(text, parse_constant=lambda word: None)
    except (ValueError, RecursionError):
        raise ValueError(allowed) from None
    if not isinstance(found, dict) or len(found) > 200:
        raise ValueError(allowed)
    for label, price in found.items():
        is_price = isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price <= 1000
        if not (is_price and re.fullmatch(r"[!-~]{1,100}", label)):
            raise ValueError(allowed)
    return tuple((label, float(price)) for label, price in found.items())


def list_of(one: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """Return the check of a comma list: each part once, order kept."""

    def parse(text: str) -> tuple[str, ...]:
        parts = (part.strip() for part in text.split(","))
        return tuple(dict.fromkeys(one(part) for part in parts if part))

    return parse


def flag(text: str) -> bool:
    """Return a yes or no."""
    if text.lower() in ON | OFF:
        return text.lower() in ON
    raise ValueError("true or false")


def level(text: str) -> str:
    """Return the name of a log level, in capitals."""
    names = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    return word("|".join(names), f"one of {', '.join(names)}")(text.upper())


def cron(text: str) -> Cron | None:
    """Return times in cron's five fields; none for "off"."""
    try:
        return None if text.lower() == "off" else parse_cron(text)
    except ValueError as error:
        raise ValueError(f'"off", or cron\'s five fields, like 0 8 * * 1 ({error})') from None


def zone(text: str) -> ZoneInfo:
    """Return a time zone by its name."""
    if text not in available_timezones():
        raise ValueError("a time zone of the IANA database, such as Europe/Berlin")
    return ZoneInfo(text)


def web_address(text: str) -> str:
    """Return an http or https address, without the slash at its end."""
    parts = urlsplit(text)
    allowed = "an http or https address without user, query, fragment, blank or backslash"
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment or re.search(r"[\s\\]", text):
        raise ValueError(allowed)
    return text.rstrip("/")


def safe_address(text: str) -> str:
    """Return an address that secrets may be sent to: https, or http on this machine."""
    address = web_address(text)
    if urlsplit(address).scheme == "http" and not is_loopback(urlsplit(address).hostname or ""):
        raise ValueError("an https address (http on a loopback host only)")
    return address


def origin(text: str) -> str:
    """Return a browser origin in lower case."""
    found = text.rstrip("/").lower()
    pattern = r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?"
    return word(pattern, "a JSON or comma list of origins like https://dash.example.com:8443 (no *, null or path)")(
        found
    )


def origins(text: str) -> tuple[str, ...]:
    """Return browser origins from a JSON list or a comma list: both are in use."""
    if not text.startswith("["):
        return list_of(origin)(text)
    try:
        values = json.loads(text)
    except ValueError:
        raise ValueError('a JSON list such as ["https://dash.example.com"], or a comma list') from None
    return tuple(dict.fromkeys(origin(str(value)) for value in values))


host = word(r"\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:]+|[A-Za-z0-9._-]+", "a host name or an address, without a port")


def host_or_network(text: str) -> str:
    """Return a host name, or a network in its usual notation."""
    try:
        return str(ipaddress.ip_network(text)) if "/" in text else host(text)
    except ValueError:
        raise ValueError("a comma list of host names, addresses and networks such as 10.0.0.0/8") from None


def database(text: str) -> str | None:
    """Return the address of a SQLite file or of a PostgreSQL database, the latter with our driver's name in it."""
    if not text or re.fullmatch(r"sqlite:///.+", text):
        return text or None
    rest = re.fullmatch(r"(?:postgres|postgresql|postgresql\+psycopg)://(.+)", text)
    if rest is None:
        raise ValueError("sqlite:///path/to/file or postgresql://user:password@host/database")
    return f"postgresql+psycopg://{rest[1]}"


def private_key(text: str) -> str:
    """Return a private key in PEM form; line ends may be written as backslash and n, as .env files need it."""
    key = text.replace("\\n", "\n")
    if not re.match(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s", key):
        raise ValueError("a private key in PEM form (line ends may be written as \\n)")
    return key


def api_keys(text: str) -> tuple[ApiKey, ...]:
    """Return the keys of a list of `name:scope:sha256`. Whoever may operate may read logs; readers need `+logs`."""
    found: dict[str, ApiKey] = {}
    for entry in list_of(str)(text):
        parts = re.fullmatch(r"([A-Za-z0-9._-]{1,64}):(read|operate|admin)(\+logs)?:([0-9A-Fa-f]{64})", entry)
        if parts is None:
            raise ValueError("a comma list of name:scope:sha256, scope read, read+logs, operate or admin")
        name, scope, logs, digest = parts.groups()
        if name in found or any(key.sha256 == digest.lower() for key in found.values()):
            raise ValueError("each name and each key once")
        found[name] = ApiKey(name, scope, bool(logs) or scope != "read", digest.lower())
    return tuple(found.values())
