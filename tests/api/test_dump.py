"""The fast way to the public form gives what marshmallow itself gives, on every shape and on real results."""

from types import SimpleNamespace
from typing import Any

import marshmallow
import pytest

from pipemon import turns
from pipemon.api.schemas import base
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


def test_while_a_long_list_is_given_its_form_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []
    monkeypatch.setattr(turns.gevent, "sleep", taken.append)

    class Point(Answer):
        n = marshmallow.fields.Integer()

    class Points(Answer):
        points = marshmallow.fields.List(marshmallow.fields.Nested(Point))

    many = [SimpleNamespace(n=number) for number in range(3 * base.AT_ONCE)]
    assert len(Points().dump(SimpleNamespace(points=many))["points"]) == len(Point(many=True).dump(many)) == len(many)
    assert taken == [turns.TURN_SECONDS] * 6
    assert turns.TURN_SECONDS > 0
