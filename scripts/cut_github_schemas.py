"""Cuts, out of GitHub's published OpenAPI description, the JSON Schemas of the answers that the simulator gives.

Run by hand: `python scripts/cut_github_schemas.py FOLDER`, FOLDER being an unpacked npm package @octokit/openapi.
"""

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "tests" / "samples" / "github_openapi"
REPO = "/repos/{owner}/{repo}"
ANSWERS = {
    "runs": f"{REPO}/actions/runs",
    "run": f"{REPO}/actions/runs/{{run_id}}",
    "attempt": f"{REPO}/actions/runs/{{run_id}}/attempts/{{attempt_number}}",
    "jobs": f"{REPO}/actions/runs/{{run_id}}/jobs",
    "attempt_jobs": f"{REPO}/actions/runs/{{run_id}}/attempts/{{attempt_number}}/jobs",
    "workflows": f"{REPO}/actions/workflows",
    "repository": REPO,
    "rate_limit": "/rate_limit",
    "owner_repositories": "/orgs/{org}/repos",
}
# Prose and examples are most of the bytes and check nothing.
DROPPED = {"description", "example", "examples", "title", "externalDocs", "x-github-breaking-changes"}


def cut(part: Any) -> Any:
    """Return a schema as JSON Schema: without prose, and with OpenAPI 3.0's `nullable` as a type."""
    if isinstance(part, list):
        return [cut(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept: dict[str, Any] = {}
    for key, value in part.items():
        if key == "properties" and isinstance(value, dict):
            kept[key] = {name: cut(schema) for name, schema in value.items()}
        elif key not in DROPPED:
            kept[key] = cut(value)
    if kept.pop("nullable", False):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def used(part: Any, schemas: dict[str, Any], found: dict[str, Any]) -> None:
    """Collect the named schemas that a part refers to, and those that they refer to."""
    text = json.dumps(part)
    for name in {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}:
        if name not in found:
            found[name] = cut(schemas[name])
            used(found[name], schemas, found)


def main(folder: Path) -> None:
    """Write the schemas of all answers, and the licence, beside the tests."""
    described = json.loads((folder / "generated" / "api.github.com.json").read_text())
    schemas, found, answers = described["components"]["schemas"], {}, {}
    for name, path in ANSWERS.items():
        body = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        answers[name] = cut(body)
        used(answers[name], schemas, found)
    whole = {"answers": answers, "components": {"schemas": dict(sorted(found.items()))}}
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / "schemas.json").write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    (TARGET / "LICENSE").write_text((folder / "LICENSE").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
