"""The client against a GitHub with a mind of its own, and against hosts that GitHub is not."""

import json
import threading
from pathlib import Path

import pytest

from pipemon.domain.secrets import Secret
from pipemon.github.auth import PersonalToken
from pipemon.github.errors import (
    BadAnswer,
    BadToken,
    BudgetSpent,
    GitHubError,
    LimitReached,
    NotFound,
    PermissionMissing,
    Refused,
)
from pipemon.github.moves import Moves, is_below
from pipemon.simulator import OWNER, Simulator
from tests.github.conftest import TOKEN, Make, Memory
from tests.github.loopback import Asked, Loopback, Piece, http

REPO = f"{OWNER}/shop"
RUN = {"id": 5, "workflow_id": 2, "run_number": 1, "status": "queued", "created_at": "2026-01-01T00:00:00Z"}


def page(*runs: object) -> bytes:
    return json.dumps({"total_count": len(runs), "workflow_runs": runs}).encode()


def test_each_question_is_answered(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    done = sim.add_runs(REPO, 2, seconds=1)
    (going,) = sim.add_runs(REPO, 1, seconds=0)
    sim.advance(600)
    newest = client.newest_runs(REPO)
    assert {run.id for run in newest.runs} == {*done, going}
    assert abs(newest.as_of - sim.now()) <= 1
    assert abs(client.now() - sim.now()) <= 1
    assert {run.id for run in client.runs_with_status(REPO, "completed").runs} == set(done)
    assert {run.id for run in client.runs_created(REPO, sim.now() - 900, sim.now()).runs} == {*done, going}
    assert client.runs_created(REPO, sim.now() - 86400, sim.now() - 900).runs == ()
    answer = client.run(REPO, going)
    assert answer.run is not None
    assert answer.run.id == going
    assert client.attempt(REPO, done[0], 1, purpose="people").conclusion is not None
    jobs = client.jobs(REPO, done[0], 1, live=False).jobs
    assert jobs is not None
    assert jobs.complete
    assert {job.run_id for job in jobs.jobs} == {done[0]}
    assert client.repository(REPO).name == REPO
    assert {repo.name.split("/")[1] for repo in client.owned_repositories(OWNER)} == set(sim.repositories)
    assert client.trouble is None


def test_a_window_of_created_is_half_open(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(200, page())]
    make(loopback.url).runs_created("o/r", 1_760_000_000, 1_760_003_600, page=3)
    assert loopback.asked[0].path.endswith(
        "/actions/runs?created=2025-10-09T08:53:20Z..2025-10-09T09:53:19Z&per_page=100&page=3"
    )


def test_unchanged_is_a_304_to_the_very_body_that_was_applied(loopback: Loopback, make: Make) -> None:
    def answer(asked: Asked) -> list[Piece]:
        if asked.headers.get("if-none-match"):
            return http(304, b"", ETag='"one"', Date="Mon, 23 Nov 2026 10:00:00 GMT")
        return http(200, page(RUN), ETag='W/"one"', Date="Mon, 23 Nov 2026 09:00:00 GMT")

    loopback.script = [answer]
    client = make(loopback.url)
    first = client.newest_runs("o/r")
    again = client.newest_runs("o/r", applied_etag=first.etag)
    assert (again.unchanged, again.runs, again.etag) == (True, (), first.etag)
    assert again.as_of - first.as_of == 3600
    assert client.newest_runs("o/r", applied_etag='"one"').unchanged  # the same, without the mark of weakness
    for other in (None, '"two"', ""):
        kept = client.newest_runs("o/r", applied_etag=other)  # killed between cache and database: the body comes again
        assert (kept.unchanged, len(kept.runs)) == (False, 1)


def test_pages_are_followed_and_keep_their_repositorys_name(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    ids = sim.add_runs(REPO, 7, seconds=0)
    sim.order("rename", "shop", name="store")  # it stays the repository that was asked for
    found, names = [], set()
    current = client.newest_runs(REPO, per_page=3)
    while True:
        found += [run.id for run in current.runs]
        names |= {run.repository for run in current.runs}
        if current.next_url is None:
            break
        assert f"{REPO}/" not in current.next_url
        current = client.runs_at(current.next_url)
    assert sorted(found) == sorted(ids)
    assert names == {REPO}


def test_all_pages_of_the_jobs_are_read_and_an_unchanged_first_page_hides_no_change(
    loopback: Loopback, make: Make
) -> None:
    status = "queued"

    def answer(asked: Asked) -> list[Piece]:
        second = asked.path.endswith("page=2")
        if not second and asked.headers.get("if-none-match"):
            return http(304, b"")
        ids = range(101, 131) if second else range(1, 101)
        state = status if second else "completed"
        jobs = [{"id": n, "run_id": 5, "run_attempt": 2, "name": "x", "status": state} for n in ids]
        link = "" if second else f'<{loopback.url}/repositories/9/jobs?page=2>; rel="next"'
        return http(200, json.dumps({"total_count": 130, "jobs": jobs}).encode(), ETag='"p"', Link=link)

    loopback.script = [answer]
    client = make(loopback.url)
    first = client.jobs("o/r", 5, 2, live=True)
    assert first.jobs is not None
    assert (len(first.jobs.jobs), first.jobs.complete) == (130, True)
    status = "completed"
    again = client.jobs("o/r", 5, 2, live=True, applied_etag=first.etag)
    assert again.jobs is not None
    assert {job.status for job in again.jobs.jobs} == {"completed"}


def test_an_answer_about_another_run_is_rejected(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(200, json.dumps(RUN).encode())]
    client = make(loopback.url)
    with pytest.raises(BadAnswer):
        client.run("o/r", 6)
    with pytest.raises(BadAnswer):
        client.attempt("o/r", 5, 2)
    assert client.attempt("o/r", 5, 1).id == 5


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (404, "Not Found", NotFound),
        (410, "Gone", GitHubError),
        (409, "Conflict", Refused),
        (422, "Validation Failed", Refused),
        (451, "Repository access blocked", Refused),
        (403, "Unable to retry this workflow run because it was created over a month ago", Refused),
        (403, "Resource not accessible by personal access token", PermissionMissing),
    ],
)
def test_G4_what_github_refuses_is_told_with_its_reason_and_stops_nothing_else(
    status: int, message: str, error: type[GitHubError], sim: Simulator, api: str, make: Make
) -> None:
    client = make(api)
    headers = {"X-Accepted-GitHub-Permissions": "actions=read"}
    sim.order_fault("status", status=status, body={"message": message}, headers=headers)
    with pytest.raises(error, match=message) as caught:
        client.newest_runs(REPO)
    assert not caught.value.retryable
    if error is PermissionMissing:
        assert "the token lacks actions=read" in str(caught.value)
    client.newest_runs(REPO)
    assert client.trouble is None


