"""GitHub's payloads: whatever a field holds, an answer is either rejected whole or parsed into what can be stored."""

import copy
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipemon.domain.runs import Run
from pipemon.github import parse
from pipemon.github.errors import BadAnswer
from pipemon.github.fields import clean, document

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "github-samples"
T0 = "2026-02-03T04:05:06Z"
USER = {"login": "ada", "id": 5}
RUN: dict[str, Any] = {
    "id": 30_000_000_001, "name": "CI", "path": ".github/workflows/ci.yml", "display_title": "Fix it", "run_number": 7,
    "event": "push", "status": "completed", "conclusion": "success", "workflow_id": 11, "run_attempt": 2,
    "url": "https://api.example/repos/o/r/actions/runs/1", "html_url": "https://example/o/r/actions/runs/1",
    "head_branch": "main", "head_sha": "a" * 40, "pull_requests": [{"number": 4}, {"number": 5}], "actor": USER,
    "triggering_actor": USER, "created_at": T0, "updated_at": T0, "run_started_at": T0,
    "head_repository": {"full_name": "o/r"},
    "head_commit": {"message": "Fix it", "timestamp": T0, "author": {"name": "Ada", "email": "a@example"},
                    "committer": {"name": "Ada", "email": "a@example"}},
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": 50_000_000_001, "run_id": 30_000_000_001, "run_attempt": 2, "name": "test", "status": "completed",
    "conclusion": "failure", "created_at": T0, "started_at": T0, "completed_at": T0, "runner_name": "r1",
    "runner_group_name": "g", "labels": ["linux"], "html_url": "https://example/job",
    "steps": [{"name": "Set up", "number": 1, "status": "completed", "conclusion": "success", "started_at": T0,
               "completed_at": T0}],
}  # fmt: skip
REPOSITORY = {"id": 9, "full_name": "o/r", "default_branch": "main", "private": True, "archived": False, "fork": False}

# What a field may hold instead of what it should: M13 and G6.
MISSING = object()
ODD = [
    MISSING, None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 10**25, 1.5, float("inf"), "", " ", "no such word",
    "\ud800", "a\0b", "5", "x" * 100_000, "javascript:alert(1)", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+23:59", "2026-02-03", [], [None], [[]], ["\ud800"], {}, {"login": 5}, {"full_name": ["x"]},
    {"number": "5"}, [{"number": 2**70}],
]  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each field of a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield (*path, name)
        yield from paths(child, (*path, name))


