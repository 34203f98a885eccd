"""Deliveries: only what was signed with our secret counts, and only a body that is what its header says is read."""

import copy
import hashlib
import hmac
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipemon.domain.secrets import Secret
from pipemon.github.errors import BadAnswer
from pipemon.github.webhook import EVENTS, envelope, is_signed, may_be_signed, read
from tests.github.test_parse import JOB, RUN

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "github-samples" / "webhooks"
SECRET = Secret("It's a Secret to Everybody")
# The example of GitHub's documentation.
BODY, SIGNATURE = b"Hello, World!", b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
REPOSITORY = {"id": 77, "full_name": "octo/shop"}
DEPLOYMENT = {"id": 5, "ref": "main"}
BODIES: dict[str, dict[str, Any]] = {
    "workflow_run": {"action": "completed", "workflow_run": RUN, "workflow": {}, "repository": REPOSITORY},
    "workflow_job": {"action": "completed", "workflow_job": JOB, "deployment": DEPLOYMENT, "repository": REPOSITORY},
    "deployment": {"action": "created", "deployment": DEPLOYMENT, "workflow_run": RUN, "repository": REPOSITORY},
    "deployment_status": {
        "action": "created", "deployment_status": {"id": 6, "state": "success"}, "deployment": DEPLOYMENT,
        "workflow_run": RUN, "repository": REPOSITORY,
    },
    "ping": {"zen": "Keep it logically awesome.", "hook_id": 1, "hook": {"events": ["*"]}},
}  # fmt: skip


def encoded(event: str) -> bytes:
    return json.dumps(BODIES[event]).encode()


def test_W7_the_example_of_the_documentation_is_accepted() -> None:
    assert is_signed(BODY, SIGNATURE, [SECRET])
    assert may_be_signed(SIGNATURE)


def test_W7_each_of_two_secrets_is_accepted_and_no_third() -> None:
    assert is_signed(BODY, SIGNATURE, [Secret("new"), SECRET])
    assert is_signed(BODY, SIGNATURE, [SECRET, Secret("new")])
    assert not is_signed(BODY, SIGNATURE, [Secret("new"), Secret("old")])
    assert not is_signed(BODY, SIGNATURE, [])


SHA1 = b"sha1=" + hmac.new(SECRET.reveal().encode(), BODY, hashlib.sha1).hexdigest().encode()


@pytest.mark.parametrize(
    "signature",
    [
        b"", b"sha256=", SIGNATURE[:-1], SIGNATURE + b"0", SIGNATURE.upper(), SIGNATURE[7:], SHA1,
        b"sha256=" + SHA1[5:], b"sha256=" + b"\xff" * 64, "sha256=é".encode("latin-1"), b" " + SIGNATURE,
        SIGNATURE + b"," + SIGNATURE, b"SHA256=" + SIGNATURE[7:], b"sha256=" + b"0" * 64, b"sha256=" + b"\0" * 64,
        b"x" * 100_000,
    ],
)  # fmt: skip
def test_W7_any_other_signature_is_refused(signature: bytes) -> None:
    assert not is_signed(BODY, signature, [SECRET])


