"""Mail by SMTP: each message as text, and as HTML that is read in ten seconds on a phone."""

import hashlib
import html
import smtplib
import ssl
import time
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from pipemon.domain.addresses import is_loopback
from pipemon.domain.secrets import Secret
from pipemon.notify.channel import Outcome
from pipemon.notify.message import Message

SEND_SECONDS = 10.0
LONGEST_SUBJECT = 150
PORTS = {"smtp": 587, "smtps": 465}
COLOURS = {"bad": "#c9252d", "good": "#1a7f37", "warn": "#9a6700", "info": "#0969da"}


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, and who sends by it. Nothing goes over an unencrypted line, unless `clear` says so."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: Secret | None = None
    wrapped: bool = False  # TLS from the first byte; otherwise STARTTLS
    clear: bool = False

    @classmethod
    def of(cls, url: Secret, sender: str) -> "Server":
        """Return the server of an address: smtps://user:password@host:465, or smtp:// with STARTTLS."""
        parts = urlsplit(url.reveal())
        host = parts.hostname or ""
        password = Secret(unquote(parts.password)) if parts.password else None
        clear = parts.query == "tls=no" or is_loopback(host)
        port = parts.port or PORTS[parts.scheme]
        return cls(host, port, sender, unquote(parts.username or ""), password, parts.scheme == "smtps", clear)


@dataclass(frozen=True, slots=True)
class Email:
    """Mail to some people."""

    name: str
    server: Server
    to: tuple[str, ...]
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    kind: str = "email"
    per_second: float = 1.0

    @property
    def recipient(self) -> str:
        """What the history shows."""
        return ", ".join(f"{address[:1]}…{address[address.index('@') :]}" for address in self.to)

    @property
    def fingerprint(self) -> str:
        """What tells one server and its people from another."""
        own = self.server
        password = own.password.reveal() if own.password else ""
        parts = (own.host, own.port, own.sender, own.user, password, *self.to)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def send(self, message: Message) -> Outcome:
        """Send it to all of them."""
        conversation = _Conversation(self.server, self.context)
        try:
            return conversation.hold(self.to, compose(message, self.server.sender, self.to))
        except smtplib.SMTPResponseException as error:
            return _refused(error)
        except (smtplib.SMTPException, OSError) as error:
            # After the last line of the text nobody knows whether it was taken.
            kind = "uncertain" if conversation.is_told else "retry"
            return Outcome(kind, f"the mail server can't be reached, or broke off ({type(error).__name__})")
        finally:
            conversation.end()


class _Conversation:
    """One talk with the server, ten seconds long at most."""

    def __init__(self, server: Server, context: ssl.SSLContext) -> None:
        self._server = server
        self._context = context
        self._until = time.monotonic() + SEND_SECONDS
        self._smtp: smtplib.SMTP | None = None
        self.is_told = False

    def hold(self, to: tuple[str, ...], mail: EmailMessage) -> Outcome:
        smtp = self._greet()
        if self._server.user and self._server.password is not None:
            smtp.login(self._server.user, self._server.password.reveal())
        self._hurry(smtp)
        code, said = smtp.mail(self._server.sender)
        if code != 250:
            raise smtplib.SMTPSenderRefused(code, said, self._server.sender)
        refused = {address: code for address in to if (code := smtp.rcpt(address)[0]) not in (250, 251)}
        if len(refused) == len(to):
            later = any(code < 500 for code in refused.values())
            return Outcome("retry" if later else "gone", f"all recipients were refused ({max(refused.values())})")
        self._hurry(smtp)
        self.is_told = True
        code, said = smtp.data(mail.as_bytes())
        if code != 250:
            raise smtplib.SMTPDataError(code, said)
        return Outcome("sent", f"{len(refused)} of {len(to)} recipients were refused" if refused else "ok")

    def _greet(self) -> smtplib.SMTP:
        own = self._server
        if own.wrapped:
            self._smtp = smtplib.SMTP_SSL(own.host, own.port, timeout=SEND_SECONDS, context=self._context)
        else:
            self._smtp = smtplib.SMTP(own.host, own.port, timeout=SEND_SECONDS)
        smtp = self._smtp
        smtp.ehlo_or_helo_if_needed()
        if not own.wrapped and not own.clear:
            # Raises where the server does not offer it: a password must not go out in clear.
            smtp.starttls(context=self._context)
            smtp.ehlo()
        self._hurry(smtp)
        return smtp

    def _hurry(self, smtp: smtplib.SMTP) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the conversation took too long")
        if smtp.sock is not None:
            smtp.sock.settimeout(left)

    def end(self) -> None:
        if self._smtp is not None:
            self._smtp.close()


