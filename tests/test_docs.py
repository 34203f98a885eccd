"""The documents tell the truth: settings, commands, metrics and paths are all there, and nothing else is."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from config import Settings
from pipemon import cli
from pipemon.api.schemas.events import LoggedEvent
from pipemon.app import create_app
from pipemon.domain.events import TYPES
from pipemon.domain.measures import METRICS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = {item.name.upper(): item.metadata for item in dataclasses.fields(Settings) if item.metadata}
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)


def settings_table() -> dict[str, tuple[str, str]]:
    """The README's table: default and marks of each variable."""
    rows = re.findall(r"^\| `([A-Z_]+)`([ *†]*)\| ([^|]*)\|", README, re.MULTILINE)
    return {name: (default.strip().strip("`"), marks.strip()) for name, marks, default in rows}


def test_the_readme_has_every_setting_with_its_default() -> None:
    assert {name: default for name, (default, _) in settings_table().items()} == {
        name: declared["default"] for name, declared in SETTINGS.items()
    }


def test_the_readme_marks_the_secrets() -> None:
    marked = {name for name, (_, marks) in settings_table().items() if "*" in marks}
    assert marked == {name for name, declared in SETTINGS.items() if declared["hidden"]}


# Settings that are read under another name, which follows from them.
READ_AS = {"github_repo": "repositories", "github_repositories": "repositories", "web_concurrency": "workers"}


def test_the_readme_marks_the_settings_that_have_no_effect_yet() -> None:
    files = [file for file in (ROOT / "pipemon").rglob("*.py") if file.name != "cli.py"] + [ROOT / "gunicorn.conf.py"]
    read = set(re.findall(r"settings(?:\(\))?\.([a-z_]+)", "\n".join(file.read_text() for file in files)))
    without = {name for name in SETTINGS if READ_AS.get(name.lower(), name.lower()) not in read}
    marked = {name for name, (_, marks) in settings_table().items() if "†" in marks}
    assert marked == without


def test_the_example_has_every_setting_with_its_default() -> None:
    lines = re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert len(lines) == len(dict(lines))
    assert dict(lines) == {name: declared["default"] for name, declared in SETTINGS.items()}


def test_the_example_as_it_is_can_be_started() -> None:
    assert Settings.from_env({}, ROOT / ".env.example") == Settings.from_env({}, env_file=None)


def test_every_metric_is_documented_word_for_word() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(pipemon_\w+)` \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    wanted = [
        (f"pipemon_{metric.name}", ", ".join(f"`{label}`" for label in metric.labels), metric.help)
        for metric in METRICS
    ]
    assert sorted((name, labels.strip(), told) for name, labels, told in rows) == sorted(wanted)


def test_every_command_is_in_the_changelog_and_each_named_one_exists() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert set(cli.app.cli.commands) <= set(re.findall(r"`(?:flask )?([a-z-]+)", changelog))
    text = "\n".join(file.read_text() for file in DOCUMENTS)
    assert {found for found in re.findall(r"flask ([a-z][a-z-]*)", text) if found not in ("run",)} <= set(
        cli.app.cli.commands
    )


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets >= {"help", "run", "demo", "test", "check", "lint", "types", "lock", "bench", "proof"}
    named = {
        found
        for file in DOCUMENTS
        for found in re.findall(r"`?\bmake ([a-z]+)(?=`|$|\s+#)", file.read_text(), re.MULTILINE)
    }
    assert named <= targets


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{file.name}: {target}"
        for file in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text())
        if not target.startswith("http") and not (file.parent / target).exists()
    ]
    assert broken == []


def test_every_file_that_is_named_in_the_architecture_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:pipemon|tests)/[a-z_/]+\.py)`", text))
    assert named
    assert {path for path in named if not (ROOT / path).is_file()} == set()


def test_every_served_path_is_in_the_readme(tmp_path: Path, sqlite_template: Path) -> None:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path)}, env_file=None)
    shutil.copy(sqlite_template, settings.database_url.removeprefix("sqlite:///"))
    app = create_app(settings)
    served = {re.sub(r"<(?:\w+:)?(?:\w+_)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    served = {path for path in served if path != "/" and not path.startswith("/static/")}
    table = README.split("## What is served")[1].split("\n## ")[0]
    assert set(re.findall(r"`(/[^`]*)`", table.split("The complete description")[0])) == served


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_the_image_has_every_module_and_no_secret(name: str) -> None:
    text = (ROOT / name).read_text()
    for module in (
        *(path.name for path in ROOT.glob("config*.py")),
        "wsgi.py",
        "gunicorn.conf.py",
        "pipemon",
        "requirements.txt",
    ):
        assert module in text
    assert ".env " not in text


def test_the_compose_file_is_closed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for line in ('"127.0.0.1:8000:8000"', "read_only: true", "- ALL", "no-new-privileges:true"):
        assert line in text
    assert "docker.sock" not in text


def test_nginx_upgrades_on_ws_only_and_clears_what_pipemon_would_trust() -> None:
    text = re.sub(r"#.*", "", (ROOT / "nginx.conf").read_text())
    server = text.split("server_name ci.example.com;")[-1]
    sections = {"server": server.split("location")[0]}
    sections |= {found.split("{")[0].strip(): found for found in server.split("location")[1:]}
    upgrades = {name for name, body in sections.items() if re.search(r"Upgrade \$http_upgrade", body)}
    assert upgrades == {"= /ws"}
    # nginx inherits proxy_set_header only where a section has none of its own.
    own = {name: set(re.findall(r"proxy_set_header (\S+)", body)) for name, body in sections.items()}
    assert own["= /ws"] == own["server"]
    assert {name for name, found in own.items() if found} == {"server", "= /ws"}
    assert {"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-API-Key"} <= own["server"]
    key = re.search(r'proxy_cache_key "(.*)"', text)
    assert key is not None
    assert all(part in key[1] for part in ("$request_uri", "$credential"))
    assert "$api_key" not in key[1]


def test_every_event_is_described() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    assert [name for name in TYPES if f"`{name}`" not in text] == []
    assert [field for field in LoggedEvent().fields if f"`{field}`" not in text] == []
