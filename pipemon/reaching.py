"""Which channels the settings make: how people are reached."""

from collections.abc import Callable
from urllib.parse import urlsplit

from config import Settings
from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Channel
from pipemon.notify.channels.apprise import Apprise
from pipemon.notify.channels.email import Email, Server
from pipemon.notify.channels.slack import Slack
from pipemon.notify.channels.slack_bot import Place, SlackBot
from pipemon.notify.channels.webhook import Webhook
from pipemon.notify.posting import poster
from pipemon.outbound.client import Outbound

Make = Callable[[str, Secret], Channel]


def channels_of(settings: Settings, outbound: Outbound) -> dict[str, Channel]:
    """Return the configured channels by name."""
    post, people = poster(outbound), dict(settings.slack_people)
    makers: dict[str, Make] = {
        "slack": lambda name, url: Slack(name, url, post, people),
        "mailto": lambda name, url: _mail(settings, name, url.reveal().removeprefix("mailto:")),
        "apprise": lambda name, url: Apprise(name, Secret(url.reveal().removeprefix("apprise:"))),
        "https": lambda name, url: Webhook(name, url, post, settings.channel_signing_secret),
    }
    named = dict(settings.channels)
    for name, url in (("slack", settings.slack_webhook_url), ("slack_analytics", settings.slack_analytics_webhook_url)):
        named |= {name: url} if url is not None else {}
    if settings.email_to:
        named["email"] = Secret(f"mailto:{','.join(settings.email_to)}")
    own = ("slack", "slack_analytics")
    found = {name: makers["slack" if name in own else _kind(url)](name, url) for name, url in named.items()}
    if settings.slack_bot_token is not None and settings.slack_channel is not None:
        place = Place(settings.slack_api_url, settings.slack_bot_token, settings.slack_channel)
        found["slack"] = SlackBot("slack", place, post, people)
        found.setdefault("slack_analytics", SlackBot("slack_analytics", place, post, people))
    return found


def _kind(url: Secret) -> str:
    """Return by which maker an address becomes a channel."""
    parts = urlsplit(url.reveal())
    if parts.hostname == "hooks.slack.com":
        return "slack"
    return parts.scheme if parts.scheme in ("mailto", "apprise") else "https"


def _mail(settings: Settings, name: str, to: str) -> Channel:
    assert settings.smtp_url is not None  # the settings were checked
    assert settings.email_from is not None
    return Email(name, Server.of(settings.smtp_url, settings.email_from), tuple(to.split(",")))
