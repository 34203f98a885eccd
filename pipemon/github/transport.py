"""One call to GitHub from its beginning to its end: whose turn it is, what may be asked, and what the answer means."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from requests.exceptions import RequestException
from requests.utils import parse_header_links

from pipemon import telemetry
from pipemon.github.adapter import HEADERS, surroundings
from pipemon.github.auth import TokenSource
from pipemon.github.breaker import Breaker
from pipemon.github.budget import Gate
from pipemon.github.causes import NEVER_SENT
from pipemon.github.errors import BadAnswer, BadToken, GitHubError, ServerError, Uncertain, Unreachable
from pipemon.github.exchange import Counts, Exchange, Reply, strong
from pipemon.github.flight import SingleFlight
from pipemon.github.meaning import DONE, USABLE, error_in
from pipemon.github.moves import PERMANENT, Moves, is_below
from pipemon.github.session import GitHubSession, ResponseCache, uncached_session
from pipemon.github.timed import Patience
from pipemon.github.turnstile import Turnstile
from pipemon.github.wire import Call, GitHubAdapter, unpack

log = telemetry.logger(__name__)

REDIRECTS = frozenset({301, 302, 307, 308})
MOST_REDIRECTS = 3
# With a token that GitHub refuses, one call this often shows whether it works again.
PROBE_SECONDS = 30.0
SMOOTHING = 0.2


class Transport:
    """Sends GETs to one API, one at a time, behind gate, breaker and token; follows its redirects; counts all."""

    def __init__(
        self,
        api_url: str,
        tokens: TokenSource,
        gate: Gate,
        cache_path: Path | None,
        patience: Patience,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.api_url = api_url.rstrip("/")
        self.counts = Counts()
        self._tokens = tokens
        self._gate = gate
        self._patience = patience
        self._monotonic = monotonic
        adapter = GitHubAdapter(tokens, gate, patience)
        self._plain = uncached_session(self.api_url, adapter)
        self._cache = None if cache_path is None else ResponseCache(cache_path)
        self._cached = self._plain if self._cache is None else GitHubSession(self._cache, self.api_url, adapter)
        self._surroundings = surroundings(self.api_url)
        self._breaker = Breaker(monotonic)
        self._moves = Moves(self.api_url, monotonic)
        self._turnstile = Turnstile()
        self._flights = SingleFlight[Exchange]()
        self._refusal: str | None = None
        self._probe_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """Why GitHub is not read as it should be, in words."""
        return self._refusal or self._breaker.trouble or self._gate.trouble

    def get(self, url: str, *, route: str, purpose: str, cached: bool, applied_etag: str | None = None) -> Reply:
        """Return what GitHub has at that address; raises GitHubError."""
        exchange = self._follow(url, route, purpose, cached)
        reply = self._reply(exchange, applied_etag)
        if reply is None:
            # The kept body was damaged on the disk: without it GitHub sends it again.
            self.forget(exchange.url)
            reply = self._reply(self._follow(exchange.url, route, purpose, cached), applied_etag)
        if reply is None:
            raise BadAnswer("the kept answer is damaged")
        return reply

    def post(self, url: str, body: Mapping[str, object], *, route: str) -> None:
        """Ask GitHub to do something, once; return after its yes.

        Raises Uncertain where it may have been done, and another GitHubError where it was not.
        """
        url = self._moves.current(url)
        packed = json.dumps(body).encode()
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._take_turn(url, route, "people", False, packed).answer
            if answer.status not in REDIRECTS:
                return
            # GitHub has done nothing yet: it asks for the same again elsewhere.
            url = self._moves.target(url, answer.status, answer.headers.get("location", "")) or ""
            if not is_below(url, self.api_url):
                raise BadAnswer("GitHub points to an address outside of its API")
        raise BadAnswer("GitHub redirects without an end")

    def locate(self, url: str, *, route: str, purpose: str) -> str:
        """Return the address outside of this API to which GitHub sends whoever asks for this one."""
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._take_turn(url, route, purpose, False).answer
            if not (found := answer.headers.get("location", "")):
                raise BadAnswer("GitHub does not say where it lies")
            if not is_below(found, self.api_url):
                return found
            url = self._moves.target(url, answer.status, found) or ""
        raise BadAnswer("GitHub redirects without an end")

    def forget(self, url: str) -> None:
        """Drop what is kept of that address, so that GitHub sends it whole at the next call."""
        if self._cache is not None:
            self._cache.forget(url)

    def close(self) -> None:
        """Close all connections and the cache."""
        self._cached.close()
        self._plain.close()

    def _reply(self, exchange: Exchange, applied_etag: str | None) -> Reply | None:
        """Return what the exchange brought; None where the kept body can't be used."""
        answer, kept = exchange.answer, exchange.response
        etag = kept.headers.get("ETag") or None
        same = answer.status == 304 and bool(etag) and strong(etag) == strong(applied_etag)
        body: bytes | None = answer.body
        if answer.status == 304:
            body = b"" if same else unpack(kept.content, self._patience.largest_body)
        if body is None:
            return None
        as_of = answer.date if answer.date is not None else self._gate.github_now()
        return Reply(exchange.url, etag, self._next_url(kept.headers.get("Link")), as_of, same, body)

    def _next_url(self, link: str | None) -> str | None:
        """Return the next page's address; BadAnswer for one elsewhere: to take it for the end would lose the rest."""
        for found in parse_header_links(link or ""):
            if found.get("rel") == "next":
                if not is_below(found["url"], self.api_url):
                    raise BadAnswer(f"the next page is not below {self.api_url}: set GITHUB_API_URL to GitHub's own")
                return found["url"]
        return None

    def _follow(self, url: str, route: str, purpose: str, cached: bool) -> Exchange:
        """Return the exchange at the end of at most three redirects, all of them within this API."""
        url = self._moves.current(url)
        for _ in range(MOST_REDIRECTS + 1):
            if not is_below(url, self.api_url):
                telemetry.count("github_rejected_answers_total", route=route)
                raise BadAnswer("GitHub points to an address outside of its API")
            exchange = self._share(url, route, purpose, cached)
            if exchange.answer.status not in REDIRECTS:
                return exchange
            target = self._moves.target(url, exchange.answer.status, exchange.answer.headers.get("location", ""))
            if target is not None and exchange.answer.status in PERMANENT:
                log.warning("moved on GitHub", address=url, now=target)
            url = target or ""
        raise BadAnswer("GitHub redirects without an end")

    def _share(self, url: str, route: str, purpose: str, cached: bool) -> Exchange:
        if not cached:
            return self._take_turn(url, route, purpose, cached)
        return self._flights.fly(url, lambda: self._take_turn(url, route, purpose, cached))

    def _take_turn(self, url: str, route: str, purpose: str, cached: bool, body: bytes | None = None) -> Exchange:
        with self._turnstile.turn(purpose):
            self._admit_token()
            self._breaker.admit()
            self._gate.admit(purpose)
            exchange = self._call(url, route, cached, body)
            if exchange.answer.status == 401 and self._tokens.refresh():
                exchange = self._call(url, route, cached, body)
        error = error_in(exchange.answer, USABLE if body is None else DONE)
        if isinstance(error, BadToken):
            self._refuse(str(error))
        elif self._refusal is not None:
            self._refusal = None
            log.warning("GitHub takes the token again")
        if body is not None and isinstance(error, ServerError):
            raise Uncertain(str(error))
        if error is not None:
            raise error
        return exchange

    def _admit_token(self) -> None:
        """Raise BadToken while GitHub refuses the token, but for a probe now and then, or once there is another."""
        if self._refusal is None or self._monotonic() >= self._probe_at:
            return
        if self._tokens.installation or not self._tokens.refresh():
            raise BadToken(self._refusal)

    def _refuse(self, why: str) -> None:
        if self._refusal is None:
            log.error("GitHub refuses the token: nothing is read until it takes it, or there is another", why=why)
        self._refusal = why
        self._probe_at = self._monotonic() + PROBE_SECONDS

    def _call(self, url: str, route: str, cached: bool, body: bytes | None) -> Exchange:
        """Ask once, and count it whatever comes."""
        started = self._monotonic()
        try:
            exchange = self._send(url, cached, body)
        except GitHubError as error:
            self._failed(error, route, self._monotonic() - started)
            if body is not None and not (isinstance(error, Unreachable) and error.cause in NEVER_SENT):
                raise Uncertain(str(error)) from None
            raise
        answer = exchange.answer
        self._count(answer.tries, answer.status, self._monotonic() - started)
        outcome = "limit" if answer.limit else "unchanged" if answer.status == 304 else "answer"
        if answer.status >= 400 and not answer.limit:
            outcome = "error"
        telemetry.count("github_calls_total", route=route, status=str(answer.status), outcome=outcome)
        if answer.status >= 500:
            self._breaker.failed(f"GitHub answers {answer.status}")
        else:
            self._breaker.succeeded()
        return exchange

    def _send(self, url: str, cached: bool, body: bytes | None) -> Exchange:
        call = Call()
        if body is None:
            call.prepare(method="GET", url=url, headers=HEADERS)
        else:
            call.prepare(method="POST", url=url, headers=HEADERS | {"Content-Type": "application/json"}, data=body)
        call.for_cache = cached
        session = self._cached if cached else self._plain
        try:
            response = session.send(call, allow_redirects=False, **self._surroundings)
        except RequestException:
            raise BadAnswer("the address is none of GitHub's") from None
        if call.answer is None or (call.answer.status == 304 and response.status_code != 200):
            raise BadAnswer("an answer that GitHub has not confirmed")
        return Exchange(url, call.answer, response)

    def _failed(self, error: GitHubError, route: str, seconds: float) -> None:
        if isinstance(error, BadToken):
            self._refuse(str(error))
            return
        self._count(1, None, seconds)
        telemetry.count("github_calls_total", route=route, status="none", outcome="error")
        if isinstance(error, Unreachable):
            self._breaker.failed(error.cause)
        elif isinstance(error, BadAnswer):
            telemetry.count("github_rejected_answers_total", route=route)

    def _count(self, tries: int, status: int | None, seconds: float) -> None:
        before = self.counts
        counted = tries - 1 if status == 304 else tries
        smoothed = before.seconds_per_call + SMOOTHING * (seconds - before.seconds_per_call)
        self.counts = Counts(before.calls + tries, before.counted + counted, smoothed)
