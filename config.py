# ruff: noqa: RUF009 -- each call in the table below makes a field()
"""The settings: the only reader of the environment, every value checked before anything starts."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from dotenv import dotenv_values

import config_channels as reach
import config_values as check
from config_contradictions import contradictions
from config_values import ApiKey
from pipemon.domain.cron import Cron
from pipemon.domain.secrets import Secret

_OWNER, _REPO = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", r"(?!\.{1,2}(?:$|/))[A-Za-z0-9._-]{1,100}"
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# The simulator's owner, whose repositories the demo watches.
DEMO_OWNER = "octo-harbor"
# How the process that started the simulator tells those it forks: its address, and the demo key's API_KEYS entry.
_DEMO_URL, _DEMO_KEY = "PIPEMON_DEMO_API_URL", "PIPEMON_DEMO_KEY"


class SettingsError(ValueError):
    """The settings can't be used; the text has one line per mistake, each naming its variable."""


def _is(default: str, parse: Callable[[str], Any], *, hidden: bool = False) -> Any:
    """Declare a setting: its default as text, its check, and whether its text is a secret (then `NAME_FILE` works)."""
    return field(repr=not hidden, metadata={"default": default, "parse": parse, "hidden": hidden})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked: the name in the environment is the attribute's in capitals. The last four are derived."""

    github_token: Secret | None = _is("", check.secret(check.token), hidden=True)
    github_actions_token: Secret | None = _is("", check.secret(check.token), hidden=True)
    github_owner: str | None = _is("", check.optional(check.word(_OWNER, "the name of a user or an organisation")))
    github_repo: tuple[str, ...] = _is(
        "", check.list_of(check.word(rf"\*|{_REPO}", "names without the owner, comma list, or *"))
    )
    github_repositories: tuple[str, ...] = _is(
        "", check.list_of(check.word(f"{_OWNER}/{_REPO}", "a comma list of owner/name"))
    )
    github_api_url: str = _is("https://api.github.com", check.safe_address)
    github_app_id: str | None = _is("", check.optional(check.word("[0-9]{1,18}", "the App's number")))
    github_app_private_key: Secret | None = _is("", check.secret(check.private_key), hidden=True)
    github_app_installation_id: str | None = _is("", check.optional(check.word("[0-9]{1,18}", "its number")))
    github_webhook_secret: tuple[Secret, ...] = _is("", check.secrets, hidden=True)
    slack_webhook_url: Secret | None = _is("", check.secret(check.safe_address), hidden=True)
    slack_analytics_webhook_url: Secret | None = _is("", check.secret(check.safe_address), hidden=True)
    slack_bot_token: Secret | None = _is(
        "", check.secret(check.word("xoxb-[!-~]+", "a bot's token, xoxb-…")), hidden=True
    )
    slack_channel: str | None = _is(
        "", check.optional(check.word("[CG][A-Z0-9]{6,20}|#[^ ,]{1,80}", "an id, or #name"))
    )
    slack_api_url: str = _is("https://slack.com/api", check.safe_address)
    slack_people: tuple[tuple[str, str], ...] = _is("", reach.people)
    smtp_url: Secret | None = _is("", check.secret(reach.smtp), hidden=True)
    email_from: str | None = _is("", check.optional(reach.mail_address))
    email_to: tuple[str, ...] = _is("", check.list_of(reach.mail_address))
    channels: tuple[tuple[str, Secret], ...] = _is("", reach.channels, hidden=True)
    heartbeat_url: Secret | None = _is("", check.secret(check.safe_address), hidden=True)
    channel_signing_secret: Secret | None = _is("", check.secret(check.word(".+", "a text in one line")), hidden=True)
    registry: str = _is("ghcr.io", check.word(r"[A-Za-z0-9.:/_-]+", "a registry's host name"))
    allowed_origins: tuple[str, ...] = _is('["http://localhost:3000"]', check.origins)
    allowed_hosts: tuple[str, ...] = _is("", check.list_of(check.host))
    cache_ttl: int = _is("300", check.whole(0, 86_400))
    default_page_size: int = _is("20", check.whole(1, 1000))
    max_page_size: int = _is("100", check.whole(1, 1000))
    log_level: str = _is("INFO", check.level)
    host: str = _is("127.0.0.1", check.host)
    port: int = _is("8000", check.whole(1, 65_535))
    web_concurrency: int = _is("1", check.whole(1, 64))
    trusted_proxies: int = _is("0", check.whole(0, 10))
    public_url: str | None = _is("", check.optional(check.web_address))
    api_keys: tuple[ApiKey, ...] = _is("", check.api_keys, hidden=True)
    allow_anonymous_read: bool = _is("false", check.flag)
    exclude_workflows: tuple[str, ...] = _is("", check.list_of(str))
    deployment_workflows: tuple[str, ...] = _is("*deploy*,*release*", check.list_of(str))
    deployment_branches: tuple[str, ...] = _is("@default", check.list_of(str))
    runner_prices: tuple[tuple[str, float], ...] = _is(check.PRICES, check.prices)
    production_environments: tuple[str, ...] = _is("production,prod", check.list_of(str))
    poll_interval_active: int = _is("5", check.whole(1, 3600))
    poll_interval_idle: int = _is("60", check.whole(1, 3600))
    retention_days: int = _is("730", check.whole(1, 3650))
    event_retention_days: int = _is("30", check.whole(1, 3650))
    backfill_days: int = _is("90", check.whole(0, 3650))
    notify_max_age_minutes: int = _is("60", check.whole(1, 10_080))
    queued_too_long_minutes: int = _is("15", check.whole(1, 10_080))
    digest_daily: Cron | None = _is("0 8 * * *", check.cron)
    digest_weekly: Cron | None = _is("0 8 * * 1", check.cron)
    digest_tz: ZoneInfo = _is("UTC", check.zone)
    outbound_allow: tuple[str, ...] = _is("", check.list_of(check.host_or_network))
    log_max_bytes: int = _is(str(2 * 1024**3), check.whole(1, 2**40))
    data_dir: Path = _is("./data", Path)
    database_url: str = _is("", check.database, hidden=True)

    demo: bool = False
    repositories: tuple[str, ...] = ()
    all_of_owner: bool = False
    secret_files: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> "Settings":
        """Return the settings of the environment, which goes before the file; SettingsError tells all mistakes."""
        texts = _Texts(os.environ if environ is None else environ, env_file)
        values = {item.name: texts.value(item.name, item.metadata) for item in fields(cls) if item.metadata}
        mistakes = [*texts.mistakes, *contradictions(texts.given, values)]
        if mistakes:
            raise SettingsError("\n".join(mistakes))
        return _derive(cls(**values, secret_files=texts.files), texts)

    @property
    def workers(self) -> int:
        """Processes that serve: on SQLite always one, since its file has one writer and its cache one owner."""
        return self.web_concurrency if self.database_url.startswith("postgresql") else 1

    def secrets(self) -> tuple[Secret, ...]:
        """Return every configured secret, for those who must never show one."""
        values = [getattr(self, item.name) for item in fields(self)]
        more = (*self.github_webhook_secret, *dict(self.channels).values())
        found = [one for one in (*values, *more) if isinstance(one, Secret)]
        password = urlsplit(self.database_url).password
        return (*found, *(Secret(text) for text in {password, unquote(password)} if text)) if password else tuple(found)