def test_G2_after_a_limit_no_call_is_made_also_by_a_new_process(
    sim: Simulator, api: str, make: Make, memory: Memory
) -> None:
    client = make(api)
    client.newest_runs(REPO)
    sim.exhaust()
    with pytest.raises(LimitReached) as caught:
        client.newest_runs(REPO)
    calls = sim.counters()["calls"]
    for again in (client, make(api)):
        for purpose in ("poll", "people", "backfill"):
            with pytest.raises(LimitReached):
                again.run(REPO, 1, purpose=purpose)
        assert "limit is reached" in (again.trouble or "")
    assert sim.counters()["calls"] == calls
    assert sim.counters()["forbidden"] == 0
    assert caught.value.until >= sim.limits.window_end[TOKEN]
    memory.rows.clear()  # the control: without what was remembered the new process calls
    with pytest.raises(LimitReached):
        make(api).run(REPO, 1)
    assert sim.counters()["forbidden"] == 1


def test_G5_people_may_call_when_polling_may_not(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    (run,) = sim.add_runs(REPO, 1, seconds=0)
    client.newest_runs(REPO)
    sim.limits.used[TOKEN] = 4600
    client.run(REPO, run)
    with pytest.raises(BudgetSpent):
        client.newest_runs(REPO)
    assert client.run(REPO, run, purpose="people").run is not None


def test_G10_a_revoked_token_stops_the_calls_but_for_a_probe(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    client.newest_runs(REPO)
    sim.revoke(TOKEN)
    calls = sim.counters()["calls"]
    for _ in range(50):
        with pytest.raises(BadToken, match="Bad credentials"):
            client.newest_runs(REPO)
    assert sim.counters()["calls"] == calls + 1
    assert "refuses the token" in (client.trouble or "")
    client._transport._probe_at = 0.0
    sim.clear_faults()
    client.newest_runs(REPO)
    assert client.trouble is None


def test_G10_a_new_token_in_the_file_is_taken_at_once_without_a_restart(
    sim: Simulator, api: str, make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    client = make(api, tokens=PersonalToken(Secret(TOKEN), file))
    client.newest_runs(REPO)
    sim.revoke(TOKEN)
    with pytest.raises(BadToken):
        client.newest_runs(REPO)
    file.write_text("ghp_another0123456789abcdefghijklmnopqrs\n")
    client.newest_runs(REPO)
    assert client.trouble is None
    sim.revoke("ghp_another0123456789abcdefghijklmnopqrs")
    file.write_text("ghp_third000123456789abcdefghijklmnopqrs\n")
    client.newest_runs(REPO)  # within one call: 401, the file, the answer
    assert sim.counters()["by_token"]["ghp_third000123456789abcdefghijklmnopqrs"] == 1


def test_G17_a_renamed_repository_is_followed_told_and_remembered(sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    ids = sim.add_runs(REPO, 2, seconds=0)
    client.newest_runs(REPO)
    sim.order("rename", "shop", name="store")
    assert client.repository(REPO).name == f"{OWNER}/store"
    moved = client.newest_runs(REPO)
    assert {run.id for run in moved.runs} == set(ids)
    assert {run.repository for run in moved.runs} == {REPO}
    calls = sim.counters()["calls"]
    client.newest_runs(REPO)
    assert sim.counters()["calls"] == calls + 1


@pytest.mark.parametrize("times", [1, 2, 3, 4, None])
def test_G17_a_loop_of_redirects_ends_after_three(times: int | None, sim: Simulator, api: str, make: Make) -> None:
    client = make(api)
    sim.order_fault("redirect", location=f"{api}/repositories/7003/actions/runs?per_page=30", times=times)
    if times is not None and times <= 3:
        client.newest_runs(REPO)
        return
    with pytest.raises(BadAnswer, match="without an end"):
        client.newest_runs(REPO)
    assert sim.counters()["calls"] == 4


FOREIGN = [
    "https://evil.example/repos/o/r",
    "//evil.example/x",
    "http://127.0.0.1:1/x",
    "http://localhost:{port}/x",
    "http://127.0.0.1:{port}@127.0.0.1:{foreign}/",
    "http://127.0.0.1:{foreign}/x",
    "//127.0.0.1:{foreign}",
    "http://x@127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}\\@127.0.0.1:{foreign}/",
    "https://127.0.0.1:{port}/x",
    "ftp://127.0.0.1:{port}/x",
    "http://[bad/",
    "file:///etc/passwd",
    "",
]


@pytest.mark.parametrize("location", FOREIGN)
def test_G17_nothing_is_asked_of_a_foreign_host(location: str, loopback: Loopback, make: Make) -> None:
    with Loopback() as foreign:
        foreign.script = [http(200, page())]
        port, other = loopback.url.rsplit(":")[-1], foreign.url.rsplit(":")[-1]
        location = location.replace("{port}", port).replace("{foreign}", other)
        loopback.script = [http(301, b"{}", Location=location)]
        client = make(loopback.url)
        with pytest.raises(GitHubError):
            client.newest_runs("o/r")
        if location:
            with pytest.raises(GitHubError):
                client.runs_at(location)
        assert foreign.asked == []
        assert len(loopback.asked) <= 4
        assert all(asked.path.startswith("/repos/o/r") for asked in loopback.asked)


def test_G17_no_foreign_address_is_remembered() -> None:
    moves = Moves("https://api.example", lambda: 0.0)
    old = "https://api.example/repos/o/r/actions/runs?page=2"
    for foreign in ("https://evil.example/repositories/5/actions/runs?page=2", "//evil.example/", "http://[bad/"):
        assert moves.target(old, 301, foreign) is None
    assert moves.current(old) == old
    moved = "https://api.example/repositories/5/actions/runs?page=2"
    assert moves.target(old, 302, moved) == moved  # for now only
    assert moves.current(old) == old
    assert moves.target(old, 301, moved) == moved
    assert moves.current("https://api.example/repos/o/r") == "https://api.example/repositories/5"
    assert moves.current("https://api.example/repos/o/rest") == "https://api.example/repos/o/rest"


def test_G17_a_link_to_a_foreign_host_is_not_followed(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(200, page(RUN), Link='<https://evil.example/x?page=2>; rel="next"')]
    # Nor is it taken for the end of the list: what follows would be lost, and held to be complete.
    with pytest.raises(BadAnswer, match="GITHUB_API_URL"):
        make(loopback.url).newest_runs("o/r")


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("https://ghe.example/api/v3/repositories/5", True),
        ("https://ghe.example/api/v3", True),
        ("https://GHE.example/api/v3/x?y=z", True),
        ("https://ghe.example/api/v30/x", False),
        ("https://ghe.example/other", False),
        ("https://ghe.example/api/v3/../../other", False),
        ("http://ghe.example/api/v3/x", False),
        ("https://ghe.example:444/api/v3/x", False),
        ("https://ghe.example.evil.example/api/v3/x", False),
        ("https://ghe.example/api/v3/x\r\nX: y", False),
        ("https://ghe.example:bad/api/v3/x", False),
    ],
)
def test_G17_only_what_lies_below_the_api_is_called(url: str, below: bool) -> None:
    assert is_below(url, "https://ghe.example/api/v3") is below


def test_names_are_escaped_and_no_header_of_ours_but_the_token_changes(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(404, b'{"message": "Not Found"}')]
    client = make(loopback.url)
    with pytest.raises(NotFound):
        client.newest_runs("o/../../user?x=#y")
    asked = loopback.asked[0]
    assert asked.path == "/repos/o/..%2F..%2Fuser%3Fx%3D%23y/actions/runs?per_page=30"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["x-github-api-version"] == "2022-11-28"


def test_a_netrc_does_not_take_the_tokens_place(
    loopback: Loopback, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    loopback.script = [http(200, page())]
    make(loopback.url).newest_runs("o/r")
    assert loopback.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_calls_go_unsigned(loopback: Loopback, make: Make) -> None:
    loopback.script = [http(200, page())]
    make(loopback.url, tokens=PersonalToken(None)).newest_runs("o/r")
    assert "authorization" not in loopback.asked[0].headers


def test_reads_are_serial_and_people_come_next(loopback: Loopback, make: Make) -> None:
    under_way = most = 0
    lock = threading.Lock()
    order: list[str] = []

    def answer(asked: Asked) -> list[Piece]:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            order.append(asked.path.split("/")[6].split("?")[0])

        def pieces():  # type: ignore[no-untyped-def]
            nonlocal under_way
            yield 0.15
            with lock:
                under_way -= 1
            yield from http(200, json.dumps(RUN | {"id": int(order[-1])}).encode())

        return pieces()  # type: ignore[no-any-return]

    loopback.script = [answer]
    client = make(loopback.url)
    threads = [threading.Thread(target=client.run, args=("o/r", n)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    client.run("o/r", 99, purpose="people")
    for thread in threads:
        thread.join()
    assert most == 1
    assert order.index("99") <= 1
