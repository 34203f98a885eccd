"""The floors hold: who may import what, and who may write a run. Each rule is tried on a file that breaks it too."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*sorted(ROOT.glob("config*.py")), ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"]
FILES += sorted((ROOT / "pipemon").rglob("*.py"))

Rule = Callable[[str, ast.Module], Iterator[str]]


def names_imported(tree: ast.Module) -> Iterator[str]:
    """Yield each imported module, and each name imported from one as `module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(tree: ast.Module, module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in names_imported(tree))


def only(module: str, *places: str) -> Rule:
    """A rule: only files in these places import the module."""

    def rule(path: str, tree: ast.Module) -> Iterator[str]:
        if imports(tree, module) and not path.startswith(places):
            yield f"{path} imports {module}"

    return rule


def attributes_of(tree: ast.Module, owner: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each `owner.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner:
            yield node.lineno, node.attr


def reads_environment(path: str, tree: ast.Module) -> Iterator[str]:
    if path == "config.py":
        return
    for line, name in attributes_of(tree, "os"):
        if name in ("environ", "environb", "getenv", "putenv"):
            yield f"{path}:{line} reads the environment"
    if {"os.environ", "os.getenv", "dotenv"} & set(names_imported(tree)):
        yield f"{path} imports the environment"


def sqlalchemy_below(path: str, tree: ast.Module) -> Iterator[str]:
    """Statements are made in store and queries; others may only name the connection they hand on."""
    if path.startswith(("pipemon/store/", "pipemon/queries/")):
        return
    for name in names_imported(tree):
        if name.startswith("sqlalchemy") and name not in ("sqlalchemy", "sqlalchemy.Connection"):
            yield f"{path} imports {name}"
    if any(
        isinstance(node, ast.Import) and "sqlalchemy" in {alias.name for alias in node.names} for node in ast.walk(tree)
    ):
        yield f"{path} imports sqlalchemy as a whole"


def domain_is_pure(path: str, tree: ast.Module) -> Iterator[str]:
    """Domain and analytics stand on the standard library, and on each other; analytics on numpy too."""
    if not path.startswith(("pipemon/domain/", "pipemon/analytics/")):
        return
    for name in names_imported(tree):
        top = name.partition(".")[0]
        if top == "numpy" and path.startswith("pipemon/analytics/"):
            continue
        if top not in sys.stdlib_module_names and not name.startswith(("pipemon.domain", "pipemon.analytics")):
            yield f"{path} imports {name}"
        if name in ("os", "socket", "threading", "subprocess", "sqlite3", "logging"):
            yield f"{path} imports {name}: it must be pure"


WRITERS = {"sqlalchemy.insert", "sqlalchemy.update", "sqlalchemy.delete"}


def only_apply_writes_runs(path: str, tree: ast.Module) -> Iterator[str]:
    """What writes in store/runs.py and store/events.py is called by ingest/apply.py alone."""
    if path == "pipemon/ingest/apply.py" or path.startswith("pipemon/store/"):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id in ("runs", "events") and name in run_writers():
            yield f"{path}:{node.lineno} calls {owner.id}.{name}"
    for name in names_imported(tree):
        if (
            name.startswith(("pipemon.store.runs.", "pipemon.store.events."))
            and name.rpartition(".")[2] in run_writers()
        ):
            yield f"{path} imports {name}"


def run_writers() -> set[str]:
    """The public functions of store/runs.py and store/events.py that write: found, not listed."""
    found: set[str] = set()
    for module in ("runs", "events"):
        tree = ast.parse((ROOT / f"pipemon/store/{module}.py").read_text())
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        writing = {name for name, node in functions.items() if _writes(node)}
        # A function that calls a writing one writes.
        while more := {
            name for name, node in functions.items() if name not in writing and _calls(node) & (writing | found)
        }:
            writing |= more
        found |= {name for name in writing if not name.startswith("_")}
    return found


def _writes(function: ast.FunctionDef) -> bool:
    return any(
        isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in ("insert", "update", "delete", "upsert")
        for node in ast.walk(function)
    )


