"""Logs as GitHub gives them: where they lie, for how long, and what the files are called."""

import io
import zipfile
from collections.abc import Iterator

import pytest
import requests

from pipemon.simulator import Simulator
from pipemon.simulator.plans import EPOCH

NOW = EPOCH + 400 * 86400
ACTIONS = "/repos/octo-harbor/shop/actions"


@pytest.fixture
def served() -> Iterator[tuple[Simulator, str]]:
    sim = Simulator(size="empty", clock=lambda: NOW)
    with sim.serve() as url:
        yield sim, url


def ended_run(sim: Simulator, url: str) -> tuple[int, int]:
    """Return a failed run and its failed job."""
    (run_id,) = sim.add_runs("shop", seconds=100, conclusion="failure")
    sim.advance(200)
    jobs = requests.get(f"{url}{ACTIONS}/runs/{run_id}/jobs").json()["jobs"]
    return run_id, next(job["id"] for job in jobs if job["conclusion"] == "failure")


def redirect(url: str) -> requests.Response:
    return requests.get(url, allow_redirects=False)


def test_a_job_s_log_lies_on_another_host_for_a_minute(served: tuple[Simulator, str]) -> None:
    sim, url = served
    _, job_id = ended_run(sim, url)
    found = redirect(f"{url}{ACTIONS}/jobs/{job_id}/logs")
    address = found.headers["Location"]
    assert (found.status_code, "127.0.0.1" in address) == (302, False)
    text = requests.get(address).content.decode("utf-8-sig")
    assert "##[error]Process completed with exit code 1.\r\n" in text
    assert all(line[:4].isdigit() for line in text.splitlines() if "fetch-depth" not in line)
    assert requests.get(address, headers={"Authorization": "Bearer t"}).status_code == 401
    assert requests.get(address.replace("sig=", "sig=0")).status_code == 403
    sim.advance(61)
    assert requests.get(address).status_code == 403


def test_a_run_s_zip_names_files_as_github_does(served: tuple[Simulator, str]) -> None:
    sim, url = served
    run_id, _ = ended_run(sim, url)
    archive = zipfile.ZipFile(io.BytesIO(requests.get(f"{url}{ACTIONS}/runs/{run_id}/logs").content))
    names = archive.namelist()
    assert {"0_lint.txt", "lint/1_Set up job.txt", "lint/2_Run actionscheckout@v4.txt"} <= set(names)
    assert archive.read("lint/4_Test.txt") in archive.read("0_lint.txt")


def test_there_is_no_log_of_what_runs_and_no_more_of_what_is_old(served: tuple[Simulator, str]) -> None:
    sim, url = served
    (run_id,) = sim.add_runs("shop", seconds=0)
    assert redirect(f"{url}{ACTIONS}/runs/{run_id}/logs").status_code == 404
    old, job_id = ended_run(sim, url)
    sim.advance(91 * 86400)
    assert redirect(f"{url}{ACTIONS}/runs/{old}/logs").status_code == 410
    assert redirect(f"{url}{ACTIONS}/runs/{old}/attempts/1/logs").status_code == 410
    assert redirect(f"{url}{ACTIONS}/jobs/{job_id}/logs").status_code == 410
    assert redirect(f"{url}{ACTIONS}/jobs/1/logs").status_code == 404