def _refused(error: smtplib.SMTPResponseException) -> Outcome:
    """Return what a refusal means; the server's text is not shown, since it may repeat what was sent."""
    what = {
        smtplib.SMTPAuthenticationError: "the user or password",
        smtplib.SMTPSenderRefused: "the sender",
        smtplib.SMTPDataError: "the message",
    }.get(type(error), "the connection")
    detail = f"the mail server refused {what} ({error.smtp_code})"
    if error.smtp_code < 500:
        return Outcome("retry", detail)
    if isinstance(error, smtplib.SMTPDataError):
        return Outcome("refused", detail)
    # Of a greeting that is none nobody can say whether it will be one later.
    is_final = isinstance(error, smtplib.SMTPAuthenticationError | smtplib.SMTPSenderRefused)
    return Outcome("gone" if is_final else "retry", detail)


def compose(message: Message, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Return the mail. What came from GitHub is text in it, wherever it stands."""
    mail = EmailMessage()
    heading = _line(message.heading)
    mail["Subject"] = heading[:LONGEST_SUBJECT]
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=sender.partition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    lines = [heading, ""]
    lines += [message.text, ""] if message.text != message.title else []
    lines += [message.error, ""] if message.error else []
    lines += [f"{word}: {_line(what)}" for word, what in message.facts if what]
    lines += ["", message.url] if message.url else []
    mail.set_content(_whole("\n".join(lines) + "\n"))
    mail.add_alternative(_whole(as_html(message)), subtype="html")
    return mail


def as_html(message: Message) -> str:
    """Return the mail's HTML, with everything escaped."""
    shown = html.escape
    parts = [f'<h2 style="font-size:18px;margin:0 0 12px">{shown(_line(message.heading))}</h2>']
    if message.text != message.title:
        parts.append(f'<p style="margin:0 0 12px">{shown(message.text)}</p>')
    if message.error:
        style = "background:#f6f8fa;border:1px solid #d0d7de;border-radius:4px;padding:8px;white-space:pre-wrap"
        parts.append(f'<pre style="{style}">{shown(message.error)}</pre>')
    cell = '<td style="padding:2px 16px 2px 0;vertical-align:top'
    rows = "".join(
        f'<tr>{cell};color:#57606a">{shown(word)}</td>{cell}">{shown(what)}</td></tr>'
        for word, what in message.facts
        if what
    )
    parts += [f'<table style="border-collapse:collapse;font-size:14px">{rows}</table>'] if rows else []
    if message.url:
        parts.append(f'<p style="margin:12px 0 0"><a href="{shown(message.url)}">{shown(message.way)}</a></p>')
    colour = COLOURS.get(message.severity, COLOURS["info"])
    style = f"font:15px/1.4 system-ui,sans-serif;border-left:4px solid {colour};padding:4px 0 4px 16px;max-width:640px"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _whole(text: str) -> str:
    """Return a text without halves of characters, which no mail can carry."""
    return text.encode("utf-8", "replace").decode()


def _line(text: str) -> str:
    """Return a text in one line: a header must not go on in another one of somebody else's making."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
