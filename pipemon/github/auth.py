"""Who we are to GitHub: a personal token, or a GitHub App's installation token, made late and renewed in time."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import jwt
import requests

from pipemon import telemetry
from pipemon.domain.secrets import Secret
from pipemon.domain.times import parse_time
from pipemon.github import parse
from pipemon.github.adapter import HEADERS, TimedAdapter, surroundings
from pipemon.github.clock import parse_http_date
from pipemon.github.errors import BadAnswer, BadToken, GitHubError, LimitReached, ServerError
from pipemon.github.fields import an_object, document, text
from pipemon.github.timed import Patience
from pipemon.github.verdict import is_limit, lowered, retry_after_seconds

log = telemetry.logger(__name__)

RENEW_BEFORE_SECONDS = 300
# GitHub allows ten minutes; its clock and ours may differ a little.
JWT_SECONDS = 540
JWT_BACKDATED_SECONDS = 60
LIFETIME_SECONDS = 3600
# Where GitHub names no wait.
LIMIT_SECONDS = 60
LARGEST_TOKEN_FILE = 64 * 1024


class TokenSource(Protocol):
    """What gives the token for a call."""

    def current(self) -> str:
        """Return the token to send now, empty for none; may call GitHub to make one."""

    def refresh(self) -> bool:
        """Read or make the token anew, since GitHub refused it; return whether it is another one now."""

    def hash(self) -> str:
        """Return 16 hex digits that tell whose limits apply: of a token's SHA-256, so that nothing is revealed."""

    @property
    def installation(self) -> bool:
        """Whether it is an App's: those ask for their repositories at an address of their own."""


class PersonalToken:
    """A personal token, from the settings or from a file that is read again when GitHub refuses it.

    Without either, calls go unsigned: GitHub then allows 60 an hour.
    """

    installation = False

    def __init__(self, token: Secret | None, file: Path | None = None) -> None:
        self._token = token
        self._file = file

    def current(self) -> str:
        return "" if self._token is None else self._token.reveal()

    def refresh(self) -> bool:
        if self._file is None:
            return False
        try:
            with self._file.open("rb") as file:
                found = file.read(LARGEST_TOKEN_FILE).decode("ascii").strip()
        except (OSError, ValueError) as error:
            log.warning("the token's file can't be read", error=type(error).__name__)
            return False
        if not found or not found.isprintable() or found == self.current():
            return False
        self._token = Secret(found)
        return True

    def hash(self) -> str:
        return _hash(self.current())


class AppToken:
    """A GitHub App's installation token: an hour long, all calls share one, since ETags are bound to the token.

    It is made at the first call that needs it and renewed five minutes before its end, by one caller at a time.
    """

    installation = True

    def __init__(
        self,
        app_id: str,
        private_key: Secret,
        installation_id: str | None,
        api_url: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        patience: Patience | None = None,
    ) -> None:
        self._app_id = str(app_id)
        self._key = private_key
        self._installation_id = installation_id
        self._url = f"{api_url.rstrip('/')}/app/installations/{installation_id}/access_tokens"
        self._clock = clock
        self._monotonic = monotonic
        self._skew = 0.0  # GitHub's time less ours: a JWT from a wrong clock is refused
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._ends_at = float("-inf")
        self._closed_until, self._opens_at = float("-inf"), 0
        self._adapter = TimedAdapter(patience or Patience())

    def current(self) -> str:
        with self._lock:
            now = self._monotonic()
            if self._token is None or now >= self._ends_at - RENEW_BEFORE_SECONDS:
                try:
                    self._make()
                except GitHubError:
                    if self._token is None or now >= self._ends_at:
                        raise
            return self._token.reveal() if self._token is not None else ""

    def refresh(self) -> bool:
        with self._lock:
            self._make()
            return True

    def hash(self) -> str:
        # The limits belong to the installation and outlive each of its tokens.
        return _hash(f"app {self._app_id} installation {self._installation_id}")

    def _make(self) -> None:
        """Get a new token; where GitHub's Date shows that our clock is wrong, ask once more by GitHub's."""
        if self._monotonic() < self._closed_until:
            raise LimitReached(self._opens_at, "GitHub's limit on making tokens")
        status, headers, body = self._post()
        date = parse_http_date(headers.get("date"))
        if status == 401 and date is not None and abs(date - self._clock() - self._skew) > JWT_BACKDATED_SECONDS / 2:
            self._skew = date - self._clock()
            status, headers, body = self._post()
        if is_limit(status, headers, parse.message(body)):
            now = date if date is not None else self._clock() + self._skew
            wait = retry_after_seconds(headers, now) or LIMIT_SECONDS
            self._closed_until, self._opens_at = self._monotonic() + wait, int(now + wait)
            raise LimitReached(self._opens_at, "GitHub's limit on making tokens")
        if status >= 500:
            raise ServerError(status)
        if status != 201:
            raise BadToken(f"GitHub gives the App no token ({status} {parse.message(body)[:200]})")
        payload = an_object(document(body), "an installation's token")
        token, ends_at = text(payload, "token", 10_000), parse_time(payload.get("expires_at"))
        if token is None or not token.isascii() or not token.isprintable():
            raise BadAnswer("an installation's token has no usable token")
        now = date if date is not None else self._clock() + self._skew
        self._token = Secret(token)
        self._ends_at = self._monotonic() + (ends_at - now if ends_at is not None else LIFETIME_SECONDS)

    def _post(self) -> tuple[int, dict[str, str], bytes]:
        request = requests.Request("POST", self._url, {**HEADERS, "Authorization": f"Bearer {self._jwt()}"}).prepare()
        response, body = self._adapter.exchange(request, **surroundings(self._url))
        return response.status_code, lowered(response.headers), body

    def _jwt(self) -> str:
        now = int(self._clock() + self._skew)
        # `iss` must be a text: PyJWT refuses a number, and GitHub takes both.
        claims = {"iat": now - JWT_BACKDATED_SECONDS, "exp": now + JWT_SECONDS, "iss": self._app_id}
        try:
            return jwt.encode(claims, self._key.reveal(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise BadToken("GITHUB_APP_PRIVATE_KEY can't be used to sign") from None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
