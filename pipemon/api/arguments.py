"""How a request's parameters are read, and which routes they reach: the strict side of the door."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias, cast

import flask_smorest
from flask import Flask, Request, request
from marshmallow import RAISE, Schema
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.datastructures import MultiDict
from werkzeug.routing import BaseConverter

from pipemon.api.errors import refuse
from pipemon.api.schemas.base import Arguments

LARGEST_ID = 2**63 - 1

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


class Parser(FlaskParser):
    """Refuses parameters that are not known or come twice; leaves out cache-busters, whose names begin with `_`."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE, "json": RAISE}

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the query's parameters as webargs wants them."""
        sent = MultiDict([(name, value) for name, value in req.args.items(multi=True) if not name.startswith("_")])
        proxy = MultiDictProxy(sent, schema)
        twice = [name for name in sent if len(sent.getlist(name)) > 1 and name not in proxy.multiple_keys]
        if twice:
            refuse(422, "A parameter is given more than once.", {name: ["Given more than once."] for name in twice})
        return proxy

    def _raw_load_json(self, req: Request) -> Any:
        """Return the body's JSON; none is an empty object. Absurd numbers and depths raise errors of their own."""
        body = req.get_data(cache=True)
        try:
            found = json.loads(body, parse_constant=_no_constant) if body else {}
        except (ValueError, RecursionError):
            refuse(400, "The body is not valid JSON.")
        wrong = [name for name in found if not _is_storable([name, found[name]])] if isinstance(found, dict) else []
        if wrong:
            why = "Has half of a character, or a NUL, which can't be stored."
            refuse(422, "A text can't be stored.", {name.encode(errors="replace").decode(): [why] for name in wrong})
        return found


def _is_storable(value: Any) -> bool:
    """Whether all texts in it are such as databases take; the JSON is not nested deeply."""
    if isinstance(value, dict):
        return all(_is_storable(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(_is_storable(part) for part in value)
    return not isinstance(value, str) or re.search("[\x00\ud800-\udfff]", value) is None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A smorest blueprint with our parser, and with typed names for the decorators in use."""

    ARGUMENTS_PARSER = Parser()

    def get(self, rule: str) -> Decorator:
        """Make the function answer GET (and HEAD) of this path."""
        return cast(Decorator, super().get(rule))

    def post(self, rule: str) -> Decorator:
        """Make the function answer POST of this path."""
        return cast(Decorator, super().post(rule))

    def takes_body(self, schema: type[Arguments] | Arguments) -> Decorator:
        """Hand the body's values to the function, as its first argument."""
        return cast(Decorator, self.arguments(schema, location="json"))

    def doc(self, **documentation: object) -> Decorator:
        """Document what no schema here says."""
        return cast(Decorator, super().doc(**documentation))

    def put(self, rule: str) -> Decorator:
        """Make the function answer PUT of this path."""
        return cast(Decorator, super().put(rule))

    def delete(self, rule: str) -> Decorator:
        """Make the function answer DELETE of this path."""
        return cast(Decorator, super().delete(rule))

    def takes(self, schema: type[Arguments]) -> Decorator:
        """Hand the query's parameters to the function, as its first argument."""
        return cast(Decorator, self.arguments(schema, location="query"))

    def returns(self, schema: object, status: int = 200, **documentation: object) -> Decorator:
        """Give out what the function returns in this shape."""
        return cast(Decorator, self.response(status, schema, **documentation))

    def also(self, status: int, schema: object = None, **documentation: object) -> Decorator:
        """Document another answer."""
        return cast(Decorator, self.alt_response(status, schema=schema, **documentation))


class IdConverter(BaseConverter):
    """An id in a path. It matches any text, so that a wrong one is our 422 behind the key, not a 404 before it."""


def register(app: Flask) -> None:
    """Refuse ids that are none, and parameters on routes that take none."""

    @app.before_request
    def check() -> None:
        if request.url_rule is None:
            return
        for name in request.url_rule.arguments:
            if isinstance(request.url_rule._converters[name], IdConverter):
                request.view_args[name] = _to_id(name, request.view_args[name])  # type: ignore[index]
        unknown = [name for name in request.args if not name.startswith("_")]
        if unknown and not takes_query(app.view_functions[request.url_rule.endpoint]):
            refuse(422, "A parameter is not known.", {name: ["Unknown field."] for name in unknown})


def _to_id(name: str, text: str) -> int:
    is_id = text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= LARGEST_ID
    return (
        int(text)
        if is_id
        else refuse(422, "This is not an id.", {name: [f"Not a whole number from 1 to {LARGEST_ID}."]})
    )


def takes_query(view: Any) -> bool:
    """Whether the view has declared parameters in the query."""
    parameters = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    return any(parameter["in"] == "query" for parameter in parameters)
