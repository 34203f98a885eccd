"""The checks of settings that say how people are reached."""

import json
import re
from collections.abc import Mapping

from config_values import safe_address
from pipemon.domain.secrets import Secret


def channels(text: str) -> tuple[tuple[str, Secret], ...]:
    """Return names and secret addresses, of a JSON object."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError('a JSON object of names and addresses, like {"ops": "https://…"}') from None
    if not isinstance(found, dict) or len(found) > 50:
        raise ValueError("a JSON object of at most 50 names and addresses")
    for name, url in found.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name) or name in ("slack", "slack_analytics"):
            raise ValueError("names of small letters, digits, _ and -, other than slack and slack_analytics")
        if not isinstance(url, str):
            raise ValueError("addresses as texts")
        safe_address(url)
    return tuple((name, Secret(url)) for name, url in found.items())


def people(text: str) -> Mapping[str, str]:
    """Return ids of Slack's members by logins of GitHub in small letters, of a JSON object."""
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
    return {login.lower(): member for login, member in found.items()}
