"""Who may call what: every route declares a scope, and whoever can't be placed is refused."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar, cast

from flask import Flask, request

from config import Settings
from pipemon.api import signature
from pipemon.api.errors import refuse
from pipemon.api.services import services
from pipemon.domain.addresses import is_loopback

View = TypeVar("View", bound=Callable[..., Any])

# Each may do what those before it may.
SCOPES = ("none", "read", "operate", "admin")
READING = ("GET", "HEAD")
# Of a route that no key opens: GitHub signs what it sends there.
SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `scope` is the highest that is granted; `logs` allows build logs."""

    name: str
    scope: str
    logs: bool

    def may(self, scope: str) -> bool:
        """Whether this caller has the scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    @property
    def sees(self) -> str:
        """What tells this caller's answers from those of others: part of every ETag."""
        return f"{self.scope}{'+logs' if self.logs else ''}"


class UnknownKey(Exception):
    """A key was sent that is none of ours."""


def scope(name: str) -> Callable[[View], View]:
    """Declare the scope that a view needs, or that a signature stands in its place."""

    def mark(view: View) -> View:
        view.scope = name  # type: ignore[attr-defined]
        return view

    return mark


# What a proxy adds. Behind one on this machine, everybody's requests come from a loopback address.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


def reads_are_open(settings: Settings, environ: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Whether this request may read without a key: only this machine can have sent it, or the operator said so."""
    if settings.allow_anonymous_read:
        return True
    has_front = bool(settings.public_url or settings.trusted_proxies) or any(name in environ for name in FORWARDED)
    return is_loopback(settings.host) and not has_front


def identify(environ: Mapping[str, Any], settings: Settings) -> Identity:
    """Return who asks; raise UnknownKey for a key that is none of ours."""
    sent = _sent_key(environ)
    if sent is None:
        is_open = reads_are_open(settings, environ)
        return Identity("anonymous", "read" if is_open else "none", is_open)
    found = identify_key(sent, settings)
    if found is None:
        raise UnknownKey
    return found


def identify_key(sent: bytes, settings: Settings) -> Identity | None:
    """Return whose key this is; None where it is none of ours."""
    found = _find(hashlib.sha256(sent).hexdigest().encode(), settings)
    return None if found is None else Identity(found.name, found.scope, found.logs or found.scope != "read")


def _sent_key(environ: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of the key; WSGI hands headers over as Latin-1, whatever was in them."""
    kind, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    text = value.strip() if kind.lower() == "bearer" else environ.get("HTTP_X_API_KEY", "").strip()
    return cast(str, text).encode("latin-1", "replace") if text else None


def _find(digest: bytes, settings: Settings) -> Any:
    """Return the configured key with this digest, or None. Every one is compared, each in constant time."""
    found = None
    for key in settings.api_keys:
        if hmac.compare_digest(digest, key.sha256.lower().encode()):
            found = key
    return found


def caller() -> Identity:
    """Return who asks the current request; a key that is none of ours ends it with 401."""
    try:
        return identify(request.environ, services().settings)
    except UnknownKey:
        refuse(401, "This key is not known.", headers={"WWW-Authenticate": 'Bearer realm="pipemon"'})


def register(app: Flask) -> None:
    """Guard every route; raise RuntimeError where one has not declared its scope. Call it after the last route."""
    for rule in app.url_map.iter_rules():
        if getattr(app.view_functions[rule.endpoint], "scope", None) not in (*SCOPES, SIGNATURE):
            raise RuntimeError(f"the route {rule.rule} declares no scope")

    @app.before_request
    def guard() -> None:
        if request.url_rule is not None:
            request.environ["pipemon.facts"]["route"] = request.url_rule.rule
        # An address or method that does not exist tells nothing; OPTIONS tells which methods there are, to anyone.
        if request.url_rule is None or request.method == "OPTIONS":
            return
        needed = cast(Any, app.view_functions[request.url_rule.endpoint]).scope
        if needed == "none":
            return
        if needed == SIGNATURE:
            signature.check()
            return
        found = caller()
        request.environ["pipemon.facts"]["caller"] = found.name
        # Where reads are open, writes are not.
        keyless = found.name == "anonymous"
        if found.may(needed) and not (keyless and request.method not in READING):
            return
        if keyless:
            refuse(401, "A key is needed.", headers={"WWW-Authenticate": 'Bearer realm="pipemon"'})
        refuse(403, f"This key may not do that: the scope {needed} is needed.")
