"""Which addresses of other hosts may be called: public ones, over https, unless the operator has named them."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registries, written out: `is_private` and `is_global` leave some of them out.
_CLOSED_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Of IPv6 only what is given out to the world, and of that nothing that leads on to an IPv4 address or a document.
_OPEN_6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class Forbidden(ValueError):
    """An address that must not be called; the text says why and shows no part of it but the host."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator lets be called although it is not public: host names in lower case, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = field(default=())

    @classmethod
    def of(cls, texts: Collection[str]) -> "Allowed":
        """Return what these hosts, addresses and networks (OUTBOUND_ALLOW) name."""
        hosts, networks = set(), []
        for text in texts:
            try:
                networks.append(ipaddress.ip_network(text.strip("[]"), strict=False))
            except ValueError:
                hosts.add(text.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def names(self, host: str) -> bool:
        """Whether this host, a name or an address, was named."""
        try:
            found = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return host.lower().rstrip(".") in self.hosts
        return self.holds(found)

    def holds(self, address: Address) -> bool:
        """Whether this address lies in one of the networks."""
        return any(address in network for network in self.networks if network.version == address.version)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(address: Address) -> bool:
    """Whether anybody in the world may have this address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)
    return not any(address in network for network in _CLOSED_4)


def may_connect(host: str, address: str, allowed: Allowed) -> bool:
    """Whether a connection to this address, to which the host's name has led, may be made."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return allowed.names(host) or allowed.holds(found) or is_public(found)


def check_url(url: str, allowed: Allowed) -> None:
    """Raise Forbidden for a URL that is not plain https to a host; one that was named may also use http, any port.

    Parsers differ on userinfo, backslashes and letters beyond ASCII: none of them is taken.
    """
    if "\\" in url or not url.isascii() or not url.isprintable() or " " in url:
        raise Forbidden("the address is not written plainly")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Forbidden("the address can't be read") from None
    if not host or "@" in parts.netloc:
        raise Forbidden("the address names no host, or a user with it")
    if allowed.names(host) and parts.scheme in ("http", "https"):
        return
    if parts.scheme != "https" or port not in (None, 443):
        raise Forbidden(f"{host} is not called over https (OUTBOUND_ALLOW)")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return  # a name: what it leads to is looked at when the connection is made
    if not is_public(address):
        raise Forbidden(f"{host} is not a public address (OUTBOUND_ALLOW)")