def announce_demo(api_url: str, key_entry: str) -> None:
    """Let the processes that this one forks find the simulator at the address, and know the demo key's entry."""
    os.environ.update({_DEMO_URL: api_url, _DEMO_KEY: key_entry})


def demo_environment() -> dict[str, str]:
    """Return the environment with everything blanked that keeps the demo away, also where .env has it."""
    kept_off = {item.name.upper() for item in fields(Settings) if item.name.startswith(("github_", "database_"))}
    return dict(os.environ) | {f"{name}{suffix}": "" for name in kept_off for suffix in ("", "_FILE")}


class _Texts:
    """The texts of the settings. Blank is as good as absent: compose files pass unset variables on as blanks."""

    def __init__(self, environ: Mapping[str, str], env_file: Path | None) -> None:
        self.mistakes: list[str] = []
        self.files: dict[str, Path] = {}
        both = self._in(env_file) | dict(environ)
        self._given = {name: text.strip() for name, text in both.items() if text.strip()}

    def _in(self, env_file: Path | None) -> dict[str, str]:
        try:
            read = dotenv_values(env_file, interpolate=False) if env_file and env_file.is_file() else {}
        except (OSError, ValueError) as error:
            self.mistakes.append(f"{env_file}: can't be read ({error}); allowed: a text file that can, or none")
            return {}
        return {name: text or "" for name, text in read.items()}

    def given(self, name: str) -> str:
        """Return what was given for a variable, be it by a file, else an empty text."""
        return self._given.get(name, "")

    def value(self, attribute: str, declared: Mapping[str, Any]) -> Any:
        """Return a setting's value; where its text is wrong, note the mistake and return the default's."""
        name = attribute.upper()
        if declared["hidden"]:
            self._read_file(name)
        text, parse = self.given(name), declared["parse"]
        try:
            return parse(text or declared["default"])
        except ValueError as error:
            shown = str(Secret(text)) if declared["hidden"] else repr(text if len(text) <= 60 else f"{text[:60]}…")
            self.mistakes.append(f"{name}: got {shown}; allowed: {error}")
            return parse(declared["default"])

    def _read_file(self, name: str) -> None:
        variable = f"{name}_FILE"
        if not self.given(variable):
            return
        path = Path(self.given(variable))
        if self.given(name):
            self.mistakes.append(f"{variable}: got {str(path)!r}; allowed: {name} or {variable}, not both")
        try:
            self._given[name] = path.read_text().strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a text"
            self.mistakes.append(f"{variable}: got {str(path)!r} ({why}); allowed: a file that can be read")
            self._given[name] = ""
            return
        if not self._given[name]:
            self.mistakes.append(f"{variable}: got {str(path)!r} (empty); allowed: a file that holds the secret")
        self.files[name] = path


