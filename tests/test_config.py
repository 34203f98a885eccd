"""The settings: each default, each check, all mistakes at once, and no secret in what is said about them."""

import dataclasses
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config import ApiKey, Settings, SettingsError, announce_demo, demo_environment
from pipemon.domain.cron import parse_cron
from pipemon.domain.secrets import Secret

TOKEN = "ghp_" + "a" * 36
WATCHING = {"GITHUB_TOKEN": TOKEN, "GITHUB_OWNER": "acme", "GITHUB_REPO": "shop"}
DIGEST = "ab" * 32
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
APP = {"GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY": PEM, "GITHUB_APP_INSTALLATION_ID": "34"}

# What CONTRACT promises, written down a second time.
DEFAULTS = {
    "github_token": None,
    "github_owner": None,
    "github_repo": (),
    "github_repositories": (),
    "github_api_url": "https://api.github.com",
    "github_actions_token": None,
    "github_app_id": None,
    "github_app_private_key": None,
    "github_app_installation_id": None,
    "github_webhook_secret": (),
    "channels": (),
    "channel_signing_secret": None,
    "slack_webhook_url": None,
    "slack_bot_token": None,
    "slack_channel": None,
    "slack_api_url": "https://slack.com/api",
    "slack_people": (),
    "smtp_url": None,
    "heartbeat_url": None,
    "email_from": None,
    "email_to": (),
    "slack_analytics_webhook_url": None,
    "registry": "ghcr.io",
    "allowed_origins": ("http://localhost:3000",),
    "allowed_hosts": ("localhost", "127.0.0.1", "::1"),
    "cache_ttl": 300,
    "default_page_size": 20,
    "max_page_size": 100,
    "log_level": "INFO",
    "log_max_bytes": 2 * 1024**3,
    "host": "127.0.0.1",
    "port": 8000,
    "web_concurrency": 1,
    "trusted_proxies": 0,
    "public_url": None,
    "api_keys": (),
    "allow_anonymous_read": False,
    "exclude_workflows": (),
    "deployment_workflows": ("*deploy*", "*release*"),
    "deployment_branches": ("@default",),
    "production_environments": ("production", "prod"),
    "runner_prices": (
        ("self-hosted", 0),
        ("ubuntu-slim", 0.002),
        ("ubuntu-*", 0.006),
        ("ubuntu-*-arm", 0.005),
        ("windows-*", 0.01),
        ("windows-*-arm", 0.008),
        ("macos-*", 0.062),
        ("macos-*-large", 0.077),
        ("macos-*-xlarge", 0.102),
    ),
    "poll_interval_active": 5,
    "poll_interval_idle": 60,
    "retention_days": 730,
    "event_retention_days": 30,
    "backfill_days": 90,
    "notify_max_age_minutes": 60,
    "queued_too_long_minutes": 15,
    "digest_daily": parse_cron("0 8 * * *"),
    "digest_weekly": parse_cron("0 8 * * 1"),
    "digest_tz": ZoneInfo("UTC"),
    "outbound_allow": (),
    "data_dir": Path("data"),
}


def settings(**environ: str) -> Settings:
    return Settings.from_env(WATCHING | environ, env_file=None)


def mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ, env_file=None)
    return str(caught.value).splitlines()


