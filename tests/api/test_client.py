"""The browser client as it is served: to our own pages and to those of the allowed origins, under any strict policy."""

import re
from typing import Any

import pytest

from pipemon.api.docs import STATIC
from pipemon.live import protocol, socket
from tests.api.conftest import Api

PATH = "/static/client/pipemon-live.js"
SOURCE = (STATIC / "client" / "pipemon-live.js").read_text()
DASHBOARD = "https://dash.example.com"


def code() -> str:
    """The source without its comments."""
    return re.sub(r"(?s:/\*.*?\*/)|(?<!:)//.*", "", SOURCE)


def test_it_is_a_module_that_a_browser_takes(api: Api) -> None:
    answer = api.open(PATH)
    assert answer.status_code == 200
    assert answer.text == SOURCE
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_a_page_that_has_no_key_gets_it(make_api: Any) -> None:
    assert make_api(host="0.0.0.0").open(PATH).status_code == 200


@pytest.mark.parametrize(("origin", "allowed"), [(DASHBOARD, DASHBOARD), ("https://evil.example.com", None)])
def test_pages_of_allowed_origins_may_import_it_and_no_others(make_api: Any, origin: str, allowed: str | None) -> None:
    answer = make_api(allowed_origins=(DASHBOARD,)).open(PATH, headers={"Origin": origin})
    assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    # One origin's answer must not be taken from a cache for another's.
    assert "Origin" in answer.headers["Vary"]


def test_it_needs_nothing_that_a_strict_policy_forbids() -> None:
    for forbidden in (
        r"\beval\b",
        r"\bFunction\s*\(",
        "innerHTML",
        "document",
        r"\bimport\b(?!\.meta)",
        r'setTimeout\("',
    ):
        assert not re.search(forbidden, code()), forbidden
    assert re.findall(r"^export .*", code(), re.MULTILINE) == ["export class PipemonLive {"]


def test_it_stays_readable() -> None:
    lines = SOURCE.splitlines()
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 120


def test_it_knows_the_server_s_words() -> None:
    named = dict(re.findall(r"\b(LOST|RESTART|BUSY|NO_KEY) = (\d+)", SOURCE))
    assert {name: int(number) for name, number in named.items()} == {
        "LOST": 1006, "RESTART": socket.RESTART, "BUSY": socket.BUSY, "NO_KEY": socket.NO_KEY,
    }  # fmt: skip
    for update in protocol.UPDATES.values():
        assert update in SOURCE, "it is told what one can listen to"
