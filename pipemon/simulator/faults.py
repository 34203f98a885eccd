"""Misbehaviour on order: which calls are spoilt, and how."""

import random
import re
from collections.abc import Mapping
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

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}; there are {', '.join(KINDS)}")
        self._pattern = re.compile(self.route)

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