def _calls(function: ast.FunctionDef) -> set[str]:
    return {
        node.func.id for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def writes_sql(path: str, tree: ast.Module) -> Iterator[str]:
    """SQL that changes something stands in the store alone."""
    if path.startswith(("pipemon/store/", "pipemon/simulator/")):
        return
    for line, name in attributes_of(tree, "sa"):
        if name in ("insert", "update", "delete"):
            yield f"{path}:{line} writes SQL"
    yield from (f"{path} imports {name}" for name in names_imported(tree) if name in WRITERS)


RULES: dict[str, Rule] = {
    "requests_cache": only("requests_cache", "pipemon/github/session.py"),
    "requests": only("requests", "pipemon/github/", "pipemon/outbound/", "pipemon/simulator/"),
    "apscheduler": only("apscheduler", "pipemon/background.py"),
    "sqlalchemy": sqlalchemy_below,
    "alembic": only("alembic", "pipemon/store/upgrade.py", "pipemon/store/migrations/"),
    "flask": only(
        "flask", "pipemon/api/", "pipemon/live/socket.py", "pipemon/app.py", "pipemon/cli.py", "pipemon/simulator/"
    ),
    "prometheus_client": only("prometheus_client", "pipemon/telemetry.py"),
    "structlog": only("structlog", "pipemon/telemetry.py"),
    "pickle": only("pickle", "nowhere"),
    "config": only(
        "config",
        "pipemon/app.py",
        "pipemon/cli.py",
        "pipemon/digesting.py",
        "pipemon/reaching.py",
        "pipemon/api/",
        "wsgi.py",
        "gunicorn.conf.py",
        "config",
    ),
    "environment": reads_environment,
    "pure": domain_is_pure,
    "one write path": only_apply_writes_runs,
    "sql": writes_sql,
}

BREAKERS = {
    "requests_cache": ("pipemon/github/client.py", "from requests_cache import CachedSession"),
    "requests": ("pipemon/api/builds.py", "import requests.adapters"),
    "apscheduler": ("pipemon/ingest/poll.py", "import apscheduler.schedulers.background"),
    "sqlalchemy": ("pipemon/ingest/poll.py", "from sqlalchemy import Connection, select"),
    "alembic": ("pipemon/store/engine.py", "from alembic import command"),
    "flask": ("pipemon/queries/runs.py", "from flask import request"),
    "prometheus_client": ("pipemon/background.py", "import prometheus_client"),
    "structlog": ("pipemon/background.py", "import structlog"),
    "pickle": ("pipemon/store/runs.py", "def load():\n    import pickle"),
    "config": ("pipemon/ingest/poll.py", "from config import Settings"),
    "environment": ("pipemon/app.py", "import os\nport = os.environ['PORT']"),
    "pure": ("pipemon/domain/runs.py", "import sqlalchemy"),
    "one write path": ("pipemon/ingest/poll.py", "from pipemon.store import runs\nruns.WRITER(conn, run)"),
    "sql": ("pipemon/queries/runs.py", "import sqlalchemy as sa\nsa.delete(table)"),
}


@pytest.mark.parametrize("name", RULES)
def test_the_rule_holds(name: str) -> None:
    broken = [
        line for file in FILES for line in RULES[name](file.relative_to(ROOT).as_posix(), ast.parse(file.read_text()))
    ]
    assert broken == []


@pytest.mark.parametrize("name", RULES)
def test_the_rule_has_teeth(name: str) -> None:
    path, text = BREAKERS[name]
    text = text.replace("WRITER", sorted(run_writers())[0])
    assert list(RULES[name](path, ast.parse(text))) != []


def test_the_writers_of_runs_are_found() -> None:
    assert run_writers()
    assert not {name for name in run_writers() if name.startswith(("get", "list"))}


def test_the_modules_that_the_rules_speak_of_exist() -> None:
    for path in (
        "pipemon/ingest/apply.py",
        "pipemon/store/runs.py",
        "pipemon/store/events.py",
        "pipemon/background.py",
    ):
        assert (ROOT / path).is_file()


def test_no_module_is_long() -> None:
    lengths = {file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > 250 and path != "pipemon/store/schema.py"} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    words = {"utils", "util", "helpers", "helper", "common", "manager", "service", "handler", "core", "misc"}
    assert {file.stem for file in FILES} & words == set()
