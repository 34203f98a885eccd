"""Who we are to GitHub: an App's token is made late, renewed in time, by one caller, whatever our clock says."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipemon.domain.secrets import Secret
from pipemon.domain.times import format_time
from pipemon.github.auth import AppToken, PersonalToken
from pipemon.github.errors import BadAnswer, BadToken, GitHubError, ServerError
from tests.github.conftest import QUICK, TOKEN, Make
from tests.github.loopback import Asked, Loopback, Piece, http

EMPTY = b'{"total_count": 0, "workflow_runs": []}'


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class App:
    """GitHub's side of an App: checks each JWT by the public key, hands out tokens that it numbers."""

    key: rsa.RSAPrivateKey
    loopback: Loopback
    minted: int = 0
    lifetime: int = 3600
    revoked: int = 0  # tokens up to this number are refused
    status: int = 201

    def answer(self, asked: Asked) -> list[Piece]:
        now = time.time()
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
        sent = asked.headers["authorization"].removeprefix("Bearer ")
        if not asked.path.endswith("/access_tokens"):
            number = int(sent.removeprefix("ghs_number"))
            refused = number <= self.revoked
            return http(401, b'{"message": "Bad credentials"}', Date=date) if refused else http(200, EMPTY, Date=date)
        claims = jwt.decode(
            sent, self.key.public_key(), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
        )
        if not (claims["iat"] <= now < claims["exp"] <= now + 600 and claims["iss"] == "12"):
            return http(401, b'{"message": "\'Issued at\' claim is in the future"}', Date=date)
        self.minted += 1
        body = {"token": f"ghs_number{self.minted}", "expires_at": format_time(int(now) + self.lifetime)}
        return http(self.status, json.dumps(body).encode(), Date=date)


@pytest.fixture
def app(key: rsa.RSAPrivateKey, loopback: Loopback) -> App:
    app = App(key, loopback)
    loopback.script = [app.answer]
    return app


def token_of(
    app: App, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> AppToken:
    pem = app.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return AppToken("12", Secret(pem), "34", app.loopback.url, clock, monotonic, QUICK)


def test_an_app_token_is_made_at_the_first_call_and_renewed_five_minutes_before_its_end(app: App) -> None:
    now = 100.0
    token = token_of(app, monotonic=lambda: now)
    assert app.minted == 0
    assert [token.current() for _ in range(5)] == ["ghs_number1"] * 5
    now += 3600 - 302
    assert token.current() == "ghs_number1"
    now += 4
    assert token.current() == "ghs_number2"


@pytest.mark.parametrize(("skew", "calls"), [(-3600.0, 3), (-120.0, 2), (0.0, 2), (120.0, 3), (3600.0, 3)])
def test_G9_a_wrong_clock_makes_no_wrong_jwt(app: App, skew: float, calls: int) -> None:
    token = token_of(app, clock=lambda: time.time() + skew)
    assert token.current() == "ghs_number1"
    assert token.refresh()
    assert len(app.loopback.asked) == calls  # it learns GitHub's time from the first refusal


def test_callers_at_the_same_moment_make_one_token(app: App) -> None:
    token = token_of(app)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(token.current())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ghs_number1"] * 8


def test_G10_a_401_makes_a_new_token_once_and_then_fails(app: App, make: Make) -> None:
    client = make(app.loopback.url, tokens=token_of(app))
    client.newest_runs("o/r")
    app.revoked = 1
    client.newest_runs("o/r")
    assert app.minted == 2
    app.revoked = 99
    for _ in range(20):
        with pytest.raises(BadToken):
            client.newest_runs("o/r")
    assert app.minted == 3


def test_while_no_new_token_can_be_made_the_old_one_serves_to_its_end(app: App) -> None:
    now = 100.0
    token = token_of(app, monotonic=lambda: now)
    token.current()
    app.loopback.script = [http(500)]
    now += 3500
    assert token.current() == "ghs_number1"
    now += 200
    with pytest.raises(ServerError):
        token.current()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(404, b'{"message": "Integration not found"}'), BadToken),
        (http(422, b"{}"), BadToken),
        (http(201, b'{"token": 5}'), BadAnswer),
        (http(201, b'{"token": "a\\nb"}'), BadAnswer),
        (http(201, b'{"token": "\\u00e9"}'), BadAnswer),
        (http(201, b"[]"), BadAnswer),
        ([], GitHubError),
    ],
)
def test_what_is_no_token_is_an_error_without_the_key_in_it(
    app: App, answer: list[Piece], error: type[GitHubError]
) -> None:
    app.loopback.script = [answer]
    with pytest.raises(error) as caught:
        token_of(app).current()
    assert "eyJ" not in str(caught.value)


def test_a_key_that_is_none_is_told_by_its_settings_name() -> None:
    with pytest.raises(BadToken, match="GITHUB_APP_PRIVATE_KEY"):
        AppToken("12", Secret("not a key"), "34", "http://127.0.0.1:1").current()


def test_limits_are_kept_by_installation_and_by_token_and_reveal_neither(app: App) -> None:
    token = token_of(app)
    before = token.hash()
    token.current()
    assert token.hash() == before
    personal = PersonalToken(Secret(TOKEN)).hash()
    assert len(personal) == len(before) == 16
    assert personal != PersonalToken(None).hash()
    assert personal not in TOKEN


def test_a_token_file_that_is_of_no_use_leaves_the_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    token = PersonalToken(Secret(TOKEN), file)
    for content in (None, b"", b"\n", b"a\nb", b"\xff\xfe", TOKEN.encode()):
        if content is not None:
            file.write_bytes(content)
        assert not token.refresh()
        assert token.current() == TOKEN
    file.write_text("  other \n")
    assert token.refresh()
    assert token.current() == "other"
