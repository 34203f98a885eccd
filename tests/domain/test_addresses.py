"""Which hosts may be called: the table of what Python's own properties get wrong, and what parsers read differently."""

import ipaddress

import pytest

from pipemon.domain.addresses import Allowed, Forbidden, check_url, is_public, may_connect

NONE = Allowed.of(())
CLOSED = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.1 192.0.2.7 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.9 224.0.0.1 239.1.1.1
240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b:1::1
100::1 2001::1 2001:db8::1 2001:10::1 2001:20::1 2002:7f00:1::1 2002:a00:1::1 3fff::1 fc00::1 fd12:3456::1 fe80::1
fec0::1 ff02::1 4000::1 ::7f00:1 5f00::1
""".split()  # noqa: SIM905 -- a table
OPEN = "1.1.1.1 8.8.8.8 20.60.1.2 140.82.112.5 172.32.0.1 100.128.0.1 198.20.0.1 2606:4700::1 2a00:1450::5".split()  # noqa: SIM905


@pytest.mark.parametrize("text", CLOSED)
def test_M14_an_address_that_is_not_the_worlds(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    assert not may_connect("logs.example.com", text, NONE)
    with pytest.raises(Forbidden):
        check_url(f"https://[{text}]/" if ":" in text else f"https://{text}/", NONE)


@pytest.mark.parametrize("text", OPEN)
def test_an_address_of_the_world(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
    assert may_connect("logs.example.com", text, NONE)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com\\@127.0.0.1/", "https://user@hooks.slack.com/", "https://u:p@hooks.slack.com/",
        "http://hooks.slack.com/", "ftp://hooks.slack.com/", "file:///etc/passwd", "https:///x", "https://",
        "https://hooks.slack.com:8443/", "https://hööks.slack.com/", "https://hooks.slack.com/ x", "https://a\tb/",
        "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:7f00:1]/", "gopher://x", "https://hooks.slack.com:x/",
        "https://[fe80::1%25eth0]/", "//hooks.slack.com/", "hooks.slack.com", "https://a.com\r\nHost: b",
    ],
)  # fmt: skip
def test_M15_a_url_that_is_not_plain_https(url: str) -> None:
    with pytest.raises(Forbidden):
        check_url(url, NONE)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "017700000001", "127.1", "0"])
def test_odd_spellings_of_loopback_are_names_that_lead_to_it(host: str) -> None:
    """They pass as names; what they lead to is looked at when the connection is made."""
    assert not may_connect(host, "127.0.0.1", NONE)


def test_what_the_operator_names_is_let_through() -> None:
    allowed = Allowed.of(["ghes.corp", "10.0.0.0/8", "fd00::/8", "127.0.0.1"])
    assert may_connect("ghes.corp", "192.168.0.9", allowed)
    assert may_connect("any.where", "10.2.3.4", allowed)
    assert may_connect("any.where", "fd00::9", allowed)
    assert not may_connect("evil.corp", "192.168.0.9", allowed)
    check_url("http://ghes.corp:8080/x", allowed)
    check_url("http://127.0.0.1:5/x", allowed)
    for url in ("http://evil.corp/", "ftp://ghes.corp/"):
        with pytest.raises(Forbidden):
            check_url(url, allowed)


def test_what_is_no_address_is_none() -> None:
    assert not may_connect("x", "not an address", NONE)