def _derive(settings: Settings, texts: _Texts) -> Settings:
    """Return the settings with all that follows from others filled in."""
    named = (f"{settings.github_owner}/{name}" for name in settings.github_repo if name != "*")
    # GitHub's names are equal in any case of their letters; the spelling given first is kept.
    once: dict[str, str] = {}
    for name in (*settings.github_repositories, *named):
        once.setdefault(name.lower(), name)
    demo = not (settings.github_token or settings.github_app_id or once or settings.github_owner)
    inbox = Secret(f"{texts.given(_DEMO_URL)}/_slack/services/demo") if demo and texts.given(_DEMO_URL) else None
    public = urlsplit(settings.public_url or "").hostname
    found = replace(
        settings,
        demo=demo,
        repositories=tuple(once.values()),
        all_of_owner="*" in settings.github_repo,
        slack_webhook_url=settings.slack_webhook_url or inbox,
        slack_analytics_webhook_url=settings.slack_analytics_webhook_url or settings.slack_webhook_url or inbox,
        allowed_hosts=settings.allowed_hosts or (*_LOOPBACK_NAMES, *((public,) if public else ())),
        database_url=settings.database_url or f"sqlite:///{settings.data_dir / 'pipemon.sqlite3'}",
    )
    return _demonstrate(found, texts) if demo else found


def _demonstrate(settings: Settings, texts: _Texts) -> Settings:
    """Return the settings with the simulator, where it was announced, in GitHub's place."""
    return replace(
        settings,
        github_api_url=texts.given(_DEMO_URL) or settings.github_api_url,
        github_token=Secret("the-simulator-takes-any"),
        github_owner=DEMO_OWNER,
        outbound_allow=(*settings.outbound_allow, *_LOOPBACK_NAMES),  # where the simulator keeps its logs
        all_of_owner=True,
        # A forgotten token must not put invented runs among real ones.
        database_url=f"sqlite:///{settings.data_dir / 'demo.sqlite3'}",
        api_keys=settings.api_keys + check.api_keys(texts.given(_DEMO_KEY)),
    )