def mutations(payload: Any) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Yield the payload with each of its fields in turn holding each odd value."""
    for path in paths(payload):
        for odd in ODD:
            changed = copy.deepcopy(payload)
            parent = changed
            for name in path[:-1]:
                parent = parent[name]
            if odd is MISSING and isinstance(parent, list):
                continue
            if odd is MISSING:
                del parent[path[-1]]
            else:
                parent[path[-1]] = odd
            yield path, odd, changed


def assert_storable(record: Any) -> None:
    """Every value can be bound by a database driver and encoded: whole numbers within 64 bits, clean bounded texts."""
    with sqlite3.connect(":memory:") as conn:
        for value in flat(record):
            assert value is None or isinstance(value, (str, bool, int)), value
            if isinstance(value, str):
                assert "\0" not in value
                assert len(value) <= parse.LONGEST_MESSAGE
                value.encode()
            conn.execute("SELECT ?", (value,))
    conn.close()


def flat(record: Any) -> Iterator[Any]:
    if is_dataclass(record):
        for field in fields(record):
            yield from flat(getattr(record, field.name))
    elif isinstance(record, tuple):
        for item in record:
            yield from flat(item)
    else:
        yield record


def test_a_run_is_read_with_all_its_fields() -> None:
    run = parse.run(RUN, "o/r")
    assert all(value is not None for value in flat(run))
    assert (run.id, run.run_attempt, run.status, run.conclusion) == (30_000_000_001, 2, "completed", "success")
    assert run.pull_requests == (4, 5)
    assert run.created_at == 1_770_091_506


def test_a_job_is_read_with_all_its_fields() -> None:
    assert all(value is not None for value in flat(parse.job(JOB)))


@pytest.mark.parametrize(
    ("good", "read"),
    [
        ({"total_count": 2, "workflow_runs": [RUN, RUN | {"id": 2}]}, lambda body: parse.runs_page(body, "o/r")),
        ({"total_count": 2, "jobs": [JOB, JOB | {"id": 2}]}, lambda body: parse.jobs_page(body, JOB["run_id"], 2)),
        ({"total_count": 1, "repositories": [REPOSITORY]}, parse.repositories_page),
    ],
)
def test_G6_each_field_mutated_rejects_the_page_whole_or_parses_into_what_can_be_stored(good: Any, read: Any) -> None:
    whole = read(good)
    rejected = parsed = 0
    for path, odd, body in mutations(good):
        try:
            page = read(body)
        except BadAnswer:
            rejected += 1
            continue
        parsed += 1
        assert_storable(page)
        if path[-1] not in ("workflow_runs", "jobs", "repositories"):
            items = [page] if isinstance(page, tuple) else [page.runs if hasattr(page, "runs") else page.jobs]
            expected = [whole] if isinstance(whole, tuple) else [whole.runs if hasattr(whole, "runs") else whole.jobs]
            assert [len(item) for item in items] == [len(item) for item in expected], (path, odd)
    assert rejected > 50
    assert parsed > 100


@pytest.mark.parametrize("name", ["id", "workflow_id", "created_at", "status"])
def test_G6_without_a_required_field_a_run_is_rejected(name: str) -> None:
    with pytest.raises(BadAnswer):
        parse.run({key: value for key, value in RUN.items() if key != name}, "o/r")


@pytest.mark.parametrize("bad", [True, False, 0, -1, 2**63, 10**25, 5.0, "5", None, [], {}])
def test_M13_an_id_outside_of_63_bits_or_of_another_kind_is_rejected(bad: object) -> None:
    with pytest.raises(BadAnswer):
        parse.run(RUN | {"id": bad}, "o/r")
    with pytest.raises(BadAnswer):
        parse.job(JOB | {"id": bad})


def test_G6_an_error_object_is_not_an_empty_list() -> None:
    for body in ({"message": "Server Error"}, {}, [], None, "x", {"total_count": 5, "workflow_runs": None}):
        with pytest.raises(BadAnswer):
            parse.runs_page(body, "o/r")
    assert parse.jobs_page({"total_count": 0, "jobs": None}, 1, 1).jobs == ()


def test_G6_an_unknown_status_is_kept_verbatim_and_a_null_one_is_never_green() -> None:
    assert parse.run(RUN | {"status": "pondering", "conclusion": None}, "o/r").status == "pondering"
    assert parse.run(RUN | {"conclusion": "meh"}, "o/r").conclusion == "meh"
    assert parse.run(RUN | {"status": None, "conclusion": None}, "o/r").status == "unknown"
    assert parse.run(RUN | {"status": None}, "o/r").status == "completed"


def test_old_bodies_lack_fields_that_came_later() -> None:
    late = (
        "actor",
        "triggering_actor",
        "path",
        "display_title",
        "run_attempt",
        "run_started_at",
        "name",
        "head_commit",
    )
    run = parse.run({key: value for key, value in RUN.items() if key not in late}, "o/r")
    assert (run.run_attempt, run.actor, run.commit, run.started_at) == (1, None, None, None)


def test_a_list_of_jobs_holds_no_other_runs_jobs() -> None:
    for change in ({"run_id": 5}, {"run_attempt": 1}):
        with pytest.raises(BadAnswer):
            parse.jobs_page({"total_count": 1, "jobs": [JOB | change]}, JOB["run_id"], 2)


def test_long_texts_are_cut_and_addresses_are_of_the_web() -> None:
    run = parse.run(RUN | {"head_commit": {"message": "m" * 20_000}, "html_url": "javascript:alert(1)"}, "o/r")
    assert run.commit is not None
    assert run.commit.message is not None
    assert len(run.commit.message) == 10_000
    assert run.url is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b'{"a":' * 50_000, b"NaN", b'{"id": Infinity}', b'{"id": -Infinity}', b"1" * 5000, b"", b"{",
        b'{"a":1}x', b"\xff\xfe{}", b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'"\xed\xa0\x80"', b"<html>",
    ],
)  # fmt: skip
def test_M13_what_is_no_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        document(body)


def test_M13_half_a_surrogate_pair_and_nul_become_what_can_be_stored() -> None:
    run = parse.run(
        document(json.dumps(RUN | {"head_branch": "a\0\ud83d", "display_title": "\U0001f600"}).encode()), "o/r"
    )
    assert (run.branch, run.title) == ("a\ufffd\ufffd", "\U0001f600")
    assert clean("\udfff\ud800x") == "\ufffd\ufffdx"


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*RUN, *JOB, "total_count"]), inner)
        ),
        max_leaves=30,
    )
)
def test_M13_no_document_at_all_crashes_the_parser(payload: Any) -> None:
    for read in (
        lambda body: parse.runs_page(body, "o/r"),
        lambda body: parse.run(body, "o/r"),
        parse.job,
        parse.repository,
    ):
        try:
            assert_storable(read(payload))
        except BadAnswer:
            continue


def test_the_reason_of_an_error_is_one_clean_line() -> None:
    assert parse.message(b'{"message": "Not\\nFound \\u0000"}') == "Not Found \ufffd"
    assert parse.message(b"<html>") == parse.message(b"[]") == parse.message(b'{"message": 5}') == ""


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"REAL PAYLOADS NOT TESTED: {SAMPLES} is not there")
def test_every_real_payload_is_parsed() -> None:
    runs = jobs = 0
    for path in sorted(SAMPLES.rglob("*.json")):
        for kind, payload in found(json.loads(path.read_text())):
            if kind == "run":
                run = parse.run(payload, "o/r")
                assert_storable(run)
                assert isinstance(run, Run)
                runs += 1
            else:
                assert_storable(parse.job(payload))
                jobs += 1
    for line in (SAMPLES / "exchanges-with-headers.pygithub.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        body = json.loads(exchange["body"]) if exchange["body"].startswith(("{", "[")) else None
        runs += sum(1 for kind, payload in found(body) if kind == "run" and parse.run(payload, "o/r"))
    assert runs > 70
    assert jobs > 100


def found(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield the runs and jobs anywhere in a document."""
    if isinstance(body, dict):
        if "workflow_id" in body and "run_number" in body:
            yield "run", body
        elif "run_id" in body and "status" in body and "name" in body and "run_url" in body:
            yield "job", body
        for value in body.values():
            yield from found(value)
    elif isinstance(body, list):
        for value in body:
            yield from found(value)
