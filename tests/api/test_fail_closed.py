"""Whatever breaks inside a guard, nobody gets through it."""

from typing import Any

import pytest

from pipemon.api import auth, bodies, conditional, edge
from tests.api.conftest import Api, key_of
from tests.rows import a_repository, a_run

# The cache asks who calls by itself, so that name is broken in both places.
GUARDS = [
    ([edge], "is_allowed_host"),
    ([edge.headers], "preflight"),
    ([edge.headers], "cors"),
    ([auth, conditional], "identify"),
    ([auth], "_find"),
    ([auth.hmac], "compare_digest"),
    ([auth], "reads_are_open"),
]


@pytest.mark.parametrize(("modules", "name"), GUARDS, ids=[name for _, name in GUARDS])
def test_an_error_in_a_guard_refuses(make_api: Any, monkeypatch: pytest.MonkeyPatch, modules: Any, name: str) -> None:
    api: Api = make_api(host="0.0.0.0", allow_anonymous_read=True)
    a_repository(api.db)
    a_run(api.db)
    keyed = {"X-API-Key": key_of("reader"), "Origin": "http://localhost:3000"}
    first = api.open("/api/v1/builds", headers=keyed)
    assert first.status_code == 200
    used: list[str] = []
    ever: list[str] = []

    def broken(*args: object, **kwargs: object) -> None:
        used.append(name)
        ever.append(name)
        raise RuntimeError("broken guard")

    for module in modules:
        monkeypatch.setattr(module, name, broken)
    tagged = keyed | {"If-None-Match": first.headers["ETag"]}
    for headers in (keyed, tagged, {}, {"Origin": "http://localhost:3000"}):
        used.clear()
        if name == "cors":
            # It makes the headers of every answer, the refusal's too: then there is no answer at all.
            with pytest.raises(RuntimeError):
                api.open("/api/v1/builds", headers=headers)
            continue
        answers = [api.open(path, headers=headers) for path in ("/api/v1/builds", "/api/v1/builds?per_page=5")]
        if not used:
            continue  # this request does not come to that guard: no key, so none to look up
        for answer in answers:
            assert answer.status_code == 500
            assert b'"builds":' not in answer.get_data() and b"broken guard" not in answer.get_data()
    assert ever, "the guard was never asked"


def test_an_error_in_the_check_of_bodies_refuses(make_api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def add(app: Any) -> None:
        app.add_url_rule("/w", "w", auth.scope("operate")(lambda: done.append(1) or "done"), methods=["POST"])

    def broken(body: bytes) -> bool:
        raise RuntimeError

    api: Api = make_api(add)
    assert api.open("/w", "POST", "boss", json={}).status_code == 200
    monkeypatch.setattr(bodies, "too_deep", broken)
    assert api.open("/w", "POST", "boss", json={}).status_code == 500
    assert done == [1]
