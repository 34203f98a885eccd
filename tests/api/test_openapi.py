"""The description of the interface: valid, complete, and true."""

import json
import re
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate

from tests.api.conftest import Api
from tests.api.test_contract import SHAPES, fill


@pytest.fixture
def document(api: Api) -> Any:
    return api.get("/openapi.json")


def test_valid(document: Any) -> None:
    validate(document)
    assert document["openapi"].startswith("3.")


def test_every_route_is_described_with_its_errors_and_its_key(api: Api, document: Any) -> None:
    for rule in api.app.url_map.iter_rules():
        view: Any = api.app.view_functions[rule.endpoint]
        if not hasattr(view, "_apidoc"):
            continue  # pages for people
        method = next(verb for verb in ("get", "post", "put", "delete") if verb.upper() in rule.methods)
        operation = document["paths"][rule.rule.replace("<id:", "{").replace(">", "}")][method]
        assert operation["summary"]
        answers = operation["responses"]
        assert {"400", "422", "503", "default"} <= set(answers), rule.rule
        assert {"200", "201", "202"} & set(answers), rule.rule
        assert ("security" in operation) == (view.scope != "none")
        if view.scope != "none":
            assert {"401", "403"} - ({"403"} if view.scope == "signature" else set()) <= set(answers)
        if rule.rule.startswith("/api/v1") and method == "get":
            assert "304" in answers and "ETag" in answers["200"]["headers"]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey", "signature"}


def test_errors_have_the_envelope(document: Any) -> None:
    responses = document["components"]["responses"]
    for name in ("DEFAULT_ERROR", "UNAUTHORIZED", "UNPROCESSABLE_ENTITY", "SERVICE_UNAVAILABLE"):
        schema = responses[name]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}


def test_answers_may_gain_fields(document: Any) -> None:
    """`additionalProperties: false` would make a strict client break at every new field."""
    answers = json.dumps([one["responses"] for path in document["paths"].values() for one in path.values()
                          if isinstance(one, dict)])  # fmt: skip
    names = set(re.findall(r"#/components/schemas/(\w+)", answers))
    assert len(names) > 10
    strict = {name for name in names if document["components"]["schemas"][name].get("additionalProperties") is False}
    assert strict == set()


def test_page_sizes_are_the_configured_ones(make_api: Any) -> None:
    found = make_api(max_page_size=33, default_page_size=7).get("/openapi.json")
    per_page = next(one for one in found["paths"]["/api/v1/builds"]["get"]["parameters"] if one["name"] == "per_page")
    assert (per_page["schema"]["maximum"], per_page["schema"]["default"]) == (33, 7)


def test_an_id_is_described_as_a_number(document: Any) -> None:
    found = document["paths"]["/api/v1/builds/{build_id}"]["parameters"][0]
    assert (found["schema"]["type"], found["schema"]["minimum"]) == ("integer", 1)


@pytest.mark.parametrize("path", [*SHAPES, "/api/v1/builds/{build_id}"])
@pytest.mark.parametrize("filled", [False, True])
def test_answers_are_as_described(api: Api, document: Any, path: str, filled: bool) -> None:
    running = fill(api) if filled else None
    if "{" in path and running is None:
        pytest.skip("there is no build in an empty database")
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    found = api.get(path if running is None else path.replace("{build_id}", str(running["id"])))
    jsonschema.validate(found, schema | {"components": document["components"]})


@pytest.mark.parametrize("path", ["/api/v1/builds?x=1", "/api/v1/builds/3", "/nothing"])
def test_errors_are_as_described(api: Api, document: Any, path: str) -> None:
    schema = {"$ref": "#/components/schemas/ErrorEnvelope", "components": document["components"]}
    jsonschema.validate(api.open(path).get_json(), schema)


@pytest.mark.filterwarnings("error")
def test_each_shape_has_a_name_of_its_own(make_api: Any) -> None:
    """Two of one name would be called Name and Name1, and a start would print warnings."""
    make_api()


def test_each_number_is_described_by_its_definition(api: Api) -> None:
    shapes = api.get("/openapi.json")["components"]["schemas"]
    told = shapes["Performance"]["properties"]
    assert told["p95_duration_minutes"]["description"].startswith("95th percentile of the durations, minutes: ")
    assert told["coverage"]["description"] == shapes["Trends"]["properties"]["coverage"]["description"] != ""
    assert "description" not in told["tz"]
    assert shapes["AnalyticsOverview"]["properties"]["success_rate"]["description"].startswith("Success rate, percent")