def test_every_default() -> None:
    found = settings()
    declared = {item.name for item in dataclasses.fields(Settings) if item.metadata}
    assert declared == DEFAULTS.keys() | {"database_url"}
    given = {"github_token": Secret(TOKEN), "github_owner": "acme", "github_repo": ("shop",)}
    assert {name: getattr(found, name) for name in DEFAULTS} == DEFAULTS | given
    assert found.database_url == "sqlite:///data/pipemon.sqlite3"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        (
            "ALLOWED_ORIGINS",
            '["https://a.example", "https://b.example:8443/"]',
            ("https://a.example", "https://b.example:8443"),
        ),
        ("ALLOWED_ORIGINS", "https://A.example, https://a.example", ("https://a.example",)),
        ("ALLOWED_ORIGINS", "[]", ()),
        ("ALLOWED_ORIGINS", "http://[::1]:3000", ("http://[::1]:3000",)),
        ("ALLOWED_HOSTS", "ci.example.com, ::1", ("ci.example.com", "::1")),
        ("PUBLIC_URL", "https://ci.example.com/", "https://ci.example.com"),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("BACKFILL_DAYS", "0", 0),
        ("ALLOW_ANONYMOUS_READ", "Yes", True),
        ("OUTBOUND_ALLOW", "10.0.0.0/8, chat.example.com", ("10.0.0.0/8", "chat.example.com")),
        ("EXCLUDE_WORKFLOWS", "lint*, , stale", ("lint*", "stale")),
        ("GITHUB_API_URL", "http://127.0.0.1:9/", "http://127.0.0.1:9"),
        ("RUNNER_PRICES", '{"own-*": 1, "x": 0.5}', (("own-*", 1.0), ("x", 0.5))),
        ("SLACK_PEOPLE", '{"Ada": "U024BE7LH", "bob-x": "W0123456"}', (("ada", "U024BE7LH"), ("bob-x", "W0123456"))),
        ("DIGEST_DAILY", "OFF", None),
        ("DIGEST_DAILY", "30 7 * * mon-fri", parse_cron("30 7 * * mon-fri")),
        ("DIGEST_TZ", "Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("PORT", "", 8000),
        ("PORT", " 80 ", 80),
    ],
)
def test_a_value_is_read(name: str, text: str, value: object) -> None:
    assert getattr(settings(**{name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GITHUB_TOKEN", "two words"),
        ("GITHUB_OWNER", "acme/shop"),
        ("GITHUB_REPO", "acme/shop"),
        ("GITHUB_REPO", ".."),
        ("GITHUB_REPOSITORIES", "shop"),
        ("GITHUB_REPOSITORIES", "acme/.."),
        ("GITHUB_API_URL", "http://ghe.example.com"),
        ("GITHUB_API_URL", "https://user:pw@ghe.example.com"),
        ("GITHUB_API_URL", "ftp://ghe.example.com"),
        ("GITHUB_API_URL", "https://a:99999999"),
        ("GITHUB_APP_ID", "abc"),
        ("GITHUB_APP_PRIVATE_KEY", "nokey"),
        ("GITHUB_APP_INSTALLATION_ID", "-1"),
        ("SLACK_WEBHOOK_URL", "hooks.slack.com/x"),
        ("SLACK_BOT_TOKEN", "xoxp-a-user-s"),
        ("SLACK_CHANNEL", "builds"),
        ("SLACK_PEOPLE", '{"ada": "<!channel>"}'),
        ("SLACK_PEOPLE", '["ada"]'),
        ("SMTP_URL", "https://mail.example.com"),
        ("SMTP_URL", "smtp://mail.example.com:99999"),
        ("EMAIL_FROM", "Ada <ada@example.com>"),
        ("EMAIL_TO", "ada@example.com,bob"),
        ("CHANNELS", '{"boss": "mailto:bob"}'),
        ("CHANNELS", '{"email": "https://example.com"}'),
        ("CHANNELS", '{"phone": "apprise:nothing"}'),
        ("SLACK_PEOPLE", '{"ada": "u024be7lh"}'),
        ("SLACK_PEOPLE", '{"ada": "C024BE7LH"}'),
        ("SLACK_PEOPLE", '{"dependabot[bot]": "U024BE7LH"}'),
        ("SLACK_PEOPLE", '{"ada": 7}'),
        ("SLACK_API_URL", "http://slack.com/api"),
        ("SLACK_WEBHOOK_URL", "https://hooks.slack.com/\\@evil"),
        ("SLACK_ANALYTICS_WEBHOOK_URL", "http://hooks.slack.com/x"),
        ("REGISTRY", "ghcr io"),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("ALLOWED_ORIGINS", '["https://a.example"'),
        ("ALLOWED_ORIGINS", '["https://*.a.example"]'),
        ("ALLOWED_HOSTS", "https://a.example"),
        ("CACHE_TTL", "-1"),
        ("DEFAULT_PAGE_SIZE", "0"),
        ("MAX_PAGE_SIZE", "1001"),
        ("LOG_LEVEL", "loud"),
        ("HOST", "a b"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "8e3"),
        ("PORT", "٣"),
        ("WEB_CONCURRENCY", "0"),
        ("TRUSTED_PROXIES", "many"),
        ("PUBLIC_URL", "ci.example.com"),
        ("API_KEYS", "bob:read"),
        ("API_KEYS", f"bob:root:{DIGEST}"),
        ("API_KEYS", f"bob:read:{DIGEST[1:]}"),
        ("API_KEYS", f"bob:read:{DIGEST},bob:admin:{'cd' * 32}"),
        ("API_KEYS", f"bob:read:{DIGEST},eve:admin:{DIGEST.upper()}"),
        ("ALLOW_ANONYMOUS_READ", "maybe"),
        ("POLL_INTERVAL_ACTIVE", "0"),
        ("POLL_INTERVAL_IDLE", "1.5"),
        ("RETENTION_DAYS", "0"),
        ("EVENT_RETENTION_DAYS", "0"),
        ("BACKFILL_DAYS", "-1"),
        ("NOTIFY_MAX_AGE_MINUTES", "0"),
        ("OUTBOUND_ALLOW", "10.0.0.0/33"),
        *(
            ("RUNNER_PRICES", text)
            for text in (
                "0.008",
                "[1]",
                '{"x": "1"}',
                '{"x": -1}',
                '{"x": true}',
                '{"x": NaN}',
                '{"a b": 1}',
                '{"x": 1e9}',
                '{"x":',
            )
        ),
        ("DIGEST_DAILY", "daily"),
        ("DIGEST_WEEKLY", "0 24 * * 1"),
        ("DIGEST_TZ", "Mars/Base"),
        ("DATABASE_URL", "mysql://db/pipemon"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(name: str, text: str) -> None:
    found = [line for line in mistakes(WATCHING | {name: text}) if line.startswith(f"{name}: ")]
    assert len(found) == 1
    assert "; allowed: " in found[0]
    hidden = {item.name.upper() for item in dataclasses.fields(Settings) if item.metadata.get("hidden")}
    assert (text in found[0] or repr(text) in found[0]) == (name not in hidden)


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {"PORT": "x", "CACHE_TTL": "y", "LOG_LEVEL": "z", "HOST": "0.0.0.0", "GITHUB_OWNER": "acme"}
    names = [line.split(":")[0] for line in mistakes(wrong)]
    assert sorted(names) == ["CACHE_TTL", "GITHUB_REPO", "GITHUB_TOKEN", "HOST", "LOG_LEVEL", "PORT"]


def test_a_wrong_secret_is_not_shown() -> None:
    wrong = {
        "GITHUB_TOKEN": "ghp canary-one-1111",
        "SLACK_WEBHOOK_URL": "http://hooks.slack.com/canary-two-2222",
        "GITHUB_APP_PRIVATE_KEY": "canary-three-3333",
        "API_KEYS": "bob:read:canary-four-4444",
        "DATABASE_URL": "mysql://user:canary-five@host/5555",
    }
    said = "\n".join(mistakes(WATCHING | wrong))
    assert "canary" not in said
    assert all(name in said for name in wrong)


def test_settings_show_no_secret() -> None:
    found = settings(
        DATABASE_URL="postgres://u:canary%2Fpw@db/x", SLACK_WEBHOOK_URL="https://hooks.slack.com/services/canary"
    )
    assert "canary" not in repr(found)
    assert TOKEN not in repr(found)
    shown = {secret.reveal() for secret in found.secrets()}
    assert {TOKEN, "canary%2Fpw", "canary/pw", "https://hooks.slack.com/services/canary"} <= shown


def test_api_keys_and_their_logs_flag() -> None:
    text = f"dash:read:{DIGEST}, bot:read+logs:{'01' * 32},oncall:operate:{'02' * 32},root:admin:{'03' * 32}"
    assert settings(API_KEYS=text).api_keys == (
        ApiKey("dash", "read", False, DIGEST),
        ApiKey("bot", "read", True, "01" * 32),
        ApiKey("oncall", "operate", True, "02" * 32),
        ApiKey("root", "admin", True, "03" * 32),
    )


def test_repositories_keep_their_order_and_come_once() -> None:
    found = settings(GITHUB_REPO="web,api,WEB", GITHUB_REPOSITORIES="other/tool,ACME/Web")
    assert found.repositories == ("other/tool", "ACME/Web", "acme/api")
    assert not found.all_of_owner


def test_a_star_is_all_of_the_owner() -> None:
    found = settings(GITHUB_REPO="*")
    assert found.all_of_owner
    assert found.repositories == ()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"GITHUB_TOKEN": TOKEN}, "GITHUB_OWNER"),
        ({"GITHUB_TOKEN": TOKEN, "GITHUB_OWNER": "acme"}, "GITHUB_REPO"),
        ({"GITHUB_TOKEN": TOKEN, "GITHUB_REPO": "shop"}, "GITHUB_OWNER"),
        ({"GITHUB_OWNER": "acme", "GITHUB_REPO": "shop"}, "GITHUB_TOKEN"),
        ({"GITHUB_REPOSITORIES": "acme/shop"}, "GITHUB_TOKEN"),
        (WATCHING | {"GITHUB_REPO": "*,shop"}, "GITHUB_REPO"),
        (WATCHING | {"GITHUB_REPO": "*", "GITHUB_REPOSITORIES": "a/b"}, "GITHUB_REPO"),
        (WATCHING | APP, "GITHUB_TOKEN"),
        (APP | {"GITHUB_REPOSITORIES": "a/b", "GITHUB_APP_INSTALLATION_ID": ""}, "GITHUB_APP_INSTALLATION_ID"),
        (WATCHING | {"DEFAULT_PAGE_SIZE": "50", "MAX_PAGE_SIZE": "40"}, "DEFAULT_PAGE_SIZE"),
        (WATCHING | {"POLL_INTERVAL_ACTIVE": "61"}, "POLL_INTERVAL_ACTIVE"),
        (WATCHING | {"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
        ({"FLASK_DEBUG": "on"}, "FLASK_DEBUG"),
    ],
)
def test_values_that_contradict_each_other_are_refused(environ: dict[str, str], name: str) -> None:
    found = mistakes(environ)
    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")


def test_an_app_in_place_of_a_token() -> None:
    found = Settings.from_env(
        APP | {"GITHUB_REPOSITORIES": "a/b", "GITHUB_APP_PRIVATE_KEY": PEM.replace("\n", "\\n")}, None
    )
    assert not found.demo
    assert found.github_app_private_key is not None
    assert found.github_app_private_key.reveal() == PEM


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    environ = {"GITHUB_TOKEN_FILE": str(path), "GITHUB_REPOSITORIES": "acme/shop"}
    found = Settings.from_env(environ, env_file=None)
    assert found.github_token is not None
    assert found.github_token.reveal() == TOKEN
    assert found.secret_files == {"GITHUB_TOKEN": path}
    assert not found.demo
    path.write_text("")
    assert "(empty)" in mistakes(environ)[0]
    assert mistakes(environ | {"GITHUB_TOKEN_FILE": str(tmp_path / "none")})[0].startswith("GITHUB_TOKEN_FILE: ")
    path.write_text(TOKEN)
    assert "not both" in mistakes(environ | {"GITHUB_TOKEN": TOKEN})[0]


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# a comment\nPORT=81\nCACHE_TTL=7\nLOG_LEVEL=\nREGISTRY='reg.example.com'\nGITHUB_TOKEN=a$b${c}\n")
    found = Settings.from_env({"PORT": "82", "GITHUB_REPOSITORIES": "a/b"}, path)
    assert (found.port, found.cache_ttl, found.log_level, found.registry) == (82, 7, "INFO", "reg.example.com")
    assert found.github_token is not None
    assert found.github_token.reveal() == "a$b${c}"
    assert Settings.from_env({}, tmp_path / "none").port == 8000


def test_demo_only_with_nothing_configured() -> None:
    assert Settings.from_env({"PORT": "81", "SLACK_WEBHOOK_URL": "https://hooks.slack.com/x"}, None).demo
    assert not settings().demo


def test_demo_has_its_own_database_and_finds_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"DATA_DIR": "/somewhere"})
    announce_demo("http://127.0.0.1:4711", f"demo:admin:{DIGEST}")
    found = Settings.from_env(env_file=None)
    assert found.demo
    assert found.github_api_url == "http://127.0.0.1:4711"
    assert found.api_keys == (ApiKey("demo", "admin", True, DIGEST),)
    assert found.database_url == "sqlite:////somewhere/demo.sqlite3"
    assert found.github_token is not None
    assert found.repositories or found.all_of_owner


