"""The simulator behaves as GitHub does: by GitHub's own schemas, and by the traps that pipemon must survive."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from pipemon.simulator import Simulator
from pipemon.simulator.plans import EPOCH

SCHEMAS = json.loads((Path(__file__).parents[1] / "samples" / "github_openapi" / "schemas.json").read_text())
NOW = EPOCH + 400 * 86400
RUNS = "/repos/octo-harbor/shop/actions/runs"


class World:
    """A served simulator at a time that stands still."""

    def __init__(self, sim: Simulator, url: str) -> None:
        self.sim, self.url, self.session = sim, url, requests.Session()

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(
            path if path.startswith("http") else self.url + path, headers=headers, allow_redirects=False
        )


@pytest.fixture
def world() -> Iterator[World]:
    sim = Simulator(size="empty", clock=lambda: NOW, rate_limit=60)
    with sim.serve() as url:
        made = World(sim, url)
        yield made
        made.session.close()


def validator(answer: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMAS["answers"][answer], "components": SCHEMAS["components"]})


def test_every_answer_fits_githubs_published_schema() -> None:
    sim = Simulator(size="demo", clock=lambda: NOW, rate_limit=10_000)
    with sim.serve() as url, requests.Session() as session:

        def body(path: str) -> Any:
            return session.get(url + path).json()

        validator("rate_limit").validate(body("/rate_limit"))
        validator("owner_repositories").validate(body("/orgs/octo-harbor/repos"))
        for name in sim.repositories:
            base = f"/repos/octo-harbor/{name}"
            validator("repository").validate(body(base))
            validator("workflows").validate(body(f"{base}/actions/workflows"))
            page = body(f"{base}/actions/runs?per_page=100")
            validator("runs").validate(page)
            for run in page["workflow_runs"][:15]:
                validator("run").validate(body(f"{base}/actions/runs/{run['id']}"))
                validator("jobs").validate(body(f"{base}/actions/runs/{run['id']}/jobs?filter=all&per_page=100"))
                validator("attempt").validate(body(f"{base}/actions/runs/{run['id']}/attempts/1"))
                validator("attempt_jobs").validate(body(f"{base}/actions/runs/{run['id']}/attempts/1/jobs"))


def everything(sim: Simulator) -> list[Any]:
    return [sim.truth(name) for name in sim.repositories]


def test_the_same_seed_is_the_same_world_and_another_seed_another() -> None:
    first, second = (Simulator(size="test", seed=7, clock=lambda: NOW) for _ in range(2))
    assert everything(first) == everything(second)
    assert everything(first) != everything(Simulator(size="test", seed=8, clock=lambda: NOW))


def test_what_is_past_does_not_depend_on_when_it_is_looked_at() -> None:
    early, late = Simulator(size="test", clock=lambda: NOW), Simulator(size="test", clock=lambda: NOW + 5 * 86400)
    told = {
        run["id"]: run["attempts"][0]["conclusion"] for run in early.truth("shop") if run["attempts"][0]["completed_at"]
    }
    again = {run["id"]: run["attempts"][0]["conclusion"] for run in late.truth("shop")}
    shared = told.keys() & again.keys()
    assert len(shared) > 50
    assert {run_id: told[run_id] for run_id in shared} == {run_id: again[run_id] for run_id in shared}


def test_a_restart_replays_the_journal(tmp_path: Path) -> None:
    journal, at = tmp_path / "journal", [NOW]
    sim = Simulator(size="test", clock=lambda: at[0], journal=journal)
    (run_id,) = sim.add_runs("shop", seconds=0, conclusion="failure")
    at[0] += 100
    sim.order("finish", "shop", run=run_id, conclusion="failure")
    at[0] += 10
    sim.order("rerun", "shop", run=run_id, failed_only=True)
    sim.order("delete", "shop", run=sim.truth("shop")[0]["id"])
    assert everything(Simulator(size="test", clock=lambda: at[0], journal=journal)) == everything(sim)


def test_the_demo_is_small_varied_and_a_year_is_there_when_asked() -> None:
    demo = Simulator(size="demo", clock=lambda: NOW)
    seen: Counter[str | None] = Counter()
    jobs = 0
    for name in demo.repositories:
        for run in demo.truth(name):
            if run["created_at"] < NOW - 90 * 86400:  # as far as pipemon reads unless told otherwise
                continue
            jobs += sum(attempt["jobs"] for attempt in run["attempts"])
            seen.update(attempt["conclusion"] for attempt in run["attempts"])
    assert jobs <= 20_000
    odd = {"startup_failure", "action_required", "skipped", "neutral", "stale", "cancelled", "timed_out"}
    assert {"success", "failure"} | odd <= seen.keys()
    assert NOW - demo.truth("shop")[0]["created_at"] > 363 * 86400


def test_the_traps_are_in_it() -> None:
    sim = Simulator(size="demo", clock=lambda: NOW)
    repos = sim.repositories.values()
    runs = [run for repo in repos for _, run_id in repo.at(NOW) for run in [repo.runs[run_id]]]
    attempts = [attempt for run in runs for attempt in run.attempts]
    jobs = [job for attempt in attempts for job in attempt.jobs]
    assert max(len(attempt.jobs) for attempt in attempts) == 256
    assert max(len(run.attempts) for run in runs) >= 3
    assert any(run.attempts[0].started_at < run.created_at for run in runs)
    assert any(run.no_commit for run in runs)
    assert any(run.fork and run.branch == "main" and not run.pull_requests for run in runs)
    assert any(len(run.pull_requests) == 2 for run in runs)
    assert any(job.completed_at < job.started_at for job in jobs if job.conclusion == "skipped")
    assert any(
        job.started_at < attempt.started_at - 60 for run in runs for attempt in run.attempts[1:] for job in attempt.jobs
    )
    assert any(run.late_update_seconds for run in runs)
    assert any("#" in run.branch for run in runs)
    assert {run.name for run in runs if run.workflow.id == 91001} >= {"Build and test", run_path(runs)}
    twins = {run.workflow.id for run in runs if run.repository == "twins" and run.name == "CI"}
    assert len(twins) == 2


def run_path(runs: list[Any]) -> str:
    """Return what a run of the first workflow is called when its file could not be read."""
    return next(
        run.name for run in runs if run.workflow.id == 91001 and run.attempts[0].conclusion == "startup_failure"
    )


def test_an_unchanged_answer_is_a_304_that_costs_nothing(world: World) -> None:
    first = world.get(RUNS)
    left = first.headers["X-RateLimit-Remaining"]
    again = world.get(RUNS, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["X-RateLimit-Remaining"]) == (304, left)
    assert "Content-Type" not in again.headers
    assert "Authorization" in first.headers["Vary"]
    world.sim.add_runs("shop")
    assert world.get(RUNS, **{"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_an_etag_is_bound_to_its_token(world: World) -> None:
    etag = world.get(RUNS, Authorization="Bearer a").headers["ETag"]
    assert world.get(RUNS, Authorization="Bearer b", **{"If-None-Match": etag}).status_code == 200


def test_pages_shift_and_links_name_the_repository_by_number(world: World) -> None:
    ids = world.sim.add_runs("shop", count=7)
    first = world.get(RUNS + "?per_page=3")
    world.sim.add_runs("shop")
    second = world.get(first.links["next"]["url"])
    assert "/repositories/7003/actions/runs" in first.links["next"]["url"]
    shown = [[run["id"] for run in answer.json()["workflow_runs"]] for answer in (first, second)]
    assert shown[0] == ids[:-4:-1]
    assert shown[1][0] == shown[0][-1]


def test_a_filtered_list_lags_and_stops_at_1000(world: World) -> None:
    world.sim.limits.limit = 5000
    world.sim.add_runs("shop", count=1010)
    window = RUNS + "?created=2025-01-01..2026-12-31&per_page=100&page="
    assert world.get(window + "1").json()["total_count"] == 1010
    assert len(world.get(window + "10").json()["workflow_runs"]) == 100
    assert world.get(window + "11").json()["workflow_runs"] == []
    world.sim.index_lag = 60
    assert world.get(window + "1").json()["total_count"] == 0
    assert world.get(RUNS).json()["total_count"] == 1010


def test_a_run_lives_and_a_rerun_copies_what_had_passed(world: World) -> None:
    (run_id,) = world.sim.add_runs("shop", seconds=100, conclusion="failure")
    world.sim.advance(50)
    assert world.get(f"{RUNS}/{run_id}").json()["status"] == "in_progress"
    world.sim.advance(60)
    assert world.get(f"{RUNS}/{run_id}").json()["conclusion"] == "failure"
    world.sim.order("rerun", "shop", run=run_id, failed_only=True)
    world.sim.advance(1)
    assert world.get(f"{RUNS}/{run_id}").json()["run_attempt"] == 2
    assert world.get(f"{RUNS}/{run_id}/attempts/1").json()["conclusion"] == "failure"
    before, after = (world.get(f"{RUNS}/{run_id}/attempts/{n}/jobs").json()["jobs"][0] for n in (1, 2))
    assert (before["name"], before["started_at"]) == (after["name"], after["started_at"])
    assert before["id"] != after["id"]
    assert before["created_at"] < after["created_at"]


def test_rerun_and_cancel_change_the_world_or_say_why_not(world: World) -> None:
    (run_id,) = world.sim.add_runs("shop", seconds=0)
    post = world.session.post
    assert post(f"{world.url}{RUNS}/{run_id}/rerun").status_code == 403
    assert post(f"{world.url}{RUNS}/{run_id}/cancel").status_code == 202
    world.sim.advance(5)
    assert world.get(f"{RUNS}/{run_id}").json()["conclusion"] == "cancelled"
    assert post(f"{world.url}{RUNS}/{run_id}/cancel").status_code == 409
    assert post(f"{world.url}{RUNS}/{run_id}/rerun").status_code == 201
    world.sim.advance(40 * 86400)
    assert "over a month ago" in post(f"{world.url}{RUNS}/{run_id}/rerun").json()["message"]


def test_the_budget_ends_and_calls_after_that_are_counted_as_forbidden(world: World) -> None:
    for _ in range(60):
        assert world.get(RUNS).status_code == 200
    refused = world.get(RUNS)
    assert (refused.status_code, refused.headers["X-RateLimit-Remaining"]) == (403, "0")
    assert world.sim.counters()["forbidden"] == 0
    world.get(RUNS)
    assert world.sim.counters()["forbidden"] == 1
    world.sim.advance(3601)
    assert world.get(RUNS).status_code == 200


def test_a_renamed_repository_moves_and_an_unknown_one_is_not_found(world: World) -> None:
    world.sim.order("rename", "shop", name="store")
    moved = world.get(RUNS)
    assert moved.status_code == 301
    assert world.get(moved.headers["Location"]).status_code == 200
    assert world.get("/repos/octo-harbor/none").status_code == 404


def test_faults_come_as_ordered_and_end(world: World) -> None:
    world.sim.order_fault("status", route="/runs$", status=502, times=2, after=1)
    assert [world.get(RUNS).status_code for _ in range(4)] == [200, 502, 502, 200]
    world.sim.order_fault("mutate", route="/repos/octo-harbor/shop$", field_name="default_branch", value=5)
    assert world.get("/repos/octo-harbor/shop").json()["default_branch"] == 5
    world.sim.order_fault("truncate", route="/runs$")
    with pytest.raises(requests.RequestException):
        world.get(RUNS)
    assert world.get(RUNS).status_code == 200


def test_the_control_surface_does_the_same_by_http(world: World) -> None:
    def post(path: str, **body: Any) -> Any:
        return world.session.post(f"{world.url}/_sim/{path}", json=body).json()

    (run_id,) = post("order", what="add", repository="shop", seconds=0)
    post("advance", seconds=30)
    post("order", what="finish", repository="shop", run=run_id, conclusion="failure")
    (told,) = world.get("/_sim/truth?repo=octo-harbor/shop").json()
    assert told["attempts"][0]["conclusion"] == "failure"
    post("fault", kind="status", status=500)
    assert world.get(RUNS).status_code == 500
    assert world.get("/_sim/counters").json()["by_status"]["500"] == 1


def test_its_process_starts_without_a_word_of_warning() -> None:
    """`make run` shows what it says to everybody who tries the demo."""
    command = [sys.executable, "-W", "error", "-m", "pipemon.simulator", "--port", "0", "--size", "empty"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert said.startswith("simulator listening on http://127.0.0.1:")
    assert errors == ""
