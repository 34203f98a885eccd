"""Reads behind a proxy on the same machine."""

from typing import Any

from tests.api.conftest import Api
from tests.rows import a_repository, a_run


def test_a_proxy_on_this_machine_does_not_open_reads_to_the_world(make_api: Any) -> None:
    """HOST left alone and PUBLIC_URL set, as docs/webhooks.md and docs/operations.md say; keys are configured."""
    shop: Api = make_api(
        host="127.0.0.1", public_url="https://ci.example.com", allowed_hosts=("ci.example.com",), trusted_proxies=1
    )
    a_repository(shop.db)
    a_run(shop.db)
    visitor = {"Host": "ci.example.com", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    assert shop.open("/api/v1/builds", headers=visitor).status_code == 401


def test_one_that_nobody_told_us_of_shows_itself_by_its_headers(api: Api) -> None:
    """A tunnel for the webhook, say: it passes everything on from a loopback address."""
    assert api.open("/api/v1/builds").status_code == 200
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert api.open("/api/v1/builds", headers={name: "203.0.113.7"}).status_code == 401