def test_what_was_announced_for_the_demo_counts_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", dict(WATCHING))
    announce_demo("http://127.0.0.1:4711", f"demo:admin:{DIGEST}")
    found = Settings.from_env(env_file=None)
    assert found.github_api_url == "https://api.github.com"
    assert found.api_keys == ()


def test_the_demo_environment_blanks_what_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("\n".join(f"{name}={text}" for name, text in WATCHING.items()))
    monkeypatch.setattr(
        "os.environ", {"PORT": "81", "GITHUB_TOKEN_FILE": "/secret", "DATABASE_URL": "postgres://u:p@h/d"}
    )
    found = Settings.from_env(demo_environment(), env_file)
    assert found.demo
    assert found.port == 81
    assert found.database_url == "sqlite:///data/demo.sqlite3"


@pytest.mark.parametrize("url", ["postgres://u:p@h/d", "postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"])
def test_postgresql_is_named_with_our_driver(url: str) -> None:
    found = settings(DATABASE_URL=url, WEB_CONCURRENCY="4")
    assert found.database_url == "postgresql+psycopg://u:p@h/d"
    assert found.workers == 4


def test_one_worker_on_sqlite() -> None:
    assert settings().workers == 1
    (line,) = mistakes({**WATCHING, "WEB_CONCURRENCY": "4"})
    assert "WEB_CONCURRENCY" in line


