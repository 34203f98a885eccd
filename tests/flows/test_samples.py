"""Real payloads, recorded from GitHub by others and kept beside the project, go in at the door and out of the API."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client

import pipemon.api
from config import Settings
from pipemon.api.services import Services, SnapshotSource
from pipemon.domain.runs import JobList, Run
from pipemon.github import parse
from pipemon.ingest.apply import Batch, Sighting, apply
from pipemon.queries import freshness
from pipemon.store import repositories
from pipemon.store.engine import Database
from pipemon.store.repositories import PollOutcome

SAMPLES = Path(__file__).parents[3] / "shared" / "github-samples"
REPOSITORY = "dhis2/dhis2-core"
NOW = 1_800_000_000

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="REAL PAYLOADS NOT TESTED: there are no samples here")


def read(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


def real_runs() -> dict[int, Run]:
    pages = [read(f"runs/list-page{n}.dhis2-core.60-runs.json") for n in ("", "-2")]
    pages.append(read("2026-shapes/runs_pallets_flask.json"))
    payloads = [run for page in pages for run in page["workflow_runs"]]
    payloads += [json.loads(path.read_text()) for path in sorted((SAMPLES / "odd").glob("*.run.json"))]
    found = [parse.run(payload, REPOSITORY) for payload in payloads]
    return {run.id: run for run in found}


def real_jobs(runs: dict[int, Run]) -> list[JobList]:
    bodies = list(read("jobs/of-the-60-runs.json").values())
    bodies += [json.loads(path.read_text()) for path in sorted((SAMPLES / "odd").glob("*.jobs.json"))]
    lists = []
    for body in bodies:
        listed = body["jobs"] or []
        if not listed or listed[0]["run_id"] not in runs:
            continue
        run_id, attempt = listed[0]["run_id"], listed[0].get("run_attempt", 1)
        page = parse.jobs_page(body, run_id, attempt)
        lists.append(JobList(run_id, attempt, page.jobs, complete=True))
    return lists


def test_every_real_payload_is_stored_and_comes_out(tmp_path: Path, sqlite_template: Path) -> None:
    runs = real_runs()
    jobs = real_jobs(runs)
    assert len(runs) > 60
    assert len(jobs) > 50
    db = Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'pipemon.sqlite3')}")
    db.transact(lambda conn: repositories.watch(conn, [REPOSITORY]))
    batch = Batch(1, None, runs=tuple(Sighting(run) for run in runs.values()), jobs=tuple(jobs))
    db.transact(lambda conn: apply(conn, batch, NOW))
    db.transact(lambda conn: repositories.record_success(conn, PollOutcome(1, NOW, 60, NOW + 60), NOW))
    again = db.transact(lambda conn: apply(conn, batch, NOW))
    assert (again.runs, again.jobs, again.news) == (0, 0, 0)
    client = _client(db, tmp_path)
    shown: dict[int, Any] = {}
    for page in range(1, 5):
        body = client.get(f"/api/v1/builds?per_page=100&page={page}").get_json()
        shown |= {build["id"]: build for build in body["builds"]}
    assert shown.keys() == runs.keys()
    for run_id, run in runs.items():
        build = client.get(f"/api/v1/builds/{run_id}").get_json()
        assert (build["status"], build["conclusion"], build["branch"]) == (run.status, run.conclusion, run.branch)
        assert build["duration_seconds"] is None or build["duration_seconds"] >= 0
        assert len(build["attempts"]) >= 1
    for listed in jobs:
        build = client.get(f"/api/v1/builds/{listed.run_id}").get_json()
        if build["run_attempt"] == listed.run_attempt:
            assert {job["id"] for job in build["jobs"]} == {job.id for job in listed.jobs}
    for path in ("overview?lookback_minutes=525600", "status", "metrics?lookback_minutes=525600", "recent"):
        assert client.get(f"/api/v1/pipeline/{path}").status_code == 200
    db.close()


def _client(db: Database, tmp_path: Path) -> Client:
    environ = {"GITHUB_TOKEN": "ghp_" + "t" * 36, "GITHUB_REPOSITORIES": REPOSITORY, "DATA_DIR": str(tmp_path)}
    settings = Settings.from_env(environ, env_file=None)

    def snapshot() -> freshness.Snapshot:
        with db.read() as conn:
            return freshness.read(conn)

    source = SnapshotSource(snapshot, lambda: 0.0)
    app = Flask("samples", static_folder=None)
    pipemon.api.register(app, Services(settings, db, lambda: float(NOW), source, dict, lambda: None))
    return Client(app.wsgi_app)