def mutated(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    kind = rng.randrange(3)
    if kind == 0:
        return data[:place] + bytes([rng.randrange(256)]) + data[place:]
    if kind == 1:
        return data[:place] + data[place + 1 :]
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def accepted(mutations: int) -> int:
    """Return how many deliveries pass whose body, signature or secret was changed a little."""
    rng, passed = random.Random(7), 0
    for _ in range(mutations):
        body, signature, secret = BODY, SIGNATURE, SECRET.reveal().encode()
        # HMAC fills a short key up with zero bytes: a secret that has some more of them is the same.
        while (body, signature, secret.rstrip(b"\0")) == (BODY, SIGNATURE, SECRET.reveal().encode()):
            changed = rng.randrange(3)
            body = mutated(BODY, rng) if changed == 0 else BODY
            signature = mutated(SIGNATURE, rng) if changed == 1 else SIGNATURE
            if changed == 2:
                secret = mutated(secret, rng).decode("latin-1").encode()
        passed += is_signed(body, signature, [Secret(secret.decode())])
    return passed


def test_W7_mutations_are_refused() -> None:
    assert accepted(500) == 0


@pytest.mark.proof
def test_W7_ten_thousand_mutations_are_refused() -> None:
    assert accepted(10_000) == 0


def test_W7_the_comparison_is_the_constant_time_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        asked.append((one, other))
        return False

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert not is_signed(BODY, SIGNATURE, [SECRET, Secret("other")])
    assert len(asked) == 2
    assert asked[0] == (SIGNATURE, SIGNATURE)


@pytest.mark.parametrize("event", EVENTS)
def test_what_a_delivery_says_of_itself(event: str) -> None:
    found = envelope(event, encoded(event))
    assert found.why is None
    assert found.event == event
    if event != "ping":
        assert (found.repository_id, found.repository) == (77, "octo/shop")
        assert found.action in EVENTS[event]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("header", EVENTS)
def test_W8_a_body_under_another_events_name_is_not_read(event: str, header: str) -> None:
    found = envelope(header, encoded(event))
    assert (found.why is None) == (event == header)
    if event != header:
        with pytest.raises(BadAnswer):
            read(header, encoded(event), "octo/shop")


def test_W9_an_event_that_is_not_used_is_not_even_parsed() -> None:
    assert envelope("push", b"[" * 100_000).why == "this event is not used here"
    assert envelope("", b"").why


@pytest.mark.parametrize("action", ["rerequested", "", None, 5, ["completed"], "completed "])
def test_W9_an_unknown_action_is_not_read(action: object) -> None:
    body = json.dumps(BODIES["workflow_run"] | {"action": action}).encode()
    assert envelope("workflow_run", body).why == "this action is not known"


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff\xfe", b"[" * 100_000, b'{"id":' + b"9" * 5000 + b"}"])
def test_M13_what_is_no_json_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        envelope("workflow_run", body)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"{}", b'{"workflow_run": []}'])
def test_M13_another_shape_is_useless(body: bytes) -> None:
    assert envelope("workflow_run", body).why is not None


@pytest.mark.parametrize(
    "repository", [None, [], "octo/shop", {"id": "77"}, {"id": 2**70, "full_name": 5}, {"id": True}]
)
def test_M13_a_strange_repository_is_none(repository: object) -> None:
    found = envelope("workflow_run", json.dumps(BODIES["workflow_run"] | {"repository": repository}).encode())
    assert (found.repository_id, found.repository) == (None, None)


def test_a_run_is_read_as_polling_reads_it() -> None:
    told = read("workflow_run", encoded("workflow_run"), "octo/shop")
    assert told.run is not None and told.job is None
    assert (told.run.id, told.run.repository, told.run.run_attempt) == (RUN["id"], "octo/shop", 2)
    assert (told.run.status, told.run.conclusion) == ("completed", "success")


def test_a_job_is_read_with_its_attempt_and_steps() -> None:
    told = read("workflow_job", encoded("workflow_job"), "octo/shop")
    assert told.job is not None and told.run is None
    assert (told.job.run_id, told.job.run_attempt, len(told.job.steps)) == (JOB["run_id"], 2, 1)


@pytest.mark.parametrize("event", ["workflow_run", "workflow_job"])
def test_a_subject_that_cant_be_believed_is_a_bad_answer(event: str) -> None:
    for field in ("id", "status"):
        body = copy.deepcopy(BODIES[event])
        del body[event][field]
        with pytest.raises(BadAnswer):
            read(event, json.dumps(body).encode(), "octo/shop")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="recorded deliveries NOT TESTED: there are no samples here")
@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.json")), ids=lambda file: file.stem)
def test_recorded_deliveries_are_read_or_ignored(file: Path) -> None:
    event, body = file.name.split(".")[0], file.read_bytes()
    found = envelope(event, body)
    assert (found.why is None) == (event in EVENTS)
    if found.why is None:
        told = read(event, body, found.repository or "")
        assert (told.run is not None) == (event == "workflow_run")
        assert (told.job is not None) == (event == "workflow_job")
