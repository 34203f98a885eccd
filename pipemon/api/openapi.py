"""The description of this interface: what smorest reads from the views, made complete."""

import json
from typing import Any, cast

import flask_smorest
from apispec import APISpec
from flask import Flask

from pipemon import VERSION
from pipemon.api.arguments import LARGEST_ID, IdConverter
from pipemon.api.schemas.fields import Minutes, Moment
from pipemon.api.schemas.system import ErrorEnvelope
from pipemon.api.services import Services

OPENAPI_VERSION = "3.1.0"

DESCRIPTION = """What GitHub Actions does in the watched repositories. Answers come from pipemon's own database; each
says up to when it is true (`timestamp`) and whether that is as planned (`data_state`). Times are RFC 3339 in UTC."""

KEYS: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SIGNED: dict[str, Any] = {
    "signature": {
        "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
        "description": "sha256= and the HMAC-SHA256 of the body, in hex, as GitHub makes it of the webhook's secret.",
    }
}  # fmt: skip

# What every route may answer beside its own, by the component that describes it.
COMMON = {
    "400": "BAD_REQUEST",
    "414": "REQUEST_URI_TOO_LONG",
    "422": "UNPROCESSABLE_ENTITY",
    "503": "SERVICE_UNAVAILABLE",
}
KEYED = {"401": "UNAUTHORIZED", "403": "FORBIDDEN"}
REFUSALS = {"none": {}, "signature": {"401": "UNAUTHORIZED"}}


class Api(flask_smorest.Api):  # type: ignore[misc]
    """smorest's collector of the description; errors are answered elsewhere."""

    ERROR_SCHEMA = ErrorEnvelope
    DEFAULT_ERROR_RESPONSE_NAME = "DEFAULT_ERROR"

    def _register_error_handlers(self) -> None:
        """Leave errors to `api.errors`, which answers those outside of the blueprints too."""

    def _register_pagination_header(self) -> None:
        """Leave out smorest's own pages: ours are described by their shapes."""

    def _register_etag_headers(self) -> None:
        """Leave out smorest's own ETags: ours are added to every route in `complete`."""


def make_api(app: Flask) -> Api:
    """Return the collector, to which the blueprints are given."""
    app.config.update(API_TITLE="pipemon", API_VERSION=VERSION, OPENAPI_VERSION=OPENAPI_VERSION)
    api = Api(app, spec_kwargs={"info": {"description": DESCRIPTION}})
    api.register_converter(
        IdConverter, lambda converter: {"type": "integer", "minimum": 1, "maximum": LARGEST_ID, "format": "int64"}
    )
    api.register_field(Moment, "string", "date-time")
    api.register_field(Minutes, "number", None)
    return api


def complete(app: Flask, api: Api, services: Services) -> bytes:
    """Return the finished document as JSON."""
    spec = cast(APISpec, api.spec)
    for name, scheme in (KEYS | SIGNED).items():
        spec.components.security_scheme(name, scheme)
    document = spec.to_dict()
    views = {
        (_path(rule.rule), method.lower()): app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    for path, operations in document["paths"].items():
        verbs = [method for method in operations if method in ("get", "post", "put", "delete")]
        for method in verbs:
            _complete(path, method, operations[method], cast(Any, views[path, method]).scope, len(verbs) == 1)
    _limit_pages(document, services)
    responses = document["components"].setdefault("responses", {})
    for name in {**COMMON, **KEYED}.values():
        responses.setdefault(name, responses["DEFAULT_ERROR"] | {"description": name.replace("_", " ").capitalize()})
    return json.dumps(document).encode()


def _path(rule: str) -> str:
    return rule.replace("<id:", "{").replace("<", "{").replace(">", "}")


def _complete(path: str, method: str, operation: dict[str, Any], scope: str, alone: bool) -> None:
    name = "_".join(part.strip("{}") for part in path.split("/") if part) or "root"
    operation["operationId"] = name if alone or method == "get" else f"{name}_{method}"
    for parameter in operation.get("parameters", []):
        _plain(parameter["schema"])
    answers = operation["responses"]
    for status, name in {**COMMON, **REFUSALS.get(scope, KEYED)}.items():
        answers.setdefault(status, {"$ref": f"#/components/responses/{name}"})
    if scope == "signature":
        operation["security"] = [{name: []} for name in SIGNED]
    elif scope != "none":
        # An empty requirement first: reads are open on loopback.
        operation["security"] = [*([{}] if scope == "read" else []), *({name: []} for name in KEYS)]
    if method == "get" and path.startswith("/api/v1/") and "200" in answers:
        tag = {"schema": {"type": "string"}, "description": "Weak; send it back as If-None-Match."}
        answers["200"].setdefault("headers", {})["ETag"] = tag
        answers["304"] = {"description": "Nothing has changed since the ETag that was sent."}


def _plain(schema: dict[str, Any]) -> None:
    """Leave out that a parameter may be null: nothing in a query can be, and no value is its default."""
    if schema.get("default", 0) is None:
        del schema["default"]
    if isinstance(schema.get("type"), list):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")


def _limit_pages(document: dict[str, Any], services: Services) -> None:
    """Write the configured page sizes into the document."""
    for parameter in document["paths"]["/api/v1/builds"]["get"]["parameters"]:
        if parameter["name"] == "per_page":
            parameter["schema"] = {
                "type": "integer",
                "minimum": 1,
                "maximum": services.settings.max_page_size,
                "default": services.settings.default_page_size,
            }
