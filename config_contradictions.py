"""Settings that are right alone and wrong together."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import config_values as check
from pipemon.domain.addresses import is_loopback


def contradictions(given: Callable[[str], str], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each: what was given, and what is allowed. `given` returns a variable's text."""
    app = ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_INSTALLATION_ID")
    credentials = bool(given("GITHUB_TOKEN") or any(map(given, app)))
    if missing := [name for name in app if not given(name)] if any(map(given, app)) else []:
        yield f"{missing[0]}: got nothing; allowed: all of {', '.join(app)}, or none"
    if given("GITHUB_TOKEN") and any(map(given, app)):
        yield "GITHUB_TOKEN: got *** beside GITHUB_APP_ID; allowed: a token or an App, not both"
    for one, other in (("SLACK_BOT_TOKEN", "SLACK_CHANNEL"), ("SLACK_CHANNEL", "SLACK_BOT_TOKEN")):
        if given(one) and not given(other):
            yield f"{other}: got nothing, with {one} set; allowed: both, or neither"
    by_mail = any(url.reveal().startswith("mailto:") for _, url in values["channels"])
    mail = ("SMTP_URL", "EMAIL_FROM") if by_mail and not given("EMAIL_TO") else ("SMTP_URL", "EMAIL_FROM", "EMAIL_TO")
    if (by_mail or any(map(given, mail))) and (missing := [name for name in mail if not given(name)]):
        yield f"{missing[0]}: got nothing; allowed: all of {', '.join(mail)}, or none"
    watched = [name for name in ("GITHUB_OWNER", "GITHUB_REPO", "GITHUB_REPOSITORIES") if given(name)]
    if watched and not credentials:
        yield f"GITHUB_TOKEN: got nothing, with {watched[0]} set; allowed: a token (or GITHUB_APP_*) that may read it"
    if credentials and not watched:
        yield "GITHUB_OWNER: got nothing; allowed: GITHUB_OWNER with GITHUB_REPO, or GITHUB_REPOSITORIES"
    if given("GITHUB_REPO") and not given("GITHUB_OWNER"):
        yield f"GITHUB_OWNER: got nothing, with GITHUB_REPO={given('GITHUB_REPO')!r}; allowed: the owner of that"
    if given("GITHUB_OWNER") and not given("GITHUB_REPO") and not given("GITHUB_REPOSITORIES"):
        yield "GITHUB_REPO: got nothing; allowed: one name, a comma list of names, or * for all of the owner's"
    if "*" in values["github_repo"] and (len(values["github_repo"]) > 1 or values["github_repositories"]):
        yield f"GITHUB_REPO: got {given('GITHUB_REPO')!r} beside other names; allowed: * alone, or names"
    if not (is_loopback(values["host"]) or given("API_KEYS") or values["allow_anonymous_read"]):
        yield f"HOST: got {values['host']!r}, public, without API_KEYS; allowed: a key, or ALLOW_ANONYMOUS_READ=true"
    if given("FLASK_DEBUG").lower() not in check.OFF | {""}:
        yield f"FLASK_DEBUG: got {given('FLASK_DEBUG')!r}; allowed: nothing (its debugger runs what visitors type)"
    if values["web_concurrency"] > 1 and not (values["database_url"] or "").startswith("postgresql"):
        yield f"WEB_CONCURRENCY: got {values['web_concurrency']}; allowed: 1, or more with DATABASE_URL=postgresql://…"
    for low, high in (("default_page_size", "max_page_size"), ("poll_interval_active", "poll_interval_idle")):
        if values[low] > values[high]:
            yield f"{low.upper()}: got {values[low]}; allowed: no more than {high.upper()}, {values[high]}"
