"""The checks of settings that say how people are reached."""

import json
import re
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import urlsplit

from config_values import list_of, safe_address, word
from pipemon.domain.secrets import Secret

OWN = ("slack", "slack_analytics", "email")
LOCAL = ("dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
_MAIL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?"
mail_address = word(_MAIL, "an address like builds@example.com")


def smtp(text: str) -> str:
    """Return the address of a mail server."""
    allowed = "smtps://user:password@host:465, or smtp://user:password@host:587, ?tls=no without STARTTLS"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(allowed) from None
    if not usable or parts.path.strip("/") or parts.fragment or parts.query not in ("", "tls=no"):
        raise ValueError(allowed)
    return text


def _check_apprise(address: str) -> None:
    if address.partition(":")[0] in LOCAL:
        raise ValueError("addresses of Apprise's that reach people, not this machine's own desktop or log")
    if find_spec("apprise") is None:
        raise ValueError("apprise: only where it is installed: pip install -r requirements-apprise.txt")
    if not import_module("apprise").Apprise().add(address):
        raise ValueError("apprise: and an address of Apprise's, like apprise:tgram://…")


def channels(text: str) -> tuple[tuple[str, Secret], ...]:
    """Return names and secret addresses, of a JSON object."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError('a JSON object of names and addresses, like {"ops": "https://…"}') from None
    if not isinstance(found, dict) or len(found) > 50:
        raise ValueError("a JSON object of at most 50 names and addresses")
    for name, url in found.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name) or name in OWN:
            raise ValueError(f"names of small letters, digits, _ and -, other than {', '.join(OWN)}")
        if not isinstance(url, str):
            raise ValueError("addresses as texts")
        scheme, _, rest = url.partition(":")
        if scheme == "mailto":
            list_of(mail_address)(rest)
        elif scheme == "apprise":
            _check_apprise(rest)
        else:
            safe_address(url)
    return tuple((name, Secret(url)) for name, url in found.items())


def people(text: str) -> tuple[tuple[str, str], ...]:
    """Return logins of GitHub, in small letters, and ids of Slack's members, of a JSON object."""
    allowed = 'a JSON object of GitHub logins and Slack member ids, like {"octocat": "U024BE7LH"}'
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError(allowed) from None
    if not isinstance(found, dict) or len(found) > 5000:
        raise ValueError(allowed)
    for login, member in found.items():
        is_member = isinstance(member, str) and re.fullmatch(r"[UW][A-Z0-9]{5,20}", member)
        if not (is_member and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", login)):
            raise ValueError(allowed)
    return tuple((login.lower(), member) for login, member in found.items())