def test_the_public_name_is_an_allowed_host() -> None:
    assert settings(PUBLIC_URL="https://ci.example.com:8443").allowed_hosts[-1] == "ci.example.com"
    assert settings(PUBLIC_URL="https://ci.example.com", ALLOWED_HOSTS="x").allowed_hosts == ("x",)


def test_the_analytics_channel_defaults_to_the_first() -> None:
    found = settings(SLACK_WEBHOOK_URL="https://hooks.slack.com/a")
    assert found.slack_analytics_webhook_url == found.slack_webhook_url


def test_two_webhook_secrets_count_while_one_takes_the_others_place() -> None:
    found = settings(GITHUB_WEBHOOK_SECRET="the new one, the old one")
    assert [secret.reveal() for secret in found.github_webhook_secret] == ["the new one", "the old one"]
    assert set(found.github_webhook_secret) <= set(found.secrets())
    with pytest.raises(SettingsError, match="one secret, or two") as refused:
        settings(GITHUB_WEBHOOK_SECRET="canary-one,canary-two,canary-three")
    assert "canary" not in str(refused.value)


def test_channels_are_named_and_their_addresses_are_secrets() -> None:
    found = settings(
        CHANNELS='{"ops": "https://hooks.slack.com/services/T/B/canary", "pager": "https://example.com/h"}'
    )
    assert [name for name, _ in found.channels] == ["ops", "pager"]
    assert set(dict(found.channels).values()) <= set(found.secrets())
    assert "canary" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"Ops": "https://x.example"}',
        '{"slack": "https://x.example"}',
        '{"a": 5}',
        '{"a": "http://x.example"}',
    ],
)
def test_channels_that_cant_be_used_stop_the_start(text: str) -> None:
    with pytest.raises(SettingsError) as told:
        settings(CHANNELS=text)
    assert str(told.value).startswith("CHANNELS: ")
    assert "x.example" not in str(told.value)
