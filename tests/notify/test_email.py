"""Mail: what each answer of a server means, that the text stays text, and that nothing secret goes out in clear."""

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipemon.domain.secrets import Secret
from pipemon.notify.channels import email
from pipemon.notify.channels.email import Email, Server, as_html, compose
from pipemon.notify.message import Message
from tests.notify.mailserver import MailServer
from tests.notify.test_slack import hostile_texts

TO = ("ada@example.com", "bob@example.com")
SAID = Message(
    "CI failed on main", "CI failed on main (octo/shop)", "bad", (("Commit", "abc Mend <the> door"), ("By", "ada")),
    "https://github.com/octo/shop/actions/runs/1", 0, error="AssertionError: 1 != 2",
)  # fmt: skip


def channel(server: MailServer, to: tuple[str, ...] = TO, login: str = "", query: str = "", **more: Any) -> Email:
    url = Secret(f"smtp://{login}127.0.0.1:{server.port}{query}")
    return Email("email", Server.of(url, "builds@example.com"), to, **more)


def test_a_mail_is_text_and_html(tmp_path: Path) -> None:
    with MailServer() as server:
        assert channel(server).send(SAID).kind == "sent"
    (mail,) = server.mails
    assert (mail["Subject"], mail["From"], mail["To"]) == (
        "🔴 CI failed on main", "builds@example.com", "ada@example.com, bob@example.com",
    )  # fmt: skip
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "AssertionError: 1 != 2" in text
    assert "Commit: abc Mend <the> door" in text
    assert text.rstrip().endswith("/actions/runs/1")
    page = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "Mend &lt;the&gt; door" in page


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({}, "sent"),
        ({"EHLO": "421 busy", "HELO": "421 busy"}, "retry"),
        ({"MAIL": "451 later"}, "retry"),
        ({"MAIL": "550 not you"}, "gone"),
        ({"RCPT ada@example.com": "550 unknown"}, "sent"),
        ({"RCPT ada@example.com": "550 unknown", "RCPT bob@example.com": "551 moved"}, "gone"),
        ({"RCPT ada@example.com": "550 unknown", "RCPT bob@example.com": "450 greylisted"}, "retry"),
        ({"DATA": "451 later"}, "retry"),
        ({"DATA": "554 no"}, "refused"),
        ({".": "451 later"}, "retry"),
        ({".": "552 too large"}, "refused"),
        ({".": ""}, "uncertain"),
        ({"MAIL": ""}, "retry"),
    ],
)
def test_what_a_server_s_answers_mean(answers: dict[str, str], kind: str) -> None:
    with MailServer(answers) as server:
        outcome = channel(server).send(SAID)
    assert outcome.kind == kind
    if kind == "sent" and answers:
        assert outcome.detail == "1 of 2 recipients were refused"


def test_no_connection_is_certain_and_silence_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "SEND_SECONDS", 0.3)
    with MailServer(silent=".") as server:
        assert channel(server).send(SAID).kind == "uncertain"
    with MailServer(silent="MAIL") as server:
        assert channel(server).send(SAID).kind == "retry"
    assert channel(server).send(SAID).kind == "retry"


def certificate(folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


def encrypted(server: MailServer, **more: Any) -> Email:
    """Return a channel as it is for a server that is not on this machine."""
    own = Server("127.0.0.1", server.port, "builds@example.com", "ada", Secret("hush"))
    return Email("email", own, TO, **more)


def test_a_password_goes_out_over_tls_alone(tmp_path: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with MailServer() as server:
        outcome = encrypted(server).send(SAID)
    assert (outcome.kind, server.logins, server.mails) == ("retry", [], [])
    with MailServer(tls=certificate(tmp_path)) as server:
        # Nobody has signed its certificate.
        assert (encrypted(server).send(SAID).kind, server.logins) == ("retry", [])
        assert encrypted(server, context=trusting).send(SAID).kind == "sent"
        assert server.logins == ["ada hush"]
        plain = channel(server, login="ada:hush@", query="?tls=no")
        assert plain.send(SAID).kind == "sent"


@pytest.mark.parametrize(("answer", "kind"), [("535 wrong", "gone"), ("454 later", "retry")])
def test_a_login_that_is_refused(answer: str, kind: str) -> None:
    with MailServer({"AUTH": answer}) as server:
        found = channel(server, login="ada:hush%40@")
        outcome = found.send(SAID)
    assert outcome.kind == kind
    assert set(server.logins) == {"ada hush@"}
    assert "hush" not in f"{found!r} {outcome} {found.recipient} {found.fingerprint}"


def test_the_history_shows_no_whole_address() -> None:
    own = Server("mail.example.com", 465, "builds@example.com")
    assert Email("email", own, TO).recipient == "a…@example.com, b…@example.com"


@pytest.mark.parametrize("field", ["title", "text", "error", "fact"])
def test_N8_hostile_texts_stay_texts(field: str) -> None:
    for text in [*hostile_texts(), "x\r\nBcc: eve@example.com", "</div><script>alert(1)</script>", "\ud800"]:
        values: dict[str, Any] = {"title": "t", "text": "t", "error": None}
        said = Message(**({**values, field: text} if field != "fact" else {**values, "facts": (("By", text),)}))
        mail = compose(said, "builds@example.com", TO)
        raw = mail.as_bytes()
        head = raw.partition(b"\n\n")[0]
        assert b"\nBcc:" not in head
        assert mail["To"] == "ada@example.com, bob@example.com"
        page = as_html(said)
        assert "<script" not in page
        assert page.count("<a ") == 0


def test_a_possible_repeat_says_so_in_the_subject() -> None:
    said = Message("t", "t", possible_duplicate=True)
    assert compose(said, "builds@example.com", TO)["Subject"].startswith("(possible repeat)")
