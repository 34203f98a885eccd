"""Misbehaviour on order: which calls are spoilt, and how."""

import gzip
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "status",
    "slow",
    "stall",
    "truncate",
    "reset",
    "huge",
    "gzip_bomb",
    "not_json",
    "mutate",
    "stale_etag",
    "empty_list",
    "redirect",
)


@dataclass
class Fault:
    """An ordered fault: for the calls whose path matches, the first `after` left alone, `times` of them (None: all)."""

    kind: str
    route: str = ".*"
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    seconds: float = 0.0  # of slowness or stalling
    size: int = 0  # bytes, of a huge or bomb body
    location: str = ""
    field_name: str = ""
    value: Any = None
    undone: bool = False  # what was asked to be done is not done either; a refusal (4xx) never does it

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}; there are {', '.join(KINDS)}")
        self._pattern = re.compile(self.route)

    @property
    def prevents(self) -> bool:
        """Whether the call has no effect on the world."""
        return self.undone or (self.kind == "status" and self.status < 500)

    def strikes(self, path: str, rng: random.Random) -> bool:
        """Whether this call is spoilt; counts it."""
        if not self._pattern.search(path):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times == 0 or rng.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def mutated(body: Any, name: str, value: Any) -> Any:
    """Return the body with every field of that name set to the value (or taken out, for the value "<missing>")."""
    if isinstance(body, dict):
        kept = {key: mutated(part, name, value) for key, part in body.items() if key != name or value != "<missing>"}
        return {key: value if key == name and value != "<missing>" else part for key, part in kept.items()}
    return [mutated(part, name, value) for part in body] if isinstance(body, list) else body


def spoilt(fault: Fault, status: int, body: Any) -> tuple[int, bytes, dict[str, str]] | None:
    """Return the whole answer that the fault makes of a good one; None where it lies in how the bytes come."""
    raw = json.dumps(body).encode()
    if fault.kind == "status":
        answer = fault.body if fault.body is not None else {"message": "ordered"}
        return fault.status, json.dumps(answer).encode(), dict(fault.headers)
    if fault.kind == "redirect":
        return fault.status if fault.status != 500 else 301, b"{}", {"Location": fault.location}
    if fault.kind == "stale_etag":
        return 304, b"", {}
    if fault.kind == "empty_list":
        return 200, b'{"total_count": 0, "workflow_runs": []}', {}
    if fault.kind == "mutate":
        return status, json.dumps(mutated(body, fault.field_name, fault.value)).encode(), {}
    if fault.kind == "not_json":
        return status, b"<html>" + raw[:200], {}
    if fault.kind == "gzip_bomb":
        return 200, gzip.compress(b" " * (fault.size or 200_000_000), 6), {"Content-Encoding": "gzip"}
    return None


def told_length(fault: Fault, raw: bytes) -> int:
    """Return the length that the answer announces."""
    return (fault.size or 100_000_000) if fault.kind == "huge" else len(raw)


def trickle(fault: Fault, raw: bytes) -> Iterator[bytes]:
    """Yield a body that comes slowly, ends early, or is huge."""
    if fault.kind == "huge":
        for _ in range(told_length(fault, raw) // 65536):
            yield b" " * 65536
    elif fault.kind == "slow":
        for i in range(len(raw)):
            yield raw[i : i + 1]
            time.sleep(fault.seconds)
    else:
        yield raw[: len(raw) // 2]
        if fault.kind == "stall":
            time.sleep(fault.seconds)
        raise ConnectionAbortedError("ordered")
