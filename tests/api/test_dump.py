"""The fast way to the public form gives what marshmallow itself gives, on every shape and on real results."""

from typing import Any

import marshmallow
import pytest

from pipemon.api.schemas.base import Answer
from tests.api.conftest import Api
from tests.api.test_contract import SHAPES, fill


@pytest.mark.parametrize("path", [*SHAPES, "build"])
def test_both_ways_agree(api: Api, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    running = fill(api)
    path = path if path.startswith("/") else f"/api/v1/builds/{running['id']}"
    fast = api.get(path)
    used: list[str] = []

    def slow(self: Any, obj: Any, *, many: bool | None = None) -> Any:
        used.append(type(self).__name__)
        return marshmallow.Schema.dump(self, obj, many=many)

    monkeypatch.setattr(Answer, "dump", slow)
    # A cache of its own: the answer is made anew.
    other = Api(api.db, api.clock, api.settings, api.health)
    assert other.get(path) == fast
    assert used
