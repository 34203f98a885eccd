"""The doors of rerun and cancel, and the audit behind them, before a simulator that answers for GitHub."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pipemon.actions import Performer
from pipemon.api import audit as door
from pipemon.domain.secrets import Secret
from pipemon.github.actions import Actions
from pipemon.github.auth import PersonalToken
from pipemon.github.budget import Gate
from pipemon.github.client import GitHub
from pipemon.github.timed import Patience
from pipemon.simulator import Simulator
from pipemon.store import actions as store
from pipemon.store import audit as stored_audit
from pipemon.store.engine import DatabaseBusy
from pipemon.store.schema_actions import actions, audit
from tests.api.conftest import Api
from tests.rows import a_job, a_repository, a_run

SHOP = "octo-harbor/shop"
ENVELOPE = {"message", "type", "details", "timestamp", "path", "request_id"}


class Door:
    """The application, and the GitHub behind it."""

    def __init__(self, api: Api, sim: Simulator, url: str) -> None:
        self.api, self.sim = api, sim
        tokens = PersonalToken(Secret("ghp_x"))
        gate = Gate(tokens.hash, lambda _: None, lambda _: None, sim.now)
        self.github = GitHub(url, tokens, gate, None, Patience(2, 2, 4))
        a_repository(api.db, name=SHOP)
        self.use(Performer(api.db, self.github, Actions(self.github.transport), 0.0, sim.now, sim.advance))

    def use(self, performer: Performer) -> None:
        object.__setattr__(self.api.services, "performer", performer)

    def a_build(self, status: str = "completed") -> int:
        (run_id,) = self.sim.add_runs(SHOP, seconds=1 if status == "completed" else 0)
        self.sim.advance(5)
        a_run(self.api.db, id=run_id, api_url=f"https://api.github.com/repos/{SHOP}/actions/runs/{run_id}")
        return run_id

    def post(self, path: str, key: str | None = "operator", body: Any = None, **headers: str) -> Any:
        return self.api.open(f"/api/v1/builds/{path}", "POST", key, json=body, headers=headers)

    def asked(self) -> int:
        return sum(n for route, n in self.sim.counters()["by_route"].items() if route.startswith("POST"))

    def audited(self) -> list[tuple[str, str, str | None, int | None, str | None]]:
        with self.api.db.read() as conn:
            rows = conn.execute(sa.select(audit).order_by(audit.c.id))
            return [(row.caller, row.path.split("/")[-1], row.outcome, row.status, row.detail) for row in rows]


@pytest.fixture
def door_of(make_api: Callable[..., Api]) -> Iterator[Callable[..., Door]]:
    sim = Simulator(size="empty", rate_limit=100_000)
    with sim.serve() as url:
        yield lambda **settings: Door(make_api(**settings), sim, url)


@pytest.fixture
def site(door_of: Callable[..., Door]) -> Door:
    return door_of()


def test_a_rerun_is_answered_as_the_contract_says(site: Door) -> None:
    run_id = site.a_build()
    answer = site.post(f"{run_id}/rerun")
    assert answer.status_code == 202
    body = answer.get_json()
    assert set(body) == {"message", "build_id", "rerun_url", "status", "timestamp"}
    assert (body["build_id"], body["status"]) == (run_id, "pending_rerun")
    assert body["rerun_url"] == f"https://api.github.com/repos/{SHOP}/actions/runs/{run_id}/rerun"
    assert answer.headers["Cache-Control"] == "no-store"
    assert site.asked() == 1


def test_a_cancel_is_answered_as_the_contract_says(site: Door) -> None:
    run_id = site.a_build("in_progress")
    body = site.post(f"{run_id}/cancel", body={"force": True}).get_json()
    assert set(body) == {"message", "build_id", "cancel_url", "status", "timestamp"}
    assert (body["build_id"], body["status"]) == (run_id, "pending_cancellation")
    assert site.asked() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"failed_only": 1}, "failed_only"),
        ({"failed_only": "true"}, "failed_only"),
        ({"job_id": "x"}, "job_id"),
        ({"job_id": 0}, "job_id"),
        ({"job_id": 2**63}, "job_id"),
        ({"failed_only": True, "job_id": 5}, "failed_only"),
        ({"other": 1}, "other"),
    ],
)
def test_a_wrong_body_is_422_and_asks_nothing(site: Door, body: dict[str, Any], field: str) -> None:
    run_id = site.a_build()
    answer = site.post(f"{run_id}/rerun", body=body)
    assert answer.status_code == 422
    assert field in answer.get_json()["error"]["details"]
    assert site.asked() == 0


@pytest.mark.parametrize("body", [[], "x", 5, None])
def test_a_body_that_is_no_object_is_422(site: Door, body: Any) -> None:
    run_id = site.a_build()
    answer = site.api.open(f"/api/v1/builds/{run_id}/rerun", "POST", "operator", json=body)
    assert answer.status_code == (202 if body is None else 422)


def test_a_job_of_another_build_is_404(site: Door) -> None:
    mine, other = site.a_build(), site.a_build()
    run = {"id": other, "url": "https://x", "started_at": 5, "run_attempt": 1, "repository_id": 1}
    job = a_job(site.api.db, run)
    assert site.post(f"{mine}/rerun", body={"job_id": job["id"]}).status_code == 404
    assert site.post("999/rerun").status_code == 404
    assert site.asked() == 0


def test_no_key_and_too_little_scope_ask_nothing(site: Door) -> None:
    run_id = site.a_build()
    assert [site.post(f"{run_id}/cancel", key).status_code for key in (None, "reader")] == [401, 403]
    assert site.asked() == 0


def test_githubs_refusals_are_passed_on_with_their_reasons(site: Door) -> None:
    running, over = site.a_build("in_progress"), site.a_build()
    for path, status, words in (
        (f"{running}/rerun", 409, "already running"),
        (f"{over}/cancel", 409, "Cannot cancel"),
    ):
        answer = site.post(path)
        assert answer.status_code == status
        assert set(answer.get_json()["error"]) == ENVELOPE
        assert words in answer.get_json()["error"]["message"]
    site.sim.advance(40 * 86400)
    old = site.post(f"{over}/rerun")
    assert (old.status_code, "over a month ago" in old.get_json()["error"]["message"]) == (403, True)


def test_G4_a_permission_that_is_missing_is_named(site: Door) -> None:
    run_id = site.a_build()
    site.sim.order_fault(
        "status", route="rerun$", status=403, body={"message": "Resource not accessible by personal access token"},
        headers={"X-Accepted-GitHub-Permissions": "actions=write"},
    )  # fmt: skip
    answer = site.post(f"{run_id}/rerun")
    assert answer.status_code == 403
    assert "actions=write" in answer.get_json()["error"]["message"]


def test_G5_a_spent_budget_is_503_with_its_end(site: Door) -> None:
    run_id = site.a_build()
    site.github.run(SHOP, run_id)  # a window begins with its first call
    site.sim.exhaust()
    answer = site.post(f"{run_id}/rerun")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "Nothing was done" in answer.get_json()["error"]["message"]


def test_a_token_that_is_refused_is_502(site: Door) -> None:
    run_id = site.a_build()
    site.sim.revoked.add("ghp_x")
    answer = site.post(f"{run_id}/rerun")
    assert answer.status_code == 502
    assert "GITHUB_ACTIONS_TOKEN" in str(answer.get_json()["error"]["details"])


def test_D12_a_key_is_replayed(site: Door) -> None:
    run_id = site.a_build()
    first, second = (site.post(f"{run_id}/rerun", **{"Idempotency-Key": "one"}) for _ in range(2))
    assert (first.status_code, second.status_code, site.asked()) == (202, 202, 1)
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    other = site.post(f"{run_id}/cancel", **{"Idempotency-Key": "one"})
    assert (other.status_code, site.asked()) == (422, 1)


def test_D12_one_under_way_is_409_and_a_lost_one_502(site: Door) -> None:
    run_id = site.a_build()
    from pipemon.domain.actions import Action

    now = site.sim.now()
    site.api.db.transact(lambda conn: store.claim(conn, "operator", "k", Action("rerun", SHOP, run_id), now))
    answer = site.post(f"{run_id}/rerun", **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "5")
    site.sim.advance(61)
    lost = site.post(f"{run_id}/rerun", **{"Idempotency-Key": "k"})
    assert (lost.status_code, lost.get_json()["error"]["details"]["result"]) == (502, ["unknown"])
    assert site.asked() == 0


@pytest.mark.parametrize("key", ["é", "a b", "x" * 256, "\x7f"])
def test_a_key_that_cant_be_used_is_422(site: Door, key: str) -> None:
    run_id = site.a_build()
    assert site.post(f"{run_id}/rerun", **{"Idempotency-Key": key}).status_code == 422
    with site.api.db.read() as conn:
        assert conn.execute(sa.select(actions)).all() == []


def test_an_empty_body_of_a_foreign_page_is_refused(site: Door) -> None:
    """A page elsewhere can send a POST without body or type, unasked; a proxy might add the key to it."""
    run_id = site.a_build("in_progress")

    def send(**headers: str) -> int:
        return int(site.post(f"{run_id}/cancel", **headers).status_code)

    assert send(Origin="https://evil.example") == 415
    assert send(Origin="null") == 415
    assert site.asked() == 0
    assert send(Origin="http://localhost:3000") == 202
    assert send() == 409


def test_every_write_and_every_refusal_is_in_the_audit(site: Door) -> None:
    run_id = site.a_build()
    site.post(f"{run_id}/rerun")
    site.post(f"{run_id}/cancel", "reader")
    site.post(f"{run_id}/cancel", None)
    site.api.open("/api/v1/audit", "GET", "operator")
    site.post("5/rerun")
    assert [row[:4] for row in site.audited()] == [
        ("operator", "rerun", "done", 202),
        ("reader", "cancel", "refused", 403),
        ("anonymous", "cancel", "refused", 401),
        ("operator", "audit", "refused", 403),
        ("operator", "rerun", "refused", 404),
    ]
    assert site.audited()[4][4] == "There is no such build."


def test_what_cant_be_recorded_is_not_done(site: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = site.a_build()

    def locked(*_: Any) -> int:
        raise DatabaseBusy("locked")

    monkeypatch.setattr(stored_audit, "begin", locked)
    assert site.post(f"{run_id}/rerun").status_code == 503
    assert site.asked() == 0


def test_refusals_beyond_the_cap_are_counted_only(site: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(door.MOST_REFUSALS_A_MINUTE + 20):
        site.post("5/cancel", None)
    assert len(site.audited()) == door.MOST_REFUSALS_A_MINUTE


def test_nobody_forges_a_line_of_the_audit(site: Door) -> None:
    site.post("5%0d%0a\x1b[31mforged/rerun", None)
    site.post("5/rerun", **{"X-Request-ID": "a\tb"})
    with site.api.db.read() as conn:
        rows = conn.execute(sa.select(audit)).all()
    assert all(text.isprintable() for row in rows for text in (row.path, row.request_id, row.caller))


def test_the_audit_is_read_in_pages(site: Door) -> None:
    for number in range(1, 6):
        site.post(f"{number}/rerun")
    found = site.api.get("/api/v1/audit?limit=2", key="boss")
    assert [entry["path"].split("/")[4] for entry in found["entries"]] == ["5", "4"]
    rest = site.api.get(f"/api/v1/audit?before={found['next_before']}", key="boss")
    assert [entry["path"].split("/")[4] for entry in rest["entries"]] == ["3", "2", "1"]
    assert rest["next_before"] is None
    assert site.api.get("/api/v1/audit?outcome=done", key="boss")["entries"] == []
    assert len(site.api.get("/api/v1/audit?caller=operator", key="boss")["entries"]) == 5
    answer = site.api.open("/api/v1/audit", key="boss")
    assert (answer.headers["Cache-Control"], "ETag" in answer.headers) == ("no-store", False)
